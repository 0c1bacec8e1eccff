//! `workspace.*`: the assistant's files.

use super::Caller;
use crate::gateway::Running;
use crate::limits::FILES_LISTED_MAX;
use crate::workspace::Files;
use crate::workspace::show::{self, NotShown};
use crate::ws::frame::{Failure, Params};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn list(running: &Running, params: &Params) -> Result<Value, Failure> {
    let limit = params.number_opt("limit")?.map_or(FILES_LISTED_MAX, |n| {
        usize::try_from(n).unwrap_or(FILES_LISTED_MAX)
    });
    Ok(show::list(running, params.text_opt("after")?, limit))
}

pub(super) async fn get(running: &Running, params: &Params) -> Result<Value, Failure> {
    let shown = show::get(running, params.text("path")?).await;
    shown.map_err(|why| match why {
        NotShown::Unknown => params.invalid("property 'path' names no file of the workspace"),
        NotShown::Unfit(why) => Failure::invalid(why),
        NotShown::Unavailable(why) => Failure::unavailable(why, 5_000),
    })
}

/// Begins; `workspace.status` says how it ended.
pub(super) fn record(caller: &Caller, running: &Arc<Running>) -> Value {
    let number = Files::ask_to_record(running, caller.welcome.actor.clone());
    json!({ "ok": true, "number": number })
}
