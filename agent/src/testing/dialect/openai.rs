//! `OpenAI`'s Chat Completions API.

use serde_json::{Value, json};

use super::{Dialect, is_count, is_message, is_text, turns_fit};
use crate::testing::plan::{Fault, Plan, ScriptedAnswer};

/// `OpenAI`'s Chat Completions API.
#[derive(Debug, Clone, Copy)]
pub struct OpenAi;

impl Dialect for OpenAi {
    const ENDPOINT: &'static str = "/chat/completions";
    const MODELS: &'static str = "/models";
    const HEADERS: &'static [(&'static str, &'static str)] = &[];

    fn credential(key: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {key}"))
    }

    fn field_fits(name: &str, value: &Value, plan: &Plan) -> bool {
        match name {
            "model" => is_text(value),
            "messages" => value.as_array().is_some_and(|messages| {
                let turns = match messages.split_first() {
                    Some((first, turns)) if is_message(first, "system") => turns,
                    _ => messages,
                };
                turns_fit(turns)
            }),
            "stream" => value == &Value::Bool(true),
            "stream_options" => value == &json!({ "include_usage": true }),
            name => name == plan.limit_name && is_count(value),
        }
    }

    fn required(plan: &Plan) -> Vec<&'static str> {
        vec![
            "model",
            plan.limit_name,
            "messages",
            "stream",
            "stream_options",
        ]
    }

    fn events(answer: &ScriptedAnswer, model: &str) -> Vec<String> {
        let choice = |delta: Value, reason: Option<&str>| {
            let choice = json!({
                "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason,
            });
            chunk(model, &json!([choice]), &Value::Null)
        };
        let mut events = vec![
            ": LOCAL PROCESSING\n\n".to_owned(),
            choice(json!({ "role": "assistant", "content": "" }), None),
        ];
        let delta = |text: &String| choice(json!({ "content": text }), None);
        events.extend(answer.deltas.iter().map(delta));
        let reason = match answer.stop_reason {
            "end_turn" => "stop",
            other => other,
        };
        let usage = json!({
            "prompt_tokens": ScriptedAnswer::INPUT_TOKENS + ScriptedAnswer::CACHED_TOKENS,
            "completion_tokens": answer.deltas.len(),
            "prompt_tokens_details": { "cached_tokens": ScriptedAnswer::CACHED_TOKENS },
        });
        let ending = [
            choice(json!({}), Some(reason)),
            chunk(model, &json!([]), &usage),
        ];
        match answer.fault {
            Some(Fault::ErrorEvent(kind)) => {
                events.push(data(&Self::error(kind, "the plan says so")));
            }
            Some(Fault::Cut | Fault::EndEarly | Fault::Hang) => {}
            Some(Fault::EndMarkMissing | Fault::HangAtTheEnd) => events.extend(ending),
            None => {
                events.extend(ending);
                events.push("data: [DONE]\n\n".to_owned());
            }
        }
        events
    }

    fn error(kind: &str, message: &str) -> Value {
        json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
    }
}

fn chunk(model: &str, choices: &Value, usage: &Value) -> String {
    data(&json!({
        "id": "chatcmpl-local", "object": "chat.completion.chunk", "created": 1_795_358_970,
        "model": model, "choices": choices, "usage": usage,
    }))
}

fn data(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}
