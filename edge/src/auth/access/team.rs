//! The variables of Cloudflare Access, and what is wrong with them.
//!
//! | variable | meaning |
//! |---|---|
//! | `CF_ACCESS_TEAM_DOMAIN` | `myteam.cloudflareaccess.com`; `https://` before it and `/` after it do no harm |
//! | `CF_ACCESS_AUD` | the Application Audience (AUD) tag of the Access application |
//! | `CF_ACCESS_EVERYWHERE` | `true`: all routes but the health checks need Access |
//! | `DEV_MODE`, `E2E_TEST_MODE` | `true`: Access is skipped |
//!
//! For an identity provider on this machine (tests), the team domain may be `http://` with a
//! loopback host and a port. Nothing else but HTTPS fetches keys.

use url::{Host, Url};

/// Whose tokens count, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The issuer, as `https://myteam.cloudflareaccess.com`.
    pub issuer: String,
    /// The AUD tag of the application.
    pub audience: String,
}

impl Team {
    /// Where the team's public keys are.
    pub fn certs_url(&self) -> String {
        format!("{}/cdn-cgi/access/certs", self.issuer)
    }
}

/// What the variables say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// Whose tokens count; `None` when Access is not configured.
    pub team: Option<Team>,
    /// What is wrong, one sentence each. A gateway that does not skip Access does not start with
    /// any.
    pub problems: Vec<String>,
    /// The variable that says to skip Access.
    pub skipped_by: Option<&'static str>,
    /// Whether all routes need Access.
    pub everywhere: bool,
}

impl AccessSettings {
    /// Reads the variables.
    pub fn read(env: &dyn Fn(&str) -> Option<String>) -> AccessSettings {
        let is_true = |name: &str| env(name).as_deref() == Some("true");
        let skipped_by = ["DEV_MODE", "E2E_TEST_MODE"]
            .into_iter()
            .find(|name| is_true(name));
        let everywhere = is_true("CF_ACCESS_EVERYWHERE");
        let mut problems = Vec::new();
        let team = match (env("CF_ACCESS_TEAM_DOMAIN"), env("CF_ACCESS_AUD")) {
            (None, None) => {
                if everywhere {
                    problems.push(
                        "CF_ACCESS_EVERYWHERE is set, but CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD are missing"
                            .to_owned(),
                    );
                }
                None
            }
            (Some(_), None) => {
                problems.push(
                    "CF_ACCESS_AUD is missing: copy the Application Audience (AUD) tag of the Access application; CF_ACCESS_TEAM_DOMAIN alone protects nothing"
                        .to_owned(),
                );
                None
            }
            (None, Some(_)) => {
                problems.push(
                    "CF_ACCESS_TEAM_DOMAIN is missing: set it to the team's domain, as myteam.cloudflareaccess.com; CF_ACCESS_AUD alone protects nothing"
                        .to_owned(),
                );
                None
            }
            (Some(domain), Some(audience)) => {
                let (issuer, audience) = (issuer(&domain), self::audience(&audience));
                problems.extend(issuer.as_ref().err().cloned());
                problems.extend(audience.as_ref().err().cloned());
                issuer
                    .ok()
                    .zip(audience.ok())
                    .map(|(issuer, audience)| Team { issuer, audience })
            }
        };
        AccessSettings {
            team,
            problems,
            skipped_by,
            everywhere,
        }
    }
}

fn issuer(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        Err(format!(
            "CF_ACCESS_TEAM_DOMAIN {why}: set it to the team's domain and nothing else, as myteam.cloudflareaccess.com"
        ))
    };
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let Ok(url) = Url::parse(&format!("{scheme}://{}", rest.trim_end_matches('/'))) else {
        return wrong("is no domain");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("looks like an e-mail address or holds credentials");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return wrong("has a path");
    }
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) if url.scheme() == "https" && !name.contains('.') => {
            return wrong("is only a part of a domain");
        }
        Some(Host::Domain(_)) => false,
        None => return wrong("is no domain"),
    };
    match url.scheme() {
        "https" if url.port().is_some() => wrong("has a port"),
        "http" if !is_loopback => wrong("begins with http://, but Access is reached by https"),
        "https" | "http" => Ok(url.as_str().trim_end_matches('/').to_owned()),
        _ => wrong("begins with something else than https://"),
    }
}

fn audience(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(
            "CF_ACCESS_AUD holds blanks or other strange characters: copy the Application Audience (AUD) tag again"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> AccessSettings {
        let env = |name: &str| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        AccessSettings::read(&env)
    }

    #[test]
    fn a_team_domain_is_tolerated_with_scheme_and_slash_only() {
        let right = [
            (
                "myteam.cloudflareaccess.com",
                "https://myteam.cloudflareaccess.com",
            ),
            (
                " https://MyTeam.cloudflareaccess.com/ ",
                "https://myteam.cloudflareaccess.com",
            ),
            ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
            ("http://[::1]:8443/", "http://[::1]:8443"),
        ];
        for (text, expected) in right {
            assert_eq!(issuer(text).as_deref(), Ok(expected), "{text}");
        }
        let wrong = [
            (
                "https://myteam.cloudflareaccess.com/cdn-cgi/access/certs",
                "has a path",
            ),
            ("myteam.cloudflareaccess.com?x", "has a path"),
            ("myteam", "only a part"),
            ("li@myteam.cloudflareaccess.com", "e-mail"),
            ("http://myteam.cloudflareaccess.com", "http://"),
            ("http://localhost:1", "http://"),
            ("ftp://myteam.cloudflareaccess.com", "something else"),
            ("myteam.cloudflareaccess.com:8443", "has a port"),
            ("https://", "no domain"),
            ("my team.example", "no domain"),
        ];
        for (text, expected) in wrong {
            let problem = issuer(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }

    #[test]
    fn one_of_the_two_alone_names_the_other() {
        assert_eq!(read(&[]), AccessSettings::default());
        let only = |name| read(&[(name, "x.example")]).problems;
        assert!(only("CF_ACCESS_TEAM_DOMAIN")[0].starts_with("CF_ACCESS_AUD is missing"));
        assert!(only("CF_ACCESS_AUD")[0].starts_with("CF_ACCESS_TEAM_DOMAIN is missing"));
        assert_eq!(read(&[("CF_ACCESS_EVERYWHERE", "true")]).problems.len(), 1);
        let both = [("CF_ACCESS_TEAM_DOMAIN", "x/y"), ("CF_ACCESS_AUD", "a b")];
        assert_eq!(read(&both).problems.len(), 2);
    }

    #[test]
    fn only_the_exact_word_true_skips_access() {
        for word in ["yes", "1", "TRUE", "true ", ""] {
            assert_eq!(read(&[("DEV_MODE", word)]).skipped_by, None, "{word}");
        }
        assert_eq!(read(&[("DEV_MODE", "true")]).skipped_by, Some("DEV_MODE"));
        let e2e = read(&[("E2E_TEST_MODE", "true")]);
        assert_eq!(e2e.skipped_by, Some("E2E_TEST_MODE"));
    }
}
