//! What a follower does not do, and how it says so.

use super::support::client::{ALL, Client, Device};
use super::support::connect::{command_line, let_in};
use super::{Shared, reaches};
use serde_json::{Value, json};

const CODE: &str = "read_only_follower";

#[tokio::test]
async fn whatever_would_be_recorded_is_refused_with_the_name_of_the_writer() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (writer, client) = shared.writer(&home).await;
    let follower = other.follow();
    let mut reader = shared.device.connect(&follower, &ALL).await.unwrap();
    let instance = std::fs::read_to_string(home.path().join("instance")).unwrap();
    let instance = instance.trim();

    let reads = [
        "channels.status",
        "chat.history",
        "config.get",
        "delivery.list",
        "device.pair.list",
        "gateway.restart",
        "health",
        "peer.list",
        "sessions.list",
        "status",
        "storage.status",
        "system-presence",
        "workspace.get",
        "workspace.list",
    ];
    let mut refused = Vec::new();
    let methods = client.hello["features"]["methods"]
        .as_array()
        .unwrap()
        .clone();
    for method in methods.iter().map(|name| name.as_str().unwrap()) {
        if reads.contains(&method) || method.starts_with("log.") {
            continue;
        }
        // Whatever is said with it: nothing of it is looked at.
        let error = reader.request(method, json!({})).await.unwrap_err();
        assert_eq!(error["details"]["code"], CODE, "{method}: {error}");
        assert_eq!(error["details"]["writer"], instance, "{method}: {error}");
        assert!(
            error["message"].as_str().unwrap().contains(instance),
            "{error}"
        );
        refused.push(method.to_owned());
    }
    for method in [
        "chat.send",
        "device.revoke",
        "config.patch",
        "storage.backup",
        "peer.block",
    ] {
        assert!(refused.contains(&method.to_owned()), "{refused:?}");
    }
    for path in [
        "devices/approve-all",
        "devices/x/approve",
        "devices/x/revoke",
        "peers/x/block",
        "storage/sync",
        "grants",
        "ws-ticket",
    ] {
        let answer = follower.admin("POST", path).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (405, &json!(CODE)),
            "{path}"
        );
        assert_eq!(answer.header("allow"), "GET, HEAD", "{path}");
        assert_eq!(answer.body["writer"], instance);
    }
    assert_eq!(
        follower.admin("GET", "storage").await.body["role"],
        "follower"
    );
    let (code, _, said) = other.run(&["devices", "link", "--port", &follower.port().to_string()]);
    assert!(code == 3 && said.contains(instance), "{code} {said}");
    let seq = writer.shipped().await;
    assert_eq!(
        reaches(&follower, seq).await["headSeq"].as_u64(),
        Some(seq),
        "nothing was added"
    );
}

#[tokio::test]
async fn nobody_is_paired_with_a_follower_but_who_was_let_in_elsewhere_comes_in() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (writer, _client) = shared.writer(&home).await;
    let follower = other.follow();

    // A stranger with the right token, from this machine even: the one that a writer lets in.
    let stranger = Device::new(9);
    let mut knocking = Client::open(&follower, &[]).await;
    let challenge = knocking.event("connect.challenge").await;
    let token = follower.token();
    let params = stranger.connect_params(&challenge, &ALL, Some(&token));
    let error = knocking.request("connect", params).await.unwrap_err();
    assert_eq!(error["details"]["code"], CODE, "{error}");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("pair this device with"),
        "{error}"
    );
    // A link of the writer is no link here; none is made here either.
    let link = writer.admin("POST", "grants").await;
    let grant = link.body["url"]
        .as_str()
        .unwrap()
        .split_once("#grant=")
        .unwrap()
        .1;
    let body = json!({ "grant": grant }).to_string();
    let answer = follower.http("POST", "/pairing/grant", &[], body).await;
    assert_eq!((answer.status, &answer.body["code"]), (405, &json!(CODE)));

    // A paired device reads, as far as it was let in; the command line of this machine reads all.
    let mut guest = Device::new(2);
    guest.redeem(&writer).await;
    reaches(&follower, writer.shipped().await).await;
    let mut reader = guest.connect(&follower, &["operator.read"]).await.unwrap();
    assert_eq!(reader.history("main").await.len(), 2);
    let denied: Value = reader
        .request("device.pair.list", json!({}))
        .await
        .unwrap_err();
    assert_eq!(denied["details"]["missingScope"], "operator.pairing");
    let mut local = let_in(&follower, &[], |_| command_line(&ALL, Some(&token))).await;
    assert_eq!(local.history("main").await.len(), 2);
}
