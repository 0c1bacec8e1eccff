//! The model as JSON for people and programs.
//!
//! Invariant: equal models give equal text: members are sorted, times are RFC 3339, keys and hashes
//! hex. Every part of the state is there, also one that is added later. Content stays sealed as
//! `{"key", "sealed"}` unless it is opened here.

use crate::view::Model;
use moltbot_core::content::Content;
use moltbot_core::ids::{hex, unhex};
use moltbot_core::time::Timestamp;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The text of a piece of content; `None` when it cannot be read.
pub type Open<'a> = dyn Fn(&Content) -> Option<String> + Send + Sync + 'a;

/// How much of the indexes is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Every line of every transcript, every remembered key.
    Full,
    /// How many there are, which needs little memory whatever the log.
    Counts,
}

/// The parts of the model, by name. Takes the large ones out for a moment and puts them back.
pub fn state(model: &mut Model, detail: Detail) -> Value {
    let remembered = match detail {
        Detail::Full => None,
        Detail::Counts => Some(std::mem::take(&mut model.state.idempotency)),
    };
    let mut value = serde_json::to_value(&model.state).unwrap_or_default();
    let idempotency = match remembered {
        Some(remembered) => {
            let count = remembered.len();
            model.state.idempotency = remembered;
            json!({ "count": count })
        }
        None => value["idempotency"]["entries"].take(),
    };
    let Value::Object(parts) = &mut value else {
        return value;
    };
    parts.remove("cursor");
    parts.insert("idempotency".to_owned(), idempotency);
    parts.insert("transcripts".to_owned(), transcripts(model, detail));
    for (part, inner) in [
        ("sessions", "by_id"),
        ("runs", "open"),
        ("deliveries", "open"),
        ("outbox", "entries"),
    ] {
        // What else such a part has is an index of the same things.
        let inner = parts.get_mut(part).and_then(|part| part.get_mut(inner));
        if let Some(inner) = inner.map(Value::take) {
            parts.insert(part.to_owned(), inner);
        }
    }
    if let Some(Value::Object(settings)) = parts.get_mut("config").map(|c| &mut c["values"]) {
        settings.values_mut().for_each(parse_text);
    }
    parts.values_mut().for_each(make_readable);
    value
}

/// Opens all content in a value, in place. What cannot be read becomes `{"key", "unreadable": true}`.
pub fn open(value: &mut Value, open: &Open<'_>) {
    if let Some(content) = sealed(value) {
        *value = match open(&content) {
            Some(text) => Value::String(text),
            None => json!({ "key": content.key(), "unreadable": true }),
        };
        return;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|v| self::open(v, open)),
        Value::Array(items) => items.iter_mut().for_each(|item| self::open(item, open)),
        _ => {}
    }
}

/// JSON text that cannot touch a terminal: what may move the cursor or turn the direction of writing
/// is escaped, which means the same to a program. Strangers choose names.
pub fn harmless(json: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_control() && c != '\n') || turns(c) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// The sealed content that a value shows.
fn sealed(value: &Value) -> Option<Content> {
    let members = value.as_object().filter(|members| members.len() == 2)?;
    Some(Content::Sealed {
        key: members.get("key")?.as_str()?.into(),
        bytes: unhex(members.get("sealed")?.as_str()?)?,
    })
}

fn transcripts(model: &Model, detail: Detail) -> Value {
    let mut all = Map::new();
    for (session, _) in model.state.sessions.iter() {
        let (lines, _) = model.transcripts.page(session, None, usize::MAX);
        let shown = match detail {
            Detail::Full => serde_json::to_value(lines).unwrap_or_default(),
            Detail::Counts => {
                json!({ "lines": lines.len(), "last": lines.last().map(|line| line.seq) })
            }
        };
        all.insert(session.to_string(), shown);
    }
    Value::Object(all)
}

/// A setting is kept as JSON text.
fn parse_text(value: &mut Value) {
    let parsed = value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    if let Some(parsed) = parsed {
        *value = parsed;
    }
}

fn make_readable(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let readable = match member {
                    Value::Number(ms) if name == "at" || name.ends_with("_at") => {
                        ms.as_i64().map(|ms| Timestamp(ms).rfc3339())
                    }
                    Value::Array(bytes) if name == "public_key" => bytes_of(bytes),
                    _ => None,
                };
                match readable {
                    Some(text) => *member = Value::String(text),
                    None => make_readable(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_readable),
        _ => {}
    }
}

fn bytes_of(numbers: &[Value]) -> Option<String> {
    let byte = |number: &Value| number.as_u64().and_then(|n| u8::try_from(n).ok());
    let bytes: Option<Vec<u8>> = numbers.iter().map(byte).collect();
    bytes.map(|bytes| hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use moltbot_core::content::DataKey;

    #[test]
    fn content_is_opened_wherever_it_is_and_nothing_else_is_taken_for_it() {
        let mut content = Content::Plain {
            key: "k1".into(),
            text: "Li".to_owned(),
        };
        let key = DataKey([7; 32]);
        content.seal(&key, [1; 24]);
        let other = json!({ "key": "agent:main:main", "sealed": "no" });
        let mut value = json!({ "deep": [{ "name": content, "other": other }] });
        let mut closed = value.clone();
        open(&mut value, &|content| {
            Some(content.open(Some(&key)).into_text())
        });
        assert_eq!(value, json!({ "deep": [{ "name": "Li", "other": other }] }));
        open(&mut closed, &|_| None);
        assert_eq!(
            closed["deep"][0]["name"],
            json!({ "key": "k1", "unreadable": true })
        );
    }

    #[test]
    fn what_is_printed_cannot_touch_a_terminal_and_means_the_same() {
        let value = json!({ "name": "Li\u{9b}2J\u{202e}\u{7f}\u{1b}[1m" });
        let text = harmless(&value.to_string());
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }
}
