//! The team's keys: fetched once, again when they change, never at a stranger's pace.

use super::provider::{LI, PAGE, Team, ask, jwt, keys};
use serde_json::json;

const API: &str = "/api/admin/devices";

#[tokio::test]
async fn a_rotated_key_works_after_one_fetch() {
    let [first, second] = keys();
    let team = Team::with(&[&first]).await;
    let home = team.home();
    let gateway = home.start();
    assert_eq!(team.asked(), 0);
    let (old, new) = (first.sign(&team.claims(LI)), second.sign(&team.claims(LI)));
    for _ in 0..5 {
        assert_eq!(ask(&gateway, "GET", API, &[jwt(&old)]).await.status, 200);
    }
    assert_eq!(team.asked(), 1, "keys are kept");
    team.publish(&[&second, &first]);
    for token in [&new, &old, &new] {
        assert_eq!(ask(&gateway, "GET", API, &[jwt(token)]).await.status, 200);
    }
    assert_eq!(team.asked(), 2);
}

#[tokio::test]
async fn keys_that_nobody_knows_ask_for_the_set_only_so_often() {
    let [first, second] = keys();
    let team = Team::with(&[&first]).await;
    let home = team.home();
    let gateway = home.start();
    for n in 0..40 {
        let header = json!({ "alg": "RS256", "kid": format!("garbage {n}") });
        let token = second.sign_as(&header, &team.claims(LI));
        let said = ask(&gateway, "GET", API, &[jwt(&token)]).await;
        assert_eq!(
            (said.status, &said.json()["code"]),
            (401, &json!("key_unknown"))
        );
    }
    assert!(team.asked() <= 5, "asked {} times", team.asked());
    let right = first.sign(&team.claims(LI));
    assert_eq!(ask(&gateway, "GET", API, &[jwt(&right)]).await.status, 200);
}

#[tokio::test]
async fn without_keys_nobody_is_believed_and_known_ones_stay_good() {
    let [first, second] = keys();
    let team = Team::with(&[]).await;
    team.fail();
    let home = team.home();
    let gateway = home.start();
    let (right, other) = (first.sign(&team.claims(LI)), second.sign(&team.claims(LI)));
    let page = ask(&gateway, "GET", "/_admin/", &[jwt(&right), PAGE]).await;
    assert_eq!(page.status, 503);
    assert!(page.text.contains("CF_ACCESS_TEAM_DOMAIN"), "{}", page.text);
    // What it answers now is no key set.
    team.publish(&[]);
    let said = ask(&gateway, "GET", API, &[jwt(&right)]).await;
    let body = said.json();
    assert_eq!(
        (said.status, &body["code"]),
        (503, &json!("keys_unreachable"))
    );
    team.publish(&[&first]);
    assert_eq!(ask(&gateway, "GET", API, &[jwt(&right)]).await.status, 200);
    team.fail();
    assert_eq!(ask(&gateway, "GET", API, &[jwt(&other)]).await.status, 503);
    assert_eq!(ask(&gateway, "GET", API, &[jwt(&right)]).await.status, 200);
}
