//! The local log and its replica.
mod envelope;
pub mod error;
pub mod layout;
pub mod log;
pub mod segment;
pub mod settings;
