//! What clients say in `connect`, so that a test can make one thing of it wrong.

use super::Gateway;
use super::client::{Client, Device};
use serde_json::{Value, json};

impl Device {
    /// Signs the parameters as they are now, in this version of the signed text.
    pub fn sign_connect(&self, params: &mut Value, version: u8) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (client, device) = (&params["client"], &params["device"]);
        let scopes: Vec<String> = params["scopes"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let mut signed = format!(
            "v{version}|{}|{}|{}|{}|{}|{}|{}",
            text(&device["id"]),
            text(&client["id"]),
            text(&client["mode"]),
            text(&params["role"]),
            scopes.join(","),
            device["signedAt"],
            text(&params["auth"]["token"]),
        );
        if version > 1 {
            signed = format!("{signed}|{}", text(&device["nonce"]));
        }
        if version > 2 {
            let small = |name: &str| text(&client[name]).trim().to_lowercase();
            signed = format!("{signed}|{}|{}", small("platform"), small("deviceFamily"));
        }
        params["device"]["signature"] = json!(self.sign(&signed));
    }
}

/// What a command line without a device says.
pub fn command_line(scopes: &[&str], token: Option<&str>) -> Value {
    json!({
        "minProtocol": 3, "maxProtocol": 4,
        "client": { "id": "cli", "version": "test", "platform": "linux", "mode": "cli" },
        "role": "operator",
        "scopes": scopes,
        "auth": { "token": token },
    })
}

/// Connects with what `say` makes of the challenge: the client and the answer.
pub async fn connect(
    gateway: &Gateway,
    headers: &[(&str, &str)],
    say: impl FnOnce(&Value) -> Value,
) -> (Client, Result<Value, Value>) {
    let mut client = Client::open(gateway, headers).await;
    let challenge = client.event("connect.challenge").await;
    let answer = client.request("connect", say(&challenge)).await;
    if let Ok(hello) = &answer {
        client.hello = hello.clone();
    }
    (client, answer)
}

/// Connects and is let in.
pub async fn let_in(
    gateway: &Gateway,
    headers: &[(&str, &str)],
    say: impl FnOnce(&Value) -> Value,
) -> Client {
    let (client, answer) = connect(gateway, headers, say).await;
    answer.unwrap_or_else(|error| panic!("not let in: {error}"));
    client
}

/// Connects and is refused: the error. The socket is closed with 1008 and the error's words.
pub async fn refused(
    gateway: &Gateway,
    headers: &[(&str, &str)],
    say: impl FnOnce(&Value) -> Value,
) -> Value {
    let (mut client, answer) = connect(gateway, headers, say).await;
    let error = answer.expect_err("this must not be let in");
    let (code, reason) = client.wait_closed().await;
    let message = error["message"].as_str().unwrap();
    assert_eq!(code, 1008, "{error}");
    assert!(
        !reason.is_empty() && message.starts_with(&reason),
        "`{reason}` is not from {error}"
    );
    error
}
