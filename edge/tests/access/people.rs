//! Whom Access vouches for is the actor of what he does, by name in the audit and sealed in the log.

use super::provider::{LI, Team, ask, jwt, keys};
use super::support::client::{ALL, CHAT, Device, now_ms};
use super::support::connect::refused;
use super::support::{Gateway, Home};
use serde_json::{Value, json};

/// A device asks in from far away: its request's id.
async fn knock(gateway: &Gateway, device: &Device) -> String {
    let token = gateway.token();
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
    let error = refused(gateway, &[("x-forwarded-for", "192.0.2.7")], say).await;
    error["details"]["requestId"].as_str().unwrap().to_owned()
}

async fn approve(gateway: &Gateway, device: &Device, token: &str) {
    let path = format!(
        "/api/admin/devices/{}/approve",
        knock(gateway, device).await
    );
    let said = ask(gateway, "POST", &path, &[jwt(token)]).await;
    assert_eq!((said.status, &said.json()["success"]), (200, &json!(true)));
}

/// Actor and name of whoever let a device in.
async fn approver(gateway: &Gateway, device: &Device) -> (String, Value) {
    let list = gateway.admin("GET", "devices").await.body;
    let rows = list["paired"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["deviceId"] == device.id())
        .unwrap();
    (
        row["approvedBy"].as_str().unwrap().to_owned(),
        row["approvedByName"].clone(),
    )
}

#[tokio::test]
async fn what_a_person_does_carries_the_person() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let mut gateway = home.start();
    let li = key.sign(&team.claims(LI));
    let mut service = team.claims_with("email", Value::Null);
    service["common_name"] = json!("deploy.access");
    let service = key.sign(&service);
    // Looking leaves no trace.
    ask(&gateway, "GET", "/api/admin/devices", &[jwt(&li)]).await;
    let devices: Vec<Device> = (2..6).map(Device::new).collect();
    approve(&gateway, &devices[0], &li).await;
    approve(&gateway, &devices[1], &service).await;
    let (by_li, name) = approver(&gateway, &devices[0]).await;
    assert_eq!(name, LI);
    assert!(by_li.starts_with("access:") && by_li.len() > 20, "{by_li}");
    let (by_service, name) = approver(&gateway, &devices[1]).await;
    assert_eq!(name, "deploy.access");
    assert_ne!(by_li, by_service);
    // The same person after a restart, in other letters, by approve-all.
    gateway.shipped().await;
    gateway.kill();
    gateway = home.start();
    let again = key.sign(&team.claims("Li@Example.COM"));
    knock(&gateway, &devices[2]).await;
    let said = ask(
        &gateway,
        "POST",
        "/api/admin/devices/approve-all",
        &[jwt(&again)],
    )
    .await;
    assert_eq!(said.json()["message"], "Approved 1 of 1 device(s)");
    assert_eq!(
        approver(&gateway, &devices[2]).await,
        (by_li.clone(), json!(LI))
    );
    // The audit shows it to whoever may look after access, and to nobody else.
    let mut operator = Device::new(1);
    operator.redeem(&gateway).await;
    let mut audit = operator.connect(&gateway, &ALL).await.unwrap();
    let mut chat = devices[0]
        .connect_with(&gateway, &CHAT, Some(&gateway.token()))
        .await
        .unwrap();
    audit.request("log.subscribe", json!({})).await.unwrap();
    chat.request("log.subscribe", json!({})).await.unwrap();
    let path = format!("/api/admin/devices/{}/revoke", devices[1].id());
    assert_eq!(ask(&gateway, "POST", &path, &[jwt(&li)]).await.status, 200);
    let revoked = |payload: &Value| {
        let mut records = payload["records"].as_array().into_iter().flatten();
        records
            .find(|record| record["kind"] == "device_revoked")
            .cloned()
    };
    let shown = audit.event_where("log", |p| revoked(p).is_some()).await;
    let record = revoked(&shown).unwrap();
    assert_eq!(
        (&record["actor"], &record["actorName"]),
        (&json!(by_li), &json!(LI))
    );
    let shown = chat.event_where("log", |p| revoked(p).is_some()).await;
    assert_eq!(revoked(&shown).unwrap()["actorName"], Value::Null);

    gateway.shipped().await;
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!gateway.log().contains(LI));
    let (code, export, _) = home.run(&["log", "export"]);
    assert_eq!(code, 0);
    assert!(!export.to_lowercase().contains(LI) && !export.contains("deploy.access"));
    let named = export.matches("\"kind\":\"principal_identified\"").count();
    assert_eq!(named, 2, "each is named once");
}

#[tokio::test]
async fn two_first_visits_at_once_are_one_person() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    let li = key.sign(&team.claims(LI));
    let headers = [jwt(&li)];
    let visit = || ask(&gateway, "POST", "/api/admin/devices/approve-all", &headers);
    let visits = tokio::join!(visit(), visit(), visit(), visit());
    assert_eq!(
        [
            visits.0.status,
            visits.1.status,
            visits.2.status,
            visits.3.status
        ],
        [200; 4]
    );
    gateway.shipped().await;
    let (_, export, _) = home.run(&["log", "export"]);
    assert_eq!(
        export.matches("\"kind\":\"principal_identified\"").count(),
        1
    );
}

/// Redeems a ticket as the page does.
async fn redeem(gateway: &Gateway, device: &mut Device, ticket: &str) -> (u16, Value) {
    let at = now_ms();
    let body = json!({
        "grant": ticket,
        "device": {
            "id": device.id(),
            "publicKey": device.public_key(),
            "signature": device.sign(&format!("grant|{ticket}|{}|{at}", device.id())),
            "signedAt": at,
        },
        "displayName": "Firefox",
    });
    let answer = gateway
        .http("POST", "/pairing/grant", &[], body.to_string())
        .await;
    device.token = answer.body["deviceToken"].as_str().map(str::to_owned);
    (answer.status, answer.body)
}

#[tokio::test]
async fn a_ticket_lets_the_browser_of_the_admin_page_in_once() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    let li = key.sign(&team.claims(LI));
    let path = "/api/admin/ws-ticket";
    assert_eq!(ask(&gateway, "POST", path, &[]).await.status, 401);
    assert_eq!(ask(&gateway, "GET", path, &[jwt(&li)]).await.status, 404);
    assert_eq!(
        gateway.admin("POST", "ws-ticket").await.status,
        403,
        "no browser there"
    );
    let said = ask(&gateway, "POST", path, &[jwt(&li)]).await.json();
    assert_eq!(said["expiresInMs"], 60_000);
    let ticket = said["ticket"].as_str().unwrap().to_owned();
    let mut device = Device::new(1);
    let (status, reply) = redeem(&gateway, &mut device, &ticket).await;
    assert_eq!(status, 200, "{reply}");
    device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(approver(&gateway, &device).await.1, LI);
    let (status, reply) = redeem(&gateway, &mut Device::new(2), &ticket).await;
    assert_eq!((status, &reply["code"]), (403, &json!("grant_unknown")));
    assert!(!gateway.log().contains(&ticket));
}

#[tokio::test]
async fn dev_mode_lets_everyone_in_and_says_so() {
    let home = Home::new().with("DEV_MODE", "true");
    let gateway = home.start();
    gateway.wait_for_log("DEV_MODE is on");
    let far = ("x-forwarded-for", "192.0.2.7");
    let said = ask(&gateway, "GET", "/api/status", &[far]).await;
    assert_eq!(said.json()["devMode"], true);
    assert_eq!(
        ask(&gateway, "GET", "/api/admin/devices", &[far])
            .await
            .status,
        200
    );
    // Nobody approves this one, nor does it bring a token.
    let client = Device::new(2)
        .connect_with(&gateway, &CHAT, None)
        .await
        .unwrap();
    assert_eq!(client.hello["moltbot"]["devMode"], true);
    let said = ask(&gateway, "POST", "/api/admin/ws-ticket", &[far])
        .await
        .json();
    let mut device = Device::new(3);
    redeem(&gateway, &mut device, said["ticket"].as_str().unwrap()).await;
    let list = ask(&gateway, "GET", "/api/admin/devices", &[]).await.json();
    assert_eq!(list["paired"][0]["approvedByName"], "dev@localhost");
    let foreign = [("origin", "https://evil.example")];
    let said = ask(&gateway, "POST", "/api/admin/gateway/restart", &foreign).await;
    assert_eq!(said.status, 403);
}

#[tokio::test]
async fn e2e_test_mode_skips_access_and_nothing_else() {
    for (value, status) in [("true", 200), ("yes", 500)] {
        let home = Home::new().with("E2E_TEST_MODE", value);
        let gateway = home.start();
        let far = ("x-forwarded-for", "192.0.2.7");
        let said = ask(&gateway, "GET", "/api/admin/devices", &[far]).await;
        assert_eq!(said.status, status, "{value}");
        knock(&gateway, &Device::new(2)).await;
        assert_eq!(gateway.status().await.unwrap()["devMode"], false);
    }
}
