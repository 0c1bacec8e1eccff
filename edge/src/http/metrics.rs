//! `GET /metrics`, for Prometheus and whatever reads its format.
//!
//! Who may: whoever sends the gateway token as `Authorization: Bearer`, from anywhere. The numbers
//! say how much somebody chats and with which models, so they are not public like [`super::health`];
//! and a collector runs on another machine, so being on this one is not asked for. In Prometheus:
//! `authorization: { credentials_file: … }`.

use crate::gateway::Gateway;
use crate::http::context::Context;
use crate::http::reply::{self, Response};
use warp::http::header;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older format, which the same text is in.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a scrape.
pub fn answer(gateway: &Gateway, context: &Context) -> Response {
    if let Some(refusal) = context.refuse_without_token(gateway) {
        return refusal;
    }
    let accepted = context.header(header::ACCEPT).unwrap_or_default();
    let kind = if accepted.contains("application/openmetrics-text") {
        OPEN_METRICS
    } else {
        PLAIN
    };
    let mut response = Response::new(gateway.metrics.render(gateway).into());
    reply::set(&mut response, header::CONTENT_TYPE, kind);
    reply::set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}
