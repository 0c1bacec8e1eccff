//! The pure domain of the gateway: no clock, no randomness, no I/O, no async, no hash order.
//!
//! Read in this order: [`ids`], [`time`], [`actor`], [`content`]; then the record ([`event`],
//! [`record`], [`codec`], [`chain`]); then what may happen ([`command`], [`decide`], one module
//! per domain) and what it changes ([`state`], [`mod@evolve`], [`outbox`]); at last what is read from
//! it ([`projection`]).
//!
//! Invariant: [`evolve::evolve`] is the only code that runs on replay, so replay never acts; side
//! effects are entries of the [`outbox`], part of the state.

pub mod actor;
pub mod chain;
pub mod codec;
pub mod command;
pub mod config;
pub mod content;
pub mod decide;
pub mod delivery;
pub mod device;
pub mod error;
pub mod event;
pub mod evolve;
pub mod forget;
pub mod idempotency;
pub mod ids;
pub mod limits;
pub mod outbox;
pub mod peer;
pub mod principal;
pub mod projection;
pub mod record;
pub mod run;
pub mod session;
pub mod state;
pub mod storage;
#[cfg(test)]
mod testing;
pub mod time;
mod upcast;
pub mod vault;
pub mod workspace;
