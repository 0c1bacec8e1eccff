//! For tests, here and in the crates that use this one: the suite every channel passes, and
//! platforms on 127.0.0.1. Only with the feature `testing`.
//!
//! | module | what it is |
//! |---|---|
//! | [`conformance`] | what the gateway relies on, checked with any [`Channel`](crate::Channel) |
//! | `emulator` | an independent Telegram Bot API, with the feature `telegram` |
//! | [`telegram`] | a strict Telegram Bot API |

pub mod conformance;
#[cfg(feature = "telegram")]
pub mod emulator;
pub mod telegram;

pub use telegram::{Fault, Person, Sent, TelegramServer};
