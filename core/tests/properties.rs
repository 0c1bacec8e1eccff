//! The laws of the domain, held against random sequences of commands.
//!
//! More cases: `PROPTEST_CASES=10000 cargo test -p moltbot-core --test properties`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod laws;

use laws::driver::{Gateway, replay, replay_after};
use laws::generate::steps;
use laws::universe::Step;
use laws::{Taken, after, walk};
use moltbot_core::chain::Hash;
use moltbot_core::command::{Command, Idempotency};
use moltbot_core::decide::{Decision, decide};
use moltbot_core::event::{Event, KINDS, kind_name};
use moltbot_core::limits::IDEMPOTENCY_TTL_MS;
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::state::State;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;

proptest! {
    #[test]
    fn the_state_kept_equals_the_fold_of_the_log_read_back(steps in steps()) {
        let gateway = after(&steps);
        let (state, transcripts) = replay(&gateway.log());
        prop_assert_eq!(state, gateway.state);
        prop_assert_eq!(transcripts, gateway.transcripts);
    }

    #[test]
    fn a_snapshot_and_the_tail_after_it_equal_the_full_fold(steps in steps(), at in any::<Index>()) {
        let gateway = after(&steps);
        let cut = at.index(gateway.frames.len() + 1);
        let (head, tail) = gateway.frames.split_at(cut);
        let (state, transcripts) = replay(&head.concat());
        let snapshot = (state.encode()?, transcripts.encode()?);
        let restored = State::decode(&snapshot.0).expect("a snapshot is a state");
        prop_assert_eq!(&restored, &state);
        let index = Transcripts::decode(&snapshot.1).expect("a snapshot is an index");
        let (restored, index) = replay_after(restored, index, &tail.concat());
        prop_assert_eq!(restored, gateway.state);
        prop_assert_eq!(index, gateway.transcripts);
    }

    #[test]
    fn decide_always_answers_and_a_rejection_changes_nothing(steps in steps()) {
        walk(&mut Gateway::default(), &steps, |Taken { before, command, answer, after }| {
            let again = decide(before, command);
            match answer {
                Ok(Decision::Events(sealed)) => {
                    let Ok(Decision::Events(plain)) = again else {
                        return Err(TestCaseError::fail("the same question got another answer"));
                    };
                    prop_assert_eq!(plain.len(), sealed.len());
                    prop_assert_eq!(before.cursor.seq.0 + plain.len() as u64, after.state.cursor.seq.0);
                }
                Ok(Decision::Duplicate(seq)) => {
                    prop_assert!(*seq <= before.cursor.seq);
                    prop_assert_eq!(before, &after.state);
                }
                Err(rejection) => {
                    prop_assert!(rejection.code.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()));
                    prop_assert!(!rejection.message.is_empty());
                    prop_assert_eq!(before, &after.state);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn the_same_idempotency_key_and_payload_is_accepted_once(steps in steps(), later in 0..IDEMPOTENCY_TTL_MS) {
        walk(&mut Gateway::default(), &steps, |taken| repeats_are_recognised(&taken, later))?;
    }

    #[test]
    fn a_key_is_remembered_through_all_that_follows_until_it_lapses(steps in steps()) {
        remembered_throughout(&steps)?;
    }

    #[test]
    fn transcripts_rebuilt_equal_those_that_were_kept(steps in steps(), twice in any::<Index>()) {
        let gateway = after(&steps);
        let mut rebuilt = Transcripts::default();
        for (place, (record, event)) in gateway.records.iter().enumerate() {
            rebuilt.apply(record, event);
            if place == twice.index(gateway.records.len()) {
                rebuilt.apply(record, event);
            }
        }
        prop_assert_eq!(&rebuilt, &gateway.transcripts);
        prop_assert_eq!(rebuilt.checkpoint(), gateway.state.cursor.seq);
        for (session, _) in gateway.state.sessions.iter() {
            pages_add_up(&rebuilt, session)?;
        }
    }
}

/// The laws say nothing about what the generator never reaches.
#[test]
fn the_generator_reaches_every_kind_of_event_and_every_rejection() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<String, usize>::new();
    for _ in 0..800 {
        let steps = steps().new_tree(&mut runner).expect("a case").current();
        let mut gateway = Gateway::default();
        let count = |taken: Taken| {
            let name = match taken.answer {
                Ok(Decision::Events(_)) => return Ok(()),
                Ok(Decision::Duplicate(_)) => "duplicate",
                Err(rejection) => rejection.code,
            };
            *seen.entry(name.to_owned()).or_default() += 1;
            Ok(())
        };
        walk(&mut gateway, &steps, count).expect("nothing is checked");
        for (_, event) in &gateway.records {
            *seen.entry(kind_name(event.kind())).or_default() += 1;
            if matches!(event, Event::RunRequested(e) if e.retry_of.is_some()) {
                *seen.entry("a retry".to_owned()).or_default() += 1;
            }
        }
    }
    let kinds = KINDS.iter().map(|(_, name, _)| *name);
    let answers = [
        "a retry",
        "duplicate",
        "idempotency_conflict",
        "missing_scope",
        "not_allowed",
        "scope_too_wide",
        "last_operator",
        "config_conflict",
        "config_invalid",
        "unknown_request",
        "unknown_device",
        "unknown_peer",
        "unknown_run",
        "run_exists",
        "run_started",
        "not_last_run",
        "session_busy",
        "unknown_delivery",
        "unknown_session",
        "unknown_tombstone",
        "wrong_status",
        "bad_path",
        "key_changed",
        "file_twice",
    ];
    for name in kinds.chain(answers) {
        assert!(seen.contains_key(name), "{name} is never reached: {seen:?}");
    }
}

fn repeats_are_recognised(taken: &Taken, later: i64) -> Result<(), TestCaseError> {
    let Some(idempotency) = &taken.command.idempotency else {
        return Ok(());
    };
    let (Ok(Decision::Events(events)), after) = (taken.answer, &taken.after.state) else {
        return Ok(());
    };
    let ask = |state: &State, payload: Hash, ms: i64| {
        let same = taken.command.clone();
        let idempotency = Some(Idempotency {
            payload,
            ..idempotency.clone()
        });
        decide(
            state,
            &Command {
                at: same.at.plus_ms(ms),
                idempotency,
                ..same
            },
        )
    };
    let same = idempotency.payload;
    if events.is_empty() {
        prop_assert_eq!(ask(after, same, 0), Ok(Decision::Events(Vec::new())));
        return Ok(());
    }
    let snapshot = after.encode().expect("a state has bytes");
    let restarted = State::decode(&snapshot).expect("a snapshot is a state");
    for state in [after, &restarted] {
        let seq = state.cursor.seq;
        prop_assert_eq!(ask(state, same, 0), Ok(Decision::Duplicate(seq)));
        prop_assert_eq!(ask(state, same, later), Ok(Decision::Duplicate(seq)));
        let other = ask(state, Hash::of(b"other"), later).expect_err("another payload");
        prop_assert_eq!(other.code, "idempotency_conflict");
        let lapsed = ask(state, same, IDEMPOTENCY_TTL_MS);
        prop_assert!(!matches!(lapsed, Ok(Decision::Duplicate(_))));
    }
    Ok(())
}

fn remembered_throughout(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut accepted: Vec<(Command, Decision)> = Vec::new();
    let mut newest = i64::MIN;
    let mut gateway = Gateway::default();
    walk(&mut gateway, steps, |taken| {
        // A key lapses by the latest moment that the log has seen.
        newest = newest.max(taken.command.at.0);
        accepted.retain(|(command, _)| newest < command.at.0 + IDEMPOTENCY_TTL_MS);
        for (command, duplicate) in &accepted {
            let again = decide(&taken.after.state, command);
            prop_assert_eq!(again.as_ref(), Ok(duplicate));
        }
        if taken.command.idempotency.is_some()
            && let Ok(Decision::Events(events)) = taken.answer
            && !events.is_empty()
        {
            let duplicate = Decision::Duplicate(taken.after.state.cursor.seq);
            accepted.push((taken.command.clone(), duplicate));
        }
        Ok(())
    })?;
    let (restarted, _) = replay(&gateway.log());
    for (command, duplicate) in accepted {
        prop_assert_eq!(decide(&restarted, &command), Ok(duplicate));
    }
    Ok(())
}

fn pages_add_up(
    transcripts: &Transcripts,
    session: &moltbot_core::ids::SessionId,
) -> Result<(), TestCaseError> {
    let (all, more) = transcripts.page(session, None, usize::MAX);
    prop_assert!(!more);
    prop_assert_eq!(all.first(), transcripts.first(session));
    prop_assert_eq!(all.last(), transcripts.last(session));
    let (mut paged, mut before, mut more) = (Vec::new(), None, true);
    while more {
        let (page, older) = transcripts.page(session, before, 2);
        prop_assert!(page.len() <= 2);
        paged.splice(0..0, page.iter().copied());
        before = page.first().map(|line| line.seq);
        more = older;
    }
    prop_assert_eq!(paged.as_slice(), all);
    Ok(())
}
