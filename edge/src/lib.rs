//! The gateway: the only crate that knows HTTP, `WebSockets`, the environment and the clock.
//!
//! Read in this order: [`serve`] (start and stop), [`boot`] (from an empty process to a claimed
//! log), [`writer`] (the one that records), [`outbox`] (the one that acts), [`view`] (what is
//! read), [`ws`] and [`http`] (who asks), [`auth`] (who may).
//!
//! Invariant: everything that changes goes through the [`writer`] as a command; everything that is
//! shown comes out of the [`view`] or the log; nothing but the [`outbox`] acts because of an event.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON is read by name, which gives null where there is nothing; slices are read with get"
)]

pub mod ack;
pub mod auth;
pub mod boot;
pub mod channels;
pub mod chat;
pub mod checkpoints;
pub mod cli;
pub mod exit;
pub mod follow;
pub mod forget;
pub mod gateway;
pub mod home;
pub mod http;
pub mod limits;
pub mod log_ring;
pub mod metrics;
pub mod models;
pub mod orphans;
pub mod outbox;
pub mod present;
pub mod prompt;
pub mod reader;
pub mod redact;
pub mod runs;
pub mod seal;
pub mod self_test;
pub mod serve;
pub mod settings;
pub mod snapshots;
pub mod stamp;
pub mod storage;
pub mod telemetry;
pub mod time_travel;
pub mod variables;
pub mod view;
pub mod workspace;
pub mod writer;
pub mod ws;
