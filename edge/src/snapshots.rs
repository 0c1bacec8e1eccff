//! Snapshots of the read model: taken now and then, used at the next start.
//!
//! Invariant: a snapshot contains only what has been shipped. Whether one counts, the log says when it
//! is claimed ([`moltbot_store::anchor`]); here is decided which ones this binary can read.

use crate::gateway::{Phase, Running};
use crate::view::Model;
use crate::writer::{Intent, Refused};
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_store::error::StoreError;
use moltbot_store::log::LogReader;
use moltbot_store::replica::Replica;
use moltbot_store::snapshot::{self, Section, Snapshot, Stored};
use std::sync::mpsc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::info;

const STATE: &str = "state";
const TRANSCRIPTS: &str = "transcripts";
const READ_BYTES: usize = 1 << 20;
/// Pages that wait to be folded.
const READ_AHEAD_PAGES: usize = 2;

/// Some records and their events, or why they cannot be had.
type Page = Result<Vec<(Record, Event)>, StoreError>;

/// Stores a snapshot of everything that is durable now and records it. Returns its seq.
pub async fn take(running: &Running) -> Result<Seq, String> {
    // A state that lacks something must not lie where a newer version would vouch for it.
    if let Some(why) = running.read_only() {
        return Err(why);
    }
    // The writer waits for the copy, not for the encoding.
    let model = running.view.read(Model::clone);
    let cursor = model.state.cursor;
    running.ship.ship_now();
    let encoded = tokio::task::spawn_blocking(move || encode(&model));
    let snapshot = encoded.await.map_err(|error| error.to_string())??;
    if !running.ship.wait_shipped(cursor.seq).await {
        return Err("shipping has ended".to_owned());
    }
    let stored = store(running.replica.clone(), snapshot).await?;
    let action = Action::RecordSnapshot {
        seq: cursor.seq,
        record_hash: cursor.hash,
        object_hash: stored.hash,
        bytes: stored.bytes,
    };
    match running.submit(Intent::new(Actor::System, action)).await {
        Ok(_) => Ok(cursor.seq),
        Err(Refused::Rejected(rejection)) => Err(rejection.message),
        Err(Refused::Stopped) => Err("the gateway is stopping".to_owned()),
    }
}

fn encode(model: &Model) -> Result<Snapshot, String> {
    let state = model.state.encode().map_err(|error| error.to_string())?;
    let transcripts = model.transcripts.encode();
    let transcripts = transcripts.map_err(|error| error.to_string())?;
    let section = |name: &str, version, bytes| Section {
        name: name.to_owned(),
        version,
        bytes,
    };
    Ok(Snapshot {
        seq: model.state.cursor.seq,
        record_hash: model.state.cursor.hash,
        sections: vec![
            section(STATE, State::VERSION, state),
            section(TRANSCRIPTS, Transcripts::VERSION, transcripts),
        ],
    })
}

/// Packing takes a while, so it must not hold up other tasks.
async fn store(replica: Replica, snapshot: Snapshot) -> Result<Stored, String> {
    let runtime = Handle::current();
    let put = move || runtime.block_on(snapshot::put(&replica, &snapshot));
    let stored = tokio::task::spawn_blocking(put).await;
    let stored = stored.map_err(|error| error.to_string())?;
    stored.map_err(|error| error.to_string())
}

/// Rebuilds the model from a snapshot that counts, or from nothing, and the records after it.
pub fn rebuild(
    snapshot: Option<Model>,
    log: &dyn LogReader,
    phase: &watch::Sender<Phase>,
) -> Result<Model, StoreError> {
    if let Some(model) = &snapshot {
        let seq = model.state.cursor.seq.0;
        info!(seq, "the state begins from a snapshot");
    }
    let mut model = snapshot.unwrap_or_default();
    fold(&mut model, log, phase)?;
    Ok(model)
}

/// What this binary makes of a snapshot; `None` when it is of another version.
pub fn decode(snapshot: &Snapshot) -> Option<Model> {
    let state = State::decode(snapshot.section(STATE, State::VERSION)?)?;
    let transcripts = Transcripts::decode(snapshot.section(TRANSCRIPTS, Transcripts::VERSION)?)?;
    (state.cursor == snapshot.cursor()).then_some(Model { state, transcripts })
}

/// Folds everything after the model's cursor. The next records are read, checked and decoded on
/// another core meanwhile.
pub fn fold(
    model: &mut Model,
    log: &dyn LogReader,
    phase: &watch::Sender<Phase>,
) -> Result<(), StoreError> {
    let total = log.head().seq.0;
    let from = model.state.cursor.seq.next();
    let (sender, pages) = mpsc::sync_channel(READ_AHEAD_PAGES);
    std::thread::scope(|scope| {
        scope.spawn(move || read_ahead(log, from, &sender));
        for page in pages {
            for (record, event) in &page? {
                model.apply(record, event);
            }
            phase.send_replace(Phase::Replaying {
                done: model.state.cursor.seq.0,
                total,
            });
        }
        Ok(())
    })
}

/// Sends page after page up to the end of the log, to the first error, or until nobody listens.
fn read_ahead(log: &dyn LogReader, mut from: Seq, pages: &mpsc::SyncSender<Page>) {
    loop {
        let page = read_page(log, from);
        if page.as_ref().is_ok_and(Vec::is_empty) {
            return;
        }
        let last = page.as_ref().ok().and_then(|page| page.last());
        let next = last.map(|(record, _)| record.seq.next());
        if pages.send(page).is_err() {
            return;
        }
        match next {
            Some(next) => from = next,
            None => return,
        }
    }
}

fn read_page(log: &dyn LogReader, from: Seq) -> Page {
    let decode = |record: Record| match record.event() {
        Ok(event) => Ok((record, event)),
        Err(error) => Err(StoreError::Codec {
            place: format!("record #{}", record.seq),
            error,
        }),
    };
    log.read(from, READ_BYTES)?
        .into_iter()
        .map(decode)
        .collect()
}
