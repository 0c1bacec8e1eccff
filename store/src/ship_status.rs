//! How far shipping is, as plain data.
//!
//! Invariant: bounded; when more appends wait than there are marks, the age of the oldest record is
//! overstated, never understated.

use crate::settings::LAG_MARKS_MAX;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, Seq};
use moltbot_core::record::Record;
use std::collections::VecDeque;

/// What the shipper is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShipState {
    /// Everything is shipped, or waits for company.
    #[default]
    Idle,
    /// A segment is under way.
    Shipping,
    /// The last request failed; it will be repeated.
    Retrying,
    /// Another gateway took the log over.
    Fenced,
    /// What is stored is not what was written; nothing is shipped any more.
    Failed,
}

/// The state of shipping at one moment. Times are milliseconds of the shipper's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShipStatus {
    /// What the shipper is doing.
    pub state: ShipState,
    /// The epoch it ships in.
    pub epoch: Epoch,
    /// The last record that is safe in the remote log.
    pub shipped: Cursor,
    /// The last record of the local log.
    pub head: Cursor,
    /// Records not shipped yet.
    pub lag_events: u64,
    /// Their size, about.
    pub lag_bytes: u64,
    /// When the oldest of them was appended.
    pub oldest_unshipped_ms: Option<u64>,
    /// The last failure, for people.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_ms: Option<u64>,
    /// Since when requests have been failing; `None` when the last one succeeded.
    pub failing_since_ms: Option<u64>,
    /// When a segment last became safe.
    pub last_success_ms: Option<u64>,
    /// Segments shipped.
    pub segments: u64,
    /// Their size as stored.
    pub bytes: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// PUTs left in the budget.
    pub put_tokens: u32,
}

impl ShipStatus {
    /// Age of the oldest record that is not shipped; 0 when all are.
    pub fn lag_ms(&self, now_ms: u64) -> u64 {
        self.oldest_unshipped_ms
            .map_or(0, |since| now_ms.saturating_sub(since))
    }
}

/// About how many bytes these records take in a segment.
pub fn weight(records: &[Record]) -> u64 {
    const FRAME_BYTES: usize = 64;
    records
        .iter()
        .map(|record| record.payload.len() + record.actor.len() + record.stream.len() + FRAME_BYTES)
        .sum::<usize>() as u64
}

/// What is appended and not yet shipped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lag {
    pub(crate) head: Cursor,
    appended_bytes: u64,
    shipped_bytes: u64,
    /// The last record of an append, and when it came.
    marks: VecDeque<(Seq, u64)>,
}

impl Lag {
    pub(crate) fn new(shipped: Cursor) -> Lag {
        Lag {
            head: shipped,
            ..Lag::default()
        }
    }

    pub(crate) fn appended(&mut self, head: Cursor, bytes: u64, shipped: Seq, now_ms: u64) {
        self.appended_bytes += bytes;
        if head.seq > self.head.seq {
            self.head = head;
        }
        if head.seq <= shipped {
            return;
        }
        let full = self.marks.len() >= LAG_MARKS_MAX;
        match self.marks.back_mut() {
            Some((last, since)) if full || *since == now_ms => *last = head.seq.max(*last),
            _ => self.marks.push_back((head.seq, now_ms)),
        }
    }

    pub(crate) fn shipped(&mut self, to: Cursor, bytes: u64) {
        self.shipped_bytes += bytes;
        if to.seq > self.head.seq {
            self.head = to;
        }
        self.marks.retain(|(last, _)| *last > to.seq);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.appended_bytes.saturating_sub(self.shipped_bytes)
    }

    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.marks.front().map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moltbot_core::chain::Hash;

    fn at(seq: u64) -> Cursor {
        Cursor {
            seq: Seq(seq),
            hash: Hash::ZERO,
        }
    }

    #[test]
    fn the_oldest_unshipped_append_decides_the_age() {
        let mut lag = Lag::new(at(0));
        lag.appended(at(2), 20, Seq(0), 100);
        lag.appended(at(5), 30, Seq(0), 200);
        assert_eq!((lag.oldest_ms(), lag.bytes()), (Some(100), 50));
        lag.shipped(at(2), 20);
        assert_eq!((lag.oldest_ms(), lag.bytes()), (Some(200), 30));
        lag.shipped(at(5), 30);
        assert_eq!((lag.oldest_ms(), lag.bytes()), (None, 0));
    }

    #[test]
    fn an_hour_of_appends_takes_bounded_memory_and_keeps_the_oldest_time() {
        let mut lag = Lag::new(at(0));
        for second in 0..3600 {
            lag.appended(at(second + 1), 1, Seq(0), second * 1000);
        }
        assert_eq!(lag.marks.len(), LAG_MARKS_MAX);
        assert_eq!(lag.oldest_ms(), Some(0));
        lag.shipped(at(3599), 3599);
        assert_eq!(lag.oldest_ms(), Some((LAG_MARKS_MAX as u64 - 1) * 1000));
    }
}
