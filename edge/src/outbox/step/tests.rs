//! What is begun, and when it is begun again.

use super::*;
use crate::writer::recorder::Recorder;
use moltbot_core::actor::Actor;
use moltbot_core::command::{Command, DmPolicy};
use moltbot_core::event::Usage;
use moltbot_core::ids::{Entropy, PeerId};
use moltbot_core::state::UnknownCritical;
use moltbot_core::time::Timestamp;
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::memory_log::MemoryLog;
use std::sync::Arc;

/// A writer over a log in memory.
struct Scene {
    recorder: Recorder,
    commands: u8,
}

impl Scene {
    fn new() -> Scene {
        let keyring = Arc::new(Keyring::in_memory(MasterKeys::default()));
        let log = Box::new(MemoryLog::default());
        Scene {
            recorder: Recorder::new(log, keyring, State::default()),
            commands: 0,
        }
    }

    fn records(&mut self, actor: Actor, action: Action) {
        self.commands += 1;
        let command = Command {
            at: Timestamp(0),
            actor,
            entropy: Entropy([self.commands; 32]),
            cause: None,
            correlation: None,
            idempotency: None,
            action,
        };
        self.recorder.stage(&command).unwrap().unwrap();
        self.recorder.commit().unwrap();
    }

    /// A message of somebody on a channel, which asks for a run.
    fn hears(&mut self, run: &str) {
        let action = Action::ReceiveFromPeer {
            channel: "telegram".into(),
            account: "bot".into(),
            name: "Li".into(),
            text: "hello".into(),
            run: run.into(),
            policy: DmPolicy::Open,
        };
        self.records(Actor::Peer(PeerId::from("telegram:1")), action);
    }

    fn answers(&mut self, run: &str) {
        let start = Action::StartRun {
            run: run.into(),
            provider: "demo".into(),
            model: "demo".into(),
        };
        self.records(Actor::System, start);
        let complete = Action::CompleteRun {
            run: run.into(),
            text: "hello, Li".into(),
            stop_reason: "stop".into(),
            provider: "demo".into(),
            model: "demo".into(),
            usage: Usage {
                input: 0,
                output: 0,
                cache_read: 0,
                cache_write: 0,
            },
            duration_ms: 0,
        };
        self.records(Actor::System, complete);
    }

    fn step(&self, steps: &mut Steps, input: Input) -> Vec<Do> {
        steps.step(0, self.recorder.state(), Seq::ZERO, input)
    }
}

fn steps() -> Steps {
    Steps::new(["telegram".to_owned()])
}

#[test]
fn a_run_that_ended_without_a_record_is_begun_again_only_when_the_state_moved_on() {
    let (mut scene, mut steps) = (Scene::new(), steps());
    scene.hears("run-1");
    let begun = scene.step(&mut steps, Input::Changed);
    assert!(matches!(begun[..], [Do::Run(..)]), "{begun:?}");
    let run = RunId::from("run-1");
    assert_eq!(scene.step(&mut steps, Input::RunOver(run)), []);
    assert_eq!(scene.step(&mut steps, Input::Changed), []);
    scene.hears("run-2");
    let again = scene.step(&mut steps, Input::Changed);
    assert!(matches!(again[..], [Do::Run(..)]), "{again:?}");
}

#[test]
fn a_refused_delivery_is_begun_again_only_when_the_state_moved_on() {
    let (mut scene, mut steps) = (Scene::new(), steps());
    scene.hears("run-1");
    scene.answers("run-1");
    let begun = scene.step(&mut steps, Input::Changed);
    let [Do::Submit(delivery, Action::AttemptDelivery { .. })] = &begun[..] else {
        panic!("{begun:?}");
    };
    let refused = Input::Refused(delivery.clone());
    assert_eq!(scene.step(&mut steps, refused), []);
    assert_eq!(scene.step(&mut steps, Input::Changed), []);
    scene.hears("run-2");
    let again = scene.step(&mut steps, Input::Changed);
    assert!(again.contains(&begun[0]), "{again:?}");
}

#[test]
fn a_binary_that_must_not_decide_begins_nothing() {
    let (mut scene, mut steps) = (Scene::new(), steps());
    scene.hears("run-1");
    let state = State {
        unknown_critical: Some(UnknownCritical {
            seq: Seq(1),
            kind: 999,
            version: 1,
        }),
        ..scene.recorder.state().clone()
    };
    assert_eq!(steps.step(0, &state, Seq::ZERO, Input::Changed), []);
}
