//! Requests to the local server: reading them, and the rules of the published API.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

use super::plan::Plan;

/// Longest request that is read.
pub(super) const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// `POST`.
    pub method: String,
    /// `/v1/messages`.
    pub path: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The JSON body, `null` if it was none.
    pub body: Value,
    /// What the published API would not accept; empty for a proper request.
    pub violations: Vec<String>,
}

impl SeenRequest {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(seen, _)| seen == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads one request with its body.
pub(super) async fn read_request(connection: &mut BufReader<TcpStream>) -> io::Result<SeenRequest> {
    let mut reader = connection.take(REQUEST_BYTES_MAX);
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let mut request = SeenRequest {
        method,
        path,
        headers,
        body: Value::Null,
        violations: vec![],
    };
    let length = request
        .header("content-length")
        .and_then(|length| length.parse().ok());
    let mut body = Vec::new();
    reader
        .take(length.unwrap_or(0))
        .read_to_end(&mut body)
        .await?;
    request.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(request)
}

/// How a request is refused.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) why: String,
}

/// Notes every violation in the request; returns how it is refused, if it is.
pub(super) fn refusal(request: &mut SeenRequest, plan: &Plan) -> Option<Refusal> {
    let mut refusals: Vec<Refusal> = rules(request, plan)
        .into_iter()
        .filter(|(holds, ..)| !holds)
        .map(|(_, status, kind, why)| Refusal {
            status,
            kind,
            why: why.to_owned(),
        })
        .collect();
    refusals.extend(body_violations(&request.body).into_iter().map(|why| {
        let (status, kind) = (400, "invalid_request_error");
        Refusal { status, kind, why }
    }));
    request.violations = refusals.iter().map(|refusal| refusal.why.clone()).collect();
    refusals.into_iter().next()
}

type Rule = (bool, u16, &'static str, &'static str);

/// Whether each rule holds, and how a request is refused when it does not.
fn rules(request: &SeenRequest, plan: &Plan) -> [Rule; 8] {
    let (auth, missing, invalid) = (
        "authentication_error",
        "not_found_error",
        "invalid_request_error",
    );
    let header = |name| request.header(name);
    let path = request.path == "/v1/messages";
    let key = header("x-api-key") == Some(plan.key.as_str());
    let no_bearer = header("authorization").is_none();
    let version = header("anthropic-version") == Some("2023-06-01");
    let json = header("content-type") == Some("application/json");
    let count = |name| {
        request
            .headers
            .iter()
            .filter(|(seen, _)| seen == name)
            .count()
    };
    let once = [
        "x-api-key",
        "anthropic-version",
        "content-type",
        "content-length",
    ]
    .into_iter()
    .all(|name| count(name) == 1);
    let asked = request.body.get("model").and_then(Value::as_str);
    let model = plan
        .model
        .as_deref()
        .is_none_or(|model| asked == Some(model));
    [
        (path, 404, missing, "path must be /v1/messages"),
        (
            request.method == "POST",
            405,
            invalid,
            "method must be POST",
        ),
        (key, 401, auth, "invalid x-api-key"),
        (no_bearer, 401, auth, "the key belongs into x-api-key only"),
        (
            version,
            400,
            invalid,
            "anthropic-version: 2023-06-01 is required",
        ),
        (json, 400, invalid, "content-type must be application/json"),
        (
            once,
            400,
            invalid,
            "each required header must come exactly once",
        ),
        (model, 404, missing, "model"),
    ]
}

fn body_violations(body: &Value) -> Vec<String> {
    let Some(fields) = body.as_object() else {
        return vec!["body must be an object".to_owned()];
    };
    let mut violations = Vec::new();
    for (name, value) in fields {
        let fits = match name.as_str() {
            "model" => value.as_str().is_some_and(|model| !model.is_empty()),
            "max_tokens" => value.as_u64().is_some_and(|tokens| tokens >= 1),
            "system" => value
                .as_str()
                .is_some_and(|system| !system.trim().is_empty()),
            "messages" => value
                .as_array()
                .is_some_and(|messages| messages_fit(messages)),
            "stream" => value == &Value::Bool(true),
            _ => false,
        };
        if !fits {
            violations.push(format!("{name}: not permitted like this"));
        }
    }
    for name in ["model", "max_tokens", "messages", "stream"] {
        if !fields.contains_key(name) {
            violations.push(format!("{name}: field required"));
        }
    }
    violations
}

/// First the person, then in turns, last the person again, and nobody says nothing.
fn messages_fit(messages: &[Value]) -> bool {
    let fits = |(index, message): (usize, &Value)| {
        let role = if index.is_multiple_of(2) {
            "user"
        } else {
            "assistant"
        };
        let text = message
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let fields = message.as_object().map_or(0, serde_json::Map::len);
        message.get("role").and_then(Value::as_str) == Some(role)
            && !text.trim().is_empty()
            && fields == 2
    };
    messages.len() % 2 == 1 && messages.iter().enumerate().all(fits)
}
