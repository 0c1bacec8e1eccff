//! Records what changed on the disk: the difference between the directory and the log becomes
//! commands.
//!
//! Invariant: contents are sealed and durable on this machine before the command that names them.
//! What was not seen is not deleted, what the log has newer is left alone, and what cannot be
//! recorded is said by name.

use super::base::{Agreed, Base};
use super::compare::{self, Sides, Step};
use super::exclude::Exclude;
use super::root::{Found, Root};
use super::scan::{Problem, Scan};
use super::tree::{self, Recorded, Tree, Version};
use super::{Pass, Progress, Report};
use crate::gateway::Running;
use crate::limits::FILES_AT_ONCE;
use crate::stamp;
use crate::writer::{Accepted, Intent, Refused};
use futures_util::{StreamExt, stream};
use moltbot_core::actor::Actor;
use moltbot_core::command::{Action, FileChange};
use moltbot_core::ids::{FileId, KeyId};
use moltbot_core::limits::FILE_CHANGES_MAX;
use moltbot_core::workspace::{DIRECTORY, INDEX_AUTHOR, author};
use moltbot_store::blobs::{BlobKey, LocalBlobs};
use moltbot_store::keys::Keyring;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Everything that judging one path needs, from any thread.
struct Context {
    root: Root,
    tree: Tree,
    base: Base,
    scan: Scan,
    keyring: Arc<Keyring>,
    blobs: Arc<LocalBlobs>,
    key: BlobKey,
    began_ms: i64,
}

/// What a path comes to.
enum Judged {
    /// Both agree, or agree once this is recorded.
    Agreed(FileId, Agreed, Option<FileChange>),
    /// The log is ahead, or both changed: restoring settles it.
    Left,
    Problem(Problem),
}

/// Records the differences, as this actor.
pub async fn record(
    running: &Arc<Running>,
    pass: &Pass<'_>,
    actor: &Actor,
    exclude: Exclude,
) -> Result<Report, String> {
    let Some(blobs) = running.replica.blobs.clone() else {
        return Err("this gateway keeps no blobs".to_owned());
    };
    let key = keys(running, actor).await?;
    let recorded = running.view.read(Recorded::in_model);
    let keyring = running.reader.keyring();
    let (path, base_path) = (pass.root.to_owned(), pass.base.map(Path::to_owned));
    let prepare = move || {
        prepare(
            &path,
            base_path.as_deref(),
            recorded,
            &exclude,
            &keyring,
            blobs,
            &key,
        )
    };
    let context = spawn_blocking(prepare).await;
    let context = context
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("the workspace cannot be read: {error}"))?;
    let mut batch = Batch::new(running, actor, context.key_id(), pass);
    batch.report.problems.clone_from(&context.scan.problems);
    pass.progress(Progress::recording(0, context.scan.found.len()));
    for change in context.deletions() {
        batch.add(change, None).await?;
    }
    let context = Arc::new(context);
    let paths: Vec<String> = context.scan.found.keys().cloned().collect();
    let total = paths.len();
    let mut judged = stream::iter(paths)
        .map(|path| {
            let context = Arc::clone(&context);
            spawn_blocking(move || context.judge(&path))
        })
        .buffered(FILES_AT_ONCE);
    let mut done = 0;
    while let Some(judged) = judged.next().await {
        done += 1;
        pass.progress(Progress::recording(done, total));
        match judged.map_err(|error| error.to_string())? {
            Judged::Agreed(file, agreed, None) => {
                batch.report.unchanged += 1;
                batch.agreed.push((file, Some(agreed)));
            }
            Judged::Agreed(_, agreed, Some(change)) => batch.add(change, Some(agreed)).await?,
            Judged::Left => batch.report.left += 1,
            Judged::Problem(problem) => batch.report.problems.push(problem),
        }
    }
    drop(judged);
    batch.submit().await?;
    let (report, agreed) = (batch.report, batch.agreed);
    let Some(context) = Arc::into_inner(context) else {
        return Err("a file is still being read".to_owned());
    };
    save(running, context, agreed, pass.base).await?;
    Ok(report)
}

/// The key with which this actor's files are sealed; made if need be, as is the one for ids.
async fn keys(running: &Running, actor: &Actor) -> Result<KeyId, String> {
    let author = author(actor);
    let known = || {
        running.view.read(|model| {
            tree::key_of(&model.state, INDEX_AUTHOR)?;
            tree::key_of(&model.state, &author)
        })
    };
    if let Some(key) = known() {
        return Ok(key);
    }
    let intent = Intent::new(actor.clone(), Action::CreateWorkspaceKeys);
    running.submit(intent).await.map_err(refused)?;
    known().ok_or_else(|| "the keys for files were not made".to_owned())
}

fn prepare(
    path: &Path,
    base_path: Option<&Path>,
    recorded: Recorded,
    exclude: &Exclude,
    keyring: &Arc<Keyring>,
    blobs: Arc<LocalBlobs>,
    key: &KeyId,
) -> io::Result<Context> {
    let key = tree::blob_key(keyring, key)
        .ok_or_else(|| io::Error::other("the key that protects its files is gone"))?;
    let root = Root::create(path)?;
    let mut tree = Tree::open(recorded, keyring);
    // What is excluded is none of our business on either side.
    tree.nodes.retain(|path, _| !exclude.matches(path));
    let base = Base::load(base_path, &tree, &root)?;
    let began_ms = stamp::now().0;
    let scan = Scan::of(&root, exclude)?;
    Ok(Context {
        root,
        tree,
        base,
        scan,
        keyring: Arc::clone(keyring),
        blobs,
        key,
        began_ms,
    })
}

impl Context {
    fn key_id(&self) -> KeyId {
        self.key.id().clone()
    }

    /// What was here, as the log has it, and is here no more; what lies in a directory before it.
    fn deletions(&self) -> Vec<FileChange> {
        let mut gone = Vec::new();
        for (path, node) in self.tree.nodes.iter().rev() {
            let is_here = self.scan.found.contains_key(path) || self.scan.is_unseen(path);
            let base = self.base.files.get(&node.file).map(Agreed::version);
            if !is_here && base == Some(Version::of(&node.entry)) {
                gone.push(FileChange::Delete {
                    file: node.file.clone(),
                });
            }
        }
        gone
    }

    fn judge(&self, path: &str) -> Judged {
        match self.try_judge(path) {
            Ok(judged) => judged,
            Err(error) => Judged::Problem(Problem {
                path: path.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    fn try_judge(&self, path: &str) -> io::Result<Judged> {
        let (Some(found), Some(file)) = (self.scan.found.get(path), self.tree.id(path)) else {
            return Ok(Judged::Left);
        };
        let base = self.base.files.get(&file);
        if self.tree.is_remainder(path, found, base) {
            return Ok(Judged::Left);
        }
        let log = self.tree.version(path);
        let sides = Sides {
            root: &self.root,
            keyring: &self.keyring,
            path,
            disk: Some(found),
            log: log.as_ref(),
            base,
        };
        let agreed = |version: &Version| Agreed::new(version, found.stamp, self.began_ms);
        match (sides.step()?, &log) {
            (Step::Same, Some(log)) => Ok(Judged::Agreed(file, agreed(log), None)),
            (Step::Record, _) => {
                let (version, change) = self.seal(path, found, &file)?;
                Ok(Judged::Agreed(file, agreed(&version), Some(change)))
            }
            _ => Ok(Judged::Left),
        }
    }

    fn seal(&self, path: &str, found: &Found, file: &FileId) -> io::Result<(Version, FileChange)> {
        let written = compare::seal(&self.root, path, found, &self.key, Some(&self.blobs))?;
        let version = Version {
            mode: found.mode,
            size: written.bytes,
            blob: written.blob,
            key: self.key_id(),
        };
        let (file, path, mode) = (file.clone(), path.to_owned(), found.mode);
        let change = if found.kind() == DIRECTORY {
            FileChange::Directory { file, path, mode }
        } else {
            FileChange::Write {
                file,
                path,
                mode,
                size: written.bytes,
                blob: written.blob,
            }
        };
        Ok((version, change))
    }
}

/// Changes on their way into one command.
struct Batch<'a> {
    running: &'a Running,
    actor: &'a Actor,
    key: KeyId,
    pass: &'a Pass<'a>,
    changes: Vec<FileChange>,
    waiting: Vec<(FileId, Option<Agreed>)>,
    /// What log and disk agree on by now; `None`: that there is nothing.
    agreed: Vec<(FileId, Option<Agreed>)>,
    report: Report,
}

impl<'a> Batch<'a> {
    fn new(running: &'a Running, actor: &'a Actor, key: KeyId, pass: &'a Pass<'a>) -> Batch<'a> {
        Batch {
            running,
            actor,
            key,
            pass,
            changes: Vec::new(),
            waiting: Vec::new(),
            agreed: Vec::new(),
            report: Report::default(),
        }
    }

    async fn add(&mut self, change: FileChange, agreed: Option<Agreed>) -> Result<(), String> {
        self.waiting.push((change.file().clone(), agreed));
        self.changes.push(change);
        if self.changes.len() < FILE_CHANGES_MAX {
            return Ok(());
        }
        self.submit().await
    }

    /// Makes the contents durable, then records the changes.
    async fn submit(&mut self) -> Result<(), String> {
        if self.changes.is_empty() {
            return Ok(());
        }
        if let Some(blobs) = self.running.replica.blobs.clone() {
            let synced = spawn_blocking(move || blobs.sync()).await;
            synced
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?;
        }
        let action = Action::RecordFiles {
            key: self.key.clone(),
            changes: std::mem::take(&mut self.changes),
        };
        let intent = Intent::new(self.actor.clone(), action);
        let intent = match self.pass.cause {
            Some((cause, correlation)) => intent.because(cause, correlation),
            None => intent,
        };
        let accepted: Accepted = self.running.submit(intent).await.map_err(refused)?;
        self.report.recorded += accepted.events.len();
        self.report.seq = self.report.seq.max(accepted.seq.0);
        self.agreed.append(&mut self.waiting);
        Ok(())
    }
}

fn refused(refused: Refused) -> String {
    match refused {
        Refused::Rejected(rejection) => rejection.message,
        Refused::Stopped => "the gateway is stopping".to_owned(),
    }
}

/// Remembers what log and disk agree on now.
async fn save(
    running: &Running,
    context: Context,
    agreed: Vec<(FileId, Option<Agreed>)>,
    path: Option<&Path>,
) -> Result<(), String> {
    let cursor = running.view.read(|model| model.state.cursor);
    let path = path.map(Path::to_owned);
    let save = move || {
        let Context {
            mut base, mut tree, ..
        } = context;
        tree.cursor = cursor;
        for (file, agreed) in agreed {
            match agreed {
                Some(agreed) => base.files.insert(file, agreed),
                None => base.files.remove(&file),
            };
        }
        base.save(path.as_deref(), &tree)
    };
    let saved = spawn_blocking(save).await;
    saved
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("what was agreed on cannot be remembered: {error}"))
}
