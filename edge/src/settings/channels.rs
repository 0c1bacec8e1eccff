//! The variables of chat platforms.

use super::wrong;
use crate::auth::token::Secret;
use crate::channels::Access;
use crate::exit::Failure;
use moltbot_core::command::DmPolicy;
use url::Url;

/// A Telegram bot.
#[derive(Debug, Clone)]
pub struct TelegramBot {
    /// Its token, from `@BotFather`.
    pub token: Secret,
    /// Another Bot API server than Telegram's own.
    pub api_url: Option<Url>,
    /// Who may write to it.
    pub access: Access,
}

pub(super) fn telegram(
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<TelegramBot>, Failure> {
    let Some(token) = env("TELEGRAM_BOT_TOKEN") else {
        return Ok(None);
    };
    let api_url = env("TELEGRAM_API_URL")
        .map(|text| {
            Url::parse(&text)
                .map_err(|_| wrong("TELEGRAM_API_URL must be a URL, as https://api.telegram.org"))
        })
        .transpose()?;
    let access = access("TELEGRAM_DM_POLICY", "TELEGRAM_DM_ALLOW_FROM", env)?;
    Ok(Some(TelegramBot {
        token: Secret::new(token),
        api_url,
        access,
    }))
}

fn access(
    policy: &str,
    allow_from: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Access, Failure> {
    let chosen = match env(policy).as_deref().map(str::trim) {
        None | Some("pairing") => DmPolicy::Pairing,
        Some("open") => DmPolicy::Open,
        Some("allowlist") => DmPolicy::Allowlist,
        Some("disabled") => DmPolicy::Disabled,
        Some(_) => {
            let text = format!("{policy} must be pairing, open, allowlist or disabled");
            return Err(wrong(&text));
        }
    };
    let listed = env(allow_from).unwrap_or_default();
    let listed = listed
        .split(',')
        .map(|id| id.trim().to_lowercase())
        .filter(|id| !id.is_empty());
    Ok(Access {
        policy: chosen,
        allow_from: listed.collect(),
    })
}
