//! `channels.status`: how the chat platforms are doing, and who may write on them.
//!
//! Invariant: a failure is told in the sentence that names what to set, and holds no secret; ids of
//! people are not told.

use crate::channels::{Platform, State, Status};
use crate::gateway::{Gateway, Running};
use crate::stamp;
use moltbot_core::actor::Scope;
use moltbot_core::command::DmPolicy;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The account's id until the platform has said who the bot is.
const UNKNOWN_ACCOUNT: &str = "default";

/// The platforms: order, labels, a summary of each and the bot's account on it.
pub fn status(running: &Running) -> Value {
    let mut answer = summary(running);
    let (mut accounts, mut defaults, mut meta) = (Map::new(), Map::new(), Vec::new());
    for (name, platform) in running.channels.iter() {
        let status = platform.status.borrow().clone();
        let (label, account) = (label(name), account(platform, &status));
        defaults.insert(name.to_owned(), account["accountId"].clone());
        accounts.insert(name.to_owned(), json!([account]));
        meta.push(json!({ "id": name, "label": label, "detailLabel": label }));
    }
    answer["ts"] = json!(stamp::now().0);
    answer["channelDetailLabels"] = answer["channelLabels"].clone();
    answer["channelSystemImages"] = json!({});
    answer["channelMeta"] = json!(meta);
    answer["channelAccounts"] = Value::Object(accounts);
    answer["channelDefaultAccountId"] = Value::Object(defaults);
    answer
}

/// The part of it that `health` has as well.
pub(super) fn summary(running: &Running) -> Value {
    let (mut channels, mut labels, mut order) = (Map::new(), Map::new(), Vec::new());
    for (name, platform) in running.channels.iter() {
        let status = platform.status.borrow().clone();
        let mut summary = json!({ "configured": true, "tokenSource": "env" });
        merge(&mut summary, progress(&status));
        channels.insert(name.to_owned(), summary);
        labels.insert(name.to_owned(), json!(label(name)));
        order.push(name);
    }
    json!({ "channelOrder": order, "channelLabels": labels, "channels": channels })
}

/// From here on, tells whoever may read of every change of a platform, with what `channels.status`
/// says then.
pub fn announce(gateway: &Arc<Gateway>, running: &Arc<Running>) {
    for (_, platform) in running.channels.iter() {
        let mut changes = platform.status.subscribe();
        let (gateway, running) = (Arc::clone(gateway), Arc::clone(running));
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let now = status(&running);
                gateway.hub.broadcast("channels.changed", &now, Scope::Read);
            }
        });
    }
}

fn account(platform: &Platform, status: &Status) -> Value {
    let known = status.account.as_ref();
    let mut account = json!({
        "accountId": known.map_or(UNKNOWN_ACCOUNT, |account| account.id.as_str()),
        "name": known.map(|account| &account.name),
        "handle": known.and_then(|account| account.handle.as_ref()),
        "enabled": true,
        "configured": true,
        "dmPolicy": policy(platform.access.policy),
    });
    merge(&mut account, progress(status));
    account
}

/// `state` and `sinceMs` are ours; the others are the protocol's words for the same.
fn progress(status: &Status) -> Value {
    let (state, error) = match &status.state {
        State::Connecting => ("connecting", None),
        State::Receiving => ("receiving", None),
        State::Failing(sentence) => ("failing", Some(sentence)),
        State::Stopped(sentence) => ("stopped", Some(sentence)),
    };
    let since = status.since.0;
    let is_receiving = status.state == State::Receiving;
    json!({
        "state": state,
        "sinceMs": since,
        "running": state != "stopped",
        "connected": is_receiving,
        "mode": "polling",
        "lastStartAt": is_receiving.then_some(since),
        "lastStopAt": (state == "stopped").then_some(since),
        "lastError": error,
    })
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn label(channel: &str) -> &str {
    match channel {
        "telegram" => "Telegram",
        other => other,
    }
}

fn policy(policy: DmPolicy) -> &'static str {
    match policy {
        DmPolicy::Pairing => "pairing",
        DmPolicy::Open => "open",
        DmPolicy::Allowlist => "allowlist",
        DmPolicy::Disabled => "disabled",
    }
}
