//! Log, disk, and what both last agreed on: which of the two is to follow the other.

use super::base::Agreed;
use super::root::{Found, Root};
use super::tree::{self, Version};
use crate::limits::FILE_READ_BYTES;
use moltbot_core::workspace::DIRECTORY;
use moltbot_store::blobs::{BlobKey, BlobWriter, LocalBlobs, Written};
use moltbot_store::keys::Keyring;
use std::io::{self, Read};

/// What is to be done about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: both are the same.
    Same,
    /// The disk has something new, or has something no more: record it.
    Record,
    /// The log has something new, or has something no more: bring it to the disk.
    Restore,
    /// Both changed, each in its own way.
    Conflict,
}

/// The step for a path; of the three, equal ones are said to be equal, also when they are all
/// nothing.
pub fn step(disk_is_log: bool, log_is_base: bool, disk_is_base: bool) -> Step {
    match (disk_is_log, log_is_base, disk_is_base) {
        (true, ..) => Step::Same,
        (_, true, _) => Step::Record,
        (_, _, true) => Step::Restore,
        _ => Step::Conflict,
    }
}

/// What is known of one path.
pub struct Sides<'a> {
    /// The directory.
    pub root: &'a Root,
    /// The data keys.
    pub keyring: &'a Keyring,
    /// The path.
    pub path: &'a str,
    /// What is on the disk.
    pub disk: Option<&'a Found>,
    /// What the log says.
    pub log: Option<&'a Version>,
    /// What both agreed on.
    pub base: Option<&'a Agreed>,
}

impl Sides<'_> {
    /// What is to be done. Reads the file only if nothing else tells.
    pub fn step(&self) -> io::Result<Step> {
        let base = self.base.map(Agreed::version);
        let disk_is_log = self.disk_is(self.log)?;
        let log_is_base = self.log == base.as_ref();
        let needs_base = !disk_is_log && !log_is_base;
        let disk_is_base = needs_base && self.disk_is(base.as_ref())?;
        Ok(step(disk_is_log, log_is_base, disk_is_base))
    }

    /// Whether the disk has this version; both may be nothing.
    fn disk_is(&self, version: Option<&Version>) -> io::Result<bool> {
        let (Some(disk), Some(version)) = (self.disk, version) else {
            return Ok(self.disk.is_none() && version.is_none());
        };
        if (disk.mode, disk.size) != (version.mode, version.size) {
            return Ok(false);
        }
        if version.blob.is_none() {
            return Ok(true);
        }
        let untouched = self
            .base
            .is_some_and(|base| base.is_untouched(disk.stamp) && base.version() == *version);
        if untouched {
            return Ok(true);
        }
        // What was sealed with a key that is gone cannot be compared with anything.
        let Some(key) = tree::blob_key(self.keyring, &version.key) else {
            return Ok(false);
        };
        let written = seal(self.root, self.path, disk, &key, None)?;
        Ok(written.blob == version.blob)
    }
}

/// Seals what is on the disk: stores it among the blobs of this machine, or only says its name.
pub fn seal(
    root: &Root,
    path: &str,
    found: &Found,
    key: &BlobKey,
    store: Option<&LocalBlobs>,
) -> io::Result<Written> {
    let mut writer = match store {
        Some(blobs) => BlobWriter::new(blobs, key),
        None => BlobWriter::naming(key),
    };
    if found.kind() != DIRECTORY {
        let mut content = root.read(path, found)?;
        let mut buffer = vec![0; FILE_READ_BYTES];
        loop {
            let count = content.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            writer.push(bytes).map_err(io::Error::other)?;
        }
        root.require_unchanged(path, found)?;
    }
    writer.finish().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way in which disk, log and base can be nothing, `a`, `b` or `c`.
    #[test]
    fn nothing_is_lost_whatever_happened_on_either_side() {
        let sides = [None, Some('a'), Some('b'), Some('c')];
        for disk in sides {
            for log in sides {
                for base in sides {
                    let step = step(disk == log, log == base, disk == base);
                    let expected = match () {
                        () if disk == log => Step::Same,
                        // Only one of them changed: the other follows.
                        () if log == base => Step::Record,
                        () if disk == base => Step::Restore,
                        () => Step::Conflict,
                    };
                    assert_eq!(step, expected, "{disk:?} {log:?} {base:?}");
                    let never_came_here = disk.is_none() && base.is_none() && log.is_some();
                    assert!(!never_came_here || step == Step::Restore);
                    let new_here = disk.is_some() && base.is_none() && log.is_none();
                    assert!(!new_here || step == Step::Record);
                }
            }
        }
    }
}
