//! A damaged local log is kept for inspection, and an empty one takes its place.

use super::SledLog;
use super::disk::sync_directory;
use crate::error::{ErrorKind, StoreError};
use crate::settings::StoreSettings;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A log that was opened, and what became of the damaged one that stood in its place.
pub struct Opened {
    /// The log, verified.
    pub log: SledLog,
    /// Where the damaged one went; then the log is empty.
    pub set_aside: Option<SetAside>,
}

/// A damaged log that was moved out of the way.
#[derive(Debug)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: StoreError,
}

pub(super) fn open(path: &Path, settings: &StoreSettings) -> Result<Opened, StoreError> {
    let error = match SledLog::open(path, settings) {
        Ok(log) => {
            return Ok(Opened {
                log,
                set_aside: None,
            });
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => error,
        Err(error) => return Err(error),
    };
    let damaged = move_away(path)?;
    Ok(Opened {
        log: SledLog::open(path, settings)?,
        set_aside: Some(SetAside {
            path: damaged,
            error,
        }),
    })
}

fn move_away(path: &Path) -> Result<PathBuf, StoreError> {
    let mut number = 1_u32;
    let damaged = loop {
        let mut name = OsString::from(path);
        name.push(format!(".damaged-{number}"));
        let candidate = PathBuf::from(name);
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    std::fs::rename(path, &damaged).map_err(|error| StoreError::Disk {
        operation: "move the damaged one aside",
        reason: error.to_string(),
    })?;
    if let Some(parent) = path.parent() {
        sync_directory(parent)?;
    }
    Ok(damaged)
}
