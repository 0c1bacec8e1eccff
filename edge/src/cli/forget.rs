//! `moltbot forget …`

use super::client::call;
use super::rows::{self, text};
use super::say;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use clap::Args;
use moltbot_core::time::Timestamp;
use reqwest::Method;
use serde_json::Value;
use std::io::{BufRead, IsTerminal, Write};
use url::form_urlencoded;

#[derive(Args)]
pub(super) struct Forget {
    #[command(flatten)]
    whose: Whose,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Say what would be forgotten, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// A conversation: its key, as main, or its id
    #[arg(long, value_name = "KEY")]
    session: Option<String>,
    /// A person on a channel: the id, or the beginning of it
    #[arg(long, value_name = "ID")]
    peer: Option<String>,
    /// A device: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    device: Option<String>,
}

pub(super) async fn run(settings: &Settings, forget: Forget) -> Result<(), Failure> {
    let (kind, name) = wanted(settings, forget.whose).await?;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair(kind, &name)
        .finish();
    let path = format!("forget?{query}");
    let plan = call(settings, Method::GET, &path).await?;
    if plan["keys"] == 0 {
        say("Nothing is left to forget.");
        return Ok(());
    }
    describe(kind, &name, &plan);
    if forget.dry_run {
        return Ok(());
    }
    if !forget.yes && !is_confirmed()? {
        say("Nothing was changed.");
        return Ok(());
    }
    let answer = call(settings, Method::POST, &path).await?;
    say(outcome(&answer));
    Ok(())
}

/// What is meant. Whoever is not listed any more is named whole.
async fn wanted(settings: &Settings, whose: Whose) -> Result<(&'static str, String), Failure> {
    if let Some(session) = whose.session {
        return Ok(("session", session));
    }
    let list = rows::list(settings).await?;
    let find = |rows: &[Value], id_name: &str, name: String| {
        let found = rows::beginning(rows, id_name, &name).map(|row| rows::id(row, id_name));
        found.unwrap_or(name)
    };
    if let Some(name) = whose.peer {
        let known = ["pending", "approved", "blocked"];
        let known = known
            .map(|group| rows::rows(&list["peers"], group))
            .concat();
        return Ok(("peer", find(&known, "peerId", name)));
    }
    let paired = rows::rows(&list, "paired");
    let name = whose.device.unwrap_or_default();
    Ok(("device", find(&paired, "deviceId", name)))
}

/// Says exactly what will be unreadable, and what will not.
fn describe(kind: &str, name: &str, plan: &Value) {
    say("This can be read by nobody and nowhere any more, for ever:");
    for session in plan["sessions"].as_array().into_iter().flatten() {
        let what = [("messages", "messages"), ("answers", "answers")].map(|(field, words)| {
            let count = session[field].as_u64().unwrap_or(0);
            format!("{count} {words}")
        });
        say(format_args!(
            "  conversation {}: {} ({} to {})",
            text(session, "sessionKey"),
            what.join(" and "),
            day(&session["firstAtMs"]),
            day(&session["lastAtMs"])
        ));
    }
    match plan["names"].as_u64().unwrap_or(0) {
        0 => {}
        _ if kind == "device" => say(format_args!("  the name and addresses of device {name}")),
        _ => say(format_args!("  the name and first message of {name}")),
    }
    if plan["runs"] != 0 {
        say("  answers that are being written right now are stopped");
    }
    say("It stays visible that and when something was said, and who had it forgotten.");
    match kind {
        "peer" => say(format_args!(
            "What this person has on his own screen stays there, and so do answers in a conversation\n\
             that is shared with others. Access is not changed: moltbot peers block {name}"
        )),
        "device" => say(format_args!(
            "Answers to it stay with their conversation. Access is not changed: moltbot devices revoke {name}"
        )),
        _ => {}
    }
}

fn day(ms: &Value) -> String {
    let at = Timestamp(ms.as_i64().unwrap_or_default()).rfc3339();
    at.split('T').next().unwrap_or_default().to_owned()
}

/// Asks on a terminal; who is no person says `--yes`.
fn is_confirmed() -> Result<bool, Failure> {
    let mut out = std::io::stdout();
    let input = std::io::stdin();
    if !input.is_terminal() {
        let text = "there is no terminal to ask on; to forget without being asked, give --yes";
        return Err(Failure::new(Exit::Usage, text));
    }
    let asked = out
        .write_all(b"Forget it? Type yes: ")
        .and_then(|()| out.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| input.lock().read_line(&mut answer));
    Ok(read.is_ok() && answer.trim().eq_ignore_ascii_case("yes"))
}

fn outcome(answer: &Value) -> String {
    let (texts, keys, seq) = (&answer["texts"], &answer["keys"], &answer["seq"]);
    let forgotten = format!("Forgotten: {texts} texts, recorded as #{seq}.");
    if answer["deleted"] == true {
        return format!("{forgotten} Their {keys} data keys are deleted here and in the replica.");
    }
    format!(
        "{forgotten} Nobody can read them from now on. Their {keys} data keys are not deleted everywhere \
         yet: the replica is late. The gateway goes on trying; see: moltbot doctor"
    )
}
