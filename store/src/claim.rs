//! Claiming the remote log: how a gateway becomes its one writer.
//!
//! Invariant: after `Ok` the local log equals the remote one, its last records are this gateway's
//! `writer_started` and nothing else, and every gateway with a lower epoch is refused by the
//! object store. Records that were acknowledged here before are then in the remote log, or under
//! `orphan/` when another writer had gone on without them.
//! One call is one attempt; after an error it can be called again, each time with a newer epoch.

use crate::error::StoreError;
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
use moltbot_core::actor::Actor;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::event::{Event, WriterStarted};
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;

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
}

/// Claims the log: takes the next epoch, brings the local log to the end of the remote one, ships
/// what is only here, and returns when `writer_started` has landed.
///
/// `Owned`: another gateway has it and no takeover was asked for. `Fenced`: another gateway took
/// it over meanwhile. Transient errors: try again after a while.
pub async fn claim(
    replica: &Replica,
    log: &mut dyn EventLog,
    keyring: &Keyring,
    request: &ClaimRequest,
    settings: &StoreSettings,
    progress: &mut Progress<'_>,
) -> Result<Claimed, StoreError> {
    let mut survey = restore::survey(replica).await?;
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
    };
    match claim.run(survey, progress).await {
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
        survey.head = head::newest(replica).await?;
    }
    Err(busy(layout::HEADS))
}

struct Claim<'a> {
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
}

impl Claim<'_> {
    async fn run(
        &mut self,
        mut survey: Survey,
        progress: &mut Progress<'_>,
    ) -> Result<Claimed, StoreError> {
        for _ in 0..CLAIM_ROUNDS_MAX {
            let mut shipped = self.align(&survey, progress).await?;
            self.start()?;
            while let Some(landed) = self.ship(shipped).await? {
                shipped = landed;
                if shipped == self.log.head() {
                    return Ok(Claimed {
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
    async fn align(
        &mut self,
        survey: &Survey,
        progress: &mut Progress<'_>,
    ) -> Result<Cursor, StoreError> {
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
            let (epoch, writer) = fork
                .shipped_by
                .unwrap_or((Epoch(0), self.request.instance.clone()));
            let orphan = upload::orphan(
                self.replica,
                self.keyring,
                reader.as_ref(),
                fork.at,
                (epoch, &writer),
                self.settings.segment_bytes_max,
            );
            self.orphan = orphan.await?.or(self.orphan.take());
            self.log.rewind(fork.at)?;
        }
        let restored = restore::extend(self.replica, self.log, survey, self.settings, progress);
        self.restored += restored.await?;
        Ok(self.log.head())
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
            tracing::warn!(%error, "the unshipped tail is only on this disk");
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
