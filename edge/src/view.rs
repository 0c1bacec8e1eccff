//! The read side: projections of what is durable.
//!
//! Invariant: HTTP, sockets and the outbox read this and nothing else; it never shows a record
//! that could still be lost by a crash of this machine.

use moltbot_core::chain::Cursor;
use moltbot_core::event::Event;
use moltbot_core::evolve::evolve;
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;

/// What is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// The folded state.
    pub state: State,
    /// Which records make up each conversation.
    pub transcripts: Transcripts,
}

impl Model {
    /// Folds a record.
    pub fn apply(&mut self, record: &Record, event: &Event) {
        evolve(&mut self.state, record, event);
        self.transcripts.apply(record, event);
    }
}

/// The model, shared.
pub struct View {
    model: RwLock<Model>,
    head: watch::Sender<Cursor>,
}

impl View {
    /// A view that begins with this model.
    pub fn new(model: Model) -> View {
        let head = watch::Sender::new(model.state.cursor);
        View {
            model: RwLock::new(model),
            head,
        }
    }

    /// Reads the model. Keep it short: the writer waits.
    pub fn read<T>(&self, read: impl FnOnce(&Model) -> T) -> T {
        read(&self.model.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Folds what was appended. Who follows is told by [`View::announce`].
    pub fn apply(&self, records: &[Record], events: &[Event]) {
        let mut model = self.model.write().unwrap_or_else(PoisonError::into_inner);
        for (record, event) in records.iter().zip(events) {
            model.apply(record, event);
        }
    }

    /// Tells everyone who follows how far the model is.
    pub fn announce(&self) {
        let cursor = self.read(|model| model.state.cursor);
        self.head.send_if_modified(|head| {
            let is_new = *head != cursor;
            *head = cursor;
            is_new
        });
    }

    /// Follows the last durable record.
    pub fn head(&self) -> watch::Receiver<Cursor> {
        self.head.subscribe()
    }
}
