//! Durable appends beside other engines: the same records, the same group commit, the same disk, in
//! turns. Prints a Markdown table.
//!
//! One thread appends whatever waits as one group, for 1 appender and for 64, each of which waits
//! for its record before the next. Every engine is set to survive a lost power supply.

mod peers;

use moltbot_benches::{Ours, Raw, Writer, closed_loop, directory, median, say};
use peers::{Fjall, Redb, Sqlite};
use std::path::Path;
use std::time::Duration;

/// How often each engine has its turn, after one that does not count.
const ROUNDS: usize = 15;
/// One turn: short, so that all of them meet the same noise.
const TURN: Duration = Duration::from_millis(300);
const APPENDERS: [usize; 2] = [1, 64];

type Engine = (&'static str, fn(&Path) -> Writer);

/// The first is the limit that the others are held against.
const ENGINES: [Engine; 6] = [
    ("plain file, `fdatasync`", |folder| {
        Writer::new(Raw::new(folder))
    }),
    ("**our log on sled**", |folder| {
        Writer::new(Ours::new(folder))
    }),
    ("SQLite, WAL, `synchronous=FULL`", |folder| {
        Writer::new(Sqlite::new(folder))
    }),
    ("redb, `Durability::Immediate`", |folder| {
        Writer::new(Redb::new(folder))
    }),
    ("fjall, `PersistMode::SyncData`", |folder| {
        Writer::new(Fjall::new(folder, fjall::PersistMode::SyncData))
    }),
    ("fjall, `PersistMode::SyncAll`", |folder| {
        Writer::new(Fjall::new(folder, fjall::PersistMode::SyncAll))
    }),
];

/// What one engine reached in each round.
#[derive(Default)]
struct Reached {
    per_second: Vec<f64>,
    ratios: Vec<f64>,
    p50_us: Vec<f64>,
}

fn main() {
    let columns = APPENDERS.map(compare);
    say("| log | 1 writer: records/s | p50 | ratio | 64 writers: records/s | p50 | ratio |");
    say("|---|---|---|---|---|---|---|");
    for (number, (name, _)) in ENGINES.iter().enumerate() {
        let cells: Vec<String> = columns
            .iter()
            .filter_map(|column| column.get(number).cloned())
            .collect();
        say(format_args!("| {name} | {} |", cells.join(" | ")));
    }
}

/// One column of the table.
fn compare(appenders: usize) -> Vec<String> {
    let mut engines: Vec<(Writer, Reached)> = ENGINES
        .iter()
        .enumerate()
        .map(|(number, (_, open))| {
            let writer = open(&directory(&format!("compare-{appenders}-{number}")));
            (writer, Reached::default())
        })
        .collect();
    for round in 0..=ROUNDS {
        let mut limit = f64::NAN;
        for (writer, reached) in &mut engines {
            let turn = closed_loop(writer, appenders, TURN);
            if limit.is_nan() {
                limit = turn.per_second;
            }
            if round > 0 {
                reached.per_second.push(turn.per_second);
                reached.ratios.push(turn.per_second / limit);
                reached.p50_us.push(turn.p50.as_secs_f64() * 1e6);
            }
        }
    }
    engines
        .into_iter()
        .map(|(_, mut reached)| {
            format!(
                "{:.0} | {:.0} µs | {:.2}",
                median(&mut reached.per_second),
                median(&mut reached.p50_us),
                median(&mut reached.ratios),
            )
        })
        .collect()
}
