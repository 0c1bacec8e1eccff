//! Snapshots of the read model: taken now and then, used at the next start.
//!
//! Invariant: a snapshot counts only when the log says so: the record at its seq has its hash, and
//! a later `snapshot_taken` names the object. Otherwise an older one is tried, at last the whole
//! log is folded. It contains only what has been shipped.

use crate::exit::Failure;
use crate::gateway::{Phase, Running};
use crate::view::Model;
use crate::writer::{Intent, Refused};
use moltbot_core::actor::Actor;
use moltbot_core::chain::Hash;
use moltbot_core::command::Action;
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_store::error::StoreError;
use moltbot_store::log::LogReader;
use moltbot_store::replica::Replica;
use moltbot_store::snapshot::{self, Section, Snapshot};
use std::sync::mpsc;
use tokio::sync::watch;
use tracing::{info, warn};

const STATE: &str = "state";
const TRANSCRIPTS: &str = "transcripts";
/// Below this many records, folding all of them is faster than asking for a snapshot.
const WORTH_A_SNAPSHOT_RECORDS: u64 = 2_000;
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
    let (cursor, state, transcripts) = running.view.read(|model| {
        (
            model.state.cursor,
            model.state.encode(),
            model.transcripts.encode(),
        )
    });
    let state = state.map_err(|error| error.to_string())?;
    let transcripts = transcripts.map_err(|error| error.to_string())?;
    running.ship.ship_now();
    if !running.ship.wait_shipped(cursor.seq).await {
        return Err("shipping has ended".to_owned());
    }
    let section = |name: &str, version, bytes| Section {
        name: name.to_owned(),
        version,
        bytes,
    };
    let snapshot = Snapshot {
        seq: cursor.seq,
        record_hash: cursor.hash,
        sections: vec![
            section(STATE, State::VERSION, state),
            section(TRANSCRIPTS, Transcripts::VERSION, transcripts),
        ],
    };
    let stored = snapshot::put(&running.replica, &snapshot)
        .await
        .map_err(|e| e.to_string())?;
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

/// Rebuilds the model from the newest snapshot that counts and the records after it.
pub async fn load_model(
    replica: &Replica,
    log: &dyn LogReader,
    phase: &watch::Sender<Phase>,
) -> Result<Model, Failure> {
    if log.head().seq.0 >= WORTH_A_SNAPSHOT_RECORDS {
        let seqs = snapshot::list(replica).await.unwrap_or_default();
        for seq in seqs
            .into_iter()
            .filter(|seq| *seq <= log.head().seq)
            .take(3)
        {
            match from_snapshot(replica, log, seq, phase).await {
                Ok(Some(model)) => {
                    info!(seq = seq.0, "the state begins from a snapshot");
                    return Ok(model);
                }
                Ok(None) => warn!(
                    seq = seq.0,
                    "a snapshot does not count; trying an older one"
                ),
                Err(error) => warn!(seq = seq.0, %error, "a snapshot cannot be used"),
            }
        }
    }
    let mut model = Model::default();
    fold(&mut model, log, phase, |_| {})?;
    Ok(model)
}

async fn from_snapshot(
    replica: &Replica,
    log: &dyn LogReader,
    seq: Seq,
    phase: &watch::Sender<Phase>,
) -> Result<Option<Model>, StoreError> {
    let Some((snapshot, stored)) = snapshot::get(replica, seq).await? else {
        return Ok(None);
    };
    if log.cursor(seq)? != Some(snapshot.cursor()) {
        return Ok(None);
    }
    let Some(mut model) = decode(&snapshot) else {
        return Ok(None);
    };
    let mut vouched: Option<Hash> = None;
    fold(&mut model, log, phase, |event| {
        if let Event::SnapshotTaken(taken) = event
            && taken.seq == seq
        {
            vouched = Some(taken.object_hash);
        }
    })?;
    Ok((vouched == Some(stored.hash)).then_some(model))
}

fn decode(snapshot: &Snapshot) -> Option<Model> {
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
    mut see: impl FnMut(&Event),
) -> Result<(), StoreError> {
    let total = log.head().seq.0;
    let from = model.state.cursor.seq.next();
    let (sender, pages) = mpsc::sync_channel(READ_AHEAD_PAGES);
    std::thread::scope(|scope| {
        scope.spawn(move || read_ahead(log, from, &sender));
        for page in pages {
            for (record, event) in &page? {
                model.apply(record, event);
                see(event);
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
