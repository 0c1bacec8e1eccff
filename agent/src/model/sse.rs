//! Server-sent events: bytes in, events out; pure.
//!
//! Follows the event stream format of the HTML standard: lines end with LF, CR or CRLF, a blank line
//! ends an event, comments and unknown fields are ignored, `data` lines join with LF, an event
//! without data is dropped and an unfinished one at the end is never seen. `id` and `retry` are not
//! kept, because nothing here reconnects.
//!
//! Invariant: how the bytes are cut into pieces changes nothing. Stricter than the standard in two
//! points: lines and events have bounds, and invalid UTF-8 is an error instead of a replacement.

use std::collections::VecDeque;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One dispatched event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name, empty if the stream gave none.
    pub name: String,
    /// Its data lines.
    pub data: String,
}

/// Why a stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line is longer than the bound.
    #[error("a line longer than {bytes_max} bytes")]
    LineTooLong {
        /// The bound.
        bytes_max: usize,
    },
    /// An event is larger than the bound.
    #[error("an event larger than {bytes_max} bytes")]
    EventTooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// A line is not UTF-8.
    #[error("a line that is not UTF-8")]
    NotUtf8,
}

/// Incremental parser of one stream.
#[derive(Debug)]
pub struct SseParser {
    line_bytes_max: usize,
    event_bytes_max: usize,
    line: Vec<u8>,
    first_line: bool,
    after_cr: bool,
    event: SseEvent,
    has_data: bool,
    broken: Option<SseError>,
}

impl SseParser {
    /// A parser at the beginning of a stream.
    pub fn new(line_bytes_max: usize, event_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            event_bytes_max,
            line: Vec::new(),
            first_line: true,
            after_cr: false,
            event: SseEvent::default(),
            has_data: false,
            broken: None,
        }
    }

    /// Takes the next bytes and appends the events they complete to `out`.
    ///
    /// Events before an error are delivered. After an error every call returns it again.
    pub fn push(&mut self, bytes: &[u8], out: &mut VecDeque<SseEvent>) -> Result<(), SseError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let result = self.lines(bytes, out);
        self.broken = result.err();
        result
    }

    fn lines(&mut self, mut rest: &[u8], out: &mut VecDeque<SseEvent>) -> Result<(), SseError> {
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (part, ending) = rest.split_at(end);
            self.extend_line(part)?;
            self.end_line(out)?;
            rest = match ending {
                [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
                [] => ending,
            };
            self.after_cr = ending == b"\r";
        }
        self.extend_line(rest)
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<(), SseError> {
        if self.line.len() + part.len() > self.line_bytes_max {
            return Err(SseError::LineTooLong {
                bytes_max: self.line_bytes_max,
            });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self, out: &mut VecDeque<SseEvent>) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let mut bytes = line.as_slice();
        if std::mem::take(&mut self.first_line) {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| SseError::NotUtf8)?;
        if text.is_empty() {
            self.end_event(out);
        } else {
            self.field(text)?;
        }
        // The allocation is kept for the next line.
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn end_event(&mut self, out: &mut VecDeque<SseEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            out.push_back(event);
        }
    }

    fn field(&mut self, line: &str) -> Result<(), SseError> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
        if self.event.name.len() + self.event.data.len() > self.event_bytes_max {
            return Err(SseError::EventTooLarge {
                bytes_max: self.event_bytes_max,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parsed = (Vec<(String, String)>, Result<(), SseError>);

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
        let mut parser = SseParser::new(64, 100);
        let mut events = VecDeque::new();
        let mut result = Ok(());
        for piece in pieces {
            result = parser.push(piece, &mut events);
        }
        (
            events
                .into_iter()
                .map(|event| (event.name, event.data))
                .collect(),
            result,
        )
    }

    /// The stream gives these `name=data` events, whole, byte by byte and at every single cut.
    fn check(stream: impl AsRef<[u8]>, expected: &[&str]) {
        let stream = stream.as_ref();
        let (whole, result) = parse([stream]);
        let shown: Vec<String> = whole.iter().map(|(n, d)| format!("{n}={d}")).collect();
        assert_eq!(shown, expected);
        assert_eq!(result, Ok(()));
        assert_eq!(parse(stream.chunks(1)).0, whole);
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_eq!(parse([left, right]).0, whole, "cut at {cut}");
        }
    }

    #[test]
    fn events_end_with_a_blank_line_of_any_kind() {
        check("event: a\ndata: 1\n\ndata: 2\n\n", &["a=1", "=2"]);
        check("event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", &["a=1", "=2"]);
        check("event: a\rdata: 1\r\rdata: 2\r\r", &["a=1", "=2"]);
        check("data: 1\r\n\ndata: 2\n\r\n", &["=1", "=2"]);
    }

    #[test]
    fn data_lines_join_and_lose_one_leading_space() {
        check(
            "data: one\ndata:  two\ndata\ndata:four\n\n",
            &["=one\n two\n\nfour"],
        );
        check("data\n\n", &["="]);
        check("data: a: b\n\n", &["=a: b"]);
    }

    #[test]
    fn comments_unknown_fields_and_empty_events_are_ignored() {
        check(
            ": hello\n\nid: 4\nretry: 10\nother: x\nevent: lost\n\ndata: 1\n\n",
            &["=1"],
        );
    }

    #[test]
    fn unfinished_event_at_the_end_is_not_seen() {
        check("data: 1\n\ndata: 2\n", &["=1"]);
        check("data: 1\n\ndata: 2", &["=1"]);
    }

    #[test]
    fn characters_survive_any_cut_and_a_byte_order_mark_is_skipped() {
        check("\u{FEFF}data: 日本語🦀é\n\n", &["=日本語🦀é"]);
    }

    #[test]
    fn bounds_and_bad_utf8_are_errors_that_stay() {
        let long = format!("data: 1\n\ndata: {}", "x".repeat(64));
        let (events, result) = parse([long.as_bytes()]);
        assert_eq!(events.len(), 1, "events before the error are delivered");
        assert_eq!(result, Err(SseError::LineTooLong { bytes_max: 64 }));
        let (_, result) = parse([long.as_bytes(), b"\n\ndata: 2\n\n"]);
        assert_eq!(result, Err(SseError::LineTooLong { bytes_max: 64 }));
        let many = "data: 12345678901234567890\n".repeat(6);
        assert_eq!(
            parse([many.as_bytes()]).1,
            Err(SseError::EventTooLarge { bytes_max: 100 })
        );
        assert_eq!(
            parse([b"data: \xFF\n".as_slice()]).1,
            Err(SseError::NotUtf8)
        );
    }

    proptest! {
        #[test]
        fn cutting_the_stream_changes_nothing(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "\n", "\r", "\r\n", "data: ", "data", ":", " ", "event: ping", "é", "日", "{}", "id: 1",
                ]),
                0..40,
            ),
            cuts in prop::collection::vec(0_usize..200, 0..8),
        ) {
            let stream = pieces.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([stream.len()]);
            let mut start = 0;
            let chunks: Vec<&[u8]> = ends
                .map(|end| &stream[std::mem::replace(&mut start, end)..end])
                .collect();
            prop_assert_eq!(parse(chunks), parse([stream.as_slice()]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(parse(bytes.chunks(1)), parse([bytes.as_slice()]));
        }
    }
}
