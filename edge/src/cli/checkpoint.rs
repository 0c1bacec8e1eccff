//! Checkpoints on the command line: the newest one, and the log held against them.

use super::say;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use clap::Args;
use moltbot_core::storage::CheckpointKey;
use moltbot_store::checkpoint::{self, Audit, Finding, Held, Report, Signed};
use moltbot_store::replica::{Replica, ReplicaOptions};
use moltbot_store::segment::{self, Segment};
use std::path::{Path, PathBuf};
use url::Url;

const CHECKPOINT: &str =
    "Also hold the log against this checkpoint: a file, or all in a place as s3://bucket/prefix";

#[derive(Args, Default)]
pub(super) struct VerifyArgs {
    #[arg(long, value_name = "FILE|URL", help = CHECKPOINT, conflicts_with_all = ["local", "file"])]
    checkpoint: Option<String>,
    /// Only checkpoints that are signed with this key count
    #[arg(long, value_name = "HEX", value_parser = public_key, conflicts_with_all = ["local", "file"])]
    public_key: Option<CheckpointKey>,
    /// Prove these segments by the checkpoint, in order, without the rest of the log
    #[arg(long, value_name = "FILE", requires = "checkpoint", num_args = 1..)]
    segment: Vec<PathBuf>,
}

#[derive(Args)]
pub(super) struct ShowArgs {
    /// Write it to this file, to be kept where nobody who can write the log can reach it
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

fn public_key(text: &str) -> Result<CheckpointKey, &'static str> {
    CheckpointKey::from_hex(text).ok_or("a public key is 64 hex digits")
}

impl VerifyArgs {
    /// Whether some files are to be proven instead of the whole log.
    pub(super) fn is_offline(&self) -> bool {
        !self.segment.is_empty()
    }
}

/// `moltbot log checkpoint`.
pub(super) async fn show(replica: &Replica, args: ShowArgs) -> Result<(), Failure> {
    let Some(held) = checkpoint::newest(replica).await? else {
        let text = "there is no checkpoint; one is made while the gateway runs (see \
                    MOLTBOT_CHECKPOINT_EVERY) and when it is stopped";
        return Err(Failure::new(Exit::Configuration, text));
    };
    let Signed {
        checkpoint,
        public_key,
        ..
    } = held.signed;
    if !held.signed.is_genuine() {
        let text = format!(
            "the signature of `{}` does not fit: it is forged",
            held.place
        );
        return Err(Failure::new(Exit::CorruptLog, text));
    }
    if let Some(file) = &args.export {
        let bytes = held.signed.encode()?;
        std::fs::write(file, bytes).map_err(|error| unusable(file, &error))?;
    }
    say(format_args!("record: {}", checkpoint.cursor));
    say(format_args!(
        "signed: {} in epoch {}",
        checkpoint.at, checkpoint.epoch
    ));
    say(format_args!("key:    {public_key}"));
    say(format_args!("log:    {}", checkpoint.log));
    Ok(())
}

/// The log is to be held against every checkpoint there is: those beside it, those in the second
/// place, and those that the person names.
pub(super) async fn audit(
    settings: &Settings,
    replica: &Replica,
    args: &VerifyArgs,
) -> Result<Audit, Failure> {
    let mut held = checkpoint::all(replica).await?;
    if let Some(copy) = &settings.checkpoints.copy {
        let copied = kept_at(&copy.url, &copy.options).await?;
        if copied.is_empty() {
            say(format_args!(
                "note:  there is no checkpoint in {}",
                copy.location()
            ));
        }
        held.extend(copied);
    }
    if let Some(named) = &args.checkpoint {
        let of_person = named_by(settings, named).await?;
        // Who names a place with nothing in it looks in the wrong one.
        if of_person.is_empty() {
            return Err(no_checkpoint(named));
        }
        held.extend(of_person);
    }
    Ok(Audit::new(held, args.public_key))
}

/// Says what an audit gave; what speaks against the log is the failure.
pub(super) fn say_report(report: &Report) -> Result<(), Failure> {
    match &report.newest {
        Some(Signed { checkpoint, .. }) => say(format_args!(
            "signed: up to {} at {}, by {} of {} checkpoints",
            checkpoint.cursor,
            checkpoint.at,
            report.checkpoints - report.findings.len(),
            report.checkpoints
        )),
        None if report.checkpoints == 0 => {
            say("signed: nothing; without a checkpoint nobody can say whether the end is missing");
        }
        None => say("signed: nothing that holds"),
    }
    for (seq, key) in &report.keys {
        say(format_args!("key:    {key} from #{seq} on"));
    }
    against(&report.findings)
}

/// `moltbot log verify --segment …`: needs nothing but the files.
pub(super) async fn prove(settings: &Settings, args: &VerifyArgs) -> Result<(), Failure> {
    let named = args.checkpoint.as_deref().unwrap_or_default();
    let held = named_by(settings, named).await?;
    let segments = args.segment.iter().map(|path| read_segment(path));
    let segments = segments.collect::<Result<Vec<Segment>, Failure>>()?;
    // Of several, the first one that falls into these segments decides.
    let falls = |held: &&Held| {
        let seq = held.signed.checkpoint.cursor.seq;
        let mut headers = segments.iter().map(|segment| &segment.header);
        headers.any(|header| (header.first..=header.last).contains(&seq))
    };
    let Some(held) = held.iter().find(falls).or(held.first()) else {
        return Err(no_checkpoint(named));
    };
    let pinned = args.public_key.filter(|key| *key != held.signed.public_key);
    if let Some(expected) = pinned {
        return against(&[Finding::OtherKey {
            place: held.place.clone(),
            cursor: held.signed.checkpoint.cursor,
            key: held.signed.public_key,
            expected: expected.to_string(),
        }]);
    }
    let proven = checkpoint::prove(&segments, held).map_err(|finding| {
        let is_of_use = !matches!(finding, Finding::NotJoined(_));
        let exit = if is_of_use {
            Exit::CorruptLog
        } else {
            Exit::Configuration
        };
        Failure::new(exit, finding.to_string())
    })?;
    let all: usize = segments.iter().map(|segment| segment.records.len()).sum();
    say(format_args!(
        "proven: {proven} of {all} records, by {}",
        held.place
    ));
    say(format_args!("signed: {}", held.signed.checkpoint.cursor));
    say(format_args!("key:    {}", held.signed.public_key));
    Ok(())
}

fn read_segment(path: &Path) -> Result<Segment, Failure> {
    let bytes = std::fs::read(path).map_err(|error| unusable(path, &error))?;
    Ok(segment::decode(&path.display().to_string(), &bytes)?)
}

fn against(findings: &[Finding]) -> Result<(), Failure> {
    let sentences: Vec<String> = findings.iter().map(ToString::to_string).collect();
    match sentences.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::new(Exit::CorruptLog, one)),
        several => {
            let count = several.len();
            let list = several.join("\n  - ");
            let text = format!("{count} checkpoints speak against this log:\n  - {list}");
            Err(Failure::new(Exit::CorruptLog, text))
        }
    }
}

/// The checkpoints at what a person names: a file, a folder, or the URL of either.
async fn named_by(settings: &Settings, named: &str) -> Result<Vec<Held>, Failure> {
    let url = Url::parse(named).ok();
    if let Some(url) = url.as_ref().filter(|url| url.scheme() == "s3") {
        return kept_at(url.as_str(), &settings.remote.options).await;
    }
    let path = url.and_then(|url| url.to_file_path().ok());
    let path = path.unwrap_or_else(|| PathBuf::from(named));
    if path.is_dir() {
        let absolute = std::path::absolute(&path).map_err(|error| unusable(&path, &error))?;
        let url = Url::from_directory_path(absolute).map_err(|()| no_checkpoint(named))?;
        return kept_at(url.as_str(), &ReplicaOptions::default()).await;
    }
    let bytes = std::fs::read(&path).map_err(|error| unusable(&path, &error))?;
    let place = path.display().to_string();
    let signed = Signed::decode(&place, &bytes)?;
    Ok(vec![Held { place, signed }])
}

/// All checkpoints below a URL.
async fn kept_at(url: &str, options: &ReplicaOptions) -> Result<Vec<Held>, Failure> {
    let directory = Url::parse(url).ok().and_then(|url| url.to_file_path().ok());
    if directory.is_some_and(|path| !path.is_dir()) {
        return Ok(Vec::new());
    }
    let replica = Replica::open(url, options)?;
    let mut held = checkpoint::all(&replica).await?;
    for held in &mut held {
        held.place = format!("{}/{}", replica.location.trim_end_matches('/'), held.place);
    }
    Ok(held)
}

fn no_checkpoint(place: &str) -> Failure {
    let text = format!("there is no checkpoint in `{place}`");
    Failure::new(Exit::Configuration, text)
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    let text = format!("cannot use `{}`: {error}", path.display());
    Failure::new(Exit::Configuration, text)
}
