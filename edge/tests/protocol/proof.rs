//! How a device proves that it holds its key.

use super::support::Home;
use super::support::client::{CHAT, Device, now_ms};
use super::support::connect::{let_in, refused};
use serde_json::{Value, json};

const FAR: [(&str, &str); 1] = [("x-forwarded-for", "192.0.2.7")];

/// Makes one thing of a sound proof wrong.
type Spoil = fn(&Device, &mut Value);

#[tokio::test]
async fn a_device_that_cannot_prove_its_key_is_refused_in_the_words_clients_know() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let table: [(&str, Spoil); 12] = [
        ("device nonce mismatch", |device, params| {
            params["device"]["nonce"] = json!("another");
            device.sign_connect(params, 2);
        }),
        ("device nonce required", |device, params| {
            params["device"]["nonce"] = Value::Null;
            device.sign_connect(params, 1);
        }),
        ("device nonce required", |device, params| {
            params["device"]["nonce"] = json!("");
            device.sign_connect(params, 1);
        }),
        ("device signature expired", |device, params| {
            params["device"]["signedAt"] = json!(now_ms() - 11 * 60 * 1_000);
            device.sign_connect(params, 2);
        }),
        ("device signature expired", |device, params| {
            params["device"]["signedAt"] = json!(now_ms() + 11 * 60 * 1_000);
            device.sign_connect(params, 2);
        }),
        ("device signature expired", |device, params| {
            params["device"]["signedAt"] = json!(i64::MIN);
            device.sign_connect(params, 2);
        }),
        ("device identity mismatch", |device, params| {
            params["device"]["id"] = json!(Device::new(2).id());
            device.sign_connect(params, 2);
        }),
        ("device public key invalid", |_, params| {
            params["device"]["publicKey"] = json!("short");
        }),
        ("device signature invalid", |_, params| {
            params["device"]["signature"] = json!("AAAA");
        }),
        ("device signature invalid", |_, params| {
            Device::new(2).sign_connect(params, 2);
        }),
        // Nothing that was signed can be changed afterwards.
        ("device signature invalid", |_, params| {
            params["scopes"] = json!(["operator.admin"]);
        }),
        ("device signature invalid", |_, params| {
            params["role"] = json!("node");
        }),
    ];
    for (n, (words, spoil)) in table.iter().enumerate() {
        let device = Device::new(1);
        let say = |challenge: &Value| {
            let mut params = device.connect_params(challenge, &CHAT, Some(&token));
            spoil(&device, &mut params);
            params
        };
        let error = refused(&gateway, &FAR, say).await;
        assert_eq!(error["message"], *words, "case {n}");
        assert_eq!(error["code"], "INVALID_REQUEST", "case {n}");
    }
    let waiting = gateway.admin("GET", "devices").await;
    assert_eq!(
        waiting.body["pending"],
        json!([]),
        "nobody of them is asked about"
    );
}

#[tokio::test]
async fn a_signature_is_good_for_its_own_challenge_only() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let device = Device::new(1);
    let mut overheard = Value::Null;
    let say = |challenge: &Value| {
        overheard = device.connect_params(challenge, &CHAT, Some(&token));
        overheard.clone()
    };
    let_in(&gateway, &[], say).await;
    let error = refused(&gateway, &[], |_| overheard.clone()).await;
    assert_eq!(error["message"], "device nonce mismatch");
    let error = refused(&gateway, &[], |challenge| {
        overheard["device"]["nonce"] = challenge["nonce"].clone();
        overheard.clone()
    });
    assert_eq!(error.await["message"], "device signature invalid");
}

#[tokio::test]
async fn all_three_versions_of_the_signed_text_count_where_they_may() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let signed = |version: u8, device: &Device, challenge: &Value| {
        let mut params = device.connect_params(challenge, &CHAT, Some(&token));
        params["client"]["platform"] = json!(" MacIntel ");
        params["client"]["deviceFamily"] = json!("Mac");
        if version == 1 {
            params["device"].as_object_mut().unwrap().remove("nonce");
        }
        device.sign_connect(&mut params, version);
        params
    };
    for version in [1, 2, 3] {
        let device = Device::new(version);
        let_in(&gateway, &[], |challenge| {
            signed(version, &device, challenge)
        })
        .await;
    }
    for version in [2, 3] {
        let device = Device::new(version);
        let_in(&gateway, &FAR, |challenge| {
            signed(version, &device, challenge)
        })
        .await;
    }
    let device = Device::new(1);
    let error = refused(&gateway, &FAR, |challenge| signed(1, &device, challenge)).await;
    assert_eq!(
        error["message"], "device nonce required",
        "the first version is for this machine"
    );
    let error = refused(&gateway, &[], |challenge| {
        let mut params = signed(1, &device, challenge);
        params["device"]["nonce"] = challenge["nonce"].clone();
        params
    });
    assert_eq!(
        error.await["message"],
        "device signature invalid",
        "a challenge must be signed"
    );
}

#[tokio::test]
async fn a_device_may_sign_with_its_own_token_beside_the_shared_one() {
    let home = Home::new();
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let own = device.token.clone().unwrap();
    let say = |challenge: &Value| {
        let mut params = device.connect_params(challenge, &CHAT, Some(&own));
        // The newer clients put it here; what is signed stays the same.
        params["auth"] = json!({ "deviceToken": own });
        params
    };
    let client = let_in(&gateway, &FAR, say).await;
    assert_eq!(client.hello["auth"]["deviceToken"], json!(own));
}
