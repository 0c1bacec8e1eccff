//! Time travel against what was live: the model after any record is what the gateway showed then, and
//! a fork at any record is a log that leads to the same.
//!
//! `TRAVEL_POINTS=1000 cargo test -p moltbot-edge --test time_travel` looks at that many moments.

#![allow(unreachable_pub, reason = "a module of a test has no outside")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "time_travel/history.rs"]
mod history;

use history::{History, digest};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_edge::time_travel::compare::compare;
use moltbot_edge::time_travel::export::{self, End, FORMAT, Filter, Footer, Header, Line, VERSION};
use moltbot_edge::time_travel::fold::{event_of, model_at};
use moltbot_edge::time_travel::import::{ImportError, Item, Lines};
use moltbot_edge::time_travel::readable::{self, Detail};
use moltbot_edge::time_travel::source::Source;
use moltbot_edge::view::Model;
use moltbot_store::fork::fork;
use moltbot_store::log::EventLog;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::restore;
use moltbot_store::scan::Scan;
use moltbot_store::settings::StoreSettings;
use moltbot_store::testing::rng::Rng;
use object_store::memory::InMemory;
use std::collections::BTreeSet;
use std::sync::Arc;

const COMMANDS: usize = 6_000;
const POINTS: u64 = 50;
/// Of the moments looked at, one in so many is forked, too.
const FORK_EVERY: u64 = 10;

fn points() -> u64 {
    let asked = std::env::var("TRAVEL_POINTS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(POINTS)
}

async fn remote(history: &History) -> Source {
    let settings = StoreSettings::default();
    let scan = Scan::open(&history.replica, &settings).await.unwrap();
    Source::Remote(Box::new(scan))
}

fn local(history: &History) -> Source {
    Source::Local {
        log: history.log.reader(),
        head: history.log.head(),
        replica: Box::new(history.replica.clone()),
    }
}

/// An empty place.
fn nowhere(name: &str) -> Replica {
    let mut replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
    replica.location = format!("memory://{name}");
    replica
}

async fn fold_restored(replica: &Replica) -> Model {
    let mut log = MemoryLog::new();
    let settings = StoreSettings::default();
    restore::restore(replica, &mut log, &settings, &mut |_, _| {})
        .await
        .unwrap();
    let mut model = Model::default();
    for record in log.reader().read(Seq(1), usize::MAX).unwrap() {
        model.apply(&record, &event_of(&record).unwrap());
    }
    model
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_moment_is_shown_as_it_was_and_can_be_forked() {
    let history = History::record(1, COMMANDS).await;
    let (remote, local) = (remote(&history).await, local(&history));
    let head = history.head();
    assert!(
        head > 4_000 && history.snapshots > 3,
        "a history worth it: {head}"
    );
    let mut rng = Rng::new(7);
    let mut forks = 0;
    for n in 0..points() {
        let seq = match n {
            0 => 1,
            1 => head,
            _ => 1 + rng.below(head),
        };
        let live = history.digest(seq);
        for source in [&remote, &local] {
            let record = source.record(Seq(seq)).await.unwrap().unwrap();
            let model = model_at(source, record.cursor(), &mut |_, _| true).await;
            assert_eq!(digest(&model.unwrap()), live, "the moment after #{seq}");
        }
        if n % FORK_EVERY == 0 {
            forks += 1;
            check_fork(&history, &remote, seq).await;
        }
    }
    eprintln!("{} moments of {head} records, {forks} forks", points());
}

async fn check_fork(history: &History, source: &Source, seq: u64) {
    let Source::Remote(scan) = source else {
        panic!("forks are made of the remote log");
    };
    let target = nowhere(&format!("fork-{seq}"));
    let mut live = Model::default();
    let mut see = |records: &[Record]| {
        for record in records {
            live.apply(record, &event_of(record)?);
        }
        Ok(())
    };
    let settings = StoreSettings {
        segment_bytes_max: 16 << 10,
        ..StoreSettings::default()
    };
    let whole = history.whole_command_before(seq);
    let forked = fork(scan, &target, Seq(seq), &settings, &mut see).await;
    let forked = forked.unwrap();
    assert_eq!(forked.log.head.seq.0, whole, "asked for #{seq}");
    assert_eq!(forked.log.records, whole);
    assert_eq!(digest(&live), history.digest(whole));
    let verified = restore::verify(&target, &settings, &mut |_, _| {}).await;
    assert_eq!(verified.unwrap(), forked.log);
    assert_eq!(digest(&fold_restored(&target).await), history.digest(whole));
    // Travelling in the fork leads to the same, by the snapshots that went with it.
    let inside = Scan::open(&target, &settings).await.unwrap();
    let at = inside.head();
    let inside = Source::Remote(Box::new(inside));
    let model = model_at(&inside, at, &mut |_, _| true).await.unwrap();
    assert_eq!(digest(&model), history.digest(whole));
    // A second one does not go onto the first.
    let again = fork(scan, &target, Seq(seq), &settings, &mut |_| Ok(())).await;
    assert!(again.unwrap_err().to_string().contains("is not empty"));
}

#[tokio::test]
async fn a_time_leads_to_the_last_record_up_to_it() {
    let history = History::record(2, 400).await;
    let (remote, local) = (remote(&history).await, local(&history));
    let mut times: BTreeSet<i64> = history.records.iter().map(|r| r.at.0).collect();
    times.extend(history.records.iter().map(|r| r.at.0 - 1));
    for at in times {
        let expected = history.records.iter().rfind(|r| r.at.0 <= at);
        for source in [&remote, &local] {
            let found = source.record_at(Timestamp(at)).await.unwrap();
            assert_eq!(found.as_ref(), expected, "at {at}");
        }
    }
}

#[tokio::test]
async fn a_comparison_applied_to_one_moment_gives_the_other() {
    let history = History::record(3, 600).await;
    let source = remote(&history).await;
    let mut rng = Rng::new(11);
    for _ in 0..20 {
        let (a, b) = (1 + rng.below(history.head()), 1 + rng.below(history.head()));
        let record = |seq: u64| &history.records[usize::try_from(seq).unwrap() - 1];
        let bounds = (Detail::Full, 5);
        let ends = (record(a), record(b));
        let found = compare(&source, ends, bounds, None, &mut |_, _| true).await;
        let found = found.unwrap();
        let (first, last) = (a.min(b), a.max(b));
        assert_eq!(found.records.count, last - first);
        assert_eq!(found.records.kinds.values().sum::<u64>(), last - first);
        assert_eq!(found.records.shown.len() as u64, (last - first).min(5));
        assert_eq!(found.records.left_out, (last - first).saturating_sub(5));
        let mut state = shown(&history, a);
        history::apply(&mut state, &found.changes);
        assert_eq!(state, shown(&history, b), "from #{a} to #{b}");
    }
}

/// The state after a record, folded from the first on.
fn shown(history: &History, seq: u64) -> serde_json::Value {
    let mut model = Model::default();
    for record in &history.records[..usize::try_from(seq).unwrap()] {
        model.apply(record, &event_of(record).unwrap());
    }
    readable::state(&mut model, Detail::Full)
}

#[tokio::test]
async fn a_state_is_readable_complete_and_sealed() {
    let history = History::record(4, 600).await;
    let mut model = Model::default();
    for record in &history.records {
        model.apply(record, &event_of(record).unwrap());
    }
    let untouched = digest(&model);
    let full = readable::state(&mut model, Detail::Full);
    let counts = readable::state(&mut model, Detail::Counts);
    assert_eq!(digest(&model), untouched, "showing changes nothing");
    let names = |value: &serde_json::Value| -> Vec<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(&full), names(&counts));
    let remembered = full["idempotency"].as_object().unwrap();
    assert!(!remembered.is_empty(), "keys are shown by their hash");
    assert_eq!(counts["idempotency"]["count"], remembered.len());
    assert!(
        !full.to_string().contains(history::CANARY),
        "content stays sealed"
    );
    let mut opened = full.clone();
    let keyring = &history.keyring;
    readable::open(&mut opened, &|content| {
        Some(
            content
                .open(keyring.get(content.key()).as_ref())
                .into_text(),
        )
    });
    assert!(opened.to_string().contains(history::CANARY));
}

fn exported(history: &History, filter: &Filter, from: u64) -> Vec<u8> {
    let rows = history
        .records
        .iter()
        .skip(usize::try_from(from).unwrap() - 1);
    let rows: Vec<&Record> = rows.filter(|record| filter.admits(record)).collect();
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        software: moltbot_edge::boot::SOFTWARE.to_owned(),
        from: Seq(from),
        to: Seq(history.head()),
        filter: filter.clone(),
        opened: false,
    };
    let head = rows.last().map_or(Cursor::START, |record| record.cursor());
    let end = End {
        records: rows.len() as u64,
        head,
    };
    let mut lines = vec![export::text(&header)];
    lines.extend(
        rows.iter()
            .map(|row| export::text(&Line::of(row, None).unwrap())),
    );
    lines.push(export::text(&Footer { end }));
    (lines.join("\n") + "\n").into_bytes()
}

/// Reads a file to its end: its records, or what is wrong.
fn read(file: &[u8]) -> Result<Vec<Record>, ImportError> {
    let mut lines = Lines::open(file)?;
    let mut records = Vec::new();
    loop {
        match lines.read()? {
            Item::Record(record) => records.push(*record),
            Item::End(contents) => {
                assert_eq!(contents.records, records.len() as u64);
                return Ok(records);
            }
        }
    }
}

#[tokio::test]
async fn a_file_gives_the_records_back_and_every_altered_byte_is_named() {
    let history = History::record(5, 60).await;
    let whole = exported(&history, &Filter::default(), 1);
    assert_eq!(read(&whole).unwrap(), history.records);
    assert_eq!(
        read(&exported(&history, &Filter::default(), 9)).unwrap(),
        history.records[8..]
    );
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let mut rng = Rng::new(13);
    for _ in 0..600 {
        let at = rng.index(whole.len() - 1);
        let mut altered = whole.clone();
        altered[at] ^= 1 << rng.below(8);
        let error = read(&altered).expect_err("an altered byte").to_string();
        let mut begin = 0;
        let line = lines.iter().position(|line| {
            begin += line.len();
            at < begin
        });
        match line.unwrap() {
            0 => {}
            // The end of a line that became another byte is found with the next line.
            n if n <= history.records.len() => {
                assert!(
                    error.contains(&format!("record #{n} ")),
                    "byte {at}: {error}"
                );
            }
            _ => assert!(error.contains("line"), "byte {at}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_was_cut_reordered_or_thinned_out_is_not_whole() {
    let history = History::record(6, 40).await;
    let whole = exported(&history, &Filter::default(), 1);
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let check = |lines: &[&[u8]], words: &str| {
        let error = read(&lines.concat()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    for end in 1..lines.len() {
        check(&lines[..end], "the file ends here: it was cut");
    }
    let without = |n: usize| [&lines[..n], &lines[n + 1..]].concat();
    check(&without(5), "the records #5..#5 are missing");
    check(&without(lines.len() - 2), "are announced");
    let swapped = [&lines[..5], &[lines[6], lines[5]], &lines[7..]].concat();
    check(&swapped, "the records #5..#5 are missing");
    let twice = [&lines[..6], &lines[5..]].concat();
    check(&twice, "does not belong here");
    let more = [&lines[..], &lines[3..4]].concat();
    check(&more, "something comes after the last line");
    check(&[], "the file is empty");
    check(&[b"{}\n"], "does not name");
    // A whole chain of another log, in place of a part of this one.
    let other = exported(&History::record(7, 40).await, &Filter::default(), 1);
    let other: Vec<&[u8]> = other.split_inclusive(|byte| *byte == b'\n').collect();
    let spliced = [&lines[..20], &other[20..]].concat();
    check(&spliced, "record #20 does not link to the one before it");
}

#[tokio::test]
async fn a_line_whose_words_are_not_those_of_its_record_is_found_although_its_check_fits() {
    let history = History::record(8, 40).await;
    let whole = String::from_utf8(exported(&history, &Filter::default(), 1)).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    for (name, value) in [
        ("actor", "system!"),
        ("stream", "elsewhere"),
        ("at", "2020-01-01T00:00:00.000Z"),
    ] {
        let mut row: Line = serde_json::from_str(lines[7]).unwrap();
        match name {
            "actor" => value.clone_into(&mut row.actor),
            "stream" => value.clone_into(&mut row.stream),
            _ => value.clone_into(&mut row.at),
        }
        let forged = export::text(&row);
        let mut file = lines.clone();
        file[7] = &forged;
        let error = read(file.join("\n").as_bytes())
            .expect_err(name)
            .to_string();
        assert!(
            error.contains("record #7 ") && error.contains("readable fields"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_filtered_file_names_its_gaps_and_checks_neighbours() {
    let history = History::record(9, 200).await;
    let filter = Filter {
        kinds: vec!["message_received".to_owned(), "run_requested".to_owned()],
        ..Filter::default()
    };
    let file = exported(&history, &filter, 1);
    let mut lines = Lines::open(file.as_slice()).unwrap();
    let contents = loop {
        if let Item::End(contents) = lines.read().unwrap() {
            break contents;
        }
    };
    assert!(contents.gaps > 5 && contents.records > 10, "{contents:?}");
    assert!(!contents.is_whole());
    let stream = Filter {
        stream: Some("session".to_owned()),
        ..Filter::default()
    };
    let records = read(&exported(&history, &stream, 1)).unwrap();
    assert!(
        records
            .iter()
            .all(|record| record.stream.starts_with("session/"))
    );
    assert!(!records.is_empty());
}
