//! Whether the remote log does what it must, found out beside the start and on demand.
//!
//! Invariant: a start never waits for it. While the gateway cannot claim its log, what was found
//! here is the cause that people read. A store that would let two gateways overwrite each other
//! ends the process: nothing that is recorded there would be safe.

use crate::exit::{Exit, Failure};
use crate::gateway::{Gateway, Phase, Stop};
use crate::limits::{SELF_TEST_MS_MAX, SELF_TEST_RETRY_MS, SELF_TEST_RETRY_STARTING_MS};
use crate::stamp;
use moltbot_core::time::Timestamp;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::self_test::{self, Finding};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// What one self-test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When.
    pub at: Timestamp,
    /// What is wrong, if anything is.
    pub finding: Option<Finding>,
}

/// The remote log, once it is known, and what its last self-test found.
#[derive(Default)]
pub struct SelfTests {
    last: watch::Sender<Option<Report>>,
    remote: watch::Sender<Option<(String, ReplicaKind)>>,
}

impl SelfTests {
    /// The last report as clients see it; null before the first one, and for directories.
    pub fn json(&self) -> Value {
        match &*self.last.borrow() {
            None => Value::Null,
            Some(Report { at, finding: None }) => json!({ "ok": true, "at": at.0 }),
            Some(Report {
                at,
                finding: Some(found),
            }) => json!({
                "ok": false,
                "at": at.0,
                "step": found.step.name(),
                "code": found.diagnosis.fault.code(),
                "message": found.diagnosis.message,
            }),
        }
    }

    /// What is wrong, in a sentence; `None` when nothing is or nothing is known.
    pub fn problem(&self) -> Option<String> {
        let last = self.last.borrow();
        let found = last.as_ref()?.finding.as_ref()?;
        Some(found.diagnosis.message.clone())
    }

    /// Follows the reports.
    pub fn reports(&self) -> watch::Receiver<Option<Report>> {
        self.last.subscribe()
    }

    /// Where the remote log is, and what it is; `None` before it was opened.
    pub fn remote(&self) -> Option<(String, ReplicaKind)> {
        self.remote.borrow().clone()
    }
}

/// Tests at the start, and again while something is wrong.
pub async fn watch(gateway: Arc<Gateway>, replica: Replica) {
    let known = (replica.location.clone(), replica.kind);
    gateway.self_tests.remote.send_replace(Some(known));
    if !replica.kind.is_remote() {
        return;
    }
    while run(&gateway, &replica).await.is_err() {
        let mut phase = gateway.phase.subscribe();
        let was_running = *phase.borrow() == Phase::Running;
        let wait_ms = if was_running {
            SELF_TEST_RETRY_MS
        } else {
            SELF_TEST_RETRY_STARTING_MS
        };
        let claimed = async {
            let claimed = phase.wait_for(|phase| !was_running && *phase == Phase::Running);
            claimed.await.is_ok()
        };
        tokio::select! {
            // What was wrong at the start is right now.
            claimed = claimed => if !claimed { return },
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            _ = gateway.stopped() => return,
        }
    }
}

/// Tests once. The error is the sentence for a person.
pub async fn run(gateway: &Gateway, replica: &Replica) -> Result<(), String> {
    let limit = Duration::from_millis(SELF_TEST_MS_MAX);
    let started = stamp::now();
    let outcome = self_test::run(replica, &stamp::id(), limit).await;
    let at = stamp::now();
    let finding = outcome.err();
    let report = Report {
        at,
        finding: finding.clone(),
    };
    gateway.self_tests.last.send_replace(Some(report));
    let Some(Finding { step, diagnosis }) = finding else {
        info!(
            duration_ms = at.since_ms(started),
            "the remote log passed its self-test"
        );
        return Ok(());
    };
    let (code, step) = (diagnosis.fault.code(), step.name());
    warn!(
        code,
        step, "the remote log failed its self-test: {diagnosis}"
    );
    if diagnosis.fault.is_unsafe() {
        let failure = Failure::new(Exit::Configuration, diagnosis.message.clone());
        gateway.request_stop(Stop::Failed(Arc::new(failure)));
    }
    gateway.phase.send_if_modified(|phase| match phase {
        Phase::Claiming { message } => {
            *message = Some(format!("{diagnosis}; trying again"));
            true
        }
        _ => false,
    });
    Err(diagnosis.message)
}
