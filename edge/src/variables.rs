//! The variables of the environment that this gateway or the Worker before it knows: which are set,
//! and which are secret.
//!
//! Invariant: what leaves through `/debug` passes [`Variables::redact`], which knows the value of
//! every secret here; values that are no secret are not kept at all.

use crate::auth::token::Secret;
use std::collections::BTreeSet;

/// Their values show nothing that must be hidden.
const PLAIN: [&str; 42] = [
    "ANTHROPIC_BASE_URL",
    "AI_GATEWAY_BASE_URL",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "CF_ACCESS_AUD",
    "CF_ACCESS_EVERYWHERE",
    "CF_ACCESS_TEAM_DOMAIN",
    "CF_ACCOUNT_ID",
    "CF_AI_GATEWAY_ACCOUNT_ID",
    "CF_AI_GATEWAY_GATEWAY_ID",
    "CF_AI_GATEWAY_MODEL",
    "DEBUG_ROUTES",
    "DEV_MODE",
    "DISCORD_API_URL",
    "DISCORD_DM_ALLOW_FROM",
    "DISCORD_DM_POLICY",
    "DISCORD_PUBLIC_KEY",
    "E2E_TEST_MODE",
    "MOLTBOT_BIND",
    "MOLTBOT_CONTROL_UI_DIR",
    "MOLTBOT_HOME",
    "MOLTBOT_INSTANCE_ID",
    "MOLTBOT_LOG",
    "MOLTBOT_PORT",
    "MOLTBOT_PUBLIC_URL",
    "MOLTBOT_REPLICA_URL",
    "MOLTBOT_TRUSTED_PROXIES",
    "MOLTBOT_UTC_OFFSET_MINUTES",
    "MOLTBOT_WORKSPACE",
    "OPENAI_BASE_URL",
    "R2_BUCKET_NAME",
    "SANDBOX_SLEEP_AFTER",
    "SLACK_API_URL",
    "SLACK_DM_ALLOW_FROM",
    "SLACK_DM_POLICY",
    "TELEGRAM_API_URL",
    "TELEGRAM_DM_ALLOW_FROM",
    "TELEGRAM_DM_POLICY",
    "WORKER_URL",
    "WORKER_VERSION",
];

/// Their values are secrets.
const SECRET: [&str; 17] = [
    "AI_GATEWAY_API_KEY",
    "ANTHROPIC_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CDP_SECRET",
    "CLOUDFLARE_AI_GATEWAY_API_KEY",
    "DISCORD_BOT_TOKEN",
    "MOLTBOT_GATEWAY_TOKEN",
    "MOLTBOT_MASTER_KEY",
    "OPENAI_API_KEY",
    "R2_ACCESS_KEY_ID",
    "R2_SECRET_ACCESS_KEY",
    "SLACK_APP_TOKEN",
    "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET",
    "TELEGRAM_BOT_TOKEN",
];

/// A shorter secret would black out half of every text; it protects nothing anyway.
const REDACTED_CHARS_MIN: usize = 6;

/// Which variables are set.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    set: BTreeSet<&'static str>,
    secrets: Vec<Secret>,
}

impl Variables {
    /// Looks every known variable up.
    pub fn read(env: &dyn Fn(&str) -> Option<String>) -> Variables {
        let names = PLAIN.into_iter().chain(SECRET);
        let set = names.filter(|name| env(name).is_some()).collect();
        let mut secrets: Vec<String> = SECRET.into_iter().filter_map(env).collect();
        // One may contain another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Variables {
            set,
            secrets: secrets.into_iter().map(Secret::new).collect(),
        }
    }

    /// Whether a variable is set.
    pub fn has(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    /// Every known variable and whether it is set.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let names = PLAIN.into_iter().chain(SECRET);
        names.map(|name| (name, self.set.contains(name)))
    }

    /// The text without any secret of the environment, nor this one.
    pub fn redact(&self, text: &str, other: &Secret) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().chain([other]) {
            let secret = secret.reveal().trim();
            if secret.len() >= REDACTED_CHARS_MIN {
                text = text.replace(secret, "[redacted]");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_blacked_out() {
        let env = |name: &str| match name {
            "SLACK_APP_TOKEN" => Some("xapp-1".to_owned()),
            "CDP_SECRET" => Some("xapp-1-longer".to_owned()),
            "WORKER_URL" => Some("https://w.example".to_owned()),
            _ => None,
        };
        let variables = Variables::read(&env);
        let text = "xapp-1, xapp-1-longer, token1, https://w.example";
        let redacted = variables.redact(text, &Secret::new("token1"));
        assert_eq!(
            redacted,
            "[redacted], [redacted], [redacted], https://w.example"
        );
        assert!(variables.has("CDP_SECRET") && !variables.has("MOLTBOT_HOME"));
        assert_eq!(variables.iter().filter(|(_, set)| *set).count(), 3);
        assert!(!format!("{variables:?}").contains("xapp"));
    }

    #[test]
    fn a_variable_stands_in_one_table_once() {
        let names: BTreeSet<&str> = PLAIN.into_iter().chain(SECRET).collect();
        assert_eq!(names.len(), PLAIN.len() + SECRET.len());
    }
}
