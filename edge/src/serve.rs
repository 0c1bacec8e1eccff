//! `moltbot serve`: starts everything in order, stops it in reverse.
//!
//! Stop: no new commands from outside, sockets closed with 1012, model turns cut short and
//! recorded, the tail shipped, exit.

use crate::boot::{self, Booted};
use crate::channels::receive;
use crate::checkpoints;
use crate::exit::{Exit, Failure};
use crate::forget;
use crate::gateway::{Gateway, Phase, Running, Stop};
use crate::home;
use crate::http::server;
use crate::limits::{
    RESTART_EXPECTED_MS, SHUTDOWN_CHECKPOINT_MS, SHUTDOWN_DELIVERIES_MS, SHUTDOWN_ORPHAN_MS,
    SHUTDOWN_RUNS_MS, SHUTDOWN_SHIP_MS, SHUTDOWN_SOCKETS_MS,
};
use crate::orphans;
use crate::outbox::{self, Outbox};
use crate::redact;
use crate::settings::Settings;
use crate::stamp;
use crate::storage;
use crate::workspace;
use crate::ws::hub::Close;
use crate::ws::methods::channels;
use crate::ws::notify;
use moltbot_core::actor::Scope;
use moltbot_store::ship_task::{self, ShipSetup};
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// For good.
    Ended,
    /// A fresh process is wanted in its place.
    Restart,
}

/// Serves until a signal, an operator or a failure ends it.
pub async fn serve(settings: Settings) -> Result<Served, Failure> {
    home::create(&settings)?;
    let token = home::token(&settings)?;
    redact::register([token.reveal()]);
    let instance = home::instance(&settings)?;
    let (listener, listen) = listen(&settings).await?;
    let settings = Settings { listen, ..settings };
    info!(url = %settings.url(), "listening");
    let gateway = Gateway::new(settings, token, instance);
    tokio::spawn(signals(Arc::clone(&gateway)));
    let server = tokio::spawn(server::serve(Arc::clone(&gateway), listener));
    let booted = tokio::select! {
        biased;
        booted = boot::boot(&gateway) => booted,
        // Nobody was served yet, so whatever a silent remote still does can be left alone.
        stop = gateway.stopped() => return ended(&stop),
    };
    let booted = match booted {
        Ok(booted) => booted,
        Err(failure) if failure.exit == Exit::Clean => return Ok(Served::Ended),
        Err(failure) => return Err(failure),
    };
    let running = Arc::clone(&booted.running);
    outbox::recover(&running).await;
    gateway.set_running(Arc::clone(&running));
    let outbox = Outbox::new(&gateway, &running);
    let outbox = tokio::spawn(outbox.run(Duration::from_millis(SHUTDOWN_DELIVERIES_MS)));
    channels::announce(&gateway, &running);
    tokio::spawn(notify::follow(Arc::clone(&gateway), Arc::clone(&running)));
    tokio::spawn(forget::delete_returned(
        Arc::clone(&gateway),
        Arc::clone(&running),
    ));
    tokio::spawn(storage::announce(
        Arc::clone(&gateway),
        Arc::clone(&running),
    ));
    match running.read_only() {
        // What platforms bring stays with them until a version comes that can record it.
        Some(why) => error!("{why}; until then everything can be read"),
        None => record(&gateway, &running),
    }
    tokio::spawn(workspace::restore_at_start(Arc::clone(&running)));
    tokio::spawn(orphans::watch(
        Arc::clone(&gateway),
        running.replica.clone(),
    ));
    storage::compact(&gateway, &running);
    tokio::spawn(warn_of_dev_mode(Arc::clone(&gateway)));
    welcome(&gateway, &running);
    let stop = gateway.stopped().await;
    shut_down(&gateway, booted, outbox, &stop).await;
    server.abort();
    ended(&stop)
}

/// What the reason to stop means to whoever started this.
pub(crate) fn ended(stop: &Stop) -> Result<Served, Failure> {
    match stop {
        Stop::Terminate => Ok(Served::Ended),
        Stop::Restart => Ok(Served::Restart),
        Stop::Failed(failure) => Err(Failure::new(failure.exit, failure.message.clone())),
    }
}

/// Starts what records something by itself.
fn record(gateway: &Arc<Gateway>, running: &Arc<Running>) {
    for (_, platform) in running.channels.iter() {
        let (gateway, running) = (Arc::clone(gateway), Arc::clone(running));
        tokio::spawn(receive::keep(gateway, running, Arc::clone(platform)));
    }
    tokio::spawn(notify::keep_house(Arc::clone(running)));
    tokio::spawn(storage::keep_snapshots(Arc::clone(running)));
    tokio::spawn(checkpoints::keep(Arc::clone(running)));
}

/// The listener, and its address with the port that the system chose for port 0.
pub(crate) async fn listen(settings: &Settings) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: std::io::Error| {
        let message = format!(
            "cannot listen on {}: {error}; stop whoever uses the port, or give --port another one",
            settings.listen
        );
        Failure::new(Exit::Configuration, message)
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

pub(crate) async fn signals(gateway: Arc<Gateway>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return warn!("signals cannot be received; the gateway ends only when it is killed");
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    gateway.request_stop(Stop::Terminate);
}

/// Says where it is, and on a terminal how the first browser gets in. The link is a secret: it goes
/// to the terminal, never to a log.
fn welcome(gateway: &Gateway, running: &Running) {
    let settings = &gateway.settings;
    info!(url = %settings.url(), home = %settings.home.display(), "ready");
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        return;
    }
    let grant = gateway.grants.issue(stamp::now());
    let model = running.model.info();
    let text = format!(
        "\n  Moltbot {} is ready. Open this link once, within ten minutes:\n\n    {}/#grant={grant}\n\n  \
         model   {} ({})\n  replica {}\n\n  Another browser: moltbot devices link · Stop: Ctrl-C\n\n",
        env!("CARGO_PKG_VERSION"),
        settings.url(),
        model.model,
        model.provider,
        running.replica.location,
    );
    // Without a terminal to read it on, the link is of no use.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

pub(crate) async fn warn_of_dev_mode(gateway: Arc<Gateway>) {
    if !gateway.settings.dev_mode {
        if gateway.settings.access.skipped_by.is_some() {
            warn!("E2E_TEST_MODE is on: whoever asks over HTTP administers this gateway");
        }
        return;
    }
    loop {
        warn!(
            "DEV_MODE is on: every device is let in and whoever asks over HTTP administers this gateway; never use it where others can reach this"
        );
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

async fn shut_down(gateway: &Gateway, booted: Booted, outbox: JoinHandle<()>, stop: &Stop) {
    gateway.phase.send_replace(Phase::Stopping);
    let running = booted.running;
    let reason = match stop {
        Stop::Restart => "restart",
        Stop::Terminate => "stop",
        Stop::Failed(_) => "failure",
    };
    let payload = json!({ "reason": reason, "restartExpectedMs": RESTART_EXPECTED_MS });
    gateway.hub.broadcast("shutdown", &payload, Scope::Read);
    let is_sound = !matches!(stop, Stop::Failed(_));
    if is_sound {
        outbox::turns::stop(&running, Duration::from_millis(SHUTDOWN_RUNS_MS)).await;
        // What is being sent ends by itself or is given up after a while; the outbox knows when.
        let _ = outbox.await;
    }
    gateway.hub.close_all(&Close::new(1012, "service restart"));
    let is_vouched = is_sound && names_key(&running).await;
    running.commands.stop().await;
    let is_fenced = matches!(stop, Stop::Failed(failure) if failure.exit == Exit::Fenced);
    if is_sound || is_fenced {
        // The writer's thread ends after its last batch.
        let joined = tokio::task::spawn_blocking(move || booted.writer.join());
        let _ = tokio::time::timeout(Duration::from_millis(SHUTDOWN_SHIP_MS), joined).await;
    }
    if is_sound {
        let is_shipped = ship_tail(&running).await;
        if is_vouched && is_shipped {
            sign(&running).await;
        }
        running.ship.stop(Duration::ZERO);
    } else if is_fenced {
        keep_tail(&booted.ship, &running).await;
    }
    let sockets_gone = async {
        while !gateway.hub.connections().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = Duration::from_millis(SHUTDOWN_SOCKETS_MS);
    // A client that does not take its close frame is cut off.
    let _ = tokio::time::timeout(patience, sockets_gone).await;
}

/// Shipping kept the tail when it was fenced; the writer may have recorded more until it learned
/// of it.
async fn keep_tail(ship: &ShipSetup, running: &Running) {
    let shipped = *running.ship.shipped().borrow();
    let patience = Duration::from_millis(SHUTDOWN_ORPHAN_MS);
    let kept = tokio::time::timeout(patience, ship_task::keep_tail(ship, shipped)).await;
    if !matches!(kept, Ok(Ok(_))) {
        warn!("the end of the unshipped tail is only on this disk");
    }
}

/// Whether the last checkpoint can be signed: the log names the key, as one of its last records if
/// need be.
async fn names_key(running: &Running) -> bool {
    let Some(checkpoints) = &running.checkpoints else {
        return false;
    };
    let named = checkpoints.name_key(running).await;
    if let Err(error) = &named {
        debug!(%error, "no checkpoint is signed");
    }
    named.is_ok()
}

/// Signs how far the log went, at the end of this process.
async fn sign(running: &Running) {
    let Some(checkpoints) = &running.checkpoints else {
        return;
    };
    let patience = Duration::from_millis(SHUTDOWN_CHECKPOINT_MS);
    let signed = tokio::time::timeout(patience, checkpoints.sign(running)).await;
    match signed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "the last checkpoint could not be stored"),
        Err(_) => warn!("the last checkpoint could not be stored in time"),
    }
}

/// Whether everything could be shipped.
async fn ship_tail(running: &Running) -> bool {
    let head = running.view.read(|model| model.state.cursor.seq);
    let patience = Duration::from_millis(SHUTDOWN_SHIP_MS);
    running.ship.ship_now();
    let shipped = tokio::time::timeout(patience, running.ship.wait_shipped(head)).await;
    let is_shipped = shipped == Ok(true);
    if is_shipped {
        info!(seq = head.0, "everything is shipped");
    } else {
        let shipped = running.shipped_seq().0;
        warn!(
            head = head.0,
            shipped, "not everything could be shipped; the rest is on this disk"
        );
    }
    is_shipped
}
