//! `OpenAI`'s Chat Completions, streamed: <https://platform.openai.com/docs/api-reference/chat-streaming>.
//!
//! Many servers speak it, none quite the same. This side is tolerant to what real ones send or leave
//! out, and strict where text could be lost without anybody noticing. One request per answer, no
//! state between them. Reading order: `request` (what is sent), `http` beside this folder (how),
//! `chunks` (what comes back).

mod chunks;
mod request;

use futures_util::{StreamExt as _, TryFutureExt as _};
use reqwest::Url;

use crate::error::ModelError;
use crate::model::access::{Access, Api, TokenLimit};
use crate::model::http::{Connection, KeyCheck};
use crate::model::{Model, ModelInfo, ModelRequest, ModelStream};
use crate::settings::Settings;

use chunks::Chunks;

/// The provider's own address.
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";
/// The model that answers when none is configured.
pub const DEFAULT_MODEL: &str = "gpt-5.2";

/// A model behind Chat Completions.
#[derive(Debug, Clone)]
pub struct OpenAiModel {
    connection: Connection,
    endpoint: Url,
    models_url: Url,
    info: ModelInfo,
    limit: TokenLimit,
}

impl OpenAiModel {
    /// Prepares the client; connects to nothing yet.
    ///
    /// The process must have installed a `rustls` crypto provider before, otherwise the HTTP client
    /// panics. An unusable address or a client that cannot be built is [`ModelError::Config`].
    pub fn new(access: Access, settings: Settings) -> Result<Self, ModelError> {
        let limit = match access.api {
            Api::OpenAi(limit) => limit,
            Api::Anthropic => TokenLimit::MaxTokens,
        };
        Ok(Self {
            connection: Connection::new(&access, &[], settings)?,
            endpoint: access.url("/chat/completions")?,
            models_url: access.models_url,
            info: ModelInfo {
                provider: access.provider,
                model: access.model,
            },
            limit,
        })
    }

    /// Asks for the list of models, to learn whether the key is taken; costs nothing.
    pub async fn check(&self) -> Result<KeyCheck, ModelError> {
        self.connection.check(self.models_url.clone()).await
    }

    async fn open(self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request::body(&self.info.model, self.limit, &request)?;
        self.connection
            .ask(self.endpoint, body, Chunks::new())
            .await
    }
}

impl Model for OpenAiModel {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn start(&self, request: ModelRequest) -> ModelStream {
        self.clone().open(request).try_flatten_stream().boxed()
    }
}
