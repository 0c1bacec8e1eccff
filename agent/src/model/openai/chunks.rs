//! What the chunks of a reply contribute; pure.
//!
//! A reply is chunks, the last one with text or after it names a `finish_reason`, then perhaps one
//! with the token counts, then `[DONE]`. Tolerated, since real servers do it: no counts, no `[DONE]`
//! after a `finish_reason`, `[DONE]` without one, empty or null `content`, `content` in parts or as a
//! number, chunks without choices, fields we do not know (reasoning, tool calls, filters).
//!
//! Not tolerated, since text could be missing: an end without either mark, a chunk that is no JSON
//! object, content of an unknown shape, a `finish_reason` of `error`.

use std::collections::VecDeque;

use serde_json::Value;

use crate::error::ModelError;
use crate::model::http::{self, Decoder};
use crate::model::sse::SseEvent;
use crate::model::{ModelEvent, StopReason, Usage};
use crate::secret::ApiKey;

const END_MARK: &str = "[DONE]";

/// Follows one reply.
#[derive(Debug)]
pub(super) struct Chunks {
    begun: bool,
    said_something: bool,
    refused: bool,
    stop: Option<StopReason>,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            begun: false,
            said_something: false,
            refused: false,
            stop: None,
        }
    }

    fn choice(
        &mut self,
        choice: &Value,
        data: &str,
        keys: &[ApiKey],
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError> {
        let delta = choice.get("delta").filter(|delta| !delta.is_null());
        // A server that does not stream properly sends the whole message at the end instead.
        let whole = choice.get("message").filter(|_| !self.said_something);
        let said = delta.or(whole).unwrap_or(&Value::Null);
        self.push(text(said.get("content"))?, out);
        let refusal = text(said.get("refusal"))?;
        self.refused |= !refusal.is_empty();
        self.push(refusal, out);
        match choice.get("finish_reason").and_then(Value::as_str) {
            // Some servers fill the field in every chunk.
            None | Some("" | "null") => {}
            Some("error") => return Err(http::of_event(data, keys)),
            Some(_) if self.refused => self.stop = Some(StopReason::Refusal),
            Some(reason) => self.stop = Some(stop_reason(reason)),
        }
        Ok(())
    }

    fn push(&mut self, text: String, out: &mut VecDeque<ModelEvent>) {
        if !text.is_empty() {
            self.said_something = true;
            out.push_back(ModelEvent::Delta(text));
        }
    }
}

impl Decoder for Chunks {
    fn take(
        &mut self,
        event: &SseEvent,
        keys: &[ApiKey],
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError> {
        let data = event.data.trim();
        if data == END_MARK {
            // Without a reason it still is the protocol's own end mark: nothing was cut off, only
            // not explained.
            let unexplained = self.begun.then_some(StopReason::Other);
            let stop = self.stop.or(unexplained);
            let stop = stop.ok_or_else(|| ModelError::protocol("an end mark before any chunk"))?;
            out.push_back(ModelEvent::Done(stop));
            return Ok(());
        }
        if event.name == "error" {
            return Err(http::of_event(data, keys));
        }
        // The parser's own message may quote the data.
        let chunk: Value = serde_json::from_str(data)
            .map_err(|_| ModelError::protocol("a chunk that is not JSON"))?;
        let has = |name| {
            chunk
                .get(name)
                .is_some_and(|value: &Value| !value.is_null())
        };
        if has("error") || has("errors") || chunk.get("object") == Some(&Value::from("error")) {
            return Err(http::of_event(data, keys));
        }
        let choices = chunk.get("choices").and_then(Value::as_array);
        if choices.is_none() && !has("usage") {
            return Err(ModelError::protocol("a chunk without choices"));
        }
        self.begun = true;
        // Only one answer was asked for; a second one would be mixed into it.
        let first = |choice: &&Value| {
            let index = choice.get("index").and_then(Value::as_u64);
            index.unwrap_or(0) == 0
        };
        for choice in choices.into_iter().flatten().filter(first) {
            self.choice(choice, data, keys, out)?;
        }
        out.extend(chunk.get("usage").and_then(usage).map(ModelEvent::Usage));
        Ok(())
    }

    fn finished(&self) -> Option<StopReason> {
        self.stop
    }
}

/// The text of `content` or `refusal`.
fn text(value: Option<&Value>) -> Result<String, ModelError> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        // A token that is a number, from a server that does not mind the difference.
        Some(Value::Number(number)) => Ok(number.to_string()),
        // Parts: those without text are thoughts or references.
        Some(Value::Array(parts)) => parts.iter().map(|part| text(part.get("text"))).collect(),
        Some(_) => Err(ModelError::protocol("content of an unknown shape")),
    }
}

/// Token counts; `None` where there are none, also in an empty object.
fn usage(value: &Value) -> Option<Usage> {
    let count = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64);
    let input = count("/prompt_tokens");
    let output = count("/completion_tokens");
    let cached = count("/prompt_tokens_details/cached_tokens").unwrap_or(0);
    if input.is_none() && output.is_none() {
        return None;
    }
    Some(Usage {
        // The provider counts what came from its cache a second time.
        input_tokens: input.unwrap_or(0).saturating_sub(cached),
        output_tokens: output.unwrap_or(0),
        cache_read_tokens: cached,
        cache_write_tokens: 0,
    })
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "stop" | "eos" | "eos_token" | "stop_sequence" | "end_turn" => StopReason::EndTurn,
        "length" | "max_tokens" | "model_length" => StopReason::MaxTokens,
        "content_filter" | "refusal" => StopReason::Refusal,
        _ => StopReason::Other,
    }
}

#[cfg(test)]
mod tests;
