//! The local log and its replica.
pub mod blobs;
pub mod checkpoint;
pub mod claim;
pub mod diagnosis;
mod envelope;
pub mod error;
pub mod head;
pub mod keys;
pub mod layout;
pub mod log;
pub mod memory_log;
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
