//! A gateway process in the simulation: the real recorder and the real steps of the outbox; model
//! turns and requests to the platform are things that take a while and may be cut off by a crash.

use crate::platform::{Answer, Platform, Update};
use moltbot_core::actor::Actor;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::command::{Action, Command, DmPolicy, Idempotency};
use moltbot_core::delivery::{Delivery, DeliveryStatus};
use moltbot_core::event::{Event, Usage};
use moltbot_core::evolve::evolve;
use moltbot_core::forget::Subject;
use moltbot_core::ids::{DeliveryId, Entropy, KeyId, PeerId, RunId, Seq};
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_core::time::Timestamp;
use moltbot_edge::limits::INBOX_REPLICATION_WAIT_MS;
use moltbot_edge::outbox::step::{Do, Input, Outcome, Steps};
use moltbot_edge::writer::recorder::Recorder;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;
use moltbot_store::testing::rng::Rng;
use moltbot_store::testing::sim::load::{Done, Load, Machine, Moment, Process};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

const CHANNEL: &str = "telegram";
/// So many messages are written in one run.
const UPDATES_MAX: u64 = 25;

/// Gateways that share a platform.
pub(crate) struct Gateways {
    platform: Rc<RefCell<Platform>>,
}

impl Gateways {
    pub(crate) fn new(platform: Rc<RefCell<Platform>>) -> Gateways {
        Gateways { platform }
    }
}

impl Load for Gateways {
    fn start(&mut self, machine: Machine) -> Result<Box<dyn Process>, StoreError> {
        let mut state = State::default();
        for record in machine.reader.read(Seq(1), usize::MAX)? {
            let event = record.event().expect("what was recorded is read");
            evolve(&mut state, &record, &event);
        }
        let todo = Steps::recover(&state);
        let reports = todo.into_iter().map(Submission::system).collect();
        let keyring = Arc::clone(&machine.keyring);
        Ok(Box::new(Gateway {
            recorder: Recorder::new(machine.log, machine.keyring, state),
            platform: Rc::clone(&self.platform),
            steps: Steps::new([CHANNEL.to_owned()]),
            submissions: reports,
            inputs: Vec::new(),
            turns: BTreeMap::new(),
            sends: Vec::new(),
            deletions: Vec::new(),
            keyring,
            inbox: None,
        }))
    }

    fn check(&self, survived: &[Record]) -> Result<(), String> {
        let platform = self.platform.borrow();
        let mut received: BTreeMap<RunId, u64> = BTreeMap::new();
        let mut asked = BTreeSet::new();
        let mut resent: BTreeMap<DeliveryId, u64> = BTreeMap::new();
        for record in survived {
            match record.event().map_err(|error| error.to_string())? {
                Event::MessageReceived(e) => *received.entry(e.run).or_default() += 1,
                Event::PeerPairingRequested(_) => {
                    asked.insert(record.correlation);
                }
                Event::DeliveryResent(e) => *resent.entry(e.delivery).or_default() += 1,
                _ => {}
            }
        }
        if let Some((run, count)) = received.iter().find(|(_, count)| **count > 1) {
            return Err(format!("{run} was received {count} times"));
        }
        for (mark, is_safe) in &platform.confirmed {
            if *is_safe && !received.contains_key(&run_of(*mark)) {
                return Err(format!("update {mark} was confirmed and is lost"));
            }
        }
        keys_are_gone_for_a_reason(&platform, survived)?;
        let mut per_run: BTreeMap<&RunId, (u64, u64)> = BTreeMap::new();
        for (delivery, posts) in &platform.posts {
            let allowed = 1 + resent.get(delivery).copied().unwrap_or(0);
            if platform.lowered.contains(delivery) {
                continue;
            }
            if *posts > allowed {
                return Err(format!(
                    "{delivery} was posted {posts} times, {allowed} allowed"
                ));
            }
            if let Some(run) = platform.runs.get(delivery) {
                let sum = per_run.entry(run).or_default();
                *sum = (sum.0 + posts, sum.1 + allowed - 1);
            }
        }
        match per_run
            .iter()
            .find(|(_, (posts, again))| *posts > 1 + again)
        {
            Some((run, (posts, _))) => Err(format!("{run} was answered {posts} times")),
            None => Ok(()),
        }
    }
}

/// Keys are deleted because of a record that survives, and exactly those that it names; what was
/// deleted is said once. Nothing that survives was sealed after the keys were forgotten.
fn keys_are_gone_for_a_reason(platform: &Platform, survived: &[Record]) -> Result<(), String> {
    let mut stones: BTreeMap<Seq, Vec<KeyId>> = BTreeMap::new();
    let mut gone: BTreeSet<KeyId> = BTreeSet::new();
    let mut said = BTreeSet::new();
    for record in survived {
        let event = record.event().map_err(|error| error.to_string())?;
        match &event {
            Event::ContentForgotten(e) => {
                stones.insert(record.seq, e.keys.clone());
                gone.extend(e.keys.iter().cloned());
            }
            Event::DataKeysDeleted(e) if !said.insert(e.tombstone) => {
                return Err(format!("#{} was carried out twice", e.tombstone));
            }
            Event::DataKeysDeleted(e) if !stones.contains_key(&e.tombstone) => {
                return Err(format!("#{} forgot nothing", e.tombstone));
            }
            event => {
                if event.contents().iter().any(|c| gone.contains(c.key())) {
                    return Err(format!("#{} is sealed with what was forgotten", record.seq));
                }
            }
        }
    }
    for (tombstone, keys) in &platform.deleted {
        if stones.get(tombstone) != Some(keys) {
            return Err(format!(
                "keys of #{tombstone} are gone and it does not survive"
            ));
        }
    }
    Ok(())
}

fn run_of(mark: u64) -> RunId {
    RunId(format!("{CHANNEL}:bot:{mark}"))
}

/// A command on its way to the recorder.
struct Submission {
    actor: Actor,
    action: Action,
    key: Option<String>,
    /// The delivery that is told when it is refused.
    about: Option<DeliveryId>,
}

impl Submission {
    fn system(action: Action) -> Submission {
        Submission {
            actor: Actor::System,
            action,
            key: None,
            about: None,
        }
    }
}

/// A model turn under way.
struct Turn {
    starts: bool,
    speaks_at_ms: u64,
    ends_at_ms: u64,
    has_spoken: bool,
}

/// A delivery being performed.
struct Send {
    id: DeliveryId,
    delivery: Delivery,
    next_at_ms: u64,
    receipt: Vec<String>,
}

/// A batch of received messages that are recorded and not confirmed.
struct Batch {
    upto: u64,
    seq: Seq,
    since_ms: u64,
}

struct Gateway {
    recorder: Recorder,
    platform: Rc<RefCell<Platform>>,
    steps: Steps,
    submissions: Vec<Submission>,
    inputs: Vec<Input>,
    turns: BTreeMap<RunId, Turn>,
    sends: Vec<Send>,
    /// Tombstones whose keys are gone at some moment.
    deletions: Vec<(Seq, u64)>,
    keyring: Arc<Keyring>,
    inbox: Option<Batch>,
}

impl Process for Gateway {
    fn work(&mut self, moment: Moment<'_>) -> Result<Done, StoreError> {
        let Moment {
            now_ms,
            shipped,
            rng,
            ..
        } = moment;
        let mut done = Done::default();
        self.people_write(rng);
        self.receive(now_ms, shipped, rng, &mut done);
        self.operate(rng);
        self.advance_turns(now_ms, rng);
        self.advance_sends(now_ms, rng);
        let (over, left) = std::mem::take(&mut self.deletions)
            .into_iter()
            .partition(|(_, at_ms)| *at_ms <= now_ms);
        self.deletions = left;
        let over: Vec<(Seq, u64)> = over;
        let over = over.into_iter();
        self.inputs
            .extend(over.map(|(tombstone, _)| Input::KeysDeleted(tombstone)));
        self.record(now_ms, rng, &mut done)?;
        self.step(now_ms, shipped, rng, &mut done);
        Ok(done)
    }
}

impl Gateway {
    fn people_write(&self, rng: &mut Rng) {
        let mut platform = self.platform.borrow_mut();
        if platform.seen.written < UPDATES_MAX && rng.chance(200) {
            platform.write(rng);
        }
    }

    /// As the real inbox: record a batch, wait until it is safe, let the platform forget it.
    fn receive(&mut self, now_ms: u64, shipped: Cursor, rng: &mut Rng, done: &mut Done) {
        let Some(batch) = &self.inbox else {
            let updates = self.platform.borrow_mut().updates(1 + rng.index(4));
            for update in &updates {
                self.submissions.push(received(*update));
            }
            if let Some(last) = updates.last() {
                self.inbox = Some(Batch {
                    upto: last.mark,
                    seq: Seq::ZERO,
                    since_ms: now_ms,
                });
            }
            return;
        };
        if batch.seq == Seq::ZERO {
            return;
        }
        let is_safe = shipped.seq >= batch.seq;
        let is_late = now_ms.saturating_sub(batch.since_ms) >= INBOX_REPLICATION_WAIT_MS;
        if is_safe || is_late {
            let mut platform = self.platform.borrow_mut();
            platform.forget(batch.upto, is_safe);
            platform.seen.lowered += u64::from(!is_safe);
            self.inbox = None;
        } else {
            done.ship_now = true;
        }
    }

    /// The operator has replies of unknown outcome sent again, and somebody forgotten.
    fn operate(&mut self, rng: &mut Rng) {
        let deliveries = self.recorder.state().deliveries.iter();
        let unknown = deliveries.filter(|(_, d)| d.status == DeliveryStatus::Unknown);
        let unknown: Vec<DeliveryId> = unknown.map(|(id, _)| id.clone()).collect();
        if rng.chance(10) {
            self.platform.borrow_mut().seen.forgotten += 1;
            let person = PeerId(format!("{CHANNEL}:{}", rng.below(3)));
            self.submissions.push(Submission {
                actor: Actor::Local,
                ..Submission::system(Action::Forget {
                    subject: Subject::Peer(person),
                })
            });
        }
        if let Some(delivery) = unknown.into_iter().next()
            && rng.chance(100)
        {
            self.platform.borrow_mut().seen.resent += 1;
            self.submissions.push(Submission {
                actor: Actor::Local,
                ..Submission::system(Action::ResendDelivery { delivery })
            });
        }
    }

    fn advance_turns(&mut self, now_ms: u64, rng: &mut Rng) {
        let mut over = Vec::new();
        for (run, turn) in &mut self.turns {
            if turn.starts {
                turn.starts = false;
                self.submissions.push(Submission::system(Action::StartRun {
                    run: run.clone(),
                    provider: "sim".to_owned(),
                    model: "sim".to_owned(),
                }));
            } else if !turn.has_spoken && now_ms >= turn.speaks_at_ms {
                turn.has_spoken = true;
                self.inputs.push(Input::Spoken(run.clone()));
            } else if now_ms >= turn.ends_at_ms {
                self.submissions.push(Submission::system(end(run, rng)));
                self.inputs.push(Input::RunOver(run.clone()));
                over.push(run.clone());
            }
        }
        for run in over {
            self.turns.remove(&run);
        }
    }

    /// What the real performer does, one request at a time.
    fn advance_sends(&mut self, now_ms: u64, rng: &mut Rng) {
        let sends = std::mem::take(&mut self.sends);
        for mut send in sends {
            if now_ms < send.next_at_ms {
                self.sends.push(send);
                continue;
            }
            send.next_at_ms = now_ms + rng.below(60);
            match self.one_request(&mut send, rng) {
                None => self.sends.push(send),
                Some(outcome) => self.inputs.push(Input::Performed(send.id, outcome)),
            }
        }
    }

    fn one_request(&mut self, send: &mut Send, rng: &mut Rng) -> Option<Outcome> {
        let open = self.recorder.state().deliveries.get(&send.id);
        let text_seq = open.and_then(|delivery| delivery.text_seq);
        let is_streaming = send.delivery.status == DeliveryStatus::Streaming;
        // Every third text becomes two messages.
        let pieces = text_seq.map_or(1, |seq| if seq.0.is_multiple_of(3) { 2 } else { 1 });
        if is_streaming && !send.receipt.is_empty() {
            // Edits change nothing that a repetition could spoil.
            text_seq?;
            let receipt = send.receipt.clone();
            return Some(match pieces {
                1 => Outcome::Confirmed { receipt },
                _ => Outcome::Shown,
            });
        }
        let is_first = send.receipt.is_empty();
        let answer = {
            let mut platform = self.platform.borrow_mut();
            if is_first {
                platform.post(&send.id, rng)
            } else {
                // Only first messages are counted: a second one belongs to the same attempt.
                Answer::Taken(0)
            }
        };
        match answer {
            Answer::Refused if is_first => Some(Outcome::Failed {
                code: "refused".to_owned(),
                message: "no".to_owned(),
            }),
            Answer::Refused | Answer::Lost => Some(Outcome::Unknown),
            Answer::Taken(message) => {
                send.receipt.push(message.to_string());
                if is_streaming {
                    self.platform.borrow_mut().seen.streamed += 1;
                    self.submissions
                        .push(Submission::system(Action::PostDelivery {
                            delivery: send.id.clone(),
                            receipt: send.receipt.clone(),
                        }));
                    return None;
                }
                let receipt = send.receipt.clone();
                (receipt.len() >= pieces).then_some(Outcome::Confirmed { receipt })
            }
        }
    }

    fn record(&mut self, now_ms: u64, rng: &mut Rng, done: &mut Done) -> Result<(), StoreError> {
        let mut last_received = None;
        for submission in std::mem::take(&mut self.submissions) {
            let is_received = submission.key.is_some();
            let command = command(now_ms, rng, &submission);
            match self.recorder.stage(&command)? {
                Ok(accepted) => {
                    done.notes
                        .push(format!("{:?} at {}", submission.action, accepted.seq));
                    if is_received {
                        last_received = last_received.max(Some(accepted.seq));
                    }
                }
                Err(refused) => {
                    done.notes
                        .push(format!("{:?}: {refused:?}", submission.action));
                    if is_received {
                        // Too many wait for an answer: it is offered again.
                        self.submissions.push(submission);
                    } else if let Some(delivery) = submission.about {
                        self.inputs.push(Input::Refused(delivery));
                    }
                }
            }
        }
        let offers_again = self.submissions.iter().any(|s| s.key.is_some());
        if let Some(batch) = &mut self.inbox
            && let Some(seq) = last_received
            && !offers_again
        {
            batch.seq = seq;
        }
        if self.recorder.staged_bytes() == 0 {
            // A gateway that ships nothing does not learn that it was fenced.
            let strangers = Submission::system(Action::RecordRefusals {
                prefix: "203.0.113.0/24".to_owned(),
                count: 1,
                reason: "wrong gateway token".to_owned(),
            });
            let refused = self.recorder.stage(&command(now_ms, rng, &strangers))?;
            refused.expect("this is always recorded");
        }
        done.appended = self.recorder.commit()?.records;
        Ok(())
    }

    fn step(&mut self, now_ms: u64, shipped: Cursor, rng: &mut Rng, done: &mut Done) {
        let mut inputs = std::mem::take(&mut self.inputs);
        inputs.push(Input::Changed);
        for input in inputs {
            let todo = self
                .steps
                .step(now_ms, self.recorder.state(), shipped.seq, input);
            let mut is_lowered = false;
            for item in todo {
                done.notes.push(format!("{item:?}"));
                match item {
                    Do::ShipNow => done.ship_now = true,
                    Do::Run(run, _) => {
                        let speaks_at_ms = now_ms + rng.below(300);
                        let turn = Turn {
                            starts: true,
                            speaks_at_ms,
                            ends_at_ms: speaks_at_ms + rng.below(600),
                            has_spoken: rng.chance(300),
                        };
                        self.turns.insert(run, turn);
                    }
                    Do::Deliver(id, delivery) => {
                        let mut platform = self.platform.borrow_mut();
                        if std::mem::take(&mut is_lowered) {
                            platform.seen.lowered += 1;
                            platform.lowered.insert(id.clone());
                        }
                        if let Some(run) = &delivery.run {
                            platform.runs.insert(id.clone(), run.clone());
                        }
                        self.sends.push(Send {
                            receipt: delivery.receipt.clone(),
                            next_at_ms: now_ms + rng.below(60),
                            id,
                            delivery,
                        });
                    }
                    Do::DeleteKeys(tombstone, keys) => {
                        let removed = self.keyring.remove(&keys);
                        removed.expect("a keyring in memory");
                        let mut platform = self.platform.borrow_mut();
                        platform.deleted.push((tombstone, keys));
                        platform.seen.deleted += 1;
                        self.deletions.push((tombstone, now_ms + rng.below(200)));
                    }
                    Do::Submit(id, action) => self.submissions.push(Submission {
                        about: Some(id),
                        ..Submission::system(action)
                    }),
                    Do::Report(action) => {
                        is_lowered |= matches!(action, Action::RecordLoweredDurability { .. });
                        self.submissions.push(Submission::system(action));
                    }
                }
            }
        }
    }
}

fn received(update: Update) -> Submission {
    let run = run_of(update.mark);
    Submission {
        actor: Actor::Peer(PeerId(format!("{CHANNEL}:{}", update.sender))),
        key: Some(run.0.clone()),
        action: Action::ReceiveFromPeer {
            channel: CHANNEL.to_owned(),
            account: "bot".to_owned(),
            name: "Li".to_owned(),
            text: "hello".to_owned(),
            run,
            policy: DmPolicy::Open,
        },
        about: None,
    }
}

fn end(run: &RunId, rng: &mut Rng) -> Action {
    let run = run.clone();
    if rng.chance(150) {
        return Action::FailRun {
            run,
            text: String::new(),
            code: "overloaded".to_owned(),
            message: "the model is busy".to_owned(),
        };
    }
    Action::CompleteRun {
        run,
        text: "hello, Li".to_owned(),
        stop_reason: "stop".to_owned(),
        provider: "sim".to_owned(),
        model: "sim".to_owned(),
        usage: Usage {
            input: 1,
            output: 1,
            cache_read: 0,
            cache_write: 0,
        },
        duration_ms: 1,
    }
}

fn command(now_ms: u64, rng: &mut Rng, submission: &Submission) -> Command {
    let mut entropy = [0; 32];
    for chunk in entropy.chunks_mut(8) {
        chunk.copy_from_slice(&rng.next_u64().to_le_bytes());
    }
    Command {
        at: Timestamp(i64::try_from(now_ms).unwrap_or(i64::MAX)),
        actor: submission.actor.clone(),
        entropy: Entropy(entropy),
        cause: None,
        correlation: None,
        idempotency: submission.key.clone().map(|key| Idempotency {
            method: "channel.receive",
            payload: Hash::of(key.as_bytes()),
            key,
        }),
        action: submission.action.clone(),
    }
}
