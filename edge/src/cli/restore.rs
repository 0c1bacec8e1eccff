//! `moltbot restore`: rebuilds the log on trial, or forks it as it was at a moment.

use super::log::{MOMENT, open, record_at, replica};
use super::output::Progress;
use super::{say, say_aside};
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::stamp;
use crate::time_travel::fold::{event_of, fold};
use crate::time_travel::source::Source;
use crate::view::Model;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::fork::{Forked, fork};
use moltbot_store::replica::Replica;
use moltbot_store::scan::Scan;
use moltbot_store::settings::StoreSettings;

const TO: &str = "Fork the log into this empty place, as s3://bucket/prefix or file:///path";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Restore into memory, check everything, change nothing
    #[arg(long, required_unless_present = "to")]
    dry_run: bool,
    #[arg(long, default_value = "now", value_name = "MOMENT", help = MOMENT)]
    at: String,
    #[arg(long, value_name = "URL", conflicts_with = "dry_run", help = TO)]
    to: Option<String>,
}

pub(super) async fn run(settings: &Settings, args: Args) -> Result<(), Failure> {
    match args.to {
        Some(url) => to_place(settings, &args.at, &url).await,
        None => dry_run(settings, &args.at).await,
    }
}

/// Reads everything, from the first record on: a snapshot would prove less.
async fn dry_run(settings: &Settings, at: &str) -> Result<(), Failure> {
    let started = stamp::now();
    let source = open(settings).await?;
    let head = match source.head() {
        empty if empty.seq == Seq::ZERO => empty,
        _ => record_at(settings, &source, at).await?.cursor(),
    };
    let mut model = Model::default();
    let mut progress = Progress::new("restored");
    let mut pulse = |done, total| {
        progress.tell(done, total);
        true
    };
    fold(&mut model, &source, head, &mut pulse, &mut |_, _| {}).await?;
    drop(progress);
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

async fn to_place(settings: &Settings, at: &str, url: &str) -> Result<(), Failure> {
    let bounds = StoreSettings::default();
    let scan = Scan::open(&replica(settings)?, &bounds).await?;
    let source = Source::Remote(Box::new(scan.clone()));
    let at = record_at(settings, &source, at).await?.seq;
    let target = place(settings, url)?;
    let mut model = Model::default();
    let mut progress = Progress::new("copied");
    let mut see = |records: &[Record]| {
        for record in records {
            model.apply(record, &event_of(record)?);
        }
        progress.tell(model.state.cursor.seq.0, at.0);
        Ok(())
    };
    let forked = fork(&scan, &target, at, &bounds, &mut see).await?;
    drop(progress);
    tell(&forked, at, &model, &target);
    start_hint(settings, url);
    Ok(())
}

fn tell(forked: &Forked, at: Seq, model: &Model, target: &Replica) {
    let Forked {
        log,
        keys,
        blobs,
        snapshots,
        ..
    } = forked;
    say(format_args!(
        "forked: {} events in {} segments, {keys} data keys, {blobs} blobs, {snapshots} snapshots",
        log.records, log.segments
    ));
    say(format_args!("head:   {}", log.head));
    say(format_args!("to:     {}", target.location));
    if forked.at.seq < at {
        say(format_args!(
            "note:   record #{at} is in the middle of a command, and half of one is never kept: \
             the fork ends before it, with #{}",
            forked.at.seq
        ));
    }
    if forked.tombstones > 0 {
        say(format_args!(
            "note:   what was forgotten since stays forgotten: {} records after #{} say so",
            forked.tombstones, forked.at.seq
        ));
    }
    let due = model.state.outbox.len();
    if due > 0 {
        say_aside(format_args!(
            "moltbot: at that moment {due} things were still to be done (answers, deliveries); a \
             gateway that starts on the fork does them, perhaps once more: look at them with \
             `moltbot log state`, and start it without the tokens of chat platforms if they must \
             not be sent"
        ));
    }
}

/// A place for a new log; a directory is made if need be.
pub(super) fn place(settings: &Settings, url: &str) -> Result<Replica, Failure> {
    let parsed = url::Url::parse(url).map_err(|_| {
        let text = format!("`{url}` is no URL; give one as s3://bucket/prefix or file:///path");
        Failure::new(Exit::Usage, text)
    })?;
    Ok(Replica::open(parsed.as_str(), &settings.remote.options)?)
}

/// How a gateway is started on a new log.
pub(super) fn start_hint(settings: &Settings, url: &str) {
    let is_here = settings.remote.url == url;
    let variable = if is_here {
        String::new()
    } else {
        format!("MOLTBOT_REPLICA_URL={url} ")
    };
    say(format_args!(
        "start:  {variable}moltbot serve --home NEW_DIRECTORY"
    ));
}
