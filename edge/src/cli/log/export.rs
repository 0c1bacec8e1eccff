//! `moltbot log export`.

use crate::boot::SOFTWARE;
use crate::cli::output::{Output, Progress};
use crate::cli::{say, say_aside};
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::time_travel::export::{self, End, FORMAT, Filter, Footer, Header, Line, VERSION};
use crate::time_travel::key_file;
use crate::time_travel::moment::Moment;
use crate::time_travel::readable::Open;
use crate::time_travel::source::Source;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::keys::{Keyring, keys_in};
use std::path::PathBuf;

const KIND: &str = "Only records of this kind, as message_received; may be repeated";
const KEYS: &str = "Write the data keys to this new file, which an import needs; they are wrapped \
    when MOLTBOT_MASTER_KEY is set, else whoever has the file reads everything";

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The first record
    #[arg(long, value_name = "SEQ", conflicts_with = "since")]
    from: Option<u64>,
    /// The last record
    #[arg(long, value_name = "SEQ", conflicts_with = "until")]
    to: Option<u64>,
    /// Records after this moment: a time, or a seq
    #[arg(long, value_name = "MOMENT")]
    since: Option<String>,
    /// Records up to this moment
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
    #[arg(long, value_name = "KIND", help = KIND)]
    kind: Vec<String>,
    /// Only what this actor did, as device:ID or system
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only this stream, as session/ID; or all that begin so, as session
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// Add the content that the keys in the replica open, in the clear
    #[arg(long)]
    open: bool,
    /// Write to this file instead of standard output, readable for its owner only
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = KEYS)]
    keys: Option<PathBuf>,
}

pub(super) async fn run(settings: &Settings, args: Args) -> Result<(), Failure> {
    let source = super::open(settings).await?;
    let (before, to) = range(settings, &source, &args).await?;
    let filter = Filter {
        kinds: args.kind,
        actor: args.actor,
        stream: args.stream,
    };
    check_kinds(&filter)?;
    let keyring = if args.open || args.keys.is_some() {
        Some(super::keyring(settings, &source).await?)
    } else {
        None
    };
    if let Some(path) = args.keys.as_ref().filter(|path| path.exists()) {
        let text = format!("`{}` is there already; name a new file", path.display());
        return Err(Failure::new(Exit::Configuration, text));
    }
    let mut output = match &args.output {
        Some(path) => Output::file(path)?,
        None => Output::standard(),
    };
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        software: SOFTWARE.to_owned(),
        from: before.seq.next(),
        to,
        filter,
        opened: args.open,
    };
    let opening = keyring.as_ref().filter(|_| args.open);
    let key_ids = write(&source, before, &header, opening, &mut output).await?;
    output.finish()?;
    if let (Some(path), Some(keyring)) = (&args.keys, &keyring) {
        let count = key_file::write(path, &key_ids, keyring, &settings.master_keys)?;
        let warning = match settings.master_keys.current {
            Some(_) => "wrapped by MOLTBOT_MASTER_KEY, which an import needs too",
            None => "in the clear: whoever has this file reads everything they seal",
        };
        say_aside(format_args!(
            "{count} data keys are in `{}`, {warning}",
            path.display()
        ));
    }
    if let Some(path) = &args.output {
        say(format_args!("exported to {}", path.display()));
    }
    Ok(())
}

/// Writes the lines; the data keys that the records name.
async fn write(
    source: &Source,
    before: Cursor,
    header: &Header,
    keyring: Option<&Keyring>,
    output: &mut Output,
) -> Result<Vec<moltbot_core::ids::KeyId>, Failure> {
    let text = keyring.map(|keyring| move |content: &_| super::text(keyring, content));
    let open = text.as_ref().map(|text| text as &Open<'_>);
    output.line(export::text(header))?;
    let mut end = End {
        records: 0,
        head: Cursor::START,
    };
    let (mut after, mut keys) = (before, Vec::new());
    let mut progress = Progress::new("exported");
    loop {
        let page = source.page(after, header.to).await?;
        let Some(last) = page.last().map(Record::cursor) else {
            break;
        };
        after = last;
        keys.extend(keys_in(&page));
        for record in page.iter().filter(|record| header.filter.admits(record)) {
            let line = Line::of(record, open).map_err(|error| StoreError::Codec {
                place: format!("record #{}", record.seq),
                error,
            })?;
            output.line(export::text(&line))?;
            end.records += 1;
            end.head = record.cursor();
        }
        progress.tell(after.seq.0, header.to.0);
    }
    output.line(export::text(&Footer { end }))?;
    Ok(keys)
}

/// The position before the first record that may be exported, and the last one.
async fn range(
    settings: &Settings,
    source: &Source,
    args: &Args,
) -> Result<(Cursor, Seq), Failure> {
    let before = match (args.from, &args.since) {
        (Some(from), _) => {
            let first = Moment::Seq(Seq(from)).record(source).await?;
            Cursor {
                seq: Seq(first.seq.0.saturating_sub(1)),
                hash: first.prev_hash,
            }
        }
        (None, Some(since)) => super::record_before(settings, source, since).await?,
        (None, None) => Cursor::START,
    };
    let to = match (args.to, &args.until) {
        (Some(to), _) => Moment::Seq(Seq(to)).record(source).await?.seq,
        (None, Some(until)) => super::record_at(settings, source, until).await?.seq,
        (None, None) => source.head().seq,
    };
    if to < before.seq {
        let text = format!("there is nothing between #{} and #{to}", before.seq.next());
        return Err(Failure::new(Exit::Usage, text));
    }
    Ok((before, to))
}

/// A kind that is misspelled must not look like one that never happened.
fn check_kinds(filter: &Filter) -> Result<(), Failure> {
    let names = moltbot_core::event::KINDS;
    let known = |kind: &str| names.iter().any(|(_, name, _)| *name == kind);
    let unknown = filter
        .kinds
        .iter()
        .find(|kind| !known(kind) && !kind.starts_with("kind_"));
    let Some(kind) = unknown else {
        return Ok(());
    };
    let names: Vec<&str> = names.iter().map(|(_, name, _)| *name).collect();
    let text = format!(
        "`{kind}` is no kind of record; there are {}",
        names.join(", ")
    );
    Err(Failure::new(Exit::Usage, text))
}
