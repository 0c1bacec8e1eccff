//! `config.*`: the recorded configuration.

use super::Caller;
use crate::gateway::Running;
use crate::ws::frame::{Failure, Params};
use moltbot_core::command::Action;
use moltbot_core::ids::Seq;
use serde_json::{Map, Value, json};

/// Depth of a patch; no setting is deeper.
const DEPTH_MAX: usize = 8;

pub(super) fn get(running: &Running) -> Value {
    let (config, changed) = running
        .view
        .read(|model| (model.state.config.to_json(), model.state.config.changed));
    json!({
        "path": "log",
        "exists": true,
        "raw": config.to_string(),
        "parsed": config,
        "valid": true,
        "config": config,
        "hash": changed.to_string(),
        "issues": [],
        "warnings": [],
        "legacyIssues": [],
    })
}

/// Merges `raw` (JSON; `null` removes, as in RFC 7396) if `baseHash` is still the newest.
pub(super) async fn patch(
    caller: &Caller,
    running: &Running,
    params: &Params,
) -> Result<Value, Failure> {
    let Some(base) = params.text_opt("baseHash")? else {
        let text = "config base hash required; re-run config.get and retry";
        return Err(Failure::invalid(text));
    };
    let Ok(base) = base.parse().map(Seq) else {
        return Err(params.invalid("property 'baseHash' must be one that config.get gave"));
    };
    let patch: Map<String, Value> = serde_json::from_str(params.text("raw")?).map_err(|_| {
        Failure::invalid("invalid config").with(json!({ "issues": ["raw must be a JSON object"] }))
    })?;
    let mut changes = Vec::new();
    flatten("", &patch, DEPTH_MAX, &mut changes);
    let accepted = caller
        .submit(Action::ChangeConfig {
            changes,
            base: Some(base),
        })
        .await?;
    let replication = running.acknowledge(accepted.seq).await;
    Ok(json!({
        "ok": true,
        "path": "log",
        "config": running.view.read(|model| model.state.config.to_json()),
        "seq": accepted.seq,
        "shippedSeq": running.shipped_seq(),
        "replication": replication,
    }))
}

fn flatten(
    prefix: &str,
    object: &Map<String, Value>,
    depth: usize,
    changes: &mut Vec<(String, Option<String>)>,
) {
    for (name, value) in object {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Object(inner) if depth > 0 => flatten(&path, inner, depth - 1, changes),
            Value::Null => changes.push((path, None)),
            other => changes.push((path, Some(other.to_string()))),
        }
    }
}
