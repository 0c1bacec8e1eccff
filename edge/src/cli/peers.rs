//! `moltbot peers …`

use super::rows::{self, id, short_id, text};
use super::say;
use crate::exit::Failure;
use crate::settings::Settings;
use clap::Subcommand;
use serde_json::Value;

/// The command that shows who could be meant.
const SEE: &str = "peers list";
/// Characters of a first message that are printed.
const MESSAGE_CHARS_PRINTED: usize = 60;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Who waits, who is in and who is blocked
    List {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a person on a channel talk to the assistant, also one who was blocked
    Approve {
        /// The code the person was given, or the person's id or the beginning of it
        code: String,
        /// It is yourself: your messages there go to your main conversation
        #[arg(long)]
        operator: bool,
    },
    /// Hear a person no more; they get no answer and are not told
    Block {
        /// The person's id or the beginning of it, or the code of one who waits
        peer: String,
    },
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> Result<(), Failure> {
    let peers = rows::list(settings).await?["peers"].take();
    match verb {
        Verb::List { json: true } => say(format_args!("{peers:#}")),
        Verb::List { json: false } => list(&peers),
        Verb::Approve { code, operator } => {
            let query = if operator { "?operator=true" } else { "" };
            decide(settings, &peers, &code, &format!("approve{query}")).await?;
        }
        Verb::Block { peer } => decide(settings, &peers, &peer, "block").await?,
    }
    Ok(())
}

fn list(peers: &Value) {
    let all = ["pending", "approved", "blocked"].map(|name| rows::rows(peers, name));
    if all.iter().all(Vec::is_empty) {
        say("Nobody has written yet. Who writes to the assistant on a channel shows up here.");
    }
    let [pending, approved, blocked] = &all;
    for row in pending {
        let message: String = text(row, "message")
            .chars()
            .take(MESSAGE_CHARS_PRINTED)
            .collect();
        let code = text(row, "code");
        say(format_args!("waiting  {code}  {}  {message}", who(row)));
    }
    for row in approved {
        let himself = if row["isOperator"] == true {
            "  you"
        } else {
            ""
        };
        let id = short_id(row, "peerId");
        say(format_args!("in       {id}  {}{himself}", who(row)));
    }
    for row in blocked {
        say(format_args!(
            "blocked  {}  {}",
            short_id(row, "peerId"),
            who(row)
        ));
    }
    if peers["hasMore"] == true {
        say("… and more; only the newest are shown.");
    }
}

fn who(row: &Value) -> String {
    format!("{}  {}", text(row, "channel"), rows::name(row, "name"))
}

async fn decide(
    settings: &Settings,
    peers: &Value,
    wanted: &str,
    verb: &str,
) -> Result<(), Failure> {
    let pending = rows::rows(peers, "pending");
    let known = ["pending", "approved", "blocked"].map(|name| rows::rows(peers, name));
    let row = match rows::waiting(&pending, wanted) {
        Some(row) => row.clone(),
        None => rows::beginning(&known.concat(), "peerId", wanted)
            .cloned()
            .map_err(|why| {
                let why = format!("nobody waits with the code `{wanted}`, and {why}");
                rows::nobody(&why, SEE)
            })?,
    };
    let path = format!("peers/{}/{verb}", id(&row, "peerId"));
    rows::decide(settings, &path, &row, "name").await
}
