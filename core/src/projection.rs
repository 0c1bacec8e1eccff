//! Read models: folds of the log that carry the position they have reached.
//!
//! Invariant: rebuildable from seq 0 at any time, equal to the one that was kept; indexes only,
//! text is read from the log by seq.

pub mod transcript;
