//! Brings a directory to the tree of the log.
//!
//! Invariant: a file appears whole or not at all. Only what the log deleted is deleted, and only if
//! nobody changed it here; what was changed here and in the log is kept beside the log's version
//! under another name. What nobody knows of stays. One file that fails is said by name and holds
//! nothing up; the next pass tries it again.

use super::base::{Agreed, Base};
use super::compare::{self, Sides, Step};
use super::exclude::Exclude;
use super::root::{Found, Root};
use super::scan::Scan;
use super::tree::{self, Recorded, Tree, Version};
use super::{Pass, Progress, Report};
use crate::limits::FILES_AT_ONCE;
use crate::stamp;
use futures_util::{StreamExt, stream};
use moltbot_core::chain::Hash;
use moltbot_core::workspace::{DIRECTORY, REGULAR, SYMLINK, TYPE_BITS};
use moltbot_store::blobs::{BlobKey, BlobReader};
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::keys::Keyring;
use moltbot_store::replica::Replica;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Bits that an owner needs to work in a directory.
const OWNER_BITS: u32 = 0o700;
/// Letters that tell conflict copies of one file apart.
const MARK_CHARS: usize = 8;
/// Bytes of a link's target; no system takes longer ones.
const TARGET_BYTES_MAX: usize = 4 * 1024;

/// Where contents come from.
#[derive(Clone)]
pub struct Source {
    /// The tree, its paths still sealed.
    pub recorded: Recorded,
    /// The data keys.
    pub keyring: Arc<Keyring>,
    /// The remote log, and the blobs on this machine.
    pub replica: Replica,
    /// What is left alone on both sides.
    pub exclude: Exclude,
}

/// Everything that one pass works with, from any thread.
struct Context {
    root: Root,
    tree: Tree,
    base: Base,
    scan: Scan,
    keyring: Arc<Keyring>,
    replica: Replica,
    began_ms: i64,
}

/// Why a file was not restored.
struct Failed {
    reason: String,
    /// Whether another try may help.
    is_passing: bool,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed {
            reason: error.to_string(),
            is_passing: false,
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed {
            reason: error.to_string(),
            is_passing: error.kind() == ErrorKind::Transient,
        }
    }
}

/// Brings the directory to the tree.
pub async fn materialize(source: Source, pass: &Pass<'_>) -> Result<Report, String> {
    let (path, base_path) = (pass.root.to_owned(), pass.base.map(Path::to_owned));
    let prepared = spawn_blocking(move || prepare(&path, base_path.as_deref(), source)).await;
    let context = prepared
        .map_err(|error| error.to_string())?
        .map_err(|error| {
            let path = pass.root.display();
            format!("the workspace `{path}` cannot be used: {error}")
        })?;
    let context = Arc::new(context);
    let mut report = Report {
        forgotten: context.tree.forgotten,
        ..Report::default()
    };
    let (steps, same) = judge(&context, pass, &mut report).await;
    restore(&context, pass, &steps, &mut report).await;
    let base_path = pass.base.map(Path::to_owned);
    let saved =
        spawn_blocking(move || remember(&context, &steps, &same, base_path.as_deref())).await;
    saved
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("what was agreed on cannot be remembered: {error}"))?;
    Ok(report)
}

fn prepare(path: &Path, base: Option<&Path>, source: Source) -> io::Result<Context> {
    let root = Root::create(path)?;
    let mut tree = Tree::open(source.recorded, &source.keyring);
    tree.nodes.retain(|path, _| !source.exclude.matches(path));
    let base = Base::load(base, &tree, &root)?;
    let began_ms = stamp::now().0;
    let scan = Scan::of(&root, &source.exclude)?;
    Ok(Context {
        root,
        tree,
        base,
        scan,
        keyring: source.keyring,
        replica: source.replica,
        began_ms,
    })
}

/// The paths about which something is to be done, and those that are as the log says; in order.
async fn judge(
    context: &Arc<Context>,
    pass: &Pass<'_>,
    report: &mut Report,
) -> (Vec<String>, Vec<String>) {
    let nodes = context.tree.nodes.keys();
    let paths: BTreeSet<String> = nodes.chain(context.scan.found.keys()).cloned().collect();
    let total = paths.len();
    let mut judged = stream::iter(paths)
        .map(|path| {
            let context = Arc::clone(context);
            spawn_blocking(move || {
                let step = context.step(&path);
                (path, step)
            })
        })
        .buffered(FILES_AT_ONCE);
    let (mut steps, mut same) = (Vec::new(), Vec::new());
    let mut done = 0;
    while let Some(judged) = judged.next().await {
        done += 1;
        pass.progress(Progress::comparing(done, total));
        match judged {
            Ok((path, Ok(Step::Restore | Step::Conflict))) => steps.push(path),
            Ok((path, Ok(Step::Same))) => same.push(path),
            Ok((_, Ok(Step::Record))) => report.left += 1,
            Ok((path, Err(error))) => report.problem(path, error.to_string()),
            Err(error) => report.problem(String::new(), error.to_string()),
        }
    }
    report.unchanged = same.len();
    (steps, same)
}

/// Deletes, makes directories, fills them, and sets their modes, in this order.
async fn restore(context: &Arc<Context>, pass: &Pass<'_>, steps: &[String], report: &mut Report) {
    let mut modes = BTreeMap::new();
    let blocking = {
        let (context, steps) = (Arc::clone(context), steps.to_vec());
        spawn_blocking(move || {
            let mut report = Report::default();
            context.clear(&steps, &mut report);
            let modes = context.directories(&steps, &mut report);
            (modes, report)
        })
    };
    match blocking.await {
        Ok((directories, part)) => {
            modes = directories;
            report.add(part);
        }
        Err(error) => report.problem(String::new(), error.to_string()),
    }
    let is_content = |path: &&String| {
        let node = context.tree.nodes.get(*path);
        node.is_some_and(|node| node.entry.kind() != DIRECTORY)
    };
    let paths: Vec<String> = steps.iter().filter(is_content).cloned().collect();
    let total = paths.len();
    let mut placed = stream::iter(paths)
        .map(|path| {
            let context = Arc::clone(context);
            async move {
                let placed = context.place(&path).await;
                (path, placed)
            }
        })
        .buffer_unordered(FILES_AT_ONCE);
    let mut done = 0;
    while let Some((path, placed)) = placed.next().await {
        done += 1;
        pass.progress(Progress::restoring(done, total));
        match placed {
            Ok(()) => report.restored += 1,
            Err(failed) => {
                report.is_passing |= failed.is_passing;
                report.problem(path, failed.reason);
            }
        }
    }
    let context = Arc::clone(context);
    match spawn_blocking(move || context.set_modes(&modes)).await {
        Ok(part) => report.add(part),
        Err(error) => report.problem(String::new(), error.to_string()),
    }
}

impl Context {
    fn step(&self, path: &str) -> io::Result<Step> {
        let log = self.tree.version(path);
        let disk = self.scan.found.get(path);
        if disk.is_none() && self.scan.is_unseen(path) {
            return Err(io::Error::other("something here cannot be looked at"));
        }
        let base = self.tree.id(path).and_then(|id| self.base.files.get(&id));
        if disk.is_some_and(|disk| self.tree.is_remainder(path, disk, base)) {
            return Ok(Step::Restore);
        }
        let sides = Sides {
            root: &self.root,
            keyring: &self.keyring,
            path,
            disk,
            log: log.as_ref(),
            base,
        };
        match sides.step()? {
            // It was deleted there and changed here: it is new here.
            Step::Conflict if log.is_none() => Ok(Step::Record),
            // Deleted here while it changed there: the log has the newer one.
            step => Ok(step),
        }
    }

    /// Takes away what the log has no more, and what stands where something else belongs.
    fn clear(&self, steps: &[String], report: &mut Report) {
        for path in steps.iter().rev() {
            let Some(found) = self.scan.found.get(path) else {
                continue;
            };
            let cleared = match self.tree.version(path) {
                None => self.delete(path, found, report),
                Some(log) => self.make_room(path, found, &log, report),
            };
            if let Err(error) = cleared {
                report.problem(path.clone(), error.to_string());
            }
        }
    }

    fn delete(&self, path: &str, found: &Found, report: &mut Report) -> io::Result<()> {
        // A directory changed with what was removed from it.
        if !is_directory(found.mode) {
            self.root.require_unchanged(path, found)?;
        }
        report.deleted += usize::from(self.root.remove(path, found)?);
        Ok(())
    }

    /// Of two versions that differ, what is here goes beside unless it is what was agreed on.
    fn make_room(
        &self,
        path: &str,
        found: &Found,
        log: &Version,
        report: &mut Report,
    ) -> io::Result<()> {
        match (is_directory(found.mode), is_directory(log.mode)) {
            (true, true) => return Ok(()),
            // What nobody recorded may still be in it.
            (true, false) if self.root.remove(path, found)? => return Ok(()),
            (true, false) => {}
            (false, to_directory) => {
                if !self.is_conflict(path, found, log)? {
                    if to_directory {
                        self.root.remove(path, found)?;
                    }
                    // Otherwise the new file replaces it.
                    return Ok(());
                }
            }
        }
        let aside = self.root.move_aside(path, &self.mark(path, found, log)?)?;
        report.conflicts.push((path.to_owned(), aside));
        Ok(())
    }

    /// Whether a file or link here has a content that is neither the log's nor agreed on.
    fn is_conflict(&self, path: &str, found: &Found, log: &Version) -> io::Result<bool> {
        let base = self.tree.id(path).and_then(|id| self.base.files.get(&id));
        let step = |log: &Version| {
            let sides = Sides {
                root: &self.root,
                keyring: &self.keyring,
                path,
                disk: Some(found),
                log: Some(log),
                base,
            };
            sides.step()
        };
        let same_kind = (found.mode ^ log.mode) & TYPE_BITS == 0;
        if same_kind {
            let with_this_mode = Version {
                mode: found.mode,
                ..log.clone()
            };
            // Of a mode alone no copy is worth keeping.
            if step(&with_this_mode)? == Step::Same {
                return Ok(false);
            }
        }
        Ok(step(log)? == Step::Conflict)
    }

    /// Tells conflict copies of one path apart; the same for the same content.
    fn mark(&self, path: &str, found: &Found, log: &Version) -> io::Result<String> {
        let written = match tree::blob_key(&self.keyring, &log.key) {
            Some(key) if !is_directory(found.mode) => {
                compare::seal(&self.root, path, found, &key, None)?.blob
            }
            _ => None,
        };
        let hash = written.unwrap_or_else(|| Hash::of(format!("{found:?}").as_bytes()));
        Ok(hash.to_hex().chars().take(MARK_CHARS).collect())
    }

    /// Makes the directories that are missing, and opens those to their owner in which something is
    /// to be placed. Gives the modes that they are to have at the end.
    fn directories(&self, steps: &[String], report: &mut Report) -> BTreeMap<String, u32> {
        let mut modes = BTreeMap::new();
        let mut needed: BTreeSet<&str> = BTreeSet::new();
        for path in steps {
            let Some(version) = self.tree.version(path) else {
                continue;
            };
            if is_directory(version.mode) {
                needed.insert(path);
                modes.insert(path.clone(), version.mode);
            }
            let mut rest = path.as_str();
            while let Some((folder, _)) = rest.rsplit_once('/') {
                needed.insert(folder);
                rest = folder;
            }
        }
        for path in needed {
            let opened = self.root.directory(path).and_then(|()| {
                let mode = self.root.look(path)?.map_or(0, |found| found.mode);
                if !is_directory(mode) || mode & OWNER_BITS == OWNER_BITS {
                    return Ok(());
                }
                modes.entry(path.to_owned()).or_insert(mode);
                self.root.set_mode(path, mode | OWNER_BITS)
            });
            if let Err(error) = opened {
                report.problem(path.to_owned(), error.to_string());
            }
        }
        modes
    }

    /// Sets the modes of directories, now that everything is in them.
    fn set_modes(&self, modes: &BTreeMap<String, u32>) -> Report {
        let mut report = Report::default();
        for (path, mode) in modes.iter().rev() {
            match self.root.set_mode(path, *mode) {
                Ok(()) => report.restored += 1,
                Err(error) => report.problem(path.clone(), error.to_string()),
            }
        }
        report
    }

    /// Puts one file or link in its place.
    async fn place(self: &Arc<Self>, path: &str) -> Result<(), Failed> {
        let Some(version) = self.tree.version(path) else {
            return Ok(());
        };
        let key = tree::blob_key(&self.keyring, &version.key)
            .ok_or_else(|| io::Error::other("the key of its content was forgotten"))?;
        match version.mode & TYPE_BITS {
            REGULAR => self.place_file(path, &version, &key).await,
            SYMLINK => self.place_link(path, &version, &key).await,
            _ => Err(io::Error::other("it is of a kind that this version does not know").into()),
        }
    }

    async fn place_file(
        self: &Arc<Self>,
        path: &str,
        version: &Version,
        key: &BlobKey,
    ) -> Result<(), Failed> {
        let mut reader = self.read(version, key).await?;
        let (context, name) = (Arc::clone(self), path.to_owned());
        // Nothing is begun before the first bytes are there.
        let mut bytes = next(&mut reader).await?;
        let mut part = blocking(move || context.root.part(&name)).await?;
        while let Some(piece) = bytes {
            part = blocking(move || {
                part.write(&piece)?;
                Ok(part)
            })
            .await?;
            bytes = next(&mut reader).await?;
        }
        let mode = version.mode;
        Ok(blocking(move || part.finish(mode)).await?)
    }

    async fn place_link(
        self: &Arc<Self>,
        path: &str,
        version: &Version,
        key: &BlobKey,
    ) -> Result<(), Failed> {
        let mut reader = self.read(version, key).await?;
        let mut target = Vec::new();
        while let Some(bytes) = next(&mut reader).await? {
            target.extend_from_slice(&bytes);
            if target.len() > TARGET_BYTES_MAX {
                return Err(io::Error::other("the target of this link is too long").into());
            }
        }
        let (context, path) = (Arc::clone(self), path.to_owned());
        Ok(blocking(move || context.root.link(&path, &target)).await?)
    }

    async fn read<'a>(
        &'a self,
        version: &Version,
        key: &'a BlobKey,
    ) -> Result<Option<BlobReader<'a>>, StoreError> {
        match &version.blob {
            Some(blob) => BlobReader::open(&self.replica, key, blob, version.size)
                .await
                .map(Some),
            None => Ok(None),
        }
    }
}

async fn next(reader: &mut Option<BlobReader<'_>>) -> Result<Option<bytes::Bytes>, StoreError> {
    match reader {
        Some(reader) => reader.next().await,
        None => Ok(None),
    }
}

/// Remembers what is now as the log says.
fn remember(
    context: &Context,
    steps: &[String],
    same: &[String],
    to: Option<&Path>,
) -> io::Result<()> {
    let mut base = context.base.clone();
    // The scan was before the files were compared.
    for path in same {
        let nodes = &context.tree.nodes;
        if let (Some(node), Some(found)) = (nodes.get(path), context.scan.found.get(path)) {
            let agreed = Agreed::new(&Version::of(&node.entry), found.stamp, context.began_ms);
            base.files.insert(node.file.clone(), agreed);
        }
    }
    let looked_at_ms = stamp::now().0;
    for path in steps {
        let Some(id) = context.tree.id(path) else {
            continue;
        };
        let agreed = match (context.tree.version(path), context.root.look(path)?) {
            (Some(log), Some(found)) if (log.mode, log.size) == (found.mode, found.size) => {
                Agreed::new(&log, found.stamp, looked_at_ms)
            }
            (None, None) => {
                base.files.remove(&id);
                continue;
            }
            _ => continue,
        };
        base.files.insert(id, agreed);
    }
    base.save(to, &context.tree)
}

fn is_directory(mode: u32) -> bool {
    mode & TYPE_BITS == DIRECTORY
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
