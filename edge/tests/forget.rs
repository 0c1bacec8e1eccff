//! Forgetting on the real binary: what was forgotten is nowhere any more, whatever is opened, read,
//! restored or killed.

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

#[path = "forget/people.rs"]
mod people;
#[path = "forget/places.rs"]
mod places;
#[path = "forget/rotation.rs"]
mod rotation;

use moltbot_core::chain::Hash;
use moltbot_core::ids::KeyId;
use places::{holding, keys, keys_of, of_kind, readable, shown, told};
use s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY};
use serde_json::{Value, json};
use support::client::{ALL, CHAT, Client, Device, text};
use support::{Gateway, Home};

/// What is said in the conversation that is forgotten, and in the one that stays.
const CANARY: &str = "canary-4f1c9a";
const KEPT: &str = "kept-77b0e2";

/// Runs a command against a gateway that runs in this home.
fn run(home: &Home, gateway: &Gateway, arguments: &[&str]) -> (i32, String, String) {
    let port = gateway.port().to_string();
    home.run(&[arguments, &["--port", &port]].concat())
}

/// The first device, with all rights.
async fn enter(gateway: &Gateway) -> (Device, Client) {
    let mut device = Device::new(1);
    device.redeem(gateway).await;
    let client = device.connect(gateway, &ALL).await.unwrap();
    (device, client)
}

/// Says something in two conversations, and takes a snapshot.
async fn talk(client: &mut Client, gateway: &Gateway) {
    for (key, words, run) in [
        ("main", CANARY, "r1"),
        ("work", KEPT, "r2"),
        ("main", CANARY, "r3"),
    ] {
        let end = client.chat(key, &format!("echo {words}"), run).await;
        assert_eq!(end["state"], "final");
    }
    gateway.shipped().await;
    client.request("storage.backup", json!({})).await.unwrap();
}

/// A home whose remote log is on this server.
fn home_on(server: &S3Server) -> Home {
    Home::new()
        .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/p"))
        .with("AWS_ENDPOINT_URL_S3", &server.url())
        .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
}

/// Whether a line of a transcript says that it was forgotten.
fn is_forgotten(message: &Value) -> bool {
    let mark = &message["__openclaw"]["forgotten"];
    mark["at"].is_i64() && text(message).starts_with("[forgotten on 20")
}

#[tokio::test]
async fn a_forgotten_conversation_is_nowhere_any_more_and_the_others_are() {
    let home = Home::new().with("DEBUG_ROUTES", "true");
    let mut gateway = home.start();
    let (device, mut client) = enter(&gateway).await;
    talk(&mut client, &gateway).await;
    let sessions = client.request("sessions.list", json!({})).await.unwrap();
    let mut sessions = sessions["sessions"].as_array().unwrap().iter();
    let main = sessions
        .find(|row| row["key"] == "agent:main:main")
        .unwrap();
    let scope = format!("session/{}|", main["sessionId"].as_str().unwrap());
    let gone = keys_of(&home, &scope);
    assert_eq!(gone.len(), 2, "the device and the assistant");
    let before = keys(&home.replica());
    let (texts, closed) = readable(&home.replica()).await;
    assert!(texts.iter().any(|text| text.contains(CANARY)) && closed == 0);

    let (code, out, _) = run(
        &home,
        &gateway,
        &["forget", "--session", "main", "--dry-run"],
    );
    assert_eq!(code, 0);
    assert!(
        out.contains("agent:main:main: 2 messages and 2 answers (20"),
        "{out}"
    );
    let (code, out, error) = run(&home, &gateway, &["forget", "--session", "main"]);
    assert_eq!((code, error.contains("--yes")), (2, true), "{out}{error}");
    assert!(of_kind(&home, "content_forgotten").is_empty());
    let (code, out, error) = run(&home, &gateway, &["forget", "--session", "main", "--yes"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("Forgotten: 4 texts"), "{out}");
    assert!(
        out.contains("2 data keys are deleted here and in the replica"),
        "{out}"
    );

    let check = async |gateway: &Gateway, client: &mut Client| {
        let all = told(client, &["main", "work"]).await;
        assert!(!all.contains(CANARY) && all.contains(KEPT));
        assert!(!shown(gateway).await.contains(CANARY));
        let history = client.history("main").await;
        assert!(
            history.len() >= 4 && history[..4].iter().all(is_forgotten),
            "{history:?}"
        );
        assert_eq!(history[0]["__openclaw"]["forgotten"]["by"], "local");
    };
    check(&gateway, &mut client).await;
    // A connection that only reads learns of it too.
    let mut reader = device.connect(&gateway, &CHAT).await.unwrap();
    check_reader(&mut reader).await;

    // What is said from now on is said anew.
    client.chat("main", &format!("echo {KEPT}"), "r4").await;
    let history = client.history("main").await;
    assert_eq!(text(history.last().unwrap()), KEPT);
    gateway.shipped().await;
    assert_eq!(keys_of(&home, &scope).len(), 4);
    let all = keys(&home.replica());
    for key in &before {
        let is_gone = gone.contains(&key.id);
        assert_eq!(all.iter().any(|k| k.id == key.id), !is_gone, "{}", key.id);
        for needle in [key.secret(), &key.bytes] {
            let found = holding(home.path(), needle);
            assert_eq!(found.is_empty(), is_gone, "{}: {found:?}", key.id);
        }
    }
    let (texts, closed) = readable(&home.replica()).await;
    assert!(!texts.iter().any(|text| text.contains(CANARY)));
    assert!(texts.iter().any(|text| text.contains(KEPT)) && closed == 4);
    assert!(
        !places::export(&home)
            .iter()
            .any(|line| line.to_string().contains(CANARY))
    );
    assert!(holding(home.path(), CANARY.as_bytes()).is_empty());
    // Nor can anybody try on the log whether he guesses right.
    let guess = Hash::of(format!("agent:main:main\necho {CANARY}").as_bytes());
    assert!(holding(home.path(), &guess.0[..16]).is_empty());
    let guess = json!(guess.0[..16]);
    let recorded = of_kind(&home, "command_recorded");
    assert!(recorded.len() > 3 && recorded.iter().all(|line| line["data"]["payload"] != guess));
    elsewhere(&home, &gone);
    let (code, _, error) = home.run(&["log", "verify"]);
    assert_eq!(code, 0, "the chain is whole: {error}");

    // A machine that has nothing needs none of the keys.
    gateway.terminate();
    gateway.wait();
    let url = url::Url::from_directory_path(home.replica()).unwrap();
    let other = Home::new()
        .with("DEBUG_ROUTES", "true")
        .with("MOLTBOT_REPLICA_URL", url.as_str())
        .with("MOLTBOT_GATEWAY_TOKEN", &home.token());
    let gateway = other.start_with(&["--takeover"]);
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    check(&gateway, &mut client).await;
    for key in before.iter().filter(|key| gone.contains(&key.id)) {
        assert!(holding(other.path(), key.secret()).is_empty());
    }
}

/// Keys that are exported, and forks of the log, hold nothing of it, and gateways would start on them.
fn elsewhere(home: &Home, gone: &[KeyId]) {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let url = |name: &str| format!("file://{}", path(name));
    let (log, keys) = (path("log.jsonl"), path("keys.jsonl"));
    let export = ["log", "export", "--open", "--output", &log, "--keys", &keys];
    let import = [
        "log",
        "import",
        &log,
        "--keys",
        &keys,
        "--to",
        &url("imported"),
    ];
    let fork = ["restore", "--at", "now", "--to", &url("fork")];
    for command in [&export[..], &import, &fork] {
        let (code, out, error) = home.run(command);
        assert_eq!(code, 0, "{command:?}: {out}{error}");
    }
    assert!(!holding(place.path(), KEPT.as_bytes()).is_empty());
    assert!(holding(place.path(), CANARY.as_bytes()).is_empty());
    for id in gone {
        let kept = holding(&place.path().join("fork/keys"), id.0.as_bytes());
        assert!(kept.is_empty());
        assert!(!std::fs::read_to_string(&keys).unwrap().contains(&id.0));
        for copy in ["imported", "fork"] {
            assert!(!place.path().join(copy).join("keys").join(&id.0).exists());
        }
    }
}

async fn check_reader(reader: &mut Client) {
    let all = json!({ "sessionKey": "main" });
    let history = reader.request("chat.history", all).await.unwrap();
    assert!(!history.to_string().contains(CANARY));
    let error = reader.request("content.forget", json!({ "sessionKey": "main" }));
    assert_eq!(
        error.await.unwrap_err()["details"]["missingScope"],
        "operator.admin"
    );
}

#[tokio::test]
async fn what_a_device_wrote_is_forgotten_in_every_conversation_and_it_stays_in() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut client) = enter(&gateway).await;
    let mut other = Device::new(2);
    other.redeem(&gateway).await;
    let mut others = other.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", &format!("echo {CANARY}"), "r1").await;
    others.chat("main", &format!("echo {KEPT}"), "r2").await;
    let id = Device::new(1).id();
    let params = json!({ "deviceId": id, "dryRun": true });
    let plan = others.request("content.forget", params).await.unwrap();
    assert_eq!(
        (&plan["messages"], &plan["answers"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(plan["names"], 1);
    let told = others
        .request("content.forget", json!({ "deviceId": id }))
        .await
        .unwrap();
    assert_eq!(
        (&told["texts"], &told["deleted"]),
        (&json!(2), &json!(true)),
        "{told}"
    );

    // The other page hears of it at once, and sees it when it asks.
    let history = others.history("main").await;
    let forgotten: Vec<bool> = history.iter().map(is_forgotten).collect();
    assert_eq!(forgotten, [true, false, false, false]);
    let by = &history[0]["__openclaw"]["forgotten"];
    assert_eq!(by["byName"], "Device 2", "{by}");
    let list = others.request("device.pair.list", json!({})).await.unwrap();
    let rows = list["paired"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["deviceId"] == id.as_str())
        .unwrap();
    assert_eq!(
        (&row["nameForgotten"], &row["displayName"]),
        (&json!(true), &json!(""))
    );
    let (_, out, _) = run(&home, &gateway, &["devices", "list"]);
    assert!(
        out.contains("(name forgotten)") && out.contains("Device 2"),
        "{out}"
    );

    // A second time there is nothing left, and nothing is recorded.
    let before = of_kind(&home, "content_forgotten").len();
    let again = others
        .request("content.forget", json!({ "deviceId": id }))
        .await
        .unwrap();
    assert_eq!((&again["texts"], &again["keys"]), (&json!(0), &json!(0)));
    assert_eq!(of_kind(&home, "content_forgotten").len(), before);
    // The device is not locked out, and the assistant sees what is left.
    client.chat("main", "echo again", "r3").await;
    assert_eq!(text(client.history("main").await.last().unwrap()), "again");
}

#[tokio::test]
async fn nonsense_is_refused_in_words() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut client) = enter(&gateway).await;
    for (params, words) in [
        (json!({}), "one of the properties"),
        (
            json!({ "peerId": "p", "deviceId": "d" }),
            "one of the properties",
        ),
        (json!({ "sessionKey": "nothing" }), "no such conversation"),
        (
            json!({ "peerId": "telegram:9" }),
            "nobody of this id has written",
        ),
        (json!({ "deviceId": "d" }), "unknown deviceId"),
    ] {
        let error = client.request("content.forget", params).await.unwrap_err();
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{error}"
        );
    }
    for (arguments, code, words) in [
        (&["forget"][..], 2, "--session"),
        (
            &["forget", "--peer", "a", "--device", "b"],
            2,
            "cannot be used",
        ),
        (
            &["forget", "--session", "nothing", "--yes"],
            3,
            "no such conversation",
        ),
    ] {
        let (ended, _, error) = run(&home, &gateway, arguments);
        assert_eq!(ended, code, "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

#[tokio::test]
async fn an_answer_under_way_is_stopped_is_not_recorded_and_is_not_tried_for_ever() {
    let home = Home::new();
    let mut gateway = home.start();
    let (device, mut client) = enter(&gateway).await;
    let essay = json!({ "sessionKey": "main", "message": "essay", "idempotencyKey": "e1" });
    client.request("chat.send", essay).await.unwrap();
    let is_begun = |p: &Value| p["runId"] == "e1" && p["state"] == "delta";
    client.event_where("chat", is_begun).await;
    let told = client.request("content.forget", json!({ "sessionKey": "main" }));
    assert_eq!(told.await.unwrap()["deleted"], true);
    let end = client.chat_end("e1").await;
    assert_eq!(end["state"], "aborted", "{end}");
    let failed = of_kind(&home, "run_failed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["data"]["code"], "forgotten");
    assert!(of_kind(&home, "run_completed").is_empty());

    // Whoever tries it again is told so, once.
    let retry = json!({ "sessionKey": "main", "runId": "e1", "idempotencyKey": "e2" });
    let retried = client.request("chat.retry", retry).await;
    assert!(retried.is_ok(), "{retried:?}");
    gateway.shipped().await;
    while of_kind(&home, "run_failed").len() < 2 {
        gateway.shipped().await;
    }
    gateway.kill();
    gateway = home.start();
    client = device.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", "echo next", "r3").await;
    gateway.shipped().await;
    let failed = of_kind(&home, "run_failed");
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[1]["data"]["code"], "forgotten");
}

#[tokio::test]
async fn a_process_killed_before_the_keys_were_deleted_leaves_that_to_the_next() {
    let mut server = S3Server::new();
    server.start();
    let home = home_on(&server);
    let remote = server.path().join(BUCKET).join("p");
    let mut gateway = home.start();
    let (device, mut client) = enter(&gateway).await;
    talk(&mut client, &gateway).await;
    let before = keys(&remote);
    server.change(Some(Fault::NoDelete));
    let told = client.request("content.forget", json!({ "sessionKey": "main" }));
    let told = told.await.unwrap();
    assert_eq!(told["replication"], "replicated", "{told}");
    assert_eq!(told["deleted"], false, "{told}");
    gateway.wait_for_log("are not deleted yet");
    assert_eq!(keys(&remote).len(), before.len());
    assert!(client.history("main").await.iter().all(is_forgotten));
    assert!(of_kind(&home, "data_keys_deleted").is_empty());
    gateway.kill();

    server.change(None);
    gateway = home.start();
    client = device.connect(&gateway, &ALL).await.unwrap();
    while of_kind(&home, "data_keys_deleted").is_empty() {
        gateway.shipped().await;
    }
    let after = keys(&remote);
    assert_eq!(after.len() + 2, before.len());
    let is_gone = |key: &&places::Stored| !after.iter().any(|kept| kept.id == key.id);
    for key in before.iter().filter(is_gone) {
        assert!(holding(home.path(), key.secret()).is_empty());
        assert!(holding(server.path(), key.secret()).is_empty());
    }
    assert!(client.history("main").await.iter().all(is_forgotten));
    gateway.terminate();
    gateway.wait();

    // One that comes back is deleted again, and opens nothing meanwhile.
    let gone = before.iter().find(is_gone).unwrap();
    std::fs::write(remote.join("keys").join(&gone.id.0), &gone.bytes).unwrap();
    let gateway = home.start();
    gateway.wait_for_log("there again; deleted");
    assert_eq!(keys(&remote).len(), after.len());
    assert!(holding(home.path(), gone.secret()).is_empty());
    client = device.connect(&gateway, &ALL).await.unwrap();
    assert!(client.history("main").await.iter().all(is_forgotten));
    assert_eq!(of_kind(&home, "data_keys_deleted").len(), 1);
}

#[tokio::test]
async fn nothing_is_deleted_while_the_remote_log_does_not_know_why() {
    let mut server = S3Server::new();
    server.start();
    let home = home_on(&server);
    let mut gateway = home.start();
    let (_, mut client) = enter(&gateway).await;
    talk(&mut client, &gateway).await;
    let remote = server.path().join(BUCKET).join("p");
    let before = keys(&remote);
    server.stop();
    let told = client.request("content.forget", json!({ "sessionKey": "main" }));
    let told = told.await.unwrap();
    assert_eq!(told["replication"], "pending_replication", "{told}");
    assert_eq!(told["deleted"], false);
    assert!(
        client.history("main").await.iter().all(is_forgotten),
        "in effect at once"
    );
    let secrets = before.iter().map(places::Stored::secret);
    for secret in secrets {
        assert!(
            !holding(&home.data(), secret).is_empty(),
            "still on this disk"
        );
    }
    // The machine is lost, and with it the record: then nothing was forgotten.
    gateway.kill();
    home.wipe();
    server.start();
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    client = device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(text(&client.history("main").await[1]), CANARY);
    assert_eq!(keys(&remote).len(), before.len());
}
