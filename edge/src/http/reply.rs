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

/// A small page of our own words; `text` is HTML.
pub fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title><h1>{title}</h1>{text}</html>\n"
    );
    let mut response = document("text/html; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

/// A document of our own that is not cached and may load nothing but what this gateway serves.
pub fn document(content_type: &str, body: String) -> Response {
    let mut response = Response::new(body.into());
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    let policy = CONTENT_SECURITY_POLICY;
    set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Sends the client elsewhere.
pub fn redirect(status: StatusCode, to: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    set(&mut response, header::LOCATION, to);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    response
}

/// Sets a header to a text that is known to be a valid header value.
pub fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
