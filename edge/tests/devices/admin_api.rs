//! `/api/admin/devices`, in the shapes that scripts know.

use super::support::Home;
use super::support::client::{CHAT, Device};
use super::{ask, enter, operator};
use serde_json::{Value, json};

/// The list when nobody was let in and nobody waits; the people on channels stand beside the devices.
fn nobody() -> Value {
    let peers = json!({ "pending": [], "approved": [], "blocked": [], "hasMore": false });
    json!({ "pending": [], "paired": [], "peers": peers })
}

/// The list without how far the replica is.
fn rows(mut list: Value) -> Value {
    list.as_object_mut().unwrap().remove("shippedSeq");
    list["peers"].as_object_mut().unwrap().remove("shippedSeq");
    list
}

#[tokio::test]
async fn the_admin_api_lists_approves_rejects_and_revokes() {
    let home = Home::new();
    let gateway = home.start();
    let empty = gateway.admin("GET", "devices").await;
    assert!(empty.body["shippedSeq"].is_u64(), "{}", empty.body);
    assert_eq!((empty.status, rows(empty.body)), (200, nobody()));
    let asked = ask(&gateway, &Device::new(2), &CHAT).await;
    let list = gateway.admin("GET", "devices").await.body;
    let row = &list["pending"][0];
    let names = [
        "requestId",
        "deviceId",
        "displayName",
        "platform",
        "clientId",
        "clientMode",
        "role",
        "roles",
        "scopes",
        "remoteIp",
        "ts",
    ];
    for name in names {
        assert!(!row[name].is_null(), "{name} is missing in {row}");
    }
    let request = asked["requestId"].as_str().unwrap();
    let answer = gateway
        .admin("POST", &format!("devices/{request}/approve"))
        .await;
    let expected = json!({
        "success": true,
        "requestId": request,
        "message": "Device approved",
        "replication": "replicated",
        "seq": answer.body["seq"],
        "shippedSeq": answer.body["shippedSeq"],
    });
    assert_eq!((answer.status, &answer.body), (200, &expected));
    let (seq, shipped) = (&answer.body["seq"], &answer.body["shippedSeq"]);
    assert!(
        seq.as_u64() <= shipped.as_u64() && seq.is_u64(),
        "{expected}"
    );
    let client = enter(&gateway, &Device::new(2), &CHAT).await;
    let list = gateway.admin("GET", "devices").await.body;
    let row = &list["paired"][0];
    let names = [
        "deviceId",
        "displayName",
        "platform",
        "clientId",
        "clientMode",
        "role",
        "roles",
        "scopes",
        "createdAtMs",
        "approvedAtMs",
        "approvedBy",
        "seq",
    ];
    for name in names {
        assert!(!row[name].is_null(), "{name} is missing in {row}");
    }
    assert_eq!(
        (&row["connected"], &row["approvedBy"]),
        (&json!(true), &json!("local"))
    );
    assert!(
        !list
            .to_string()
            .contains(client.hello["auth"]["deviceToken"].as_str().unwrap())
    );

    let asked = ask(&gateway, &Device::new(3), &CHAT).await;
    let path = format!("devices/{}/reject", asked["requestId"].as_str().unwrap());
    let answer = gateway.admin("POST", &path).await;
    assert_eq!(
        (answer.status, &answer.body["success"]),
        (200, &json!(true))
    );
    assert_eq!(answer.body["message"], "Device rejected");
    assert_eq!(answer.body["replication"], "replicated");
    let again = gateway.admin("POST", &path).await;
    assert_eq!((again.status, &again.body["success"]), (404, &json!(false)));
    assert_eq!(again.body["error"], "unknown requestId");

    let path = format!("devices/{}/revoke", Device::new(2).id());
    let answer = gateway.admin("POST", &path).await;
    assert_eq!(
        (answer.status, &answer.body["message"]),
        (200, &json!("Device revoked"))
    );
    assert_eq!(answer.body["replication"], "replicated");
    assert_eq!(gateway.admin("POST", &path).await.status, 404);
    let list = gateway.admin("GET", "devices").await.body;
    assert_eq!(rows(list), nobody());
    assert_eq!(gateway.admin("GET", "no-such").await.status, 404);
    assert_eq!(
        gateway.admin("GET", "devices/x/approve").await.status,
        404,
        "a GET changes nothing"
    );
}

#[tokio::test]
async fn approve_all_lets_everyone_in_who_waits() {
    let home = Home::new();
    let gateway = home.start();
    let nobody = gateway.admin("POST", "devices/approve-all").await;
    let expected = json!({ "approved": [], "message": "No pending devices to approve" });
    assert_eq!((nobody.status, nobody.body), (200, expected));
    let mut requests = Vec::new();
    for number in [2, 3, 4] {
        requests.push(ask(&gateway, &Device::new(number), &CHAT).await["requestId"].clone());
    }
    let answer = gateway.admin("POST", "devices/approve-all").await;
    let mut approved = answer.body["approved"].as_array().unwrap().clone();
    approved.sort_by_key(Value::to_string);
    requests.sort_by_key(Value::to_string);
    assert_eq!(approved, requests);
    assert_eq!(answer.body["failed"], json!([]));
    assert_eq!(answer.body["message"], "Approved 3 of 3 device(s)");
    for number in [2, 3, 4] {
        enter(&gateway, &Device::new(number), &CHAT).await;
    }
}

/// The status expected, the path, and the headers sent.
type Case<'a> = (u16, &'a str, Vec<(&'a str, &'a str)>);

#[tokio::test]
async fn the_admin_api_is_for_a_command_line_on_this_machine_with_the_token() {
    let home = Home::new();
    let gateway = home.start();
    let (device, _) = operator(&gateway).await;
    let (right, own) = (
        bearer(&gateway.token()),
        format!("http://127.0.0.1:{}", gateway.port()),
    );
    let of_device = bearer(device.token.as_deref().unwrap());
    let cookie = format!("moltbot_token={}", gateway.token());
    let query = format!("/api/admin/devices?token={}", gateway.token());
    let table: [Case<'_>; 11] = [
        (401, "/api/admin/devices", vec![]),
        (
            401,
            "/api/admin/devices",
            vec![("authorization", "Bearer wrong")],
        ),
        (
            401,
            "/api/admin/devices",
            vec![("authorization", "Bearer ")],
        ),
        (
            401,
            "/api/admin/devices",
            vec![("authorization", &of_device)],
        ),
        (401, "/api/admin/devices", vec![("cookie", &cookie)]),
        (401, &query, vec![]),
        (
            403,
            "/api/admin/devices",
            vec![("authorization", &right), ("origin", &own)],
        ),
        (
            403,
            "/api/admin/devices",
            vec![("authorization", &right), ("origin", "null")],
        ),
        (
            403,
            "/api/admin/devices",
            vec![("authorization", &right), ("x-forwarded-for", "::1")],
        ),
        (
            403,
            "/api/admin/devices",
            vec![("authorization", &right), ("host", "evil.example")],
        ),
        (200, "/api/admin/devices", vec![("authorization", &right)]),
    ];
    for (status, path, headers) in table {
        let answer = gateway.http("GET", path, &headers, "").await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert_eq!(answer.body["paired"].is_array(), status == 200);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let answer = gateway
        .http(
            "POST",
            "/api/admin/grants",
            &[("authorization", &right), ("origin", &own)],
            "",
        )
        .await;
    assert_eq!(answer.status, 403, "no page makes links");
}

#[tokio::test]
async fn on_an_address_that_others_can_reach_the_token_alone_administers_nothing() {
    let home = Home::new().with("MOLTBOT_GATEWAY_TOKEN", "some-token");
    let gateway = home.start_with(&["--bind", "0.0.0.0"]);
    assert_eq!(gateway.admin("GET", "devices").await.status, 403);
    assert_eq!(gateway.admin("POST", "grants").await.status, 403);
    ask_from_here(&gateway).await;
}

/// Even from this machine a device has to wait then.
async fn ask_from_here(gateway: &super::Gateway) {
    let device = Device::new(2);
    let token = gateway.token();
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
    let error = super::refused(gateway, &[], say).await;
    assert_eq!(error["message"], "pairing required");
    let say = |_: &Value| super::support::connect::command_line(&CHAT, Some(&token));
    let error = super::refused(gateway, &[], say).await;
    assert_eq!(error["message"], "device identity required");
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
