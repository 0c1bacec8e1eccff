//! `moltbot log stats`.

use crate::cli::output::Progress;
use crate::cli::say;
use crate::exit::Failure;
use crate::settings::Settings;
use moltbot_core::chain::Cursor;
use moltbot_core::event::kind_name;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use std::collections::BTreeMap;

pub(super) async fn run(settings: &Settings) -> Result<(), Failure> {
    let source = super::open(settings).await?;
    let head = source.head();
    let mut kinds: BTreeMap<u16, (u64, usize)> = BTreeMap::new();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    let mut after = Cursor::START;
    let mut progress = Progress::new("counted");
    loop {
        let page = source.page(after, head.seq).await?;
        let Some(last) = page.last().map(Record::cursor) else {
            break;
        };
        after = last;
        progress.tell(after.seq.0, head.seq.0);
        for record in page {
            let (count, bytes) = kinds.entry(record.kind).or_default();
            *count += 1;
            *bytes += record.payload.len();
            span = Some((span.map_or(record.at, |(first, _)| first), record.at));
        }
    }
    drop(progress);
    say(format_args!("head   {head}"));
    if let Some((first, last)) = span {
        say(format_args!("from   {first}\nto     {last}"));
    }
    for (kind, (count, bytes)) in kinds {
        say(format_args!(
            "{count:>8}  {bytes:>10} bytes  {}",
            kind_name(kind)
        ));
    }
    Ok(())
}
