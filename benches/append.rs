//! Durable appends at 1 and 64 writers: our log beside a plain file with the same frames, the same
//! group commit and one `fdatasync` a group, in turns.

use moltbot_benches::{Durable, Ours, Raw, Throughput, closed_loop, directory, median, say};
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use std::path::Path;
use std::time::Duration;

const ROUNDS: usize = 5;
const LASTING: Duration = Duration::from_secs(2);

fn main() {
    say("append: durable records a second (ratio = ours / raw, same run, median of rounds)");
    for writers in [1, 64] {
        let mut ratios = Vec::new();
        let mut shown: Option<(Throughput, Throughput)> = None;
        for round in 0..ROUNDS {
            let folder = directory(&format!("append-{writers}-{round}"));
            let raw = measure(Raw::new(&folder), writers);
            let ours = measure(open(&folder), writers);
            ratios.push(ours.per_second / raw.per_second);
            shown = Some((ours, raw));
        }
        let Some((ours, raw)) = shown else { continue };
        say(format_args!(
            "  {writers:>2} writers  ratio {:.2}   last round: ours {:.0}/s (p50 {:?}, p99 {:?}), raw {:.0}/s (p50 {:?}, p99 {:?})",
            median(&mut ratios),
            ours.per_second,
            ours.p50,
            ours.p99,
            raw.per_second,
            raw.p50,
            raw.p99,
        ));
    }
}

fn measure(log: impl Durable, writers: usize) -> Throughput {
    closed_loop(log, writers, LASTING)
}

fn open(folder: &Path) -> Ours {
    let log = SledLog::open(&folder.join("data"), &StoreSettings::default());
    let Ok(log) = log else {
        unreachable!("an empty directory makes an empty log")
    };
    Ours::new(log)
}
