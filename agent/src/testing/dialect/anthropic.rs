//! Anthropic's Messages API.

use serde_json::{Value, json};

use super::{Dialect, is_count, is_text, turns_fit};
use crate::testing::plan::{Fault, Plan, ScriptedAnswer};

/// Anthropic's Messages API.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic;

impl Dialect for Anthropic {
    const ENDPOINT: &'static str = "/messages";
    const MODELS: &'static str = "/models?limit=1";
    const HEADERS: &'static [(&'static str, &'static str)] = &[("anthropic-version", "2023-06-01")];

    fn credential(key: &str) -> (&'static str, String) {
        ("x-api-key", key.to_owned())
    }

    fn field_fits(name: &str, value: &Value, _plan: &Plan) -> bool {
        match name {
            "model" | "system" => is_text(value),
            "max_tokens" => is_count(value),
            "messages" => value.as_array().is_some_and(|messages| turns_fit(messages)),
            "stream" => value == &Value::Bool(true),
            _ => false,
        }
    }

    fn required(_plan: &Plan) -> Vec<&'static str> {
        vec!["model", "max_tokens", "messages", "stream"]
    }

    fn events(answer: &ScriptedAnswer, model: &str) -> Vec<String> {
        let mut events = vec![
            event("message_start", json!({ "message": message(model) })),
            event(
                "content_block_start",
                json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
            ),
            event("ping", json!({})),
        ];
        events.extend(answer.deltas.iter().map(|text| {
            let delta = json!({ "type": "text_delta", "text": text });
            event("content_block_delta", json!({ "index": 0, "delta": delta }))
        }));
        match answer.fault {
            Some(Fault::ErrorEvent(kind)) => {
                let error = json!({ "type": kind, "message": "the plan says so" });
                events.push(event("error", json!({ "error": error })));
            }
            Some(Fault::Cut | Fault::EndEarly | Fault::Hang) => {}
            Some(Fault::EndMarkMissing | Fault::HangAtTheEnd) => events.extend(ending(answer)),
            None => {
                events.extend(ending(answer));
                events.push(event("message_stop", json!({})));
            }
        }
        events
    }

    fn error(kind: &str, message: &str) -> Value {
        let error = json!({ "type": kind, "message": message });
        json!({ "type": "error", "error": error, "request_id": "req_local" })
    }
}

fn message(model: &str) -> Value {
    json!({
        "id": "msg_local", "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {
            "input_tokens": ScriptedAnswer::INPUT_TOKENS, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": 1,
        },
    })
}

fn ending(answer: &ScriptedAnswer) -> [String; 2] {
    let delta = json!({ "stop_reason": answer.stop_reason, "stop_sequence": null });
    let usage = json!({ "output_tokens": answer.deltas.len() });
    [
        event("content_block_stop", json!({ "index": 0 })),
        event("message_delta", json!({ "delta": delta, "usage": usage })),
    ]
}

fn event(name: &str, mut data: Value) -> String {
    if let Some(fields) = data.as_object_mut() {
        fields.insert("type".to_owned(), Value::from(name));
    }
    format!("event: {name}\ndata: {data}\n\n")
}
