//! Anthropic's Messages API, streamed: <https://docs.claude.com/en/api/messages-streaming>.
//!
//! One request per answer, no state between them. Reading order: `request` (what is sent),
//! `http` beside this folder (how), `order` (which event may follow which).

mod order;
mod request;

use futures_util::{StreamExt as _, TryFutureExt as _};
use reqwest::Url;

use crate::error::ModelError;
use crate::model::access::Access;
use crate::model::http::{Connection, KeyCheck};
use crate::model::{Model, ModelInfo, ModelRequest, ModelStream};
use crate::settings::Settings;

pub(crate) use order::MessageOrder;

/// The provider's own address.
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";
/// The model that answers when none is configured.
pub const DEFAULT_MODEL: &str = "claude-sonnet-4-5-20250929";
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

/// A model behind the Messages API.
#[derive(Debug, Clone)]
pub struct AnthropicModel {
    connection: Connection,
    endpoint: Url,
    models_url: Url,
    info: ModelInfo,
}

impl AnthropicModel {
    /// Prepares the client; connects to nothing yet.
    ///
    /// The process must have installed a `rustls` crypto provider before, otherwise the HTTP client
    /// panics. An unusable address or a client that cannot be built is [`ModelError::Config`].
    pub fn new(access: Access, settings: Settings) -> Result<Self, ModelError> {
        Ok(Self {
            connection: Connection::new(&access, &[VERSION], settings)?,
            endpoint: access.url("/v1/messages")?,
            models_url: access.models_url,
            info: ModelInfo {
                provider: access.provider,
                model: access.model,
            },
        })
    }

    /// Asks for the list of models, to learn whether the key is taken; costs nothing.
    pub async fn check(&self) -> Result<KeyCheck, ModelError> {
        self.connection.check(self.models_url.clone()).await
    }

    async fn open(self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request::body(&self.info.model, &request)?;
        self.connection
            .ask(self.endpoint, body, MessageOrder::new())
            .await
    }
}

impl Model for AnthropicModel {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn start(&self, request: ModelRequest) -> ModelStream {
        self.clone().open(request).try_flatten_stream().boxed()
    }
}
