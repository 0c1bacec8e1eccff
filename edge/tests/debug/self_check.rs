//! `/debug/access`: each usual mistake has its own message, before the gate that it explains.

use super::provider::{AUD, Key, LI, Team, ask, jwt, keys, now_s};
use super::support::{Gateway, Home};
use serde_json::{Value, json};

/// The codes and messages that a token is told; nothing of the token is repeated.
async fn check(gateway: &Gateway, token: Option<&str>) -> Vec<(String, String)> {
    let header = token.map(jwt);
    let headers: Vec<(&str, &str)> = header.into_iter().collect();
    let said = ask(gateway, "GET", "/debug/access", &headers).await;
    assert_eq!(said.status, 200);
    for part in token.iter().flat_map(|token| token.split('.')) {
        assert!(!said.text.contains(part), "{}", said.text);
    }
    let body = said.json();
    let problems = body["problems"].as_array().unwrap();
    assert_eq!(body["ok"], problems.is_empty());
    let text = |problem: &Value, name: &str| problem[name].as_str().unwrap().to_owned();
    let named = problems
        .iter()
        .map(|p| (text(p, "code"), text(p, "message")));
    named.collect()
}

fn home(team: &Team) -> Home {
    team.home().with("DEBUG_ROUTES", "true")
}

#[tokio::test]
async fn each_mistake_has_its_own_message() {
    let [first, second]: [Key; 2] = keys();
    let team = Team::with(&[&first]).await;
    let home = home(&team);
    let gateway = home.start();
    let now = now_s();
    let with = |name: &str, value: Value| first.sign(&team.claims_with(name, value));
    let other_team = with("iss", json!("https://other.cloudflareaccess.com"));
    let table = [
        ("no_token", None),
        ("token_other_team", Some(other_team)),
        ("token_other_audience", Some(with("aud", json!("other")))),
        ("token_expired", Some(with("exp", json!(now - 120)))),
        ("clock", Some(with("nbf", json!(now + 600)))),
        ("key_unknown", Some(second.sign(&team.claims(LI)))),
        ("token_malformed", Some("CanaryNoToken".to_owned())),
        ("token_names_nobody", Some(with("email", Value::Null))),
    ];
    let mut messages = Vec::new();
    for (code, token) in &table {
        let problems = check(&gateway, token.as_deref()).await;
        let [(found, message)] = problems.as_slice() else {
            panic!("{code}: {problems:?}");
        };
        assert_eq!(found, code);
        assert!(!message.contains(AUD), "{message}");
        messages.push(message.clone());
    }
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), table.len(), "two mistakes share a message");
    assert_eq!(
        check(&gateway, Some(&first.sign(&team.claims(LI)))).await,
        []
    );
}

#[tokio::test]
async fn keys_out_of_reach_are_told_with_a_token_and_without() {
    let [key, _] = keys();
    let team = Team::with(&[&key]).await;
    team.fail();
    let home = home(&team);
    let gateway = home.start();
    let codes = |problems: Vec<(String, String)>| -> Vec<String> {
        problems.into_iter().map(|(code, _)| code).collect()
    };
    let right = key.sign(&team.claims(LI));
    assert_eq!(
        codes(check(&gateway, Some(&right)).await),
        ["keys_unreachable"]
    );
    assert_eq!(
        codes(check(&gateway, None).await),
        ["no_token", "keys_unreachable"]
    );
}

#[tokio::test]
async fn missing_and_wrong_variables_are_told_where_access_is_skipped_or_off() {
    let off = Home::new().with("DEBUG_ROUTES", "true");
    let gateway = off.start();
    let problems = check(&gateway, None).await;
    assert_eq!(problems[0].0, "variables_missing");
    assert!(
        problems[0]
            .1
            .contains("CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD")
    );
    let wrong = [
        ("myteam.cloudflareaccess.com/cdn-cgi", "has a path"),
        ("http://myteam.cloudflareaccess.com", "http://"),
        ("myteam", "only a part"),
    ];
    for (domain, expected) in wrong {
        let home = Home::new()
            .with("DEBUG_ROUTES", "true")
            .with("DEV_MODE", "true")
            .with("CF_ACCESS_TEAM_DOMAIN", domain)
            .with("CF_ACCESS_AUD", AUD);
        let gateway = home.start();
        let problems = check(&gateway, None).await;
        assert_eq!(
            (problems.len(), problems[0].0.as_str()),
            (1, "variables_wrong")
        );
        assert!(problems[0].1.contains(expected), "{}", problems[0].1);
        let said = ask(&gateway, "GET", "/debug/access", &[]).await.json();
        assert_eq!(said["skippedBy"], "DEV_MODE");
    }
}
