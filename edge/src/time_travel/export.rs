//! The log as a file of JSON lines that proves itself.
//!
//! | line | what it holds |
//! |---|---|
//! | first | `format` (`moltbot-log-export`), `version`, `software`, first and last seq, `filter`, `opened` |
//! | one per record | its fields in readable form, `body` (base64), `prev_hash`, `hash`, and `opened` content if asked for |
//! | last | `end`: how many records, and the last one's seq and hash |
//!
//! A line ends with `check`: the first 16 hex digits of blake3 over the bytes of the line before
//! `,"check"`, so an altered byte is found in its line. `body` is the canonical encoding of the record
//! (see [`moltbot_core::codec`]), so `hash` = blake3(`prev_hash` ‖ `body`) can be computed by anyone;
//! every other field of a record's line but `opened` follows from it.
//!
//! Invariant: the file says nothing about where it comes from, and holds no keys. A file that was cut
//! has no last line.

use crate::time_travel::readable::{self, Open};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::error::CodecError;
use moltbot_core::event::{Event, kind_name};
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the first line calls the format.
pub const FORMAT: &str = "moltbot-log-export";
/// Version of the format.
pub const VERSION: u32 = 1;
/// The last member of every line, up to its value.
const CHECK: &str = ",\"check\":\"";
const CHECK_DIGITS: usize = 16;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Name and version of the software that wrote it.
    pub software: String,
    /// The first seq that may be in it.
    pub from: Seq,
    /// The last seq that may be in it.
    pub to: Seq,
    /// Of these, which records are in it.
    pub filter: Filter,
    /// Whether content is there in the clear as well.
    pub opened: bool,
}

/// Which records are exported; all that fit every member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Names of kinds, as `message_received`; none means all.
    pub kinds: Vec<String>,
    /// The actor, as `device:…`.
    pub actor: Option<String>,
    /// The stream, or its beginning up to a slash.
    pub stream: Option<String>,
}

impl Filter {
    /// Whether every record passes.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether this record passes.
    pub fn admits(&self, record: &Record) -> bool {
        let kind = || self.kinds.contains(&kind_name(record.kind));
        let in_stream = |stream: &String| {
            let rest = record.stream.strip_prefix(stream.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        (self.kinds.is_empty() || kind())
            && self
                .actor
                .as_ref()
                .is_none_or(|actor| *actor == record.actor)
            && self.stream.as_ref().is_none_or(in_stream)
    }
}

/// The line of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its position.
    pub seq: Seq,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub actor: String,
    /// The record that led to it.
    pub cause: Option<Seq>,
    /// The record that began the story.
    pub correlation: Seq,
    /// What it is about.
    pub stream: String,
    /// Name of its kind.
    pub kind: String,
    /// Version of its form.
    pub version: u16,
    /// Whether a binary that does not know the kind must stop deciding.
    pub critical: bool,
    /// The event, sealed as it is recorded.
    pub data: Value,
    /// The same with its content opened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opened: Option<Value>,
    /// The canonical encoding, base64.
    pub body: String,
    /// Hash of the record before.
    pub prev_hash: Hash,
    /// Its hash.
    pub hash: Hash,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// What it ends with.
    pub end: End,
}

/// How much there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Records in the file.
    pub records: u64,
    /// The last of them; seq 0 when there is none.
    pub head: Cursor,
}

impl Line {
    /// The line of a record, with its content opened if `open` is there.
    pub fn of(record: &Record, open: Option<&Open<'_>>) -> Result<Line, CodecError> {
        let mut event = record.event()?;
        let data = event.to_json();
        let has_content = !event.contents_mut().is_empty();
        let opened = open.filter(|_| has_content).map(|open| {
            let mut opened = data.clone();
            readable::open(&mut opened, open);
            opened
        });
        Ok(Line {
            seq: record.seq,
            at: record.at.rfc3339(),
            actor: record.actor.clone(),
            cause: record.cause,
            correlation: record.correlation,
            stream: record.stream.clone(),
            kind: kind_name(record.kind),
            version: record.version,
            critical: record.critical,
            data,
            opened,
            body: STANDARD.encode(codec::body(record)?),
            prev_hash: record.prev_hash,
            hash: record.hash,
        })
    }

    /// The record that the body and the hash before it give; whether the rest of the line says the
    /// same is not looked at.
    pub(super) fn record(&self) -> Result<Record, String> {
        let body = STANDARD
            .decode(&self.body)
            .map_err(|_| "its body is no base64".to_owned())?;
        let after = Cursor {
            seq: Seq(self.seq.0.saturating_sub(1)),
            hash: self.prev_hash,
        };
        let record = codec::decode_body(&body, after).map_err(|error| error.to_string())?;
        if record.hash == self.hash {
            return Ok(record);
        }
        Err("its hash is not that of its body and the hash before it".to_owned())
    }

    /// Whether the readable fields are those of the record, as this version writes them.
    pub(super) fn shows(&self, record: &Record) -> bool {
        let Ok(mut line) = Line::of(record, None) else {
            return false;
        };
        line.opened.clone_from(&self.opened);
        // A newer version may show a kind that this one does not know.
        if matches!(record.event(), Ok(Event::Unknown(_))) {
            line.data.clone_from(&self.data);
            line.kind.clone_from(&self.kind);
        }
        line == *self
    }
}

/// The text of a line, with its check, without the end of line.
pub fn text(line: &impl Serialize) -> String {
    let json = serde_json::to_string(line).unwrap_or_default();
    let mut text = readable::harmless(&json);
    text.pop();
    let check = check(text.as_bytes());
    text.push_str(CHECK);
    text.push_str(&check);
    text.push_str("\"}");
    text
}

/// The line of a text whose check fits.
pub(super) fn parse(text: &[u8]) -> Result<Value, String> {
    let size = CHECK.len() + CHECK_DIGITS + "\"}".len();
    let split = text.len().checked_sub(size).map(|at| text.split_at(at));
    let Some((checked, suffix)) = split.filter(|(_, suffix)| suffix.starts_with(CHECK.as_bytes()))
    else {
        return Err("it does not end with its check".to_owned());
    };
    let expected = [CHECK, &check(checked), "\"}"].concat();
    if suffix != expected.as_bytes() {
        return Err("its check does not fit: it was altered".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| format!("it is no JSON object: {error}"))
}

fn check(text: &[u8]) -> String {
    let digits = Hash::of(text).to_hex();
    digits.chars().take(CHECK_DIGITS).collect()
}
