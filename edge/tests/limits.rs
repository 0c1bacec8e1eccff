//! What strangers and slow clients may cost, and what nobody may ever find: secrets.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

#[path = "limits/secrets.rs"]
mod secrets;
#[path = "limits/sizes.rs"]
mod sizes;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::client::{ALL, CHAT, Client, Device};
use support::connect::{command_line, connect, let_in};
use support::{Gateway, Home};

/// Wrong tokens of one address before its answers are refused unread.
const AUTH_FAILURES_MAX: usize = 10;

/// A gateway behind a proxy on this machine, so that a test can come from several addresses.
fn behind_a_proxy() -> Home {
    Home::new().with("MOLTBOT_TRUSTED_PROXIES", "127.0.0.1")
}

/// What a device at an address hears when it comes with this token: the error's details code.
async fn knock(gateway: &Gateway, address: &str, token: &str) -> Value {
    let device = Device::new(1);
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(token));
    let (_, answer) = connect(gateway, &[("x-forwarded-for", address)], say).await;
    answer.unwrap_err()
}

#[tokio::test]
async fn an_address_that_guesses_is_shut_out_even_with_the_right_token_and_no_other_address_is() {
    let home = behind_a_proxy();
    let gateway = home.start();
    let token = gateway.token();
    let mut heard = Vec::new();
    for n in 0..20 {
        // The same host, in either notation.
        let address = ["203.0.113.9", "::ffff:203.0.113.9"][n % 2];
        heard.push(knock(&gateway, address, "wrong").await);
    }
    let is = |error: &&Value, code: &str| error["details"]["code"] == code;
    let mismatches = heard
        .iter()
        .take_while(|error| is(error, "AUTH_TOKEN_MISMATCH"))
        .count();
    assert_eq!(mismatches, AUTH_FAILURES_MAX);
    for error in heard.iter().skip(AUTH_FAILURES_MAX) {
        assert!(is(&error, "AUTH_RATE_LIMITED"), "{error}");
        assert_eq!(error["retryable"], true);
        let wait_ms = error["retryAfterMs"].as_u64().unwrap();
        assert!((1..=60_000).contains(&wait_ms), "{wait_ms}");
    }
    for address in ["203.0.113.9", "::ffff:203.0.113.9"] {
        let error = knock(&gateway, address, &token).await;
        assert_eq!(
            error["details"]["code"], "AUTH_RATE_LIMITED",
            "the right token gains nothing"
        );
        let headers = [("x-forwarded-for", address)];
        let (_, answer) = connect(&gateway, &headers, |_| command_line(&ALL, Some(&token))).await;
        assert_eq!(answer.unwrap_err()["details"]["code"], "AUTH_RATE_LIMITED");
        let page = gateway
            .http("GET", &format!("/?token={token}"), &headers, "")
            .await;
        assert_eq!(
            (page.status, page.header("set-cookie")),
            (303, ""),
            "no cookie"
        );
        let bearer = format!("Bearer {token}");
        let headers = [("x-forwarded-for", address), ("authorization", &bearer)];
        assert_eq!(
            gateway
                .http("GET", "/api/admin/devices", &headers, "")
                .await
                .status,
            429
        );
        assert_eq!(
            gateway
                .http("POST", "/pairing/grant", &headers, "{}")
                .await
                .status,
            429
        );
    }
    for address in ["203.0.113.10", "2001:db8::1", "127.0.0.1"] {
        let error = knock(&gateway, address, &token).await;
        assert_eq!(
            error["message"], "pairing required",
            "{address} has done nothing"
        );
    }
    assert_eq!(
        gateway.admin("GET", "devices").await.status,
        200,
        "nor has the machine itself"
    );
}

#[tokio::test]
async fn wrong_tokens_count_together_wherever_they_are_tried() {
    let home = behind_a_proxy();
    let gateway = home.start();
    let far = ("x-forwarded-for", "2001:db8:1:2::5");
    for _ in 0..3 {
        gateway.http("GET", "/?token=wrong", &[far], "").await;
        let headers = [far, ("authorization", "Bearer wrong")];
        assert_eq!(
            gateway
                .http("GET", "/api/admin/devices", &headers, "")
                .await
                .status,
            401
        );
        let error = knock(&gateway, far.1, "wrong").await;
        assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
    }
    let (_, answer) = connect(&gateway, &[far], |_| command_line(&ALL, Some("wrong"))).await;
    assert_eq!(
        answer.unwrap_err()["details"]["code"],
        "AUTH_TOKEN_MISMATCH"
    );
    let neighbour = "2001:db8:1:2:ffff::9";
    let error = knock(&gateway, neighbour, "wrong").await;
    assert_eq!(
        error["details"]["code"], "AUTH_RATE_LIMITED",
        "a /64 is one household"
    );
    let error = knock(&gateway, "2001:db8:1:3::5", "wrong").await;
    assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
}

#[tokio::test]
async fn nobody_becomes_another_address_by_what_he_writes_into_the_header_himself() {
    let home = behind_a_proxy();
    let gateway = home.start();
    for n in 0..AUTH_FAILURES_MAX {
        // The proxy adds the address it sees behind what the client sent.
        knock(&gateway, &format!("198.51.100.{n}, 203.0.113.9"), "wrong").await;
    }
    let error = knock(&gateway, "198.51.100.99, 203.0.113.9", "wrong").await;
    assert_eq!(error["details"]["code"], "AUTH_RATE_LIMITED");
    let untrusting = Home::new();
    let gateway = untrusting.start();
    for n in 0..AUTH_FAILURES_MAX {
        knock(&gateway, &format!("198.51.100.{n}"), "wrong").await;
    }
    let error = knock(&gateway, "198.51.100.99", "wrong").await;
    assert_eq!(
        error["details"]["code"], "AUTH_RATE_LIMITED",
        "this header counts for nothing"
    );
}

#[tokio::test]
async fn refused_strangers_are_recorded_at_most_once_a_minute_per_prefix() {
    let home = behind_a_proxy();
    let gateway = home.start();
    let token = gateway.token();
    let mut operator = let_in(&gateway, &[], |_| command_line(&ALL, Some(&token))).await;
    let from = operator.request("log.subscribe", json!({})).await.unwrap()["head"].clone();
    let mut seen = BTreeMap::new();
    for host in 1..=5 {
        for _ in 0..4 {
            knock(&gateway, &format!("203.0.113.{host}"), "wrong").await;
        }
        // Somebody behind the same address who knows the token does not begin a new minute.
        knock(&gateway, &format!("203.0.113.{host}"), &token).await;
        knock(&gateway, &format!("203.0.113.{host}"), "wrong").await;
    }
    knock(&gateway, "198.51.100.1", "wrong").await;
    while !seen.contains_key("198.51.100.0/24") {
        refusals(&mut operator, &mut seen).await;
    }
    let expected = [
        ("198.51.100.0/24".to_owned(), 1),
        ("203.0.113.0/24".to_owned(), 1),
    ];
    assert_eq!(
        seen,
        BTreeMap::from(expected),
        "how often each prefix was recorded"
    );
    // What was heard is what is in the log.
    let mut again = let_in(&gateway, &[], |_| command_line(&ALL, Some(&token))).await;
    again
        .request("log.subscribe", json!({ "from": from }))
        .await
        .unwrap();
    let mut recorded = BTreeMap::new();
    while recorded.len() < seen.len() {
        refusals(&mut again, &mut recorded).await;
    }
    assert_eq!(recorded, seen);
}

/// Counts the refusals in the next page of the log, by prefix.
async fn refusals(client: &mut Client, seen: &mut BTreeMap<String, u32>) {
    let page = client.event("log").await;
    for row in page["records"].as_array().unwrap() {
        if row["kind"] == "strangers_refused" {
            let prefix = row["data"]["prefix"].as_str().unwrap().to_owned();
            *seen.entry(prefix).or_default() += 1;
        }
    }
}
