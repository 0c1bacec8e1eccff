//! Claiming the remote log: how a gateway becomes its one writer.
//!
//! Invariant: after `Ok` the local log equals the remote one from its base on, its last records are
//! this gateway's `writer_started` and nothing else, and every gateway with a lower epoch is refused by the
//! object store. Records that were acknowledged here before are then in the remote log, or under
//! `orphan/` when another writer had gone on without them.
//! One call is one attempt; after an error it can be called again, each time with a newer epoch.

use crate::anchor::{Anchors, Usable};
use crate::catalog::Catalog;
use crate::error::{ErrorKind, StoreError};
use crate::head::{self, Head};
use crate::keys::Keyring;
use crate::layout;
use crate::log::EventLog;
use crate::replica::{Created, Replica};
use crate::restore::{self, Progress, Survey};
use crate::segment;
use crate::settings::{CLAIM_ROUNDS_MAX, StoreSettings};
use crate::upload::{self, Named, OrphanReport};
use bytes::Bytes;
use futures_util::future::try_join;
use moltbot_core::actor::Actor;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::event::{Event, WriterStarted};
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use tracing::warn;

/// Who claims the log, and how.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The gateway.
    pub instance: InstanceId,
    /// Whether to take the log from another gateway.
    pub takeover: bool,
    /// Now.
    pub at: Timestamp,
    /// Name and version of the software, recorded in `writer_started`.
    pub software: String,
    /// Random, drawn once per process: two processes of the same gateway that claim in the same
    /// millisecond must not take one another's claim for their own.
    pub nonce: String,
}

/// The log is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The epoch to write in.
    pub epoch: Epoch,
    /// The last record, in the local log and in the remote one.
    pub head: Cursor,
    /// What the local log had and the remote log did not take.
    pub orphan: Option<OrphanReport>,
    /// Records that were copied from the remote log.
    pub restored: u64,
    /// The record that the newest snapshot which counts contains last, if there is one: the local
    /// log holds everything after it. `usable` was last asked about this snapshot.
    pub anchor: Option<Cursor>,
}

/// Claims the log: takes the next epoch, brings the local log to the end of the remote one, ships
/// what is only here, and returns when `writer_started` has landed.
///
/// An empty local log, and one that is far behind, begins at the newest snapshot that is `usable`
/// and for which the log vouches; what comes before is not read. Without one all is copied.
///
/// `Owned`: another gateway has it and no takeover was asked for. `Fenced`: another gateway took
/// it over meanwhile. Transient errors: try again after a while.
pub async fn claim(
    replica: &Replica,
    log: &mut dyn EventLog,
    keyring: &Keyring,
    request: &ClaimRequest,
    settings: &StoreSettings,
    usable: &mut Usable<'_>,
    progress: &mut Progress<'_>,
) -> Result<Claimed, StoreError> {
    let mut anchors = Anchors::list(replica).await?;
    // Whoever begins at a snapshot does not even list what comes before.
    let from = match anchors.newest_listed() {
        Some(seq) if log.head() == Cursor::START => seq,
        _ => Seq::ZERO,
    };
    let surveyed = restore::survey_from(replica, from);
    let (mut survey, ()) = try_join(surveyed, anchors.advance(replica, usable)).await?;
    if survey.tail.cursor.seq < from {
        // Someone left a snapshot of another log here.
        survey = restore::survey(replica).await?;
    }
    let epoch = claim_epoch(replica, request, &mut survey).await?;
    // What an older writer ships from here on, it ships into a slot that this claim finds taken.
    survey.advance(replica).await?;
    let mut claim = Claim {
        replica,
        log,
        keyring,
        request,
        settings,
        epoch,
        started: None,
        orphan: None,
        restored: 0,
        anchors,
        usable,
        progress,
    };
    match claim.run(survey).await {
        Err(StoreError::Fenced { by }) => {
            claim.keep_tail().await;
            Err(StoreError::Fenced { by })
        }
        other => other,
    }
}

/// Takes the next epoch by creating its head.
async fn claim_epoch(
    replica: &Replica,
    request: &ClaimRequest,
    survey: &mut Survey,
) -> Result<Epoch, StoreError> {
    for _ in 0..CLAIM_ROUNDS_MAX {
        if let Some((epoch, head)) = &survey.head
            && head.owner != request.instance
            && !request.takeover
        {
            return Err(StoreError::Owned {
                owner: head.owner.clone(),
                epoch: *epoch,
            });
        }
        let epoch = survey.epoch().next();
        let head = Head {
            owner: request.instance.clone(),
            at: request.at,
            from_seq: survey.tail.cursor.seq.next(),
            nonce: request.nonce.clone(),
        };
        let created = head::create(replica, epoch, &head).await?;
        // The same bytes: an earlier request of this very claim landed although it seemed to fail.
        if created == Created::New || head::read(replica, epoch).await?.as_ref() == Some(&head) {
            // Whoever reads on must not take our own claim for somebody else's.
            survey.head = Some((epoch, head));
            return Ok(epoch);
        }
        survey.head = head::newest(replica, Some(survey.epoch())).await?;
    }
    Err(busy(layout::HEADS))
}

struct Claim<'a, 'u, 'p> {
    replica: &'a Replica,
    log: &'a mut dyn EventLog,
    keyring: &'a Keyring,
    request: &'a ClaimRequest,
    settings: &'a StoreSettings,
    epoch: Epoch,
    /// This claim's `writer_started` in the local log.
    started: Option<Cursor>,
    orphan: Option<OrphanReport>,
    restored: u64,
    anchors: Anchors,
    usable: &'a mut Usable<'u>,
    progress: &'a mut Progress<'p>,
}

impl Claim<'_, '_, '_> {
    async fn run(&mut self, mut survey: Survey) -> Result<Claimed, StoreError> {
        for _ in 0..CLAIM_ROUNDS_MAX {
            let mut shipped = self.align(&mut survey).await?;
            self.start()?;
            while let Some(landed) = self.ship(shipped).await? {
                shipped = landed;
                if shipped == self.log.head() {
                    return Ok(Claimed {
                        anchor: self.anchor(shipped).await?,
                        epoch: self.epoch,
                        head: shipped,
                        orphan: self.orphan.take(),
                        restored: self.restored,
                    });
                }
            }
            survey.advance(self.replica).await?;
        }
        Err(busy(layout::SEGMENTS))
    }

    /// Makes the remote log a beginning of the local one. Returns the end of the remote log.
    async fn align(&mut self, survey: &mut Survey) -> Result<Cursor, StoreError> {
        // Whoever shipped in a newer epoch has fenced this claim, and its records must not be followed
        // by ours.
        if let Some((by, _)) = survey.tail.shipped_by
            && by > self.epoch
        {
            return Err(StoreError::Fenced { by });
        }
        let reader = self.log.reader();
        let fork = restore::fork(self.replica, reader.as_ref(), survey).await?;
        if fork.at == survey.tail.cursor {
            return Ok(fork.at);
        }
        if self.log.head() != fork.at {
            self.drop_tail(&fork).await?;
        }
        let behind = survey.tail.cursor.seq.0 - fork.at.seq.0;
        let is_far = fork.at == Cursor::START || behind > self.settings.behind_records_max;
        if !is_far || !self.begin_at_anchor(survey).await? {
            self.extend(survey).await?;
        }
        Ok(self.log.head())
    }

    /// Keeps what the remote log did not take under `orphan/`, and drops it here.
    async fn drop_tail(&mut self, fork: &restore::Fork) -> Result<(), StoreError> {
        let reader = self.log.reader();
        let (epoch, writer) = fork
            .shipped_by
            .clone()
            .unwrap_or((Epoch(0), self.request.instance.clone()));
        // What comes before the base is in a remote log, although perhaps not in this one.
        let after = if fork.at.seq < reader.base().seq {
            reader.base()
        } else {
            fork.at
        };
        let orphan = upload::orphan(
            self.replica,
            self.keyring,
            reader.as_ref(),
            after,
            (epoch, &writer),
            self.settings.segment_bytes_max,
        );
        self.orphan = orphan.await?.or(self.orphan.take());
        self.log.rewind(fork.at)
    }

    /// Copies what the remote log has beyond the local one.
    async fn extend(&mut self, survey: &Survey) -> Result<(), StoreError> {
        let (log, progress) = (&mut *self.log, &mut *self.progress);
        let restored = restore::extend(self.replica, log, survey, self.settings, progress);
        self.restored += restored.await?;
        Ok(())
    }

    /// Begins the local log, all of which is in the remote one, anew at the newest snapshot that
    /// counts, and brings it to the end of the remote one. `false` when there is none beyond it.
    async fn begin_at_anchor(&mut self, survey: &mut Survey) -> Result<bool, StoreError> {
        let is_beyond = |cursor: Cursor, head: Cursor| cursor.seq > head.seq;
        let head = self.log.head();
        let mut is_begun = false;
        while let Some(anchor) = self.anchors.current() {
            let seq = anchor.cursor.seq;
            if is_beyond(anchor.cursor, head) && is_beyond(survey.tail.cursor, anchor.cursor) {
                self.log.rewind(Cursor::START)?;
                self.log.begin_at(anchor.cursor)?;
                is_begun = true;
                match self.extend(survey).await {
                    Ok(()) if anchor.is_vouched_by(&*self.log.reader())? => return Ok(true),
                    Ok(()) => {}
                    // Perhaps it is the snapshot that is wrong; else the whole log says so, too.
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        warn!(seq = seq.0, %error, "what follows a snapshot does not fit it");
                    }
                    Err(error) => return Err(error),
                }
                warn!(
                    seq = seq.0,
                    "a snapshot does not count; trying an older one"
                );
            }
            self.anchors.advance(self.replica, self.usable).await?;
        }
        if is_begun {
            self.log.rewind(Cursor::START)?;
        }
        // What was listed may begin at the newest snapshot.
        survey.catalog = Catalog::list(self.replica, self.log.head().seq).await?;
        Ok(false)
    }

    /// The newest snapshot for which the claimed log, which ends at `head`, vouches and which it
    /// continues. Where a log with a base continues none, it is made anew.
    async fn anchor(&mut self, head: Cursor) -> Result<Option<Cursor>, StoreError> {
        let reader = self.log.reader();
        while let Some(anchor) = self.anchors.current() {
            if anchor.is_vouched_by(&*reader)? {
                return Ok(Some(anchor.cursor));
            }
            self.anchors.advance(self.replica, self.usable).await?;
        }
        if reader.base() == Cursor::START {
            return Ok(None);
        }
        self.log.rewind(Cursor::START)?;
        let mut survey = restore::survey(self.replica).await?;
        self.anchors = Anchors::list(self.replica).await?;
        self.anchors.advance(self.replica, self.usable).await?;
        if !self.begin_at_anchor(&mut survey).await? {
            self.extend(&survey).await?;
        }
        if self.log.head() != head {
            return Err(busy(layout::SEGMENTS));
        }
        Ok(self.anchors.current().map(|anchor| anchor.cursor))
    }

    /// Appends `writer_started` unless the local log still has this claim's.
    fn start(&mut self) -> Result<(), StoreError> {
        if let Some(started) = self.started
            && self.log.reader().cursor(started.seq)? == Some(started)
        {
            return Ok(());
        }
        let event = Event::from(WriterStarted {
            epoch: self.epoch,
            instance: self.request.instance.clone(),
            software: self.request.software.clone(),
        });
        let record = first_record(&event, self.log.head(), self.request.at)?;
        self.log.append(std::slice::from_ref(&record))?;
        self.started = Some(record.cursor());
        Ok(())
    }

    /// Ships the next segment after `shipped`. `None`: an older writer's segment is there.
    async fn ship(&mut self, shipped: Cursor) -> Result<Option<Cursor>, StoreError> {
        let first = shipped.seq.next();
        let records = self
            .log
            .reader()
            .read_whole(first, self.settings.segment_bytes_max)?;
        let Some(last) = records.last() else {
            return Err(StoreError::Internal("nothing left to ship".to_owned()));
        };
        upload::named(self.replica, self.keyring, &Named::by(&records)).await?;
        let bytes = segment::encode(self.epoch, &self.request.instance, &records)?;
        let path = layout::segment(first);
        if self.replica.create(&path, bytes.clone()).await? == Created::Exists
            && !is_ours(self.replica, self.epoch, first, &bytes).await?
        {
            return Ok(None);
        }
        let newer = self.epoch.next();
        if head::read(self.replica, newer).await?.is_some() {
            return Err(StoreError::Fenced { by: newer });
        }
        Ok(Some(last.cursor()))
    }

    /// After losing the log: keeps what may not have reached it. The records stay on this disk, so
    /// a failure here loses nothing yet.
    async fn keep_tail(&mut self) {
        let reader = self.log.reader();
        let kept = async {
            let survey = restore::survey(self.replica).await?;
            let fork = restore::fork(self.replica, reader.as_ref(), &survey).await?;
            upload::orphan(
                self.replica,
                self.keyring,
                reader.as_ref(),
                fork.at,
                (self.epoch, &self.request.instance),
                self.settings.segment_bytes_max,
            )
            .await
        };
        if let Err(error) = kept.await {
            warn!(%error, "the unshipped tail is only on this disk");
        }
    }
}

/// Whether the segment that stands where we wanted to ship is this claim's own.
async fn is_ours(
    replica: &Replica,
    epoch: Epoch,
    first: Seq,
    bytes: &Bytes,
) -> Result<bool, StoreError> {
    let path = layout::segment(first);
    let Some(found) = replica.get(&path).await? else {
        return Err(StoreError::Remote {
            operation: "read",
            object: path.to_string(),
            reason: "it exists but is not there".to_owned(),
        });
    };
    if found == *bytes {
        return Ok(true);
    }
    let by = segment::decode_header(path.as_ref(), &found)?.epoch;
    match by.cmp(&epoch) {
        std::cmp::Ordering::Less => Ok(false),
        std::cmp::Ordering::Greater => Err(StoreError::Fenced { by }),
        std::cmp::Ordering::Equal => Err(StoreError::Corrupt {
            place: format!("`{path}`"),
            reason: format!("another writer wrote it in epoch {by}, which is ours"),
        }),
    }
}

/// The record with which a writer begins.
fn first_record(event: &Event, head: Cursor, at: Timestamp) -> Result<Record, StoreError> {
    let internal = |error| StoreError::Internal(format!("cannot record a start: {error}"));
    let seq = head.seq.next();
    let record = Record {
        seq,
        at,
        actor: Actor::System.to_string(),
        cause: None,
        correlation: seq,
        stream: event.stream(),
        kind: event.kind(),
        version: event.version(),
        critical: event.critical(),
        payload: event.encode().map_err(internal)?,
        prev_hash: Hash::ZERO,
        hash: Hash::ZERO,
    };
    codec::link(record, head.hash).map_err(internal)
}

fn busy(object: &str) -> StoreError {
    StoreError::Remote {
        operation: "claim",
        object: object.to_owned(),
        reason: "other gateways claim the log all the time".to_owned(),
    }
}
