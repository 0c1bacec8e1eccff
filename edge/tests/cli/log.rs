//! `log`, `restore` and `doctor`: what they find, and that they change nothing.

use super::s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY};
use super::support::client::{ALL, Device};
use super::support::{Gateway, Home};
use moltbot_agent::testing::{AnthropicServer, Plan};
use moltbot_channels::testing::telegram::TelegramServer;
use serde_json::Value;
use std::net::TcpListener;

/// A gateway that has recorded a conversation and shipped it.
async fn talked(home: &Home) -> (Gateway, u64) {
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    client
        .chat("main", "echo something to remember", "r1")
        .await;
    let head = gateway.shipped().await;
    (gateway, head)
}

#[tokio::test]
async fn the_log_is_verified_exported_counted_and_restored_on_trial_beside_a_running_gateway() {
    let home = Home::new();
    let (mut gateway, head) = talked(&home).await;
    let (code, out, error) = home.run(&["log", "verify"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(
        out.starts_with(&format!("whole: {head} events in ")),
        "{out}"
    );
    assert!(
        out.contains("epoch 1\n") && out.contains("\nfrom:  file://"),
        "{out}"
    );
    let verified = line(&out, "head:");
    assert!(verified.starts_with(&format!("#{head} ")), "{verified}");

    let (code, out, error) = home.run(&["log", "export"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let rows: Vec<Value> = out
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let [header, rows @ .., footer] = rows.as_slice() else {
        panic!("no first and last line in {out}");
    };
    assert_eq!(header["format"], "moltbot-log-export");
    assert_eq!(footer["end"]["records"], head);
    assert_eq!(rows.len() as u64, head);
    let mut before = "0".repeat(64);
    for (n, row) in (1..).zip(rows) {
        assert_eq!(
            (&row["seq"], &row["prev_hash"]),
            (&Value::from(n), &Value::from(before))
        );
        before = row["hash"].as_str().unwrap().to_owned();
    }
    assert_eq!(verified, format!("#{head} {before}"));
    let kinds: Vec<&str> = rows.iter().filter_map(|row| row["kind"].as_str()).collect();
    for kind in [
        "writer_started",
        "device_approved",
        "message_received",
        "run_completed",
    ] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    assert!(
        !out.contains("something to remember"),
        "sealed content stays sealed"
    );

    let (code, out, _) = home.run(&["log", "stats"]);
    assert_eq!(code, 0);
    assert_eq!(line(&out, "head"), verified);
    let counted: u64 = out
        .lines()
        .filter(|row| row.contains(" bytes  "))
        .map(|row| {
            row.split_whitespace()
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(counted, head);

    let (code, out, _) = home.run(&["restore", "--dry-run"]);
    assert_eq!(code, 0);
    let words = format!("restorable: {head} events, 1 conversations, 1 devices");
    assert!(out.starts_with(&words), "{out}");
    assert_eq!(line(&out, "head:"), verified);
    assert_eq!(gateway.shipped().await, head, "nobody was disturbed");
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[tokio::test]
async fn a_damaged_replica_is_named_and_ends_with_4() {
    let home = Home::new();
    let (mut gateway, _) = talked(&home).await;
    gateway.terminate();
    gateway.wait();
    let folder = home.replica().join("log");
    let mut segments: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    segments.sort();
    let victim = segments.first().unwrap();
    let mut bytes = std::fs::read(victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(victim, bytes).unwrap();
    let name = victim.file_name().unwrap().to_str().unwrap();
    for arguments in [
        &["log", "verify"][..],
        &["log", "export"],
        &["restore", "--dry-run"],
    ] {
        let (code, _, error) = home.run(arguments);
        assert_eq!(code, 4, "{arguments:?}: {error}");
        assert!(
            error.contains(name),
            "{arguments:?} does not name {name}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_looks_at_everything_and_prints_no_secret() {
    let secrets = [
        "gateway-secret-1",
        "model-secret-2",
        "master-secret-3",
        "bucket-secret-4",
    ];
    let [token, key, master, bucket] = secrets;
    // The doctor asks the provider whether it takes the key.
    let provider = AnthropicServer::start(Plan::answering(key, ""))
        .await
        .unwrap();
    let home = Home::new()
        .with("MOLTBOT_GATEWAY_TOKEN", token)
        .with("ANTHROPIC_API_KEY", key)
        .with("ANTHROPIC_BASE_URL", provider.url())
        .with("MOLTBOT_MASTER_KEY", master)
        .with("AWS_SECRET_ACCESS_KEY", bucket);
    let (code, out, error) = home.run(&["doctor", "--port", "0"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    for name in ["home", "token", "port", "model", "access", "replica"] {
        assert!(out.contains(&format!("ok     {name}")), "{name}: {out}");
    }
    let blocked = home.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let inside = blocked.join("home").display().to_string();
    let (code, wrong, error) = home.run(&[
        "doctor",
        "--port",
        "0",
        "--home",
        &inside,
        "--bind",
        "192.0.2.1",
    ]);
    assert_eq!(code, 3, "{wrong}");
    assert!(
        wrong.contains("WRONG  home") && wrong.contains("WRONG  port"),
        "{wrong}"
    );
    assert!(error.contains("checks failed"), "{error}");
    for secret in secrets {
        assert!(!format!("{out}{wrong}{error}").contains(secret), "{secret}");
    }
    let (code, out, _) = Home::new().run(&["doctor", "--bind", "0.0.0.0", "--port", "0"]);
    assert_eq!(code, 3);
    assert!(
        out.contains("WRONG  token") && out.contains("MOLTBOT_GATEWAY_TOKEN"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_who_the_bot_is_or_why_nobody_knows() {
    const TOKEN: &str = "4711:wrong-or-right-is-for-telegram-12";
    let telegram = TelegramServer::start(TOKEN).await.unwrap();
    let doctor = |token: &str, url: &str| {
        let home = Home::new()
            .with("TELEGRAM_BOT_TOKEN", token)
            .with("TELEGRAM_API_URL", url);
        let (code, out, error) = home.run(&["doctor", "--port", "0"]);
        assert!(
            !format!("{out}{error}").contains("is-for-telegram"),
            "{out}"
        );
        (
            code,
            line(
                &out,
                if code == 0 {
                    "ok     telegram"
                } else {
                    "WRONG  telegram"
                },
            ),
        )
    };
    let url = telegram.url().to_string();
    let (code, said) = doctor(TOKEN, &url);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("the bot is @moltbot_test_bot"), "{said}");
    let (code, said) = doctor("4711:another-one-is-for-telegram-12345", &url);
    let wrong = "Telegram refuses the bot token: check TELEGRAM_BOT_TOKEN";
    assert_eq!((code, said.as_str()), (3, wrong));
    let (code, said) = doctor(TOKEN, &nobody());
    assert_eq!(code, 3);
    assert!(said.starts_with("Telegram cannot be reached"), "{said}");
}

#[test]
fn the_doctor_says_what_is_wrong_with_access() {
    let doctor = |vars: &[(&str, &str)]| {
        let home = vars
            .iter()
            .fold(Home::new(), |home, (name, value)| home.with(name, value));
        home.run(&["doctor", "--port", "0"])
    };
    let team = nobody();
    let audience = ("CF_ACCESS_AUD", "4714c1358e65fe4b408ad6d432a5f878");
    let (code, out, _) = doctor(&[("CF_ACCESS_TEAM_DOMAIN", &team), audience]);
    assert_eq!(code, 3, "{out}");
    let said = line(&out, "WRONG  access");
    assert!(said.contains("keys cannot be fetched"), "{said}");
    // Where Access is skipped, a gateway starts all the same.
    let (code, out, _) = doctor(&[("DEV_MODE", "true"), audience]);
    assert_eq!(code, 3, "{out}");
    assert!(line(&out, "WRONG  access").starts_with("CF_ACCESS_TEAM_DOMAIN is missing"));
    assert!(line(&out, "ok     access").starts_with("DEV_MODE is set"));
}

#[test]
fn the_doctor_tries_what_the_log_relies_on_in_the_bucket() {
    let doctor = |server: &S3Server| {
        let home = Home::new()
            .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/p"))
            .with("AWS_ENDPOINT_URL_S3", &server.url())
            .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .with("AWS_REGION", "auto");
        let (code, out, error) = home.run(&["doctor", "--port", "0"]);
        assert!(!format!("{out}{error}").contains(SECRET_KEY), "{out}");
        (code, out)
    };
    let mut server = S3Server::new();
    server.start();
    let (code, out) = doctor(&server);
    assert_eq!(code, 0, "{out}");
    assert!(
        line(&out, "ok     replica").contains("refuses to overwrite"),
        "{out}"
    );
    for (fault, words) in [
        (Fault::ReadOnly, "do not permit to create objects"),
        (Fault::IgnoresConditions, "overwrite"),
    ] {
        let (code, out) = doctor(&S3Server::with(fault));
        let said = line(&out, "WRONG  replica");
        assert!(code == 3 && said.contains(words), "{fault:?}: {out}");
    }
}

/// An address at which nobody answers.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// What a line says after its name.
fn line(out: &str, name: &str) -> String {
    let line = out.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no line `{name}` in {out}"))
        .trim()
        .to_owned()
}
