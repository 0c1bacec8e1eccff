//! The tail: a small file in front of sled that makes an append one write and one `fdatasync`.
//!
//! sled needs two waits and a thread of its own for a durable commit. So a batch is acknowledged
//! when it is in the tail; sled, the log that is read and replayed, gets it later with many others
//! (a checkpoint).
//!
//! ```text
//! file   = two blocks of 4 KiB for headers, then two halves for frames
//! header = magic [8] ‖ generation u64 ‖ size of the file u64 ‖ base seq u64 ‖ base hash [32] ‖
//!          crc32c u32 of all that; generation g has block g mod 2 and half g mod 2
//! frame  = crc32c u32 of the rest ‖ length of the group u32 ‖ generation u64 ‖ first 8 bytes of the
//!          base hash ‖ first seq u64 ‖ group (see `sled_log/groups.rs`), from the start of a block
//! ```
//!
//! A generation is one use of a half; its frames follow each other from its base. All numbers are
//! little endian. What makes it safe:
//!
//! - **The size never changes.** The file is written full of zeros and synced under another name
//!   before it gets its own, so that a sync of written blocks has no need of the file system's
//!   journal, and a file of this name is always whole.
//! - **An append touches no block that holds something acknowledged**, and nothing is written after
//!   it before it is synced. So only the last frame can be torn, its checksum says so, and it was
//!   not acknowledged.
//! - **A generation is begun only when sled durably holds the base of the one before**: sled's file is
//!   synced, then the new header is written over that of the generation before the last and synced,
//!   then frames. So sled and the two newest generations hold everything, and where a new header
//!   was torn, sled and the newest do. To rewind, and for what passes the tail by, sled also holds
//!   the new base itself, and a rewind syncs the header before it cuts sled.
//! - **Nothing stale is taken for new**: a frame names its generation. It also names eight bytes of
//!   a hash that nobody could know who had a say in what records hold, so no content of theirs is
//!   ever taken for a frame.
//! - **Damage is not taken for the end**: a frame of the newest generation behind its end, or of a
//!   later one at the front of a half, says that something acknowledged was lost; so does a base that neither
//!   sled nor the older generation leads to, and frames that do not lead through sled's last record.
//!   Then the log is damaged as a whole.

mod form;

use super::PLACE;
use super::disk::{disk_error, sync_directory};
use super::groups::Group;
use crate::error::StoreError;
use crate::settings::{CHECKPOINT_BATCH_BYTES, TAIL_BLOCK_BYTES};
use form::{Frame, Header};
use moltbot_core::chain::Cursor;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

/// Its name in the directory of the log.
const NAME: &str = "tail";
/// Its name while it is made.
const NEW_NAME: &str = "tail.new";

/// The tail; whoever has the database open is the only one to have it open.
pub(super) struct Tail {
    file: File,
    header: Header,
    /// Where the next frame goes.
    end: u64,
    /// The blocks of the last frame, kept for their room.
    blocks: Vec<u8>,
}

/// What one generation holds.
pub(super) struct Run {
    pub(super) base: Cursor,
    pub(super) groups: Vec<Group>,
}

/// What a tail held when it was opened.
pub(super) struct Found {
    pub(super) newer: Run,
    /// The generation before, unless its header was about to be written over.
    pub(super) older: Option<Run>,
}

impl Tail {
    /// Opens the tail in this directory. Where there is none, one of so many bytes is made, with
    /// this base.
    pub(super) fn open(
        directory: &Path,
        base: Cursor,
        bytes: usize,
    ) -> Result<(Tail, Found), StoreError> {
        let path = directory.join(NAME);
        match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => Tail::read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let tail = Tail::create(directory, base, bytes)?;
                let groups = Vec::new();
                let newer = Run { base, groups };
                Ok((tail, Found { newer, older: None }))
            }
            Err(error) => Err(disk_error("open its tail", &error)),
        }
    }

    /// Refuses a log of a newer form. To be asked before anything of it is opened, which may change
    /// it.
    pub(super) fn check_form(directory: &Path) -> Result<(), StoreError> {
        let headers = 2 * TAIL_BLOCK_BYTES as u64;
        let mut bytes = Vec::new();
        let read = match File::open(directory.join(NAME)) {
            Ok(file) => file.take(headers).read_to_end(&mut bytes),
            // A new log, or one that lost its tail: that is found when it is opened.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        read.map_err(|error| disk_error("read its tail", &error))?;
        match Header::newer_form(&bytes) {
            None => Ok(()),
            Some(form) => Err(StoreError::Newer {
                place: format!("{PLACE} in `{}`", directory.display()),
                what: "tail",
                found: u64::from(form),
                known: form::FORM,
            }),
        }
    }

    fn create(directory: &Path, base: Cursor, bytes: usize) -> Result<Tail, StoreError> {
        let new = directory.join(NEW_NAME);
        let bytes = bytes.max(4 * TAIL_BLOCK_BYTES);
        let header = Header::first(base, bytes);
        let make = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(true);
            let mut file = options.open(&new)?;
            file.write_all(&vec![0; bytes])?;
            file.seek(SeekFrom::Start(header.at()))?;
            file.write_all(&header.encode())?;
            file.sync_all()?;
            std::fs::rename(&new, directory.join(NAME))?;
            Ok(file)
        };
        let file = make().map_err(|error| disk_error("make its tail", &error))?;
        sync_directory(directory)?;
        Ok(Tail::at(file, header, header.frames().start))
    }

    fn read(mut file: File) -> Result<(Tail, Found), StoreError> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| disk_error("read its tail", &error))?;
        let mut headers = Header::all(&bytes);
        let header = headers
            .pop()
            .ok_or_else(|| damaged("neither of its headers can be read"))?;
        if header.bytes != bytes.len() as u64 {
            return Err(damaged("it has another size than when it was made"));
        }
        let older = headers.pop();
        let older = older.filter(|older| older.generation + 1 == header.generation);
        // Also where the other header cannot be read: then it may be the newer one.
        let later = header.next(header.base);
        let front = |header: &Header| Frame::decode(half(header, &bytes));
        if [header, later]
            .iter()
            .filter_map(front)
            .any(|frame| frame.generation > header.generation)
        {
            return Err(damaged("the newest of its headers cannot be read"));
        }
        let (newer, used) = run(&header, &bytes);
        let behind = half(&header, &bytes).get(used..).unwrap_or_default();
        if is_lost(&header, behind) {
            return Err(damaged("it holds acknowledged records behind damaged ones"));
        }
        let older = older.map(|older| run(&older, &bytes).0);
        let end = header.frames().start + used as u64;
        Ok((Tail::at(file, header, end), Found { newer, older }))
    }

    fn at(file: File, header: Header, end: u64) -> Tail {
        let blocks = Vec::new();
        Tail {
            file,
            header,
            end,
            blocks,
        }
    }

    /// What the frames of this generation follow.
    pub(super) fn base(&self) -> Cursor {
        self.header.base
    }

    /// Whether this generation has no frame.
    pub(super) fn is_empty(&self) -> bool {
        self.end == self.header.frames().start
    }

    /// Whether this group is small enough to take its way through the tail.
    pub(super) fn takes(&self, group: &Group) -> bool {
        let Range { start, end } = self.header.frames();
        group.bytes().len() <= CHECKPOINT_BATCH_BYTES
            && form::blocks_bytes(group) as u64 <= end - start
    }

    /// Whether this group fits behind those that are there.
    pub(super) fn has_room(&self, group: &Group) -> bool {
        self.end + form::blocks_bytes(group) as u64 <= self.header.frames().end
    }

    /// Writes a group, for which there is room, durably. After an error nothing is known.
    pub(super) fn append(&mut self, group: &Group) -> Result<(), StoreError> {
        form::encode_frame(&self.header, group, &mut self.blocks)?;
        self.file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(&self.blocks))
            .map_err(|error| disk_error("append to its tail", &error))?;
        self.sync()?;
        self.end += self.blocks.len() as u64;
        Ok(())
    }

    /// Begins a new generation, durably, in the other half. sled must durably hold the base of
    /// this one by now, and the new one too unless this one leads to it.
    pub(super) fn renew(&mut self, base: Cursor) -> Result<(), StoreError> {
        let header = self.header.next(base);
        self.file
            .seek(SeekFrom::Start(header.at()))
            .and_then(|_| self.file.write_all(&header.encode()))
            .map_err(|error| disk_error("renew its tail", &error))?;
        self.sync()?;
        self.header = header;
        self.end = header.frames().start;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_data()
            .map_err(|error| disk_error("sync its tail", &error))
    }
}

/// The half of the generation with this header.
fn half<'a>(header: &Header, file: &'a [u8]) -> &'a [u8] {
    let Range { start, end } = header.frames();
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(start, end)| file.get(start..end))
        .unwrap_or_default()
}

/// What the generation with this header holds, and the bytes of its half that this takes.
fn run(header: &Header, file: &[u8]) -> (Run, usize) {
    let half = half(header, file);
    let mut rest = half;
    let mut groups = Vec::new();
    while let Some(frame) = Frame::decode(rest).filter(|frame| frame.is_of(header)) {
        rest = rest
            .get(form::blocks_bytes(&frame.group)..)
            .unwrap_or_default();
        groups.push(frame.group);
    }
    let base = header.base;
    (Run { base, groups }, half.len() - rest.len())
}

/// Whether there is a frame of this generation behind its end.
fn is_lost(header: &Header, behind: &[u8]) -> bool {
    (0..behind.len()).step_by(TAIL_BLOCK_BYTES).any(|at| {
        let frame = behind.get(at..).and_then(Frame::decode);
        frame.is_some_and(|frame| frame.is_of(header))
    })
}

fn damaged(reason: &str) -> StoreError {
    StoreError::Corrupt {
        place: format!("the tail of {PLACE}"),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
