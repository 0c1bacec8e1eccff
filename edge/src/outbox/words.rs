//! What a person on a channel reads, made from the record that has to be told.

use crate::gateway::Running;
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_store::error::StoreError;

const RESTARTED: &str = "I was restarted before this answer was complete. Please ask again.";
const TOO_LONG: &str = "This took too long, so I stopped.";

/// The Markdown for what a record says; `None` when it cannot be read any more, an error when it
/// cannot be read now.
pub fn of(running: &Running, seq: Seq) -> Result<Option<String>, StoreError> {
    let Some(opened) = running.reader.event(seq)? else {
        return Ok(None);
    };
    let text = |content| running.reader.text(content);
    Ok(Some(match &opened.event {
        Event::RunCompleted(e) => text(&e.text),
        Event::RunCancelled(e) => match e.reason.as_str() {
            "timeout" => joined(&text(&e.text), TOO_LONG),
            "restart" => joined(&text(&e.text), RESTARTED),
            _ => text(&e.text),
        },
        Event::RunFailed(e) => joined(&text(&e.text), &e.message),
        Event::RunInterrupted(_) => RESTARTED.to_owned(),
        Event::PeerPairingRequested(e) => pairing(&e.code, e.peer.as_str()),
        Event::PeerApproved(_) => "You can talk to me now. What can I do for you?".to_owned(),
        _ => return Ok(None),
    }))
}

fn joined(said: &str, note: &str) -> String {
    if said.trim().is_empty() {
        return note.to_owned();
    }
    format!("{said}\n\n{note}")
}

fn pairing(code: &str, peer: &str) -> String {
    format!(
        "I do not know you yet.\n\n\
         Pairing code: `{code}`\n\
         Your id: `{peer}`\n\n\
         The operator of this bot lets you in on the admin page, or with \
         `moltbot peers approve {code}`. The code works for one hour."
    )
}
