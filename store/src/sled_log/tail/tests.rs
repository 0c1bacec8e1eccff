#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::error::ErrorKind;
use crate::testing::records;
use moltbot_core::record::Record;
use tempfile::{TempDir, tempdir};

const BYTES: usize = 64 << 10;
const BLOCK: usize = TAIL_BLOCK_BYTES;

/// A tail, and the end of what was appended.
struct Case {
    home: TempDir,
    tail: Tail,
    head: Cursor,
}

impl Case {
    fn new() -> Case {
        let home = tempdir().unwrap();
        let (tail, found) = Tail::open(home.path(), Cursor::START, BYTES).unwrap();
        assert!(found.newer.groups.is_empty() && found.older.is_none());
        let head = Cursor::START;
        Case { home, tail, head }
    }

    /// The bytes of the frame.
    fn append(&mut self, payload_bytes: usize) -> usize {
        let batch = records(self.head, 1, payload_bytes);
        let group = Group::of(self.head, &batch).unwrap();
        assert!(self.tail.has_room(&group));
        self.tail.append(&group).unwrap();
        self.head = batch.last().map(Record::cursor).unwrap();
        32 + group.bytes().len()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.home.path().join(NAME)).unwrap()
    }

    fn front(&self) -> usize {
        usize::try_from(self.tail.header.frames().start).unwrap()
    }

    fn end(&self) -> usize {
        usize::try_from(self.tail.end).unwrap()
    }
}

fn open(bytes: &[u8]) -> Result<(Tail, Found), StoreError> {
    let home = tempdir().unwrap();
    std::fs::write(home.path().join(NAME), bytes).unwrap();
    Tail::open(home.path(), Cursor::START, 1)
}

/// The seqs in the newer generation.
fn newer(bytes: &[u8]) -> Vec<u64> {
    let (_, found) = open(bytes).unwrap();
    firsts(&found.newer)
}

fn firsts(run: &Run) -> Vec<u64> {
    run.groups.iter().map(|group| group.first.0).collect()
}

fn refused(bytes: &[u8]) -> String {
    let error = open(bytes).err().expect("damage is found");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    error.to_string()
}

#[test]
fn a_group_torn_at_any_byte_is_wholly_absent_and_those_before_it_are_there() {
    let mut case = Case::new();
    case.append(5000);
    case.append(300);
    let (start, before) = (case.end(), case.bytes());
    let length = case.append(400);
    let after = case.bytes();
    assert_eq!(newer(&after), [1, 2, 3]);
    for at in start..=start + length + 1 {
        for garbage in [0, 0x5a] {
            // The front of the write is on the disk, or the end of it.
            let mut front = after.clone();
            front[at..case.end()].fill(garbage);
            let mut back = after.clone();
            back[start..at].copy_from_slice(&before[start..at]);
            for torn in [front, back] {
                let kept = newer(&torn);
                // What lies behind a frame in its block has no meaning.
                let is_whole = torn[start..start + length] == after[start..start + length];
                let expected: &[u64] = if is_whole { &[1, 2, 3] } else { &[1, 2] };
                assert_eq!(kept, expected, "{at}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_what_was_acknowledged_before_the_last_is_damage() {
    let mut case = Case::new();
    let length = case.append(100);
    case.append(100);
    case.append(5000);
    let (whole, front) = (case.bytes(), case.front());
    for at in front..front + length {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let reason = refused(&bytes);
        assert!(
            reason.contains("damaged") || reason.contains("newest"),
            "{reason}"
        );
    }
}

#[test]
fn frames_of_an_earlier_use_are_never_taken_for_new_ones() {
    let mut case = Case::new();
    // Two uses of the same half; the frames of both begin at the same blocks.
    for _ in 0..5 {
        case.append(100);
    }
    let first_use = case.front();
    case.tail.renew(case.head).unwrap();
    case.append(100);
    case.tail.renew(case.head).unwrap();
    assert_eq!(case.front(), first_use);
    assert!(newer(&case.bytes()).is_empty());
    case.append(100);
    case.append(100);
    let (tail, found) = open(&case.bytes()).unwrap();
    assert_eq!(firsts(&found.newer), [7, 8]);
    assert_eq!(firsts(found.older.as_ref().unwrap()), [6]);
    assert_eq!(tail.end, case.tail.end);
    // What follows them in the file is whole, and of another use.
    let stale = Frame::decode(&case.bytes()[case.end()..]).unwrap();
    assert_eq!(stale.group.first.0, 3);
}

#[test]
fn a_torn_header_leaves_the_generation_before() {
    let mut case = Case::new();
    case.append(100);
    case.tail.renew(case.head).unwrap();
    case.append(100);
    let before = case.bytes();
    case.tail.renew(case.head).unwrap();
    let after = case.bytes();
    let at = usize::try_from(case.tail.header.at()).unwrap();
    for torn_at in 0..=BLOCK {
        let mut bytes = after.clone();
        bytes[at + torn_at..at + BLOCK].copy_from_slice(&before[at + torn_at..at + BLOCK]);
        let (tail, found) = open(&bytes).unwrap();
        match tail.header.generation {
            2 => assert_eq!(firsts(&found.newer), [2], "{torn_at}"),
            3 => assert_eq!(bytes, after, "{torn_at}"),
            other => panic!("{torn_at}: generation {other}"),
        }
        if bytes == after {
            assert_eq!(firsts(found.older.as_ref().unwrap()), [2]);
        }
    }
}

#[test]
fn a_lost_header_is_damage_once_something_was_acknowledged_under_it() {
    let mut case = Case::new();
    case.append(100);
    for _ in 0..3 {
        case.tail.renew(case.head).unwrap();
        case.append(100);
        let mut bytes = case.bytes();
        let at = usize::try_from(case.tail.header.at()).unwrap();
        bytes[at + 20] ^= 1;
        assert!(refused(&bytes).contains("newest"));
        bytes[..2 * BLOCK].fill(0);
        assert!(refused(&bytes).contains("neither"));
    }
}

#[test]
fn another_size_is_damage() {
    let mut case = Case::new();
    case.append(100);
    let bytes = case.bytes();
    for length in [0, 100, BLOCK, 2 * BLOCK, BYTES / 2, BYTES - 1] {
        refused(&bytes[..length]);
    }
    refused(&[bytes, vec![0]].concat());
}

#[test]
fn a_file_that_was_not_finished_is_made_anew() {
    let home = tempdir().unwrap();
    std::fs::write(home.path().join(NEW_NAME), [7; 100]).unwrap();
    let (tail, _) = Tail::open(home.path(), Cursor::START, BYTES).unwrap();
    assert!(tail.is_empty());
    assert!(!home.path().join(NEW_NAME).exists());
    assert_eq!(std::fs::read(home.path().join(NAME)).unwrap().len(), BYTES);
}

#[test]
fn content_that_looks_like_a_frame_is_none() {
    let mut case = Case::new();
    case.append(100);
    case.tail.renew(case.head).unwrap();
    // Whoever writes this knows the generation, but no hash of the log.
    let guess = case.tail.header.next(Cursor::START);
    let batch = records(Cursor::START, 1, 50);
    let mut forged = Vec::new();
    form::encode_frame(
        &Header {
            generation: guess.generation - 1,
            ..guess
        },
        &Group::of(Cursor::START, &batch).unwrap(),
        &mut forged,
    )
    .unwrap();
    let mut bytes = case.bytes();
    let at = case.front() + BLOCK;
    bytes[at..at + BLOCK].copy_from_slice(&forged);
    assert!(Frame::decode(&bytes[at..]).is_some());
    assert!(newer(&bytes).is_empty());
}
