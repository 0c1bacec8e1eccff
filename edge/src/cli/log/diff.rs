//! `moltbot log diff`.

use crate::cli::output::{Output, Progress};
use crate::exit::Failure;
use crate::limits::DIFF_RECORDS_MAX;
use crate::settings::Settings;
use crate::time_travel::compare::{Comparison, compare};
use crate::time_travel::diff::{Change, Kind};
use crate::time_travel::readable::{self, Detail, Open};
use serde_json::Value;
use std::collections::BTreeMap;

/// Changes of one part that are printed for a person.
const CHANGES_PRINTED_MAX: usize = 40;
/// Characters of a value that are printed for a person.
const VALUE_CHARS_MAX: usize = 96;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(value_name = "FROM", help = super::MOMENT)]
    from: String,
    #[arg(
        value_name = "TO",
        default_value = "now",
        help = "Another one; what came after FROM up to here is shown"
    )]
    to: String,
    /// Print JSON, with every change
    #[arg(long)]
    json: bool,
    /// Open the content that the keys in the replica open
    #[arg(long)]
    open: bool,
    /// Records to print
    #[arg(long, value_name = "N", default_value_t = DIFF_RECORDS_MAX)]
    records: usize,
}

pub(super) async fn run(settings: &Settings, args: Args) -> Result<(), Failure> {
    let source = super::open(settings).await?;
    let from = super::record_at(settings, &source, &args.from).await?;
    let to = super::record_at(settings, &source, &args.to).await?;
    let keyring = if args.open {
        Some(super::keyring(settings, &source).await?)
    } else {
        None
    };
    let text = keyring
        .as_ref()
        .map(|keyring| move |content: &_| super::text(keyring, content));
    let open = text.as_ref().map(|text| text as &Open<'_>);
    let mut progress = Progress::new("folded");
    let mut pulse = |done, total| {
        progress.tell(done, total);
        true
    };
    let bounds = (Detail::Full, args.records);
    let comparison = compare(&source, (&from, &to), bounds, open, &mut pulse).await?;
    drop(progress);
    let mut output = Output::standard();
    if args.json {
        let json = serde_json::to_value(&comparison).unwrap_or_default();
        output.line(readable::harmless(&format!("{json:#}")))?;
    } else {
        print(&mut output, &comparison)?;
    }
    output.finish()
}

fn print(output: &mut Output, comparison: &Comparison) -> Result<(), Failure> {
    let place = |at: &crate::time_travel::compare::Place| format!("#{} {}", at.seq, at.at);
    output.line(format_args!("from  {}", place(&comparison.from)))?;
    output.line(format_args!("to    {}", place(&comparison.to)))?;
    let mut parts: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in &comparison.changes {
        let part = change.path.first().map_or("", String::as_str);
        parts.entry(part).or_default().push(change);
    }
    if parts.is_empty() {
        output.line("\nnothing changed")?;
    }
    for (part, changes) in parts {
        let count = |kind| {
            changes
                .iter()
                .filter(|change| change.change == kind)
                .count()
        };
        output.line(format_args!(
            "\n{part}: {} added, {} removed, {} changed",
            count(Kind::Added),
            count(Kind::Removed),
            count(Kind::Changed)
        ))?;
        for change in changes.iter().take(CHANGES_PRINTED_MAX) {
            output.line(change_line(change))?;
        }
        if let Some(rest) = changes
            .len()
            .checked_sub(CHANGES_PRINTED_MAX)
            .filter(|n| *n > 0)
        {
            output.line(format_args!("  … and {rest} more; --json has them all"))?;
        }
    }
    print_records(output, comparison)
}

fn print_records(output: &mut Output, comparison: &Comparison) -> Result<(), Failure> {
    let records = &comparison.records;
    output.line(format_args!("\nrecords: {}", records.count))?;
    for row in &records.shown {
        output.line(readable::harmless(&format!(
            "  #{}  {}  {}  {}",
            row.seq, row.at, row.kind, row.actor
        )))?;
    }
    if records.left_out > 0 {
        output.line(format_args!("  … and {} more:", records.left_out))?;
        for (kind, count) in &records.kinds {
            output.line(format_args!("  {count:>8}  {kind} in all"))?;
        }
    }
    Ok(())
}

fn change_line(change: &Change) -> String {
    let place = change.path.split_first().map(|(_, rest)| rest.join(" / "));
    let place = place.unwrap_or_default();
    let shown = |value: &Option<Value>| value.as_ref().map(short).unwrap_or_default();
    let (before, after) = (shown(&change.before), shown(&change.after));
    let line = match change.change {
        Kind::Added => format!("  + {place}: {after}"),
        Kind::Removed => format!("  - {place}: {before}"),
        Kind::Changed => format!("  ~ {place}: {before} → {after}"),
    };
    readable::harmless(&line)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
