//! What is seen of every HTTP request from outside its handler: an id that leads from the client
//! to the log lines and records, a count, a time.
//!
//! Invariant: the id is the client's only if it is harmless in a log; route and method in a count
//! are words of this program, never what a client sent.

use crate::gateway::Gateway;
use crate::http::reply;
use crate::stamp;
use hyper::Method;
use std::time::Instant;
use tracing::{Instrument, info_span};
use warp::http::{HeaderMap, HeaderName};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 64;

/// A request that is to be answered.
pub struct Observed {
    id: String,
    method: &'static str,
    route: &'static str,
}

impl Observed {
    /// What is kept of a request while its handler has it.
    pub fn of<B>(request: &hyper::Request<B>) -> Observed {
        Observed {
            id: request_id(request.headers()),
            method: method(request.method()),
            route: route(request.uri().path()),
        }
    }

    /// Waits for the answer, in a span with the id, and keeps account of it.
    pub async fn answer<E>(
        self,
        gateway: &Gateway,
        answer: impl Future<Output = Result<reply::Response, E>>,
    ) -> Result<reply::Response, E> {
        let started = Instant::now();
        let span = info_span!("request", request_id = %self.id);
        let mut response = answer.instrument(span).await?;
        reply::set(&mut response, REQUEST_ID, &self.id);
        let status = response.status().as_u16();
        let metrics = &gateway.metrics;
        metrics.answered(self.method, self.route, status, started.elapsed());
        Ok(response)
    }
}

/// The client's id, when it is a short word; a new one otherwise.
fn request_id(headers: &HeaderMap) -> String {
    let fits = |id: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let sent = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    sent.filter(fits).map_or_else(stamp::id, str::to_owned)
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The route's template.
fn route(path: &str) -> &'static str {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .take(5)
        .collect();
    match parts.as_slice() {
        [] => "/",
        ["health"] => "/health",
        ["ready"] => "/ready",
        ["status"] => "/status",
        ["api", "status"] => "/api/status",
        ["sandbox-health"] => "/sandbox-health",
        ["metrics"] => "/metrics",
        ["ws"] => "/ws",
        ["pair"] => "/pair",
        ["pairing", "grant"] => "/pairing/grant",
        ["pairing", _] => "/pairing/{request}",
        ["s", ..] => "/s/{session}",
        ["assets", ..] | ["_admin", "assets", ..] => "/assets/{file}",
        ["_admin", ..] => "/_admin/{page}",
        ["api", "admin", "devices"] => "/api/admin/devices",
        ["api", "admin", "devices", "approve-all"] => "/api/admin/devices/approve-all",
        ["api", "admin", "devices", _, "approve"] => "/api/admin/devices/{id}/approve",
        ["api", "admin", "devices", _, "reject"] => "/api/admin/devices/{id}/reject",
        ["api", "admin", "devices", _, "revoke"] => "/api/admin/devices/{id}/revoke",
        ["api", "admin", "storage"] => "/api/admin/storage",
        ["api", "admin", "storage", "sync"] => "/api/admin/storage/sync",
        ["api", "admin", "gateway", "restart"] => "/api/admin/gateway/restart",
        ["api", "admin", ..] => "/api/admin/{other}",
        ["api", ..] => "/api/{other}",
        ["debug", ..] => "/debug/{other}",
        ["cdp", ..] => "/cdp/{other}",
        ["v1", ..] => "/v1/{other}",
        ["webhook" | "webhooks", ..] => "/webhook/{channel}",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_harm_a_log_are_replaced() {
        let of = |id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, id.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(of("req-1.A_b"), "req-1.A_b");
        for bad in ["", "a b", "a\"b", "<script>", "é"] {
            assert_ne!(of(bad), bad);
        }
        let long: &'static str = "x".repeat(REQUEST_ID_CHARS_MAX + 1).leak();
        assert_ne!(of(long), long);
    }

    #[test]
    fn what_a_client_makes_up_is_no_label() {
        assert_eq!(
            route("/api/admin/devices/abc/approve"),
            "/api/admin/devices/{id}/approve"
        );
        assert_eq!(route("//"), "/");
        assert_eq!(route("/wp-login.php"), "other");
        assert_eq!(route("/api/x/y/z/a/b/c"), "/api/{other}");
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
