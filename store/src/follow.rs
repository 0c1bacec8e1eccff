//! Following the remote log: what a read-only copy asks for, and what it does with the answers.
//!
//! Invariant: changes nothing in the remote log, and takes only records that the chain shows to
//! follow what the copy has. A copy holds nothing but shipped records, so one that is no beginning
//! of the remote log was made from another one: it is never mended silently.

use crate::catalog::{self, Catalog, Fetched, Object};
use crate::error::{ErrorKind, StoreError};
use crate::keys::{Keyring, keys_in};
use crate::layout;
use crate::log::EventLog;
use crate::replica::Replica;
use crate::restore::{self, Progress, Survey};
use crate::segment::Segment;
use crate::settings::StoreSettings;
use moltbot_core::chain::Cursor;
use moltbot_core::record::Record;

/// How a copy stands to the remote log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has all of it.
    Current,
    /// It is a beginning of it, so far as can be told without reading on.
    Behind,
    /// The remote log is a beginning of the copy, which ends here: an older state of the remote was
    /// put back.
    Ahead(Cursor),
    /// They are two logs, or the remote is empty and the copy is not.
    Parted,
}

/// How this copy stands to the remote log that was surveyed.
pub fn standing(log: &dyn EventLog, survey: &Survey) -> Result<Standing, StoreError> {
    let (own, end) = (log.head(), survey.tail.cursor);
    if own == end {
        return Ok(Standing::Current);
    }
    if own.seq < end.seq {
        return Ok(Standing::Behind);
    }
    // An empty remote is most likely another place than the one that is meant.
    let common = end != Cursor::START && log.reader().cursor(end.seq)? == Some(end);
    Ok(if common {
        Standing::Ahead(end)
    } else {
        Standing::Parted
    })
}

/// Brings the copy to the end that the survey found; the number of records that were read. Fails
/// with `Corrupt` when the copy is no beginning of the remote log. May be repeated after an error.
pub async fn catch_up(
    replica: &Replica,
    log: &mut dyn EventLog,
    survey: &Survey,
    settings: &StoreSettings,
    progress: &mut Progress<'_>,
) -> Result<u64, StoreError> {
    match standing(log, survey)? {
        Standing::Current => Ok(0),
        Standing::Behind => restore::extend(replica, log, survey, settings, progress).await,
        Standing::Ahead(_) | Standing::Parted => Err(parted(log.head(), survey.tail.cursor)),
    }
}

/// The copy and the remote log are not the same log.
pub fn parted(own: Cursor, end: Cursor) -> StoreError {
    StoreError::Corrupt {
        place: "the local copy".to_owned(),
        reason: format!(
            "its records up to #{} are not those of the remote log, which ends at #{}",
            own.seq, end.seq
        ),
    }
}

/// What is stored where the next segment is expected.
#[derive(Debug)]
pub enum Next {
    /// The segment that follows.
    Segment(Segment),
    /// Nothing; most likely nothing was shipped.
    Nothing,
    /// Something that may not belong to the log: what follows was merged meanwhile, so that this name
    /// says nothing any more, or it does not link. Only a survey tells.
    Doubtful,
}

/// Asks for the segment after `after`: one request when there is none, two when there is.
pub async fn next(
    replica: &Replica,
    after: Cursor,
    catalog: &mut Catalog,
) -> Result<Next, StoreError> {
    let first = after.seq.next();
    let found = match catalog::read(replica, Object::Shipped { first }).await {
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Next::Doubtful),
        other => other?,
    };
    let Some(Fetched { segment, .. }) = found else {
        return Ok(Next::Nothing);
    };
    // A writer that slept through a compaction may have put it where one was deleted.
    catalog.refresh_floor(replica).await?;
    let is_log = catalog.floor().seq < first && segment.header.from() == after;
    Ok(if is_log {
        Next::Segment(segment)
    } else {
        Next::Doubtful
    })
}

/// Keeps the keyring in step with records that are about to be shown: the one place where a copy
/// gets data keys after its start; whoever folds the records drops those that were forgotten. A key
/// that is not in the remote log any more was forgotten after these records were written; the record
/// that says so comes later.
pub async fn keep_keys(
    replica: &Replica,
    keyring: &Keyring,
    records: &[Record],
) -> Result<(), StoreError> {
    for id in keys_in(records) {
        if keyring.get(&id).is_some() {
            continue;
        }
        if let Some(object) = replica.get(&layout::key(&id)).await? {
            keyring.insert_object(&id, object)?;
        } else {
            tracing::debug!(key = %id, "a data key is gone from the remote log");
        }
    }
    Ok(())
}
