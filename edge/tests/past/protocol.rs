//! `log.*` over the protocol, beside a conversation.

use super::run;
use super::story::play;
use super::support::Home;
use super::support::client::{ALL, CHAT};
use serde_json::{Value, json};

#[tokio::test]
async fn an_administrator_sees_and_compares_any_moment() {
    let home = Home::new();
    let (gateway, story) = play(&home).await;
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    let now = client.request("log.state", json!({})).await.unwrap();
    let head = now["seq"].as_u64().unwrap();
    assert_eq!(
        story.head,
        format!("#{head} {}", now["hash"].as_str().unwrap())
    );
    assert_eq!(now["state"]["config"]["values"]["assistant.name"], "Ada");
    assert_eq!(now["omitted"], json!([]));
    assert!(
        now.to_string().contains("Device 1"),
        "content is opened for an administrator"
    );
    let part = json!({ "at": head, "path": ["config", "values"], "after": "assistant.name" });
    let part = client.request("log.state", part).await.unwrap();
    assert_eq!(part["state"], json!({ "run.timeout_s": 120 }));
    let first = client
        .request("log.state", json!({ "at": 1 }))
        .await
        .unwrap();
    assert_eq!(
        (&first["seq"], &first["state"]["sessions"]),
        (&json!(1), &json!({}))
    );

    // The command line says the same of the same moment.
    gateway.shipped().await;
    let said: Value = serde_json::from_str(&run(&home, &["log", "state", "--at", "9"])).unwrap();
    let shown = client
        .request("log.state", json!({ "at": "#9" }))
        .await
        .unwrap();
    assert_eq!(said["hash"], shown["hash"]);
    assert_eq!(
        said["state"]["devices"]["paired"]
            .as_object()
            .unwrap()
            .len(),
        shown["state"]["devices"]["paired"]
            .as_object()
            .unwrap()
            .len()
    );

    let diff = client
        .request("log.diff", json!({ "from": 1 }))
        .await
        .unwrap();
    assert_eq!(diff["records"]["count"], head - 1);
    assert_eq!(diff["changesLeftOut"], 0);
    let changes = diff["changes"].as_array().unwrap();
    let name = json!(["config", "values", "assistant.name"]);
    let named = changes
        .iter()
        .find(|change| change["path"] == name)
        .unwrap();
    assert_eq!(
        (&named["change"], &named["after"]),
        (&json!("added"), &json!("Ada"))
    );

    for (params, words) in [
        (json!({ "at": head + 1_000 }), "the log ends with #"),
        (
            json!({ "at": "2020-01-01T00:00:00Z" }),
            "the log begins after",
        ),
        (json!({ "at": "soon" }), "is no moment"),
        (json!({ "at": [] }), "must be integer or string"),
        (
            json!({ "path": ["no", "such"] }),
            "the state has no `no / such`",
        ),
    ] {
        let error = client.request("log.state", params).await.unwrap_err();
        assert_eq!(error["code"], "INVALID_REQUEST");
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{error}"
        );
    }
}

#[tokio::test]
async fn records_come_in_pages_and_only_what_a_device_may_see() {
    let home = Home::new();
    let (gateway, story) = play(&home).await;
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    let mut rows = Vec::new();
    let mut from = json!(1);
    while !from.is_null() {
        let page = json!({ "from": from, "limit": 7 });
        let page = client.request("log.records", page).await.unwrap();
        let records = page["records"].as_array().unwrap().clone();
        assert!(records.len() <= 7);
        rows.extend(records);
        from = page["next"].clone();
    }
    let seqs: Vec<u64> = rows
        .iter()
        .map(|row| row["seq"].as_u64().unwrap())
        .collect();
    let head = *seqs.last().unwrap();
    assert_eq!(seqs, (1..=head).collect::<Vec<_>>());
    assert!(story.head.starts_with(&format!("#{head} ")));
    let said = json!({ "kinds": ["message_received"], "actor": format!("device:{}", story.operator.id()) });
    let said = client.request("log.records", said).await.unwrap();
    let said = said["records"].as_array().unwrap();
    assert!(!said.is_empty() && said.iter().all(|row| row["kind"] == "message_received"));
    assert!(
        said[0]["data"]["text"]
            .as_str()
            .unwrap()
            .contains("first words")
    );
    let beyond = client
        .request("log.records", json!({ "from": head + 5 }))
        .await
        .unwrap();
    assert_eq!(
        (&beyond["records"], &beyond["next"]),
        (&json!([]), &Value::Null)
    );

    let mut chat = story.operator.connect(&gateway, &CHAT).await.unwrap();
    let page = chat.request("log.records", json!({})).await.unwrap();
    let config = page["records"].as_array().unwrap().iter();
    let config: Vec<&Value> = config
        .filter(|row| row["kind"] == "config_changed")
        .collect();
    assert!(!config.is_empty() && config.iter().all(|row| row["data"] == json!({})));
    for method in ["log.state", "log.diff", "log.verify"] {
        let error = chat
            .request(method, json!({ "from": 1 }))
            .await
            .unwrap_err();
        assert_eq!(
            error["details"]["missingScope"], "operator.admin",
            "{method}: {error}"
        );
    }
}

#[tokio::test]
async fn the_log_is_verified_on_request_and_damage_is_an_answer() {
    let home = Home::new();
    let (gateway, story) = play(&home).await;
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    let head = gateway.shipped().await;
    for source in ["remote", "local"] {
        let asked = json!({ "source": source });
        let whole = client.request("log.verify", asked).await.unwrap();
        assert_eq!(
            (&whole["ok"], &whole["source"]),
            (&json!(true), &json!(source))
        );
        assert_eq!(
            (&whole["records"], &whole["head"]["seq"]),
            (&json!(head), &json!(head))
        );
        let told = client.event("log.verify.progress").await;
        assert!(told["done"].as_u64().unwrap() <= told["total"].as_u64().unwrap());
    }
    let folder = home.replica().join("log");
    let mut segments: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|s| s.unwrap().path())
        .collect();
    segments.sort();
    let mut bytes = std::fs::read(&segments[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segments[1], bytes).unwrap();
    let damaged = client.request("log.verify", json!({})).await.unwrap();
    assert_eq!(damaged["ok"], false);
    let name = segments[1].file_name().unwrap().to_str().unwrap();
    assert!(
        damaged["message"].as_str().unwrap().contains(name),
        "{damaged}"
    );
}

#[tokio::test]
async fn moments_before_what_is_on_this_machine_are_read_from_the_replica() {
    let home = Home::new();
    let (mut gateway, story) = play(&home).await;
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    client.request("storage.backup", json!({})).await.unwrap();
    gateway.shipped().await;
    gateway.kill();
    home.wipe();
    let gateway = home.start();
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    let first = client
        .request("log.state", json!({ "at": 1 }))
        .await
        .unwrap();
    assert_eq!(
        (&first["seq"], &first["state"]["sessions"]),
        (&json!(1), &json!({}))
    );
    let diff = json!({ "from": 2, "to": 5 });
    let diff = client.request("log.diff", diff).await.unwrap();
    assert_eq!(diff["records"]["count"], 3);
    let page = json!({ "from": 1, "limit": 5 });
    let page = client.request("log.records", page).await.unwrap();
    let seqs: Vec<&Value> = page["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["seq"])
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    for source in ["local", "remote"] {
        let whole = client
            .request("log.verify", json!({ "source": source }))
            .await
            .unwrap();
        assert_eq!(whole["ok"], true, "{whole}");
    }
}
