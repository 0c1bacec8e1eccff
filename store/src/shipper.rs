//! The shipper: copies the local log to the remote one, segment by segment.
//!
//! Invariant: one segment is under way at a time; its bytes are frozen when it is sealed and are
//! put again, unchanged, until they are confirmed. A segment counts as shipped only after its
//! create succeeded (or its own bytes were found) **and** the head of the next epoch was then found
//! absent. Data keys and blobs are created before the segment that names them.
//! While there is nothing to ship the same head is asked for now and then, so that an idle gateway
//! learns in bounded time that it was fenced.
//! Holds cursors and the sealed segment, never the records that wait: it asks for those.
//!
//! A synchronous step function without clock, randomness or I/O: [`Shipper::step`] takes what
//! happened and returns what is to be done. `ship_task` drives it, the simulation too.

mod messages;

pub use messages::{Action, Input, Op, Outcome};

use crate::error::{ErrorKind, StoreError};
use crate::layout;
use crate::pace::{Backoff, Budget};
use crate::segment;
use crate::settings::StoreSettings;
use crate::ship_status::{Lag, ShipState, ShipStatus, weight};
use crate::upload::Named;
use bytes::Bytes;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use object_store::path::Path;

/// A segment whose bytes will not change any more.
#[derive(Debug)]
struct Sealed {
    path: Path,
    bytes: Bytes,
    named: Named,
    to: Cursor,
    weight: u64,
}

/// What the sealed segment needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Named,
    Create,
    Compare,
    CheckHead,
}

#[derive(Debug)]
enum Stage {
    Idle,
    /// Nothing to ship; the next head is asked for all the same.
    Watching,
    Reading,
    Sealed(Sealed, Need),
    Ended,
}

/// Ships one epoch's records.
#[derive(Debug)]
pub struct Shipper {
    epoch: Epoch,
    writer: InstanceId,
    settings: StoreSettings,
    stage: Stage,
    /// The request under way, and since when.
    asked: Option<(Op, u64)>,
    next_op: Op,
    /// No request before this time.
    not_before: u64,
    /// When the head of the next epoch was last found absent.
    unfenced_at: u64,
    /// Somebody waits for this record.
    wanted: Seq,
    lag: Lag,
    budget: Budget,
    backoff: Backoff,
    status: ShipStatus,
}

impl Shipper {
    /// A shipper for the epoch that [`crate::claim::claim`] gave, which shipped up to `shipped`.
    /// The seed only shapes the jitter of retries.
    pub fn new(
        epoch: Epoch,
        writer: InstanceId,
        shipped: Cursor,
        settings: StoreSettings,
        seed: u64,
        now_ms: u64,
    ) -> Shipper {
        Shipper {
            epoch,
            writer,
            stage: Stage::Idle,
            asked: None,
            next_op: 1,
            not_before: 0,
            unfenced_at: now_ms,
            wanted: Seq::ZERO,
            lag: Lag::new(shipped),
            budget: Budget::new(&settings, now_ms),
            backoff: Backoff::new(&settings, seed),
            status: ShipStatus {
                epoch,
                shipped,
                head: shipped,
                ..ShipStatus::default()
            },
            settings,
        }
    }

    /// Takes in what happened and says what is to be done, in this order. `now_ms` never goes back.
    pub fn step(&mut self, now_ms: u64, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        if matches!(self.stage, Stage::Ended) {
            return actions;
        }
        self.budget.refill(now_ms);
        match input {
            Input::Appended { head, bytes } => {
                let shipped = self.status.shipped.seq;
                self.lag.appended(head, bytes, shipped, now_ms);
            }
            Input::ShipNow => self.wanted = self.lag.head.seq,
            Input::Tick => self.lose_patience(now_ms),
            Input::Done { op, outcome } => {
                if self.asked.is_some_and(|(asked, _)| asked == op) {
                    self.asked = None;
                    self.done(now_ms, outcome, &mut actions);
                }
            }
        }
        self.proceed(now_ms, &mut actions);
        actions
    }

    /// How far shipping is.
    pub fn status(&self) -> ShipStatus {
        let mut status = self.status.clone();
        status.head = self.lag.head;
        status.lag_events = status.head.seq.0.saturating_sub(status.shipped.seq.0);
        status.lag_bytes = self.lag.bytes();
        status.oldest_unshipped_ms = self.lag.oldest_ms();
        status.put_tokens = self.budget.tokens();
        status
    }

    /// The last record that is safe in the remote log.
    pub fn shipped(&self) -> Cursor {
        self.status.shipped
    }

    fn done(&mut self, now_ms: u64, outcome: Outcome, actions: &mut Vec<Action>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        if let Outcome::Failed(error) = outcome {
            return self.failed(now_ms, stage, error, actions);
        }
        self.backoff.reset();
        self.status.failing_since_ms = None;
        self.status.state = match stage {
            Stage::Watching => ShipState::Idle,
            _ => ShipState::Shipping,
        };
        match (stage, outcome) {
            (Stage::Watching, Outcome::Absent) => {
                self.unfenced_at = now_ms;
                self.stage = Stage::Idle;
            }
            (Stage::Reading, Outcome::Records(records)) => match self.seal(&records) {
                Ok(stage) => self.stage = stage,
                Err(error) => self.end(error, actions),
            },
            (Stage::Sealed(sealed, Need::Named), Outcome::Created) => {
                self.stage = Stage::Sealed(sealed, Need::Create);
            }
            (Stage::Sealed(sealed, Need::Create), Outcome::Created) => {
                self.stage = Stage::Sealed(sealed, Need::CheckHead);
            }
            (Stage::Sealed(sealed, Need::Create), Outcome::Exists) => {
                self.stage = Stage::Sealed(sealed, Need::Compare);
            }
            (Stage::Sealed(sealed, Need::Compare), Outcome::Found(found)) => {
                self.compare(sealed, &found, actions);
            }
            // Neither "exists" nor "absent" after a doubtful request proves anything: put the same
            // bytes again.
            (Stage::Sealed(sealed, Need::Compare), Outcome::Absent) => {
                self.not_before = now_ms + self.backoff.next_ms();
                self.stage = Stage::Sealed(sealed, Need::Create);
            }
            (Stage::Sealed(sealed, Need::CheckHead), Outcome::Absent) => {
                self.confirmed(now_ms, &sealed, actions);
            }
            (Stage::Sealed(_, Need::CheckHead) | Stage::Watching, Outcome::Found(_)) => {
                self.fenced(self.epoch.next(), actions);
            }
            (stage, outcome) => self.end(
                StoreError::Internal(format!("the shipper got {outcome:?} in {stage:?}")),
                actions,
            ),
        }
    }

    /// People are told of a remote that does not answer long before the request is given up.
    fn lose_patience(&mut self, now_ms: u64) {
        let slow_ms = self.settings.slow_request_ms;
        let Some((_, since)) = self.asked else { return };
        if now_ms.saturating_sub(since) < slow_ms || self.status.failing_since_ms.is_some() {
            return;
        }
        let waited_ms = now_ms - since;
        self.status.state = ShipState::Retrying;
        self.status.last_error = Some(format!("the remote has not answered for {waited_ms} ms"));
        self.status.last_error_ms = Some(now_ms);
        self.status.failing_since_ms = Some(since);
    }

    /// The next thing to do, when nothing is under way.
    fn proceed(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if let Some((_, since)) = self.asked {
            if self.status.failing_since_ms.is_none() {
                actions.push(Action::WakeAt(since + self.settings.slow_request_ms));
            }
            return;
        }
        let due = match &self.stage {
            Stage::Idle => Some(self.due(now_ms)),
            Stage::Watching | Stage::Reading | Stage::Sealed(..) => Some(self.not_before),
            Stage::Ended => None,
        };
        match due {
            Some(at) if at <= now_ms => self.ask(now_ms, actions),
            Some(at) => actions.push(Action::WakeAt(at)),
            None => {}
        }
    }

    /// When the next segment is to be sealed, or the next head to be asked for.
    fn due(&self, now_ms: u64) -> u64 {
        let shipped = self.status.shipped.seq;
        if self.lag.head.seq <= shipped {
            return self.unfenced_at + self.settings.head_check_ms;
        }
        if self.wanted > shipped || self.lag.bytes() >= self.settings.segment_bytes_max as u64 {
            return now_ms;
        }
        let since = self.lag.oldest_ms().unwrap_or(0);
        let brisk = (since + self.settings.linger_ms).max(self.budget.token_at());
        brisk.min(since + self.settings.linger_idle_ms)
    }

    fn ask(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let op = self.next_op;
        self.next_op += 1;
        self.asked = Some((op, now_ms));
        if self.status.failing_since_ms.is_none() {
            actions.push(Action::WakeAt(now_ms + self.settings.slow_request_ms));
        }
        if matches!(self.stage, Stage::Idle) {
            let is_all_shipped = self.lag.head.seq <= self.status.shipped.seq;
            self.stage = if is_all_shipped {
                Stage::Watching
            } else {
                Stage::Reading
            };
        }
        if matches!(self.stage, Stage::Watching) {
            let epoch = self.epoch.next();
            return actions.push(Action::CheckHead { op, epoch });
        }
        if self.status.state == ShipState::Idle {
            self.status.state = ShipState::Shipping;
        }
        let Stage::Sealed(sealed, need) = &self.stage else {
            actions.push(Action::ReadRecords {
                op,
                from: self.status.shipped.seq.next(),
                bytes_max: self.segment_bytes_max(),
            });
            return;
        };
        let path = sealed.path.clone();
        actions.push(match need {
            Need::Named => {
                let named = sealed.named.clone();
                Action::CreateNamed { op, named }
            }
            Need::Create => {
                self.budget.spend();
                let bytes = sealed.bytes.clone();
                Action::Create { op, path, bytes }
            }
            Need::Compare => Action::Get { op, path },
            Need::CheckHead => {
                let epoch = self.epoch.next();
                Action::CheckHead { op, epoch }
            }
        });
    }

    /// After an outage the way is long: larger segments take fewer turns.
    fn segment_bytes_max(&self) -> usize {
        let settings = &self.settings;
        let is_behind = self.lag.bytes() >= settings.catch_up_bytes_max as u64;
        if is_behind {
            settings.catch_up_bytes_max
        } else {
            settings.segment_bytes_max
        }
    }

    fn seal(&self, records: &[Record]) -> Result<Stage, StoreError> {
        let shipped = self.status.shipped;
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            let missing = shipped.seq.next();
            return Err(StoreError::Internal(format!(
                "record #{missing} was appended but cannot be read"
            )));
        };
        if first.seq != shipped.seq.next() || first.prev_hash != shipped.hash {
            return Err(StoreError::Corrupt {
                place: "the local log".to_owned(),
                reason: format!("record #{} does not follow {shipped}", first.seq),
            });
        }
        let named = Named::by(records);
        let need = if named.is_empty() {
            Need::Create
        } else {
            Need::Named
        };
        let sealed = Sealed {
            path: layout::segment(first.seq),
            bytes: segment::encode(self.epoch, &self.writer, records)?,
            named,
            to: last.cursor(),
            weight: weight(records),
        };
        Ok(Stage::Sealed(sealed, need))
    }

    /// Something stands where the segment should go.
    fn compare(&mut self, sealed: Sealed, found: &Bytes, actions: &mut Vec<Action>) {
        if *found == sealed.bytes {
            self.stage = Stage::Sealed(sealed, Need::CheckHead);
            return;
        }
        match segment::decode_header(sealed.path.as_ref(), found) {
            Ok(header) if header.epoch > self.epoch => self.fenced(header.epoch, actions),
            Ok(header) => {
                let error = StoreError::Corrupt {
                    place: format!("`{}`", sealed.path),
                    reason: format!(
                        "`{}` wrote it in epoch {} where `{}` writes in epoch {}",
                        header.writer, header.epoch, self.writer, self.epoch
                    ),
                };
                self.end(error, actions);
            }
            Err(error) => self.end(error, actions),
        }
    }

    fn confirmed(&mut self, now_ms: u64, sealed: &Sealed, actions: &mut Vec<Action>) {
        self.stage = Stage::Idle;
        self.unfenced_at = now_ms;
        self.lag.shipped(sealed.to, sealed.weight);
        self.status.shipped = sealed.to;
        self.status.state = ShipState::Idle;
        self.status.last_success_ms = Some(now_ms);
        self.status.segments += 1;
        self.status.bytes += sealed.bytes.len() as u64;
        actions.push(Action::Shipped(sealed.to));
    }

    fn failed(&mut self, now_ms: u64, stage: Stage, error: StoreError, actions: &mut Vec<Action>) {
        if error.kind() != ErrorKind::Transient {
            return self.end(error, actions);
        }
        self.stage = stage;
        self.not_before = now_ms + self.backoff.next_ms();
        self.status.state = ShipState::Retrying;
        self.status.retries += 1;
        self.status.last_error = Some(error.to_string());
        self.status.last_error_ms = Some(now_ms);
        self.status.failing_since_ms.get_or_insert(now_ms);
    }

    fn fenced(&mut self, by: Epoch, actions: &mut Vec<Action>) {
        self.stage = Stage::Ended;
        self.status.state = ShipState::Fenced;
        actions.push(Action::Fenced(by));
    }

    fn end(&mut self, error: StoreError, actions: &mut Vec<Action>) {
        self.stage = Stage::Ended;
        self.status.state = ShipState::Failed;
        self.status.last_error = Some(error.to_string());
        actions.push(Action::Failed(error));
    }
}
