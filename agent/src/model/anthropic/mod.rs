//! Anthropic's Messages API, streamed.
//!
//! One request per answer, no state between them. Invariants: the key travels in the `x-api-key`
//! header to the configured address only (redirects are refused, since they would take it along), and
//! no error shows it. Retrying is not done here, see [`Retrying`](crate::model::retry::Retrying).
//!
//! Reading order: this file (address, client, errors of the connection), `request` (what is sent),
//! `fault` (error replies), `stream` (bytes to events, with the waits), `order` (which event may
//! follow which).

mod fault;
mod order;
mod request;
mod stream;

use std::time::Duration;

use futures_util::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url, redirect};

use crate::error::{ModelError, Wait};
use crate::model::{Model, ModelInfo, ModelRequest, ModelStream};
use crate::secret::{ApiKey, Excerpt};
use crate::settings::Settings;

/// The provider's own address.
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";
/// The model that answers when none is configured.
pub const DEFAULT_MODEL: &str = "claude-sonnet-4-5-20250929";
const API_VERSION: &str = "2023-06-01";

/// How to reach the provider.
#[derive(Debug, Clone)]
pub struct AnthropicAccess {
    /// The account's key.
    pub key: ApiKey,
    /// Another address, of a gateway or a test; with or without a trailing `/v1`.
    pub base_url: Option<String>,
    /// Another model.
    pub model: Option<String>,
}

/// A model of Anthropic.
#[derive(Debug, Clone)]
pub struct AnthropicModel {
    client: Client,
    endpoint: Url,
    key: ApiKey,
    model: String,
    settings: Settings,
}

impl AnthropicModel {
    /// Prepares the client; connects to nothing yet.
    ///
    /// The process must have installed a `rustls` crypto provider before, otherwise the HTTP client
    /// panics. An unusable address or a client that cannot be built is [`ModelError::Config`].
    pub fn new(access: AnthropicAccess, settings: Settings) -> Result<Self, ModelError> {
        let endpoint = endpoint(access.base_url.as_deref().unwrap_or(DEFAULT_BASE_URL))?;
        let mut client = Client::builder()
            .user_agent(concat!("moltbot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .redirect(redirect::Policy::none());
        if is_loopback(&endpoint) {
            // A proxy of the environment would look for the server on its own machine.
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| ModelError::config(&format!("HTTP client: {}", root_cause(&error))))?;
        let model = access
            .model
            .as_deref()
            .map(str::trim)
            .filter(|model| !model.is_empty());
        let model = model.unwrap_or(DEFAULT_MODEL).to_owned();
        Ok(Self {
            client,
            endpoint,
            key: access.key,
            model,
            settings,
        })
    }

    /// Sends the request and returns the events of its reply.
    async fn open(self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let body = request::body(&self.model, &request)?;
        let mut key = HeaderValue::from_str(self.key.expose())
            .map_err(|_| ModelError::config("the API key cannot be sent as a header"))?;
        key.set_sensitive(true);
        let sent = self
            .client
            .post(self.endpoint.clone())
            .header("x-api-key", key)
            .header("anthropic-version", API_VERSION)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send();
        let wait = Duration::from_millis(self.settings.first_byte_timeout_ms);
        let response = tokio::time::timeout(wait, sent)
            .await
            .map_err(|_| ModelError::Timeout {
                wait: Wait::FirstByte,
            })?
            .map_err(|error| self.unreachable(error))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(fault::read(response, &self.key, &self.settings).await);
        }
        expect_event_stream(&response)?;
        let reply = response
            .bytes_stream()
            .map_err(|_| ModelError::Interrupted)
            .boxed();
        Ok(stream::events(reply, self.key, self.settings))
    }

    fn unreachable(&self, error: reqwest::Error) -> ModelError {
        // The only timeout set on the client is that of the connection.
        if error.is_timeout() {
            return ModelError::Timeout {
                wait: Wait::Connect,
            };
        }
        let reason = root_cause(&error.without_url());
        ModelError::Unreachable {
            reason: Excerpt::redacted(&reason, Some(&self.key)),
        }
    }
}

impl Model for AnthropicModel {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            provider: "anthropic".to_owned(),
            model: self.model.clone(),
        }
    }

    fn start(&self, request: ModelRequest) -> ModelStream {
        self.clone().open(request).try_flatten_stream().boxed()
    }
}

/// `{base}/v1/messages`, whichever way the base was written.
fn endpoint(base_url: &str) -> Result<Url, ModelError> {
    let base = base_url.trim().trim_end_matches('/');
    let base = base
        .strip_suffix("/v1")
        .unwrap_or(base)
        .trim_end_matches('/');
    let url = Url::parse(&format!("{base}/v1/messages"))
        .map_err(|error| ModelError::config(&format!("the model's base URL: {error}")))?;
    let problem = if !matches!(url.scheme(), "http" | "https") {
        "it must begin with https:// or http://"
    } else if !url.username().is_empty() || url.password().is_some() {
        "it must not hold a user name or password"
    } else if url.query().is_some() || url.fragment().is_some() {
        "it must not hold a query or fragment"
    } else {
        return Ok(url);
    };
    Err(ModelError::config(&format!(
        "the model's base URL: {problem}"
    )))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn expect_event_stream(response: &Response) -> Result<(), ModelError> {
    let content_type = response.headers().get(CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none");
    if content_type
        .to_ascii_lowercase()
        .starts_with("text/event-stream")
    {
        return Ok(());
    }
    Err(ModelError::protocol(&format!(
        "content type `{content_type}` instead of an event stream"
    )))
}

/// The innermost cause: the outer layers only say that sending a request went wrong.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_the_same_however_the_base_is_written() {
        for base in ["", "/", "//", "/v1", "/v1/", "/v1//"] {
            let url = endpoint(&format!(" https://api.example{base} ")).unwrap();
            assert_eq!(
                url.as_str(),
                "https://api.example/v1/messages",
                "base {base:?}"
            );
        }
        let gateway = endpoint("https://gateway.example/v1/account/name/anthropic").unwrap();
        assert_eq!(
            gateway.as_str(),
            "https://gateway.example/v1/account/name/anthropic/v1/messages"
        );
        assert_eq!(endpoint(DEFAULT_BASE_URL).unwrap().scheme(), "https");
    }

    #[test]
    fn unusable_bases_are_refused() {
        let bases = [
            "",
            "api.example",
            "ftp://api.example",
            "https://user:secret@api.example",
            "https://api.example?key=1",
            "https://api.example/#top",
        ];
        for base in bases {
            let error = endpoint(base).unwrap_err();
            assert_eq!(error.code(), "model_config", "base {base:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn loopback_is_recognised_in_every_spelling() {
        for host in ["127.0.0.1:80", "127.8.0.1", "localhost:9", "[::1]:9"] {
            assert!(
                is_loopback(&endpoint(&format!("http://{host}")).unwrap()),
                "{host}"
            );
        }
        assert!(!is_loopback(&endpoint(DEFAULT_BASE_URL).unwrap()));
    }
}
