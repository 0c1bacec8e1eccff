//! Verifying the whole local log when it is opened: what sled has, then what the tail has beyond it.
//!
//! Each group names the hash it follows, so parts of the log are verified side by side and then held
//! against each other. Invariant: every byte of every record was read and hashed, and the error is
//! that of the earliest part that has one.

use super::groups::{self, bad};
use super::recent::Recent;
use super::tail::Found;
use crate::error::StoreError;
use crate::settings::{VERIFY_PART_RECORDS_MIN, VERIFY_THREADS_MAX};
use moltbot_core::chain::Cursor;
use moltbot_core::error::CodecError;
use moltbot_core::ids::Seq;
use std::panic::resume_unwind;
use std::thread;

/// A verified run of records: the position before it, and its last.
type Run = (Cursor, Cursor);

/// Verifies every record after the base; the position after the last.
pub(super) fn verify(log: &sled::Tree, base: Cursor) -> Result<Cursor, StoreError> {
    let Some(last) = groups::last_first(log)? else {
        return Ok(base);
    };
    let runs = thread::scope(|scope| {
        let threads: Vec<_> = parts(base.seq, last)
            .map(|(from, to)| scope.spawn(move || verify_part(log, from, to)))
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        // sled panics over damage in its own file; whoever opens the log is told.
        joined
            .map(|run| run.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut head = base;
    for run in runs {
        if let Some((before, last)) = run? {
            follows(head, before)?;
            head = last;
        }
    }
    Ok(head)
}

/// Ranges of first seqs, the last without an end, that cover the groups of a log with this base
/// whose last group begins with `last`.
fn parts(base: Seq, last: Seq) -> impl Iterator<Item = (Seq, Option<Seq>)> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(VERIFY_THREADS_MAX) as u64;
    let records = last.0.saturating_sub(base.0);
    let size = records.div_ceil(threads).max(VERIFY_PART_RECORDS_MIN);
    let count = records.div_ceil(size).max(1);
    (0..count).map(move |part| {
        // What begins before the base does not follow it, which the first part finds.
        let begin = (part > 0).then_some(Seq(base.0 + part * size));
        let end = (part + 1 < count).then_some(Seq(base.0 + (part + 1) * size));
        (begin.unwrap_or_default(), end)
    })
}

/// Verifies the groups that begin in this range; `None` when there is none.
fn verify_part(log: &sled::Tree, from: Seq, to: Option<Seq>) -> Result<Option<Run>, StoreError> {
    let mut run: Option<Run> = None;
    for group in groups::within(log, from, to) {
        let group = group?;
        if let Some((_, head)) = run
            && group.first != head.seq.next()
        {
            return Err(gap(head, group.first));
        }
        let (before, last) = group.verify()?;
        if let Some((_, head)) = run {
            follows(head, before)?;
        }
        run = Some((run.map_or(before, |(start, _)| start), last));
    }
    Ok(run)
}

/// Holds what was found in the tail against what sled has, and keeps the groups that sled does not
/// have; the position after the last of all.
pub(super) fn extend(
    log: &sled::Tree,
    in_sled: Cursor,
    found: Found,
    missing: &Recent,
) -> Result<Cursor, StoreError> {
    // What lies before the newer generation was put into sled, or is in the older one.
    let is_enough = found.newer.base.seq <= in_sled.seq;
    let older = found.older.filter(|_| !is_enough);
    let mut end = older.as_ref().unwrap_or(&found.newer).base;
    if in_sled.seq < end.seq {
        return Err(gap(in_sled, end.seq.next()));
    }
    is_in(log, end)?;
    let mut head = in_sled;
    for run in older.into_iter().chain([found.newer]) {
        follows(end, run.base)?;
        for group in run.groups {
            let (before, last) = group.verify()?;
            follows(end, before)?;
            end = last;
            if end.seq > in_sled.seq {
                follows(head, before)?;
                head = end;
                missing.push(group);
            }
        }
    }
    if head == in_sled {
        is_in(log, end)?;
    }
    Ok(head)
}

/// Whether this is a position of sled's.
fn is_in(log: &sled::Tree, cursor: Cursor) -> Result<(), StoreError> {
    if groups::cursor(log, cursor.seq)? == Some(cursor) {
        return Ok(());
    }
    let seq = cursor.seq;
    Err(bad(CodecError::Unlinked { seq }))
}

/// Whether what follows `before` follows `head`.
fn follows(head: Cursor, before: Cursor) -> Result<(), StoreError> {
    if before.seq != head.seq {
        return Err(gap(head, before.seq.next()));
    }
    if before != head {
        let seq = head.seq.next();
        return Err(bad(CodecError::Unlinked { seq }));
    }
    Ok(())
}

fn gap(head: Cursor, found: Seq) -> StoreError {
    bad(CodecError::Gap {
        expected: head.seq.next(),
        found,
    })
}
