//! Which provider answers, chosen from the environment; pure.
//!
//! The first one whose variables are all set wins:
//!
//! | | provider | needs | asks | keys |
//! |---|---|---|---|---|
//! | 1 | Cloudflare AI Gateway | `CLOUDFLARE_AI_GATEWAY_API_KEY`, `CF_AI_GATEWAY_ACCOUNT_ID`, `CF_AI_GATEWAY_GATEWAY_ID` | the provider in `CF_AI_GATEWAY_MODEL` (`provider/model`), below `CF_AI_GATEWAY_BASE_URL` | `cf-aig-authorization` and what `cloudflare.rs` says |
//! | 1 | Workers AI | `CLOUDFLARE_AI_GATEWAY_API_KEY`, `CF_ACCOUNT_ID`, a `CF_AI_GATEWAY_MODEL` of `workers-ai/…`, neither id of a gateway | Cloudflare's API, or `CLOUDFLARE_API_BASE_URL` | `authorization` |
//! | 2 | a gateway | `AI_GATEWAY_API_KEY`, `AI_GATEWAY_BASE_URL` | that address, in the `OpenAI` form if it ends in `/openai`, else in Anthropic's | `authorization` or `x-api-key`; at Cloudflare as 1 |
//! | 3 | Anthropic | `ANTHROPIC_API_KEY` | Anthropic, or `ANTHROPIC_BASE_URL` | `x-api-key` |
//! | 4 | `OpenAI` | `OPENAI_API_KEY` | `OpenAI`, or `OPENAI_BASE_URL` | `authorization` |
//! | 5 | the demo model | nothing | itself | none |
//!
//! `MOLTBOT_MODEL` names another model than the default of 2, 3 and 4. A variable that is empty or
//! white space is not set. A group of variables that is set in part chooses nothing; it is reported,
//! see [`HalfSet`]. A value that cannot be used is an error that names its variable: the next
//! provider is not asked instead, for it may cost more, or read what it should not.

mod cloudflare;
mod direct;
mod half_set;

pub use half_set::HalfSet;

use std::fmt;
use std::sync::Arc;

use reqwest::Url;

use crate::error::ModelError;
use crate::model::access::{Access, Api, base_url};
use crate::model::anthropic::AnthropicModel;
use crate::model::demo::DemoModel;
use crate::model::openai::OpenAiModel;
use crate::model::retry::{RetryPolicy, Retrying};
use crate::model::{KeyCheck, Model};
use crate::secret::ApiKey;
use crate::settings::Settings;

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// [Cloudflare AI Gateway](https://developers.cloudflare.com/ai-gateway/), by its own variables.
    CloudflareGateway,
    /// [Workers AI](https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/)
    /// without a gateway.
    WorkersAi,
    /// Whatever answers at `AI_GATEWAY_BASE_URL`.
    Gateway,
    /// Anthropic's Messages API.
    Anthropic,
    /// `OpenAI`'s Chat Completions API.
    OpenAi,
    /// The embedded demo model.
    Demo,
}

impl Provider {
    /// The variables that choose it when all of them are set.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::CloudflareGateway => &cloudflare::GATEWAY,
            Self::WorkersAi => &[cloudflare::KEY, cloudflare::MODEL, cloudflare::ACCOUNT],
            Self::Gateway => &["AI_GATEWAY_API_KEY", "AI_GATEWAY_BASE_URL"],
            Self::Anthropic => &["ANTHROPIC_API_KEY"],
            Self::OpenAi => &["OPENAI_API_KEY"],
            Self::Demo => &[],
        }
    }

    /// Chooses by `env`, which gives the value of a variable that is set.
    ///
    /// A value that cannot be used is [`ModelError::Config`].
    pub fn choose(env: &dyn Fn(&str) -> Option<String>) -> Result<Choice, ModelError> {
        let vars = Variables(env);
        let in_order: [(Self, Candidate); 5] = [
            (Self::CloudflareGateway, cloudflare::gateway),
            (Self::WorkersAi, cloudflare::workers_ai),
            (Self::Gateway, direct::gateway),
            (Self::Anthropic, direct::anthropic),
            (Self::OpenAi, direct::openai),
        ];
        let mut chosen = (Self::Demo, None);
        for (provider, candidate) in in_order {
            if let Some(access) = candidate(&vars)? {
                chosen = (provider, Some(access));
                break;
            }
        }
        let (provider, access) = chosen;
        Ok(Choice {
            provider,
            access,
            half_set: half_set::all(&vars, provider),
        })
    }
}

/// Reaches a provider if its variables are set.
type Candidate = fn(&Variables<'_>) -> Result<Option<Access>, ModelError>;

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudflareGateway => "Cloudflare AI Gateway",
            Self::WorkersAi => "Workers AI",
            Self::Gateway => "the gateway at AI_GATEWAY_BASE_URL",
            Self::Anthropic => "Anthropic",
            Self::OpenAi => "OpenAI",
            Self::Demo => "the demo model",
        })
    }
}

/// What was chosen. Its `Debug` shows no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Who answers.
    pub provider: Provider,
    /// How to reach it; `None` for the demo model.
    pub access: Option<Access>,
    /// Variables that choose nothing because others are missing.
    pub half_set: Vec<HalfSet>,
}

impl Choice {
    /// The model, which tries again as the settings say; `seed` decides its waits.
    ///
    /// The process must have installed a `rustls` crypto provider before. A client that cannot be
    /// built is [`ModelError::Config`].
    pub fn model(&self, settings: Settings, seed: u64) -> Result<Arc<dyn Model>, ModelError> {
        let Some(access) = self.access.clone() else {
            return Ok(Arc::new(DemoModel::paced(&settings)));
        };
        let policy = RetryPolicy::new(&settings);
        Ok(match access.api {
            Api::Anthropic => {
                let model = AnthropicModel::new(access, settings)?;
                Arc::new(Retrying::new(model, policy, seed))
            }
            Api::OpenAi(_) => {
                let model = OpenAiModel::new(access, settings)?;
                Arc::new(Retrying::new(model, policy, seed))
            }
        })
    }

    /// Asks the provider for something free, to learn whether it takes the keys; within
    /// [`Settings::check_timeout_ms`] or a little more. `None` for the demo model.
    pub async fn check(&self, settings: Settings) -> Result<Option<KeyCheck>, ModelError> {
        let Some(access) = self.access.clone() else {
            return Ok(None);
        };
        let found = match access.api {
            Api::Anthropic => AnthropicModel::new(access, settings)?.check().await,
            Api::OpenAi(_) => OpenAiModel::new(access, settings)?.check().await,
        };
        found.map(Some)
    }
}

/// The environment, without what only looks set.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = (self.0)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn key(&self, name: &'static str) -> Result<Option<ApiKey>, ModelError> {
        self.get(name)
            .map(|text| ApiKey::new(name, &text))
            .transpose()
    }

    /// The address in a variable, or else the default.
    fn base_url(&self, name: &str, default: &str) -> Result<Url, ModelError> {
        match self.get(name) {
            Some(text) => base_url(name, &text),
            None => base_url(name, default),
        }
    }
}

#[cfg(test)]
mod tests;
