//! The HTTP surface: one port, every route in one table.
//!
//! | route | answer | who |
//! |---|---|---|
//! | any path with `Upgrade: websocket` | the gateway protocol | anyone; the handshake decides |
//! | `GET /health`, `/ready`, `/status`, `/api/status`, `/sandbox-health` | [`health`] | anyone |
//! | `GET /metrics` | [`metrics`] | holder of the gateway token |
//! | `POST /pairing/grant`, `GET /pairing/<id>` | [`pairing`] | holder of a link or a request id |
//! | `/api/admin/devices…`, `/peers…`, `/forget`, `/storage…`, `/gateway/restart`, `/grants`, `/ws-ticket` | [`admin`] | whom [`gate`] admits |
//! | `/debug/…`, with `DEBUG_ROUTES=true` | [`debug`] | whom [`gate`] admits; `/debug/access` anyone |
//! | `GET /_admin/…` | [`assets`] | with Cloudflare Access whom [`gate`] admits, else anyone: the page holds no data |
//! | `GET /`, `/s/…`, `/pair`, `/assets/…`, `/_admin/assets/…` | [`assets`] | anyone; the pages hold no data |
//!
//! With `CF_ACCESS_EVERYWHERE=true` only the second row and `/_admin/assets/…` stay open to anyone.

pub mod admin;
#[cfg(feature = "ui")]
pub mod assets;
pub mod context;
pub mod debug;
pub mod gate;
pub mod health;
pub mod metrics;
pub mod observe;
pub mod pairing;
pub mod reply;
pub mod server;

use crate::gateway::Gateway;
use crate::limits::{BODY_BYTES_MAX, BODY_READ_TIMEOUT_MS};
use crate::ws::upgrade;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use context::Context;
use futures_util::{Stream, StreamExt};
use gate::Visitor;
use hyper::upgrade::OnUpgrade;
use reply::Response;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use warp::filters::BoxedFilter;
use warp::http::{Method, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection};

/// All routes.
pub fn routes(gateway: &Arc<Gateway>) -> BoxedFilter<(Response,)> {
    let gateway = Arc::clone(gateway);
    let with_gateway = warp::any().map(move || Arc::clone(&gateway));
    with_gateway
        .and(warp::method())
        .and(warp::path::full())
        .and(context::filter())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::body::stream().and_then(body))
        .then(answer)
        .recover(rejected)
        .unify()
        .boxed()
}

async fn answer(
    gateway: Arc<Gateway>,
    method: Method,
    path: FullPath,
    context: Context,
    on_upgrade: Option<OnUpgrade>,
    body: Bytes,
) -> Response {
    let path = path.as_str();
    if let Some(on_upgrade) = on_upgrade.filter(|_| upgrade::wants_websocket(&context.headers)) {
        if let Some(refusal) = gate::refuse_socket(&gateway, &context, path).await {
            return refusal;
        }
        let knock = context.knock(&gateway);
        return upgrade::accept(gateway, &context.headers, on_upgrade, knock).map(Into::into);
    }
    let verb = if method == Method::HEAD {
        Method::GET
    } else {
        method
    };
    respond(&gateway, verb.as_str(), path, &context, &body).await
}

/// Answers anything but a socket.
async fn respond(
    gateway: &Arc<Gateway>,
    verb: &str,
    path: &str,
    context: &Context,
    body: &Bytes,
) -> Response {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (verb, parts.as_slice()) {
        ("GET", ["health"]) => health::live(),
        ("GET", ["ready"]) => health::ready(gateway),
        ("GET", ["status"] | ["api", "status"]) => health::status(gateway),
        ("GET", ["sandbox-health"]) => health::sandbox(gateway),
        ("GET", ["metrics"]) => metrics::answer(gateway, context),
        (_, ["api", rest @ ..]) => match gate::admit(gateway, context, verb, path).await {
            Ok(visitor) => api(gateway, &visitor, context, verb, rest).await,
            Err(refusal) => refusal,
        },
        (_, ["debug", rest @ ..]) => debug::answer(gateway, context, verb, path, rest).await,
        _ => open(gateway, verb, path, &parts, context, body).await,
    }
}

async fn api(
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
    context: &Context,
    verb: &str,
    path: &[&str],
) -> Response {
    match path {
        ["admin", rest @ ..] => admin::answer(gateway, visitor, context, verb, rest).await,
        _ => reply::error(StatusCode::NOT_FOUND, "Not Found", None),
    }
}

/// What needs Access only in part, or only if everything does.
async fn open(
    gateway: &Arc<Gateway>,
    verb: &str,
    path: &str,
    parts: &[&str],
    context: &Context,
    body: &Bytes,
) -> Response {
    // First of all, so that the token is in no address that Access or the browser's history keeps.
    if verb == "GET"
        && let Some(exchanged) = context.exchange_token(gateway, path)
    {
        return exchanged;
    }
    let is_asset = path.starts_with("/_admin/assets/");
    let is_admin = parts.first() == Some(&"_admin");
    let guards = gateway.access.is_some() && is_admin;
    let refusal = match () {
        () if is_asset => None,
        () if guards => gate::admit(gateway, context, verb, path).await.err(),
        () => gate::refuse_elsewhere(gateway, context, verb, path).await,
    };
    if let Some(refusal) = refusal {
        return refusal;
    }
    match (verb, parts) {
        ("POST", ["pairing", "grant"]) => pairing::grant(gateway, context, body).await,
        ("GET", ["pairing", request]) => pairing::wait(gateway, context, request).await,
        ("GET", _) => page(context, path),
        _ => reply::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", None),
    }
}

#[cfg(feature = "ui")]
fn page(context: &Context, path: &str) -> Response {
    assets::serve(path, context)
}

#[cfg(not(feature = "ui"))]
fn page(_context: &Context, _path: &str) -> Response {
    reply::error(
        StatusCode::NOT_FOUND,
        "Not Found",
        Some("this binary was built without the UI"),
    )
}

/// A request body that is longer than anything this gateway takes.
#[derive(Debug)]
struct BodyTooLarge;

impl warp::reject::Reject for BodyTooLarge {}

/// A request body that does not come.
#[derive(Debug)]
struct BodyTooSlow;

impl warp::reject::Reject for BodyTooSlow {}

/// Reads a body of bounded size in bounded time, with or without a length given before.
async fn body(
    stream: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Bytes, Rejection> {
    let limit = Duration::from_millis(BODY_READ_TIMEOUT_MS);
    let read = tokio::time::timeout(limit, read_body(stream)).await;
    read.unwrap_or_else(|_| Err(warp::reject::custom(BodyTooSlow)))
}

async fn read_body(
    stream: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Bytes, Rejection> {
    let mut stream = pin!(stream);
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| warp::reject::reject())?;
        if body.len() + chunk.remaining() > BODY_BYTES_MAX {
            return Err(warp::reject::custom(BodyTooLarge));
        }
        body.put(chunk);
    }
    Ok(body.freeze())
}

async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    if let Some(BodyTooSlow) = rejection.find() {
        let status = StatusCode::REQUEST_TIMEOUT;
        // What still comes is the rest of a body and no request.
        let text = "the request body did not come in time";
        let mut response = reply::error(status, text, None);
        reply::set(&mut response, warp::http::header::CONNECTION, "close");
        return Ok(response);
    }
    Ok(match rejection.find::<BodyTooLarge>() {
        Some(BodyTooLarge) => {
            let hint = format!("a request body has at most {BODY_BYTES_MAX} bytes");
            reply::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Payload Too Large",
                Some(&hint),
            )
        }
        None => reply::error(
            StatusCode::BAD_REQUEST,
            "the request is not acceptable",
            None,
        ),
    })
}
