//! One socket from open to close.
//!
//! Two tasks: this one reads and answers; a second one writes, so a slow reader at the other end
//! holds up nothing but itself. Events get their number when they are written: every connection
//! sees 1, 2, 3, … without a gap.

use crate::gateway::Gateway;
use crate::limits::{
    FRAME_BYTES_MAX_UNAUTHENTICATED, HANDSHAKE_TIMEOUT_MS, PING_INTERVAL_MS,
    REQUESTS_IN_FLIGHT_MAX, TICK_INTERVAL_MS,
};
use crate::stamp;
use crate::ws::frame::{self, Failure, Request};
use crate::ws::handshake::{self, Refusal};
use crate::ws::hub::{Close, Connection, Inbox, Outbound, Outgoing};
use crate::ws::methods::{self, Caller};
use crate::ws::upgrade::{Knock, Socket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes, error::CapacityError};
use tracing::{Instrument, debug, info_span};

const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Of a frame's id, so much is written to log lines.
const FRAME_ID_CHARS_MAX: usize = 64;

/// Serves a socket until it closes.
pub async fn serve(gateway: Arc<Gateway>, socket: Socket, knock: Knock) {
    let (mut sink, mut stream) = socket.split();
    let hello = handshake_with_timeout(&gateway, &mut sink, &mut stream, &knock).await;
    let (request_id, welcome) = match hello {
        Ok(hello) => hello,
        Err(close) => return send_close(&mut sink, close).await,
    };
    let (outbound, inbox) = Outbound::pair();
    let connection = Connection {
        id: gateway.hub.next_id(),
        outbound: outbound.clone(),
        scopes: welcome.scopes.clone(),
        device: welcome.device.clone(),
        client_id: welcome.client_id.clone(),
    };
    // In the hub before the answer: no event after `hello-ok` is missed.
    let id = connection.id;
    let membership = gateway.hub.join(connection);
    let hello = handshake::hello_ok(&gateway, &welcome, id);
    outbound
        .send(Outgoing::Response(frame::response(&request_id, &hello)))
        .await;
    if !handshake::is_still_welcome(&gateway, &welcome) {
        // Revoked during the handshake, when its socket could not be found yet.
        outbound.close(Close::new(1008, "device revoked"));
    }
    let writer = tokio::spawn(write(sink, inbox));
    let caller = Caller {
        gateway: Arc::clone(&gateway),
        connection: id,
        address: knock.origin.address,
        outbound: outbound.clone(),
        welcome,
    };
    caller.presence(true);
    read(&caller, &mut stream).await;
    drop(membership);
    caller.presence(false);
    drop(caller);
    drop(outbound);
    // The writer ends when all senders are gone or the socket fails.
    if timeout(CLOSE_WAIT * 2, writer).await.is_err() {
        debug!("a socket did not take its last frames");
    }
}

type Sink = SplitSink<Socket, Message>;
type Stream = SplitStream<Socket>;

async fn handshake_with_timeout(
    gateway: &Arc<Gateway>,
    sink: &mut Sink,
    stream: &mut Stream,
    knock: &Knock,
) -> Result<(String, handshake::Welcome), Close> {
    let limit = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
    let shaken = timeout(limit, shake(gateway, sink, stream, knock)).await;
    shaken.unwrap_or_else(|_| Err(Close::new(1000, "")))
}

async fn shake(
    gateway: &Arc<Gateway>,
    sink: &mut Sink,
    stream: &mut Stream,
    knock: &Knock,
) -> Result<(String, handshake::Welcome), Close> {
    let nonce = stamp::id();
    let challenge = json!({ "nonce": nonce, "ts": stamp::now().0 }).to_string();
    let text = frame::event("connect.challenge", &challenge, None);
    let gone = |_| Close::new(1000, "");
    sink.send(Message::text(text)).await.map_err(gone)?;
    let text = next_text(stream)
        .await
        .ok_or_else(|| Close::new(1000, ""))??;
    if text.len() > FRAME_BYTES_MAX_UNAUTHENTICATED {
        return Err(Close::new(1009, "frame too large before the handshake"));
    }
    let request = Request::parse(&text).map_err(|_| Close::new(1008, "invalid request frame"))?;
    match handshake::connect(gateway, knock, &nonce, &request).await {
        Ok(welcome) => Ok((request.id, welcome)),
        Err(Refusal { failure, close }) => {
            let text = frame::response(&request.id, &Err(failure));
            sink.send(Message::text(text)).await.map_err(gone)?;
            Err(close)
        }
    }
}

/// The next text message; `None` when the socket is gone, an error when it must be closed.
async fn next_text(stream: &mut Stream) -> Option<Result<Utf8Bytes, Close>> {
    loop {
        match stream.next().await? {
            Ok(Message::Text(text)) => return Some(Ok(text)),
            Ok(Message::Binary(_)) => {
                return Some(Err(Close::new(1003, "frames are JSON text")));
            }
            Ok(Message::Close(_)) => return None,
            Ok(_) => {}
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                return Some(Err(Close::new(1009, "frame too large")));
            }
            Err(_) => return None,
        }
    }
}

/// Reads requests until the socket closes. Quick requests are answered in order; slow ones beside.
async fn read(caller: &Caller, stream: &mut Stream) {
    let mut beside = JoinSet::new();
    loop {
        let text = tokio::select! {
            text = next_text(stream) => text,
            () = caller.outbound.gone() => return,
        };
        let text = match text {
            Some(Ok(text)) => text,
            Some(Err(close)) => return caller.outbound.close(close),
            None => return,
        };
        let request = match Request::parse(&text) {
            Ok(request) => request,
            Err(bad) => {
                let failure = Failure::invalid(format!("invalid request frame: {}", bad.reason));
                let id = bad.id.unwrap_or_else(|| "invalid".to_owned());
                respond(caller, &id, &Err(failure)).await;
                continue;
            }
        };
        while beside.try_join_next().is_some() {}
        if !methods::is_slow(caller, &request.method) {
            let result = answer(caller, &request).await;
            respond(caller, &request.id, &result).await;
            methods::answered(caller, &request, &result);
        } else if beside.len() < REQUESTS_IN_FLIGHT_MAX {
            let caller = caller.clone();
            beside.spawn(async move {
                let result = answer(&caller, &request).await;
                respond(&caller, &request.id, &result).await;
            });
        } else {
            let failure = Failure::unavailable("too many requests are under way", 1_000);
            respond(caller, &request.id, &Err(failure)).await;
        }
    }
}

/// Answers in a span that leads from the client's frame to the records it caused.
async fn answer(caller: &Caller, request: &Request) -> Result<serde_json::Value, Failure> {
    let frame: String = request.id.chars().take(FRAME_ID_CHARS_MAX).collect();
    let span = info_span!("frame", connection = caller.connection, frame);
    methods::call(caller, request).instrument(span).await
}

async fn respond(caller: &Caller, id: &str, result: &Result<serde_json::Value, Failure>) {
    caller
        .outbound
        .send(Outgoing::Response(frame::response(id, result)))
        .await;
}

/// Writes frames, keep-alives and at last the close frame.
async fn write(mut sink: Sink, mut inbox: Inbox) {
    let mut seq = 0;
    let every = |ms| {
        let period = Duration::from_millis(ms);
        interval_at(Instant::now() + period, period)
    };
    let (mut tick, mut ping) = (every(TICK_INTERVAL_MS), every(PING_INTERVAL_MS));
    let close = loop {
        // What the message takes up in the queue is free again when it was sent.
        let (message, _room) = tokio::select! {
            biased;
            closed = inbox.close.wait_for(Option::is_some) => {
                break closed.ok().and_then(|close| close.clone());
            }
            frame = inbox.queue.recv() => match frame {
                Some(queued) => {
                    let (frame, room) = queued.take();
                    (text_of(frame, &mut seq), Some(room))
                }
                None => break None,
            },
            _ = tick.tick() => {
                let payload = json!({ "ts": stamp::now().0 }).to_string().into();
                (text_of(Outgoing::Event { name: "tick", payload }, &mut seq), None)
            }
            _ = ping.tick() => (Message::Ping(Bytes::new()), None),
        };
        let mut closed = inbox.close.clone();
        tokio::select! {
            biased;
            sent = sink.send(message) => if sent.is_err() { return },
            // A client that takes nothing any more is cut off in the middle of a frame.
            _ = closed.wait_for(Option::is_some) => {}
        }
    };
    drain(&mut sink, &mut inbox, &mut seq).await;
    send_close(&mut sink, close.unwrap_or_else(|| Close::new(1000, ""))).await;
}

/// Sends what was queued before the close, as far as the client takes it in time.
async fn drain(sink: &mut Sink, inbox: &mut Inbox, seq: &mut u64) {
    let rest = async {
        while let Ok(queued) = inbox.queue.try_recv() {
            let (frame, _room) = queued.take();
            if sink.send(text_of(frame, seq)).await.is_err() {
                return;
            }
        }
    };
    // The close frame matters more than what a slow client missed.
    let _ = timeout(CLOSE_WAIT, rest).await;
}

fn text_of(frame: Outgoing, seq: &mut u64) -> Message {
    match frame {
        Outgoing::Response(text) => Message::text(text),
        Outgoing::Event { name, payload } => {
            *seq += 1;
            Message::text(frame::event(name, &payload, Some(*seq)))
        }
    }
}

async fn send_close(sink: &mut Sink, close: Close) {
    // RFC 6455 allows 123 bytes of reason.
    let mut reason = close.reason;
    while reason.len() > 120 {
        reason.pop();
    }
    let frame = CloseFrame {
        code: close.code.into(),
        reason: reason.into(),
    };
    let closed = async {
        if sink.send(Message::Close(Some(frame))).await.is_ok() {
            let _ = sink.close().await;
        }
    };
    // A peer that is gone needs no close frame.
    let _ = timeout(CLOSE_WAIT, closed).await;
}
