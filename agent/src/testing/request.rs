//! Requests to the local server: reading them, and the rules of the published API.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

use super::dialect::Dialect;
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

    /// Whether it only asks for the list of models.
    pub fn is_check(&self) -> bool {
        self.method == "GET"
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

impl Refusal {
    fn new(status: u16, kind: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, kind, why }
    }

    fn invalid(why: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", why)
    }
}

/// Notes every violation in the request; returns how it is refused, if it is.
pub(super) fn refusal<D: Dialect>(request: &mut SeenRequest, plan: &Plan) -> Option<Refusal> {
    let mut refusals = wrong_place::<D>(request, plan);
    refusals.extend(wrong_keys::<D>(request, plan));
    refusals.extend(wrong_headers::<D>(request));
    if !request.is_check() {
        refusals.extend(wrong_body::<D>(&request.body, plan));
    }
    request.violations = refusals.iter().map(|refusal| refusal.why.clone()).collect();
    refusals.into_iter().next()
}

fn wrong_place<D: Dialect>(request: &SeenRequest, plan: &Plan) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let path = match &plan.path {
        Some(path) => path.clone(),
        None => format!("/v1{}", D::ENDPOINT),
    };
    let beside = || path.trim_end_matches(D::ENDPOINT).to_owned() + D::MODELS;
    let expected = if request.is_check() {
        plan.models_path.clone().unwrap_or_else(beside)
    } else {
        path
    };
    if request.path != expected {
        let why = format!("path must be {expected}");
        refusals.push(Refusal::new(404, "not_found_error", why));
    }
    if !matches!(request.method.as_str(), "POST" | "GET") {
        refusals.push(Refusal::new(
            405,
            "invalid_request_error",
            "method must be POST",
        ));
    }
    refusals
}

/// Exactly the expected keys. The refusal repeats what came, as some providers do.
fn wrong_keys<D: Dialect>(request: &SeenRequest, plan: &Plan) -> Vec<Refusal> {
    let expected = match &plan.credentials {
        Some(credentials) => credentials.clone(),
        None => vec![D::credential(&plan.key)],
    };
    let is_wrong = |name: &&str| {
        let wanted = expected.iter().find(|(header, _)| header == name);
        request.header(name) != wanted.map(|(_, value)| value.as_str())
    };
    ["x-api-key", "authorization", "cf-aig-authorization"]
        .into_iter()
        .filter(is_wrong)
        .map(|name| {
            let came = request.header(name).unwrap_or("nothing");
            Refusal::new(
                401,
                "authentication_error",
                format!("invalid {name}: {came}"),
            )
        })
        .collect()
}

fn wrong_headers<D: Dialect>(request: &SeenRequest) -> Vec<Refusal> {
    let mut expected = D::HEADERS.to_vec();
    if !request.is_check() {
        expected.push(("content-type", "application/json"));
    }
    let count = |name: &str| {
        let same = request.headers.iter().filter(|(seen, _)| seen == name);
        same.count()
    };
    let wrong = expected
        .iter()
        .filter(|(name, value)| request.header(name) != Some(*value));
    let mut refusals: Vec<_> = wrong
        .map(|(name, value)| Refusal::invalid(format!("{name}: {value} is required")))
        .collect();
    let twice = request.headers.iter().filter(|(name, _)| count(name) > 1);
    refusals.extend(twice.map(|(name, _)| Refusal::invalid(format!("{name} came twice"))));
    if !request.is_check() && count("content-length") != 1 {
        refusals.push(Refusal::invalid("content-length is required"));
    }
    refusals
}

fn wrong_body<D: Dialect>(body: &Value, plan: &Plan) -> Vec<Refusal> {
    let Some(fields) = body.as_object() else {
        return vec![Refusal::invalid("body must be an object")];
    };
    let asked = fields.get("model").and_then(Value::as_str);
    let unknown = plan.model.as_deref().filter(|model| asked != Some(model));
    let unknown = unknown.map(|_| Refusal::new(404, "not_found_error", "model"));
    let unfit = fields
        .iter()
        .filter(|(name, value)| !D::field_fits(name, value, plan))
        .map(|(name, _)| Refusal::invalid(format!("{name}: not permitted like this")));
    let missing = D::required(plan)
        .into_iter()
        .filter(|name| !fields.contains_key(*name))
        .map(|name| Refusal::invalid(format!("{name}: field required")));
    unknown.into_iter().chain(unfit).chain(missing).collect()
}
