//! The assistant's workspace on the disk: a directory that is a projection of the log, and whose
//! changes are recorded in it.
//!
//! Invariant: log and disk are brought together by passes, one at a time. A pass compares each path
//! on three sides, the log, the disk, and what both last agreed on ([`base`]), and lets the side
//! follow that did not change ([`compare`]). [`materialize`] brings the disk after the log, at every
//! start; [`record`] the log after the disk. Names of files are personal: they are in no log line
//! and in no answer to anyone who does not administer.

pub mod base;
pub mod compare;
pub mod exclude;
pub mod materialize;
pub mod record;
pub mod root;
pub mod scan;
pub mod show;
pub mod tree;

use crate::gateway::Running;
use crate::home;
use crate::limits::{WORKSPACE_PROBLEMS_MAX, WORKSPACE_RETRY_MS};
use crate::settings::Settings;
use exclude::Exclude;
use materialize::Source;
use moltbot_core::actor::Actor;
use moltbot_core::ids::Seq;
use scan::Problem;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};
use tree::Recorded;

/// The workspace of a gateway.
pub struct Files {
    root: PathBuf,
    base: PathBuf,
    one_at_a_time: Mutex<()>,
    asked: std::sync::Mutex<Asked>,
    progress: watch::Sender<Progress>,
    ended: watch::Sender<Ended>,
}

/// Who asked for a pass that records.
#[derive(Default)]
struct Asked {
    last: u64,
    /// The newest that looked at the disk already, or began to.
    begun: u64,
    actor: Option<Actor>,
}

/// How far the pass under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// `idle`, `comparing`, `restoring` or `recording`.
    pub state: &'static str,
    /// Files so far.
    pub done: usize,
    /// Files in all.
    pub total: usize,
}

impl Progress {
    /// Nothing is under way.
    pub const IDLE: Progress = Progress {
        state: "idle",
        done: 0,
        total: 0,
    };

    fn comparing(done: usize, total: usize) -> Progress {
        let state = "comparing";
        Progress { state, done, total }
    }

    fn restoring(done: usize, total: usize) -> Progress {
        let state = "restoring";
        Progress { state, done, total }
    }

    fn recording(done: usize, total: usize) -> Progress {
        let state = "recording";
        Progress { state, done, total }
    }
}

/// How the last passes ended.
#[derive(Debug, Clone, Default)]
struct Ended {
    restored: Option<Result<Report, String>>,
    /// With its number.
    recorded: Option<(u64, Result<Report, String>)>,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes that were recorded.
    pub recorded: usize,
    /// Files and directories that were brought to the disk.
    pub restored: usize,
    /// Those that were deleted from it.
    pub deleted: usize,
    /// Those that were the same on both sides.
    pub unchanged: usize,
    /// Those that wait for a pass in the other direction.
    pub left: usize,
    /// Files of the log that nobody can read any more.
    pub forgotten: usize,
    /// Files that both sides changed, and the name that the disk's version has now.
    pub conflicts: Vec<(String, String)>,
    /// What could not be done, by name.
    pub problems: Vec<Problem>,
    /// Whether another pass may settle some of it.
    pub is_passing: bool,
    /// The last record.
    pub seq: u64,
}

impl Report {
    fn problem(&mut self, path: String, reason: String) {
        self.problems.push(Problem { path, reason });
    }

    fn add(&mut self, other: Report) {
        self.restored += other.restored;
        self.deleted += other.deleted;
        self.conflicts.extend(other.conflicts);
        self.problems.extend(other.problems);
    }

    /// For those who administer.
    pub fn to_json(&self) -> Value {
        let problems = self.problems.iter().take(WORKSPACE_PROBLEMS_MAX);
        let problems = problems.map(|p| json!({ "path": p.path, "reason": p.reason }));
        let conflicts = self.conflicts.iter().take(WORKSPACE_PROBLEMS_MAX);
        let conflicts = conflicts.map(|(path, aside)| json!({ "path": path, "kept": aside }));
        json!({
            "recorded": self.recorded,
            "restored": self.restored,
            "deleted": self.deleted,
            "unchanged": self.unchanged,
            "left": self.left,
            "forgotten": self.forgotten,
            "conflictCount": self.conflicts.len(),
            "conflicts": conflicts.collect::<Vec<_>>(),
            "problemCount": self.problems.len(),
            "problems": problems.collect::<Vec<_>>(),
            "seq": self.seq,
        })
    }
}

/// One pass: where, and who wants to know how far it is.
pub struct Pass<'a> {
    /// The directory.
    pub root: &'a Path,
    /// Where it is kept what both sides last agreed on, if anywhere.
    pub base: Option<&'a Path>,
    /// The record that led to it, and the one that began the story.
    pub cause: Option<(Seq, Seq)>,
    /// Told how far it is.
    pub watch: &'a watch::Sender<Progress>,
}

impl Pass<'_> {
    fn progress(&self, progress: Progress) {
        self.watch.send_replace(progress);
    }
}

impl Files {
    /// The workspace that the settings name.
    pub fn new(settings: &Settings) -> Files {
        Files {
            root: settings.workspace.clone(),
            base: home::workspace_base(settings),
            one_at_a_time: Mutex::default(),
            asked: std::sync::Mutex::default(),
            progress: watch::Sender::new(Progress::IDLE),
            ended: watch::Sender::new(Ended::default()),
        }
    }

    /// Brings the disk after the log.
    pub async fn restore(&self, running: &Running) -> Result<Report, String> {
        let _one = self.one_at_a_time.lock().await;
        let source = Source {
            recorded: running.view.read(Recorded::in_model),
            keyring: running.reader.keyring(),
            replica: running.replica.clone(),
        };
        let result = materialize::materialize(source, &self.pass(None)).await;
        self.progress.send_replace(Progress::IDLE);
        self.ended
            .send_modify(|ended| ended.restored = Some(result.clone()));
        result
    }

    /// Brings the log after the disk: what changed is recorded as this actor's doing.
    pub async fn record(
        &self,
        running: &Arc<Running>,
        actor: &Actor,
        cause: Option<(Seq, Seq)>,
    ) -> Result<Report, String> {
        let _one = self.one_at_a_time.lock().await;
        {
            // Whoever asks from here on wants another one.
            let mut asked = self.asked();
            asked.begun = asked.last;
        }
        let exclude = running
            .view
            .read(|model| model.state.config.text("workspace.exclude"))
            .unwrap_or_default();
        let exclude = Exclude::parse(&exclude);
        let result = record::record(running, &self.pass(cause), actor, exclude).await;
        self.progress.send_replace(Progress::IDLE);
        result
    }

    /// Has the differences recorded beside what else happens; the number under which
    /// [`Files::status`] says how it ended. One that waits already is as good as another.
    pub fn ask_to_record(running: &Arc<Running>, actor: Actor) -> u64 {
        let number = {
            let mut asked = running.files.asked();
            if asked.last > asked.begun && asked.actor.as_ref() == Some(&actor) {
                return asked.last;
            }
            asked.last += 1;
            asked.actor = Some(actor.clone());
            asked.last
        };
        let running = Arc::clone(running);
        tokio::spawn(async move {
            let files = &running.files;
            let result = files.record(&running, &actor, None).await;
            if let Err(error) = &result {
                warn!(error, "the workspace was not recorded");
            }
            files
                .ended
                .send_modify(|ended| ended.recorded = Some((number, result)));
        });
        number
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is, for those who administer.
    pub fn status(&self, running: &Running) -> Value {
        let (count, bytes) = running.view.read(|model| {
            let workspace = &model.state.workspace;
            (workspace.len(), workspace.bytes())
        });
        let ended = self.ended.borrow().clone();
        let report = |result: &Result<Report, String>| match result {
            Ok(report) => report.to_json(),
            Err(error) => json!({ "error": error }),
        };
        let recorded = ended.recorded.as_ref().map(|(number, result)| {
            let mut report = report(result);
            report["number"] = json!(number);
            report
        });
        let mut status = self.public();
        status["root"] = json!(self.root.display().to_string());
        status["count"] = json!(count);
        status["bytes"] = json!(bytes);
        status["lastRestore"] = json!(ended.restored.as_ref().map(report));
        status["lastRecord"] = json!(recorded);
        if let Some(blobs) = &running.replica.blobs {
            let waiting = blobs.waiting();
            status["waiting"] = json!({ "blobs": waiting.count, "bytes": waiting.bytes });
        }
        status
    }

    /// How it is, for anyone: no names.
    pub fn public(&self) -> Value {
        let progress = *self.progress.borrow();
        let problems = match &self.ended.borrow().restored {
            Some(Ok(report)) => report.problems.len(),
            Some(Err(_)) => 1,
            None => 0,
        };
        json!({
            "state": progress.state,
            "done": progress.done,
            "total": progress.total,
            "problems": problems,
        })
    }

    fn pass(&self, cause: Option<(Seq, Seq)>) -> Pass<'_> {
        Pass {
            root: &self.root,
            base: Some(&self.base),
            cause,
            watch: &self.progress,
        }
    }

    /// Whether neither the log nor this machine ever had a file.
    fn is_unused(&self, running: &Running) -> bool {
        let is_empty = running.view.read(|model| model.state.workspace.is_empty());
        is_empty && !self.base.exists()
    }
}

/// Brings the disk after the log once, and again for as long as the remote log fails. Never holds
/// anything else up.
pub async fn restore_at_start(running: Arc<Running>) {
    let files = &running.files;
    let (mut wait_ms, longest_ms) = WORKSPACE_RETRY_MS;
    if files.is_unused(&running) {
        let nothing = Some(Ok(Report::default()));
        files.ended.send_modify(|ended| ended.restored = nothing);
        return;
    }
    loop {
        match files.restore(&running).await {
            Ok(report) => {
                let problems = report.problems.len();
                info!(
                    restored = report.restored,
                    deleted = report.deleted,
                    unchanged = report.unchanged,
                    conflicts = report.conflicts.len(),
                    problems,
                    "workspace restored"
                );
                if problems > 0 {
                    warn!(
                        problems,
                        "not every file could be restored; see: moltbot workspace status"
                    );
                }
                if !report.is_passing {
                    return;
                }
            }
            Err(error) => return warn!(error, "the workspace was not restored"),
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        wait_ms = (wait_ms * 2).min(longest_ms);
    }
}

#[cfg(test)]
mod tests;
