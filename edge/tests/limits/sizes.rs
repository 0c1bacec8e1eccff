//! Large requests, slow clients, silent sockets.

use super::support::client::{ALL, CHAT, Client, Device};
use super::support::connect::{command_line, connect, let_in};
use super::support::{Gateway, Home, PATIENCE};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::Range;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The largest request body.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What a gateway may grow by because of answers that one client does not read.
const GROWTH_KB_MAX: u64 = 48 * 1024;
/// What a gateway may grow by because of events that one client does not read.
const SLOW_CLIENT_KB_MAX: u64 = 24 * 1024;
/// Rounds of messages after which the gateway's own caches are full and snapshots and merges have had
/// their turn.
const WARM_UP_ROUNDS: usize = 30;

#[tokio::test]
async fn a_request_body_that_is_too_large_is_refused_with_413() {
    let home = Home::new();
    let gateway = home.start();
    let just = "x".repeat(BODY_BYTES_MAX);
    assert_eq!(
        gateway
            .http("POST", "/pairing/grant", &[], just.clone())
            .await
            .status,
        400
    );
    let over = format!("{just}x");
    for path in ["/pairing/grant", "/api/admin/grants", "/nowhere"] {
        let answer = gateway.http("POST", path, &[], over.clone()).await;
        assert_eq!(answer.status, 413, "{path}");
        assert!(
            answer.body["hint"].as_str().unwrap().contains("65536"),
            "{path}"
        );
    }
    // Without a length given before.
    let chunks = stream::iter(0..65).map(|_| Ok::<_, Infallible>(vec![b'x'; 1024]));
    let body = reqwest::Body::wrap_stream(chunks);
    assert_eq!(
        gateway
            .http("POST", "/pairing/grant", &[], body)
            .await
            .status,
        413
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_while_others_go_on() {
    let home = Home::new();
    let gateway = home.start();
    let mut fast = operator(&gateway).await;
    fast.request("log.subscribe", json!({})).await.unwrap();
    // The same work without the slow client: what the log's own cache takes is not its fault.
    let mut rounds = 0;
    while rounds < WARM_UP_ROUNDS {
        rounds += 1;
        say(&mut fast, 60_000, rounds * 16..rounds * 16 + 16).await;
    }
    let before_kb = resident_kb(&gateway);
    let mut slow = narrow(&gateway).await;
    slow.post("log.subscribe", json!({})).await;
    while connections(&mut fast).await > 1 {
        rounds += 1;
        assert!(
            rounds < WARM_UP_ROUNDS + 40,
            "the slow client is still there"
        );
        say(&mut fast, 60_000, rounds * 16..rounds * 16 + 16).await;
    }
    let grown_kb = resident_kb(&gateway).saturating_sub(before_kb);
    assert!(
        grown_kb < SLOW_CLIENT_KB_MAX,
        "{grown_kb} KiB for one slow client"
    );
    // It finds what was under way; the close frame itself may not have had room.
    let (code, reason) = slow.wait_closed().await;
    assert!(
        code == 1006 || (code, reason.as_str()) == (1008, "slow consumer"),
        "{code} {reason}"
    );
    assert_eq!(fast.request("health", json!({})).await.unwrap()["ok"], true);
}

#[tokio::test]
async fn answers_that_nobody_reads_do_not_pile_up() {
    let home = Home::new();
    let gateway = home.start();
    let mut other = operator(&gateway).await;
    let message = format!("echo {}", "x".repeat(60_000));
    for n in 0..3 {
        other.chat("main", &message, &format!("r{n}")).await;
    }
    let mut greedy = narrow(&gateway).await;
    let before_kb = resident_kb(&gateway);
    for _ in 0..500 {
        // Each answer has 300 KB.
        greedy
            .post("chat.history", json!({ "sessionKey": "main" }))
            .await;
    }
    let mut grown_kb = 0;
    for _ in 0..200 {
        assert_eq!(
            other.request("health", json!({})).await.unwrap()["ok"],
            true
        );
        grown_kb = grown_kb.max(resident_kb(&gateway).saturating_sub(before_kb));
    }
    assert!(grown_kb < GROWTH_KB_MAX, "{grown_kb} KiB of answers wait");
}

#[tokio::test]
async fn a_client_that_catches_up_on_a_long_log_is_not_taken_for_a_slow_one() {
    let home = Home::new();
    let gateway = home.start();
    let mut fast = operator(&gateway).await;
    let from = fast.hello["moltbot"]["cursor"].clone();
    say(&mut fast, 60_000, 0..64).await;
    let head = fast.request("status", json!({})).await.unwrap()["head"]["seq"]
        .as_u64()
        .unwrap();
    let mut late = narrow(&gateway).await;
    late.post("log.subscribe", json!({ "from": from })).await;
    // Others talk while the pages come.
    say(&mut fast, 10, 100..105).await;
    let mut seq = from["seq"].as_u64().unwrap();
    while seq < head {
        for row in late.event("log").await["records"].as_array().unwrap() {
            seq += 1;
            assert_eq!(row["seq"], seq, "every record once, in order");
        }
    }
}

/// Says something of this size in several new conversations at a time and waits for the answers,
/// which repeat it.
async fn say(client: &mut Client, bytes: usize, numbers: Range<usize>) {
    let message = format!("echo {}", "x".repeat(bytes));
    let mut open = BTreeSet::new();
    for n in numbers {
        let (key, run) = (format!("conversation-{n}"), format!("r{n}"));
        let params = json!({ "sessionKey": key, "message": message, "idempotencyKey": run });
        client.request("chat.send", params).await.unwrap();
        open.insert(run);
    }
    while !open.is_empty() {
        let end = client.event_where("chat", |p| p["state"] != "delta").await;
        assert_eq!(end["state"], "final");
        open.remove(end["runId"].as_str().unwrap());
    }
}

/// A command line with all scopes.
async fn operator(gateway: &Gateway) -> Client {
    let token = gateway.token();
    let_in(gateway, &[], |_| command_line(&ALL, Some(&token))).await
}

/// One whose system takes next to nothing that it does not read.
async fn narrow(gateway: &Gateway) -> Client {
    let mut client = Client::open_narrow(gateway).await;
    client.event("connect.challenge").await;
    let params = command_line(&ALL, Some(&gateway.token()));
    client.hello = client.request("connect", params).await.unwrap();
    client
}

#[tokio::test]
async fn more_slow_requests_than_are_answered_at_a_time_are_refused_and_none_is_forgotten() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = operator(&gateway).await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(client.post("storage.backup", json!({})).await);
    }
    let mut refused = 0;
    while !ids.is_empty() {
        let frame = client.frame().await.unwrap();
        let before = ids.len();
        ids.retain(|id| frame["id"] != id.as_str());
        if ids.len() < before && frame["ok"] == false {
            assert_eq!(frame["error"]["code"], "UNAVAILABLE");
            assert_eq!(frame["error"]["retryable"], true);
            refused += 1;
        }
    }
    assert!(
        (1..=68).contains(&refused),
        "{refused} of 100 were refused, at least 32 served"
    );
}

#[tokio::test]
async fn only_so_many_devices_wait_at_a_time() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let far = [("x-forwarded-for", "192.0.2.7")];
    for number in 1..=33 {
        let device = Device::new(number);
        let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
        let (_, answer) = connect(&gateway, &far, say).await;
        let error = answer.unwrap_err();
        let words = if number <= 32 {
            "pairing required"
        } else {
            "too many devices"
        };
        assert!(
            error["message"].as_str().unwrap().starts_with(words),
            "{number}: {error}"
        );
    }
    let waiting = gateway.admin("GET", "devices").await;
    assert_eq!(waiting.body["pending"].as_array().unwrap().len(), 32);
}

#[tokio::test]
async fn sockets_that_say_nothing_or_not_enough_are_closed() {
    let home = Home::new();
    let gateway = home.start();
    let header = "POST /pairing/grant HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n";
    let silent = [
        String::new(),
        "GET / HTTP/1.1\r\nhost: a\r\n".to_owned(),
        format!("{header}\r\n"),
        "GET /health HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
    ];
    let ends = silent.map(|text| until_closed(&gateway, text));
    let handshake = async {
        let mut client = Client::open(&gateway, &[]).await;
        client.event("connect.challenge").await;
        assert_eq!(client.wait_closed().await, (1000, String::new()));
    };
    tokio::join!(futures_util::future::join_all(ends), handshake);
}

/// Sends some bytes and waits for the end of the connection.
async fn until_closed(gateway: &Gateway, text: String) {
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port()))
        .await
        .unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "still open after {text:?}");
}

/// How many are connected.
async fn connections(client: &mut Client) -> usize {
    let status = client.request("status", json!({})).await.unwrap();
    status["connections"].as_array().unwrap().len()
}

/// Memory of the gateway.
fn resident_kb(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
