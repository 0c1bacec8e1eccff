//! How to reach a model over HTTP: which API it speaks, where, and with which keys.
//!
//! Data only; [`Choice`](crate::provider::Choice) fills it in from the environment, the models of
//! [`anthropic`](crate::model::anthropic) and [`openai`](crate::model::openai) use it.

use reqwest::Url;

use crate::error::ModelError;
use crate::secret::ApiKey;

/// The API a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Anthropic's [Messages](https://docs.claude.com/en/api/messages).
    Anthropic,
    /// `OpenAI`'s [Chat Completions](https://platform.openai.com/docs/api-reference/chat), which many
    /// servers speak.
    OpenAi(TokenLimit),
}

/// What a server of the `OpenAI` form calls the bound on an answer.
///
/// `OpenAI`'s newer models refuse `max_tokens`. Most other servers know only that name, and some
/// ignore the new one, which would leave answers unbounded. So the name goes by the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimit {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`, which counts reasoning too.
    MaxCompletionTokens,
}

/// A request header that carries a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHeader {
    /// Which one.
    pub name: KeyHeaderName,
    /// The key in it.
    pub key: ApiKey,
}

/// The headers that providers take keys in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyHeaderName {
    /// `authorization: Bearer …`, of the `OpenAI` form and of Cloudflare's API.
    Authorization,
    /// `cf-aig-authorization: Bearer …`, of an
    /// [authenticated gateway](https://developers.cloudflare.com/ai-gateway/configuration/authentication/).
    CfAigAuthorization,
    /// `x-api-key: …`, of Anthropic.
    XApiKey,
}

impl KeyHeaderName {
    /// The name as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::CfAigAuthorization => "cf-aig-authorization",
            Self::XApiKey => "x-api-key",
        }
    }

    /// What comes before the key.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Authorization | Self::CfAigAuthorization => "Bearer ",
            Self::XApiKey => "",
        }
    }
}

/// How to reach a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who answers, for records and for the person.
    pub provider: String,
    /// What is spoken there.
    pub api: Api,
    /// Where, without a trailing slash: `/v1/messages` (Anthropic) or `/chat/completions` is added.
    pub base_url: Url,
    /// An address that answers a GET with these keys, at no cost: the list of models.
    pub models_url: Url,
    /// The provider's name of the model.
    pub model: String,
    /// The keys that go along.
    pub headers: Vec<KeyHeader>,
}

impl Access {
    /// `path` below the base; the base itself was checked when it was read.
    pub(crate) fn url(&self, path: &str) -> Result<Url, ModelError> {
        below(&self.base_url, path)
    }

    /// The keys, to keep them out of everything that is shown.
    pub fn keys(&self) -> Vec<ApiKey> {
        self.headers
            .iter()
            .map(|header| header.key.clone())
            .collect()
    }
}

/// `path` below `base`, which has no query.
pub(crate) fn below(base: &Url, path: &str) -> Result<Url, ModelError> {
    let base = base.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}{path}"))
        .map_err(|error| ModelError::config(&format!("the model's address: {error}")))
}

/// The address in `variable`, checked: white space around it and slashes at its end are dropped.
///
/// What cannot be used is [`ModelError::Config`], which names the variable and quotes nothing.
pub fn base_url(variable: &str, text: &str) -> Result<Url, ModelError> {
    let wrong = |problem: &str| ModelError::config(&format!("{variable} {problem}"));
    let url = Url::parse(text.trim().trim_end_matches('/'))
        .map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        Err(wrong("must begin with https:// or http://"))
    } else if !url.username().is_empty() || url.password().is_some() {
        Err(wrong("must not hold a user name or password"))
    } else if url.query().is_some() || url.fragment().is_some() {
        Err(wrong("must not hold a query or fragment"))
    } else {
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_white_space_and_slashes() {
        for text in [" https://api.example/v1/// ", "https://api.example/v1"] {
            let base = base_url("BASE", text).unwrap();
            let url = below(&base, "/models").unwrap();
            assert_eq!(url.as_str(), "https://api.example/v1/models");
        }
        let root = base_url("BASE", "https://api.example").unwrap();
        assert_eq!(
            below(&root, "/x").unwrap().as_str(),
            "https://api.example/x"
        );
    }

    #[test]
    fn unusable_addresses_are_refused_by_their_variable_without_quoting_them() {
        let texts = [
            "",
            "secret",
            "ftp://secret.example",
            "https://user:secret@api.example",
            "https://secret@api.example",
            "https://api.example?key=secret",
            "https://api.example/#secret",
            "https://secret secret",
        ];
        for text in texts {
            let error = base_url("THE_BASE", text).unwrap_err();
            assert_eq!(error.code(), "model_config", "{text:?}");
            let shown = error.to_string();
            assert!(
                shown.contains("THE_BASE") && !shown.contains("secret"),
                "{shown}"
            );
        }
    }
}
