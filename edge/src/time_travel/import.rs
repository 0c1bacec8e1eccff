//! Reading an exported log back, and checking it without the log it came from.
//!
//! Invariant: a record is given out only when its line is unaltered, its hash is right, it links to
//! the record before wherever that is in the file too, and its readable fields say what its body
//! says. The error names the first line that is wrong, and its record.

use crate::boot::SOFTWARE;
use crate::exit::{Exit, Failure};
use crate::limits::EXPORT_LINE_BYTES_MAX;
use crate::time_travel::export::{self, FORMAT, Footer, Header, Line, VERSION};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::io::{BufRead, Read};
use thiserror::Error;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// It is no exported log, or one of another version.
    #[error("{0}")]
    Foreign(String),
    /// It is damaged.
    #[error("{place} is damaged: {reason}")]
    Damaged {
        /// Which record, on which line.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Failure {
        let exit = match error {
            ImportError::Damaged { .. } => Exit::CorruptLog,
            ImportError::Io(_) | ImportError::Foreign(_) => Exit::Configuration,
        };
        Failure::new(exit, error.to_string())
    }
}

/// What a whole file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What the first line says.
    pub header: Header,
    /// Records in it.
    pub records: u64,
    /// The first of them.
    pub first: Seq,
    /// The last of them.
    pub head: Cursor,
    /// Runs of records that were left out between others.
    pub gaps: u64,
}

/// What comes next in a file.
#[derive(Debug)]
pub enum Item {
    /// A record.
    Record(Box<Record>),
    /// The last line, and so what the file held.
    End(Contents),
}

/// Reads an exported log record by record.
pub struct Lines<R> {
    file: R,
    line: u64,
    header: Header,
    contents: Contents,
}

impl<R: BufRead> Lines<R> {
    /// Reads the first line.
    pub fn open(mut file: R) -> Result<Lines<R>, ImportError> {
        let foreign = |why: &str| ImportError::Foreign(format!("this is no exported log: {why}"));
        let text = read_line(&mut file)?.ok_or_else(|| foreign("the file is empty"))?;
        let value: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|_| foreign("its first line is no JSON object"))?;
        if value["format"] != FORMAT {
            return Err(foreign(&format!("its first line does not name `{FORMAT}`")));
        }
        if value["version"] != VERSION {
            return Err(ImportError::Foreign(format!(
                "this log was exported in version {} of the format, this program reads version \
                 {VERSION}; use a newer moltbot",
                value["version"]
            )));
        }
        let damaged = |reason: String| ImportError::Damaged {
            place: "the first line".to_owned(),
            reason,
        };
        let header = export::parse(&text).map_err(damaged)?;
        let header: Header =
            serde_json::from_value(header).map_err(|error| damaged(error.to_string()))?;
        let before = Cursor {
            seq: Seq(header.from.0.saturating_sub(1)),
            ..Cursor::START
        };
        Ok(Lines {
            file,
            line: 1,
            contents: Contents {
                header: header.clone(),
                records: 0,
                first: header.from,
                head: before,
                gaps: 0,
            },
            header,
        })
    }

    /// What the first line says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next record, or at the end of a whole file what it held.
    pub fn read(&mut self) -> Result<Item, ImportError> {
        self.line += 1;
        let Some(text) = read_line(&mut self.file)? else {
            return Err(self.damaged("the file ends here: it was cut".to_owned()));
        };
        let value = export::parse(&text).map_err(|reason| self.damaged(reason))?;
        if value.get("end").is_some() {
            return self.end(value).map(Item::End);
        }
        let line: Line = serde_json::from_value(value)
            .map_err(|error| self.damaged(format!("it is no record: {error}")))?;
        let record = line.record().map_err(|reason| self.damaged(reason))?;
        self.follows(&record)?;
        // How another version shows a record is not known here.
        if self.header.software == SOFTWARE && !line.shows(&record) {
            return Err(self.damaged("its readable fields are not those of its body".to_owned()));
        }
        self.contents.records += 1;
        if self.contents.records == 1 {
            self.contents.first = record.seq;
        }
        self.contents.head = record.cursor();
        Ok(Item::Record(Box::new(record)))
    }

    fn follows(&mut self, record: &Record) -> Result<(), ImportError> {
        let before = self.contents.head;
        let is_first = self.contents.records == 0;
        let expected = before.seq.next();
        if record.seq < expected || record.seq > self.header.to {
            return Err(self.damaged(format!("record #{} does not belong here", record.seq)));
        }
        if record.seq > expected {
            if self.header.filter.is_empty() {
                let last = record.seq.0 - 1;
                return Err(self.damaged(format!("the records #{expected}..#{last} are missing")));
            }
            self.contents.gaps += 1;
            return Ok(());
        }
        let begins_inside = is_first && before.seq > Seq::ZERO;
        if !begins_inside && record.prev_hash != before.hash {
            let reason = format!("record #{} does not link to the one before it", record.seq);
            return Err(self.damaged(reason));
        }
        Ok(())
    }

    fn end(&mut self, value: serde_json::Value) -> Result<Contents, ImportError> {
        let contents = self.contents.clone();
        let footer: Footer = serde_json::from_value(value)
            .map_err(|error| self.damaged(format!("it is no last line: {error}")))?;
        let head = match contents.records {
            0 => Cursor::START,
            _ => contents.head,
        };
        if footer.end.records != contents.records || footer.end.head != head {
            return Err(self.damaged(format!(
                "{} records are announced that end with {}, but {} are there that end with {head}",
                footer.end.records, footer.end.head, contents.records
            )));
        }
        if self.header.filter.is_empty() && contents.head.seq != self.header.to {
            let (from, to) = (contents.head.seq.next(), self.header.to);
            return Err(self.damaged(format!("the records #{from}..#{to} are missing")));
        }
        if read_line(&mut self.file)?.is_some() {
            return Err(self.damaged("something comes after the last line".to_owned()));
        }
        Ok(contents)
    }

    /// The error for the line that was read last.
    fn damaged(&self, reason: String) -> ImportError {
        let place = if self.header.filter.is_empty() {
            format!(
                "record #{} (line {})",
                self.contents.head.seq.next(),
                self.line
            )
        } else {
            format!(
                "the record after #{} (line {})",
                self.contents.head.seq, self.line
            )
        };
        ImportError::Damaged { place, reason }
    }
}

impl Contents {
    /// Whether this is a whole log from its first record on.
    pub fn is_whole(&self) -> bool {
        self.header.from == Seq(1) && self.header.filter.is_empty() && self.records > 0
    }
}

/// The next line without its end; `None` at the end of the file.
pub(super) fn read_line(file: &mut impl BufRead) -> Result<Option<Vec<u8>>, std::io::Error> {
    let mut line = Vec::new();
    let bound = EXPORT_LINE_BYTES_MAX as u64 + 1;
    if file.by_ref().take(bound).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 == bound {
        let reason = format!("a line is longer than {EXPORT_LINE_BYTES_MAX} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason));
    }
    Ok(Some(line))
}
