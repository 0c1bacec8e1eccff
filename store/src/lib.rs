//! The local log and its replica.
pub mod blobs;
pub mod claim;
pub mod diagnosis;
mod envelope;
pub mod error;
pub mod follow;
pub mod head;
pub mod keys;
pub mod layout;
pub mod log;
pub mod memory_log;
pub mod orphans;
mod pace;
mod refusal;
pub mod replica;
pub mod restore;
pub mod segment;
pub mod self_test;
pub mod settings;
pub mod ship_status;
pub mod ship_task;
pub mod shipper;
pub mod sled_log;
pub mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod upload;
