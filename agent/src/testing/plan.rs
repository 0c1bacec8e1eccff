//! What the local server answers.

use std::time::Duration;

use super::dialect::Dialect;

/// Everything the server knows.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The only key it accepts, in the header of its API.
    pub key: String,
    /// The only model it knows; `None` accepts any.
    pub model: Option<String>,
    /// The path it answers at; `None` is the one of its API.
    pub path: Option<String>,
    /// Where it lists its models; `None` is beside its path.
    pub models_path: Option<String>,
    /// The headers with keys that must come, and no others; `None` is the key in the header of its
    /// API.
    pub credentials: Option<Vec<(&'static str, String)>>,
    /// What the bound on an answer must be called, where there is more than one name.
    pub limit_name: &'static str,
    /// The replies in order; the last one is given again and again.
    pub replies: Vec<Reply>,
}

impl Plan {
    /// Accepts `key` and gives these replies.
    pub fn new(key: &str, replies: Vec<Reply>) -> Self {
        Self {
            key: key.to_owned(),
            model: None,
            path: None,
            models_path: None,
            credentials: None,
            limit_name: "max_tokens",
            replies,
        }
    }

    /// Accepts `key` and always answers `text`, a word at a time.
    pub fn answering(key: &str, text: &str) -> Self {
        Self::new(key, vec![Reply::Answer(ScriptedAnswer::new(text))])
    }

    /// The same, at another path.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// The same, for exactly these keys in these headers.
    #[must_use]
    pub fn with_credentials(mut self, credentials: &[(&'static str, &str)]) -> Self {
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        self.credentials = Some(credentials.iter().map(own).collect());
        self
    }

    /// The same, knowing only this model.
    #[must_use]
    pub fn with_model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// The same, with another name for the bound on an answer.
    #[must_use]
    pub fn with_limit_name(mut self, name: &'static str) -> Self {
        self.limit_name = name;
        self
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
    /// Status 200 and exactly this event stream.
    Stream(String),
    /// Status 200 and this JSON, although a stream was asked for.
    Json(String),
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
    /// Everything comes but the end mark.
    EndMarkMissing,
    /// Everything comes but the end mark, and the connection stays open.
    HangAtTheEnd,
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
    /// Tokens the server says it read, for any answer, those from its cache not counted.
    pub const INPUT_TOKENS: u64 = 25;
    /// Tokens the server of the `OpenAI` form says it read from its cache.
    pub const CACHED_TOKENS: u64 = 15;

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

    /// The event stream in this dialect, up to the fault if there is one.
    pub fn stream<D: Dialect>(&self, model: &str) -> String {
        D::events(self, model).concat()
    }

    /// The same, cut into pieces.
    pub(super) fn pieces<D: Dialect>(&self, model: &str) -> Vec<Vec<u8>> {
        let events = D::events(self, model);
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
}
