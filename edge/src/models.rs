//! Builds the model that answers.

use crate::exit::{Exit, Failure};
use crate::settings::{Provider, Settings};
use crate::stamp;
use moltbot_agent::Model;
use moltbot_agent::model::anthropic::{AnthropicAccess, AnthropicModel};
use moltbot_agent::model::demo::DemoModel;
use moltbot_agent::model::retry::{RetryPolicy, Retrying};
use moltbot_agent::secret::ApiKey;
use std::sync::Arc;

/// Bounds of models; an answer must fit a record.
pub fn settings() -> moltbot_agent::Settings {
    let answer_bytes_max = moltbot_core::limits::ANSWER_BYTES_MAX;
    moltbot_agent::Settings {
        answer_bytes_max,
        ..moltbot_agent::Settings::default()
    }
}

/// The model for these settings.
pub fn build(settings: &Settings) -> Result<Arc<dyn Model>, Failure> {
    let bounds = self::settings();
    match &settings.provider {
        Provider::Demo => Ok(Arc::new(DemoModel::paced(&bounds))),
        Provider::Anthropic { key, base_url } => {
            let wrong = |error: moltbot_agent::ModelError| {
                Failure::new(Exit::Configuration, error.message())
            };
            let key = ApiKey::new(key.reveal()).map_err(wrong)?;
            let access = AnthropicAccess {
                key,
                base_url: base_url.clone(),
                model: None,
            };
            let model = AnthropicModel::new(access, bounds).map_err(wrong)?;
            let seed = u64::from_le_bytes(stamp::random());
            Ok(Arc::new(Retrying::new(
                model,
                RetryPolicy::new(&bounds),
                seed,
            )))
        }
    }
}
