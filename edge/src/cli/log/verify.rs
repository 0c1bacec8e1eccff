//! `moltbot log verify`.

use crate::cli::checkpoint;
use crate::cli::output::Progress;
use crate::cli::say;
use crate::exit::{Exit, Failure};
use crate::home;
use crate::settings::Settings;
use crate::time_travel::import::{Contents, Item, Lines};
use moltbot_core::record::Record;
use moltbot_store::log::EventLog;
use moltbot_store::restore;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// An exported log to check, without any replica
    file: Option<PathBuf>,
    /// Check the replica (what happens when nothing else is said)
    #[arg(long, conflicts_with_all = ["local", "file"])]
    remote: bool,
    /// Check the local log of a gateway that does not run
    #[arg(long, conflicts_with = "file")]
    local: bool,
    #[command(flatten)]
    checkpoints: checkpoint::VerifyArgs,
}

pub(super) async fn run(settings: &Settings, args: Args) -> Result<(), Failure> {
    match args.file {
        Some(file) => check_file(&file),
        None if args.local => check_local(settings),
        None if args.checkpoints.is_offline() => {
            checkpoint::prove(settings, &args.checkpoints).await
        }
        None => check_remote(settings, &args.checkpoints).await,
    }
}

async fn check_remote(
    settings: &Settings,
    checkpoints: &checkpoint::VerifyArgs,
) -> Result<(), Failure> {
    let replica = super::replica(settings)?;
    let bounds = StoreSettings::default();
    let mut progress = Progress::new("verified");
    let mut tell = |done, total| progress.tell(done, total);
    let mut audit = checkpoint::audit(settings, &replica, checkpoints).await?;
    let mut see = |record: &Record| audit.see(record);
    let verified = restore::verify_each(&replica, &bounds, &mut tell, &mut see).await?;
    drop(progress);
    say(format_args!(
        "whole: {} events in {} segments ({} bytes), epoch {}",
        verified.records, verified.segments, verified.bytes, verified.epoch
    ));
    say(format_args!("head:  {}", verified.head));
    say(format_args!("from:  {}", replica.location));
    checkpoint::say_report(&audit.finish())
}

/// Opening the local log verifies every byte of it.
fn check_local(settings: &Settings) -> Result<(), Failure> {
    let path = home::data(settings);
    if !path.is_dir() {
        let text = format!("there is no local log in `{}`; see --home", path.display());
        return Err(Failure::new(Exit::Configuration, text));
    }
    let log = SledLog::open(&path, &StoreSettings::default())?;
    let head = log.head();
    say(format_args!("whole: {} events in the local log", head.seq));
    say(format_args!("head:  {head}"));
    say(format_args!("from:  {}", path.display()));
    Ok(())
}

fn check_file(path: &Path) -> Result<(), Failure> {
    let contents = read_through(path, |_| Ok(()))?;
    let (first, last) = (contents.first, contents.head.seq);
    let filter = &contents.header.filter;
    if contents.records == 0 {
        say("whole: no events");
    } else {
        say(format_args!(
            "whole: {} events, #{first} to #{last}",
            contents.records
        ));
        say(format_args!("head:  {}", contents.head));
    }
    say(format_args!("from:  {}", path.display()));
    if !filter.is_empty() {
        say(format_args!(
            "note:  a filter left records out in {} places; only records that are neighbours were \
             held against each other",
            contents.gaps
        ));
    } else if !contents.is_whole() {
        say("note:  this is a part of a log; that it continues what came before cannot be seen");
    }
    if contents.header.opened {
        say(
            "note:  the opened texts are as they were exported; the chain covers their sealed form",
        );
    }
    Ok(())
}

/// Reads an exported log to its end and hands out its records.
pub(super) fn read_through(
    path: &Path,
    mut see: impl FnMut(moltbot_core::record::Record) -> Result<(), Failure>,
) -> Result<Contents, Failure> {
    let failed = |error| {
        let text = format!("cannot read `{}`: {error}", path.display());
        Failure::new(Exit::Configuration, text)
    };
    let file = File::open(path).map_err(failed)?;
    let mut lines = Lines::open(BufReader::new(file))?;
    let mut progress = Progress::new("verified");
    loop {
        match lines.read()? {
            Item::Record(record) => {
                progress.tell(record.seq.0, lines.header().to.0);
                see(*record)?;
            }
            Item::End(contents) => return Ok(contents),
        }
    }
}
