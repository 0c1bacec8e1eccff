//! A varied history: commands of a seed through the real recorder, the digest of the model after every
//! record, and the same records in a remote log with keys and snapshots.

use moltbot_core::actor::{Actor, Scope, Scopes};
use moltbot_core::chain::Hash;
use moltbot_core::command::{Action, Command, DeviceIntro, DmPolicy, Idempotency};
use moltbot_core::event::Usage;
use moltbot_core::ids::{DeliveryId, Entropy, RequestId, RunId, Seq};
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_core::time::Timestamp;
use moltbot_edge::time_travel::diff::{Change, Kind};
use moltbot_edge::view::Model;
use moltbot_edge::writer::recorder::Recorder;
use moltbot_store::keys::{Keyring, MasterKeys, keys_in};
use moltbot_store::layout;
use moltbot_store::log::LogReader;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::segment;
use moltbot_store::snapshot::{self, Section, Snapshot};
use moltbot_store::testing::rng::Rng;
use object_store::memory::InMemory;
use serde_json::Value;
use std::sync::Arc;

/// In everything that is said and in every name.
pub const CANARY: &str = "between-us";
const START_MS: i64 = 1_795_000_000_000;
const SNAPSHOT_EVERY_RECORDS: u64 = 900;
const SEGMENT_RECORDS_MAX: u64 = 120;

/// What was recorded, and what was live after each record.
pub struct History {
    pub records: Vec<Record>,
    pub log: MemoryLog,
    pub keyring: Arc<Keyring>,
    pub replica: Replica,
    pub snapshots: usize,
    digests: Vec<Hash>,
}

/// What a model is, in 32 bytes.
pub fn digest(model: &Model) -> Hash {
    let state = model.state.encode().unwrap();
    Hash::of(&[state, model.transcripts.encode().unwrap()].concat())
}

impl History {
    /// Submits so many commands of a seed.
    pub async fn record(seed: u64, commands: usize) -> History {
        let keyring = Arc::new(Keyring::in_memory(MasterKeys::default()));
        let log = MemoryLog::new();
        let recorder = Recorder::new(
            Box::new(log.clone()),
            Arc::clone(&keyring),
            State::default(),
        );
        let mut replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
        replica.location = format!("memory://history-{seed}");
        let mut writing = Writing {
            rng: Rng::new(seed),
            recorder,
            model: Model::default(),
            digests: Vec::new(),
            now_ms: START_MS,
            submitted: 0,
            snapshots: 0,
        };
        writing.found();
        while writing.submitted < commands {
            writing.go_on();
            writing.maybe_snapshot(&replica).await;
        }
        let Writing {
            mut rng,
            digests,
            snapshots,
            ..
        } = writing;
        let records = log.read(Seq(1), usize::MAX).unwrap();
        ship(&mut rng, &records, &keyring, &replica).await;
        History {
            records,
            log,
            keyring,
            replica,
            snapshots,
            digests,
        }
    }

    pub fn head(&self) -> u64 {
        self.records.len() as u64
    }

    /// What was live after this record.
    pub fn digest(&self, seq: u64) -> Hash {
        match usize::try_from(seq).unwrap().checked_sub(1) {
            Some(index) => self.digests[index],
            None => digest(&Model::default()),
        }
    }

    /// The last record of the last whole command up to this one.
    pub fn whole_command_before(&self, seq: u64) -> u64 {
        let mut last = usize::try_from(seq).unwrap();
        while last > 0
            && self
                .records
                .get(last)
                .is_some_and(|next| next.continues(&self.records[last - 1]))
        {
            last -= 1;
        }
        last as u64
    }
}

/// Puts the records into segments of any size, each with whole commands only.
async fn ship(rng: &mut Rng, records: &[Record], keyring: &Keyring, replica: &Replica) {
    for key in keys_in(records) {
        let object = keyring.object(&key).unwrap();
        replica.create(&layout::key(&key), object).await.unwrap();
    }
    let mut rest = records;
    let mut epoch = moltbot_core::ids::Epoch(1);
    while let Some(first) = rest.first() {
        let wanted = 1 + usize::try_from(rng.below(SEGMENT_RECORDS_MAX)).unwrap();
        let mut count = wanted.min(rest.len());
        while rest
            .get(count)
            .is_some_and(|next| next.continues(&rest[count - 1]))
        {
            count += 1;
        }
        let (segment, after) = rest.split_at(count);
        for record in segment {
            if let Ok(moltbot_core::event::Event::WriterStarted(started)) = record.event() {
                epoch = started.epoch;
            }
        }
        let bytes = segment::encode(epoch, &"gw-1".into(), segment).unwrap();
        let path = layout::segment(first.seq);
        replica.create(&path, bytes).await.unwrap();
        rest = after;
    }
}

/// The gateway in miniature.
struct Writing {
    rng: Rng,
    recorder: Recorder,
    model: Model,
    digests: Vec<Hash>,
    now_ms: i64,
    submitted: usize,
    snapshots: usize,
}

impl Writing {
    /// Submits one command as a batch of its own; what is refused changes nothing.
    fn submit(&mut self, actor: Actor, action: Action, key: Option<u64>) {
        self.now_ms += i64::try_from(self.rng.below(60_000)).unwrap();
        self.submitted += 1;
        let payload = Hash::of(format!("{action:?}").as_bytes());
        let command = Command {
            at: Timestamp(self.now_ms),
            actor,
            entropy: Entropy(Hash::of(&self.rng.next_u64().to_le_bytes()).0),
            cause: None,
            correlation: None,
            idempotency: key.map(|key| Idempotency {
                method: "test",
                key: key.to_string(),
                payload,
            }),
            action,
        };
        let _refused = self.recorder.stage(&command).unwrap();
        let committed = self.recorder.commit().unwrap();
        for (record, event) in committed.records.iter().zip(&committed.events) {
            self.model.apply(record, event);
            self.digests.push(digest(&self.model));
        }
    }

    /// A writer, an administrator and a person on a channel.
    fn found(&mut self) {
        self.start();
        let redeem = Action::RedeemGrant {
            intro: intro(0, Scopes::all()),
        };
        self.submit(Actor::Grant, redeem, None);
        self.person_says(0);
        let approve = Action::ApprovePeer {
            peer: "peer-0".into(),
            is_operator: true,
        };
        self.submit(Actor::Local, approve, None);
    }

    fn start(&mut self) {
        let started = Action::StartWriter {
            epoch: self.model.state.storage.epoch.next(),
            instance: "gw-1".into(),
            software: "moltbot test".to_owned(),
        };
        self.submit(Actor::System, started, None);
    }

    fn person_says(&mut self, n: u64) {
        let run = self.rng.next_u64();
        let said = Action::ReceiveFromPeer {
            channel: "telegram".to_owned(),
            account: "bot".to_owned(),
            name: format!("{CANARY} person {n}"),
            text: format!("{CANARY} {run}"),
            run: RunId(format!("run-{run:x}")),
            policy: DmPolicy::Pairing,
        };
        self.submit(Actor::Peer(format!("peer-{n}").into()), said, Some(run));
    }

    fn go_on(&mut self) {
        let n = self.rng.below(6);
        match self.rng.below(20) {
            0 => self.configure(n),
            1 => self.devices(n),
            2 => self.people(n),
            3 if self.rng.chance(150) => self.start(),
            3..=5 => self.person_says(n),
            6..=10 => self.say(n),
            11..=16 => self.run(),
            _ => self.deliver(),
        }
    }

    fn say(&mut self, n: u64) {
        let run = self.rng.next_u64();
        let said = Action::ReceiveMessage {
            session_key: format!("work-{n}"),
            run: RunId(format!("run-{run:x}")),
            text: format!("{CANARY} {run}"),
        };
        let key = self.rng.chance(500).then_some(run);
        self.submit(Actor::Device("device-0".into()), said, key);
    }

    fn configure(&mut self, n: u64) {
        let (path, value) = [
            (
                "run.timeout_s",
                Some(format!("{}", 30 + self.rng.below(60))),
            ),
            (
                "assistant.name",
                Some(format!("\"Ada {}\"", self.rng.below(5))),
            ),
            ("assistant.name", None),
            ("model.name", Some(format!("\"m{n}\""))),
        ][self.rng.index(4)]
        .clone();
        let change = Action::ChangeConfig {
            changes: vec![(path.to_owned(), value)],
            base: None,
        };
        self.submit(Actor::Local, change, None);
    }

    fn devices(&mut self, n: u64) {
        let waiting: Vec<RequestId> = self.model.state.devices.pending.keys().cloned().collect();
        let pick = (!waiting.is_empty()).then(|| waiting[self.rng.index(waiting.len())].clone());
        let number = 1 + n;
        let (actor, action) = match (self.rng.below(6), pick) {
            (0 | 1, Some(request)) => {
                let approve = Action::ApproveDevice {
                    request,
                    scopes: None,
                };
                (Actor::Local, approve)
            }
            (2, Some(request)) => (Actor::Local, Action::RejectDevice { request }),
            (3, _) => {
                let device = format!("device-{number}").into();
                (Actor::Local, Action::RevokeDevice { device })
            }
            (4, _) => (Actor::System, Action::ExpirePairings),
            _ => {
                let ask = Action::RequestDevicePairing {
                    intro: intro(number, Scopes::of(&[Scope::Read, Scope::Write])),
                    address: format!("{CANARY} address"),
                };
                (Actor::System, ask)
            }
        };
        self.submit(actor, action, None);
    }

    fn people(&mut self, n: u64) {
        let peer = format!("peer-{n}").into();
        let action = match self.rng.below(3) {
            0 if n > 0 => Action::BlockPeer { peer },
            _ => Action::ApprovePeer {
                peer,
                is_operator: n == 0,
            },
        };
        self.submit(Actor::Local, action, None);
    }

    fn run(&mut self) {
        let open: Vec<(RunId, bool)> = self
            .model
            .state
            .runs
            .iter()
            .map(|(run, open)| (run.clone(), open.started.is_some()))
            .collect();
        if open.is_empty() {
            return self.say(1);
        }
        let (run, is_started) = open[self.rng.index(open.len())].clone();
        let text = format!("{CANARY} answer {}", self.rng.next_u64());
        let (provider, model) = ("demo".to_owned(), "demo-1".to_owned());
        let action = match (is_started, self.rng.below(10)) {
            (false, 0..=8) => Action::StartRun {
                run,
                provider,
                model,
            },
            (true, 0..=5) => Action::CompleteRun {
                run,
                text,
                stop_reason: "stop".to_owned(),
                provider,
                model,
                usage: Usage {
                    input: 1,
                    output: 2,
                    cache_read: 3,
                    cache_write: 4,
                },
                duration_ms: 5,
            },
            (true, 6) => Action::BeginDelivery { run },
            (true, 7) => Action::FailRun {
                run,
                text,
                code: "overloaded".to_owned(),
                message: "the model is busy".to_owned(),
            },
            (true, 8) => Action::InterruptRun { run },
            _ => Action::CancelRun {
                run,
                text,
                reason: "rpc".to_owned(),
            },
        };
        self.submit(Actor::System, action, None);
    }

    fn deliver(&mut self) {
        let open: Vec<DeliveryId> = self
            .model
            .state
            .deliveries
            .iter()
            .map(|(delivery, _)| delivery.clone())
            .collect();
        if open.is_empty() {
            return self.retry();
        }
        let delivery = open[self.rng.index(open.len())].clone();
        let receipt = vec!["42".to_owned()];
        let action = match self.rng.below(6) {
            0 | 1 => Action::AttemptDelivery { delivery },
            2 => Action::ConfirmDelivery { delivery, receipt },
            3 => Action::MarkDeliveryUnknown { delivery },
            4 => Action::PostDelivery { delivery, receipt },
            _ => Action::CancelDelivery { delivery },
        };
        self.submit(Actor::System, action, None);
    }

    fn retry(&mut self) {
        let ended: Vec<RunId> = self
            .model
            .state
            .sessions
            .iter()
            .filter_map(|(_, session)| session.last_run.as_ref())
            .map(|last| last.run.clone())
            .collect();
        if ended.is_empty() {
            return self.say(0);
        }
        let run = ended[self.rng.index(ended.len())].clone();
        let new_run = RunId(format!("again-{:x}", self.rng.next_u64()));
        self.submit(
            Actor::Device("device-0".into()),
            Action::RetryRun { run, new_run },
            None,
        );
    }

    async fn maybe_snapshot(&mut self, replica: &Replica) {
        let cursor = self.model.state.cursor;
        if cursor.seq.0 < SNAPSHOT_EVERY_RECORDS * (self.snapshots as u64 + 1) {
            return;
        }
        let section = |name: &str, version, bytes| Section {
            name: name.to_owned(),
            version,
            bytes,
        };
        let taken = Snapshot {
            seq: cursor.seq,
            record_hash: cursor.hash,
            sections: vec![
                section("state", State::VERSION, self.model.state.encode().unwrap()),
                section(
                    "transcripts",
                    Transcripts::VERSION,
                    self.model.transcripts.encode().unwrap(),
                ),
            ],
        };
        let stored = snapshot::put(replica, &taken).await.unwrap();
        self.snapshots += 1;
        let record = Action::RecordSnapshot {
            seq: cursor.seq,
            record_hash: cursor.hash,
            object_hash: stored.hash,
            bytes: stored.bytes,
        };
        // Something may come between a snapshot and the record of it.
        self.say(2);
        self.submit(Actor::System, record, None);
    }
}

fn intro(n: u64, scopes: Scopes) -> DeviceIntro {
    DeviceIntro {
        device: format!("device-{n}").into(),
        public_key: vec![u8::try_from(n).unwrap(); 32],
        name: format!("{CANARY} device {n}"),
        client_id: "moltbot-control-ui".to_owned(),
        client_mode: "webchat".to_owned(),
        platform: "Linux".to_owned(),
        role: "operator".to_owned(),
        scopes,
    }
}

/// Does to a value what the changes say.
pub fn apply(value: &mut Value, changes: &[Change]) {
    // In a list, the last that go come first and the first that come come first, so that positions
    // fit.
    let added = |change: &&Change| change.change == Kind::Added;
    let (added, others): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(added);
    for change in others.into_iter().rev().chain(added) {
        let (name, outer) = change.path.split_last().unwrap();
        let place = outer.iter().fold(&mut *value, |place, name| match place {
            Value::Array(items) => &mut items[name.parse::<usize>().unwrap()],
            place => &mut place[name],
        });
        match (place, change.change) {
            (Value::Array(items), Kind::Removed) => {
                items.remove(name.parse().unwrap());
            }
            (Value::Array(items), kind) => {
                let (at, after) = (name.parse().unwrap(), change.after.clone().unwrap());
                if kind == Kind::Added {
                    items.insert(at, after);
                } else {
                    items[at] = after;
                }
            }
            (Value::Object(members), Kind::Removed) => {
                assert_eq!(members.remove(name), change.before);
            }
            (Value::Object(members), _) => {
                let after = change.after.clone().unwrap();
                assert_eq!(members.insert(name.clone(), after), change.before);
            }
            (place, _) => panic!("{:?} leads to {place}", change.path),
        }
    }
}
