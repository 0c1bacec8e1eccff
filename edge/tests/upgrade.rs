//! Logs of other versions: an older one opens and goes on, a newer one is refused or only read.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

mod support;

#[path = "upgrade/golden.rs"]
mod golden;

#[path = "upgrade/newer.rs"]
mod newer;
#[path = "upgrade/snapshot.rs"]
mod snapshot;
#[path = "upgrade/unknown.rs"]
mod unknown;
