//! No secret is seen anywhere: every secret variable is a canary, and after a life with chats,
//! errors, wrong logins, a backup and a stop no canary is in any line, answer, file or object.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

#[path = "support/s3.rs"]
mod s3;
mod support;

use moltbot_edge::variables::SECRET as SECRETS;
use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY, free_port};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use support::client::{ALL, Device};
use support::{Gateway, Home};

/// What a wrong login sends: no secret of ours, but perhaps one of another place.
const WRONG: &str = "canary-of-a-wrong-login-0123456789";
/// What somebody pastes into a chat.
const PASTED: &str = "sk-ant-canary-pasted-into-a-chat-0123456789";

fn canary(name: &str) -> String {
    match name {
        "AWS_ACCESS_KEY_ID" => ACCESS_KEY.to_owned(),
        "AWS_SECRET_ACCESS_KEY" => SECRET_KEY.to_owned(),
        // Must be a key.
        "MOLTBOT_CHECKPOINT_KEY" => "ca9a".repeat(16),
        // Characters that change on their way into JSON and addresses.
        "CDP_SECRET" => "canary/with+signs\"and=more&CDP".to_owned(),
        _ => format!("canary-of-{}-4f1c9a", name.to_lowercase().replace('_', "-")),
    }
}

/// Variables that would send the gateway elsewhere.
fn is_left_out(name: &str) -> bool {
    ["CF_ACCOUNT_ID", "AWS_SESSION_TOKEN"].contains(&name)
}

/// A provider that repeats in its error whatever it was sent.
fn parrot() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || repeat(stream));
        }
    });
    url
}

fn repeat(mut stream: TcpStream) {
    let mut request = [0; 4096];
    let Ok(length) = stream.read(&mut request) else {
        return;
    };
    let asked = String::from_utf8_lossy(&request[..length]);
    let head = asked.split("\r\n\r\n").next().unwrap();
    let message = format!("invalid key, you sent: {}", head.replace("\r\n", " | "));
    let body = json!({
        "type": "error",
        "error": { "type": "authentication_error", "message": message },
    });
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // The client may have gone.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()));
}

/// Everything that must not be seen.
fn canaries() -> Vec<String> {
    let secrets = SECRETS.iter().filter(|name| !is_left_out(name));
    let mut all: Vec<String> = secrets.map(|name| canary(name)).collect();
    all.push(PASTED.to_owned());
    all.push(WRONG.to_owned());
    let encoded = |text: &String| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    all.extend(all.iter().map(encoded).collect::<Vec<String>>());
    all
}

fn unseen(place: &str, bytes: &[u8]) {
    for canary in canaries() {
        let found = bytes
            .windows(canary.len())
            .any(|window| window == canary.as_bytes());
        assert!(
            !found,
            "`{canary}` in {place}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
}

fn unseen_below(directory: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += unseen_below(&path);
        } else {
            unseen(&path.display().to_string(), &std::fs::read(&path).unwrap());
            files += 1;
        }
    }
    files
}

/// Everything below `/debug/`.
const DEBUG: [&str; 10] = [
    "version",
    "processes?logs=true",
    "gateway-api?path=/api/admin/storage",
    "cli?cmd=moltbot%20--version",
    "cli?cmd=moltbot%20log%20stats",
    "logs",
    "ws-test",
    "env",
    "container-config",
    "access",
];

async fn raw(gateway: &Gateway, verb: &str, path: &str, token: &str) -> Vec<u8> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.request(verb.parse().unwrap(), gateway.url(path));
    let answer = request.bearer_auth(token).send().await.unwrap();
    let head = format!("{:?}", answer.headers()).into_bytes();
    [head, answer.bytes().await.unwrap().to_vec()].concat()
}

#[tokio::test]
async fn no_secret_is_in_any_line_answer_file_or_object() {
    let mut server = S3Server::new();
    server.start();
    let mut home = Home::new()
        .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/p"))
        .with("AWS_ENDPOINT_URL_S3", &server.url())
        .with("ANTHROPIC_BASE_URL", &parrot())
        .with("TELEGRAM_API_URL", &parrot())
        // Access is configured, and skipped: this test has nobody's tokens.
        .with("CF_ACCESS_TEAM_DOMAIN", "team.cloudflareaccess.com")
        .with("E2E_TEST_MODE", "true")
        .with("DEBUG_ROUTES", "true")
        // Every library says all it knows.
        .with("MOLTBOT_LOG", "debug");
    for name in SECRETS.iter().filter(|name| !is_left_out(name)) {
        home = home.with(name, &canary(name));
    }
    // An address that repeats secrets is in the first lines of every log: one that is known, as
    // addresses write it, and one that only looks like one.
    let port = free_port();
    let known: String =
        url::form_urlencoded::byte_serialize(canary("CDP_SECRET").as_bytes()).collect();
    let repeats = format!("https://bot.example:{port}/{known}?token={WRONG}");
    home = home.with("MOLTBOT_PUBLIC_URL", &repeats);
    let mut gateway = home.launch_on(port, &[]);
    let ready = gateway.wait_for_log("ready ");
    assert!(ready.contains("/[redacted]?token=[redacted]"), "{ready}");
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", gateway.pid())).unwrap();
    assert!(!cmdline.is_empty());
    unseen("the process list", &cmdline);

    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    let failed = client
        .chat("main", &format!("what is {PASTED}?"), "r1")
        .await;
    assert_eq!(failed["state"], "error", "{failed}");
    unseen(
        "the error of a chat",
        failed["errorMessage"].to_string().as_bytes(),
    );
    gateway
        .http("GET", &format!("/?token={WRONG}"), &[], "")
        .await;
    gateway
        .http("GET", &format!("/ws?token={WRONG}"), &[], "")
        .await;
    let refused = device.connect_with(&gateway, &ALL, Some(WRONG)).await.err();
    unseen("a refusal", refused.unwrap().to_string().as_bytes());
    let token = canary("MOLTBOT_GATEWAY_TOKEN");
    gateway
        .http("GET", &format!("/?token={token}"), &[], "")
        .await;
    for path in ["devices", "storage", "nothing"] {
        let path = format!("/api/admin/{path}");
        unseen(&path, &raw(&gateway, "GET", &path, &token).await);
        unseen(&path, &raw(&gateway, "GET", &path, WRONG).await);
    }
    for path in ["/health", "/ready", "/status", "/api/status", "/metrics"] {
        unseen(path, &raw(&gateway, "GET", path, &token).await);
    }
    for path in DEBUG {
        let path = format!("/debug/{path}");
        let answer = raw(&gateway, "GET", &path, &token).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("Not Found"), "{path}: {text}");
        unseen(&path, &answer);
    }
    let sync = raw(&gateway, "POST", "/api/admin/storage/sync", &token).await;
    assert!(String::from_utf8_lossy(&sync).contains("Sync completed"));
    unseen("a backup", &sync);
    server.stop();
    let sync = raw(&gateway, "POST", "/api/admin/storage/sync", &token).await;
    unseen("a backup", &sync);
    server.start();
    gateway.shipped().await;
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());

    let log = gateway.log();
    assert!(log.contains("DEBUG"), "{log}");
    unseen("the log", log.as_bytes());
    assert!(unseen_below(home.path()) > 2);
    assert!(unseen_below(server.path()) > 2);
    let (code, out, error) = home.run(&["log", "export"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.lines().count() > 5, "{out}");
    unseen("an export", out.as_bytes());
    unseen("an export's lines", error.as_bytes());
}

#[test]
fn an_error_of_the_command_line_shows_no_secret_either() {
    let home = Home::new().with("MOLTBOT_REPLICA_URL", "s3://AKIDCANARY:canary-word@b/p");
    let (code, out, error) = home.run(&["doctor"]);
    assert_eq!(code, 3);
    assert!(
        !format!("{out}{error}").contains("canary-word"),
        "{out}{error}"
    );
}
