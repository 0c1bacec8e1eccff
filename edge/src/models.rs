//! Builds the model that answers.

use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use crate::stamp;
use moltbot_agent::{Choice, Model, ModelError};
use std::sync::Arc;
use tracing::warn;

/// Bounds of models; an answer must fit a record.
pub fn settings() -> moltbot_agent::Settings {
    let answer_bytes_max = moltbot_core::limits::ANSWER_BYTES_MAX;
    moltbot_agent::Settings {
        answer_bytes_max,
        ..moltbot_agent::Settings::default()
    }
}

/// The model for these settings. Says in the log what of them chooses nothing.
pub fn build(settings: &Settings) -> Result<Arc<dyn Model>, Failure> {
    let wrong = |error: &ModelError| Failure::new(Exit::Configuration, error.message());
    let choice = settings.provider.as_ref().map_err(wrong)?;
    for warning in half_set(choice) {
        warn!("{warning}");
    }
    let seed = u64::from_le_bytes(stamp::random());
    choice
        .model(self::settings(), seed)
        .map_err(|error| wrong(&error))
}

/// What is set in part, each with what answers instead.
pub fn half_set(choice: &Choice) -> Vec<String> {
    let provider = choice.provider;
    let sentence = |half| format!("{half}; {provider} answers instead");
    choice.half_set.iter().map(sentence).collect()
}
