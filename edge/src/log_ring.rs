//! The last lines of our own log, for `/debug/logs`.
//!
//! Invariant: bounded in lines and in bytes of a line; memory only.

use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

// Logging is global to the process, and so is what it kept.
static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// Takes what is logged: whole lines, already without secrets.
pub struct LogRing;

/// The newest lines, oldest first, at most this many.
pub fn newest(count: usize) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let from = lines.len().saturating_sub(count);
    lines.iter().skip(from).cloned().collect()
}

impl io::Write for LogRing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            if lines.len() >= LOG_LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(kept(line));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line without the colours of a terminal, cut to its bound.
fn kept(line: &str) -> String {
    let mut pieces = line.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or(piece, |(_, rest)| rest));
    }
    let mut end = plain.len().min(LOG_LINE_BYTES_MAX);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    plain.truncate(end);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_lines_are_kept_without_colours() {
        let log = |line: &str| LogRing.write_all(format!("{line}\n").as_bytes()).unwrap();
        log("\u{1b}[2m12:00\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m ready");
        assert_eq!(newest(1), ["12:00  INFO ready"]);
        log(&"é".repeat(LOG_LINE_BYTES_MAX));
        assert_eq!(newest(1)[0].len(), LOG_LINE_BYTES_MAX);
        for n in 0..=LOG_LINES_MAX {
            log(&format!("line {n}"));
        }
        let kept = newest(usize::MAX);
        assert_eq!((kept.len(), kept[0].as_str()), (LOG_LINES_MAX, "line 1"));
    }
}
