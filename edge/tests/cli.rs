//! The command line: what it says, what it does, and its exit codes.

#![allow(unreachable_pub, reason = "a module of a test has no outside")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "support/s3.rs"]
mod s3;
mod support;

#[path = "cli/log.rs"]
mod log;

use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use support::client::{ALL, CHAT, Client, Device};
use support::connect::{command_line, let_in, refused};
use support::{Gateway, Home};

const FAR: [(&str, &str); 1] = [("x-forwarded-for", "192.0.2.7")];

/// Runs a command against a gateway that runs in this home.
fn run(home: &Home, gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    let port = gateway.port().to_string();
    home.run(&[arguments, &["--port", &port]].concat())
}

/// A device asks in; the code it shows.
async fn ask(gateway: &Gateway, device: &Device) -> String {
    let token = gateway.token();
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
    let error = refused(gateway, &FAR, say).await;
    error["details"]["code"].as_str().unwrap().to_owned()
}

async fn enter(gateway: &Gateway, device: &Device) -> Client {
    let token = gateway.token();
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
    let_in(gateway, &FAR, say).await
}

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    let commands: [&[&str]; 34] = [
        &[],
        &["serve"],
        &["follow"],
        &["devices"],
        &["devices", "list"],
        &["devices", "approve"],
        &["devices", "reject"],
        &["devices", "revoke"],
        &["devices", "link"],
        &["peers"],
        &["peers", "list"],
        &["peers", "approve"],
        &["peers", "block"],
        &["forget"],
        &["keys"],
        &["keys", "status"],
        &["log"],
        &["log", "verify"],
        &["log", "state"],
        &["log", "diff"],
        &["log", "checkpoint"],
        &["log", "export"],
        &["log", "import"],
        &["log", "stats"],
        &["log", "orphans"],
        &["log", "orphans", "list"],
        &["log", "orphans", "export"],
        &["workspace"],
        &["workspace", "record"],
        &["workspace", "list"],
        &["workspace", "restore"],
        &["workspace", "status"],
        &["restore"],
        &["doctor"],
    ];
    let mut said = String::new();
    for command in commands {
        let (code, out, error) = home.run(&[command, &["--help"]].concat());
        assert_eq!((code, error.as_str()), (0, ""), "{command:?}");
        let words = [command, &["--help"]].concat().join(" ");
        said.push_str(&["$ moltbot ", &words, "\n", &out, "\n"].concat());
    }
    insta::assert_snapshot!("help", said);
    let (code, out, _) = home.run(&["--version"]);
    assert_eq!(
        (code, out),
        (0, format!("moltbot {}\n", env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(
        std::fs::read_dir(home.path()).unwrap().count(),
        0,
        "asking changes nothing"
    );
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    let home = Home::new();
    let table: [(&[&str], &str); 9] = [
        (&["fly"], "unrecognized subcommand 'fly'"),
        (
            &["--port", "many"],
            "invalid value 'many' for '--port <PORT>'",
        ),
        (
            &["--port", "70000"],
            "invalid value '70000' for '--port <PORT>'",
        ),
        (
            &["--bind", "here"],
            "invalid value 'here' for '--bind <IP>'",
        ),
        (&["restore"], "--dry-run"),
        (&["devices"], "Usage: moltbot devices"),
        (&["devices", "approve"], "<REQUEST>"),
        (&["peers", "block"], "<PEER>"),
        (&["log", "delete"], "unrecognized subcommand 'delete'"),
    ];
    for (arguments, words) in table {
        let (code, out, error) = home.run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(error.contains(words), "{arguments:?} says {error}");
    }
}

#[test]
fn a_wrong_configuration_ends_with_3_and_says_what_to_set() {
    let table = [
        ("MOLTBOT_PORT", "many", "MOLTBOT_PORT must be a number"),
        ("MOLTBOT_BIND", "here", "MOLTBOT_BIND must be an IP address"),
        (
            "MOLTBOT_PUBLIC_URL",
            "bot.example",
            "MOLTBOT_PUBLIC_URL must be a URL",
        ),
        (
            "MOLTBOT_TRUSTED_PROXIES",
            "10.0.0.0/8",
            "MOLTBOT_TRUSTED_PROXIES must be IP addresses",
        ),
        (
            "MOLTBOT_UTC_OFFSET_MINUTES",
            "9000",
            "MOLTBOT_UTC_OFFSET_MINUTES must be a number",
        ),
        ("MOLTBOT_REPLICA_URL", "ftp://x/y", "the scheme `ftp`"),
        (
            "MOLTBOT_REPLICA_URL",
            "no url",
            "MOLTBOT_REPLICA_URL must be a URL",
        ),
    ];
    for (name, value, words) in table {
        let home = Home::new().with("MOLTBOT_PORT", "0").with(name, value);
        let (code, out, error) = home.run(&["serve"]);
        assert_eq!((code, out.as_str()), (3, ""), "{name}={value}: {error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("moltbot: ") && last.contains(words),
            "{name}={value}: {error}"
        );
    }
    let (code, _, error) = Home::new().run(&["serve", "--bind", "0.0.0.0", "--port", "0"]);
    assert_eq!(code, 3);
    assert!(error.contains("set MOLTBOT_GATEWAY_TOKEN"), "{error}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, error) = Home::new().run(&["serve", "--port", &port]);
    assert_eq!(code, 3);
    assert!(
        error.contains("cannot listen on 127.0.0.1:") && error.contains("--port"),
        "{error}"
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let names = [
        "MOLTBOT_PORT",
        "MOLTBOT_BIND",
        "MOLTBOT_PUBLIC_URL",
        "MOLTBOT_GATEWAY_TOKEN",
    ];
    let home = names
        .iter()
        .fold(Home::new(), |home, name| home.with(name, " "));
    let (code, out, error) = home.run(&["doctor", "--port", "0"]);
    assert_eq!(code, 0, "{out}{error}");
}

#[tokio::test]
async fn a_gateway_ends_with_0_when_it_is_asked_to_and_tells_its_clients() {
    let home = Home::new();
    let mut gateway = home.start();
    let token = gateway.token();
    let mut client = let_in(&gateway, &[], |_| command_line(&ALL, Some(&token))).await;
    gateway.terminate();
    let shutdown = client.event("shutdown").await;
    assert_eq!(shutdown["reason"], "stop");
    assert_eq!(
        client.wait_closed().await,
        (1012, "service restart".to_owned())
    );
    assert_eq!(gateway.wait().code(), Some(0));
    let mode = std::fs::metadata(home.path().join("token"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "the token is for its owner only");
}

#[tokio::test]
async fn devices_are_listed_approved_by_code_rejected_and_revoked() {
    let home = Home::new();
    let gateway = home.start();
    let (code, out, _) = run(&home, &gateway, &["devices", "list"]);
    assert_eq!(code, 0);
    assert!(out.contains("moltbot devices link"), "{out}");
    let (first, second) = (Device::new(2), Device::new(3));
    let shown = ask(&gateway, &first).await;
    let spelled = format!("{}-{}", &shown[..3], &shown[3..]);
    let (_, out, _) = run(&home, &gateway, &["devices", "list"]);
    assert!(
        out.starts_with("waiting  ") && out.contains(&spelled) && out.contains(&first.name),
        "{out}"
    );
    let (_, out, _) = run(&home, &gateway, &["devices", "list", "--json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["pending"][0]["code"], shown);

    let (code, out, error) = run(
        &home,
        &gateway,
        &["devices", "approve", &spelled.to_lowercase()],
    );
    assert_eq!(
        (code, out.as_str(), error.as_str()),
        (0, "Device approved: Device 2\n", "")
    );
    let mut page = enter(&gateway, &first).await;
    let (_, out, _) = run(&home, &gateway, &["devices", "list"]);
    assert!(
        out.starts_with("online ") && out.contains("operator.read,operator.write"),
        "{out}"
    );
    let (code, _, error) = run(&home, &gateway, &["devices", "approve", &spelled]);
    assert_eq!(code, 3);
    assert!(
        error.contains(&spelled) && error.contains("moltbot devices list"),
        "{error}"
    );

    ask(&gateway, &second).await;
    let (_, out, _) = run(&home, &gateway, &["devices", "list", "--json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    let request = list["pending"][0]["requestId"].as_str().unwrap();
    let (code, out, _) = run(&home, &gateway, &["devices", "reject", request]);
    assert_eq!((code, out.as_str()), (0, "Device rejected: Device 3\n"));

    for unclear in ["", "abc", "ffffffffffff"] {
        let (code, out, error) = run(&home, &gateway, &["devices", "revoke", unclear]);
        assert_eq!((code, out.as_str()), (3, ""), "{error}");
        assert!(error.contains("moltbot devices list"), "{error}");
    }
    let (code, out, _) = run(&home, &gateway, &["devices", "revoke", &first.id()[..12]]);
    assert_eq!((code, out.as_str()), (0, "Device revoked: Device 2\n"));
    assert_eq!(
        page.wait_closed().await,
        (1008, "device revoked".to_owned())
    );
}

#[tokio::test]
async fn the_link_lets_a_browser_in() {
    let home = Home::new();
    let gateway = home.start();
    let (code, out, error) = run(&home, &gateway, &["devices", "link"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let (base, grant) = out.trim().split_once("/#grant=").unwrap();
    assert_eq!(base, gateway.url(""));
    let device = Device::new(1);
    let at = support::client::now_ms();
    let body = json!({
        "grant": grant,
        "device": {
            "id": device.id(),
            "publicKey": device.public_key(),
            "signature": device.sign(&format!("grant|{grant}|{}|{at}", device.id())),
            "signedAt": at,
        },
    });
    let answer = gateway
        .http("POST", "/pairing/grant", &[], body.to_string())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (_, out, _) = run(&home, &gateway, &["devices", "list"]);
    assert!(
        out.contains("Browser") && out.contains("operator.admin"),
        "{out}"
    );
    assert!(!gateway.log().contains(grant));
}

#[tokio::test]
async fn the_command_line_finds_a_gateway_on_the_other_loopback() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let home = Home::new();
    let gateway = home.start_with(&["--bind", "::1"]);
    let port = gateway.port().to_string();
    let (code, out, error) = home.run(&["devices", "link", "--bind", "::1", "--port", &port]);
    assert_eq!(code, 0, "{error}");
    assert!(
        out.starts_with(&format!("http://[::1]:{port}/#grant=")),
        "{out}"
    );
}

#[test]
fn without_a_gateway_the_command_line_says_how_to_start_one() {
    let home = Home::new();
    for arguments in [
        &["devices", "list"][..],
        &["devices", "link"],
        &["devices", "revoke", "abcdef"],
        &["peers", "list"],
        &["peers", "approve", "ABCDEFGH"],
    ] {
        let (code, out, error) = home.run(arguments);
        assert_eq!((code, out.as_str()), (3, ""), "{arguments:?}");
        assert!(
            error.contains("no gateway has run in") && error.contains("moltbot serve"),
            "{error}"
        );
    }
    for arguments in [
        &["log", "verify"][..],
        &["log", "state"],
        &["log", "diff", "1"],
        &["log", "checkpoint"],
        &["log", "export"],
        &["log", "stats"],
        &["restore", "--dry-run"],
        &["restore", "--to", "file:///nowhere"],
    ] {
        let (code, out, error) = home.run(arguments);
        assert_eq!((code, out.as_str()), (3, ""), "{arguments:?} {error}");
        assert!(error.contains("there is no replica in"), "{error}");
    }
    assert_eq!(
        std::fs::read_dir(home.path()).unwrap().count(),
        0,
        "looking changes nothing"
    );
    let mut gateway = home.start();
    let port = gateway.port().to_string();
    gateway.terminate();
    gateway.wait();
    let (code, _, error) = home.run(&["devices", "list", "--port", &port]);
    assert_eq!(code, 3);
    assert!(
        error.contains(&format!("no gateway answers on port {port}")),
        "{error}"
    );
    let home = home.with("MOLTBOT_GATEWAY_TOKEN", "another-token");
    let gateway = home.start();
    let mut forgetful = Home::new().with("MOLTBOT_GATEWAY_TOKEN", "wrong-token");
    forgetful
        .env
        .push(("MOLTBOT_PORT".to_owned(), gateway.port().to_string()));
    let (code, _, error) = forgetful.run(&["devices", "list"]);
    assert_eq!(code, 3);
    assert!(
        error.starts_with("moltbot: Unauthorized") && !error.contains("wrong-token"),
        "{error}"
    );
}
