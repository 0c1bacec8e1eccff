//! Which routes need Access, and what a request without a token is told.

use super::provider::{AUD, LI, PAGE, Team, ask, jwt, keys};
use super::support::client::{ALL, Device};
use super::support::connect::command_line;
use super::support::{Gateway, Home};
use serde_json::{Value, json};

/// Comes from another machine, through a proxy.
const FAR: (&str, &str) = ("x-forwarded-for", "192.0.2.7");

#[tokio::test]
async fn admin_page_api_and_debug_need_access_and_nothing_else_does() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home().with("DEBUG_ROUTES", "true");
    let gateway = home.start();
    let token = key.sign(&team.claims(LI));
    for path in [
        "/_admin/",
        "/_admin",
        "/_admin/backup",
        "/_admin//assets/x",
        "/debug/version",
    ] {
        let said = ask(&gateway, "GET", path, &[PAGE]).await;
        assert_eq!(said.status, 302, "{path}");
    }
    let guarded = [
        "/_admin/",
        "/api/admin/devices",
        "/api/admin/storage",
        "/api/x",
        "/api",
        "/debug/env",
        "/debug/x",
    ];
    for path in guarded {
        let said = ask(&gateway, "GET", path, &[]).await;
        assert_eq!(
            (said.status, &said.json()["error"]),
            (401, &json!("Unauthorized")),
            "{path}"
        );
        let said = ask(&gateway, "GET", path, &[jwt(&token)]).await;
        assert!([200, 404].contains(&said.status), "{path}: {}", said.status);
    }
    for path in [
        "/health",
        "/ready",
        "/status",
        "/api/status",
        "/sandbox-health",
    ] {
        assert_eq!(
            ask(&gateway, "GET", path, &[FAR]).await.status,
            200,
            "{path}"
        );
    }
    for path in ["/_admin/assets/x.js", "/assets/x.js", "/pairing/x", "/"] {
        let status = ask(&gateway, "GET", path, &[FAR, PAGE]).await.status;
        assert!([200, 404].contains(&status), "{path}: {status}");
    }
    // A device is let in as ever; its token is the gateway's, not Access's.
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    device.connect(&gateway, &ALL).await.unwrap();
}

#[tokio::test]
async fn without_a_token_a_person_is_sent_to_the_login_of_this_very_page() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    let port = gateway.port();
    let said = ask(&gateway, "GET", "/_admin/audit?at=7&q=a b", &[PAGE]).await;
    let issuer = &team.issuer;
    let expected = format!(
        "{issuer}/cdn-cgi/access/login/127.0.0.1:{port}?kid={AUD}&redirect_url=%2F_admin%2Faudit%3Fat%3D7%26q%3Da%2Bb"
    );
    assert_eq!((said.status, said.location), (302, expected));
    // The gateway token goes into its cookie first, and to nobody else's address.
    let path = format!("/_admin/?token={}", gateway.token());
    let said = ask(&gateway, "GET", &path, &[PAGE]).await;
    assert_eq!((said.status, said.location.as_str()), (303, "/_admin/"));
    let strange = [PAGE, ("host", "evil.example/?x=\"><script>")];
    let said = ask(&gateway, "GET", "/_admin/", &strange).await;
    let expected = format!("{issuer}/cdn-cgi/access/login/?kid={AUD}&redirect_url=%2F_admin%2F");
    assert!(
        said.status == 400 || said.location == expected,
        "{}",
        said.location
    );
    let said = ask(&gateway, "POST", "/_admin/", &[PAGE]).await;
    assert_eq!(said.status, 401);
    assert!(said.text.contains(">Login</a>"), "{}", said.text);
}

#[tokio::test]
async fn behind_a_public_address_the_login_is_of_that_address() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let public = format!("https://bot.example:{port}");
    let home = team.home().with("MOLTBOT_PUBLIC_URL", &public);
    let gateway = home.launch_on(port, &[]);
    gateway.wait_for_log("ready ");
    let said = ask(&gateway, "GET", "/_admin/", &[PAGE, FAR]).await;
    let expected = format!("{}/cdn-cgi/access/login/bot.example:{port}?", team.issuer);
    assert!(said.location.starts_with(&expected), "{}", said.location);
}

#[tokio::test]
async fn access_on_everything_leaves_only_the_health_checks_open() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home().with("CF_ACCESS_EVERYWHERE", "true");
    let gateway = home.start();
    let token = key.sign(&team.claims(LI));
    for path in ["/", "/s/main", "/pair", "/assets/x.js", "/pairing/x"] {
        assert_eq!(ask(&gateway, "GET", path, &[]).await.status, 401, "{path}");
        let said = ask(&gateway, "GET", path, &[jwt(&token)]).await;
        assert!([200, 404].contains(&said.status), "{path}: {}", said.status);
    }
    assert_eq!(
        ask(&gateway, "POST", "/pairing/grant", &[]).await.status,
        401
    );
    for path in [
        "/health",
        "/ready",
        "/status",
        "/api/status",
        "/sandbox-health",
    ] {
        assert_eq!(ask(&gateway, "GET", path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(
        ask(&gateway, "GET", "/_admin/assets/x.js", &[])
            .await
            .status,
        404
    );
    let page = format!("http://127.0.0.1:{}", gateway.port());
    let page = ("origin", page.as_str());
    assert_eq!(upgrade(&gateway, &[page]).await, 401);
    assert_eq!(upgrade(&gateway, &[FAR]).await, 401);
    assert_eq!(upgrade(&gateway, &[page, jwt(&token)]).await, 101);
    // A command line on this machine shows its token in the handshake.
    let say = |_: &Value| command_line(&ALL, Some(&gateway.token()));
    super::support::connect::let_in(&gateway, &[], say).await;
}

/// The status of an upgrade to a WebSocket.
async fn upgrade(gateway: &Gateway, headers: &[(&str, &str)]) -> u16 {
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let headers = [&upgrade, headers].concat();
    gateway.http("GET", "/ws", &headers, "").await.status
}

#[tokio::test]
async fn a_command_line_on_this_machine_still_needs_only_the_gateway_token() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    assert_eq!(gateway.admin("GET", "devices").await.status, 200);
    let bearer = format!("Bearer {}", gateway.token());
    let right = ("authorization", bearer.as_str());
    let said = ask(&gateway, "GET", "/api/admin/devices", &[right, FAR]).await;
    assert_eq!(said.status, 403);
    let wrong = [("authorization", "Bearer wrong")];
    for _ in 0..10 {
        let said = ask(&gateway, "GET", "/api/admin/devices", &wrong).await;
        assert_eq!(said.status, 401);
    }
    let said = ask(&gateway, "GET", "/api/admin/devices", &[right]).await;
    assert_eq!(said.status, 429, "guessing is counted here too");
}

#[tokio::test]
async fn without_access_others_are_told_what_to_set() {
    let home = Home::new().with("DEBUG_ROUTES", "true");
    let gateway = home.start();
    let expected = json!({
        "error": "Cloudflare Access not configured",
        "hint": "Set CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD environment variables",
    });
    for path in ["/api/admin/devices", "/debug/version"] {
        let said = ask(&gateway, "GET", path, &[FAR]).await;
        assert_eq!(
            (said.status, said.json()),
            (500, expected.clone()),
            "{path}"
        );
    }
    let said = ask(&gateway, "GET", "/debug/version", &[FAR, PAGE]).await;
    assert_eq!(said.status, 500);
    assert!(said.text.contains("<h1>Admin UI Not Configured</h1>"));
    // From here the gateway token is what is missing, as ever.
    let said = ask(&gateway, "GET", "/api/admin/devices", &[]).await;
    assert_eq!(said.status, 401);
    // The page holds no data: whoever opens it has to be a paired device.
    assert!([200, 404].contains(&ask(&gateway, "GET", "/_admin/", &[FAR, PAGE]).await.status));
    let open = Home::new().with("MOLTBOT_GATEWAY_TOKEN", "some-token");
    let open = open.start_with(&["--bind", "0.0.0.0"]);
    let said = ask(&open, "GET", "/api/admin/devices", &[]).await;
    assert_eq!((said.status, said.json()), (500, expected));
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_whoever_is_logged_in() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    let cookie = format!("CF_Authorization={}", key.sign(&team.claims(LI)));
    let cookie = ("cookie", cookie.as_str());
    for path in [
        "ws-ticket",
        "devices/approve-all",
        "gateway/restart",
        "grants",
    ] {
        for origin in ["https://evil.example", "null"] {
            let path = format!("/api/admin/{path}");
            let said = ask(&gateway, "POST", &path, &[cookie, ("origin", origin)]).await;
            assert_eq!(said.status, 403, "{path} {origin}");
        }
    }
    let own = format!("http://127.0.0.1:{}", gateway.port());
    let said = ask(
        &gateway,
        "POST",
        "/api/admin/ws-ticket",
        &[cookie, ("origin", &own)],
    )
    .await;
    assert_eq!(said.status, 200);
}
