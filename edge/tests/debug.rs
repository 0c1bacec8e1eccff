//! `/debug/*` of the real binary: its shapes, who may look, and that it shows no secret.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

#[path = "access/provider.rs"]
#[allow(dead_code, reason = "two test files use their part of this")]
#[allow(unreachable_pub, reason = "a module of a test has no outside")]
mod provider;
#[path = "debug/self_check.rs"]
mod self_check;

use provider::{PAGE, Team, ask, jwt, keys};
use serde_json::{Value, json};
use support::client::{ALL, Device};
use support::{Gateway, Home};

/// A gateway that anyone may look into.
fn open() -> (Home, Gateway) {
    let home = Home::new()
        .with("DEBUG_ROUTES", "true")
        .with("E2E_TEST_MODE", "true");
    let gateway = home.start();
    (home, gateway)
}

/// What a path answers, with 200.
async fn look(gateway: &Gateway, path: &str) -> Value {
    let said = ask(gateway, "GET", &format!("/debug/{path}"), &[]).await;
    assert_eq!(said.status, 200, "{path}: {}", said.text);
    said.json()
}

#[tokio::test]
async fn without_debug_routes_there_are_none() {
    for value in ["false", "1", "yes"] {
        let home = Home::new()
            .with("DEV_MODE", "true")
            .with("DEBUG_ROUTES", value);
        let gateway = home.start();
        for path in ["version", "access", "cli", "x", ""] {
            let said = ask(&gateway, "GET", &format!("/debug/{path}"), &[]).await;
            assert_eq!(said.status, 404, "{path}");
            assert_eq!(said.json()["error"], "Debug routes are disabled");
        }
    }
}

#[tokio::test]
async fn only_whom_the_gate_lets_through_may_look() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home().with("DEBUG_ROUTES", "true");
    let gateway = home.start();
    let token = key.sign(&team.claims("li@example.com"));
    let paths = [
        "version",
        "processes",
        "logs",
        "gateway-api",
        "cli",
        "env",
        "container-config",
        "ws-test",
        "ws-test.js",
    ];
    for path in paths {
        let path = format!("/debug/{path}");
        assert_eq!(ask(&gateway, "GET", &path, &[]).await.status, 401, "{path}");
        assert_eq!(ask(&gateway, "GET", &path, &[PAGE]).await.status, 302);
        let said = ask(&gateway, "GET", &path, &[jwt(&token)]).await;
        assert_eq!(said.status, 200, "{path}: {}", said.text);
        let said = ask(&gateway, "POST", &path, &[jwt(&token)]).await;
        assert_eq!(said.status, 405, "{path}: nothing here changes anything");
    }
    let inner = "/debug/gateway-api?path=/api/admin/devices";
    let said = ask(&gateway, "GET", inner, &[jwt(&token)]).await.json();
    assert_eq!(said["body"]["paired"], json!([]));
}

#[tokio::test]
async fn version_processes_and_logs_tell_of_this_process() {
    let (_home, gateway) = open();
    let version = look(&gateway, "version").await;
    assert_eq!(version["moltbot_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["node_version"], Value::Null);
    assert!(version["started_at"].as_str().unwrap().starts_with("20"));
    let processes = look(&gateway, "processes").await;
    assert_eq!(processes["count"], 1);
    let process = &processes["processes"][0];
    assert_eq!(process["pid"], gateway.pid());
    assert_eq!(
        (&process["status"], &process["command"]),
        (&json!("running"), &json!("moltbot serve"))
    );
    assert_eq!(process.get("stderr"), None);
    let with_logs = look(&gateway, "processes?logs=true").await;
    assert!(
        with_logs["processes"][0]["stderr"]
            .as_str()
            .unwrap()
            .contains("listening")
    );

    let id = process["id"].as_str().unwrap();
    for path in ["logs".to_owned(), format!("logs?id={id}")] {
        let logs = look(&gateway, &path).await;
        assert_eq!(
            (&logs["status"], &logs["process_id"]),
            (&json!("ok"), &json!(id))
        );
        let lines = logs["stderr"].as_str().unwrap();
        assert!(
            lines.contains("listening") && lines.contains("ready"),
            "{lines}"
        );
        assert!(!lines.contains('\u{1b}'));
    }
    let one = look(&gateway, "logs?lines=1").await;
    assert_eq!(one["stderr"].as_str().unwrap().lines().count(), 1);
    let other = ask(&gateway, "GET", "/debug/logs?id=other", &[]).await;
    let body = other.json();
    assert_eq!((other.status, &body["status"]), (404, &json!("not_found")));
    assert_eq!((&body["stdout"], &body["stderr"]), (&json!(""), &json!("")));
}

#[tokio::test]
async fn a_worker_of_another_commit_is_a_mismatch() {
    let home = Home::new()
        .with("DEBUG_ROUTES", "true")
        .with("E2E_TEST_MODE", "true")
        .with("WORKER_VERSION", "0123abc");
    let gateway = home.start();
    let version = look(&gateway, "version").await;
    assert_eq!(version["worker_version"], "0123abc");
    let differ = version["git_sha"].as_str().map(|sha| sha != "0123abc");
    assert_eq!(version["mismatch"], json!(differ));
}

#[tokio::test]
async fn the_gateway_is_asked_for_a_few_of_its_own_paths() {
    let (_home, gateway) = open();
    let status = look(&gateway, "gateway-api?path=/status").await;
    assert_eq!(
        (&status["path"], &status["status"]),
        (&json!("/status"), &json!(200))
    );
    assert_eq!(status["contentType"], "application/json");
    assert_eq!(status["body"]["status"], "running");
    let storage = look(&gateway, "gateway-api?path=/api/admin/storage").await;
    assert_eq!(storage["body"]["configured"], false);
    assert_eq!(look(&gateway, "gateway-api").await["path"], "/");
    for path in [
        "/debug/env",
        "http://127.0.0.1/",
        "//evil.example",
        "/api/admin/grants",
        "",
    ] {
        let said = ask(
            &gateway,
            "GET",
            &format!("/debug/gateway-api?path={path}"),
            &[],
        )
        .await;
        assert_eq!(said.status, 400, "{path}");
        assert!(
            said.json()["paths"]
                .as_array()
                .unwrap()
                .contains(&json!("/status"))
        );
    }
}

#[tokio::test]
async fn the_command_line_runs_what_stands_in_the_list_and_never_a_shell() {
    let (_home, gateway) = open();
    gateway.shipped().await;
    let version = look(&gateway, "cli?cmd=moltbot+--version").await;
    let expected = format!("moltbot {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version["stdout"], expected);
    assert_eq!(
        (&version["status"], &version["exitCode"]),
        (&json!("completed"), &json!(0))
    );
    assert!(
        look(&gateway, "cli").await["stdout"]
            .as_str()
            .unwrap()
            .contains("Usage: moltbot")
    );
    let stats = look(&gateway, "cli?cmd=moltbot%20log%20stats").await;
    assert!(
        stats["stdout"].as_str().unwrap().contains("writer_started"),
        "{stats}"
    );
    let devices = look(&gateway, "cli?cmd=moltbot+devices+list+--json").await;
    let list: Value = serde_json::from_str(devices["stdout"].as_str().unwrap()).unwrap();
    assert_eq!(list["paired"], json!([]));
    let whole = look(&gateway, "cli?cmd=moltbot+log+verify").await;
    assert!(
        whole["stdout"].as_str().unwrap().starts_with("whole: "),
        "{whole}"
    );
    let forbidden = [
        "",
        "ls",
        "env",
        "moltbot devices link",
        "moltbot devices approve x",
        "moltbot log export",
        "moltbot log stats; env",
        "moltbot log stats $(env)",
        "moltbot  log stats",
        "moltbot log stats --home /tmp",
        "/bin/moltbot --version",
        "moltbot --version\nenv",
    ];
    for command in forbidden {
        let query = url::form_urlencoded::byte_serialize(command.as_bytes()).collect::<String>();
        let said = ask(&gateway, "GET", &format!("/debug/cli?cmd={query}"), &[]).await;
        assert_eq!(said.status, 400, "{command}");
        assert!(said.json()["commands"].as_array().unwrap().len() > 5);
    }
}

#[tokio::test]
async fn environment_and_configuration_say_what_is_set_and_nothing_of_it() {
    let home = Home::new()
        .with("DEBUG_ROUTES", "true")
        .with("E2E_TEST_MODE", "true")
        .with("OPENAI_API_KEY", "canary-openai")
        .with("TELEGRAM_DM_POLICY", "open");
    let gateway = home.start();
    let env = look(&gateway, "env").await;
    let names = [
        "has_anthropic_key",
        "has_openai_key",
        "has_gateway_token",
        "has_r2_access_key",
        "has_r2_secret_key",
        "has_cf_account_id",
        "has_cf_access_aud",
        "dev_mode",
        "debug_routes",
    ];
    for name in names {
        let expected = ["has_openai_key", "debug_routes"].contains(&name);
        assert_eq!(env[name], expected, "{name}");
    }
    assert_eq!(env["bind_mode"], "loopback");
    assert_eq!(env["cf_access_team_domain"], Value::Null);

    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    let base = client.request("config.get", json!({})).await.unwrap()["hash"].clone();
    let raw = json!({ "assistant": { "name": "Ada" } }).to_string();
    let patch = json!({ "baseHash": base, "raw": raw });
    client.request("config.patch", patch).await.unwrap();
    let shown = look(&gateway, "container-config").await;
    assert_eq!(shown["status"], "running");
    let config = &shown["config"];
    assert_eq!(config["recorded"]["assistant"]["name"], "Ada");
    assert_eq!(config["gateway"]["port"], gateway.port());
    assert_eq!(config["environment"]["OPENAI_API_KEY"], "set");
    assert_eq!(config["environment"]["TELEGRAM_DM_POLICY"], "set");
    assert_eq!(config["environment"]["ANTHROPIC_API_KEY"], "unset");
}

#[tokio::test]
async fn the_test_page_loads_its_script_and_nothing_else() {
    let (_home, gateway) = open();
    let page = gateway.http("GET", "/debug/ws-test", &[], "").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'self'")
    );
    let text = ask(&gateway, "GET", "/debug/ws-test", &[]).await.text;
    for words in [
        "Connect",
        "Disconnect",
        "Clear",
        "Send Connect Frame",
        "/debug/ws-test.js",
    ] {
        assert!(text.contains(words), "{words}");
    }
    let script = gateway.http("GET", "/debug/ws-test.js", &[], "").await;
    assert_eq!(
        (script.status, script.header("content-type")),
        (200, "text/javascript; charset=utf-8")
    );
}

/// Variables whose values must be found nowhere. The token of a bot has the form of one.
const SECRETS: [(&str, &str); 15] = [
    ("MOLTBOT_GATEWAY_TOKEN", "CanaryGatewayToken0123456789"),
    ("MOLTBOT_MASTER_KEY", "CanaryMasterKey"),
    ("ANTHROPIC_API_KEY", "sk-ant-CanaryAnthropic"),
    ("OPENAI_API_KEY", "sk-CanaryOpenAi"),
    ("CLOUDFLARE_AI_GATEWAY_API_KEY", "CanaryAiGateway"),
    ("R2_ACCESS_KEY_ID", "CanaryR2Access"),
    ("R2_SECRET_ACCESS_KEY", "CanaryR2Secret"),
    ("AWS_ACCESS_KEY_ID", "CanaryAwsAccess"),
    ("AWS_SECRET_ACCESS_KEY", "CanaryAwsSecret"),
    (
        "TELEGRAM_BOT_TOKEN",
        "123456789:CanaryTelegram-aaaaaaaaaaaaaaaaaaaa",
    ),
    (
        "DISCORD_BOT_TOKEN",
        "CanaryDiscord.aaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
    ("SLACK_BOT_TOKEN", "xoxb-CanarySlackBot"),
    ("SLACK_APP_TOKEN", "xapp-CanarySlackApp"),
    ("SLACK_SIGNING_SECRET", "CanarySlackSigning"),
    ("CDP_SECRET", "CanaryCdpSecret"),
];

#[tokio::test]
async fn no_secret_is_in_any_answer() {
    let mut home = Home::new()
        .with("DEBUG_ROUTES", "true")
        .with("E2E_TEST_MODE", "true")
        .with("MOLTBOT_LOG", "trace,hyper=debug")
        .with("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
        .with("TELEGRAM_API_URL", "http://127.0.0.1:9")
        .with("DISCORD_API_URL", "http://127.0.0.1:9")
        .with("SLACK_API_URL", "http://127.0.0.1:9");
    for (name, value) in SECRETS {
        home = home.with(name, value);
    }
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    // Somebody sets one where it does not belong.
    let base = client.request("config.get", json!({})).await.unwrap()["hash"].clone();
    let raw = json!({ "assistant": { "instructions": format!("use {}", SECRETS[14].1) } });
    let patch = json!({ "baseHash": base, "raw": raw.to_string() });
    client.request("config.patch", patch).await.unwrap();
    let ticket = ask(&gateway, "POST", "/api/admin/ws-ticket", &[])
        .await
        .json();
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {}", gateway.token());
    let jwt_canary = "CanaryHeader.CanaryClaims.CanarySignature";
    let headers = [("authorization", bearer.as_str()), jwt(jwt_canary)];
    let paths = [
        "access",
        "version",
        "processes?logs=true",
        "logs?lines=1000",
        "env",
        "container-config",
        "ws-test",
        "ws-test.js",
        "gateway-api?path=/",
        "gateway-api?path=/status",
        "gateway-api?path=/api/admin/devices",
        "gateway-api?path=/api/admin/storage",
        "gateway-api?path=CanaryCdpSecret",
        "cli?cmd=moltbot+--help",
        "cli?cmd=moltbot+devices+list",
        "cli?cmd=moltbot+log+stats",
        "cli?cmd=CanaryCdpSecret",
        "logs?id=CanaryCdpSecret",
        "x?token=CanaryCdpSecret",
    ];
    let device_token = device.token.clone().unwrap();
    for path in paths {
        let said = ask(&gateway, "GET", &format!("/debug/{path}"), &headers).await;
        assert!(!said.text.contains("Canary"), "{path}: {}", said.text);
        for secret in [&ticket, &device_token] {
            assert!(!said.text.contains(secret.as_str()), "{path}");
        }
    }
    let shown = look(&gateway, "container-config").await;
    let instructions = &shown["config"]["recorded"]["assistant"]["instructions"];
    assert_eq!(instructions, "use [redacted]");
}
