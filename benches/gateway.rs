//! The real binary: size, start, idle memory, and a durable chat turn over the WebSocket against a
//! local model server. Build it before: `cargo build --profile dist`.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON is read by name, which gives null where there is nothing"
)]

mod binary;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use binary::{Failure, Gateway};
use futures_util::{SinkExt, StreamExt};
use moltbot_agent::testing::{AnthropicServer, Plan};
use moltbot_benches::{Raw, Writer, directory, median, number, percentile, say};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const STARTS: usize = 15;
const TURNS: usize = 300;
const KEY: &str = "sk-bench";

type Socket = WebSocketStream<TcpStream>;

fn main() -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let binary = binary::path().ok_or("build the binary first: cargo build --profile dist")?;
    let bytes = usize::try_from(std::fs::metadata(&binary)?.len())?;
    say(format_args!(
        "binary: {:.1} MB  {}",
        number(bytes) / 1e6,
        binary.display()
    ));
    starts(&binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(turns(&binary))
}

fn starts(binary: &Path) -> Result<(), Failure> {
    let (mut health, mut ready, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let begun = Instant::now();
        let gateway = Gateway::start(binary, "start", &[])?;
        health.push(gateway.wait("/health", begun)?.as_secs_f64() * 1e3);
        ready.push(gateway.wait("/ready", begun)?.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(300));
        memory.push(gateway.resident_mb()?);
    }
    say(format_args!(
        "start on an empty home: /health after {:.1} ms, /ready after {:.1} ms; idle memory {:.1} MB (medians of {STARTS})",
        median(&mut health),
        median(&mut ready),
        median(&mut memory),
    ));
    Ok(())
}

async fn turns(binary: &Path) -> Result<(), Failure> {
    let model =
        AnthropicServer::start(Plan::answering(KEY, "A short answer of a local model.")).await?;
    let base = model.url();
    let env = [("ANTHROPIC_API_KEY", KEY), ("ANTHROPIC_BASE_URL", base)];
    let gateway = Gateway::start(binary, "turns", &env)?;
    gateway.wait("/ready", Instant::now())?;
    let mut socket = connect(&gateway).await?;
    let mut raw = Writer::new(Raw::new(&directory("turns-raw")));
    let (mut durable, mut syncs, mut acknowledged) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let begun = Instant::now();
        raw.append(1);
        syncs.push(begun.elapsed());
        let begun = Instant::now();
        acknowledged.push(chat(&mut socket, turn).await?);
        durable.push(begun.elapsed());
    }
    let part = TURNS / 5;
    let mut first: Vec<Duration> = durable.iter().take(part).copied().collect();
    let mut last: Vec<Duration> = durable.iter().skip(TURNS - part).copied().collect();
    let (first, last) = (percentile(&mut first, 50), percentile(&mut last, 50));
    let mut later: Vec<Duration> = acknowledged.iter().skip(TURNS - part).copied().collect();
    let later = percentile(&mut later, 50);
    acknowledged.truncate(part);
    let acknowledged = percentile(&mut acknowledged, 50);
    let sync = percentile(&mut syncs, 50);
    let (p50, p99) = (percentile(&mut durable, 50), percentile(&mut durable, 99));
    let bound = sync * 4 + Duration::from_micros(1_500);
    say(format_args!(
        "durable chat turn over the WebSocket, local model: p50 {p50:?}, p99 {p99:?}; fdatasync p50 {sync:?}; bound 4 x fdatasync + 1.5 ms = {bound:?}; ratio to the bound {:.2}",
        p50.as_secs_f64() / bound.as_secs_f64(),
    ));
    say(format_args!(
        "  of it until the message is durable and acknowledged: p50 {acknowledged:?} at first, {later:?} at last; p50 of the first {part} turns {first:?}, of the last {last:?}",
    ));
    Ok(())
}

async fn connect(gateway: &Gateway) -> Result<Socket, Failure> {
    let token = std::fs::read_to_string(gateway.home.join("token"))?
        .trim()
        .to_owned();
    let stream = TcpStream::connect(("127.0.0.1", gateway.port)).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://127.0.0.1:{}/ws", gateway.port);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    let challenge = next(&mut socket).await?;
    let (nonce, at) = (&challenge["payload"]["nonce"], &challenge["payload"]["ts"]);
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).map_err(|_| "no key")?;
    let public = pair.public_key().as_ref();
    let hash = ring::digest::digest(&ring::digest::SHA256, public);
    let id = moltbot_core::ids::hex(hash.as_ref());
    let nonce = nonce.as_str().ok_or("no nonce")?;
    let text = format!("v2|{id}|cli|cli|operator|operator.admin|{at}|{token}|{nonce}");
    let params = json!({
        "minProtocol": 3, "maxProtocol": 4,
        "client": { "id": "cli", "version": "bench", "platform": "linux", "mode": "cli" },
        "role": "operator", "scopes": ["operator.admin"],
        "device": {
            "id": id, "publicKey": URL_SAFE_NO_PAD.encode(public),
            "signature": URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())),
            "signedAt": at, "nonce": nonce,
        },
        "auth": { "token": token },
    });
    send(&mut socket, "connect", "connect", &params).await?;
    loop {
        let frame = next(&mut socket).await?;
        if frame["id"] == "connect" {
            return if frame["ok"] == true {
                Ok(socket)
            } else {
                Err(frame.to_string().into())
            };
        }
    }
}

/// One turn; the time until the message was acknowledged.
async fn chat(socket: &mut Socket, turn: usize) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut acknowledged = Duration::ZERO;
    let run = format!("turn-{turn}");
    let params = json!({ "sessionKey": "main", "message": "hello", "idempotencyKey": run });
    send(socket, &run, "chat.send", &params).await?;
    loop {
        let frame = next(socket).await?;
        if frame["id"] == run.as_str() {
            acknowledged = begun.elapsed();
        }
        let payload = &frame["payload"];
        if frame["event"] == "chat" && payload["runId"] == run.as_str() {
            match payload["state"].as_str() {
                Some("final") => return Ok(acknowledged),
                Some("delta") => {}
                _ => return Err(frame.to_string().into()),
            }
        }
    }
}

async fn send(socket: &mut Socket, id: &str, method: &str, params: &Value) -> Result<(), Failure> {
    let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
    Ok(socket.send(Message::text(frame.to_string())).await?)
}

async fn next(socket: &mut Socket) -> Result<Value, Failure> {
    loop {
        match socket.next().await.ok_or("closed")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(frame) => return Err(format!("closed: {frame:?}").into()),
            _ => {}
        }
    }
}
