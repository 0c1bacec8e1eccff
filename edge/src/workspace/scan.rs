//! What lies on the disk: all paths of the workspace, in order.
//!
//! Invariant: what could not be looked at is said, and counts as unseen, never as gone.

use super::exclude::Exclude;
use super::root::{self, Found, PART, Root};
use crate::limits::WORKSPACE_SCAN_ENTRIES_MAX;
use cap_std::fs::Dir;
use moltbot_core::limits::FILE_BYTES_MAX;
use moltbot_core::workspace::{DIRECTORY, path_problem};
use std::collections::BTreeMap;
use std::io;

/// What cannot be recorded or restored, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path, as it can be shown.
    pub path: String,
    /// One sentence.
    pub reason: String,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Scan {
    /// By path; a directory comes before what is in it.
    pub found: BTreeMap<String, Found>,
    /// What was not seen.
    pub problems: Vec<Problem>,
    unseen: Vec<String>,
}

impl Scan {
    /// Looks at everything that is not excluded. Files that an earlier process left half written
    /// are removed.
    pub fn of(root: &Root, exclude: &Exclude) -> io::Result<Scan> {
        let mut scan = Scan::default();
        scan.walk(&root.top()?, "", exclude)?;
        Ok(scan)
    }

    /// Whether nobody looked at this path, so that nothing is known of it.
    pub fn is_unseen(&self, path: &str) -> bool {
        self.unseen.iter().any(|unseen| {
            let rest = path.strip_prefix(unseen.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || unseen.is_empty())
        })
    }

    fn walk(&mut self, dir: &Dir, folder: &str, exclude: &Exclude) -> io::Result<()> {
        let names = match root::names(dir) {
            Ok(names) => names,
            Err(error) => {
                self.unseen(folder, &error.to_string());
                return Ok(());
            }
        };
        for name in names {
            let Some(text) = name.to_str() else {
                let shown = format!("{folder}{}", name.to_string_lossy());
                self.unseen(
                    &shown,
                    "its name is not UTF-8; rename it to have it recorded",
                );
                continue;
            };
            if text.starts_with(PART) {
                // Whoever wrote it is gone; the next scan tries again.
                let _ = dir.remove_file(&name);
                continue;
            }
            let path = format!("{folder}{text}");
            if exclude.matches(&path) {
                continue;
            }
            if self.found.len() >= WORKSPACE_SCAN_ENTRIES_MAX {
                return Err(io::Error::other(format!(
                    "there are more than {WORKSPACE_SCAN_ENTRIES_MAX} files; exclude some (workspace.exclude)"
                )));
            }
            let found = root::found_in(dir, &name);
            if let Some(found) = self.take(&path, found)
                && found.kind() == DIRECTORY
            {
                match dir.open_dir(&name) {
                    Ok(inner) => self.walk(&inner, &format!("{path}/"), exclude)?,
                    Err(error) => self.unseen(&path, &error.to_string()),
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &str, found: io::Result<Found>) -> Option<Found> {
        let found = match found {
            Ok(found) => found,
            // It went while the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.unseen(path, &error.to_string());
                return None;
            }
        };
        let problem = path_problem(path).or_else(|| {
            if !found.is_recordable() {
                return Some("it is no file, directory or symbolic link".to_owned());
            }
            let is_large = found.size > FILE_BYTES_MAX;
            is_large.then(|| format!("it has more than {FILE_BYTES_MAX} bytes"))
        });
        if let Some(problem) = problem {
            self.unseen(path, &problem);
            return None;
        }
        self.found.insert(path.to_owned(), found.clone());
        Some(found)
    }

    fn unseen(&mut self, path: &str, reason: &str) {
        let path = path.trim_end_matches('/').to_owned();
        self.unseen.push(path.clone());
        self.problems.push(Problem {
            path,
            reason: reason.to_owned(),
        });
    }
}
