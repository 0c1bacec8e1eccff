//! The suite every [`Channel`] passes.
//!
//! Invariant: a check uses nothing but the traits of [`crate::channel`] and a [`Platform`], so it
//! says what the gateway relies on and nothing about one platform.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a suite fails by panicking"
)]

mod receiving;
mod sending;

use std::fmt::{Debug, Display};
use std::sync::Arc;

use crate::channel::{Channel, Chat, Inbound, InboundContent, InboundMessage, Inbox};

/// A platform under the suite's control, with one bot on it.
pub trait Platform: Sync {
    /// A client of the bot, like that of a process that just started.
    fn channel(&self) -> Arc<dyn Channel>;

    /// The same with a token that the platform does not know.
    fn stranger(&self) -> Arc<dyn Channel>;

    /// The same on a machine from which the platform cannot be reached.
    fn unreachable(&self) -> Arc<dyn Channel>;

    /// The bot's token, which no error may hold.
    fn token(&self) -> String;

    /// Person 1 or 2 writes to the bot directly.
    fn say(&self, person: u8, text: &str);

    /// Something arrives that nobody answers, such as a bot's message.
    fn make_noise(&self);

    /// The direct chat with person 1 or 2.
    fn chat(&self, person: u8) -> Chat;

    /// The next post or edit goes wrong.
    fn fail(&self, call: Call, failure: Failure);

    /// How many received things the platform would deliver again.
    fn pending(&self) -> usize;

    /// The bot's messages as people see them now, oldest first.
    fn shown(&self) -> Vec<String>;

    /// What the platform holds against the bot, such as requests within a pause.
    fn violations(&self) -> Vec<String>;
}

/// Which call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`Channel::post`].
    Post,
    /// [`Channel::edit`].
    Edit,
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The platform asks for a pause of one second and means it.
    Pause,
    /// The person does not want to hear from the bot.
    Refused,
    /// The platform does not understand the markup; plain text would do.
    MarkupRefused,
    /// The connection breaks before the platform acted.
    CutBefore,
    /// The connection breaks after the platform acted.
    CutAfter,
    /// The platform fails on its side; nobody knows how far it came.
    ServerError,
    /// The platform acted, and its answer cannot be read.
    Garbled,
}

/// Runs the suite. `start` gives a new platform each time, with a bot that nobody wrote to.
pub async fn run<P: Platform>(start: impl AsyncFn() -> P) {
    receiving::run(&start).await;
    sending::run(&start).await;
}

/// What is received next, which must be there already.
async fn receive(inbox: &mut Box<dyn Inbox>) -> Vec<Inbound> {
    inbox.receive().await.expect("receiving works")
}

/// Receives until so many different things have come, which must be there already.
async fn receive_all(inbox: &mut Box<dyn Inbox>, count: usize) -> Vec<Inbound> {
    let mut all: Vec<Inbound> = Vec::new();
    while all.len() < count {
        let batch = receive(inbox).await;
        assert!(!batch.is_empty(), "only {all:?} came");
        for inbound in batch {
            if all.iter().all(|known| known.mark != inbound.mark) {
                all.push(inbound);
            }
        }
    }
    all
}

fn message(inbound: &Inbound) -> &InboundMessage {
    match &inbound.content {
        InboundContent::Message(message) => message,
        InboundContent::Ignored { reason } => panic!("ignored: {reason}"),
    }
}

fn texts(inbound: &[Inbound]) -> Vec<&str> {
    inbound.iter().map(|i| message(i).text.as_str()).collect()
}

/// An error holds no token, whichever way it is printed.
fn assert_clean(error: &(impl Debug + Display), token: &str) {
    let printed = format!("{error} {error:?} {error:#?}");
    assert!(!printed.contains(token), "{printed}");
}
