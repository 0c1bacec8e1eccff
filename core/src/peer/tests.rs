use super::*;
use crate::testing::{Scene, complete, device, peer, write_in};

/// A stranger is told his code.
const ASKED: &str = "peer_pairing_requested delivery_queued";
/// Who waited is told that he may talk.
const LET_IN: &str = "peer_approved delivery_queued";
const FIRST: &str = "session_created message_received run_requested";

fn approve(name: &str, is_operator: bool) -> Action {
    Action::ApprovePeer {
        peer: name.into(),
        is_operator,
    }
}

fn block(name: &str) -> Action {
    Action::BlockPeer { peer: name.into() }
}

fn hello(run: &str) -> Action {
    write_in("telegram", run, DmPolicy::Pairing)
}

/// A founded scene in which `li` has written.
fn asked() -> Scene {
    let mut scene = Scene::founded();
    scene.check(&peer("li"), hello("1"), ASKED);
    scene
}

#[test]
fn a_stranger_is_heard_once_he_was_let_in() {
    let mut scene = asked();
    scene.check(&peer("li"), hello("2"), "");
    scene.check(&device("talker"), approve("li", false), "!missing_scope");
    scene.check(&device("admin"), approve("li", false), LET_IN);
    assert!(scene.state.peers.pending.is_empty());
    assert!(
        scene.state.peers.approved[&PeerId::from("li")]
            .name
            .is_some()
    );
    scene.check(&peer("li"), hello("3"), FIRST);
    assert!(
        scene
            .state
            .sessions
            .find("agent:main:telegram:dm:li")
            .is_some()
    );
}

#[test]
fn the_operator_himself_shares_the_main_session() {
    let mut scene = asked();
    scene.check(&Actor::Local, approve("li", true), LET_IN);
    scene.check(&peer("li"), hello("1"), FIRST);
    assert!(scene.state.sessions.find(session::MAIN_KEY).is_some());
}

#[test]
fn who_may_not_talk_lets_nobody_into_the_main_session() {
    let mut scene = asked();
    let intro = crate::testing::intro("porter", &[Scope::Pairing]);
    scene.check(
        &Actor::Grant,
        Action::RedeemGrant { intro },
        "device_approved",
    );
    scene.check(&device("porter"), approve("li", true), "!missing_scope");
    scene.check(&device("porter"), approve("li", false), LET_IN);
}

#[test]
fn a_fourth_stranger_on_an_account_is_ignored_without_a_word() {
    let mut scene = asked();
    scene.check(&peer("bo"), hello("2"), ASKED);
    scene.check(&peer("cy"), hello("3"), ASKED);
    scene.check(&peer("di"), hello("4"), "");
    scene.check(
        &peer("ed"),
        write_in("slack", "5", DmPolicy::Pairing),
        ASKED,
    );
    scene.now_ms += PEER_REQUEST_TTL_MS;
    let expired = "pairing_expired delivery_cancelled ".repeat(4);
    scene.check(&peer("di"), hello("6"), &format!("{expired}{ASKED}"));
}

#[test]
fn a_blocked_person_leaves_no_trace_until_he_is_let_in_again() {
    let mut scene = asked();
    let blocked = "peer_blocked delivery_cancelled";
    scene.check(&Actor::Local, block("li"), blocked);
    scene.check(&Actor::Local, block("li"), "");
    scene.idempotency = Some(crate::command::Idempotency {
        method: "telegram",
        key: "update 7".into(),
        payload: crate::chain::Hash::ZERO,
    });
    let before = scene.state.clone();
    scene.check(&peer("li"), hello("2"), "");
    scene.check(&peer("li"), write_in("telegram", "3", DmPolicy::Open), "");
    assert_eq!(scene.state, before);
    scene.idempotency = None;
    assert_eq!(
        scene.state.peers.blocked[&PeerId::from("li")].account,
        "bot"
    );
    scene.check(&Actor::Local, approve("li", false), "peer_approved");
    assert!(scene.state.peers.blocked.is_empty());
    scene.check(&peer("li"), hello("4"), FIRST);
}

#[test]
fn a_person_blocked_while_an_answer_is_made_does_not_get_it() {
    let mut scene = asked();
    scene.check(&Actor::Local, approve("li", false), LET_IN);
    scene.check(&peer("li"), hello("1"), FIRST);
    let blocked = "peer_blocked delivery_cancelled delivery_cancelled";
    scene.check(&Actor::Local, block("li"), blocked);
    scene.check(&Actor::System, complete("1", "hi"), "run_completed");
    assert!(scene.state.outbox.is_empty());
}

#[test]
fn the_policy_decides_about_strangers() {
    let check = |policy, stranger: &str, known: &str| {
        let mut scene = asked();
        scene.check(&Actor::Local, approve("li", false), LET_IN);
        scene.check(&peer("bo"), write_in("telegram", "2", policy), stranger);
        scene.check(&peer("li"), write_in("telegram", "3", policy), known);
    };
    check(DmPolicy::Pairing, ASKED, FIRST);
    check(DmPolicy::Open, &format!("peer_approved {FIRST}"), FIRST);
    check(DmPolicy::Allowlist, "", FIRST);
    check(DmPolicy::Disabled, "", "");
}

#[test]
fn who_is_let_in_by_policy_keeps_the_name_the_platform_gave() {
    let mut scene = Scene::founded();
    let hello = || write_in("telegram", "1", DmPolicy::Open);
    scene.check(&peer("bo"), hello(), &format!("peer_approved {FIRST}"));
    let name_of = |scene: &Scene| scene.state.peers.approved[&PeerId::from("bo")].name.clone();
    let named = name_of(&scene);
    assert!(named.is_some());
    scene.check(&Actor::Local, approve("bo", true), "peer_approved");
    assert_eq!(name_of(&scene), named, "saying who he is loses no name");
}

#[test]
fn a_request_that_lapsed_cannot_be_approved() {
    let mut scene = asked();
    scene.now_ms += PEER_REQUEST_TTL_MS;
    scene.check(&Actor::Local, approve("li", false), "!unknown_peer");
    scene.check(&Actor::Local, approve("nobody", false), "!unknown_peer");
    scene.check(
        &peer("li"),
        hello("2"),
        &format!("pairing_expired delivery_cancelled {ASKED}"),
    );
    scene.check(&Actor::Local, approve("li", false), LET_IN);
}

#[test]
fn only_a_channel_brings_a_message_of_a_person() {
    let mut scene = Scene::founded();
    scene.check(&Actor::Local, hello("1"), "!not_allowed");
    scene.check(&device("admin"), hello("1"), "!not_allowed");
    scene.check(
        &peer("li"),
        crate::testing::say("main", "1", "hi"),
        "!missing_scope",
    );
    let long = "x".repeat(crate::limits::INLINE_TEXT_BYTES_MAX + 1);
    scene.check(
        &peer("li"),
        write_in(&long, "1", DmPolicy::Pairing),
        "!text_too_long",
    );
}
