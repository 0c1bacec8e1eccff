//! `moltbot log …`: reads the replica, which needs no running gateway and disturbs none.

mod diff;
mod export;
mod import;
mod state;
mod stats;
mod verify;

use super::{checkpoint, orphans};
use crate::exit::Failure;
use crate::settings::Settings;
use crate::stamp;
use crate::time_travel::moment::{Clock, Moment};
use crate::time_travel::source::Source;
use clap::Subcommand;
use moltbot_core::chain::Cursor;
use moltbot_core::content::{Content, Opened};
use moltbot_core::record::Record;
use moltbot_store::keys::Keyring;
use moltbot_store::replica::Replica;
use moltbot_store::scan::Scan;
use moltbot_store::settings::StoreSettings;

pub(super) const MOMENT: &str =
    "A seq (4711), a time (2026-11-22T14:40:05Z, 2026-11-22, `2h ago`) or `now`";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Check every byte and link of the replicated log and its checkpoints, or of a file
    Verify(verify::Args),
    /// Print the newest signed checkpoint
    Checkpoint(checkpoint::ShowArgs),
    /// Print the state as it was at any moment, as JSON
    State(state::Args),
    /// Say what changed between two moments, and which records did it
    Diff(diff::Args),
    /// Write the log as JSON lines that can be verified anywhere; sealed content stays sealed
    Export(export::Args),
    /// Write an exported log into an empty place
    Import(import::Args),
    /// Count what is in the replicated log
    Stats,
    /// Look at tails that lost against another writer and were kept
    #[command(subcommand)]
    Orphans(orphans::Verb),
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Verify(args) => verify::run(settings, args).await,
        Verb::Checkpoint(args) => checkpoint::show(&replica(settings)?, args).await,
        Verb::State(args) => state::run(settings, args).await,
        Verb::Diff(args) => diff::run(settings, args).await,
        Verb::Export(args) => export::run(settings, args).await,
        Verb::Import(args) => import::run(settings, args).await,
        Verb::Stats => stats::run(settings).await,
        Verb::Orphans(verb) => orphans::run(settings, verb).await,
    }
}

/// The replica; one on this machine must be there: a typing mistake is not an empty log.
pub(super) fn replica(settings: &Settings) -> Result<Replica, Failure> {
    let hint = "see --home and MOLTBOT_REPLICA_URL";
    settings.remote.open_existing(hint)
}

/// The replicated log as it is now.
pub(super) async fn open(settings: &Settings) -> Result<Source, Failure> {
    let scan = Scan::open(&replica(settings)?, &StoreSettings::default()).await?;
    Ok(Source::Remote(Box::new(scan)))
}

/// The record that is meant by a moment.
pub(super) async fn record_at(
    settings: &Settings,
    source: &Source,
    moment: &str,
) -> Result<Record, Failure> {
    Ok(parse(settings, moment)?.record(source).await?)
}

fn parse(settings: &Settings, moment: &str) -> Result<Moment, Failure> {
    let clock = Clock {
        now: stamp::now(),
        utc_offset_minutes: settings.utc_offset_minutes,
    };
    Ok(Moment::parse(moment, clock)?)
}

/// The position of the log at a moment, which may be before its first record.
async fn record_before(
    settings: &Settings,
    source: &Source,
    moment: &str,
) -> Result<Cursor, Failure> {
    let moment = parse(settings, moment)?;
    if let Moment::Time(at) = moment {
        let found = source.record_at(at).await?;
        return Ok(found.map_or(Cursor::START, |record| record.cursor()));
    }
    Ok(moment.record(source).await?.cursor())
}

/// All data keys that the replica has and the master key opens.
pub(super) async fn keyring(settings: &Settings, source: &Source) -> Result<Keyring, Failure> {
    let keyring = Keyring::in_memory(settings.master_keys.clone());
    let bounds = StoreSettings::default();
    keyring.load_remote(source.replica(), &bounds).await?;
    Ok(keyring)
}

/// The text of a piece of content, if there is a key that opens it.
fn text(keyring: &Keyring, content: &Content) -> Option<String> {
    match content.open(keyring.get(content.key()).as_ref()) {
        Opened::Text(text) => Some(text),
        Opened::Forgotten | Opened::Damaged => None,
    }
}
