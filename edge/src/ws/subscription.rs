//! Following the log: `log.subscribe {from: {seq, hash}}`.
//!
//! Invariant: a subscriber gets every record after its cursor once, in order, as far as its scopes
//! let it see them (others come without data), or is told to resynchronise. It pulls from the log at
//! its own pace, so a slow one holds up nobody and costs no memory.

use crate::gateway::Running;
use crate::limits::{HISTORY_RETRY_MS, SUBSCRIPTION_READ_BYTES};
use crate::present;
use crate::ws::frame::{Failure, Params};
use crate::ws::hub::Outgoing;
use crate::ws::methods::Caller;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_store::error::{ErrorKind, StoreError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracing::error;

/// Begins to follow the log.
pub fn subscribe(
    caller: &Caller,
    running: &Arc<Running>,
    params: &Params,
) -> Result<Value, Failure> {
    let head = *running.view.head().borrow();
    let asked: Option<Cursor> = match params.value("from") {
        None => None,
        Some(from) => Some(
            serde_json::from_value(from.clone())
                .map_err(|_| params.invalid("property 'from' must be {seq, hash}"))?,
        ),
    };
    let resync = match asked {
        Some(cursor) if cursor.seq <= head.seq => {
            let own = running.reader.log.cursor(cursor.seq);
            own.map_err(|error| not_now(&error))? != Some(cursor)
        }
        asked => asked.is_some(),
    };
    let from = asked.filter(|_| !resync).unwrap_or(head);
    let generation = caller.outbound.next_subscription();
    // What the answer says is what the client knows: anything shipped from here on is news.
    let told_shipped = running.shipped_seq();
    tokio::spawn(follow(
        caller.clone(),
        Arc::clone(running),
        from.seq,
        told_shipped,
        generation,
    ));
    Ok(json!({ "head": head, "shippedSeq": told_shipped, "resync": resync }))
}

async fn follow(
    caller: Caller,
    running: Arc<Running>,
    mut seq: Seq,
    mut told_shipped: Seq,
    generation: u64,
) {
    let mut head = running.view.head();
    let mut shipped = running.ship.shipped();
    // A later subscription of the same connection replaces this one.
    while caller.outbound.subscription.load(Ordering::Relaxed) == generation {
        let newest = head.borrow_and_update().seq;
        let shipped_seq = shipped.borrow_and_update().seq;
        if seq < newest || shipped_seq > told_shipped {
            told_shipped = shipped_seq;
            let frame = match page(&caller, &running, &mut seq, shipped_seq) {
                Ok(frame) => frame,
                Err(error) if error.kind() == ErrorKind::Transient => {
                    tokio::time::sleep(Duration::from_millis(HISTORY_RETRY_MS)).await;
                    continue;
                }
                Err(error) => return error!(%error, "the log cannot be followed any more"),
            };
            if !caller.outbound.send(frame).await {
                return;
            }
            continue;
        }
        tokio::select! {
            changed = head.changed() => if changed.is_err() { return },
            _ = shipped.changed() => if shipped.has_changed().is_err() { return },
            () = caller.outbound.gone() => return,
        }
    }
}

/// A cursor that may be far back, while the remote log does not answer.
fn not_now(error: &StoreError) -> Failure {
    let message = format!("older records cannot be read now, try again: {error}");
    Failure::unavailable(message, HISTORY_RETRY_MS)
}

/// The next page as an event.
fn page(
    caller: &Caller,
    running: &Running,
    seq: &mut Seq,
    shipped_seq: Seq,
) -> Result<Outgoing, StoreError> {
    let log = &running.reader.log;
    let records = log.read(seq.next(), SUBSCRIPTION_READ_BYTES)?;
    // What is not published yet comes with the next page.
    let published = running.view.head().borrow().seq;
    let visible = records.iter().take_while(|record| record.seq <= published);
    let rows: Vec<Value> = visible
        .map(|record| present::record(running, record, &caller.welcome.scopes))
        .collect();
    let count = rows.len() as u64;
    *seq = Seq(seq.0 + count);
    let head = *running.view.head().borrow();
    let payload = json!({ "records": rows, "head": head, "shippedSeq": shipped_seq });
    Ok(Outgoing::Event {
        name: "log",
        payload: payload.to_string().into(),
    })
}
