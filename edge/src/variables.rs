//! The variables of the environment that this gateway or the Worker before it knows: which are set,
//! and which are secret.
//!
//! Invariant: no value is kept here.

use std::collections::BTreeSet;

/// Their values show nothing that must be hidden.
const PLAIN: &[&str] = &[
    "ANTHROPIC_BASE_URL",
    "AI_GATEWAY_BASE_URL",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
    "CF_ACCESS_EVERYWHERE",
    "CF_ACCESS_TEAM_DOMAIN",
    "CF_AI_GATEWAY_BASE_URL",
    "CF_AI_GATEWAY_GATEWAY_ID",
    "CF_AI_GATEWAY_MODEL",
    "CLOUDFLARE_API_BASE_URL",
    "DEBUG_ROUTES",
    "DEV_MODE",
    "DISCORD_API_URL",
    "DISCORD_DM_ALLOW_FROM",
    "DISCORD_DM_POLICY",
    "DISCORD_PUBLIC_KEY",
    "E2E_TEST_MODE",
    "MOLTBOT_ACK",
    "MOLTBOT_BIND",
    "MOLTBOT_CHECKPOINT_EVERY",
    "MOLTBOT_CHECKPOINT_URL",
    "MOLTBOT_CONTROL_UI_DIR",
    "MOLTBOT_HOME",
    "MOLTBOT_INSTANCE_ID",
    "MOLTBOT_LOG",
    "MOLTBOT_LOG_FORMAT",
    "MOLTBOT_MODEL",
    "MOLTBOT_PORT",
    "MOLTBOT_PUBLIC_URL",
    "MOLTBOT_REPLICA_URL",
    "MOLTBOT_SHIP_LINGER_MS",
    "MOLTBOT_TRUSTED_PROXIES",
    "MOLTBOT_UTC_OFFSET_MINUTES",
    "MOLTBOT_WORKSPACE",
    "OPENAI_BASE_URL",
    "R2_BUCKET_NAME",
    "R2_ENDPOINT_URL",
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

/// Variables whose values no line, answer or file may show, beside all that are called a key, a
/// token, a secret or a password. Not all of them are read by this process; whoever sets them for
/// its neighbours expects the same.
pub const SECRET: &[&str] = &[
    "AI_GATEWAY_API_KEY",
    "ANTHROPIC_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "CDP_SECRET",
    "CF_ACCESS_AUD",
    "CF_ACCOUNT_ID",
    "CF_AI_GATEWAY_ACCOUNT_ID",
    "CLOUDFLARE_AI_GATEWAY_API_KEY",
    "CLOUDFLARE_API_TOKEN",
    "DISCORD_BOT_TOKEN",
    "MOLTBOT_CHECKPOINT_KEY",
    "MOLTBOT_GATEWAY_TOKEN",
    "MOLTBOT_MASTER_KEY",
    "MOLTBOT_MASTER_KEY_PREVIOUS",
    "OPENAI_API_KEY",
    "R2_ACCESS_KEY_ID",
    "R2_SECRET_ACCESS_KEY",
    "SLACK_APP_TOKEN",
    "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET",
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_WEBHOOK_SECRET",
];

/// Whether the value of a variable of this name is a secret.
pub fn is_secret(name: &str) -> bool {
    let endings = ["_TOKEN", "_KEY", "_SECRET", "_PASSWORD"];
    SECRET.contains(&name) || endings.iter().any(|ending| name.ends_with(ending))
}

/// Which variables are set.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    set: BTreeSet<&'static str>,
}

impl Variables {
    /// Looks every known variable up.
    pub fn read(env: &dyn Fn(&str) -> Option<String>) -> Variables {
        let names = PLAIN.iter().chain(SECRET).copied();
        Variables {
            set: names.filter(|name| env(name).is_some()).collect(),
        }
    }

    /// Whether a variable is set.
    pub fn has(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    /// Every known variable and whether it is set.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let names = PLAIN.iter().chain(SECRET).copied();
        names.map(|name| (name, self.set.contains(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_known_without_its_value() {
        let env = |name: &str| match name {
            "SLACK_APP_TOKEN" => Some("xapp-1".to_owned()),
            "WORKER_URL" => Some("https://w.example".to_owned()),
            _ => None,
        };
        let variables = Variables::read(&env);
        assert!(variables.has("WORKER_URL") && !variables.has("MOLTBOT_HOME"));
        assert_eq!(variables.iter().filter(|(_, set)| *set).count(), 2);
        assert!(!format!("{variables:?}").contains("xapp-1"));
        assert!(
            is_secret("SLACK_APP_TOKEN") && is_secret("MY_API_KEY") && !is_secret("WORKER_URL")
        );
    }

    #[test]
    fn a_variable_stands_in_one_table_once() {
        let names: BTreeSet<&str> = PLAIN.iter().chain(SECRET).copied().collect();
        assert_eq!(names.len(), PLAIN.len() + SECRET.len());
    }
}
