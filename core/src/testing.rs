//! A gateway in miniature for the tests beside the code: says what a command leads to in one word.

use crate::actor::{Actor, Scope, Scopes};
use crate::chain::Hash;
use crate::codec;
use crate::command::{Action, Command, DeviceIntro, DmPolicy, Idempotency};
use crate::content::DataKey;
use crate::decide::{Decision, decide};
use crate::event::{Event, Usage, kind_name};
use crate::evolve::evolve;
use crate::ids::{DeviceId, Entropy, RequestId, Seq};
use crate::projection::transcript::Transcripts;
use crate::record::Record;
use crate::state::State;
use crate::time::Timestamp;

/// A state, and the moment it is there.
#[derive(Default)]
pub(crate) struct Scene {
    pub(crate) state: State,
    pub(crate) transcripts: Transcripts,
    pub(crate) now_ms: i64,
    pub(crate) idempotency: Option<Idempotency>,
    asked: u64,
}

impl Scene {
    /// Holds what a command leads to against `expected`: the kinds of its events but for keys
    /// (`"session_created message_received"`), or `"!"` and the code of the rejection.
    #[track_caller]
    pub(crate) fn check(&mut self, actor: &Actor, action: Action, expected: &str) {
        let said = format!("{actor}: {action:?}");
        assert_eq!(self.does(actor, action), expected, "{said}");
    }

    fn does(&mut self, actor: &Actor, action: Action) -> String {
        self.asked += 1;
        let command = Command {
            at: Timestamp(self.now_ms),
            actor: actor.clone(),
            entropy: Entropy(Hash::of(&self.asked.to_le_bytes()).0),
            cause: None,
            correlation: None,
            idempotency: self.idempotency.clone(),
            action,
        };
        let events = match decide(&self.state, &command) {
            Ok(Decision::Events(events)) => events,
            Ok(Decision::Duplicate(seq)) => return format!("duplicate of {seq}"),
            Err(rejection) => return format!("!{}", rejection.code),
        };
        for event in &events {
            self.append(&command, event.clone());
        }
        let kinds = events.iter().map(|event| kind_name(event.kind()));
        let kinds: Vec<String> = kinds.filter(|kind| kind != "data_key_created").collect();
        kinds.join(" ")
    }

    fn append(&mut self, command: &Command, mut event: Event) {
        for content in event.contents_mut() {
            content.seal(&DataKey([0; 32]), [0; 24]);
        }
        let record = Record {
            seq: self.state.cursor.seq.next(),
            at: command.at,
            actor: command.actor.to_string(),
            cause: None,
            correlation: Seq(1),
            stream: event.stream(),
            kind: event.kind(),
            version: event.version(),
            critical: event.critical(),
            payload: event.encode().unwrap(),
            prev_hash: Hash::ZERO,
            hash: Hash::ZERO,
        };
        let record = codec::link(record, self.state.cursor.hash).unwrap();
        codec::encode_frame(&record, &mut Vec::new()).unwrap();
        evolve(&mut self.state, &record, &event);
        self.transcripts.apply(&record, &event);
    }

    /// A scene with an administrator (`admin`) and a device that may only talk (`talker`).
    pub(crate) fn founded() -> Scene {
        let mut scene = Scene::default();
        for (name, scopes) in [("admin", Scope::Admin), ("talker", Scope::Write)] {
            let intro = intro(name, &[scopes]);
            scene.check(
                &Actor::Grant,
                Action::RedeemGrant { intro },
                "device_approved",
            );
        }
        scene
    }

    /// What a device may do.
    pub(crate) fn scopes(&self, name: &str) -> Scopes {
        crate::decide::scopes_of(&self.state, &device(name))
    }

    /// The newest waiting request of a device.
    pub(crate) fn request(&self, name: &str) -> RequestId {
        let all = self.state.devices.pending.values();
        let mut of_device: Vec<_> = all.filter(|r| r.asked.device.0 == name).collect();
        of_device.sort_by_key(|request| request.seq);
        of_device.last().unwrap().asked.request.clone()
    }
}

pub(crate) fn device(name: &str) -> Actor {
    Actor::Device(DeviceId::from(name))
}

pub(crate) fn peer(name: &str) -> Actor {
    Actor::Peer(name.into())
}

pub(crate) fn intro(name: &str, scopes: &[Scope]) -> DeviceIntro {
    DeviceIntro {
        device: name.into(),
        public_key: Hash::of(name.as_bytes()).0.to_vec(),
        name: "laptop".into(),
        client_id: "ui".into(),
        client_mode: "webchat".into(),
        platform: "linux".into(),
        role: "operator".into(),
        scopes: Scopes::of(scopes),
    }
}

pub(crate) fn say(session: &str, run: &str, text: &str) -> Action {
    Action::ReceiveMessage {
        session_key: session.into(),
        run: run.into(),
        text: text.into(),
    }
}

pub(crate) fn write_in(channel: &str, run: &str, policy: DmPolicy) -> Action {
    Action::ReceiveFromPeer {
        channel: channel.into(),
        account: "bot".into(),
        name: "Li".into(),
        text: "hello".into(),
        run: run.into(),
        policy,
    }
}

pub(crate) fn complete(run: &str, text: &str) -> Action {
    Action::CompleteRun {
        run: run.into(),
        text: text.into(),
        stop_reason: "stop".into(),
        provider: "demo".into(),
        model: "demo-1".into(),
        usage: Usage {
            input: 0,
            output: 0,
            cache_read: 0,
            cache_write: 0,
        },
        duration_ms: 0,
    }
}

pub(crate) fn fail(run: &str) -> Action {
    Action::FailRun {
        run: run.into(),
        text: String::new(),
        code: "overloaded".into(),
        message: "the model is busy".into(),
    }
}
