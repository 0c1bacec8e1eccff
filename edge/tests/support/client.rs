//! A client of the gateway protocol, as a browser or an app would be.

use super::{Gateway, PATIENCE};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Request};

/// A device with its key.
pub struct Device {
    pair: Ed25519KeyPair,
    /// What it calls itself.
    pub name: String,
    /// Its device token, once it has one.
    pub token: Option<String>,
}

impl Device {
    /// The device with this number; the same number gives the same key.
    pub fn new(number: u8) -> Device {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
        Device {
            pair,
            name: format!("Device {number}"),
            token: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> String {
        let hash = ring::digest::digest(&ring::digest::SHA256, self.pair.public_key().as_ref());
        moltbot_core::ids::hex(hash.as_ref())
    }

    /// Its public key.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    /// Its signature over a text.
    pub fn sign(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()))
    }

    /// The parameters of `connect` for these scopes, signed in the second version.
    pub fn connect_params(&self, challenge: &Value, scopes: &[&str], token: Option<&str>) -> Value {
        let (nonce, at) = (
            challenge["nonce"].as_str().unwrap(),
            challenge["ts"].as_i64().unwrap(),
        );
        let auth = token.unwrap_or_default();
        let text = format!(
            "v2|{}|moltbot-control-ui|webchat|operator|{}|{at}|{auth}|{nonce}",
            self.id(),
            scopes.join(",")
        );
        json!({
            "minProtocol": 3, "maxProtocol": 4,
            "client": {
                "id": "moltbot-control-ui", "displayName": self.name, "version": "test",
                "platform": "Linux", "mode": "webchat",
            },
            "role": "operator",
            "scopes": scopes,
            "device": {
                "id": self.id(), "publicKey": self.public_key(),
                "signature": self.sign(&text), "signedAt": at, "nonce": nonce,
            },
            "auth": { "token": token },
        })
    }

    /// Lets this device in with a one-time link; keeps its token.
    pub async fn redeem(&mut self, gateway: &Gateway) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let grants = http
            .post(gateway.url("/api/admin/grants"))
            .bearer_auth(gateway.token());
        let link: Value = grants.send().await.unwrap().json().await.unwrap();
        let (_, grant) = link["url"].as_str().unwrap().split_once("#grant=").unwrap();
        let at = now_ms();
        let signature = self.sign(&format!("grant|{grant}|{}|{at}", self.id()));
        let body = json!({
            "grant": grant,
            "device": {
                "id": self.id(), "publicKey": self.public_key(),
                "signature": signature, "signedAt": at,
            },
            "displayName": self.name,
            "platform": "Linux",
        });
        let redeemed = http
            .post(gateway.url("/pairing/grant"))
            .body(body.to_string());
        let reply: Value = redeemed.send().await.unwrap().json().await.unwrap();
        self.token = reply["deviceToken"].as_str().map(str::to_owned);
        reply
    }

    /// Connects with the device token.
    pub async fn connect(&self, gateway: &Gateway, scopes: &[&str]) -> Result<Client, Value> {
        self.connect_with(gateway, scopes, self.token.as_deref())
            .await
    }

    /// Connects with any token; an error is the failed response.
    pub async fn connect_with(
        &self,
        gateway: &Gateway,
        scopes: &[&str],
        token: Option<&str>,
    ) -> Result<Client, Value> {
        let mut client = Client::open(gateway, &[]).await;
        let challenge = client.event("connect.challenge").await;
        let params = self.connect_params(&challenge, scopes, token);
        client.hello = client.request("connect", params).await?;
        Ok(client)
    }
}

/// All scopes.
pub const ALL: [&str; 5] = [
    "operator.read",
    "operator.write",
    "operator.admin",
    "operator.approvals",
    "operator.pairing",
];
/// What the chat page asks for.
pub const CHAT: [&str; 2] = ["operator.read", "operator.write"];

/// A WebSocket to the gateway.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    events: VecDeque<Value>,
    next: u64,
    /// Payload of `hello-ok`.
    pub hello: Value,
    /// Close code and reason, once it was closed.
    pub closed: Option<(u16, String)>,
}

impl Client {
    /// Opens a socket with these headers and sends nothing.
    pub async fn open(gateway: &Gateway, headers: &[(&str, &str)]) -> Client {
        Client::open_at(gateway, "/ws", headers).await
    }

    /// Opens a socket at a path.
    pub async fn open_at(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Client {
        let port = gateway.port();
        let mut request = format!("ws://127.0.0.1:{port}{path}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Client::upgrade(request, stream).await
    }

    /// Opens a socket whose system takes next to nothing that nobody reads.
    pub async fn open_narrow(gateway: &Gateway) -> Client {
        let port = gateway.port();
        let request = format!("ws://127.0.0.1:{port}/ws");
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let address = ([127, 0, 0, 1], port).into();
        let stream = socket.connect(address).await.unwrap();
        Client::upgrade(request.into_client_request().unwrap(), stream).await
    }

    async fn upgrade(request: Request<()>, stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .unwrap();
        Client {
            socket,
            events: VecDeque::new(),
            next: 0,
            hello: Value::Null,
            closed: None,
        }
    }

    /// Sends any message; one that the gateway does not take any more is no failure.
    pub async fn send_message(&mut self, message: Message) {
        // The gateway may have closed the socket in the middle of it.
        let _ = self.socket.send(message).await;
    }

    /// Sends a text as it is.
    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends a request without waiting for the answer; returns its id.
    pub async fn post(&mut self, method: &str, params: Value) -> String {
        self.next += 1;
        let id = self.next.to_string();
        let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
        self.send_text(&frame.to_string()).await;
        id
    }

    /// Sends a request and waits for its answer: the payload, or the error.
    pub async fn request(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.post(method, params).await;
        self.answer(&id).await
    }

    /// Sends a request and waits for its answer; `None` when the socket closed before it came.
    pub async fn attempt(&mut self, method: &str, params: Value) -> Option<Result<Value, Value>> {
        self.next += 1;
        let id = self.next.to_string();
        let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
        self.socket
            .send(Message::text(frame.to_string()))
            .await
            .ok()?;
        loop {
            let frame = self.frame().await?;
            if frame["type"] == "event" {
                self.events.push_back(frame);
            } else if frame["id"] == id {
                let is_ok = frame["ok"] == true;
                let part = |name: &str| frame[name].clone();
                return Some(if is_ok {
                    Ok(part("payload"))
                } else {
                    Err(part("error"))
                });
            }
        }
    }

    /// Waits for the answer to a request.
    pub async fn answer(&mut self, id: &str) -> Result<Value, Value> {
        loop {
            let frame = self.frame().await.unwrap_or_else(|| {
                panic!("closed before the answer: {:?}", self.closed);
            });
            if frame["type"] == "event" {
                self.events.push_back(frame);
            } else if frame["id"] == id {
                return if frame["ok"] == true {
                    Ok(frame["payload"].clone())
                } else {
                    Err(frame["error"].clone())
                };
            }
        }
    }

    /// The payload of the next event of this name; others before it are dropped.
    pub async fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true).await
    }

    /// The payload of the next event of this name that fits.
    pub async fn event_where(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = match self.events.pop_front() {
                Some(frame) => frame,
                None => self.frame().await.unwrap_or_else(|| {
                    panic!("closed before the event {name}: {:?}", self.closed);
                }),
            };
            if frame["event"] == name && fits(&frame["payload"]) {
                return frame["payload"].clone();
            }
        }
    }

    /// The next frame; `None` when the socket closed (then see `closed`).
    pub async fn frame(&mut self) -> Option<Value> {
        loop {
            let message = timeout(PATIENCE, self.socket.next())
                .await
                .expect("nothing came");
            match message {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    self.closed = Some(frame.unwrap_or((1005, String::new())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.closed.get_or_insert((1006, String::new()));
                    return None;
                }
            }
        }
    }

    /// Waits until the socket closes; code and reason.
    pub async fn wait_closed(&mut self) -> (u16, String) {
        while self.frame().await.is_some() {}
        self.closed.clone().unwrap()
    }

    /// Sends a message and waits for the end of its run: the last `chat` event.
    pub async fn chat(&mut self, key: &str, message: &str, idempotency_key: &str) -> Value {
        let params =
            json!({ "sessionKey": key, "message": message, "idempotencyKey": idempotency_key });
        self.request("chat.send", params).await.unwrap();
        self.chat_end(idempotency_key).await
    }

    /// Waits for the end of a run.
    pub async fn chat_end(&mut self, run: &str) -> Value {
        self.event_where("chat", |p| p["runId"] == run && p["state"] != "delta")
            .await
    }

    /// The messages of a session.
    pub async fn history(&mut self, key: &str) -> Vec<Value> {
        let params = json!({ "sessionKey": key, "limit": 1000 });
        let reply = self.request("chat.history", params).await.unwrap();
        reply["messages"].as_array().unwrap().clone()
    }
}

/// The text of a message.
pub fn text(message: &Value) -> &str {
    message["content"][0]["text"].as_str().unwrap_or_default()
}

/// The time.
pub fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
