//! Which event may follow which, and what each contributes; pure.
//!
//! The published order is `message_start`, then content blocks (`content_block_start`, deltas,
//! `content_block_stop`), then one or more `message_delta`, then `message_stop`. `ping` and unknown
//! events may come anywhere and are ignored, as are deltas that are not text. A refusal may arrive
//! while a block is open. Any other order is a protocol error: it would mean that text is missing.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::error::ModelError;
use crate::model::http::{self, Decoder};
use crate::model::sse::SseEvent;
use crate::model::{ModelEvent, StopReason, Usage};
use crate::secret::ApiKey;

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct MessageStart {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    usage: WireUsage,
}

#[derive(Deserialize)]
struct BlockStart {
    index: u64,
    content_block: Block,
}

#[derive(Deserialize)]
struct BlockDelta {
    index: u64,
    delta: Block,
}

/// A content block or a delta of one: `text` and `text_delta` are the types that carry text.
#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct BlockStop {
    index: u64,
}

#[derive(Deserialize)]
struct MessageDelta {
    delta: Ending,
    #[serde(default)]
    usage: WireUsage,
}

#[derive(Deserialize)]
struct Ending {
    #[serde(default)]
    stop_reason: Option<String>,
}

/// Totals so far; what a later event leaves out stays as it was.
#[derive(Deserialize, Default)]
struct WireUsage {
    #[serde(default, rename = "input_tokens")]
    input: Option<u64>,
    #[serde(default, rename = "output_tokens")]
    output: Option<u64>,
    #[serde(default, rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
    #[serde(default, rename = "cache_creation_input_tokens")]
    cache_write: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    BeforeMessage,
    BetweenBlocks,
    InBlock(u64),
    Ending,
    Stopped,
}

/// Follows one reply.
#[derive(Debug)]
pub(crate) struct MessageOrder {
    position: Position,
    usage: Usage,
    stop: StopReason,
}

impl MessageOrder {
    pub(crate) fn new() -> Self {
        let position = Position::BeforeMessage;
        Self {
            position,
            usage: Usage::default(),
            stop: StopReason::Other,
        }
    }

    fn message_start(
        &mut self,
        start: &MessageStart,
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError> {
        if self.position != Position::BeforeMessage {
            return Err(self.unexpected("message_start"));
        }
        self.position = Position::BetweenBlocks;
        self.count(&start.message.usage, out);
        Ok(())
    }

    fn block_start(
        &mut self,
        start: BlockStart,
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError> {
        if self.position != Position::BetweenBlocks {
            return Err(self.unexpected("content_block_start"));
        }
        self.position = Position::InBlock(start.index);
        push_text(start.content_block, "text", out);
        Ok(())
    }

    fn block_delta(
        &mut self,
        delta: BlockDelta,
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError> {
        if self.position != Position::InBlock(delta.index) {
            return Err(self.unexpected("content_block_delta"));
        }
        push_text(delta.delta, "text_delta", out);
        Ok(())
    }

    fn block_stop(&mut self, stop: &BlockStop) -> Result<(), ModelError> {
        if self.position != Position::InBlock(stop.index) {
            return Err(self.unexpected("content_block_stop"));
        }
        self.position = Position::BetweenBlocks;
        Ok(())
    }

    fn message_delta(
        &mut self,
        delta: &MessageDelta,
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError> {
        let reason = delta.delta.stop_reason.as_deref();
        let allowed = match self.position {
            Position::BetweenBlocks | Position::Ending => true,
            Position::InBlock(_) => reason == Some("refusal"),
            Position::BeforeMessage | Position::Stopped => false,
        };
        if !allowed {
            return Err(self.unexpected("message_delta"));
        }
        self.position = Position::Ending;
        if let Some(reason) = reason {
            self.stop = stop_reason(reason);
        }
        self.count(&delta.usage, out);
        Ok(())
    }

    fn message_stop(&mut self, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if self.position != Position::Ending {
            return Err(self.unexpected("message_stop"));
        }
        self.position = Position::Stopped;
        out.push_back(ModelEvent::Done(self.stop));
        Ok(())
    }

    fn count(&mut self, seen: &WireUsage, out: &mut VecDeque<ModelEvent>) {
        let usage = &mut self.usage;
        usage.input_tokens = seen.input.unwrap_or(usage.input_tokens);
        usage.output_tokens = seen.output.unwrap_or(usage.output_tokens);
        usage.cache_read_tokens = seen.cache_read.unwrap_or(usage.cache_read_tokens);
        usage.cache_write_tokens = seen.cache_write.unwrap_or(usage.cache_write_tokens);
        out.push_back(ModelEvent::Usage(*usage));
    }

    fn unexpected(&self, kind: &str) -> ModelError {
        ModelError::protocol(&format!("`{kind}` out of order, {}", self.position.name()))
    }
}

impl Decoder for MessageOrder {
    fn take(
        &mut self,
        event: &SseEvent,
        keys: &[ApiKey],
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError> {
        let data = event.data.as_str();
        // The type in the data decides, since some proxies lose the event's name.
        let kind = match serde_json::from_str::<Kind>(data) {
            Ok(typed) => typed.kind,
            Err(_) if event.name.is_empty() => {
                return Err(ModelError::protocol("an event without a type"));
            }
            Err(_) => event.name.clone(),
        };
        match kind.as_str() {
            "message_start" => self.message_start(&parse(data, "message_start")?, out),
            "content_block_start" => self.block_start(parse(data, "content_block_start")?, out),
            "content_block_delta" => self.block_delta(parse(data, "content_block_delta")?, out),
            "content_block_stop" => self.block_stop(&parse(data, "content_block_stop")?),
            "message_delta" => self.message_delta(&parse(data, "message_delta")?, out),
            "message_stop" => self.message_stop(out),
            "error" => Err(http::of_event(data, keys)),
            _ => Ok(()),
        }
    }
}

impl Position {
    fn name(self) -> &'static str {
        match self {
            Self::BeforeMessage => "before the message began",
            Self::BetweenBlocks => "between two content blocks",
            Self::InBlock(_) => "in another content block",
            Self::Ending => "after the last content block",
            Self::Stopped => "after the end",
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(data: &'a str, kind: &str) -> Result<T, ModelError> {
    // The parser's own message may quote the data, so only the kind is named.
    serde_json::from_str(data).map_err(|_| ModelError::protocol(&format!("a malformed `{kind}`")))
}

fn push_text(block: Block, kind: &str, out: &mut VecDeque<ModelEvent>) {
    if let Some(text) = block
        .text
        .filter(|text| block.kind == kind && !text.is_empty())
    {
        out.push_back(ModelEvent::Delta(text));
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "end_turn" | "stop_sequence" => StopReason::EndTurn,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "refusal" => StopReason::Refusal,
        _ => StopReason::Other,
    }
}

#[cfg(test)]
mod tests;
