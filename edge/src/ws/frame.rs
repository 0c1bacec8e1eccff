//! Frames of the protocol: JSON objects in text messages.
//!
//! ```text
//! req   {"type":"req","id","method","params"?}
//! res   {"type":"res","id","ok":true,"payload"} | {"type":"res","id","ok":false,"error":{…}}
//! event {"type":"event","event","payload","seq"?}
//! ```
//!
//! Invariant: no frame has another top-level key; older clients drop frames that do.

use moltbot_core::error::Rejection;
use serde_json::{Map, Value, json};

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The client's id of it.
    pub id: String,
    /// What it asks for.
    pub method: String,
    /// With what.
    pub params: Params,
}

/// A text that is not a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFrame {
    /// Its id, if it had one.
    pub id: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl Request {
    /// Reads a request.
    pub fn parse(text: &str) -> Result<Request, BadFrame> {
        let bad = |id: Option<String>, reason: &str| BadFrame {
            id,
            reason: reason.to_owned(),
        };
        let value: Value =
            serde_json::from_str(text).map_err(|_| bad(None, "the frame is not JSON"))?;
        let Value::Object(mut frame) = value else {
            return Err(bad(None, "the frame is not an object"));
        };
        let id = frame
            .get("id")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty());
        let Some(id) = id.map(str::to_owned) else {
            return Err(bad(None, "must have required property 'id'"));
        };
        if frame.get("type").and_then(Value::as_str) != Some("req") {
            return Err(bad(Some(id), "property 'type' must be \"req\""));
        }
        let Some(method) = frame
            .get("method")
            .and_then(Value::as_str)
            .map(str::to_owned)
        else {
            return Err(bad(Some(id), "must have required property 'method'"));
        };
        let params = match frame.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err(bad(Some(id), "property 'params' must be an object")),
        };
        let params = Params {
            method: method.clone(),
            values: params,
        };
        Ok(Request { id, method, params })
    }
}

/// Parameters of a request; unknown ones are ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    method: String,
    values: Map<String, Value>,
}

impl Params {
    /// A text that must be there.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        match self.values.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.invalid(&format!("property '{name}' must be string"))),
            None => Err(self.invalid(&format!("must have required property '{name}'"))),
        }
    }

    /// A text that must be there and not be empty.
    pub fn id(&self, name: &str) -> Result<&str, Failure> {
        let text = self.text(name)?;
        if text.is_empty() {
            let reason = format!("property '{name}' must NOT have fewer than 1 characters");
            return Err(self.invalid(&reason));
        }
        Ok(text)
    }

    /// A text that may be there.
    pub fn text_opt(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(name).map(Some),
        }
    }

    /// A whole number that may be there.
    pub fn number_opt(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.values.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| self.invalid(&format!("property '{name}' must be integer"))),
        }
    }

    /// A yes or no that may be there.
    pub fn flag_opt(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => value
                .as_bool()
                .map(Some)
                .ok_or_else(|| self.invalid(&format!("property '{name}' must be boolean"))),
        }
    }

    /// Any value that may be there.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// All of them.
    pub fn object(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The failure that names this method.
    pub fn invalid(&self, reason: &str) -> Failure {
        Failure::invalid(format!("invalid {} params: {reason}", self.method))
    }
}

/// The `error` of a response.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// One of the protocol's codes.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// Structured details.
    pub details: Option<Value>,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    /// `INVALID_REQUEST`.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure {
            code: "INVALID_REQUEST",
            message: message.into(),
            details: None,
            retry_after_ms: None,
        }
    }

    /// `UNAVAILABLE`, to be tried again.
    pub fn unavailable(message: impl Into<String>, retry_after_ms: u64) -> Failure {
        let retry_after_ms = Some(retry_after_ms);
        Failure {
            code: "UNAVAILABLE",
            message: message.into(),
            details: None,
            retry_after_ms,
        }
    }

    /// Refused unread, because the address was wrong too often; to be tried again.
    pub fn limited(message: impl Into<String>, retry_after_ms: i64) -> Failure {
        Failure {
            retry_after_ms: u64::try_from(retry_after_ms).ok(),
            ..Failure::invalid(message).with(json!({ "code": "AUTH_RATE_LIMITED" }))
        }
    }

    /// The same failure with structured details.
    #[must_use]
    pub fn with(mut self, details: Value) -> Failure {
        self.details = Some(details);
        self
    }

    fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(details) = &self.details {
            error["details"] = details.clone();
        }
        if let Some(ms) = self.retry_after_ms {
            error["retryable"] = json!(true);
            error["retryAfterMs"] = json!(ms);
        }
        error
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Failure {
        Failure::invalid(rejection.message).with(json!({ "code": rejection.code }))
    }
}

/// The text of a response.
pub fn response(id: &str, result: &Result<Value, Failure>) -> String {
    match result {
        Ok(payload) => json!({ "type": "res", "id": id, "ok": true, "payload": payload }),
        Err(failure) => {
            json!({ "type": "res", "id": id, "ok": false, "error": failure.to_json() })
        }
    }
    .to_string()
}

/// The text of an event. `payload` is JSON already, so that a broadcast is serialized once.
pub fn event(name: &str, payload: &str, seq: Option<u64>) -> String {
    match seq {
        Some(seq) => {
            format!(r#"{{"type":"event","event":"{name}","payload":{payload},"seq":{seq}}}"#)
        }
        None => format!(r#"{{"type":"event","event":"{name}","payload":{payload}}}"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, id: Option<&str>, reason: &str) {
        let bad = Request::parse(text).unwrap_err();
        assert_eq!((bad.id.as_deref(), bad.reason.as_str()), (id, reason));
    }

    #[test]
    fn bad_frames_are_named() {
        check("{", None, "the frame is not JSON");
        check("[]", None, "the frame is not an object");
        check(
            r#"{"type":"req"}"#,
            None,
            "must have required property 'id'",
        );
        check(
            r#"{"type":"x","id":"1"}"#,
            Some("1"),
            "property 'type' must be \"req\"",
        );
        let no_method = r#"{"type":"req","id":"1"}"#;
        check(no_method, Some("1"), "must have required property 'method'");
    }

    #[test]
    fn params_fail_in_the_words_clients_know() {
        let request =
            Request::parse(r#"{"type":"req","id":"1","method":"chat.send","params":{}}"#).unwrap();
        let failure = request.params.text("message").unwrap_err();
        assert_eq!(
            failure.message,
            "invalid chat.send params: must have required property 'message'"
        );
    }

    #[test]
    fn events_are_json() {
        let text = event("tick", r#"{"ts":1}"#, Some(3));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            json!({"type":"event","event":"tick","payload":{"ts":1},"seq":3})
        );
    }
}
