//! `moltbot log state`.

use crate::cli::output::{Output, Progress};
use crate::exit::Failure;
use crate::settings::Settings;
use crate::time_travel::fold::model_at;
use crate::time_travel::readable::{self, Detail};
use serde_json::json;

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(long, default_value = "now", value_name = "MOMENT", help = super::MOMENT)]
    at: String,
    /// Open the content that the keys in the replica open
    #[arg(long)]
    open: bool,
}

pub(super) async fn run(settings: &Settings, args: Args) -> Result<(), Failure> {
    let source = super::open(settings).await?;
    let record = super::record_at(settings, &source, &args.at).await?;
    let mut progress = Progress::new("folded");
    let mut pulse = |done, total| {
        progress.tell(done, total);
        true
    };
    let mut model = model_at(&source, record.cursor(), &mut pulse).await?;
    drop(progress);
    let mut state = readable::state(&mut model, Detail::Full);
    if args.open {
        let keyring = super::keyring(settings, &source).await?;
        readable::open(&mut state, &|content| super::text(&keyring, content));
    }
    let shown = json!({
        "seq": record.seq,
        "hash": record.hash,
        "at": record.at.rfc3339(),
        "state": state,
    });
    let mut output = Output::standard();
    output.line(readable::harmless(&format!("{shown:#}")))?;
    output.finish()
}
