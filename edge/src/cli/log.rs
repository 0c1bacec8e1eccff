//! `moltbot log …` and `moltbot restore --dry-run`: reads the replica, which needs no running
//! gateway and disturbs none.

use super::{checkpoint, say};
use crate::exit::{Exit, Failure};
use crate::gateway::Phase;
use crate::settings::Settings;
use crate::snapshots;
use crate::stamp;
use crate::view::Model;
use clap::Subcommand;
use moltbot_core::event::kind_name;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::log::EventLog;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::Replica;
use moltbot_store::restore;
use moltbot_store::settings::StoreSettings;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::sync::watch;
use url::Url;

const READ_BYTES: usize = 1 << 20;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Check every byte and link of the replicated log, and its checkpoints; prints its head
    Verify(checkpoint::VerifyArgs),
    /// Print the newest signed checkpoint
    Checkpoint(checkpoint::ShowArgs),
    /// Print the replicated log as JSON lines, with hashes; sealed content stays sealed
    Export,
    /// Count what is in the replicated log
    Stats,
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Verify(args) if args.is_offline() => checkpoint::prove(settings, &args).await,
        Verb::Verify(args) => verify(settings, &args).await,
        Verb::Checkpoint(args) => checkpoint::show(&open(settings)?, args).await,
        Verb::Export => each(settings, |record| say(export_line(record)))
            .await
            .map(|_| ()),
        Verb::Stats => stats(settings).await,
    }
}

/// Opens the replica; one on this machine must be there: a typing mistake is not an empty log.
fn open(settings: &Settings) -> Result<Replica, Failure> {
    let directory = Url::parse(&settings.remote.url).ok();
    let directory = directory.and_then(|url| url.to_file_path().ok());
    if let Some(missing) = directory.filter(|path| !path.is_dir()) {
        let text = format!(
            "there is no replica in `{}`; see --home and MOLTBOT_REPLICA_URL",
            missing.display()
        );
        return Err(Failure::new(Exit::Configuration, text));
    }
    Ok(Replica::open(
        &settings.remote.url,
        &settings.remote.options,
    )?)
}

async fn verify(settings: &Settings, args: &checkpoint::VerifyArgs) -> Result<(), Failure> {
    let replica = open(settings)?;
    let bounds = StoreSettings::default();
    let mut audit = checkpoint::audit(settings, &replica, args).await?;
    let mut see = |record: &Record| audit.see(record);
    let verified = restore::verify_each(&replica, &bounds, &mut |_, _| {}, &mut see).await?;
    say(format_args!(
        "whole: {} events in {} segments ({} bytes), epoch {}",
        verified.records, verified.segments, verified.bytes, verified.epoch
    ));
    say(format_args!("head:  {}", verified.head));
    say(format_args!("from:  {}", replica.location));
    checkpoint::say_report(&audit.finish())
}

/// Restores the replica into memory and calls `see` for each record; gives the log.
async fn each(settings: &Settings, mut see: impl FnMut(&Record)) -> Result<MemoryLog, Failure> {
    let replica = open(settings)?;
    let bounds = StoreSettings::default();
    let mut log = MemoryLog::default();
    restore::restore(&replica, &mut log, &bounds, &mut |_, _| {}).await?;
    let reader = log.reader();
    let mut next = Seq::ZERO.next();
    loop {
        let records = reader.read(next, READ_BYTES)?;
        let Some(last) = records.last() else {
            return Ok(log);
        };
        next = last.seq.next();
        records.iter().for_each(&mut see);
    }
}

fn export_line(record: &Record) -> String {
    let data = record
        .event()
        .map(|event| event.to_json())
        .unwrap_or_default();
    json!({
        "seq": record.seq,
        "at": record.at.rfc3339(),
        "actor": record.actor,
        "cause": record.cause,
        "correlation": record.correlation,
        "stream": record.stream,
        "kind": kind_name(record.kind),
        "version": record.version,
        "critical": record.critical,
        "prev_hash": record.prev_hash,
        "hash": record.hash,
        "data": data,
    })
    .to_string()
}

async fn stats(settings: &Settings) -> Result<(), Failure> {
    let mut kinds: BTreeMap<u16, (u64, usize)> = BTreeMap::new();
    let mut span: Option<(Record, Record)> = None;
    let log = each(settings, |record| {
        let (count, bytes) = kinds.entry(record.kind).or_default();
        *count += 1;
        *bytes += record.payload.len();
        match &mut span {
            Some((_, last)) => *last = record.clone(),
            None => span = Some((record.clone(), record.clone())),
        }
    })
    .await?;
    say(format_args!("head   {}", log.head()));
    if let Some((first, last)) = span {
        say(format_args!("from   {}\nto     {}", first.at, last.at));
    }
    for (kind, (count, bytes)) in kinds {
        say(format_args!(
            "{count:>8}  {bytes:>10} bytes  {}",
            kind_name(kind)
        ));
    }
    Ok(())
}

/// `moltbot restore --dry-run`.
pub(super) async fn restore_dry_run(settings: &Settings) -> Result<(), Failure> {
    let started = stamp::now();
    let log = each(settings, |_| {}).await?;
    let mut model = Model::default();
    let phase = watch::Sender::new(Phase::Opening);
    snapshots::fold(&mut model, &*log.reader(), &phase, |_| {})?;
    if model.state.cursor != log.head() {
        return Err(Failure::new(
            Exit::CorruptLog,
            "the rebuilt state does not reach the head",
        ));
    }
    let state = &model.state;
    say(format_args!(
        "restorable: {} events, {} conversations, {} devices, in {} ms",
        state.cursor.seq,
        state.sessions.len(),
        state.devices.paired.len(),
        stamp::now().since_ms(started)
    ));
    say(format_args!("head:       {}", state.cursor));
    Ok(())
}
