//! For tests, here and in the crates that use this one: the suite every channel passes, and
//! platforms on 127.0.0.1. Only with the feature `testing`.
//!
//! | module | what it is |
//! |---|---|
//! | [`conformance`] | what the gateway relies on, checked with any [`Channel`](crate::Channel) |
//! | [`telegram`] | a strict Telegram Bot API |

pub mod conformance;
pub mod telegram;

pub use telegram::{Fault, Person, Sent, TelegramServer};
