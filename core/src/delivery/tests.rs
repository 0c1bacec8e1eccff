use super::*;
use crate::actor::Actor;
use crate::command::DmPolicy;
use crate::testing::{Scene, complete, device, peer, say, write_in};

/// A scene in which a reply to `li` is due.
fn due() -> (Scene, DeliveryId) {
    let mut scene = Scene::founded();
    let first = "peer_approved session_created message_received run_requested";
    scene.check(
        &peer("li"),
        write_in("telegram", "1", DmPolicy::Open),
        first,
    );
    let done = "run_completed delivery_queued";
    scene.check(&Actor::System, complete("1", "hi"), done);
    let (delivery, _) = scene.state.deliveries.iter().next().unwrap();
    let delivery = delivery.clone();
    (scene, delivery)
}

type Of = fn(DeliveryId) -> Action;
const ATTEMPT: Of = |delivery| Action::AttemptDelivery { delivery };
const UNKNOWN: Of = |delivery| Action::MarkDeliveryUnknown { delivery };
const RESEND: Of = |delivery| Action::ResendDelivery { delivery };
const CANCEL: Of = |delivery| Action::CancelDelivery { delivery };
const CONFIRM: Of = |delivery| Action::ConfirmDelivery {
    delivery,
    receipt: vec!["42".into()],
};

#[test]
fn a_reply_is_attempted_before_it_has_an_outcome() {
    let (mut scene, id) = due();
    for early in [CONFIRM, UNKNOWN, RESEND] {
        let actor = Actor::System;
        scene.check(&actor, early(id.clone()), "!wrong_status");
    }
    scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
    scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
    scene.check(&Actor::System, CANCEL(id.clone()), "!wrong_status");
    scene.check(&Actor::System, CONFIRM(id.clone()), "delivery_confirmed");
    scene.check(&Actor::System, CONFIRM(id), "!unknown_delivery");
    assert!(scene.state.outbox.is_empty());
}

#[test]
fn a_reply_of_unknown_outcome_is_resent_by_an_administrator_only() {
    let (mut scene, id) = due();
    scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
    scene.check(&Actor::System, UNKNOWN(id.clone()), "delivery_unknown");
    scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
    scene.check(&device("talker"), RESEND(id.clone()), "!missing_scope");
    scene.check(&device("admin"), RESEND(id.clone()), "delivery_resent");
    scene.check(&Actor::System, ATTEMPT(id), "delivery_attempted");
}

#[test]
fn a_reply_that_was_surely_not_sent_is_due_again() {
    let (mut scene, id) = due();
    let back = || Action::ReturnDelivery {
        delivery: id.clone(),
    };
    scene.check(&Actor::System, back(), "!wrong_status");
    scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
    scene.check(&Actor::Local, back(), "!not_allowed");
    scene.check(&Actor::System, back(), "delivery_returned");
    scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
}

#[test]
fn only_the_gateway_says_what_the_platform_did() {
    let (mut scene, id) = due();
    for action in [ATTEMPT, CONFIRM, UNKNOWN] {
        scene.check(&Actor::Local, action(id.clone()), "!not_allowed");
    }
    scene.check(&device("talker"), CANCEL(id.clone()), "!missing_scope");
    scene.check(&Actor::Local, CANCEL(id), "delivery_cancelled");
}

#[test]
fn an_empty_answer_and_an_answer_to_a_device_are_not_delivered() {
    let (mut scene, _) = due();
    let next = "message_received run_requested";
    scene.check(&peer("li"), write_in("telegram", "2", DmPolicy::Open), next);
    scene.check(&Actor::System, complete("2", ""), "run_completed");
    let key = "agent:main:telegram:dm:li";
    scene.check(&device("talker"), say(key, "3", "hi"), next);
    scene.check(&Actor::System, complete("3", "hi"), "run_completed");
}

const POST: Of = |delivery| Action::PostDelivery {
    delivery,
    receipt: vec!["41".into()],
};

/// A scene in which an answer to `li` is shown while it is written.
fn streaming() -> (Scene, DeliveryId) {
    let mut scene = Scene::founded();
    let first = "peer_approved session_created message_received run_requested";
    let hello = write_in("telegram", "1", DmPolicy::Open);
    scene.check(&peer("li"), hello, first);
    let begin = || Action::BeginDelivery { run: "1".into() };
    scene.check(&Actor::System, begin(), "!unknown_run");
    let start = Action::StartRun {
        run: "1".into(),
        provider: "demo".into(),
        model: "demo-1".into(),
    };
    scene.check(&Actor::System, start, "run_started");
    scene.check(&Actor::Local, begin(), "!not_allowed");
    scene.check(&Actor::System, begin(), "delivery_begun");
    scene.check(&Actor::System, begin(), "!wrong_status");
    let (delivery, _) = scene.state.deliveries.iter().next().unwrap();
    let delivery = delivery.clone();
    (scene, delivery)
}

#[test]
fn an_answer_shown_while_it_is_written_is_queued_once() {
    let (mut scene, id) = streaming();
    scene.check(&Actor::System, CONFIRM(id.clone()), "!wrong_status");
    scene.check(&Actor::System, POST(id.clone()), "delivery_posted");
    scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
    scene.check(&Actor::System, complete("1", "hi"), "run_completed");
    let open = scene.state.deliveries.get(&id).unwrap();
    assert_eq!((open.text_seq.is_some(), open.is_in_doubt()), (true, false));
    scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
    scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
    scene.check(&Actor::System, CONFIRM(id), "delivery_confirmed");
    assert!(scene.state.outbox.is_empty());
}

#[test]
fn an_answer_whose_first_form_may_be_on_the_channel_is_in_doubt() {
    let (mut scene, id) = streaming();
    assert!(scene.state.deliveries.get(&id).unwrap().is_in_doubt());
    scene.check(&Actor::System, UNKNOWN(id.clone()), "delivery_unknown");
    scene.check(&Actor::Local, RESEND(id.clone()), "!still_written");
    scene.check(&Actor::System, POST(id.clone()), "!wrong_status");
    let interrupt = Action::InterruptRun { run: "1".into() };
    scene.check(&Actor::System, interrupt, "run_interrupted");
    scene.check(&Actor::Local, RESEND(id.clone()), "delivery_resent");
    scene.check(&Actor::System, ATTEMPT(id), "delivery_attempted");
}

#[test]
fn an_answer_begun_and_surely_not_shown_is_due_once_it_is_written() {
    let (mut scene, id) = streaming();
    let back = || Action::ReturnDelivery {
        delivery: id.clone(),
    };
    scene.check(&Actor::System, back(), "!wrong_status");
    let interrupt = Action::InterruptRun { run: "1".into() };
    scene.check(&Actor::System, interrupt, "run_interrupted");
    scene.check(&Actor::System, back(), "delivery_returned");
    scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
}

#[test]
fn every_end_of_a_run_is_told_but_one_that_was_chosen_before_the_first_word() {
    let check = |end: Action, expected: &str| {
        let mut scene = Scene::founded();
        let first = "peer_approved session_created message_received run_requested";
        let hello = write_in("telegram", "1", DmPolicy::Open);
        scene.check(&peer("li"), hello, first);
        scene.check(&Actor::System, end, expected);
    };
    let cancel = |text: &str, reason: &str| Action::CancelRun {
        run: "1".into(),
        text: text.into(),
        reason: reason.into(),
    };
    check(cancel("", "stop"), "run_cancelled");
    check(cancel("half", "stop"), "run_cancelled delivery_queued");
    check(cancel("", "timeout"), "run_cancelled delivery_queued");
    check(crate::testing::fail("1"), "run_failed delivery_queued");
    let interrupt = Action::InterruptRun { run: "1".into() };
    check(interrupt, "run_interrupted delivery_queued");
}

#[test]
fn an_answer_tried_again_from_elsewhere_still_goes_to_the_person() {
    let (mut scene, _) = due();
    let retry = Action::RetryRun {
        run: "1".into(),
        new_run: "2".into(),
    };
    scene.check(&device("talker"), retry, "run_requested");
    let done = "run_completed delivery_queued";
    scene.check(&Actor::System, complete("2", "hi"), done);
}

#[test]
fn a_receipt_has_bounds() {
    let (mut scene, id) = due();
    scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
    let confirm = |receipt| Action::ConfirmDelivery {
        delivery: id.clone(),
        receipt,
    };
    let many = vec![String::new(); RECEIPTS_MAX + 1];
    scene.check(&Actor::System, confirm(many), "!bad_receipt");
    let long = vec!["x".repeat(5_000)];
    scene.check(&Actor::System, confirm(long), "!text_too_long");
}
