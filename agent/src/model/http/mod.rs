//! The HTTP that both forms of API share: one POST per answer, its reply as an event stream.
//!
//! Invariants: keys travel in their headers to the configured address only (redirects are refused,
//! since they would take them along), and no error shows one. Retrying is not done here, see
//! [`Retrying`](crate::model::retry::Retrying).
//!
//! Reading order: this file (client, errors of the connection), `messages` (what both forms send),
//! `reply` (bytes to events, with the waits), `fault` (error replies).

mod fault;
mod messages;
mod reply;

pub(crate) use fault::of_event;
pub(crate) use messages::{Message, json, messages, system};
pub(crate) use reply::Decoder;

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use crate::error::{ModelError, Wait};
use crate::model::ModelStream;
use crate::model::access::Access;
use crate::secret::{ApiKey, Excerpt};
use crate::settings::Settings;

/// What a check of the keys found; a refusal is an error instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCheck {
    /// The server took the keys.
    Accepted,
    /// The server answered, but in a way that says nothing about the keys.
    Unknown {
        /// The status of its answer.
        status: u16,
    },
}

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    client: Client,
    headers: HeaderMap,
    keys: Vec<ApiKey>,
    settings: Settings,
}

impl Connection {
    /// Prepares the client; connects to nothing yet.
    ///
    /// The process must have installed a `rustls` crypto provider before, otherwise the HTTP client
    /// panics. A client that cannot be built is [`ModelError::Config`].
    pub(crate) fn new(
        access: &Access,
        fixed: &[(&'static str, &'static str)],
        settings: Settings,
    ) -> Result<Self, ModelError> {
        let mut client = Client::builder()
            .user_agent(concat!("moltbot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .redirect(redirect::Policy::none());
        if is_loopback(&access.base_url) {
            // A proxy of the environment would look for the server on its own machine.
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| ModelError::config(&format!("HTTP client: {}", root_cause(&error))))?;
        Ok(Self {
            client,
            headers: headers(access, fixed)?,
            keys: access.keys(),
            settings,
        })
    }

    /// Sends a request and returns the events of its reply.
    pub(crate) async fn ask(
        self,
        url: Url,
        body: String,
        decoder: impl Decoder,
    ) -> Result<ModelStream, ModelError> {
        let sent = self
            .client
            .post(url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send();
        let wait = Duration::from_millis(self.settings.first_byte_timeout_ms);
        let response = self.head(wait, sent).await?;
        if response.status() != StatusCode::OK {
            return Err(fault::read(response, &self.keys, &self.settings).await);
        }
        if !is_event_stream(&response) {
            return Err(fault::not_a_stream(response, &self.keys, &self.settings).await);
        }
        let bytes = response
            .bytes_stream()
            .map_err(|_| ModelError::Interrupted)
            .boxed();
        Ok(reply::events(bytes, decoder, self.keys, self.settings))
    }

    /// Asks for something free, to learn whether the keys are taken; bounded by
    /// [`Settings::check_timeout_ms`].
    pub(crate) async fn check(&self, url: Url) -> Result<KeyCheck, ModelError> {
        let sent = self.client.get(url).headers(self.headers.clone()).send();
        let wait = Duration::from_millis(self.settings.check_timeout_ms);
        let response = self.head(wait, sent).await?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(KeyCheck::Accepted);
        }
        let read = fault::read(response, &self.keys, &self.settings);
        let refused = tokio::time::timeout(wait, read).await;
        match refused {
            Ok(error @ (ModelError::Auth { .. } | ModelError::Billing { .. })) => Err(error),
            _ => Ok(KeyCheck::Unknown {
                status: status.as_u16(),
            }),
        }
    }

    async fn head(
        &self,
        wait: Duration,
        sent: impl Future<Output = Result<Response, reqwest::Error>>,
    ) -> Result<Response, ModelError> {
        tokio::time::timeout(wait, sent)
            .await
            .map_err(|_| ModelError::Timeout {
                wait: Wait::FirstByte,
            })?
            .map_err(|error| self.unreachable(error))
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
            reason: Excerpt::redacted(&reason, &self.keys),
        }
    }
}

fn headers(
    access: &Access,
    fixed: &[(&'static str, &'static str)],
) -> Result<HeaderMap, ModelError> {
    let mut headers = HeaderMap::new();
    for (name, value) in fixed {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    for header in &access.headers {
        let text = format!("{}{}", header.name.scheme(), header.key.expose());
        let mut value = HeaderValue::try_from(text).map_err(|_| {
            let variable = header.key.variable();
            ModelError::config(&format!("{variable} cannot be sent as a header"))
        })?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(header.name.as_str()), value);
    }
    Ok(headers)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_event_stream(response: &Response) -> bool {
    content_type(response)
        .to_ascii_lowercase()
        .starts_with("text/event-stream")
}

fn content_type(response: &Response) -> &str {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none")
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
    fn loopback_is_recognised_in_every_spelling() {
        let is_loopback = |text: &str| is_loopback(&Url::parse(text).unwrap());
        for host in ["127.0.0.1:80", "127.8.0.1", "localhost:9", "[::1]:9"] {
            assert!(is_loopback(&format!("http://{host}")), "{host}");
        }
        assert!(!is_loopback("https://api.example"));
    }
}
