//! The single writer: command → decide → seal → append → evolve → publish.
//!
//! One thread owns the log (the disk blocks), fed by one bounded queue. It takes everything that
//! waits, decides on each command in turn, writes all accepted events as one batch with one sync,
//! and only then answers and publishes.
//!
//! Invariant: nothing is answered or shown before it is durable; after a failed append nothing is
//! ever tried again by this process.

use crate::limits::{WRITER_BATCH_BYTES, WRITER_BATCH_COMMANDS, WRITER_QUEUE_COMMANDS};
use crate::stamp;
use crate::view::View;
use moltbot_core::actor::Actor;
use moltbot_core::command::{Action, Command, Idempotency};
use moltbot_core::error::Rejection;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;
use moltbot_store::log::EventLog;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub mod recorder;

use recorder::Recorder;

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
    /// The way to nobody, where there is no writer: every command is answered `Stopped`.
    pub fn none() -> Commands {
        let (queue, _) = mpsc::channel(1);
        Commands { queue }
    }

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
    recorder: Recorder,
    view: Arc<View>,
    appended: Appended,
    queue: mpsc::Receiver<Message>,
}

#[derive(Default)]
struct Batch {
    commands: usize,
    answers: Vec<(Answer, Accepted)>,
    is_last: bool,
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
        let writer = Writer {
            recorder: Recorder::new(log, keyring, state),
            view,
            appended: Box::new(appended),
            queue,
        };
        (writer, Commands { queue: sender })
    }

    /// Runs until it is stopped or the disk fails.
    pub fn run(mut self) -> Result<(), StoreError> {
        while let Some(first) = self.queue.blocking_recv() {
            let mut batch = Batch::default();
            self.take(first, &mut batch)?;
            while self.has_room(&batch) {
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

    fn has_room(&self, batch: &Batch) -> bool {
        let is_small = self.recorder.staged_bytes() < WRITER_BATCH_BYTES;
        !batch.is_last && batch.commands < WRITER_BATCH_COMMANDS && is_small
    }

    /// Decides on a command and adds its records to the batch.
    fn take(&mut self, message: Message, batch: &mut Batch) -> Result<(), StoreError> {
        let Message::Command(intent, answer_to) = message else {
            batch.is_last = true;
            return Ok(());
        };
        batch.commands += 1;
        match self.recorder.stage(&stamped(*intent))? {
            Ok(accepted) => batch.answers.push((answer_to, accepted)),
            Err(refused) => {
                // Whoever asked may have gone; then nobody needs the answer.
                let _ = answer_to.send(Err(refused));
            }
        }
        Ok(())
    }

    /// Makes the batch durable, then answers and publishes.
    fn commit(&mut self, batch: Batch) -> Result<(), StoreError> {
        let committed = self.recorder.commit()?;
        if !committed.records.is_empty() {
            self.view.apply(&committed.records, &committed.events);
            (self.appended)(&committed.records);
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
