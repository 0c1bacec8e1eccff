//! From an HTTP request to a WebSocket.
//!
//! Our own upgrade instead of the framework's: its read buffer would be 128 KiB per idle socket.

use crate::auth::origin::Origin;
use crate::gateway::Gateway;
use crate::limits::{FRAME_BYTES_MAX, SEND_BUFFER_BYTES_MAX, SOCKET_READ_BUFFER_BYTES};
use crate::ws::connection;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::debug;
use warp::http::{HeaderMap, Response, StatusCode, header};
use warp::hyper::body::Bytes;

/// A server-side WebSocket.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What a connection is known by before it says anything.
pub struct Knock {
    /// Where it comes from.
    pub origin: Origin,
    /// A gateway token in the cookie or the query, if there was one.
    pub token: Option<String>,
    /// Host header, for links in messages.
    pub host: String,
}

/// Whether the headers ask for a WebSocket.
pub fn wants_websocket(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let values = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut words = values.flat_map(|value| value.split(','));
        words.any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// Answers the upgrade and serves the socket in a task of its own.
pub fn accept(
    gateway: Arc<Gateway>,
    headers: &HeaderMap,
    on_upgrade: OnUpgrade,
    knock: Knock,
) -> Response<Bytes> {
    let version = headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .and_then(|v| v.to_str().ok());
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|_| version == Some("13"));
    let Some(key) = key else {
        return plain(
            StatusCode::UPGRADE_REQUIRED,
            "WebSocket version 13 is needed",
        );
    };
    let accept = accept_key(key.as_bytes());
    tokio::spawn(async move {
        match on_upgrade.await {
            Ok(upgraded) => {
                let io = TokioIo::new(upgraded);
                let socket = Socket::from_raw_socket(io, Role::Server, Some(config())).await;
                connection::serve(gateway, socket, knock).await;
            }
            Err(error) => debug!(%error, "the client went away during the upgrade"),
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(Bytes::new());
    response.unwrap_or_else(|_| plain(StatusCode::BAD_REQUEST, "bad upgrade"))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(SOCKET_READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(SEND_BUFFER_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}

/// RFC 6455, section 4.2.2: SHA-1 of the key and a fixed GUID.
fn accept_key(key: &[u8]) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let text = [key, GUID].concat();
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &text);
    STANDARD.encode(hash.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        assert_eq!(
            accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
