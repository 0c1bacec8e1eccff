//! `storage.*`: how safe the data is.

use crate::gateway::Running;
use crate::storage;
use crate::ws::frame::Failure;
use serde_json::Value;

pub(super) async fn backup(running: &Running) -> Result<Value, Failure> {
    storage::backup(running)
        .await
        .map_err(|reason| Failure::unavailable(reason, 5_000))
}
