//! `moltbot follow`: a read-only copy of the log that another gateway writes.
//!
//! `copy` opens the copy and brings it to the end of the remote log, `task` follows from there,
//! [`status`] says how far it is.
//!
//! Invariant: a follower claims nothing and writes nothing into the remote log; what it shows was
//! shipped and is chained to what it showed before. It lets in whom the replicated state lets in,
//! and refuses whatever would have to be recorded.

mod copy;
pub mod status;
mod task;

pub use status::{Following, Progress};

use crate::exit::Failure;
use crate::gateway::{Gateway, Phase, Running, Stop};
use crate::home;
use crate::http::server;
use crate::limits::{RESTART_EXPECTED_MS, SHUTDOWN_SOCKETS_MS};
use crate::orphans;
use crate::redact;
use crate::serve::{self, Served};
use crate::settings::Settings;
use crate::storage;
use crate::ws::frame;
use crate::ws::hub::Close;
use crate::ws::notify;
use moltbot_core::actor::Scope;
use moltbot_core::error::Rejection;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

/// The code of everything that a follower refuses.
pub const CODE: &str = "read_only_follower";

/// What may be asked of a follower beside `log.…`; a method that is not here is refused.
const READS: [&str; 14] = [
    "channels.status",
    "chat.history",
    "config.get",
    "delivery.list",
    "device.pair.list",
    "gateway.restart",
    "health",
    "peer.list",
    "sessions.list",
    "status",
    "storage.status",
    "system-presence",
    "workspace.get",
    "workspace.list",
];

/// Follows until a signal, an operator or a failure ends it.
pub async fn follow(settings: Settings) -> Result<Served, Failure> {
    home::create(&settings)?;
    let token = home::token(&settings)?;
    redact::register([token.reveal()]);
    let instance = home::instance(&settings)?;
    let (listener, listen) = serve::listen(&settings).await?;
    let settings = Settings { listen, ..settings };
    info!(url = %settings.url(), "listening");
    let gateway = Gateway::new(settings, token, instance);
    tokio::spawn(serve::signals(Arc::clone(&gateway)));
    let server = tokio::spawn(server::serve(Arc::clone(&gateway), listener));
    let opened = tokio::select! {
        biased;
        opened = copy::open(&gateway) => opened,
        stop = gateway.stopped() => return serve::ended(&stop),
    };
    let task = opened?;
    let running = Arc::clone(&task.running);
    gateway.set_running(Arc::clone(&running));
    tokio::spawn(notify::follow(Arc::clone(&gateway), Arc::clone(&running)));
    tokio::spawn(storage::announce(
        Arc::clone(&gateway),
        Arc::clone(&running),
    ));
    tokio::spawn(orphans::watch(
        Arc::clone(&gateway),
        running.replica.clone(),
    ));
    tokio::spawn(serve::warn_of_dev_mode(Arc::clone(&gateway)));
    let following = tokio::spawn(task.run());
    let settings = &gateway.settings;
    info!(url = %settings.url(), home = %settings.home.display(), writer = %writer(&running), "ready to read");
    let stop = gateway.stopped().await;
    shut_down(&gateway, &stop).await;
    // It ends at its next step; the copy is whole at any moment.
    let _ = following.await;
    server.abort();
    serve::ended(&stop)
}

async fn shut_down(gateway: &Gateway, stop: &Stop) {
    gateway.phase.send_replace(Phase::Stopping);
    let reason = match stop {
        Stop::Restart => "restart",
        Stop::Terminate => "stop",
        Stop::Failed(_) => "failure",
    };
    let payload = json!({ "reason": reason, "restartExpectedMs": RESTART_EXPECTED_MS });
    gateway.hub.broadcast("shutdown", &payload, Scope::Read);
    gateway.hub.close_all(&Close::new(1012, "service restart"));
    let sockets_gone = async {
        while !gateway.hub.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = Duration::from_millis(SHUTDOWN_SOCKETS_MS);
    // A client that does not take its close frame is cut off.
    let _ = tokio::time::timeout(patience, sockets_gone).await;
}

/// The gateway that writes the log, as the log says.
pub fn writer(running: &Running) -> String {
    let writer = |storage: &moltbot_core::storage::Storage| storage.writer.to_string();
    running.view.read(|model| writer(&model.state.storage))
}

/// What is said to whoever wants something recorded.
pub fn refusal(running: &Running) -> Rejection {
    Rejection::new(
        CODE,
        format!(
            "this is a read-only copy; the log is written by the gateway `{}`, ask that one",
            writer(running)
        ),
    )
}

/// What is said to a device that is not known here.
pub fn pairs_nobody(running: &Running) -> Rejection {
    Rejection::new(
        CODE,
        format!(
            "this is a read-only copy and lets nobody new in: pair this device with the gateway `{}`, a moment later it is known here too",
            writer(running)
        ),
    )
}

/// Refuses a method that a follower cannot serve.
pub fn refuse(running: &Running, method: &str) -> Option<frame::Failure> {
    running.following()?;
    let may = READS.contains(&method) || method.starts_with("log.");
    if may {
        return None;
    }
    let details = json!({
        "code": CODE,
        "writer": writer(running),
        "epoch": running.epoch(),
    });
    Some(frame::Failure::from(refusal(running)).with(details))
}
