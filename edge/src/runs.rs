//! Model turns under way: their text so far, for clients that come late, and their stop button.
//!
//! Invariant: deltas are not events; this is memory only, and nothing here is needed after a crash.

use moltbot_agent::CancelHandle;
use moltbot_core::ids::RunId;
use moltbot_core::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A run under way.
pub struct Live {
    /// Canonical key of its session.
    pub session_key: String,
    /// What was said so far.
    pub text: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Number of the last `agent` event of the run.
    pub agent_seq: u64,
    /// Why it is being stopped, once someone asked.
    pub stop: Option<&'static str>,
    cancel: CancelHandle,
}

impl Live {
    /// A run that begins now.
    pub fn new(session_key: String, started_at: Timestamp, cancel: CancelHandle) -> Live {
        Live {
            session_key,
            text: String::new(),
            started_at,
            agent_seq: 0,
            stop: None,
            cancel,
        }
    }
}

/// All runs under way.
#[derive(Default)]
pub struct LiveRuns {
    live: Mutex<BTreeMap<RunId, Live>>,
    /// The session key in the words of the connection that sent the message.
    asked: Mutex<BTreeMap<RunId, (u64, String)>>,
}

impl LiveRuns {
    /// Adds a run; false when it is under way already.
    pub fn begin(&self, run: &RunId, live: Live) -> bool {
        let mut all = self.lock();
        if all.contains_key(run) {
            return false;
        }
        all.insert(run.clone(), live);
        true
    }

    /// Removes a run that ended; returns why it was stopped, if it was.
    pub fn end(&self, run: &RunId) -> Option<&'static str> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(run);
        self.lock().remove(run).and_then(|live| live.stop)
    }

    /// Reads or changes a run under way.
    pub fn with<T>(&self, run: &RunId, f: impl FnOnce(&mut Live) -> T) -> Option<T> {
        self.lock().get_mut(run).map(f)
    }

    /// The run of a session that is under way.
    pub fn of_session<T>(&self, key: &str, f: impl FnOnce(&RunId, &Live) -> T) -> Option<T> {
        self.lock()
            .iter()
            .find(|(_, live)| live.session_key == key)
            .map(|(run, live)| f(run, live))
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Asks a run to stop; false when it is not under way.
    pub fn stop(&self, run: &RunId, reason: &'static str) -> bool {
        self.with(run, |live| {
            live.stop.get_or_insert(reason);
            live.cancel.cancel();
        })
        .is_some()
    }

    /// Asks all runs to stop.
    pub fn stop_all(&self, reason: &'static str) {
        let runs: Vec<RunId> = self.lock().keys().cloned().collect();
        for run in runs {
            self.stop(&run, reason);
        }
    }

    /// Remembers how the sender of a message calls its session.
    pub fn asked(&self, run: &RunId, connection: u64, key: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(run.clone(), (connection, key.to_owned()));
    }

    /// Forgets that: the message was not accepted, or its run never began.
    pub fn not_asked(&self, run: &RunId) {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(run);
    }

    /// The connection that sent the message of a run, and what it calls the session.
    pub fn asker(&self, run: &RunId) -> Option<(u64, String)> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(run)
            .cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
