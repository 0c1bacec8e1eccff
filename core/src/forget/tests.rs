use super::*;
use crate::command::DmPolicy;
use crate::session::canonical_key;
use crate::testing::{Scene, complete, device, peer, say, write_in};

const NEXT: &str = "message_received run_requested";

fn subject_of(scene: &Scene, key: &str) -> Subject {
    let (id, _) = scene.state.sessions.find(&canonical_key(key)).unwrap();
    Subject::Session(id.clone())
}

fn forget(subject: &Subject) -> Action {
    Action::Forget {
        subject: subject.clone(),
    }
}

/// A device talks in `main` and `other`; a person on a channel has a conversation of his own.
fn talked() -> Scene {
    let mut scene = Scene::founded();
    let new = "session_created message_received run_requested";
    scene.check(&device("talker"), say("main", "1", "a"), new);
    scene.check(&Actor::System, complete("1", "b"), "run_completed");
    scene.check(&Actor::Local, say("main", "2", "c"), NEXT);
    scene.check(&Actor::System, complete("2", "d"), "run_completed");
    scene.check(&device("talker"), say("other", "3", "e"), new);
    scene.check(&Actor::System, complete("3", "f"), "run_completed");
    let first = "peer_approved session_created message_received run_requested";
    let hello = write_in("telegram", "4", DmPolicy::Open);
    scene.check(&peer("telegram:7"), hello, first);
    let done = "run_completed delivery_queued";
    scene.check(&Actor::System, complete("4", "hi"), done);
    scene
}

/// The scopes that have a key, but for names of devices.
fn scopes(scene: &Scene) -> Vec<String> {
    let main = subject_of(scene, "main").to_string();
    let all = scene.state.vault.iter();
    let mut all: Vec<String> = all
        .map(|(scope, _)| scope.replace(&main, "main"))
        .filter(|scope| !scope.starts_with("device/"))
        .collect();
    all.sort();
    all
}

#[test]
fn a_conversation_is_forgotten_whole_and_the_others_stay() {
    let mut scene = talked();
    let before = scopes(&scene).len();
    let main = subject_of(&scene, "main");
    scene.check(&device("admin"), forget(&main), "content_forgotten");
    let left = scopes(&scene);
    assert_eq!(left.len(), before - 3, "{left:?}");
    assert!(left.iter().all(|scope| !scope.starts_with("main|")));
    let (seq, stone) = scene.state.vault.tombstones().next().unwrap();
    assert_eq!((stone.texts, stone.keys.len()), (4, 3));
    assert_eq!(stone.by, "device:admin");
    for key in &stone.keys {
        assert_eq!(scene.state.vault.tombstone_of(key), Some((seq, stone)));
    }
    let due = scene.state.outbox.iter().last();
    assert_eq!(due, Some((seq, &Effect::DeleteKeys(seq))));
}

#[test]
fn a_person_is_forgotten_with_his_conversation_and_his_name_and_stays_let_in() {
    let mut scene = talked();
    let id = PeerId::from("telegram:7");
    let li = Subject::Peer(id.clone());
    scene.check(&Actor::Local, forget(&li), "content_forgotten");
    assert_eq!(scopes(&scene).len(), 5, "what devices said stays");
    assert!(scene.state.peers.approved.contains_key(&id));
    let again = write_in("telegram", "5", DmPolicy::Pairing);
    scene.check(&peer("telegram:7"), again, NEXT);
    assert_eq!(scopes(&scene).len(), 6, "what he says now has a new key");
    scene.check(&Actor::Local, forget(&li), "run_failed content_forgotten");
}

#[test]
fn a_person_who_was_never_let_in_can_be_forgotten_and_his_code_still_works() {
    let mut scene = Scene::founded();
    let asks = write_in("telegram", "1", DmPolicy::Pairing);
    let asked = "peer_pairing_requested delivery_queued";
    scene.check(&peer("telegram:7"), asks, asked);
    let li = Subject::Peer("telegram:7".into());
    scene.check(&Actor::Local, forget(&li), "content_forgotten");
    assert!(scene.state.peers.has_met(&"telegram:7".into()));
}

#[test]
fn what_a_device_wrote_anywhere_is_forgotten_and_it_stays_paired() {
    let mut scene = talked();
    let talker = Subject::Device("talker".into());
    scene.check(&Actor::Local, forget(&talker), "content_forgotten");
    let stone = scene.state.vault.tombstones().next().unwrap().1;
    assert_eq!(
        (stone.keys.len(), stone.texts),
        (3, 3),
        "two sessions, a name"
    );
    assert!(scene.state.devices.paired.contains_key(&"talker".into()));
    assert!(scopes(&scene).contains(&"main|assistant".to_owned()));
}

#[test]
fn forgetting_again_changes_nothing() {
    let mut scene = talked();
    let (main, other) = (subject_of(&scene, "main"), subject_of(&scene, "other"));
    scene.check(&Actor::Local, forget(&main), "content_forgotten");
    let before = scene.state.clone();
    scene.check(&Actor::Local, forget(&main), "");
    assert_eq!(scene.state, before);
    scene.check(&Actor::Local, forget(&other), "content_forgotten");
}

#[test]
fn who_or_what_is_not_there_is_not_forgotten_and_not_by_anybody() {
    let mut scene = talked();
    let check = |scene: &mut Scene, subject: Subject, expected: &str| {
        scene.check(&Actor::Local, forget(&subject), expected);
    };
    check(&mut scene, Subject::Session("s".into()), "!unknown_session");
    check(&mut scene, Subject::Peer("p".into()), "!unknown_peer");
    check(&mut scene, Subject::Device("d".into()), "!unknown_device");
    let main = subject_of(&scene, "main");
    for actor in [device("talker"), peer("telegram:7"), Actor::Grant] {
        scene.check(&actor, forget(&main), "!missing_scope");
    }
}

#[test]
fn an_answer_under_way_to_something_forgotten_fails_and_is_not_tried_again() {
    let mut scene = talked();
    scene.check(&device("talker"), say("main", "9", "g"), NEXT);
    let talker = Subject::Device("talker".into());
    let failed = "run_failed content_forgotten";
    scene.check(&Actor::Local, forget(&talker), failed);
    assert!(scene.state.runs.iter().next().is_none());
    scene.check(&Actor::System, complete("9", "h"), "!unknown_run");

    // One of somebody else in the same conversation goes on.
    scene.check(&Actor::Local, say("main", "10", "i"), NEXT);
    scene.check(&Actor::Local, forget(&talker), "");
    scene.check(&Actor::System, complete("10", "j"), "run_completed");
    // One that is tried again by another is still about what was forgotten.
    scene.check(&device("talker"), say("other", "11", "k"), NEXT);
    let interrupt = Action::InterruptRun { run: "11".into() };
    scene.check(&Actor::System, interrupt, "run_interrupted");
    let retry = Action::RetryRun {
        run: "11".into(),
        new_run: "12".into(),
    };
    scene.check(&Actor::Local, retry, "run_requested");
    scene.check(&Actor::Local, forget(&talker), failed);
}

#[test]
fn an_answer_that_is_shown_while_it_is_written_ends_with_the_reason() {
    let mut scene = talked();
    let hello = write_in("telegram", "5", DmPolicy::Open);
    scene.check(&peer("telegram:7"), hello, NEXT);
    let start = Action::StartRun {
        run: "5".into(),
        provider: "demo".into(),
        model: "demo-1".into(),
    };
    scene.check(&Actor::System, start, "run_started");
    let begin = Action::BeginDelivery { run: "5".into() };
    scene.check(&Actor::System, begin, "delivery_begun");
    let li = Subject::Peer("telegram:7".into());
    scene.check(&Actor::Local, forget(&li), "run_failed content_forgotten");
    let written = scene.state.deliveries.of_run(&"5".into()).unwrap().1;
    assert!(written.text_seq.is_some());
}

#[test]
fn keys_are_deleted_once_by_the_gateway_because_of_a_tombstone() {
    let mut scene = talked();
    let main = subject_of(&scene, "main");
    let deleted = |tombstone| Action::ConfirmKeysDeleted { tombstone };
    let early = scene.state.cursor.seq.next();
    scene.check(&Actor::System, deleted(early), "!unknown_tombstone");
    scene.check(&Actor::Local, forget(&main), "content_forgotten");
    let seq = scene.state.cursor.seq;
    scene.check(&Actor::Local, deleted(seq), "!not_allowed");
    scene.check(&Actor::System, deleted(seq), "data_keys_deleted");
    scene.check(&Actor::System, deleted(seq), "!unknown_tombstone");
    let stone = scene.state.vault.tombstone(seq).unwrap();
    assert_eq!(stone.deleted, Some(scene.state.cursor.seq));
    let left = scene.state.outbox.iter();
    assert!(
        left.into_iter()
            .all(|(_, due)| *due != Effect::DeleteKeys(seq))
    );
}

#[test]
fn a_rotation_names_the_master_keys_by_fingerprints_in_order() {
    let mut scene = Scene::founded();
    let rotated = |fingerprint: &str| Action::RecordMasterKeyRotation {
        fingerprint: fingerprint.into(),
        keys: 2,
    };
    scene.check(&Actor::Local, rotated("aa"), "!not_allowed");
    scene.check(&Actor::System, rotated("aa"), "master_key_rotated");
    scene.check(&Actor::System, rotated("bb"), "master_key_rotated");
    assert_eq!(scene.state.vault.master_key.as_deref(), Some("bb"));
}
