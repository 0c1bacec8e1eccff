//! What the laws in `properties.rs` share: a small universe ([`universe`]), a generator of what
//! happens in it ([`generate`]), and a driver that does what the gateway's writer does ([`driver`]); and the
//! laws on stored bytes, on effects, on authority and on forgetting.

mod actions;
mod authority;
mod bytes;
pub(crate) mod driver;
mod effects;
mod forgetting;
pub(crate) mod generate;
pub(crate) mod universe;
mod workspace;

use driver::Gateway;
use moltbot_core::command::Command;
use moltbot_core::decide::Decision;
use moltbot_core::error::Rejection;
use moltbot_core::state::State;
use proptest::test_runner::TestCaseError;
use universe::{Intent, Step};

/// When the universe begins.
pub(crate) const START_MS: i64 = 1_795_358_405_123;

/// A step that was taken.
pub(crate) struct Taken<'a> {
    pub(crate) before: &'a State,
    pub(crate) command: &'a Command,
    pub(crate) answer: &'a Result<Decision, Rejection>,
    pub(crate) after: &'a Gateway,
}

/// Takes the steps one after the other and lets `check` look at each.
pub(crate) fn walk(
    gateway: &mut Gateway,
    steps: &[Step],
    mut check: impl FnMut(Taken) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let (mut at, mut last) = (START_MS, None);
    for (number, step) in steps.iter().enumerate() {
        at += step.pause_ms;
        let before = gateway.state.clone();
        let command = match (&step.intent, last.take()) {
            (Intent::Again, Some(last)) => last,
            _ => step.command(&before, at, number),
        };
        let answer = gateway.submit(&command);
        check(Taken {
            before: &before,
            command: &command,
            answer: &answer,
            after: gateway,
        })?;
        last = Some(command);
    }
    Ok(())
}

/// The gateway after these steps.
pub(crate) fn after(steps: &[Step]) -> Gateway {
    let mut gateway = Gateway::default();
    walk(&mut gateway, steps, |_| Ok(())).expect("nothing is checked");
    gateway
}
