//! The shipper's rhythm and its answers, step by step, without any I/O.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

use bytes::Bytes;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::segment;
use moltbot_store::settings::StoreSettings;
use moltbot_store::ship_status::{ShipState, weight};
use moltbot_store::shipper::{Action, Input, Op, Outcome, Shipper};
use moltbot_store::testing::records;

const EPOCH: Epoch = Epoch(4);
const HEAD_CHECK_MS: u64 = 60_000;

fn shipper() -> Shipper {
    let settings = StoreSettings::default();
    Shipper::new(EPOCH, InstanceId::from("a"), Cursor::START, settings, 1, 0)
}

fn appended(records: &[Record]) -> Input {
    Input::Appended {
        head: records.last().unwrap().cursor(),
        bytes: weight(records),
    }
}

fn done(op: Op, outcome: Outcome) -> Input {
    Input::Done { op, outcome }
}

fn failed(op: Op) -> Input {
    let error = StoreError::Remote {
        operation: "create",
        object: "log/1".to_owned(),
        reason: "no answer".to_owned(),
    };
    done(op, Outcome::Failed(error))
}

/// The only action, besides the wish to be woken should its answer take too long.
fn one(mut actions: Vec<Action>) -> Action {
    if actions.len() > 1 {
        actions.retain(|action| !matches!(action, Action::WakeAt(_)));
    }
    let [action] = <[Action; 1]>::try_from(actions).unwrap();
    action
}

/// It does nothing but wait for an answer.
fn waits(actions: &[Action]) {
    let waits = |action: &Action| matches!(action, Action::WakeAt(_));
    assert!(actions.iter().all(waits), "{actions:?}");
}

fn wake(actions: Vec<Action>) -> u64 {
    let Action::WakeAt(at) = one(actions) else {
        panic!("it does something else than wait");
    };
    at
}

/// Ships these records at once and returns the create.
fn sealed(shipper: &mut Shipper, now: u64, batch: &[Record]) -> (Op, Bytes) {
    shipper.step(now, appended(batch));
    let Action::ReadRecords { op, from, .. } = one(shipper.step(now, Input::ShipNow)) else {
        panic!("a waiter does not wait");
    };
    assert_eq!(from, batch[0].seq);
    let Action::Create { op, bytes, .. } =
        one(shipper.step(now, done(op, Outcome::Records(batch.to_vec()))))
    else {
        panic!("sealed records are created");
    };
    (op, bytes)
}

/// Lets the create succeed and the next epoch be unclaimed.
fn confirm(shipper: &mut Shipper, now: u64, op: Op) -> Vec<Action> {
    let Action::CheckHead { op, epoch } = one(shipper.step(now, done(op, Outcome::Created))) else {
        panic!("a create alone does not count");
    };
    assert_eq!(epoch, EPOCH.next());
    let mut actions = shipper.step(now, done(op, Outcome::Absent));
    // From here on it only asks now and then whether it was fenced.
    let next = wake(actions.split_off(1));
    assert_eq!(next, now + HEAD_CHECK_MS);
    actions
}

#[test]
fn records_wait_fifty_milliseconds_for_company() {
    let mut shipper = shipper();
    assert_eq!(wake(shipper.step(0, Input::Tick)), HEAD_CHECK_MS);
    let batch = records(Cursor::START, 2, 10);
    assert_eq!(wake(shipper.step(100, appended(&batch[..1]))), 150);
    assert_eq!(wake(shipper.step(130, appended(&batch[1..]))), 150);
    assert_eq!(wake(shipper.step(149, Input::Tick)), 150);
    assert!(matches!(
        one(shipper.step(150, Input::Tick)),
        Action::ReadRecords { from: Seq(1), .. }
    ));
}

#[test]
fn a_full_segment_does_not_wait() {
    let batch = records(Cursor::START, 3, 100_000);
    assert!(matches!(
        one(shipper().step(0, appended(&batch))),
        Action::ReadRecords { .. }
    ));
}

#[test]
fn without_budget_records_wait_a_second_and_are_then_shipped_all_the_same() {
    let mut shipper = shipper();
    let mut after = Cursor::START;
    for _ in 0..30 {
        let batch = records(after, 1, 10);
        let (op, _) = sealed(&mut shipper, 0, &batch);
        assert!(matches!(
            one(confirm(&mut shipper, 0, op)),
            Action::Shipped(_)
        ));
        after = batch[0].cursor();
    }
    assert_eq!(shipper.status().put_tokens, 0);
    let batch = records(after, 1, 10);
    assert_eq!(wake(shipper.step(10, appended(&batch))), 1010);
    assert!(matches!(
        one(shipper.step(1010, Input::Tick)),
        Action::ReadRecords { .. }
    ));
}

#[test]
fn a_segment_counts_only_after_its_create_and_the_check_of_the_next_epoch() {
    let mut shipper = shipper();
    let batch = records(Cursor::START, 3, 10);
    let (op, bytes) = sealed(&mut shipper, 7, &batch);
    let header = segment::decode_header("it", &bytes).unwrap();
    assert_eq!((header.epoch, header.to()), (EPOCH, batch[2].cursor()));
    assert_eq!(shipper.shipped(), Cursor::START);
    let Action::Shipped(cursor) = one(confirm(&mut shipper, 9, op)) else {
        panic!("it is not shipped");
    };
    assert_eq!(cursor, batch[2].cursor());
    let status = shipper.status();
    assert_eq!(
        (status.lag_events, status.lag_bytes, status.lag_ms(99)),
        (0, 0, 0)
    );
    assert_eq!(
        (status.state, status.last_success_ms),
        (ShipState::Idle, Some(9))
    );
}

#[test]
fn a_claimed_next_epoch_fences_even_when_the_create_succeeded() {
    let mut shipper = shipper();
    let (op, _) = sealed(&mut shipper, 0, &records(Cursor::START, 1, 10));
    let Action::CheckHead { op, .. } = one(shipper.step(0, done(op, Outcome::Created))) else {
        panic!("no check");
    };
    let found = done(op, Outcome::Found(Bytes::from_static(b"{}")));
    assert!(matches!(
        one(shipper.step(0, found)),
        Action::Fenced(Epoch(5))
    ));
    assert_eq!(shipper.shipped(), Cursor::START);
    assert!(shipper.step(1, Input::ShipNow).is_empty());
    assert_eq!(shipper.status().state, ShipState::Fenced);
}

#[test]
fn a_doubtful_create_is_repeated_with_the_same_bytes_whatever_was_appended_since() {
    let mut shipper = shipper();
    let batch = records(Cursor::START, 2, 10);
    let (mut op, bytes) = sealed(&mut shipper, 0, &batch[..1]);
    let mut now = 0;
    for round in 0..50 {
        let at = wake(shipper.step(now, failed(op)));
        assert!(at > now && at <= now + 30_000);
        if round == 0 {
            assert_eq!(wake(shipper.step(now, appended(&batch[1..]))), at);
        }
        now = at;
        let again = one(shipper.step(now, Input::Tick));
        let Action::Create {
            op: next,
            bytes: same,
            ..
        } = again
        else {
            panic!("it is not put again");
        };
        assert_eq!(same, bytes);
        op = next;
    }
    let status = shipper.status();
    assert_eq!((status.retries, status.failing_since_ms), (50, Some(0)));
    assert_eq!((status.lag_events, status.lag_ms(now)), (2, now));
    assert!(status.last_error.unwrap().contains("no answer"));
}

#[test]
fn what_stands_in_the_way_decides() {
    let batch = records(Cursor::START, 1, 10);
    let other = |epoch| segment::encode(Epoch(epoch), &InstanceId::from("b"), &batch).unwrap();
    let meet = |found: Bytes| {
        let mut shipper = shipper();
        let (op, _) = sealed(&mut shipper, 0, &batch);
        let Action::Get { op, .. } = one(shipper.step(0, done(op, Outcome::Exists))) else {
            panic!("it does not look");
        };
        one(shipper.step(0, done(op, Outcome::Found(found))))
    };
    let own = segment::encode(EPOCH, &InstanceId::from("a"), &batch).unwrap();
    assert!(matches!(meet(own), Action::CheckHead { .. }));
    assert!(matches!(meet(other(9)), Action::Fenced(Epoch(9))));
    assert!(matches!(
        meet(other(4)),
        Action::Failed(StoreError::Corrupt { .. })
    ));
    assert!(matches!(
        meet(other(3)),
        Action::Failed(StoreError::Corrupt { .. })
    ));
    assert!(matches!(
        meet(Bytes::from_static(b"rubbish")),
        Action::Failed(_)
    ));
}

#[test]
fn an_object_that_exists_and_is_absent_is_put_again() {
    let mut shipper = shipper();
    let (op, bytes) = sealed(&mut shipper, 0, &records(Cursor::START, 1, 10));
    let Action::Get { op, .. } = one(shipper.step(0, done(op, Outcome::Exists))) else {
        panic!("it does not look");
    };
    let at = wake(shipper.step(0, done(op, Outcome::Absent)));
    let Action::Create { bytes: same, .. } = one(shipper.step(at, Input::Tick)) else {
        panic!("it is not put again");
    };
    assert_eq!(same, bytes);
}

#[test]
fn an_answer_to_an_older_request_changes_nothing() {
    let mut shipper = shipper();
    let (op, _) = sealed(&mut shipper, 0, &records(Cursor::START, 1, 10));
    waits(&shipper.step(0, done(op - 1, Outcome::Created)));
    assert!(matches!(
        one(confirm(&mut shipper, 0, op)),
        Action::Shipped(_)
    ));
}

#[test]
fn a_remote_that_does_not_answer_is_told_of_long_before_it_is_given_up() {
    let mut shipper = shipper();
    let batch = records(Cursor::START, 1, 10);
    let (op, _) = sealed(&mut shipper, 1_000, &batch);
    shipper.step(3_999, Input::Tick);
    assert_eq!(shipper.status().failing_since_ms, None);
    assert!(shipper.step(4_000, Input::Tick).is_empty());
    let status = shipper.status();
    assert_eq!(status.failing_since_ms, Some(1_000));
    assert_eq!(status.state, ShipState::Retrying);
    let error = status.last_error.unwrap();
    assert!(error.contains("not answered"), "{error}");
    // The answer comes all the same.
    confirm(&mut shipper, 9_000, op);
    let status = shipper.status();
    assert_eq!((status.failing_since_ms, status.lag_events), (None, 0));
}

/// A remote that is away for an hour, while a record is appended every second.
#[test]
fn an_hour_without_the_remote_costs_few_requests_and_is_made_up_for() {
    const HOUR_MS: u64 = 3_600_000;
    let mut shipper = shipper();
    let log = records(Cursor::START, 3_600, 4_000);
    let (mut now, mut requests, mut wake_at) = (0, 0_u64, None);
    let mut waiting: Vec<Action> = Vec::new();
    for record in &log {
        let mut actions = shipper.step(now, appended(std::slice::from_ref(record)));
        let next = now + 1_000;
        loop {
            waiting.append(&mut actions);
            match waiting.pop() {
                Some(Action::WakeAt(at)) => wake_at = Some(at),
                Some(Action::ReadRecords {
                    op,
                    from,
                    bytes_max,
                }) => {
                    let read = page(&log, from, bytes_max);
                    actions = shipper.step(now, done(op, Outcome::Records(read)));
                }
                Some(Action::Create { op, .. }) => {
                    requests += 1;
                    actions = shipper.step(now, failed(op));
                }
                Some(other) => panic!("{other:?} without a remote"),
                None => match wake_at.take_if(|at| *at < next) {
                    Some(at) => {
                        now = now.max(at);
                        actions = shipper.step(now, Input::Tick);
                    }
                    None => break,
                },
            }
        }
        now = next;
    }
    let status = shipper.status();
    assert_eq!(now, HOUR_MS);
    assert_eq!(status.lag_events, 3_600);
    assert!(status.lag_ms(now) >= HOUR_MS - 1_000, "{status:?}");
    // Half a minute at most between two tries, and hardly more often.
    assert!((100..=400).contains(&requests), "{requests} requests");

    let mut segments = 0;
    let mut actions = shipper.step(now + 60_000, Input::Tick);
    while shipper.shipped().seq < Seq(3_600) {
        waiting.append(&mut actions);
        match waiting.pop().unwrap() {
            Action::ReadRecords {
                op,
                from,
                bytes_max,
            } => {
                let read = page(&log, from, bytes_max);
                actions = shipper.step(now + 60_000, done(op, Outcome::Records(read)));
            }
            Action::Create { op, .. } => {
                segments += 1;
                actions = shipper.step(now + 60_000, done(op, Outcome::Created));
            }
            Action::CheckHead { op, .. } => {
                actions = shipper.step(now + 60_000, done(op, Outcome::Absent));
            }
            _ => {}
        }
    }
    assert_eq!(shipper.status().lag_events, 0);
    // 14.6 MB: the first segment was sealed before the outage was known, the others are large.
    assert!(segments <= 20, "{segments} segments");
}

/// As the local log reads.
fn page(log: &[Record], from: Seq, bytes_max: usize) -> Vec<Record> {
    let mut bytes = 0;
    let rest = log.iter().skip_while(|record| record.seq < from);
    let fits = rest.take_while(|record| {
        let fits = bytes < bytes_max;
        bytes += record.payload.len();
        fits
    });
    fits.cloned().collect()
}

/// Lets an idle minute pass and returns the question for the next head.
fn watched(shipper: &mut Shipper, now: u64) -> Op {
    let Action::CheckHead { op, epoch } = one(shipper.step(now, Input::Tick)) else {
        panic!("it does not ask");
    };
    assert_eq!(epoch, EPOCH.next());
    op
}

#[test]
fn an_idle_shipper_learns_that_it_was_fenced() {
    let mut shipper = shipper();
    let op = watched(&mut shipper, HEAD_CHECK_MS);
    assert_eq!(shipper.status().state, ShipState::Idle);
    let next = wake(shipper.step(HEAD_CHECK_MS + 9, done(op, Outcome::Absent)));
    assert_eq!(next, 2 * HEAD_CHECK_MS + 9);
    let op = watched(&mut shipper, next);
    let found = done(op, Outcome::Found(Bytes::from_static(b"{}")));
    assert!(matches!(
        one(shipper.step(next, found)),
        Action::Fenced(Epoch(5))
    ));
    assert_eq!(shipper.status().state, ShipState::Fenced);
}

#[test]
fn records_that_come_while_an_idle_shipper_asks_are_shipped_next() {
    let mut shipper = shipper();
    let op = watched(&mut shipper, HEAD_CHECK_MS);
    let batch = records(Cursor::START, 1, 10);
    waits(&shipper.step(HEAD_CHECK_MS, appended(&batch)));
    waits(&shipper.step(HEAD_CHECK_MS, Input::ShipNow));
    assert!(matches!(
        one(shipper.step(HEAD_CHECK_MS, done(op, Outcome::Absent))),
        Action::ReadRecords { from: Seq(1), .. }
    ));
}

#[test]
fn an_idle_shipper_that_gets_no_answer_asks_again() {
    let mut shipper = shipper();
    let op = watched(&mut shipper, HEAD_CHECK_MS);
    let at = wake(shipper.step(HEAD_CHECK_MS, failed(op)));
    assert!(at > HEAD_CHECK_MS && at <= HEAD_CHECK_MS + 30_000);
    assert_eq!(shipper.status().failing_since_ms, Some(HEAD_CHECK_MS));
    let op = watched(&mut shipper, at);
    wake(shipper.step(at, done(op, Outcome::Absent)));
    let status = shipper.status();
    assert_eq!(
        (status.state, status.failing_since_ms),
        (ShipState::Idle, None)
    );
}
