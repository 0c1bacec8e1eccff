//! `content.forget`: what a conversation, a person or a device said becomes unreadable for ever.

use super::Caller;
use crate::forget;
use crate::gateway::Running;
use crate::writer::Refused;
use crate::ws::frame::{Failure, Params};
use moltbot_core::forget::Subject;
use serde_json::Value;

/// Parameters that name a subject, and what they name.
const NAMED_BY: [(&str, &str); 4] = [
    ("sessionKey", "session"),
    ("sessionId", "session"),
    ("peerId", "peer"),
    ("deviceId", "device"),
];

/// With `dryRun`, says what would be forgotten and changes nothing.
pub(super) async fn forget(
    caller: &Caller,
    running: &Running,
    params: &Params,
) -> Result<Value, Failure> {
    let subject = subject(running, params)?;
    if params.flag_opt("dryRun")?.unwrap_or(false) {
        return Ok(forget::preview(running, &subject)?);
    }
    let forgotten = forget::forget(running, caller.welcome.actor.clone(), subject).await;
    forgotten.map_err(|refused| match refused {
        Refused::Rejected(rejection) => rejection.into(),
        Refused::Stopped => Failure::unavailable("gateway stopping; retry shortly", 1_000),
    })
}

fn subject(running: &Running, params: &Params) -> Result<Subject, Failure> {
    let mut given = NAMED_BY
        .iter()
        .filter(|(name, _)| params.value(name).is_some());
    let (Some((name, kind)), None) = (given.next(), given.next()) else {
        let text =
            "must have one of the properties 'sessionKey', 'sessionId', 'peerId' and 'deviceId'";
        return Err(params.invalid(text));
    };
    let subject = forget::subject(running, kind, params.id(name)?);
    subject.ok_or_else(|| params.invalid("names nothing that can be forgotten"))
}
