//! `moltbot devices …`

use super::client::call;
use super::rows::{self, id, short_id, text};
use super::say;
use crate::exit::Failure;
use crate::settings::Settings;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

/// The command that shows who could be meant.
const SEE: &str = "devices list";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Who waits and who is in
    List {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a device in
    Approve {
        /// Its request id or the code it shows, as KX4-9TB
        request: String,
    },
    /// Turn a device's request down
    Reject {
        /// Its request id or the code it shows
        request: String,
    },
    /// Take a device's access back; its connections close at once
    Revoke {
        /// Its id or the beginning of it
        device: String,
    },
    /// Print a link that lets one browser in, once, within ten minutes
    Link,
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::List { json } => list(settings, json).await,
        Verb::Approve { request } => answer(settings, &request, "approve").await,
        Verb::Reject { request } => answer(settings, &request, "reject").await,
        Verb::Revoke { device } => revoke(settings, &device).await,
        Verb::Link => {
            let reply = call(settings, Method::POST, "grants").await?;
            say(reply["url"].as_str().unwrap_or_default());
            Ok(())
        }
    }
}

async fn list(settings: &Settings, json: bool) -> Result<(), Failure> {
    let devices = rows::list(settings).await?;
    if json {
        say(format_args!("{devices:#}"));
        return Ok(());
    }
    let (pending, paired) = (
        rows::rows(&devices, "pending"),
        rows::rows(&devices, "paired"),
    );
    if pending.is_empty() && paired.is_empty() {
        say("No device has asked yet. Let a browser in with: moltbot devices link");
    }
    for row in &pending {
        say(format_args!(
            "waiting  {}  {}  {}  {}",
            code(row),
            rows::name(row, "displayName"),
            text(row, "remoteIp"),
            text(row, "requestId")
        ));
    }
    for row in &paired {
        let state = if row["connected"] == true {
            "online "
        } else {
            "paired "
        };
        let scopes: Vec<&str> = row["scopes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        say(format_args!(
            "{state}  {}  {}  {}",
            short_id(row, "deviceId"),
            rows::name(row, "displayName"),
            scopes.join(",")
        ));
    }
    Ok(())
}

async fn answer(settings: &Settings, wanted: &str, verb: &str) -> Result<(), Failure> {
    let pending = rows::rows(&rows::list(settings).await?, "pending");
    let row = rows::waiting(&pending, wanted).ok_or_else(|| {
        let why = format!("nobody waits with the code or request id `{wanted}`");
        rows::nobody(&why, SEE)
    })?;
    let path = format!("devices/{}/{verb}", id(row, "requestId"));
    rows::decide(settings, &path, row, "displayName").await
}

async fn revoke(settings: &Settings, wanted: &str) -> Result<(), Failure> {
    let paired = rows::rows(&rows::list(settings).await?, "paired");
    let row = rows::beginning(&paired, "deviceId", wanted)
        .map_err(|why| rows::nobody(&format!("of the devices, {why}"), SEE))?;
    let path = format!("devices/{}/revoke", id(row, "deviceId"));
    rows::decide(settings, &path, row, "displayName").await
}

/// The code as the device shows it.
fn code(row: &Value) -> String {
    let code = text(row, "code");
    match code.split_at_checked(3) {
        Some((first, rest)) => format!("{first}-{rest}"),
        None => code,
    }
}
