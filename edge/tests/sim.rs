//! The gateway's writer and outbox, with the log under them, in a simulation: one seed decides who
//! runs, what fails, who crashes and what the chat platform does.
//!
//! `SIM_SEEDS=2000 cargo test -p moltbot-edge --test sim` runs that many, `SIM_SEED=7` one, with its
//! trace.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "sim/platform.rs"]
mod platform;
#[path = "sim/process.rs"]
mod process;

use moltbot_store::testing::sim::{Run, run_with};
use platform::Platform;
use process::Gateways;
use std::cell::RefCell;
use std::rc::Rc;

const SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn simulate(seed: u64, keep_trace: bool) -> (Run, platform::Seen) {
    let platform = Rc::new(RefCell::new(Platform::default()));
    let load = Gateways::new(Rc::clone(&platform));
    let run = run_with(seed, keep_trace, Box::new(load));
    let what = platform.borrow().seen.clone();
    (run, what)
}

#[test]
fn nothing_is_attempted_twice_whatever_fails() {
    if let Some(seed) = number("SIM_SEED") {
        let (run, seen) = simulate(seed, true);
        for line in &run.trace {
            eprintln!("{line}");
        }
        eprintln!("{:?}\n{seen:?}", run.counts);
        assert_eq!(run.violation, None, "seed {seed}");
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("SIM_FIRST").unwrap_or(0);
    let mut total = platform::Seen::default();
    let mut crashes = 0;
    for seed in first..first + seeds {
        let (run, seen) = simulate(seed, false);
        let again = format!("repeat with: SIM_SEED={seed} cargo test -p moltbot-edge --test sim");
        assert_eq!(run.violation, None, "{again} nothing_is");
        crashes += run.counts.crashes;
        total.add(&seen);
    }
    eprintln!("{seeds} seeds from {first}: {crashes} crashes, {total:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(total.posted > 0 && total.redelivered > 0 && total.unknown > 0 && total.resent > 0);
    assert!(total.streamed > 0 && crashes > 0);
    assert!(total.deleted > 0 && total.deleted < 2 * total.forgotten);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..3 {
        let (once, again) = (simulate(seed, true), simulate(seed, true));
        assert_eq!(once.0.trace, again.0.trace, "seed {seed}");
        assert_eq!(once.0.trace_hash, again.0.trace_hash, "seed {seed}");
        assert_eq!(once.1, again.1, "seed {seed}");
    }
}
