//! Following the log: `log.subscribe {from: {seq, hash}}`.
//!
//! Invariant: a subscriber gets every record after its cursor once, in order, as far as its scopes
//! let it see them (others come without data), or is told to resynchronise. It pulls from the log at
//! its own pace, so a slow one holds up nobody and costs no memory.

use crate::gateway::Running;
use crate::limits::SUBSCRIPTION_READ_BYTES;
use crate::present;
use crate::ws::frame::{Failure, Params};
use crate::ws::hub::Outgoing;
use crate::ws::methods::Caller;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
    let known = |cursor: Cursor| {
        cursor.seq <= head.seq
            && running
                .reader
                .log
                .cursor(cursor.seq)
                .is_ok_and(|own| own == Some(cursor))
    };
    let resync = asked.is_some_and(|cursor| !known(cursor));
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
            let Some(frame) = page(&caller, &running, &mut seq, shipped_seq) else {
                return;
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

/// The next page as an event; `None` when the log cannot be read.
fn page(caller: &Caller, running: &Running, seq: &mut Seq, shipped_seq: Seq) -> Option<Outgoing> {
    let records = running
        .reader
        .log
        .read(seq.next(), SUBSCRIPTION_READ_BYTES)
        .ok()?;
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
    Some(Outgoing::Event {
        name: "log",
        payload: payload.to_string().into(),
    })
}
