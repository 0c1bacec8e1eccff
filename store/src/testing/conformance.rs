//! The suite every [`EventLog`] must pass.
//!
//! Invariant: a check uses nothing but the traits in [`crate::log`] and the two closures, so it
//! says what the gateway relies on and nothing about an implementation.

use super::records;
use crate::error::StoreError;
use crate::log::{EventLog, LogReader};
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;

/// Runs the suite. `make` gives a new empty log each time; `reopen` closes a log and opens the
/// same one again, as after a restart.
///
/// # Panics
/// When the log does not conform.
pub fn check<L: EventLog>(make: impl Fn() -> L, reopen: impl Fn(L) -> L) -> Result<(), StoreError> {
    an_empty_log_is_at_the_start(make())?;
    appended_records_are_read_back(make())?;
    reads_are_bounded_and_never_empty_before_the_end(make())?;
    records_of_every_size_are_kept(make(), &reopen)?;
    records_that_do_not_follow_are_refused_and_change_nothing(make(), &reopen)?;
    a_reader_sees_what_is_appended_later(make())?;
    a_cursor_names_one_history(make())?;
    everything_survives_reopening(make(), &reopen)?;
    rewinding_drops_the_tail_for_good(&make, &reopen)?;
    rewinding_to_a_foreign_cursor_changes_nothing(make())?;
    a_log_may_begin_at_a_base(make(), &reopen)?;
    a_base_goes_only_with_everything(&make, &reopen)?;
    only_an_empty_log_begins_elsewhere(&make)
}

/// Everything in the log after its base, in pages of this size.
pub fn all(reader: &dyn LogReader, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
    let mut found: Vec<Record> = Vec::new();
    loop {
        let before = found.last().map_or_else(|| reader.base(), Record::cursor);
        let from = before.seq.next();
        let page = reader.read(from, bytes_max)?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}

fn an_empty_log_is_at_the_start<L: EventLog>(mut log: L) -> Result<(), StoreError> {
    log.append(&[])?;
    log.rewind(Cursor::START)?;
    let reader = log.reader();
    assert_eq!(log.head(), Cursor::START);
    assert_eq!(reader.head(), Cursor::START);
    assert_eq!(reader.read(Seq(0), 1000)?, []);
    assert_eq!(reader.get(Seq(0))?, None);
    assert_eq!(reader.get(Seq(1))?, None);
    assert_eq!(reader.cursor(Seq(0))?, Some(Cursor::START));
    assert_eq!(reader.cursor(Seq(1))?, None);
    Ok(())
}

fn appended_records_are_read_back<L: EventLog>(mut log: L) -> Result<(), StoreError> {
    let written = append_batches(&mut log, &[1, 2, 3, 50, 1], 100)?;
    let reader = log.reader();
    assert_eq!(log.head(), head_of(&written));
    assert_eq!(all(&*reader, 1_000_000)?, written);
    for (at, record) in written.iter().enumerate() {
        assert_eq!(reader.get(record.seq)?.as_ref(), Some(record));
        assert_eq!(reader.cursor(record.seq)?, Some(record.cursor()));
        assert_eq!(
            reader.read(record.seq, 1_000_000)?,
            written.iter().skip(at).cloned().collect::<Vec<_>>()
        );
    }
    assert_eq!(reader.get(log.head().seq.next())?, None);
    assert_eq!(reader.read(log.head().seq.next(), 1000)?, []);
    assert_eq!(reader.read(Seq(u64::MAX), 1000)?, []);
    Ok(())
}

fn reads_are_bounded_and_never_empty_before_the_end<L: EventLog>(
    mut log: L,
) -> Result<(), StoreError> {
    let written = append_batches(&mut log, &[7, 1, 30], 500)?;
    let reader = log.reader();
    assert_eq!(reader.read(Seq(3), 0)?.len(), 1);
    assert_eq!(reader.read(Seq(3), 1)?.len(), 1);
    let page = reader.read(Seq(1), 5000)?;
    assert!((5..=12).contains(&page.len()), "{} records", page.len());
    for bytes_max in [0, 700, 5000] {
        assert_eq!(all(&*reader, bytes_max)?, written);
    }
    Ok(())
}

fn records_of_every_size_are_kept<L: EventLog>(
    mut log: L,
    reopen: &impl Fn(L) -> L,
) -> Result<(), StoreError> {
    let mut written = Vec::new();
    for bytes in [0, 1, 3900, 4096, 5000, 70_000, 102_400, 10] {
        let batch = records(log.head(), 3, bytes);
        log.append(&batch)?;
        written.extend(batch);
    }
    let log = reopen(log);
    assert_eq!(all(&*log.reader(), 1 << 20)?, written);
    for record in &written {
        assert_eq!(log.reader().get(record.seq)?.as_ref(), Some(record));
    }
    Ok(())
}

fn records_that_do_not_follow_are_refused_and_change_nothing<L: EventLog>(
    mut log: L,
    reopen: &impl Fn(L) -> L,
) -> Result<(), StoreError> {
    let written = append_batches(&mut log, &[5], 100)?;
    let head = log.head();
    let later = records(head, 4, 100);
    let mut foreign = records(
        Cursor {
            seq: head.seq,
            hash: Hash([9; 32]),
        },
        1,
        10,
    );
    let repeated = written.clone();
    let skipped: Vec<Record> = later.iter().skip(1).cloned().collect();
    let with_hole: Vec<Record> = later
        .iter()
        .filter(|record| record.seq != head.seq.next().next())
        .cloned()
        .collect();
    foreign.extend(records(head_of(&foreign), 1, 10));
    for batch in [repeated, skipped, with_hole, foreign] {
        let refused = log.append(&batch);
        assert!(
            matches!(refused, Err(StoreError::NotNext { .. })),
            "{refused:?}"
        );
        assert_eq!(log.head(), head);
        assert_eq!(all(&*log.reader(), 1000)?, written);
    }
    log.append(&later)?;
    let log = reopen(log);
    assert_eq!(all(&*log.reader(), 1000)?, [written, later].concat());
    Ok(())
}

fn a_reader_sees_what_is_appended_later<L: EventLog>(mut log: L) -> Result<(), StoreError> {
    let reader = log.reader();
    let written = append_batches(&mut log, &[1, 2], 10)?;
    assert_eq!(reader.head(), log.head());
    assert_eq!(all(&*reader, 1000)?, written);
    Ok(())
}

fn a_cursor_names_one_history<L: EventLog>(mut log: L) -> Result<(), StoreError> {
    let written = append_batches(&mut log, &[3], 10)?;
    let reader = log.reader();
    for record in &written {
        let other = Cursor {
            seq: record.seq,
            hash: Hash([1; 32]),
        };
        assert_ne!(reader.cursor(record.seq)?, Some(other));
    }
    Ok(())
}

fn everything_survives_reopening<L: EventLog>(
    log: L,
    reopen: &impl Fn(L) -> L,
) -> Result<(), StoreError> {
    let mut written = Vec::new();
    let mut log = log;
    for size in [1, 40, 3] {
        log = reopen(log);
        assert_eq!(log.head(), head_of(&written));
        written.extend(append_batches(&mut log, &[size, 1], 200)?);
        assert_eq!(all(&*log.reader(), 3000)?, written);
    }
    let log = reopen(log);
    assert_eq!(all(&*log.reader(), 3000)?, written);
    Ok(())
}

fn rewinding_drops_the_tail_for_good<L: EventLog>(
    make: &impl Fn() -> L,
    reopen: &impl Fn(L) -> L,
) -> Result<(), StoreError> {
    for keep in [0, 1, 4, 5, 6, 25, 29, 30] {
        let mut log = make();
        let mut written = append_batches(&mut log, &[5, 1, 20, 4], 900)?;
        written.truncate(keep);
        let reader = log.reader();
        log.rewind(head_of(&written))?;
        assert_eq!(log.head(), head_of(&written));
        assert_eq!(all(&*reader, 3000)?, written);
        drop(reader);

        let mut log = reopen(log);
        assert_eq!(all(&*log.reader(), 3000)?, written);
        written.extend(append_batches(&mut log, &[2, 7], 50)?);
        let log = reopen(log);
        assert_eq!(all(&*log.reader(), 3000)?, written);
    }
    Ok(())
}

fn rewinding_to_a_foreign_cursor_changes_nothing<L: EventLog>(
    mut log: L,
) -> Result<(), StoreError> {
    let written = append_batches(&mut log, &[5], 10)?;
    let foreign = Cursor {
        seq: Seq(3),
        hash: Hash([9; 32]),
    };
    let beyond = head_of(&records(log.head(), 1, 10));
    let no_start = Cursor {
        seq: Seq(0),
        hash: Hash([9; 32]),
    };
    for cursor in [foreign, beyond, no_start] {
        assert!(log.rewind(cursor).is_err());
        assert_eq!(log.head(), head_of(&written));
        assert_eq!(all(&*log.reader(), 1000)?, written);
    }
    Ok(())
}

fn a_log_may_begin_at_a_base<L: EventLog>(
    mut log: L,
    reopen: &impl Fn(L) -> L,
) -> Result<(), StoreError> {
    let reader = log.reader();
    log.begin_at(BASE)?;
    assert_eq!((reader.base(), reader.head()), (BASE, BASE));
    drop(reader);
    let mut log = reopen(log);
    assert_eq!(log.head(), BASE);
    assert_eq!(all(&*log.reader(), 1000)?, []);
    let refused = log.append(&records(Cursor::START, 1, 10));
    assert!(matches!(refused, Err(StoreError::NotNext { .. })));

    let mut written = append_batches(&mut log, &[3, 1], 900)?;
    let mut log = reopen(log);
    written.extend(append_batches(&mut log, &[2], 5000)?);
    let reader = log.reader();
    assert_eq!((reader.base(), log.head()), (BASE, head_of(&written)));
    assert_eq!(all(&*reader, 1000)?, written);
    assert_eq!(reader.cursor(Seq::ZERO)?, Some(Cursor::START));
    assert_eq!(reader.cursor(BASE.seq)?, Some(BASE));
    for record in &written {
        assert_eq!(reader.get(record.seq)?.as_ref(), Some(record));
        assert_eq!(reader.cursor(record.seq)?, Some(record.cursor()));
    }
    for below in [Seq(1), Seq(BASE.seq.0 - 1), BASE.seq] {
        is_elsewhere(reader.get(below).map(drop), below);
        is_elsewhere(reader.read(below, 1000).map(drop), below);
        if below < BASE.seq {
            is_elsewhere(reader.cursor(below).map(drop), below);
        }
    }
    assert_eq!(reader.get(Seq::ZERO)?, None);
    Ok(())
}

/// Not damage, and not the end of the log either.
fn is_elsewhere(answer: Result<(), StoreError>, asked: Seq) {
    let base = BASE.seq;
    let expected = StoreError::NotLocal { seq: asked, base };
    let said = answer.map_err(|error| error.to_string());
    assert_eq!(said, Err(expected.to_string()));
}

fn a_base_goes_only_with_everything<L: EventLog>(
    make: &impl Fn() -> L,
    reopen: &impl Fn(L) -> L,
) -> Result<(), StoreError> {
    let mut log = make();
    log.begin_at(BASE)?;
    let mut written = append_batches(&mut log, &[4, 4], 900)?;
    let below = Cursor {
        seq: Seq(BASE.seq.0 - 1),
        hash: BASE.hash,
    };
    assert!(log.rewind(below).is_err());
    for keep in [5, 0] {
        written.truncate(keep);
        log.rewind(written.last().map_or(BASE, Record::cursor))?;
        log = reopen(log);
        assert_eq!(log.reader().base(), BASE);
        assert_eq!(all(&*log.reader(), 1000)?, written);
    }
    append_batches(&mut log, &[3], 10)?;
    log.rewind(Cursor::START)?;
    assert_eq!(log.reader().base(), Cursor::START);
    let mut log = reopen(log);
    assert_eq!(
        (log.reader().base(), log.head()),
        (Cursor::START, Cursor::START)
    );
    let anew = append_batches(&mut log, &[3], 10)?;
    assert_eq!(all(&*reopen(log).reader(), 1000)?, anew);
    Ok(())
}

fn only_an_empty_log_begins_elsewhere<L: EventLog>(
    make: &impl Fn() -> L,
) -> Result<(), StoreError> {
    let mut log = make();
    let written = append_batches(&mut log, &[2], 10)?;
    assert!(log.begin_at(BASE).is_err());
    assert_eq!(all(&*log.reader(), 1000)?, written);
    let mut log = make();
    log.begin_at(BASE)?;
    assert!(log.begin_at(head_of(&written)).is_err());
    assert_eq!(log.head(), BASE);
    Ok(())
}

/// Where a log may begin.
const BASE: Cursor = Cursor {
    seq: Seq(1000),
    hash: Hash([3; 32]),
};

fn append_batches<L: EventLog>(
    log: &mut L,
    sizes: &[usize],
    payload_bytes: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut written = Vec::new();
    for size in sizes {
        let batch = records(log.head(), *size, payload_bytes);
        log.append(&batch)?;
        written.extend(batch);
    }
    Ok(written)
}

fn head_of(records: &[Record]) -> Cursor {
    records.last().map_or(Cursor::START, Record::cursor)
}
