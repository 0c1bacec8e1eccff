//! The model as it was after any record.
//!
//! Invariant: equal to what the gateway showed then. It begins with the newest snapshot at or before
//! the record that the log itself vouches for (a later `snapshot_taken`, also at or before the
//! record, names the object's hash), else with the first record.

use crate::snapshots;
use crate::time_travel::error::TravelError;
use crate::time_travel::source::Source;
use crate::view::Model;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::snapshot;

/// Fewer records are folded sooner than a snapshot is fetched.
const WORTH_A_SNAPSHOT_RECORDS: u64 = 2_000;
/// Snapshots that are tried before everything is folded.
const SNAPSHOTS_TRIED_MAX: usize = 3;

/// Told how many records are done, of how many; says whether to go on.
pub type Pulse<'a> = dyn FnMut(u64, u64) -> bool + Send + 'a;

/// Called with each record that is folded.
pub type See<'a> = dyn FnMut(&Record, &Event) + Send + 'a;

/// The model after the record at `to`.
pub async fn model_at(
    source: &Source,
    to: Cursor,
    pulse: &mut Pulse<'_>,
) -> Result<Model, TravelError> {
    if to.seq.0 >= WORTH_A_SNAPSHOT_RECORDS {
        let listed = snapshot::list(source.replica()).await.unwrap_or_default();
        let usable = listed.into_iter().filter(|seq| *seq <= to.seq);
        for seq in usable.take(SNAPSHOTS_TRIED_MAX) {
            match from_snapshot(source, seq, to, pulse).await {
                Ok(Some(model)) => return Ok(model),
                Ok(None) => tracing::debug!(%seq, "a snapshot does not count"),
                Err(TravelError::TooLong) => return Err(TravelError::TooLong),
                Err(error) => tracing::debug!(%seq, %error, "a snapshot cannot be used"),
            }
        }
    }
    let mut model = Model::default();
    fold(&mut model, source, to, pulse, &mut |_, _| {}).await?;
    Ok(model)
}

/// Folds the records after the model's cursor, to the one at `to`.
pub async fn fold(
    model: &mut Model,
    source: &Source,
    to: Cursor,
    pulse: &mut Pulse<'_>,
    see: &mut See<'_>,
) -> Result<(), TravelError> {
    let total = to.seq.0.saturating_sub(model.state.cursor.seq.0);
    loop {
        let left = to.seq.0.saturating_sub(model.state.cursor.seq.0);
        if !pulse(total - left, total) {
            return Err(TravelError::TooLong);
        }
        let page = source.page(model.state.cursor, to.seq).await?;
        if page.is_empty() {
            break;
        }
        for record in &page {
            let event = event_of(record)?;
            model.apply(record, &event);
            see(record, &event);
        }
    }
    if model.state.cursor == to {
        return Ok(());
    }
    Err(TravelError::Store(StoreError::Corrupt {
        place: format!("record #{}", to.seq),
        reason: format!("folding the log leads to {} instead", model.state.cursor),
    }))
}

/// The event of a record, or the error that names it.
pub fn event_of(record: &Record) -> Result<Event, StoreError> {
    record.event().map_err(|error| StoreError::Codec {
        place: format!("record #{}", record.seq),
        error,
    })
}

async fn from_snapshot(
    source: &Source,
    seq: Seq,
    to: Cursor,
    pulse: &mut Pulse<'_>,
) -> Result<Option<Model>, TravelError> {
    let Some((snapshot, stored)) = snapshot::get(source.replica(), seq).await? else {
        return Ok(None);
    };
    let record = source.record(seq).await?;
    if record.map(|record| record.cursor()) != Some(snapshot.cursor()) {
        return Ok(None);
    }
    let Some(mut model) = snapshots::decode(&snapshot) else {
        return Ok(None);
    };
    let mut vouched: Option<Hash> = None;
    let mut see = |_: &Record, event: &Event| {
        if let Event::SnapshotTaken(taken) = event
            && taken.seq == seq
        {
            vouched = Some(taken.object_hash);
        }
    };
    fold(&mut model, source, to, pulse, &mut see).await?;
    Ok((vouched == Some(stored.hash)).then_some(model))
}
