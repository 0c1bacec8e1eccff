//! The laws of the replicated log, over many seeds.
//!
//! `SIM_SEEDS=20000 cargo test -p moltbot-store --test sim` runs that many, `SIM_SEED=7` one, with
//! its trace.

use moltbot_store::testing::sim::{Counts, Run, run};

const SEEDS: u64 = 2000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_law_is_broken_whatever_fails() {
    if let Some(seed) = number("SIM_SEED") {
        let run = run(seed, true);
        for line in &run.trace {
            eprintln!("{line}");
        }
        eprintln!("{:?}", run.counts);
        assert_eq!(run.violation, None, "{}", how_to_repeat(seed));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("SIM_FIRST").unwrap_or(0);
    let totals = in_parallel(first, seeds);
    eprintln!("{seeds} seeds from {first}: {totals:?}");
    assert!(totals.snapshots > 0 && totals.anchored > 0);
    assert!(totals.fenced > 0 && totals.orphans > 0 && totals.wipes > 0);
    assert!(totals.merged > 0 && totals.deleted > 0);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let (once, again): (Run, Run) = (run(seed, true), run(seed, true));
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert_eq!(once.trace_hash, again.trace_hash, "seed {seed}");
        assert_eq!(once.counts, again.counts, "seed {seed}");
    }
}

fn how_to_repeat(seed: u64) -> String {
    format!("repeat with: SIM_SEED={seed} cargo test -p moltbot-store --test sim no_law")
}

fn in_parallel(first: u64, seeds: u64) -> Counts {
    let threads = number("SIM_THREADS").unwrap_or(2).max(1);
    let runs: Vec<Counts> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| scope.spawn(move || one_in(first + worker, first + seeds, threads)))
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    runs.iter()
        .fold(Counts::default(), |total, counts| sum(&total, counts))
}

fn one_in(first: u64, end: u64, threads: u64) -> Counts {
    let mut total = Counts::default();
    let mut seed = first;
    while seed < end {
        let run = run(seed, false);
        assert_eq!(run.violation, None, "{}", how_to_repeat(seed));
        total = sum(&total, &run.counts);
        if seed.is_multiple_of(1000) {
            eprintln!("seed {seed}");
        }
        seed += threads;
    }
    total
}

fn sum(left: &Counts, right: &Counts) -> Counts {
    Counts {
        claims: left.claims + right.claims,
        fenced: left.fenced + right.fenced,
        refused: left.refused + right.refused,
        crashes: left.crashes + right.crashes,
        wipes: left.wipes + right.wipes,
        appends: left.appends + right.appends,
        records: left.records + right.records,
        replicated: left.replicated + right.replicated,
        orphans: left.orphans + right.orphans,
        merged: left.merged + right.merged,
        deleted: left.deleted + right.deleted,
        snapshots: left.snapshots + right.snapshots,
        anchored: left.anchored + right.anchored,
        requests: left.requests + right.requests,
    }
}
