//! How far a copy is, for people, programs and metrics.
//!
//! Invariant: what is unknown is never shown as good: the age of a copy counts from the last moment
//! at which it was known to be all of the remote log.

use super::writer;
use crate::gateway::Running;
use moltbot_core::ids::Seq;
use moltbot_core::time::Timestamp;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How following goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The end of the remote log, so far as it is known.
    pub remote: Seq,
    /// When the remote log last answered; `None`: not to this process.
    pub contact_at: Option<Timestamp>,
    /// When the copy was last known to be all of the remote log; before that was ever found out,
    /// when its last record was written.
    pub current_at: Timestamp,
}

/// The progress, shared.
#[derive(Debug, Default)]
pub struct Following {
    progress: Mutex<Progress>,
}

impl Following {
    /// Begins with a copy whose last record was written then.
    pub fn new(written_at: Timestamp) -> Following {
        Following {
            progress: Mutex::new(Progress {
                current_at: written_at,
                ..Progress::default()
            }),
        }
    }

    /// How following goes.
    pub fn progress(&self) -> Progress {
        *self.lock()
    }

    /// Notes something about it.
    pub fn note(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Records that are known to be in the remote log and are not here.
    pub fn lag_events(&self, head: Seq) -> u64 {
        self.remote.0.saturating_sub(head.0)
    }

    /// By how much the copy may be behind, at most.
    pub fn lag_ms(&self, now: Timestamp) -> i64 {
        now.since_ms(self.current_at).max(0)
    }

    /// Age of the last answer.
    pub fn contact_age_ms(&self, now: Timestamp) -> Option<i64> {
        self.contact_at.map(|at| now.since_ms(at).max(0))
    }
}

/// The part that `/status`, `hello-ok` and the storage status have in common; `None` for a writer.
pub fn json(running: &Running, now: Timestamp) -> Option<Value> {
    let progress = running.following()?.progress();
    let head = running.view.read(|model| model.state.cursor.seq);
    Some(json!({
        "writer": writer(running),
        "lagEvents": progress.lag_events(head),
        "lagMs": progress.lag_ms(now),
        "lastContactAt": progress.contact_at.map(|at| at.0),
        "lastContactAgeMs": progress.contact_age_ms(now),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_hears_nothing_grows_old_from_the_moment_it_was_last_whole() {
        let following = Following::new(Timestamp(1_000));
        let fresh = following.progress();
        assert_eq!(
            (fresh.lag_ms(Timestamp(5_000)), fresh.lag_events(Seq(3))),
            (4_000, 0)
        );
        assert_eq!(fresh.contact_age_ms(Timestamp(5_000)), None);
        following.note(|progress| {
            progress.remote = Seq(9);
            progress.contact_at = Some(Timestamp(4_000));
        });
        let behind = following.progress();
        assert_eq!(behind.lag_events(Seq(3)), 6);
        assert_eq!(
            behind.lag_ms(Timestamp(5_000)),
            4_000,
            "an answer alone makes nothing newer"
        );
        assert_eq!(behind.contact_age_ms(Timestamp(5_000)), Some(1_000));
        assert_eq!(
            behind.lag_ms(Timestamp(500)),
            0,
            "a clock that was set back"
        );
    }
}
