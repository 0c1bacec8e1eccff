//! What goes into the shipper and what comes out.
//!
//! Invariant: plain data; every request carries a name, and its end names it again.

use crate::error::StoreError;
use crate::upload::Named;
use bytes::Bytes;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, Seq};
use moltbot_core::record::Record;
use object_store::path::Path;

/// Names a request until it is done.
pub type Op = u64;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Records were appended to the local log.
    Appended {
        /// The last record of the local log.
        head: Cursor,
        /// Size of what was appended, as [`crate::ship_status::weight`] counts it.
        bytes: u64,
    },
    /// Somebody waits for everything appended so far to be safe.
    ShipNow,
    /// A request ended.
    Done {
        /// Which.
        op: Op,
        /// How.
        outcome: Outcome,
    },
    /// The time of the last [`Action::WakeAt`] has come.
    Tick,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    /// The records asked for; at least one.
    Records(Vec<Record>),
    /// The object was created; of what is named: all of it is there.
    Created,
    /// The object was there already.
    Exists,
    /// The object's bytes.
    Found(Bytes),
    /// The object is not there.
    Absent,
    /// The request failed, or may have failed.
    Failed(StoreError),
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Read records from the local log.
    ReadRecords {
        /// Name of the request.
        op: Op,
        /// The first record.
        from: Seq,
        /// About how many bytes of them.
        bytes_max: usize,
    },
    /// Create what the segment names, as far as it is absent.
    CreateNamed {
        /// Name of the request.
        op: Op,
        /// Data keys and blobs.
        named: Named,
    },
    /// Create an object, if absent.
    Create {
        /// Name of the request.
        op: Op,
        /// The object.
        path: Path,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Read an object.
    Get {
        /// Name of the request.
        op: Op,
        /// The object.
        path: Path,
    },
    /// See whether this epoch was claimed: `Found` or `Absent`.
    CheckHead {
        /// Name of the request.
        op: Op,
        /// The epoch.
        epoch: Epoch,
    },
    /// Send [`Input::Tick`] at this time; replaces any earlier wish.
    WakeAt(u64),
    /// Everything up to here is safe in the remote log.
    Shipped(Cursor),
    /// This epoch took the log over. The shipper has ended.
    Fenced(Epoch),
    /// Nothing can be shipped any more. The shipper has ended.
    Failed(StoreError),
}
