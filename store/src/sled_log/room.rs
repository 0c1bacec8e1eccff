//! Room at the end of sled's file: zeros that sled writes over.
//!
//! A write that makes a file longer, or that needs a new block, is durable only after the file
//! system has committed its journal too; one over blocks that are there costs a third less.
//! Invariant: zeros are only ever appended, which the system does behind whatever is there at that
//! moment, so nothing that sled writes meanwhile is touched. To sled they are what it writes itself
//! behind the end of a log that it recovers.

use crate::settings::{ROOM_BYTES, ROOM_BYTES_MIN};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// sled's file, opened once more.
pub(super) struct Room {
    file: File,
    end: Mutex<u64>,
}

impl Room {
    pub(super) fn open(path: &Path) -> io::Result<Room> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        Ok(Room {
            file,
            end: Mutex::default(),
        })
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Appends zeros when sled has come near the end.
    pub(super) fn keep(&self) -> io::Result<()> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_enough(*end)? {
            return Ok(());
        }
        let mut file = &self.file;
        file.write_all(&vec![0; ROOM_BYTES])?;
        *end = file.metadata()?.len();
        Ok(())
    }

    /// Whether sled has not yet been near the end. What it writes is no run of zeros; should it be
    /// one for once, the room is only made later.
    fn is_enough(&self, end: u64) -> io::Result<bool> {
        let mut mark = [0; MARK_BYTES];
        let Some(at) = end.checked_sub(ROOM_BYTES_MIN) else {
            return Ok(false);
        };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))?;
        match file.read_exact(&mut mark) {
            Ok(()) => Ok(mark == [0; MARK_BYTES]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Enough bytes of sled's to hold one that is not zero.
const MARK_BYTES: usize = 64;
