//! `moltbot workspace …`

use super::client::call;
use super::rows::{rows, text};
use super::{log, say};
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::time_travel::fold::model_at;
use crate::view::Model;
use crate::workspace::exclude::Exclude;
use crate::workspace::materialize::{Source, materialize};
use crate::workspace::tree::Recorded;
use crate::workspace::{Pass, Progress, Report};
use clap::Subcommand;
use moltbot_core::ids::Seq;
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use url::form_urlencoded;

/// How often a gateway that records is asked how far it is.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Record what changed in the workspace of the gateway that runs on this machine
    Record,
    /// List the recorded files
    List {
        /// Print the API's JSON, one file per line
        #[arg(long)]
        json: bool,
    },
    /// Write the recorded files to a directory, from the replica; needs no running gateway
    Restore {
        /// The directory; what is in it already stays
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// How the workspace is, and what could not be recorded or restored
    Status {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(settings: &Settings, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Record => record(settings).await,
        Verb::List { json } => list(settings, json).await,
        Verb::Restore { to } => restore(settings, &to).await,
        Verb::Status { json } => status(settings, json).await,
    }
}

async fn record(settings: &Settings) -> Result<(), Failure> {
    let asked = call(settings, Method::POST, "workspace/record").await?;
    let number = asked["number"].as_u64().unwrap_or_default();
    loop {
        let status = call(settings, Method::GET, "workspace").await?;
        let last = &status["lastRecord"];
        if last["number"].as_u64() >= Some(number) {
            return finished(last);
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

fn finished(last: &Value) -> Result<(), Failure> {
    if let Some(error) = last["error"].as_str() {
        return Err(Failure::new(Exit::Configuration, error));
    }
    say(format_args!(
        "recorded: {} changes; {} unchanged",
        last["recorded"], last["unchanged"]
    ));
    if last["left"] != 0 {
        say(format_args!(
            "{} differ because the log has something newer; a restart brings them here",
            last["left"]
        ));
    }
    tell_problems(last);
    Ok(())
}

async fn list(settings: &Settings, json: bool) -> Result<(), Failure> {
    let mut after: Option<String> = None;
    loop {
        let query = after.as_deref().map_or_else(String::new, |after| {
            let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
            query.append_pair("after", after);
            query.finish()
        });
        let path = format!("workspace/files{query}");
        let page = call(settings, Method::GET, &path).await?;
        let files = rows(&page, "files");
        for file in &files {
            if json {
                say(file);
            } else {
                let (mode, size) = (text(file, "mode"), &file["size"]);
                say(format_args!("{mode}  {size:>12}  {}", text(file, "path")));
            }
        }
        after = files
            .last()
            .and_then(|file| file["path"].as_str())
            .map(str::to_owned);
        if page["hasMore"] != true {
            return Ok(());
        }
    }
}

async fn status(settings: &Settings, json: bool) -> Result<(), Failure> {
    let status = call(settings, Method::GET, "workspace").await?;
    if json {
        say(format_args!("{status:#}"));
        return Ok(());
    }
    say(format_args!("directory  {}", text(&status, "root")));
    say(format_args!(
        "recorded   {} files, {} bytes",
        status["count"], status["bytes"]
    ));
    let progress = match status["state"].as_str() {
        Some("idle") | None => "idle".to_owned(),
        Some(state) => format!("{state} {} of {}", status["done"], status["total"]),
    };
    say(format_args!("now        {progress}"));
    say(format_args!(
        "to upload  {} bytes",
        status["waiting"]["bytes"]
    ));
    for name in ["lastRestore", "lastRecord"] {
        if let Some(error) = status[name]["error"].as_str() {
            say(format_args!("failed     {error}"));
        }
        tell_problems(&status[name]);
    }
    Ok(())
}

fn tell_problems(report: &Value) {
    for conflict in rows(report, "conflicts") {
        let (path, kept) = (text(&conflict, "path"), text(&conflict, "kept"));
        say(format_args!(
            "conflict   {path}: the version of this machine is now {kept}"
        ));
    }
    for problem in rows(report, "problems") {
        let (path, reason) = (text(&problem, "path"), text(&problem, "reason"));
        say(format_args!("problem    {path}: {reason}"));
    }
}

/// Restores the log into memory and its files into a directory.
async fn restore(settings: &Settings, to: &Path) -> Result<(), Failure> {
    let log = log::open(settings).await?;
    let keyring = log::keyring(settings, &log).await?;
    let model = match log.head() {
        empty if empty.seq == Seq::ZERO => Model::default(),
        head => model_at(&log, head, &mut |_, _| true).await?,
    };
    let source = Source {
        recorded: Recorded::in_model(&model),
        keyring: Arc::new(keyring),
        replica: log.replica().clone(),
        exclude: Exclude::default(),
    };
    let report = into(source, to).await?;
    say(format_args!(
        "restored: {} files and directories; {} were there; {} are forgotten",
        report.restored, report.unchanged, report.forgotten
    ));
    tell_problems(&report.to_json());
    if report.problems.is_empty() {
        return Ok(());
    }
    let text = format!("{} files could not be restored", report.problems.len());
    Err(Failure::new(Exit::CorruptLog, text))
}

async fn into(source: Source, to: &Path) -> Result<Report, Failure> {
    // Nothing was agreed on with this directory, and nothing is to be remembered of it.
    let pass = Pass {
        root: to,
        base: None,
        cause: None,
        watch: &watch::Sender::new(Progress::IDLE),
    };
    materialize(source, &pass)
        .await
        .map_err(|error| Failure::new(Exit::Disk, error))
}
