use super::*;
use crate::actor::Actor;
use crate::testing::{Scene, complete, device, fail, say};

const FIRST: &str = "session_created message_received run_requested";

fn start(run: &str) -> Action {
    Action::StartRun {
        run: run.into(),
        provider: "demo".into(),
        model: "demo-1".into(),
    }
}

fn retry(run: &str, new_run: &str) -> Action {
    Action::RetryRun {
        run: run.into(),
        new_run: new_run.into(),
    }
}

/// A founded scene in which the answer `1` is due.
fn due() -> Scene {
    let mut scene = Scene::founded();
    scene.check(&Actor::Local, say("main", "1", "hello"), FIRST);
    scene
}

/// Questions and answers of the main session's transcript, an answer with its distance in records
/// from what it answers.
fn transcript(scene: &Scene) -> String {
    let (session, _) = scene.state.sessions.find(session::MAIN_KEY).unwrap();
    let (lines, _) = scene.transcripts.page(session, None, 100);
    let name = |line: &crate::projection::transcript::Line| match line.seq.0 - line.question.0 {
        0 => "q".to_owned(),
        distance => format!("a{distance}"),
    };
    lines.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_run_starts_once_and_ends_once() {
    let mut scene = due();
    scene.check(&Actor::System, start("1"), "run_started");
    scene.check(&Actor::System, start("1"), "!run_started");
    scene.check(&Actor::System, complete("1", "hi"), "run_completed");
    for late in [start("1"), complete("1", "hi"), fail("1")] {
        scene.check(&Actor::System, late, "!unknown_run");
    }
    assert!(scene.state.outbox.is_empty());
}

#[test]
fn only_the_gateway_says_how_a_run_went_and_only_who_may_write_stops_it() {
    let mut scene = due();
    let cancel = || Action::CancelRun {
        run: "1".into(),
        text: String::new(),
        reason: "rpc".into(),
    };
    for action in [start("1"), complete("1", "hi"), fail("1")] {
        scene.check(&Actor::Local, action, "!not_allowed");
    }
    scene.check(&device("stranger"), cancel(), "!missing_scope");
    scene.check(&device("talker"), cancel(), "run_cancelled");
}

#[test]
fn a_run_found_under_way_is_interrupted_and_can_be_tried_again() {
    let mut scene = due();
    scene.check(&Actor::System, start("1"), "run_started");
    let interrupt = Action::InterruptRun { run: "1".into() };
    scene.check(&Actor::System, interrupt, "run_interrupted");
    scene.check(&device("talker"), retry("1", "2"), "run_requested");
}

#[test]
fn only_the_last_answer_is_tried_again() {
    let mut scene = due();
    scene.check(&Actor::Local, retry("1", "2"), "!not_last_run");
    scene.check(&Actor::System, fail("1"), "run_failed");
    scene.check(&device("stranger"), retry("1", "2"), "!missing_scope");
    scene.check(
        &Actor::Local,
        say("main", "2", "again"),
        "message_received run_requested",
    );
    scene.check(&Actor::Local, retry("1", "3"), "!session_busy");
    scene.check(&Actor::System, complete("2", "hi"), "run_completed");
    scene.check(&Actor::Local, retry("1", "3"), "!not_last_run");
    scene.check(&Actor::Local, retry("2", "3"), "run_requested");
    scene.check(&Actor::Local, retry("2", "4"), "!session_busy");
}

#[test]
fn a_retry_replaces_the_failed_answer_in_the_transcript() {
    let mut scene = due();
    scene.check(&Actor::System, fail("1"), "run_failed");
    assert_eq!(transcript(&scene), "q a3");
    scene.check(&Actor::Local, retry("1", "2"), "run_requested");
    assert_eq!(transcript(&scene), "q");
    scene.check(&Actor::System, fail("2"), "run_failed");
    scene.check(&Actor::Local, retry("2", "3"), "run_requested");
    scene.check(&Actor::System, complete("3", "hi"), "run_completed");
    assert_eq!(transcript(&scene), "q a7");
    assert_eq!(
        scene
            .state
            .sessions
            .find(session::MAIN_KEY)
            .unwrap()
            .1
            .messages,
        1
    );
}

#[test]
fn an_answer_fits_a_record_or_is_refused() {
    let mut scene = due();
    let long = "x".repeat(ANSWER_BYTES_MAX + 1);
    scene.check(&Actor::System, complete("1", &long), "!answer_too_long");
    scene.check(&Actor::System, complete("1", &long[1..]), "run_completed");
}
