//! No secret and nothing personal where it can be found by others.

use super::support::Home;
use super::support::client::{ALL, CHAT, Device};
use super::support::connect::{command_line, let_in, refused};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const TOKEN: &str = "TokenThatNobodyMayFind0123456789";
const MISTYPED: &str = "MistypedTokenOfSomebodyElse";
const PASSPHRASE: &str = "MasterKeyThatNobodyMayFind";
const TEXT: &str = "what-I-told-the-assistant-in-confidence";
const NAME: &str = "Zanzibar telephone";
const ADDRESS: &str = "203.0.113.77";

#[tokio::test]
#[allow(
    clippy::too_many_lines,
    reason = "one story, told once and searched at the end"
)]
async fn no_secret_and_nothing_personal_is_in_a_log_line_in_the_export_or_in_a_file() {
    let home = Home::new()
        .with("MOLTBOT_GATEWAY_TOKEN", TOKEN)
        .with("MOLTBOT_MASTER_KEY", PASSPHRASE)
        .with("MOLTBOT_TRUSTED_PROXIES", "127.0.0.1")
        .with("MOLTBOT_LOG", "trace,hyper=debug");
    let mut gateway = home.start();
    let mut secrets: Vec<String> = [TOKEN, MISTYPED, PASSPHRASE].map(str::to_owned).into();
    let grant = gateway.admin("POST", "grants").await.body["url"]
        .as_str()
        .unwrap()
        .to_owned();
    secrets.push(grant.split_once("#grant=").unwrap().1.to_owned());
    let mut device = Device::new(1);
    device.name = NAME.to_owned();
    device.redeem(&gateway).await;
    secrets.push(device.token.clone().unwrap());
    let mut operator = device.connect(&gateway, &ALL).await.unwrap();
    operator.chat("main", &format!("echo {TEXT}"), "r1").await;
    // Somebody asks to be let in, and is; his signature and token must not be found either.
    let far = [("x-forwarded-for", ADDRESS), ("user-agent", "test")];
    let mut other = Device::new(2);
    other.name = NAME.to_owned();
    let mut signature = Value::Null;
    let error = refused(&gateway, &far, |challenge| {
        let params = other.connect_params(challenge, &CHAT, Some(TOKEN));
        signature = params["device"]["signature"].clone();
        params
    })
    .await;
    secrets.push(signature.as_str().unwrap().to_owned());
    let request = json!({ "requestId": error["details"]["requestId"] });
    operator
        .request("device.pair.approve", request)
        .await
        .unwrap();
    let say = |challenge: &Value| other.connect_params(challenge, &CHAT, Some(TOKEN));
    let client = let_in(&gateway, &far, say).await;
    secrets.push(
        client.hello["auth"]["deviceToken"]
            .as_str()
            .unwrap()
            .to_owned(),
    );
    operator
        .request("device.token.rotate", json!({ "deviceId": other.id() }))
        .await
        .unwrap();
    // Wrong ones are secrets too: they are right somewhere else.
    refused(&gateway, &far, |_| command_line(&ALL, Some(MISTYPED))).await;
    gateway
        .http("GET", &format!("/?token={MISTYPED}"), &[], "")
        .await;
    gateway
        .http("GET", &format!("/?token={TOKEN}"), &[], "")
        .await;
    let cookie = format!("moltbot_token={TOKEN}");
    gateway.http("GET", "/", &[("cookie", &cookie)], "").await;
    let bearer = format!("Bearer {MISTYPED}");
    gateway
        .http(
            "GET",
            "/api/admin/devices",
            &[("authorization", &bearer)],
            "",
        )
        .await;
    operator.request("storage.backup", json!({})).await.unwrap();
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));

    let log = gateway.log();
    assert!(log.contains(" ready "), "{log}");
    let (code, export, _) = home.run(&["log", "export"]);
    assert_eq!(code, 0);
    assert!(export.lines().count() > 10);
    let personal = [TEXT, NAME, ADDRESS].map(str::to_owned);
    let hidden: Vec<&String> = secrets.iter().chain(&personal).collect();
    for text in &hidden {
        assert!(!log.contains(text.as_str()), "`{text}` is in a log line");
        assert!(!export.contains(text.as_str()), "`{text}` is in the export");
    }
    let files = files_below(home.path());
    for kind in [
        "data/",
        "replica/log/",
        "replica/snapshot/",
        "replica/keys/",
    ] {
        let below = home.path().join(kind);
        assert!(
            files.iter().any(|file| file.starts_with(&below)),
            "no file in {kind}"
        );
    }
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for text in &hidden {
            let found = bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes());
            assert!(!found, "`{text}` is in {}", file.display());
        }
    }
    for command in [
        &["devices", "list"][..],
        &["doctor"],
        &["log", "verify"],
        &["log", "stats"],
    ] {
        let (_, out, error) = home.run(command);
        for text in &hidden {
            assert!(
                !format!("{out}{error}").contains(text.as_str()),
                "{command:?} prints `{text}`"
            );
        }
    }
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| {
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    };
    entries.flat_map(below).collect()
}
