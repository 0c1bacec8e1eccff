//! The directory of the workspace on the disk, and how it is touched.
//!
//! Invariant: nothing outside the directory is ever read or written, whatever symbolic links lie in
//! it: every operation goes through an open directory (`cap-std`), and the way to a file is walked
//! name by name, each of which must be a real directory. A file appears whole, under its name, or
//! not at all. Its content is synced before it gets its name; a name that a lost power supply takes
//! is restored at the next start. Blocks on the disk.

use crate::stamp;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, MetadataExt, OpenOptions, OpenOptionsExt, Permissions};
use moltbot_core::workspace::{DIRECTORY, PERMISSION_BITS, REGULAR, SYMLINK, TYPE_BITS};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How the names of files that are still being written begin.
pub const PART: &str = ".moltbot-part-";
/// Bytes of a name that a conflict copy keeps.
const STEM_BYTES_MAX: usize = 200;

/// The open directory.
pub struct Root {
    dir: Dir,
}

/// What tells that a file was not touched since: it changes with every change of content or mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    ino: u64,
    ctime_s: i64,
    ctime_ns: i64,
}

impl Stamp {
    /// When that was, in milliseconds since the Unix epoch.
    pub fn ms(&self) -> i64 {
        self.ctime_s * 1_000 + self.ctime_ns / 1_000_000
    }
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Type and permission bits of `st_mode`, in the form that is recorded.
    pub mode: u32,
    /// Bytes of the content; 0 for a directory.
    pub size: u64,
    /// Changes when it does.
    pub stamp: Stamp,
}

impl Found {
    fn of(metadata: &Metadata) -> Found {
        let mode = match metadata.mode() & TYPE_BITS {
            // What these bits of a link say differs between systems and means nothing.
            SYMLINK => SYMLINK | PERMISSION_BITS,
            _ => metadata.mode() & (TYPE_BITS | PERMISSION_BITS),
        };
        let is_directory = mode & TYPE_BITS == DIRECTORY;
        Found {
            mode,
            size: if is_directory { 0 } else { metadata.len() },
            stamp: Stamp {
                ino: metadata.ino(),
                ctime_s: metadata.ctime(),
                ctime_ns: metadata.ctime_nsec(),
            },
        }
    }

    /// Type bits.
    pub fn kind(&self) -> u32 {
        self.mode & TYPE_BITS
    }

    /// Whether it can be recorded: no socket, pipe or device.
    pub fn is_recordable(&self) -> bool {
        matches!(self.kind(), REGULAR | DIRECTORY | SYMLINK)
    }
}

impl Root {
    /// Opens the directory, which must be there.
    pub fn open(path: &Path) -> io::Result<Root> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        Ok(Root { dir })
    }

    /// Opens the directory, or makes it.
    pub fn create(path: &Path) -> io::Result<Root> {
        Dir::create_ambient_dir_all(path, ambient_authority())?;
        Root::open(path)
    }

    /// Device and inode: another directory under the same name is another one.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = self.dir.dir_metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// The directory itself, to be walked.
    pub fn top(&self) -> io::Result<Dir> {
        self.dir.try_clone()
    }

    /// What stands at a path; never what a link there points to.
    pub fn look(&self, path: &str) -> io::Result<Option<Found>> {
        let (parent, name) = match self.parent(path) {
            Ok(place) => place,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match parent.symlink_metadata(name) {
            Ok(metadata) => Ok(Some(Found::of(&metadata))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The content of the file or link that was found at a path.
    pub fn read(&self, path: &str, found: &Found) -> io::Result<Box<dyn Read + Send>> {
        let (parent, name) = self.parent(path)?;
        if found.kind() == SYMLINK {
            let target = parent.read_link_contents(name)?;
            return Ok(Box::new(io::Cursor::new(
                target.into_os_string().into_vec(),
            )));
        }
        let file = parent.open(name)?;
        if Found::of(&file.metadata()?).stamp != found.stamp {
            return Err(changed());
        }
        Ok(Box::new(file.into_std()))
    }

    /// Fails when a path does not hold any more what was found there.
    pub fn require_unchanged(&self, path: &str, found: &Found) -> io::Result<()> {
        if self.look(path)?.as_ref() == Some(found) {
            return Ok(());
        }
        Err(changed())
    }

    /// Begins to write a file.
    pub fn part(&self, path: &str) -> io::Result<Part> {
        let (parent, name) = self.parent(path)?;
        let part = format!("{PART}{}", stamp::id());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = parent.open_with(&part, &options)?;
        Ok(Part {
            parent,
            name: name.to_owned(),
            written_as: part,
            file,
        })
    }

    /// Puts a symbolic link at a path.
    pub fn link(&self, path: &str, target: &[u8]) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let part = format!("{PART}{}", stamp::id());
        parent.symlink_contents(std::ffi::OsStr::from_bytes(target), &part)?;
        parent.rename(&part, &parent, name)
    }

    /// Makes a directory that its owner may use; [`Root::set_mode`] comes when everything is in it.
    pub fn directory(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match parent.create_dir(name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Sets the permission bits of a directory.
    pub fn set_mode(&self, path: &str, mode: u32) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        if !parent.symlink_metadata(name)?.is_dir() {
            return Err(no_directory(path));
        }
        parent.set_permissions(name, permissions(mode))
    }

    /// Removes a file, link or empty directory; one that is not empty stays. Whether it is gone.
    pub fn remove(&self, path: &str, found: &Found) -> io::Result<bool> {
        let (parent, name) = self.parent(path)?;
        if found.kind() != DIRECTORY {
            return parent.remove_file(name).map(|()| true);
        }
        match parent.remove_dir(name) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    /// Gives what stands at a path another name beside it, for a person to look at.
    pub fn move_aside(&self, path: &str, mark: &str) -> io::Result<String> {
        let (parent, name) = self.parent(path)?;
        let mut end = name.len().min(STEM_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let aside = format!("{}.conflict-{mark}", name.get(..end).unwrap_or_default());
        parent.rename(name, &parent, &aside)?;
        Ok(match path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{aside}"),
            None => aside,
        })
    }

    /// The directory in which a path lies, and its last name.
    fn parent<'p>(&self, path: &'p str) -> io::Result<(Dir, &'p str)> {
        let mut dir = self.dir.try_clone()?;
        let (folders, name) = match path.rsplit_once('/') {
            Some((folders, name)) => (Some(folders), name),
            None => (None, path),
        };
        for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
            if !dir.symlink_metadata(folder)?.is_dir() {
                return Err(no_directory(folder));
            }
            dir = dir.open_dir(folder)?;
        }
        Ok((dir, name))
    }
}

/// A file that is being written. What becomes of none is removed by the next scan.
pub struct Part {
    parent: Dir,
    name: String,
    written_as: String,
    file: File,
}

impl Part {
    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Makes it durable and gives it its name.
    pub fn finish(self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(permissions(mode))?;
        self.file.sync_all()?;
        self.parent
            .rename(&self.written_as, &self.parent, &self.name)
    }
}

/// What an entry of a directory that is being walked is.
pub(super) fn found_in(dir: &Dir, name: &Path) -> io::Result<Found> {
    dir.symlink_metadata(name)
        .map(|metadata| Found::of(&metadata))
}

/// Names of a directory that is being walked.
pub(super) fn names(dir: &Dir) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in dir.entries()? {
        names.push(PathBuf::from(entry?.file_name()));
    }
    Ok(names)
}

fn permissions(mode: u32) -> Permissions {
    Permissions::from_std(std::fs::Permissions::from_mode(mode & PERMISSION_BITS))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn no_directory(name: &str) -> io::Error {
    let text = format!("`{name}` is no directory");
    io::Error::new(ErrorKind::NotADirectory, text)
}

fn changed() -> io::Error {
    io::Error::other("it changes while it is read; it is recorded the next time")
}
