//! Who is let in with the shared token, and who is not.

use super::support::client::{ALL, CHAT, Client, Device};
use super::support::connect::{command_line, connect, let_in, refused};
use super::support::{Gateway, Home};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_command_line_on_this_machine_is_let_in_with_the_token_and_gets_what_it_asks_for() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let client = let_in(&gateway, &[], |_| {
        command_line(&["operator.read"], Some(&token))
    })
    .await;
    assert_eq!(client.hello["auth"]["scopes"], json!(["operator.read"]));
    assert_eq!(client.hello["moltbot"]["deviceId"], Value::Null);
    assert!(client.hello["auth"].get("deviceToken").is_none());
    let mut as_password = command_line(&["operator.read"], None);
    as_password["auth"] = json!({ "password": token });
    let_in(&gateway, &[], |_| as_password).await;
    let path = format!("/ws?token={token}");
    let mut client = Client::open_at(&gateway, &path, &[]).await;
    client.event("connect.challenge").await;
    client
        .request("connect", command_line(&["operator.read"], None))
        .await
        .unwrap();
}

#[tokio::test]
async fn without_a_device_and_without_the_token_nobody_is_let_in() {
    let home = Home::new();
    let gateway = home.start();
    let error = refused(&gateway, &[], |_| command_line(&ALL, None)).await;
    assert_eq!(error["code"], "NOT_PAIRED");
    assert_eq!(error["message"], "device identity required");
    let error = refused(&gateway, &[], |_| command_line(&ALL, Some(""))).await;
    assert_eq!(
        error["message"], "device identity required",
        "an empty token is none"
    );
    let table = [
        (
            "cli",
            "(set gateway.remote.token to match gateway.auth.token)",
        ),
        (
            "webchat",
            "(open a tokenized dashboard URL or paste token in Control UI settings)",
        ),
        ("probe", "(provide gateway auth token)"),
    ];
    for (mode, hint) in table {
        let mut params = command_line(&ALL, Some("wrong"));
        params["client"]["mode"] = json!(mode);
        let error = refused(&gateway, &[], |_| params).await;
        let words = format!("unauthorized: gateway token mismatch {hint}");
        assert_eq!(error["code"], "INVALID_REQUEST");
        assert_eq!(error["message"], words);
        assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
        assert_eq!(error["details"]["canRetryWithDeviceToken"], false);
    }
}

#[tokio::test]
async fn the_token_alone_lets_in_no_browser_and_nothing_that_came_through_a_proxy() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let own = format!("http://127.0.0.1:{}", gateway.port());
    let remote: [&[(&str, &str)]; 7] = [
        &[("origin", &own)],
        &[("x-forwarded-for", "127.0.0.1")],
        &[("x-real-ip", "127.0.0.1")],
        &[("x-forwarded-host", "localhost")],
        &[("forwarded", "for=127.0.0.1")],
        &[("cf-connecting-ip", "127.0.0.1")],
        &[("host", "gateway.example")],
    ];
    for headers in remote {
        let error = refused(&gateway, headers, |_| command_line(&CHAT, Some(&token))).await;
        assert_eq!(error["code"], "NOT_PAIRED", "{headers:?}");
        assert_eq!(error["message"], "device identity required", "{headers:?}");
    }
    for origin in [
        "null",
        "http://evil.example",
        "http://127.0.0.1:1",
        "file://",
        "junk",
    ] {
        let headers = [("origin", origin)];
        let error = refused(&gateway, &headers, |_| command_line(&CHAT, Some(&token))).await;
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with("origin not allowed"),
            "{origin}"
        );
        let device = Device::new(1);
        let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
        let error = refused(&gateway, &headers, say).await;
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .starts_with("origin not allowed"),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn a_device_with_the_token_is_let_in_on_the_spot_only_as_a_command_line_of_this_machine() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let own = format!("http://127.0.0.1:{}", gateway.port());
    for (n, headers) in [
        [("origin", own.as_str())],
        [("x-forwarded-for", "192.0.2.7")],
    ]
    .iter()
    .enumerate()
    {
        let device = Device::new(10 + u8::try_from(n).unwrap());
        let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
        let error = refused(&gateway, headers, say).await;
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("NOT_PAIRED"), &json!("pairing required"))
        );
    }
    let device = Device::new(20);
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&token));
    let client = let_in(&gateway, &[], say).await;
    assert_eq!(client.hello["auth"]["scopes"], json!(CHAT));
    // From now on its own token is enough, also through a proxy.
    let own_token = client.hello["auth"]["deviceToken"].as_str().unwrap();
    assert_eq!(own_token.len(), 32);
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(own_token));
    let_in(&gateway, &[("x-forwarded-for", "192.0.2.7")], say).await;
    // But it is nobody else's, and no gateway token.
    let other = Device::new(21);
    let say = |challenge: &Value| other.connect_params(challenge, &CHAT, Some(own_token));
    let error = refused(&gateway, &[], say).await;
    assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
    let error = refused(&gateway, &[], |_| command_line(&CHAT, Some(own_token))).await;
    assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
    let say = |challenge: &Value| other.connect_params(challenge, &CHAT, None);
    let error = refused(&gateway, &[], say).await;
    assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISSING");
}

#[tokio::test]
async fn a_token_in_the_address_becomes_a_cookie_that_works_for_this_gateways_own_pages() {
    let home = Home::new().with("MOLTBOT_GATEWAY_TOKEN", "a+b/c=d e;f%41");
    let gateway = home.start();
    let path = "/s/main?a=1&token=a%2Bb%2Fc%3Dd+e%3Bf%2541&b=x+y";
    let answer = gateway.http("GET", path, &[], "").await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), "/s/main?a=1&b=x+y");
    let cookie = answer.header("set-cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(
            cookie.split("; ").any(|part| part == word),
            "{word} is missing in `{cookie}`"
        );
    }
    let (cookie, _) = cookie.split_once(';').unwrap();
    let pending = knock_with_cookie(&gateway, cookie).await;
    assert_eq!(pending["code"], "NOT_PAIRED", "{pending}");
    let error = knock_with_cookie(&gateway, "moltbot_token=other").await;
    assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
    let error = knock_with_cookie(&gateway, "other=x").await;
    assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISSING");
    let wrong = gateway.http("GET", "/?token=wrong", &[], "").await;
    assert_eq!((wrong.status, wrong.header("location")), (303, "/"));
    assert_eq!(wrong.header("set-cookie"), "");
    // A page of somebody else gains nothing from the cookie.
    let headers = [("origin", "http://evil.example"), ("cookie", cookie)];
    let device = Device::new(1);
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, None);
    let error = refused(&gateway, &headers, say).await;
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("origin not allowed")
    );
    let outward = gateway
        .http("GET", "//evil.example/?token=wrong", &[], "")
        .await;
    assert_eq!(outward.header("location"), "/evil.example/");
    // Browsers read a backslash as a slash.
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port()))
        .await
        .unwrap();
    let request =
        "GET /\\evil.example/?token=wrong HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("\r\nlocation: /evil.example/\r\n"),
        "{answer}"
    );
}

/// Connects as a page of this gateway that has nothing but a cookie.
async fn knock_with_cookie(gateway: &Gateway, cookie: &str) -> Value {
    let own = format!("http://127.0.0.1:{}", gateway.port());
    let headers = [("origin", own.as_str()), ("cookie", cookie)];
    let device = Device::new(1);
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, None);
    refused(gateway, &headers, say).await
}

#[tokio::test]
async fn a_role_that_does_not_exist_is_refused() {
    let home = Home::new();
    let gateway = home.start();
    let mut params = command_line(&ALL, Some(&gateway.token()));
    params["role"] = json!("king");
    let error = refused(&gateway, &[], |_| params.clone()).await;
    assert_eq!(error["message"], "invalid role");
    params["role"] = Value::Null;
    let (client, _) = connect(&gateway, &[], |_| params).await;
    assert_eq!(client.hello["auth"]["role"], "operator", "the default");
}
