//! `moltbot log import`.

use super::verify::read_through;
use crate::cli::restore::{place, start_hint};
use crate::cli::say;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::time_travel::import::{Item, Lines};
use crate::time_travel::key_file;
use bytes::Bytes;
use moltbot_core::event::Event;
use moltbot_core::ids::KeyId;
use moltbot_store::layout;
use moltbot_store::new_log::NewLog;
use moltbot_store::restore::Verified;
use moltbot_store::settings::StoreSettings;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Records that are handed over at a time.
const BATCH_RECORDS: usize = 1_000;

const TO: &str = "An empty place, as s3://bucket/prefix or file:///path; MOLTBOT_REPLICA_URL when \
    not given";

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// A whole exported log, from its first record on
    file: PathBuf,
    #[arg(long, value_name = "URL", help = TO)]
    to: Option<String>,
    /// The data keys, as `log export --keys` wrote them
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

pub(super) async fn run(settings: &Settings, args: Args) -> Result<(), Failure> {
    let keys = match &args.keys {
        Some(path) => key_file::read(path, &settings.master_keys)?,
        None => Vec::new(),
    };
    // Nothing is written before all of the file was checked.
    check(&args.file, &keys)?;
    let url = args.to.as_deref().unwrap_or(&settings.remote.url);
    let target = place(settings, url)?;
    let mut log = NewLog::begin(&target, &StoreSettings::default()).await?;
    let verified = match write(&args.file, keys, &mut log).await {
        Ok(verified) => verified,
        Err(failure) => {
            log.abandon().await;
            return Err(failure);
        }
    };
    say(format_args!("imported: {} events", verified.records));
    say(format_args!("head:     {}", verified.head));
    say(format_args!("to:       {}", target.location));
    start_hint(settings, url);
    Ok(())
}

async fn write(
    path: &Path,
    keys: Vec<(KeyId, Bytes)>,
    log: &mut NewLog,
) -> Result<Verified, Failure> {
    for (id, object) in keys {
        log.put(layout::key(&id), object).await?;
    }
    let file = File::open(path).map_err(|error| {
        let text = format!("cannot read `{}`: {error}", path.display());
        Failure::new(Exit::Configuration, text)
    })?;
    let mut lines = Lines::open(BufReader::new(file))?;
    let mut batch = Vec::with_capacity(BATCH_RECORDS);
    while let Item::Record(record) = lines.read()? {
        batch.push(*record);
        if batch.len() >= BATCH_RECORDS {
            log.push(std::mem::take(&mut batch)).await?;
        }
    }
    log.push(batch).await?;
    Ok(log.finish().await?)
}

/// Whether a gateway would start on what is in the file.
fn check(path: &Path, keys: &[(KeyId, Bytes)]) -> Result<(), Failure> {
    let refuse = |why: String| Failure::new(Exit::Configuration, why);
    let mut in_use: BTreeSet<KeyId> = BTreeSet::new();
    let contents = read_through(path, |record| {
        match record.event() {
            Ok(Event::DataKeyCreated(created)) => {
                in_use.insert(created.key);
            }
            Ok(Event::ContentForgotten(forgotten)) => {
                in_use.retain(|key| !forgotten.keys.contains(key));
            }
            _ => {}
        }
        Ok(())
    })?;
    if !contents.is_whole() {
        return Err(refuse(format!(
            "`{}` is a part of a log; only a whole one, exported without --from, --since, --kind, \
             --actor and --stream, can be imported",
            path.display()
        )));
    }
    let is_missing = |key: &&KeyId| !keys.iter().any(|(id, _)| id == *key);
    let missing = in_use.iter().filter(is_missing).count();
    if missing == 0 {
        return Ok(());
    }
    Err(refuse(format!(
        "{missing} data keys of this log are missing, so its content could not be read and no \
         gateway would start on it; give the file that `moltbot log export --keys FILE` wrote with \
         --keys"
    )))
}
