//! Answers: JSON, errors, redirects, and the headers that all of them carry.

use serde_json::{Value, json};
use warp::http::{HeaderValue, StatusCode, header};

/// An answer.
pub type Response = warp::reply::Response;

/// What pages may load: only what this gateway serves.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'none'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'self'; \
    require-trusted-types-for 'script'";

/// A JSON answer that is not cached.
pub fn json(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(value.to_string().into());
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/json");
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

/// A successful JSON answer.
pub fn ok(value: &Value) -> Response {
    json(StatusCode::OK, value)
}

/// An error with what to do about it.
pub fn error(status: StatusCode, error: &str, hint: Option<&str>) -> Response {
    let mut body = json!({ "error": error });
    if let Some(hint) = hint {
        body["hint"] = json!(hint);
    }
    json(status, &body)
}

/// Sets a header to a text that is known to be a valid header value.
pub fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
