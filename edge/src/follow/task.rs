//! Following the remote log, segment by segment.
//!
//! One request asks for the next segment. As long as some arrive the next request follows at once;
//! then the pause doubles, to a bound. Now and then, and whenever something is odd, the remote log
//! is looked at as a whole: what was missed may have been merged into other objects.
//!
//! Invariant: a record is shown after it is in the copy, with its keys, in order. A failed request
//! changes nothing but how old the copy is said to be.

use super::Following;
use super::copy::Copy;
use crate::forget;
use crate::gateway::{Gateway, Running, Stop};
use crate::limits::{
    FOLLOW_POLL_MS, FOLLOW_RETRY_MS, FOLLOW_SILENCE_MS_MAX, FOLLOW_SURVEY_INTERVAL_MS,
    SUBSCRIPTION_READ_BYTES,
};
use crate::stamp;
use moltbot_core::event::Event;
use moltbot_core::ids::{Epoch, KeyId};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::follow::{self, Next, Standing};
use moltbot_store::log::EventLog;
use moltbot_store::restore::Survey;
use moltbot_store::ship_status::{ShipState, ShipStatus};
use moltbot_store::ship_task::ShipFeed;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::block_in_place;
use tracing::{info, warn};

/// Follows until the gateway stops.
pub(super) struct Task {
    gateway: Arc<Gateway>,
    pub(super) running: Arc<Running>,
    copy: Copy,
    feed: ShipFeed,
    /// What everyone is told of it.
    told: ShipStatus,
    /// The newest generation that is known.
    epoch: Epoch,
    /// What the remote log holds, as of the last look at all of it.
    survey: Option<Survey>,
    surveyed_at: Timestamp,
}

/// What one look at the remote log gave.
enum Found {
    /// Something new.
    Records,
    /// The copy is all of it.
    Nothing,
    /// This process cannot go on with the copy.
    Unlike(Stop),
}

impl Task {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        running: Arc<Running>,
        copy: Copy,
        feed: ShipFeed,
        survey: Option<Survey>,
    ) -> Task {
        let told = running.ship.status().borrow().clone();
        let epoch = survey.as_ref().map_or(told.epoch, Survey::epoch);
        Task {
            gateway,
            running,
            copy,
            feed,
            told,
            epoch,
            survey,
            surveyed_at: stamp::now(),
        }
    }

    /// Follows until the gateway stops.
    pub(super) async fn run(mut self) {
        let gateway = Arc::clone(&self.gateway);
        let stopped = gateway.stopped();
        tokio::pin!(stopped);
        let (quick_ms, slow_ms) = FOLLOW_POLL_MS;
        let (mut poll_ms, mut retry_ms) = (quick_ms, FOLLOW_RETRY_MS.0);
        loop {
            let step = tokio::select! {
                step = self.step() => step,
                _ = &mut stopped => return,
            };
            let wait_ms = match step {
                Ok(Found::Records) => {
                    poll_ms = quick_ms;
                    0
                }
                Ok(Found::Nothing) => {
                    let wait_ms = poll_ms;
                    poll_ms = (poll_ms * 2).min(slow_ms);
                    wait_ms
                }
                Ok(Found::Unlike(reason)) => return self.gateway.request_stop(reason),
                Err(error) if error.kind() == ErrorKind::Transient => {
                    self.note_failure(&error, retry_ms);
                    let wait_ms = retry_ms;
                    retry_ms = (retry_ms * 2).min(FOLLOW_RETRY_MS.1);
                    wait_ms
                }
                Err(error) => {
                    let failure = self.copy.explain(&error, &self.gateway);
                    return self.gateway.request_stop(Stop::Failed(Arc::new(failure)));
                }
            };
            if self.told.failing_since_ms.is_none() {
                retry_ms = FOLLOW_RETRY_MS.0;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                _ = &mut stopped => return,
            }
        }
    }

    /// One look at the remote log; whatever it gives is shown when this returns.
    async fn step(&mut self) -> Result<Found, StoreError> {
        // What an earlier step could not show, for want of a key.
        self.show().await?;
        let asked_at = stamp::now();
        let found = if self.is_survey_due(asked_at) {
            self.look_at_all().await?
        } else {
            self.look_for_next().await?
        };
        if !matches!(found, Found::Unlike(_)) {
            self.show().await?;
            self.note_answer(asked_at, matches!(found, Found::Nothing));
        }
        Ok(found)
    }

    fn is_survey_due(&self, now: Timestamp) -> bool {
        let following = self.running.following().map(Following::progress);
        let silence_ms = following.and_then(|progress| progress.contact_age_ms(now));
        silence_ms.is_none_or(|ms| ms > FOLLOW_SILENCE_MS_MAX)
            || now.since_ms(self.surveyed_at) > FOLLOW_SURVEY_INTERVAL_MS
    }

    async fn look_for_next(&mut self) -> Result<Found, StoreError> {
        let Some(survey) = &mut self.survey else {
            return self.look_at_all().await;
        };
        let (replica, head) = (&self.copy.replica, self.copy.log.head());
        match follow::next(replica, head, &mut survey.catalog).await? {
            Next::Segment(segment) => {
                self.epoch = self.epoch.max(segment.header.epoch);
                self.told.segments += 1;
                block_in_place(|| self.copy.log.append(&segment.records))?;
                Ok(Found::Records)
            }
            Next::Nothing => Ok(Found::Nothing),
            Next::Doubtful => self.look_at_all().await,
        }
    }

    async fn look_at_all(&mut self) -> Result<Found, StoreError> {
        let survey = self.copy.survey(None).await?;
        self.surveyed_at = stamp::now();
        self.epoch = self.epoch.max(survey.epoch());
        if let Some(following) = self.running.following() {
            following.note(|progress| progress.remote = survey.tail.cursor.seq);
        }
        let found = match follow::standing(&self.copy.log, &survey)? {
            Standing::Current => Found::Nothing,
            Standing::Behind => {
                self.copy.catch_up(&survey, &mut |_, _| {}).await?;
                Found::Records
            }
            // While this was surveyed the log may have grown; a second look tells.
            Standing::Ahead(_) | Standing::Parted => {
                let again = self.copy.survey(None).await?;
                let standing = follow::standing(&self.copy.log, &again)?;
                let unlike = self.unlike(standing, &again);
                unlike.map_or(Found::Records, Found::Unlike)
            }
        };
        self.survey = Some(survey);
        Ok(found)
    }

    /// Shows what is in the copy and not shown yet.
    async fn show(&mut self) -> Result<(), StoreError> {
        let reader = self.copy.log.reader();
        loop {
            let shown = self.running.view.head().borrow().seq;
            let records = block_in_place(|| reader.read(shown.next(), SUBSCRIPTION_READ_BYTES))?;
            if records.is_empty() {
                return Ok(());
            }
            let (replica, keyring) = (&self.copy.replica, &self.copy.keyring);
            follow::keep_keys(replica, keyring, &records).await?;
            let events = events(&records)?;
            self.running.view.apply(&records, &events);
            forget::follow(&self.running.reader, &records);
            block_in_place(|| keyring.remove(&forgotten(&events)))?;
            // Before anybody hears of the records: all of them are shipped.
            self.tell();
            self.running.view.announce();
        }
    }

    fn note_answer(&mut self, asked_at: Timestamp, is_current: bool) {
        let head = self.copy.log.head();
        if let Some(following) = self.running.following() {
            following.note(|progress| {
                progress.contact_at = Some(stamp::now());
                progress.remote = progress.remote.max(head.seq);
                if is_current {
                    progress.remote = head.seq;
                    progress.current_at = asked_at;
                }
            });
        }
        if self.told.failing_since_ms.take().is_some() {
            info!(head = head.seq.0, "the remote log answers again");
        }
        self.told.state = ShipState::Idle;
        self.told.last_success_ms = Some(now_ms());
        self.tell();
    }

    fn note_failure(&mut self, error: &StoreError, wait_ms: u64) {
        if self.told.failing_since_ms.is_none() {
            warn!(%error, wait_ms, "the remote log cannot be followed; what is here is served on");
        }
        self.told.state = ShipState::Retrying;
        self.told.retries += 1;
        self.told.last_error = Some(error.to_string());
        self.told.last_error_ms = Some(now_ms());
        self.told.failing_since_ms.get_or_insert_with(now_ms);
        self.tell();
    }

    fn tell(&mut self) {
        let cursor = self.running.view.read(|model| model.state.cursor);
        self.told.epoch = self.epoch;
        self.told.shipped = cursor;
        self.told.head = cursor;
        self.feed.publish(self.told.clone());
    }

    /// Why this process cannot go on with the copy, if so. A copy that is ahead is cut back by the
    /// next one.
    fn unlike(&self, standing: Standing, survey: &Survey) -> Option<Stop> {
        match standing {
            Standing::Current | Standing::Behind => None,
            Standing::Ahead(end) => {
                warn!(
                    end = end.seq.0,
                    "the remote log ends before this copy does; starting anew"
                );
                Some(Stop::Restart)
            }
            Standing::Parted => {
                let error = follow::parted(self.copy.log.head(), survey.tail.cursor);
                let failure = self.copy.explain(&error, &self.gateway);
                Some(Stop::Failed(Arc::new(failure)))
            }
        }
    }
}

fn events(records: &[Record]) -> Result<Vec<Event>, StoreError> {
    let event = |record: &Record| {
        record.event().map_err(|error| StoreError::Codec {
            place: format!("record #{}", record.seq),
            error,
        })
    };
    records.iter().map(event).collect()
}

fn now_ms() -> u64 {
    u64::try_from(stamp::now().0).unwrap_or(0)
}

/// The keys of what was forgotten: the record that says so is in the remote log, so they go at once.
fn forgotten(events: &[Event]) -> Vec<KeyId> {
    let keys = events.iter().filter_map(|event| match event {
        Event::ContentForgotten(event) => Some(&event.keys),
        _ => None,
    });
    keys.flatten().cloned().collect()
}
