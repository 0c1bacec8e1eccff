//! What the local server answers.

use std::time::Duration;

use serde_json::{Value, json};

/// Everything the server knows.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The only key it accepts.
    pub key: String,
    /// The only model it knows; `None` accepts any.
    pub model: Option<String>,
    /// The replies in order; the last one is given again and again.
    pub replies: Vec<Reply>,
}

impl Plan {
    /// Accepts `key` and gives these replies.
    pub fn new(key: &str, replies: Vec<Reply>) -> Self {
        Self {
            key: key.to_owned(),
            model: None,
            replies,
        }
    }

    /// Accepts `key` and always answers `text`, a word at a time.
    pub fn answering(key: &str, text: &str) -> Self {
        Self::new(key, vec![Reply::Answer(ScriptedAnswer::new(text))])
    }
}

/// One reply to a request without fault.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status 200 and an event stream.
    Answer(ScriptedAnswer),
    /// An error status with the published body.
    Error {
        /// The status.
        status: u16,
        /// The error's type, `overloaded_error` for one.
        kind: &'static str,
        /// The value of the `retry-after` header.
        retry_after_s: Option<u64>,
    },
    /// Status 307 to this address: the way a key could be lured elsewhere.
    Redirect(String),
    /// Nothing, while the connection stays open.
    Hang,
    /// Nothing, and the connection is closed.
    Close,
}

impl Reply {
    /// Always the same overload, without a wait asked for.
    pub fn overloaded() -> Self {
        Self::Error {
            status: 529,
            kind: "overloaded_error",
            retry_after_s: None,
        }
    }
}

/// How the bytes of an answer are cut into pieces; each one arrives as a piece of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunking {
    /// One piece per event, as the provider does.
    Events,
    /// Pieces of so many bytes.
    Bytes(usize),
    /// Two pieces, cut at this byte.
    CutAt(usize),
}

/// What goes wrong after the last delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An `error` event of this type ends the stream.
    ErrorEvent(&'static str),
    /// The connection is closed in the middle of the body.
    Cut,
    /// The body ends properly, but without the end mark.
    EndEarly,
    /// Nothing more comes, while the connection stays open.
    Hang,
}

/// An answer of the server.
#[derive(Debug, Clone)]
pub struct ScriptedAnswer {
    /// The pieces of text.
    pub deltas: Vec<String>,
    /// Why the answer ends.
    pub stop_reason: &'static str,
    /// How it is cut.
    pub chunking: Chunking,
    /// Wait before each piece.
    pub pace: Duration,
    /// What goes wrong, if anything.
    pub fault: Option<Fault>,
}

impl ScriptedAnswer {
    /// Tokens the server says it read, for any answer.
    pub const INPUT_TOKENS: u64 = 25;

    /// Sends `text` a word at a time and ends properly.
    pub fn new(text: &str) -> Self {
        Self {
            deltas: text.split_inclusive(' ').map(str::to_owned).collect(),
            stop_reason: "end_turn",
            chunking: Chunking::Events,
            pace: Duration::ZERO,
            fault: None,
        }
    }

    /// The same, cut in another way.
    #[must_use]
    pub fn chunked(mut self, chunking: Chunking) -> Self {
        self.chunking = chunking;
        self
    }

    /// The same, with a wait before each piece.
    #[must_use]
    pub fn paced(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// The same, with a fault after the last delta.
    #[must_use]
    pub fn failing(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Bytes of the event stream, to know where it can be cut.
    pub fn stream_bytes(&self) -> usize {
        self.events("model").iter().map(String::len).sum()
    }

    /// The pieces of the event stream, up to the fault if there is one.
    pub(super) fn pieces(&self, model: &str) -> Vec<Vec<u8>> {
        let events = self.events(model);
        let whole = events.concat().into_bytes();
        match self.chunking {
            Chunking::Events => events.into_iter().map(String::into_bytes).collect(),
            Chunking::Bytes(size) => whole.chunks(size.max(1)).map(<[u8]>::to_vec).collect(),
            Chunking::CutAt(cut) => {
                let (left, right) = whole.split_at(cut.min(whole.len()));
                [left, right]
                    .into_iter()
                    .filter(|p| !p.is_empty())
                    .map(<[u8]>::to_vec)
                    .collect()
            }
        }
    }

    fn events(&self, model: &str) -> Vec<String> {
        let mut events = vec![
            event("message_start", json!({ "message": Self::message(model) })),
            event(
                "content_block_start",
                json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
            ),
            event("ping", json!({})),
        ];
        events.extend(self.deltas.iter().map(|text| {
            let delta = json!({ "type": "text_delta", "text": text });
            event("content_block_delta", json!({ "index": 0, "delta": delta }))
        }));
        match self.fault {
            Some(Fault::ErrorEvent(kind)) => {
                let error = json!({ "type": kind, "message": "the plan says so" });
                events.push(event("error", json!({ "error": error })));
            }
            Some(Fault::Cut | Fault::EndEarly | Fault::Hang) => {}
            None => events.extend(self.ending()),
        }
        events
    }

    fn message(model: &str) -> Value {
        json!({
            "id": "msg_local", "type": "message", "role": "assistant", "model": model,
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {
                "input_tokens": Self::INPUT_TOKENS, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0, "output_tokens": 1,
            },
        })
    }

    fn ending(&self) -> [String; 3] {
        let delta = json!({ "stop_reason": self.stop_reason, "stop_sequence": null });
        let usage = json!({ "output_tokens": self.deltas.len() });
        [
            event("content_block_stop", json!({ "index": 0 })),
            event("message_delta", json!({ "delta": delta, "usage": usage })),
            event("message_stop", json!({})),
        ]
    }
}

fn event(name: &str, mut data: Value) -> String {
    if let Some(fields) = data.as_object_mut() {
        fields.insert("type".to_owned(), Value::from(name));
    }
    format!("event: {name}\ndata: {data}\n\n")
}
