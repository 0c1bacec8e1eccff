//! `storage.*`: how safe the data is.

use crate::gateway::Running;
use crate::storage;
use crate::ws::frame::Failure;
use crate::ws::methods::Caller;
use serde_json::Value;

pub(super) async fn backup(caller: &Caller, running: &Running) -> Result<Value, Failure> {
    storage::backup(&caller.gateway, running)
        .await
        .map_err(|reason| Failure::unavailable(reason, 5_000))
}
