//! What all parts of a running gateway share.
//!
//! Invariant: the listener is up before the log is; until [`Gateway::running`] is there, every
//! request is answered with how far the start is.

use crate::ack::AckLevel;
use crate::auth::access::Verifier;
use crate::auth::access::principals::Principals;
use crate::auth::grant::Grants;
use crate::auth::limiter::Limiter;
use crate::auth::token::Secret;
use crate::channels::Channels;
use crate::checkpoints::Checkpoints;
use crate::exit::Failure;
use crate::follow::{self, Following};
use crate::metrics::Metrics;
use crate::orphans::Orphans;
use crate::reader::Reader;
use crate::runs::LiveRuns;
use crate::self_test::SelfTests;
use crate::settings::Settings;
use crate::stamp;
use crate::storage::Backups;
use crate::view::{Model as ReadModel, View};
use crate::workspace::Files;
use crate::writer::{Accepted, Commands, Intent, Refused};
use crate::ws::hub::Hub;
use moltbot_agent::Model;
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::time::Timestamp;
use moltbot_store::replica::Replica;
use moltbot_store::ship_task::ShipHandle;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tracing::info;

/// How far the start is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// The local log is being opened and verified.
    Opening,
    /// A follower asks the remote log for what it does not have.
    Connecting {
        /// Why it takes long, if it does.
        message: Option<String>,
    },
    /// The remote log is being claimed.
    Claiming {
        /// Why it takes long, if it does.
        message: Option<String>,
    },
    /// Records are copied from the remote log.
    Restoring {
        /// Records so far.
        done: u64,
        /// Records in all.
        total: u64,
    },
    /// The state is being rebuilt.
    Replaying {
        /// Records so far.
        done: u64,
        /// Records in all.
        total: u64,
    },
    /// Ready.
    Running,
    /// Shutting down.
    Stopping,
}

/// Why the gateway ends.
#[derive(Debug, Clone)]
pub enum Stop {
    /// A signal asked for it.
    Terminate,
    /// An operator asked for a fresh process.
    Restart,
    /// It cannot go on.
    Failed(Arc<Failure>),
}

/// The gateway.
pub struct Gateway {
    /// What it was told from outside.
    pub settings: Settings,
    /// The gateway token.
    pub token: Secret,
    /// This installation.
    pub instance: InstanceId,
    /// This process, for clients that want to know whether it is still the same.
    pub boot_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Checks tokens of Cloudflare Access, when it is configured.
    pub access: Option<Verifier>,
    /// Gives names to those whom Access vouches for.
    pub principals: Principals,
    /// One-time links and tickets.
    pub grants: Grants,
    /// Who was wrong how often.
    pub limiter: Limiter,
    /// All authenticated sockets.
    pub hub: Arc<Hub>,
    /// How far the start is.
    pub phase: watch::Sender<Phase>,
    /// Set once it is to end; the first reason wins.
    pub stop: watch::Sender<Option<Stop>>,
    /// What the self-tests of the remote log found.
    pub self_tests: SelfTests,
    /// How many tails lie under `orphan/`.
    pub orphans: Orphans,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    running: OnceLock<Arc<Running>>,
}

/// What exists once the log is open and claimed.
pub struct Running {
    /// Projections.
    pub view: Arc<View>,
    /// The way to the writer.
    pub commands: Commands,
    /// Reads records and opens content.
    pub reader: Arc<Reader>,
    /// The way to the remote log.
    pub ship: ShipHandle,
    /// The remote log.
    pub replica: Replica,
    /// The record with which this process began to write; of a follower, the last it had at its start.
    pub claimed: Seq,
    /// Model turns under way.
    pub live: LiveRuns,
    /// Who answers.
    pub model: Arc<dyn Model>,
    /// Backups under way.
    pub backups: Backups,
    /// Signs what was shipped, unless nobody wants that.
    pub checkpoints: Option<Checkpoints>,
    /// Chat platforms.
    pub channels: Channels,
    /// The assistant's workspace.
    pub files: Files,
    /// Whether this process writes the log or follows it.
    pub role: Role,
    /// When answers are given, if the deployment has its own mind about it.
    pub ack: Option<AckLevel>,
}

/// What a gateway is to its log.
pub enum Role {
    /// The one that writes.
    Writer,
    /// A read-only copy.
    Follower(Following),
}

impl Gateway {
    /// A gateway that has not opened its log yet.
    pub fn new(settings: Settings, token: Secret, instance: InstanceId) -> Arc<Gateway> {
        Arc::new(Gateway {
            access: settings.access.team.clone().map(Verifier::new),
            principals: Principals::default(),
            settings,
            token,
            instance,
            boot_id: stamp::id(),
            started_at: stamp::now(),
            grants: Grants::default(),
            limiter: Limiter::default(),
            hub: Arc::new(Hub::default()),
            phase: watch::Sender::new(Phase::Opening),
            stop: watch::Sender::new(None),
            self_tests: SelfTests::default(),
            orphans: Orphans::default(),
            metrics: Arc::new(Metrics::new()),
            running: OnceLock::new(),
        })
    }

    /// The running parts, once they are there.
    pub fn running(&self) -> Option<&Arc<Running>> {
        self.running.get()
    }

    /// The log is open and claimed.
    pub fn set_running(&self, running: Arc<Running>) {
        if self.running.set(running).is_ok() {
            self.phase.send_replace(Phase::Running);
        }
    }

    /// Asks the gateway to end.
    pub fn request_stop(&self, stop: Stop) {
        self.stop.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(stop);
            }
            first
        });
    }

    /// Counts wrong credentials of an address; now and then the count becomes an event.
    pub fn count_refusal(&self, address: IpAddr, reason: &'static str) {
        self.metrics.refused(reason);
        let Some(report) = self.limiter.failed(address, stamp::now()) else {
            return;
        };
        let Some(running) = self.running().cloned() else {
            return;
        };
        let action = Action::RecordRefusals {
            prefix: report.prefix,
            count: report.count,
            reason: reason.to_owned(),
        };
        tokio::spawn(async move {
            // Not worth a person's attention beyond the log line the writer's end leaves anyway.
            let _ = running.submit(Intent::new(Actor::System, action)).await;
        });
    }

    /// Waits until the gateway is to end.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        let wanted = stop.wait_for(Option::is_some).await;
        wanted
            .ok()
            .and_then(|stop| stop.clone())
            .unwrap_or(Stop::Terminate)
    }
}

impl Running {
    /// Submits a command and waits until its records are durable on this disk. A follower refuses
    /// all of them.
    pub async fn submit(&self, intent: Intent) -> Result<Accepted, Refused> {
        if self.following().is_some() {
            return Err(Refused::Rejected(follow::refusal(self)));
        }
        // What somebody asked for is found by its request, which the span around this names.
        let asked = intent.actor != Actor::System;
        let accepted = self.commands.submit(intent).await?;
        if let Some((first, _)) = accepted.events.first().filter(|_| asked) {
            info!(first_seq = first.0, last_seq = accepted.seq.0, "recorded");
        }
        Ok(accepted)
    }

    /// Ships at once and waits until this record is in the remote log, at most for a while.
    pub async fn replicated(&self, seq: Seq, wait_ms: u64) -> bool {
        self.ship.ship_now();
        let shipped = self.ship.wait_shipped(seq);
        tokio::time::timeout(Duration::from_millis(wait_ms), shipped)
            .await
            .unwrap_or(false)
    }

    /// How following goes, if this is a follower.
    pub fn following(&self) -> Option<&Following> {
        match &self.role {
            Role::Writer => None,
            Role::Follower(following) => Some(following),
        }
    }

    /// The generation in which the log is written: by this process, or by the one that is followed.
    pub fn epoch(&self) -> Epoch {
        self.ship.status().borrow().epoch
    }

    /// Why nothing can be recorded, in a sentence, if that is so: the log holds something that this
    /// version does not know and must not ignore. Such a record comes from a newer version before this
    /// process began, so the answer never changes.
    pub fn read_only(&self) -> Option<String> {
        let unknown = |model: &ReadModel| model.state.unknown_critical;
        self.view.read(unknown).map(|unknown| unknown.to_string())
    }

    /// The last record that is safe in the remote log.
    pub fn shipped_seq(&self) -> Seq {
        self.ship.shipped().borrow().seq
    }
}
