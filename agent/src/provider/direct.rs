//! The providers that are named by a key and perhaps an address; pure.

use reqwest::Url;

use super::{Variables, cloudflare};
use crate::error::ModelError;
use crate::model::access::{Access, Api, KeyHeader, KeyHeaderName, TokenLimit, base_url, below};
use crate::model::{anthropic, openai};
use crate::secret::ApiKey;

/// Names another model than the default.
const MODEL: &str = "MOLTBOT_MODEL";

/// Whatever answers at `AI_GATEWAY_BASE_URL`, if a key for it is set too.
pub(super) fn gateway(vars: &Variables<'_>) -> Result<Option<Access>, ModelError> {
    let Some(base) = vars.get("AI_GATEWAY_BASE_URL") else {
        return Ok(None);
    };
    let Some(key) = vars.key("AI_GATEWAY_API_KEY")? else {
        return Ok(None);
    };
    let base = base_url("AI_GATEWAY_BASE_URL", &base)?;
    let is_at_cloudflare = base.host_str() == Some(cloudflare::GATEWAY_HOST);
    let headers = |name, key| {
        if is_at_cloudflare {
            cloudflare::headers(name, key, None)
        } else {
            one(name, key)
        }
    };
    if base.path().ends_with("/openai") {
        let headers = headers(KeyHeaderName::Authorization, key);
        return openai_form(vars, base, TokenLimit::MaxCompletionTokens, headers).map(Some);
    }
    anthropic_form(vars, base, headers(KeyHeaderName::XApiKey, key)).map(Some)
}

/// Anthropic, or what speaks its API at `ANTHROPIC_BASE_URL`.
pub(super) fn anthropic(vars: &Variables<'_>) -> Result<Option<Access>, ModelError> {
    let Some(key) = vars.key("ANTHROPIC_API_KEY")? else {
        return Ok(None);
    };
    let base = vars.base_url("ANTHROPIC_BASE_URL", anthropic::DEFAULT_BASE_URL)?;
    let headers = one(KeyHeaderName::XApiKey, key);
    anthropic_form(vars, base, headers).map(Some)
}

/// `OpenAI`, or what speaks its API at `OPENAI_BASE_URL`.
pub(super) fn openai(vars: &Variables<'_>) -> Result<Option<Access>, ModelError> {
    let Some(key) = vars.key("OPENAI_API_KEY")? else {
        return Ok(None);
    };
    let base = vars.base_url("OPENAI_BASE_URL", openai::DEFAULT_BASE_URL)?;
    // The API stands below `/v1` wherever it does not share its host with others.
    let base = if base.path() == "/" {
        below(&base, "/v1")?
    } else {
        base
    };
    let limit = match base.host_str() {
        Some("api.openai.com") => TokenLimit::MaxCompletionTokens,
        _ => TokenLimit::MaxTokens,
    };
    let headers = one(KeyHeaderName::Authorization, key);
    openai_form(vars, base, limit, headers).map(Some)
}

fn one(name: KeyHeaderName, key: ApiKey) -> Vec<KeyHeader> {
    vec![KeyHeader { name, key }]
}

fn anthropic_form(
    vars: &Variables<'_>,
    base: Url,
    headers: Vec<KeyHeader>,
) -> Result<Access, ModelError> {
    // Written with `/v1` or without; the API has it in every path.
    let base_url = match base.as_str().strip_suffix("/v1") {
        Some(root) => base_url("the base", root)?,
        None => base,
    };
    Ok(Access {
        provider: "anthropic".to_owned(),
        api: Api::Anthropic,
        models_url: below(&base_url, "/v1/models?limit=1")?,
        base_url,
        model: model(vars, anthropic::DEFAULT_MODEL),
        headers,
    })
}

fn openai_form(
    vars: &Variables<'_>,
    base_url: Url,
    limit: TokenLimit,
    headers: Vec<KeyHeader>,
) -> Result<Access, ModelError> {
    Ok(Access {
        provider: "openai".to_owned(),
        api: Api::OpenAi(limit),
        models_url: below(&base_url, "/models")?,
        base_url,
        model: model(vars, openai::DEFAULT_MODEL),
        headers,
    })
}

fn model(vars: &Variables<'_>, default: &str) -> String {
    vars.get(MODEL).unwrap_or_else(|| default.to_owned())
}
