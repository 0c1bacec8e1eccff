//! `moltbot devices …`

use super::client::call;
use super::say;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use clap::Subcommand;
use reqwest::Method;
use serde_json::Value;

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
    let devices = call(settings, Method::GET, "devices").await?;
    if json {
        say(format_args!("{devices:#}"));
        return Ok(());
    }
    let rows = |name: &str| devices[name].as_array().cloned().unwrap_or_default();
    let (pending, paired) = (rows("pending"), rows("paired"));
    if pending.is_empty() && paired.is_empty() {
        say("No device has asked yet. Let a browser in with: moltbot devices link");
    }
    for row in &pending {
        say(format_args!(
            "waiting  {}  {}  {}  {}",
            code(row),
            text(row, "displayName"),
            text(row, "remoteIp"),
            text(row, "requestId")
        ));
    }
    for row in &paired {
        let id: String = text(row, "deviceId").chars().take(12).collect();
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
            "{state}  {id}  {}  {}",
            text(row, "displayName"),
            scopes.join(",")
        ));
    }
    Ok(())
}

async fn answer(settings: &Settings, wanted: &str, verb: &str) -> Result<(), Failure> {
    let devices = call(settings, Method::GET, "devices").await?;
    let plain = wanted.replace('-', "").to_uppercase();
    let fits = |row: &&Value| row["requestId"] == wanted || row["code"] == plain.as_str();
    let found = devices["pending"]
        .as_array()
        .into_iter()
        .flatten()
        .find(fits);
    let Some(row) = found else {
        let message = format!(
            "nobody waits with the code or request id `{wanted}`; see: moltbot devices list"
        );
        return Err(Failure::new(Exit::Configuration, message));
    };
    let path = format!("devices/{}/{verb}", text(row, "requestId"));
    let reply = call(settings, Method::POST, &path).await?;
    say(format_args!(
        "{}: {}",
        text(&reply, "message"),
        text(row, "displayName")
    ));
    Ok(())
}

async fn revoke(settings: &Settings, wanted: &str) -> Result<(), Failure> {
    let devices = call(settings, Method::GET, "devices").await?;
    let wanted = wanted.to_lowercase();
    let paired = devices["paired"].as_array().cloned().unwrap_or_default();
    let fits = |row: &&Value| text(row, "deviceId").starts_with(&wanted) && wanted.len() >= 6;
    let found: Vec<&Value> = paired.iter().filter(fits).collect();
    let [row] = found.as_slice() else {
        let message = format!(
            "{} devices have an id that begins with `{wanted}` (give at least 6 digits); see: moltbot devices list",
            found.len()
        );
        return Err(Failure::new(Exit::Configuration, message));
    };
    let path = format!("devices/{}/revoke", text(row, "deviceId"));
    let reply = call(settings, Method::POST, &path).await?;
    say(format_args!(
        "{}: {}",
        text(&reply, "message"),
        text(row, "displayName")
    ));
    Ok(())
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

/// The code as the device shows it.
fn code(row: &Value) -> String {
    let code = text(row, "code");
    match code.split_at_checked(3) {
        Some((first, rest)) => format!("{first}-{rest}"),
        None => code,
    }
}
