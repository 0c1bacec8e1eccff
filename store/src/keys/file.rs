//! The data keys on this disk: one small file beside the local log.
//!
//! ```text
//! file  = magic [8] ‖ entries
//! entry = length of the id u8 ‖ length of the stored key u8 ‖ id ‖ stored key ‖ crc32c u32 of all that
//! ```
//!
//! New keys are appended. To remove keys, or to write all of them in another form, a new file takes
//! the place of the old one, and the old one is written over with zeros before it is unlinked: what
//! was removed is in no block of this file any more. A database could not promise that; it keeps old
//! pages in free space. Neither can this on a disk or a file system that never writes in place.
//!
//! Invariant: what was appended is durable on return. Whatever was going on when a process ended,
//! opening finishes it: exactly one file is left, and the others were written over. Only the last
//! entries can be torn, and those were never relied upon.

use crate::error::StoreError;
use bytes::Bytes;
use moltbot_core::ids::KeyId;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Its name in the directory of the local log.
pub const NAME: &str = "keys";
/// A file that is being written.
const NEW_NAME: &str = "keys.new";
/// One whose place was taken.
const OLD_NAME: &str = "keys.old";
const MAGIC: [u8; 8] = *b"moltkey1";
const LENGTHS_BYTES: usize = 2;
const CRC_BYTES: usize = 4;

/// A key as it is stored.
pub(super) type Stored = (KeyId, Bytes);

/// The file; whoever has the local log open is the only one to have it open.
pub(super) struct KeyFile {
    directory: PathBuf,
    file: File,
}

impl KeyFile {
    /// Opens or makes the file in this directory, and reads it.
    pub(super) fn open(directory: &Path) -> Result<(KeyFile, Vec<Stored>), StoreError> {
        let open = || -> io::Result<(KeyFile, Vec<Stored>)> {
            finish(directory)?;
            let path = directory.join(NAME);
            if !path.exists() {
                write_new(directory, &[])?;
                std::fs::rename(directory.join(NEW_NAME), &path)?;
                sync(directory)?;
            }
            let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let (entries, whole) = decode(&bytes)?;
            if whole < bytes.len() {
                file.set_len(whole as u64)?;
                file.sync_all()?;
            }
            file.seek(SeekFrom::End(0))?;
            let directory = directory.to_owned();
            Ok((KeyFile { directory, file }, entries))
        };
        open().map_err(|error| failed("open its keys", &error))
    }

    /// Adds keys durably; blocks on the disk once.
    pub(super) fn append<'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a KeyId, &'a Bytes)>,
    ) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        entries.for_each(|(id, object)| encode(id, object, &mut bytes));
        let written = self.file.write_all(&bytes);
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(|error| failed("keep a key", &error))
    }

    /// Puts exactly these keys in the place of all; nothing of the others is left.
    pub(super) fn replace(&mut self, entries: &[Stored]) -> Result<(), StoreError> {
        let replace = || -> io::Result<File> {
            let at = |name| self.directory.join(name);
            let file = write_new(&self.directory, entries)?;
            std::fs::rename(at(NAME), at(OLD_NAME))?;
            std::fs::rename(at(NEW_NAME), at(NAME))?;
            sync(&self.directory)?;
            shred(&at(OLD_NAME))?;
            sync(&self.directory)?;
            Ok(file)
        };
        self.file = replace().map_err(|error| failed("remove keys", &error))?;
        Ok(())
    }
}

/// The keys in a directory where there need not be any.
pub(super) fn read(directory: &Path) -> Result<Vec<Stored>, StoreError> {
    let read = || -> io::Result<Vec<Stored>> {
        finish(directory)?;
        match std::fs::read(directory.join(NAME)) {
            Ok(bytes) => Ok(decode(&bytes)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    };
    read().map_err(|error| failed("read the keys of a damaged one", &error))
}

/// Leaves nothing of the keys in a directory.
pub(super) fn destroy(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join(NAME);
    if !path.exists() {
        return Ok(());
    }
    let destroyed = shred(&path).and_then(|()| sync(directory));
    destroyed.map_err(|error| failed("remove the keys of a damaged one", &error))
}

/// Finishes what a process before this one had begun.
fn finish(directory: &Path) -> io::Result<()> {
    let at = |name| directory.join(name);
    if at(OLD_NAME).exists() {
        if at(NAME).exists() {
            shred(&at(OLD_NAME))?;
        } else {
            std::fs::rename(at(OLD_NAME), at(NAME))?;
        }
    }
    if at(NEW_NAME).exists() {
        shred(&at(NEW_NAME))?;
    }
    sync(directory)
}

fn write_new(directory: &Path, entries: &[Stored]) -> io::Result<File> {
    let mut bytes = MAGIC.to_vec();
    for (id, object) in entries {
        encode(id, object, &mut bytes);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(directory.join(NEW_NAME))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Writes zeros over a file before it is unlinked.
fn shred(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    std::fs::remove_file(path)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn encode(id: &KeyId, object: &Bytes, into: &mut Vec<u8>) {
    let from = into.len();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    into.extend([length(id.0.as_bytes()), length(object)]);
    into.extend_from_slice(id.0.as_bytes());
    into.extend_from_slice(object);
    let crc = crc32c::crc32c(into.get(from..).unwrap_or_default());
    into.extend(crc.to_le_bytes());
}

/// The whole entries and where they end.
fn decode(bytes: &[u8]) -> io::Result<(Vec<Stored>, usize)> {
    let Some(mut rest) = bytes.strip_prefix(&MAGIC) else {
        let text = "the file is in a form that this version does not know; move it away, the replica has the keys";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    };
    let mut entries = Vec::new();
    while let Some((entry, after)) = first(rest) {
        entries.push(entry);
        rest = after;
    }
    Ok((entries, bytes.len() - rest.len()))
}

fn first(bytes: &[u8]) -> Option<(Stored, &[u8])> {
    let [id_bytes, object_bytes, ..] = *bytes else {
        return None;
    };
    let (id_bytes, object_bytes) = (usize::from(id_bytes), usize::from(object_bytes));
    let (entry, rest) =
        bytes.split_at_checked(LENGTHS_BYTES + id_bytes + object_bytes + CRC_BYTES)?;
    let (sealed, crc) = entry.split_last_chunk::<CRC_BYTES>()?;
    if crc32c::crc32c(sealed).to_le_bytes() != *crc {
        return None;
    }
    let (id, object) = sealed.get(LENGTHS_BYTES..)?.split_at_checked(id_bytes)?;
    let id = KeyId(String::from_utf8(id.to_vec()).ok()?);
    Some(((id, Bytes::copy_from_slice(object)), rest))
}

fn failed(operation: &'static str, error: &io::Error) -> StoreError {
    StoreError::Disk {
        operation,
        reason: error.to_string(),
    }
}
