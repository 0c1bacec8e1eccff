//! `moltbot log orphans …`: the tails that lost against another writer, for people who want to know
//! what was in them. Reads the remote log, changes nothing, and merges nothing.

use super::log::replica;
use super::output::Output;
use super::{say, say_aside};
use crate::boot::SOFTWARE;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::time_travel::export::{self, End, FORMAT, Filter, Footer, Header, Line, VERSION};
use clap::Subcommand;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::orphans::{self, Fork, Orphan, Tail};
use moltbot_store::replica::Replica;
use moltbot_store::restore;
use serde_json::json;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Say which tails there are, of whom, from when, and where they parted from the log
    List {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Check a tail and print it as JSON lines, in the form of `log export`; sealed content stays
    /// sealed
    Export {
        /// Its name, as the list has it, or the beginning of it
        name: String,
        /// Its first record, where one writer left several
        #[arg(long, value_name = "SEQ")]
        first: Option<u64>,
    },
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> Result<(), Failure> {
    let replica = replica(settings)?;
    match verb {
        Verb::List { json } => list(&replica, json).await,
        Verb::Export { name, first } => export(&replica, &name, first.map(Seq)).await,
    }
}

/// Damage in one tail hides none of the others; it is said, and the exit code says it too.
async fn list(replica: &Replica, json: bool) -> Result<(), Failure> {
    let orphans = orphans::list(replica).await?;
    if orphans.is_empty() {
        if !json {
            say("No tail lies under orphan/: everything that was recorded is in the log.");
        }
        return Ok(());
    }
    let survey = restore::survey(replica).await?;
    let mut damaged = None;
    for orphan in &orphans {
        let tails = match orphans::read(replica, orphan).await {
            Ok(tails) => tails,
            Err(error) => {
                say(if json {
                    json!({ "name": orphan.name, "error": error.to_string() }).to_string()
                } else {
                    format!("{}\n  DAMAGED: {error}", orphan.name)
                });
                damaged = Some(error);
                continue;
            }
        };
        for tail in &tails {
            let fork = orphans::fork(replica, &survey, tail).await?;
            say(row(orphan, tail, fork, json));
        }
    }
    damaged.map_or(Ok(()), |error: StoreError| Err(error.into()))
}

fn row(orphan: &Orphan, tail: &Tail, fork: Fork, json: bool) -> String {
    let (Some(first), Some(last)) = (tail.records.first(), tail.records.last()) else {
        return String::new();
    };
    let count = tail.records.len();
    if json {
        return json!({
            "name": orphan.name,
            "epoch": orphan.epoch,
            "writer": orphan.writer,
            "first": first.seq,
            "last": last.seq,
            "records": count,
            "objects": tail.objects,
            "bytes": tail.bytes,
            "from": first.at.rfc3339(),
            "to": last.at.rfc3339(),
            "forkedAfter": tail.from,
            "inLog": matches!(fork, Fork::At(_)),
        })
        .to_string();
    }
    format!(
        "{}\n  {}  {} record{}, {} bytes, written by `{}` after epoch {}, {} to {}\n  {}",
        orphan.name,
        span(first, last),
        count,
        if count == 1 { "" } else { "s" },
        tail.bytes,
        orphan.writer,
        orphan.epoch,
        first.at.rfc3339(),
        last.at.rfc3339(),
        words(fork, tail)
    )
}

fn span(first: &Record, last: &Record) -> String {
    format!("#{}..#{}", first.seq, last.seq)
}

fn words(fork: Fork, tail: &Tail) -> String {
    match fork {
        Fork::At(cursor) => format!("parted from the log after #{}", cursor.seq),
        Fork::Elsewhere => format!(
            "follows a record #{} that the log has not: it goes on from another tail",
            tail.from.seq
        ),
        Fork::Beyond => format!(
            "begins after #{}, which the log does not reach",
            tail.from.seq
        ),
    }
}

async fn export(replica: &Replica, name: &str, first: Option<Seq>) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let orphans = orphans::list(replica).await?;
    let meant: Vec<&Orphan> = orphans
        .iter()
        .filter(|o| o.name.starts_with(name))
        .collect();
    let [orphan] = meant.as_slice() else {
        return Err(usage(format!(
            "{} tails have a name that begins with `{name}`; see: moltbot log orphans list",
            meant.len()
        )));
    };
    let tails = orphans::read(replica, orphan).await?;
    let begins = |tail: &&Tail| {
        let begin = tail.records.first().map(|record| record.seq);
        first.is_none() || begin == first
    };
    let meant: Vec<&Tail> = tails.iter().filter(begins).collect();
    let [tail] = meant.as_slice() else {
        return Err(usage(format!(
            "{} tails of `{}` fit; say which with --first, see: moltbot log orphans list",
            meant.len(),
            orphan.name
        )));
    };
    let survey = restore::survey(replica).await?;
    let fork = orphans::fork(replica, &survey, tail).await?;
    write(tail)?;
    say_aside(format_args!(
        "whole: {} records, {}",
        tail.records.len(),
        words(fork, tail)
    ));
    Ok(())
}

/// In the form that `moltbot log verify FILE` checks.
fn write(tail: &Tail) -> Result<(), Failure> {
    let mut output = Output::standard();
    let head = tail.records.last().map_or(tail.from, Record::cursor);
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        software: SOFTWARE.to_owned(),
        from: tail.from.seq.next(),
        to: head.seq,
        filter: Filter::default(),
        opened: false,
    };
    output.line(export::text(&header))?;
    for record in &tail.records {
        let line = Line::of(record, None).map_err(|error| StoreError::Codec {
            place: format!("record #{}", record.seq),
            error,
        })?;
        output.line(export::text(&line))?;
    }
    let records = tail.records.len() as u64;
    let end = End { records, head };
    output.line(export::text(&Footer { end }))?;
    output.finish()
}
