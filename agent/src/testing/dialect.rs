//! What the local server speaks.

use serde_json::Value;

use super::plan::{Plan, ScriptedAnswer};

mod anthropic;
mod openai;

pub use anthropic::Anthropic;
pub use openai::OpenAi;

/// A form of API, as the server sees it.
pub trait Dialect: Send + Sync + 'static {
    /// Where answers are asked for, below the version.
    const ENDPOINT: &'static str;
    /// Where models are listed, beside it.
    const MODELS: &'static str;
    /// Headers that must come with a value of their own, besides those with keys.
    const HEADERS: &'static [(&'static str, &'static str)];

    /// The header that carries the key, and its value.
    fn credential(key: &str) -> (&'static str, String);

    /// Whether a field of the body is as published; also false for fields that are not.
    fn field_fits(name: &str, value: &Value, plan: &Plan) -> bool;

    /// The fields that must be there.
    fn required(plan: &Plan) -> Vec<&'static str>;

    /// The events of an answer, up to its fault if there is one.
    fn events(answer: &ScriptedAnswer, model: &str) -> Vec<String>;

    /// The body of an error reply.
    fn error(kind: &str, message: &str) -> Value;
}

/// First the person, then in turns, last the person again, and nobody says nothing.
fn turns_fit(messages: &[Value]) -> bool {
    let fits = |(index, message): (usize, &Value)| {
        let role = if index.is_multiple_of(2) {
            "user"
        } else {
            "assistant"
        };
        is_message(message, role)
    };
    messages.len() % 2 == 1 && messages.iter().enumerate().all(fits)
}

fn is_message(message: &Value, role: &str) -> bool {
    let text = message.get("content").and_then(Value::as_str);
    let fields = message.as_object().map_or(0, serde_json::Map::len);
    message.get("role").and_then(Value::as_str) == Some(role)
        && text.is_some_and(|text| !text.trim().is_empty())
        && fields == 2
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn is_count(value: &Value) -> bool {
    value.as_u64().is_some_and(|tokens| tokens >= 1)
}
