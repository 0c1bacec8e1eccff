//! What the command line prints when it is much: lines to a pipe, a file or a terminal, and how far
//! it is.
//!
//! Invariant: whoever closes the pipe has seen enough: the command ends quietly and cleanly.

use crate::exit::{Exit, Failure};
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Where lines go.
pub(super) struct Output {
    to: Box<dyn Write + Send>,
    file: Option<std::fs::File>,
}

impl Output {
    /// Standard output.
    pub(super) fn standard() -> Output {
        Output {
            to: Box::new(BufWriter::new(io::stdout())),
            file: None,
        }
    }

    /// This file, for its owner only; one that is there is written over.
    pub(super) fn file(path: &Path) -> Result<Output, Failure> {
        let open = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let file = options.open(path)?;
            Ok::<_, io::Error>((file.try_clone()?, file))
        };
        let failed = |error| {
            let text = format!("cannot write `{}`: {error}", path.display());
            Failure::new(Exit::Configuration, text)
        };
        let (file, to) = open().map_err(failed)?;
        Ok(Output {
            to: Box::new(BufWriter::new(to)),
            file: Some(file),
        })
    }

    /// Prints a line.
    pub(super) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.to, "{line}").map_err(|error| stopped(&error))
    }

    /// Makes sure that everything arrived.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let synced = match (self.to.flush(), &self.file) {
            (Ok(()), Some(file)) => file.sync_all(),
            (flushed, _) => flushed,
        };
        synced.map_err(|error| stopped(&error))
    }
}

fn stopped(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::new(Exit::Clean, "");
    }
    Failure::new(Exit::Disk, format!("cannot write: {error}"))
}

/// How far something is, in a line on standard error that is written over; nothing when that is no
/// terminal.
pub(super) struct Progress {
    verb: &'static str,
    shown: Option<Instant>,
    is_seen: bool,
}

impl Progress {
    /// Nothing is shown until some time has passed.
    pub(super) fn new(verb: &'static str) -> Progress {
        Progress {
            verb,
            shown: io::stderr().is_terminal().then(Instant::now),
            is_seen: false,
        }
    }

    /// So many records are done.
    pub(super) fn tell(&mut self, done: u64, total: u64) {
        let is_due = |shown: &mut Instant| shown.elapsed() >= PROGRESS_INTERVAL;
        if self.shown.as_mut().is_some_and(is_due) {
            self.shown = Some(Instant::now());
            self.is_seen = true;
            // Whoever closed standard error does not want to know.
            let _ = write!(io::stderr(), "\r{} {done} of {total} records", self.verb);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_seen {
            let blank = " ".repeat(60);
            let _ = write!(io::stderr(), "\r{blank}\r");
        }
    }
}
