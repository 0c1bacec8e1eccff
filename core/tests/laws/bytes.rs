//! Laws on stored bytes: what is written is read, what is altered is found, what is personal is
//! not there.

use super::after;
use super::driver::{Gateway, data_key};
use super::generate::steps;
use super::universe::CANARY;
use moltbot_core::chain::Cursor;
use moltbot_core::codec::{decode_frame, decode_frames, encode_frame};
use moltbot_core::content::Opened;
use moltbot_core::error::CodecError;
use moltbot_core::event::{Event, KINDS};
use moltbot_core::ids::Seq;
use moltbot_core::state::State;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeMap;

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(steps in steps()) {
        let gateway = after(&steps);
        for (place, (record, event)) in gateway.records.iter().enumerate() {
            prop_assert_eq!(&record.event()?, event);
            prop_assert_eq!(&event.encode()?, &record.payload);
            let frame = &gateway.frames[place];
            let (read, used) = decode_frame(frame, gateway.before(place))?;
            prop_assert_eq!((&read, used), (record, frame.len()));
            let mut again = Vec::new();
            encode_frame(&read, &mut again)?;
            prop_assert_eq!(&again, frame);
        }
    }

    #[test]
    fn a_flipped_bit_is_found_at_its_record(steps in steps(), flips in flips()) {
        let gateway = after(&steps);
        for (place, byte, bit) in flips {
            let Some(place) = place_in(&gateway, place) else { return Ok(()) };
            let mut frames = gateway.frames.clone();
            let byte = byte.index(frames[place].len());
            frames[place][byte] ^= 1 << bit;
            prop_assert_eq!(first_bad(&frames), Some(Seq(place as u64 + 1)));
        }
    }

    #[test]
    fn a_dropped_or_swapped_record_is_found(steps in steps(), one in any::<Index>(), other in any::<Index>()) {
        let gateway = after(&steps);
        let (Some(one), Some(other)) = (place_in(&gateway, one), place_in(&gateway, other)) else {
            return Ok(());
        };
        let mut dropped = gateway.frames.clone();
        dropped.remove(one);
        // Dropping the last one leaves a shorter, whole log: its cursor tells.
        let last = one + 1 == gateway.frames.len();
        prop_assert_eq!(first_bad(&dropped), (!last).then_some(Seq(one as u64 + 1)));
        let mut swapped = gateway.frames.clone();
        swapped.swap(one, other);
        let first = Seq(one.min(other) as u64 + 1);
        prop_assert_eq!(first_bad(&swapped), (one != other).then_some(first));
    }

    #[test]
    fn a_record_rewritten_with_its_own_hash_and_checksum_breaks_the_next(steps in steps(), at in any::<Index>()) {
        let gateway = after(&steps);
        let Some(place) = place_in(&gateway, at) else { return Ok(()) };
        let mut record = gateway.records[place].0.clone();
        record.at = record.at.plus_ms(1);
        let forged = moltbot_core::codec::link(record, gateway.before(place).hash)?;
        let mut frames = gateway.frames.clone();
        frames[place].clear();
        encode_frame(&forged, &mut frames[place])?;
        let last = place + 1 == frames.len();
        prop_assert_eq!(first_bad(&frames), (!last).then_some(Seq(place as u64 + 2)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        seq in select(vec![0, 1, u64::MAX]),
        kind in select(KINDS.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>()),
    ) {
        let after = Cursor { seq: Seq(seq), ..Cursor::START };
        prop_assert_eq!(decode_frames(&bytes, after).is_ok(), bytes.is_empty());
        let _ = Event::decode(kind, 1, &bytes);
        let _ = State::decode(&bytes);
    }

    #[test]
    fn damaged_payloads_and_snapshots_never_panic(steps in steps(), at in any::<Index>(), bit in 0..8_u8) {
        let gateway = after(&steps);
        for (record, _) in &gateway.records {
            let mut payload = record.payload.clone();
            let byte = at.index(payload.len());
            payload[byte] ^= 1 << bit;
            let _ = Event::decode(record.kind, record.version, &payload);
            let _ = Event::decode(record.kind, record.version, &payload[..byte]);
        }
        let mut snapshot = gateway.state.encode()?;
        let byte = at.index(snapshot.len());
        snapshot[byte] ^= 1 << bit;
        let _ = State::decode(&snapshot);
        prop_assert_eq!(State::decode(&snapshot[..byte]), None);
    }

    #[test]
    fn personal_text_is_never_in_stored_bytes(steps in steps()) {
        let gateway = after(&steps);
        prop_assert!(!holds(&gateway.state.encode()?, CANARY));
        prop_assert!(!holds(&gateway.log(), CANARY));
        for (_, event) in &gateway.records {
            prop_assert!(!holds(event.to_json().to_string().as_bytes(), "canary"));
        }
    }

    #[test]
    fn a_data_key_seals_one_author_in_one_stream(steps in steps()) {
        let gateway = after(&steps);
        let (mut scopes, mut in_use) = (BTreeMap::new(), 0);
        for (record, event) in gateway.records {
            if let Event::DataKeyCreated(e) = &event {
                prop_assert_eq!(scopes.insert(e.key.clone(), e.scope.clone()), None);
                let is_forgotten = gateway.state.vault.tombstone_of(&e.key).is_some();
                let is_in_use = gateway.state.vault.get(&e.scope) == Some(&e.key);
                prop_assert!(is_in_use != is_forgotten);
                in_use += usize::from(is_in_use);
            }
            let stream = event.stream();
            let mut event = event;
            for content in event.contents_mut() {
                let scope = &scopes[content.key()];
                prop_assert_eq!(scope.split('|').next(), Some(stream.as_str()));
                prop_assert_eq!(record.stream.as_str(), stream.as_str());
                prop_assert!(matches!(content.open(Some(&data_key(content.key()))), Opened::Text(_)));
            }
        }
        // Whatever was not forgotten has one key for a scope.
        prop_assert_eq!(gateway.state.vault.iter().count(), in_use);
    }
}

/// Every byte of a short log, every bit of it: `PROPTEST_CASES` does not matter here.
#[test]
fn no_bit_of_a_short_log_can_be_flipped_unseen() {
    let gateway = super::effects::one_conversation();
    let mut flipped = 0;
    for (place, frame) in gateway.frames.iter().enumerate() {
        let after = gateway.before(place);
        for byte in 0..frame.len() {
            for bit in 0..8 {
                let mut frame = frame.clone();
                frame[byte] ^= 1 << bit;
                let found = decode_frame(&frame, after).map_err(|error| seq_of(&error));
                assert_eq!(found, Err(after.seq.next()), "byte {byte}, bit {bit}");
                flipped += 1;
            }
        }
    }
    assert!(flipped > 5_000, "the log is too short to say anything");
}

fn flips() -> impl Strategy<Value = Vec<(Index, Index, u8)>> {
    proptest::collection::vec((any::<Index>(), any::<Index>(), 0..8_u8), 8)
}

fn place_in(gateway: &Gateway, place: Index) -> Option<usize> {
    let frames = gateway.frames.len();
    (frames > 0).then(|| place.index(frames))
}

/// The first record that is not as it was written.
fn first_bad(frames: &[Vec<u8>]) -> Option<Seq> {
    let error = decode_frames(&frames.concat(), Cursor::START).err()?;
    Some(seq_of(&error))
}

fn seq_of(error: &CodecError) -> Seq {
    match error {
        CodecError::Torn { seq }
        | CodecError::Damaged { seq, .. }
        | CodecError::Unlinked { seq }
        | CodecError::Gap { expected: seq, .. } => *seq,
        other => unreachable!("{other} does not come from reading a frame"),
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
