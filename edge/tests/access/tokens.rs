//! Tokens: which count, and what is said to those that do not.

use super::provider::{AUD, LI, PAGE, Team, ask, base64url, jwt, keys, now_s, unsigned};
use super::support::Gateway;
use serde_json::{Value, json};

const API: &str = "/api/admin/devices";

/// A token is refused with this code, to scripts and to people; nothing of it is repeated.
async fn refused(gateway: &Gateway, team: &Team, name: &str, token: &str, code: &str) {
    let said = ask(gateway, "GET", API, &[jwt(token)]).await;
    let body = said.json();
    assert_eq!((said.status, &body["code"]), (401, &json!(code)), "{name}");
    assert_eq!(body["error"], "Unauthorized", "{name}");
    assert!(body["details"].as_str().unwrap().len() > 20, "{name}");
    assert_eq!(body.get("paired"), None);
    let page = ask(gateway, "GET", "/_admin/", &[jwt(token), PAGE]).await;
    assert_eq!(page.status, 401, "{name}");
    let words = "Your Cloudflare Access session is invalid or expired.";
    assert!(page.text.contains(words), "{name}: {}", page.text);
    let login = format!("<a href=\"{}/cdn-cgi/access/login/", team.issuer);
    assert!(page.text.contains(&login) && page.text.contains(">Login again</a>"));
    for part in token.split('.').filter(|part| part.len() > 20) {
        assert!(
            !said.text.contains(part) && !page.text.contains(part),
            "{name}"
        );
    }
}

#[tokio::test]
async fn only_a_token_of_the_team_for_this_application_and_moment_counts() {
    let [first, second] = keys();
    let team = Team::with(&[&first]).await;
    let home = team.home();
    let gateway = home.start();
    let claims = team.claims(LI);
    let now = now_s();
    let with = |name: &str, value: Value| first.sign(&team.claims_with(name, value));
    let header = |alg: &str| json!({ "alg": alg, "kid": "first" });
    let hs256 = unsigned(&header("HS256"), &claims);
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &first.public().n);
    let hs256 = format!(
        "{hs256}.{}",
        base64url(ring::hmac::sign(&hmac, hs256.as_bytes()).as_ref())
    );
    let right = first.sign(&claims);
    let (signed, _) = right.rsplit_once('.').unwrap();
    let (_, other_signature) = first
        .sign(&team.claims("wu@example.com"))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let table = [
        ("expired", with("exp", json!(now - 120)), "token_expired"),
        (
            "without an end",
            with("exp", Value::Null),
            "token_malformed",
        ),
        ("from the future", with("nbf", json!(now + 600)), "clock"),
        (
            "issued in the future",
            with("iat", json!(now + 600)),
            "clock",
        ),
        (
            "for another, as text",
            with("aud", json!("other")),
            "token_other_audience",
        ),
        (
            "for others, as list",
            with("aud", json!(["other", &AUD[1..]])),
            "token_other_audience",
        ),
        ("for nobody", with("aud", json!([])), "token_other_audience"),
        (
            "without audience",
            with("aud", Value::Null),
            "token_malformed",
        ),
        (
            "of another team",
            with("iss", json!("https://other.cloudflareaccess.com")),
            "token_other_team",
        ),
        (
            "naming nobody",
            with("email", Value::Null),
            "token_names_nobody",
        ),
        (
            "unsigned",
            format!("{}.", unsigned(&header("none"), &claims)),
            "token_algorithm",
        ),
        ("keyed with the public key", hs256, "token_algorithm"),
        (
            "said to be RS512",
            first.sign_as(&header("RS512"), &claims),
            "token_algorithm",
        ),
        ("of an unknown key", second.sign(&claims), "key_unknown"),
        (
            "of another key under a known id",
            second.sign_as(&header("RS256"), &claims),
            "token_signature",
        ),
        (
            "without a signature",
            format!("{signed}."),
            "token_signature",
        ),
        (
            "with another's signature",
            format!("{signed}.{other_signature}"),
            "token_signature",
        ),
    ];
    for (name, token, code) in &table {
        refused(&gateway, &team, name, token, code).await;
    }
    assert_eq!(ask(&gateway, "GET", API, &[jwt(&right)]).await.status, 200);
    let log = gateway.log();
    for (name, token, _) in &table {
        assert!(!log.contains(token.as_str()), "{name} is in the log");
    }
    assert!(!log.contains(&right) && !log.contains(LI));
}

#[tokio::test]
async fn what_is_no_token_is_refused_and_nothing_breaks() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    let right = key.sign(&team.claims(LI));
    let parts: Vec<&str> = right.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        panic!("a token has three parts");
    };
    let part = |text: &str| base64url(text.as_bytes());
    let malformed = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "token".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{claims}"),
        format!("{right}.{signature}"),
        format!("{right}="),
        format!("{header}.{claims}.{signature}!"),
        format!("{header}=.{claims}.{signature}"),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!("{}.{claims}.{signature}", part("null")),
        format!("{}.{claims}.{signature}", part("{}")),
        format!("{}.{claims}.{signature}", part(r#"{"alg":"RS256"}"#)),
        format!(
            "{}.{claims}.{signature}",
            part(r#"{"alg":"RS256","alg":"RS256","kid":"first"}"#)
        ),
        format!(
            "{}.{claims}.{signature}",
            part(r#"{"alg":"RS256","kid":["first"]}"#)
        ),
        format!(
            "{}.{claims}.{signature}",
            part(r#"{"alg":"RS256","kid":"first","crit":["x"]}"#)
        ),
        format!("{header}.{}.{signature}", part("[]")),
        format!("{header}.{}.{signature}", part(&"[".repeat(5_000))),
        format!("{header}.{}.{signature}", part(r#"{"iss":7}"#)),
        format!("{header}.{}.{signature}", base64url(&[0xff, 0xfe])),
        format!("Bearer {right}"),
        "a".repeat(17 * 1024),
    ];
    for token in &malformed {
        refused(&gateway, &team, token, token, "token_malformed").await;
    }
    let asked = team.asked();
    assert_eq!(asked, 0, "nobody needs a key for these");
    assert_eq!(ask(&gateway, "GET", API, &[jwt(&right)]).await.status, 200);
}

#[tokio::test]
async fn a_token_comes_in_the_header_or_else_in_the_cookie_and_names_a_person_or_a_service() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    let as_text = key.sign(&team.claims_with("aud", json!(AUD)));
    let as_list = key.sign(&team.claims_with("aud", json!(["other", AUD])));
    let mut service = team.claims_with("email", Value::Null);
    service["common_name"] = json!("e367826f93b8d71185e03fe518aff3b4.access");
    service["sub"] = json!("");
    let service = key.sign(&service);
    let expired = key.sign(&team.claims_with("exp", json!(now_s() - 120)));
    let cookie = |token: &str| format!("theme=dark; CF_Authorization={token} ; other=1");
    let (good_cookie, bad_cookie) = (cookie(&as_text), cookie(&expired));
    let table: [(u16, Vec<(&str, &str)>); 7] = [
        (200, vec![jwt(&as_text)]),
        (200, vec![jwt(&as_list)]),
        (200, vec![jwt(&service)]),
        (200, vec![("cookie", &good_cookie)]),
        (401, vec![("cookie", &bad_cookie)]),
        (200, vec![jwt(&as_text), ("cookie", &bad_cookie)]),
        (401, vec![jwt(&expired), ("cookie", &good_cookie)]),
    ];
    for (status, headers) in table {
        let said = ask(&gateway, "GET", API, &headers).await;
        assert_eq!(said.status, status, "{headers:?}");
        assert_eq!(said.json()["paired"].is_array(), status == 200);
    }
}

#[tokio::test]
async fn a_name_in_a_header_is_nobody() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    let home = team.home();
    let gateway = home.start();
    for name in ["cf-access-authenticated-user-email", "x-access-email"] {
        let said = ask(&gateway, "GET", API, &[(name, LI)]).await;
        let expected = json!({
            "error": "Unauthorized",
            "hint": "Missing Cloudflare Access JWT. Ensure this route is protected by Cloudflare Access.",
        });
        assert_eq!((said.status, said.json()), (401, expected));
    }
}
