//! Cloudflare Access before the real binary: whose tokens count, on which routes, and as whom.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

#[path = "access/configuration.rs"]
mod configuration;
#[path = "access/keys.rs"]
mod keys;
#[path = "access/people.rs"]
mod people;
#[path = "access/provider.rs"]
#[allow(dead_code, reason = "two test files use their part of this")]
#[allow(unreachable_pub, reason = "a module of a test has no outside")]
mod provider;
#[path = "access/routes.rs"]
mod routes;
#[path = "access/tokens.rs"]
mod tokens;
