//! The single writer: command → decide → seal → append → evolve → publish.
//!
//! One thread owns the log (the disk blocks), fed by one bounded queue. It takes everything that
//! waits, decides on each command in turn, writes all accepted events as one batch with one sync,
//! and only then answers and publishes.
//!
//! Invariant: nothing is answered or shown before it is durable; after a failed append nothing is
//! ever tried again by this process.

use crate::limits::{WRITER_BATCH_BYTES, WRITER_BATCH_COMMANDS, WRITER_QUEUE_COMMANDS};
use crate::seal::{self, SealError};
use crate::stamp;
use crate::view::View;
use moltbot_core::actor::Actor;
use moltbot_core::chain::Hash;
use moltbot_core::codec;
use moltbot_core::command::{Action, Command, Idempotency};
use moltbot_core::decide::{Decision, decide};
use moltbot_core::error::Rejection;
use moltbot_core::event::Event;
use moltbot_core::evolve::evolve;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;
use moltbot_store::log::EventLog;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// A command on its way in.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who wants it.
    pub actor: Actor,
    /// The intent itself.
    pub action: Action,
    /// Set when the sender may repeat it.
    pub idempotency: Option<Idempotency>,
    /// The record that led to it.
    pub cause: Option<Seq>,
    /// The record that began the story.
    pub correlation: Option<Seq>,
}

impl Intent {
    /// An intent without history.
    pub fn new(actor: Actor, action: Action) -> Intent {
        Intent {
            actor,
            action,
            idempotency: None,
            cause: None,
            correlation: None,
        }
    }

    /// The same intent, caused by a record of the story that `correlation` began.
    #[must_use]
    pub fn because(mut self, cause: Seq, correlation: Seq) -> Intent {
        self.cause = Some(cause);
        self.correlation = Some(correlation);
        self
    }
}

/// The answer to an accepted command; what it says is durable on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its last record; the head of the log when it made none.
    pub seq: Seq,
    /// Kind and seq of what was recorded.
    pub events: Vec<(Seq, u16)>,
    /// Whether the command had been accepted before.
    pub duplicate: bool,
}

/// Why a command was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The domain says no.
    Rejected(Rejection),
    /// The writer has stopped: the gateway is shutting down or the disk failed.
    Stopped,
}

/// Called with each batch once it is durable.
type Appended = Box<dyn Fn(&[Record]) + Send>;

type Answer = oneshot::Sender<Result<Accepted, Refused>>;

enum Message {
    Command(Box<Intent>, Answer),
    Stop,
}

/// Sends commands to the writer. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    queue: mpsc::Sender<Message>,
}

impl Commands {
    /// Waits for the writer's answer.
    pub async fn submit(&self, intent: Intent) -> Result<Accepted, Refused> {
        let (answer, answered) = oneshot::channel();
        // When the writer is gone, so is the other end of `answered`.
        let _ = self
            .queue
            .send(Message::Command(Box::new(intent), answer))
            .await;
        answered.await.unwrap_or(Err(Refused::Stopped))
    }

    /// Lets the writer finish what waits and end.
    pub async fn stop(&self) {
        // A writer that is gone has stopped.
        let _ = self.queue.send(Message::Stop).await;
    }
}

/// The writer, before its thread runs.
pub struct Writer {
    log: Box<dyn EventLog>,
    keyring: Arc<Keyring>,
    state: State,
    view: Arc<View>,
    appended: Appended,
    queue: mpsc::Receiver<Message>,
}

#[derive(Default)]
struct Batch {
    records: Vec<(Record, Event)>,
    bytes: usize,
    commands: usize,
    answers: Vec<(Answer, Accepted)>,
    is_last: bool,
}

impl Batch {
    fn is_open(&self) -> bool {
        !self.is_last && self.commands < WRITER_BATCH_COMMANDS && self.bytes < WRITER_BATCH_BYTES
    }
}

impl Writer {
    /// A writer that goes on from the view's model. `appended` is called after each batch.
    pub fn new(
        log: Box<dyn EventLog>,
        keyring: Arc<Keyring>,
        view: Arc<View>,
        appended: impl Fn(&[Record]) + Send + 'static,
    ) -> (Writer, Commands) {
        let (sender, queue) = mpsc::channel(WRITER_QUEUE_COMMANDS);
        let state = view.read(|model| model.state.clone());
        let appended = Box::new(appended);
        let writer = Writer {
            log,
            keyring,
            state,
            view,
            appended,
            queue,
        };
        (writer, Commands { queue: sender })
    }

    /// Runs until it is stopped or the disk fails.
    pub fn run(mut self) -> Result<(), StoreError> {
        while let Some(first) = self.queue.blocking_recv() {
            let mut batch = Batch::default();
            self.take(first, &mut batch)?;
            while batch.is_open() {
                let Ok(next) = self.queue.try_recv() else {
                    break;
                };
                self.take(next, &mut batch)?;
            }
            let is_last = batch.is_last;
            self.commit(batch)?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Decides on a command and adds its records to the batch.
    fn take(&mut self, message: Message, batch: &mut Batch) -> Result<(), StoreError> {
        let Message::Command(intent, answer_to) = message else {
            batch.is_last = true;
            return Ok(());
        };
        batch.commands += 1;
        let command = stamped(*intent);
        let answer = match decide(&self.state, &command) {
            Ok(Decision::Duplicate(seq)) => Accepted {
                seq,
                events: Vec::new(),
                duplicate: true,
            },
            Ok(Decision::Events(events)) => match self.prepare(&command, events) {
                Ok(records) => self.accept(records, batch),
                Err(SealError::Store(error)) => return Err(error),
                Err(SealError::Rejected(rejection)) => {
                    let _ = answer_to.send(Err(Refused::Rejected(rejection)));
                    return Ok(());
                }
            },
            Err(rejection) => {
                // Whoever asked may have gone; then nobody needs the answer.
                let _ = answer_to.send(Err(Refused::Rejected(rejection)));
                return Ok(());
            }
        };
        batch.answers.push((answer_to, answer));
        Ok(())
    }

    /// Seals, encodes and links the events of one command.
    fn prepare(
        &self,
        command: &Command,
        mut events: Vec<Event>,
    ) -> Result<Vec<(Record, Event)>, SealError> {
        seal::seal(&mut events, &self.keyring)?;
        let first = self.state.cursor.seq.next();
        let correlation = command.correlation.unwrap_or(first);
        let mut cursor = self.state.cursor;
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            let seq = cursor.seq.next();
            let record = Record {
                seq,
                at: command.at,
                actor: command.actor.to_string(),
                cause: if seq == first {
                    command.cause
                } else {
                    Some(first)
                },
                correlation,
                stream: event.stream(),
                kind: event.kind(),
                version: event.version(),
                critical: event.critical(),
                payload: event.encode().map_err(|error| cannot_record(&error))?,
                prev_hash: Hash::ZERO,
                hash: Hash::ZERO,
            };
            let record = codec::link(record, cursor.hash).map_err(|error| cannot_record(&error))?;
            cursor = record.cursor();
            records.push((record, event));
        }
        Ok(records)
    }

    /// Folds the records of one command, so that the next one of the batch sees them.
    fn accept(&mut self, records: Vec<(Record, Event)>, batch: &mut Batch) -> Accepted {
        let mut events = Vec::with_capacity(records.len());
        for (record, event) in records {
            evolve(&mut self.state, &record, &event);
            events.push((record.seq, record.kind));
            batch.bytes += record.payload.len();
            batch.records.push((record, event));
        }
        Accepted {
            seq: self.state.cursor.seq,
            events,
            duplicate: false,
        }
    }

    /// Makes the batch durable, then answers and publishes.
    fn commit(&mut self, batch: Batch) -> Result<(), StoreError> {
        if !batch.records.is_empty() {
            let records: Vec<Record> = batch.records.iter().map(|(r, _)| r.clone()).collect();
            self.log.append(&records)?;
            self.view.apply(&batch.records);
            (self.appended)(&records);
        }
        // Whoever asked comes first; the many who follow can wait until he has his answer.
        for (answer, accepted) in batch.answers {
            let _ = answer.send(Ok(accepted));
        }
        self.view.announce();
        Ok(())
    }
}

fn stamped(intent: Intent) -> Command {
    Command {
        at: stamp::now(),
        actor: intent.actor,
        entropy: stamp::entropy(),
        cause: intent.cause,
        correlation: intent.correlation,
        idempotency: intent.idempotency,
        action: intent.action,
    }
}

fn cannot_record(error: &moltbot_core::error::CodecError) -> SealError {
    SealError::Rejected(Rejection::new("cannot_record", error.to_string()))
}
