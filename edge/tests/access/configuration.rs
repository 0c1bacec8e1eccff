//! What is wrong with the variables is said at the start, all of it.

use super::support::Home;

/// Starting fails with exit code 3: what is said.
fn fails(vars: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut home = Home::new();
    for (name, value) in vars {
        home = home.with(name, value);
    }
    let arguments = [&["serve", "--port", "0"], arguments].concat();
    let (code, _, error) = home.run(&arguments);
    assert_eq!(code, 3, "{error}");
    error
}

#[test]
fn one_of_the_two_variables_alone_stops_the_start_and_names_the_other() {
    let error = fails(&[("CF_ACCESS_AUD", "aud")], &[]);
    assert!(
        error.starts_with("moltbot: CF_ACCESS_TEAM_DOMAIN is missing"),
        "{error}"
    );
    let error = fails(&[("CF_ACCESS_TEAM_DOMAIN", "t.cloudflareaccess.com")], &[]);
    assert!(
        error.starts_with("moltbot: CF_ACCESS_AUD is missing"),
        "{error}"
    );
    let error = fails(&[("CF_ACCESS_EVERYWHERE", "true")], &[]);
    assert!(
        error.contains("CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD are missing"),
        "{error}"
    );
    let wrong = (
        "CF_ACCESS_TEAM_DOMAIN",
        "https://t.cloudflareaccess.com/cdn-cgi",
    );
    let error = fails(&[wrong, ("CF_ACCESS_AUD", "aud")], &[]);
    assert!(
        error.contains("CF_ACCESS_TEAM_DOMAIN has a path"),
        "{error}"
    );
}

#[test]
fn everything_that_is_wrong_is_listed_at_once() {
    let vars = [
        ("MOLTBOT_UTC_OFFSET_MINUTES", "east"),
        ("MOLTBOT_PUBLIC_URL", "bot"),
        ("MOLTBOT_REPLICA_URL", "s3"),
        ("CF_ACCESS_AUD", "aud"),
    ];
    let error = fails(&vars, &["--bind", "0.0.0.0"]);
    assert!(
        error.starts_with("moltbot: 5 settings are wrong:\n"),
        "{error}"
    );
    let names = vars.map(|(name, _)| name);
    for name in [
        &names[..3],
        &["CF_ACCESS_TEAM_DOMAIN", "MOLTBOT_GATEWAY_TOKEN"],
    ]
    .concat()
    {
        let lines = error
            .lines()
            .filter(|line| line.starts_with("  - ") && line.contains(name));
        assert_eq!(lines.count(), 1, "{name}: {error}");
    }
}
