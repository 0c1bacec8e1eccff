//! Parameters of the methods: which there are, and of which type
//! (<https://core.telegram.org/bots/api#available-methods>).

use serde_json::{Map, Value, json};

/// A "no" in Telegram's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) description: String,
    pub(super) parameters: Value,
}

impl Refusal {
    pub(super) fn new(code: u16, description: &str) -> Refusal {
        Refusal {
            code,
            description: description.to_owned(),
            parameters: Value::Null,
        }
    }

    /// A 400 in these words.
    pub(super) fn bad(description: &str) -> Refusal {
        Refusal::new(400, &format!("Bad Request: {description}"))
    }

    pub(super) fn body(&self) -> Value {
        let (code, description) = (self.code, &self.description);
        let mut body = json!({"ok": false, "error_code": code, "description": description});
        if let (false, Some(body)) = (self.parameters.is_null(), body.as_object_mut()) {
            body.insert("parameters".to_owned(), self.parameters.clone());
        }
        body
    }
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Integer,
    Text,
    Flag,
    Names,
    Fields(&'static [(&'static str, Kind, bool)]),
}
use Kind::{Fields, Flag, Integer, Names, Text};

/// Name, type, and whether it must be there.
type Signature = &'static [(&'static str, Kind, bool)];

const LINK_PREVIEW: Signature = &[("is_disabled", Flag, false)];
const REPLY: Signature = &[
    ("message_id", Integer, true),
    ("allow_sending_without_reply", Flag, false),
];
const METHODS: [(&str, Signature); 6] = [
    ("getme", &[]),
    (
        "getupdates",
        &[
            ("offset", Integer, false),
            ("limit", Integer, false),
            ("timeout", Integer, false),
            ("allowed_updates", Names, false),
        ],
    ),
    ("deletewebhook", &[("drop_pending_updates", Flag, false)]),
    (
        "sendmessage",
        &[
            ("chat_id", Integer, true),
            ("text", Text, true),
            ("message_thread_id", Integer, false),
            ("parse_mode", Text, false),
            ("link_preview_options", Fields(LINK_PREVIEW), false),
            ("reply_parameters", Fields(REPLY), false),
        ],
    ),
    (
        "editmessagetext",
        &[
            ("chat_id", Integer, true),
            ("message_id", Integer, true),
            ("text", Text, true),
            ("parse_mode", Text, false),
            ("link_preview_options", Fields(LINK_PREVIEW), false),
        ],
    ),
    (
        "sendchataction",
        &[
            ("chat_id", Integer, true),
            ("action", Text, true),
            ("message_thread_id", Integer, false),
        ],
    ),
];

/// What is wrong with a request, if anything.
pub(super) fn check(method: &str, parameters: &Value) -> Result<(), String> {
    let known = METHODS.iter().find(|(name, _)| *name == method);
    let (_, signature) = known.ok_or_else(|| format!("unknown method {method}"))?;
    let none = Map::new();
    let given = match parameters {
        Value::Object(given) => given,
        // A method without parameters may be called with `null`.
        Value::Null => &none,
        _ => return Err(format!("{method}: parameters are no object")),
    };
    check_fields(signature, given).map_err(|wrong| format!("{method}: {wrong}"))
}

fn check_fields(signature: Signature, given: &Map<String, Value>) -> Result<(), String> {
    for (name, kind, is_required) in signature {
        match given.get(*name) {
            Some(value) => check_kind(*kind, value).map_err(|wrong| format!("{name} {wrong}"))?,
            None if *is_required => return Err(format!("{name} is missing")),
            None => {}
        }
    }
    let known = |name: &&String| signature.iter().any(|(known, ..)| known == name);
    match given.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("{name} is no parameter")),
        None => Ok(()),
    }
}

fn check_kind(kind: Kind, value: &Value) -> Result<(), String> {
    let fits = match (kind, value) {
        (Fields(signature), Value::Object(given)) => return check_fields(signature, given),
        (Integer, value) => value.is_i64(),
        (Text, value) => value.is_string(),
        (Flag, value) => value.is_boolean(),
        (Names, Value::Array(names)) => names.iter().all(Value::is_string),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("has the wrong type: {value}"))
    }
}
