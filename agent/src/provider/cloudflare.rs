//! Cloudflare AI Gateway by its own variables, and Workers AI without a gateway.
//!
//! What `CLOUDFLARE_AI_GATEWAY_API_KEY` holds is used in two ways, and both work:
//!
//! | it holds | the gateway | goes along |
//! |---|---|---|
//! | a Cloudflare token | pays itself ([unified billing](https://developers.cloudflare.com/ai-gateway/features/unified-billing/)) or [keeps the provider's key](https://developers.cloudflare.com/ai-gateway/configuration/bring-your-own-keys/) | `cf-aig-authorization` only: a provider's header would be used instead of what the gateway has, and a token must not reach a provider |
//! | a Cloudflare token | neither; `ANTHROPIC_API_KEY` or `OPENAI_API_KEY` is set, for the provider's own address | `cf-aig-authorization`, and that key in the provider's header |
//! | a Cloudflare token | in front of Workers AI | the token in both headers |
//! | a provider's key, told by how it begins | lets everyone through | the key in both headers; such a gateway ignores the first |

use super::Variables;
use crate::error::ModelError;
use crate::model::access::{Access, Api, KeyHeader, KeyHeaderName, TokenLimit, below};
use crate::model::anthropic;
use crate::secret::ApiKey;

pub(super) const KEY: &str = "CLOUDFLARE_AI_GATEWAY_API_KEY";
pub(super) const MODEL: &str = "CF_AI_GATEWAY_MODEL";
pub(super) const ACCOUNT: &str = "CF_ACCOUNT_ID";
pub(super) const GATEWAY_ACCOUNT: &str = "CF_AI_GATEWAY_ACCOUNT_ID";
pub(super) const GATEWAY_ID: &str = "CF_AI_GATEWAY_GATEWAY_ID";
/// What a gateway needs.
pub(super) const GATEWAY: [&str; 3] = [KEY, GATEWAY_ACCOUNT, GATEWAY_ID];
/// Replaces the address of all gateways, for one's own proxy and for tests.
pub(super) const GATEWAY_BASE: &str = "CF_AI_GATEWAY_BASE_URL";
pub(super) const GATEWAY_HOST: &str = "gateway.ai.cloudflare.com";

const DEFAULT_GATEWAY_BASE: &str = "https://gateway.ai.cloudflare.com/v1";
/// Replaces the address of Cloudflare's API, as for Cloudflare's own command line.
const API_BASE: &str = "CLOUDFLARE_API_BASE_URL";
const DEFAULT_API_BASE: &str = "https://api.cloudflare.com/client/v4";
const WORKERS_AI: &str = "workers-ai";
/// How keys of providers begin, those whose keys can be told at all. No Cloudflare token does.
const PROVIDER_KEYS: [&str; 6] = ["sk-", "gsk_", "xai-", "AIza", "pplx-", "csk-"];

/// A gateway, if its three variables are set.
pub(super) fn gateway(vars: &Variables<'_>) -> Result<Option<Access>, ModelError> {
    if !GATEWAY.iter().all(|name| vars.is_set(name)) {
        return Ok(None);
    }
    let Some(key) = vars.key(KEY)? else {
        return Ok(None);
    };
    let (account, id) = (segment(vars, GATEWAY_ACCOUNT)?, segment(vars, GATEWAY_ID)?);
    let (provider, model) = model(vars)?;
    let base = vars.base_url(GATEWAY_BASE, DEFAULT_GATEWAY_BASE)?;
    let version = if provider == WORKERS_AI { "/v1" } else { "" };
    let base_url = below(&base, &format!("/{account}/{id}/{provider}{version}"))?;
    let is_anthropic = provider == "anthropic";
    let (api, name, models) = if is_anthropic {
        (Api::Anthropic, KeyHeaderName::XApiKey, "/v1/models?limit=1")
    } else {
        let limit = limit(&provider, &model);
        (Api::OpenAi(limit), KeyHeaderName::Authorization, "/models")
    };
    let own = match provider.as_str() {
        WORKERS_AI => Some(key.clone()),
        "anthropic" => own_key(vars, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")?,
        "openai" => own_key(vars, "OPENAI_API_KEY", "OPENAI_BASE_URL")?,
        _ => None,
    };
    Ok(Some(Access {
        models_url: below(&base_url, models)?,
        base_url,
        api,
        model,
        headers: headers(name, key, own),
        provider: shown(&provider),
    }))
}

/// Workers AI itself, if that is what the model asks for and no gateway is named.
pub(super) fn workers_ai(vars: &Variables<'_>) -> Result<Option<Access>, ModelError> {
    if !is_workers_ai(vars) || !vars.is_set(ACCOUNT) {
        return Ok(None);
    }
    let Some(key) = vars.key(KEY)? else {
        return Ok(None);
    };
    let (provider, model) = model(vars)?;
    let account = segment(vars, ACCOUNT)?;
    let base = vars.base_url(API_BASE, DEFAULT_API_BASE)?;
    let ai = below(&base, &format!("/accounts/{account}/ai"))?;
    Ok(Some(Access {
        provider: shown(&provider),
        api: Api::OpenAi(TokenLimit::MaxTokens),
        base_url: below(&ai, "/v1")?,
        models_url: below(&ai, "/models/search?per_page=1")?,
        model,
        headers: vec![KeyHeader {
            name: KeyHeaderName::Authorization,
            key,
        }],
    }))
}

/// Whether the variables ask for Workers AI without a gateway.
pub(super) fn is_workers_ai(vars: &Variables<'_>) -> bool {
    let names_it = |model: String| {
        model
            .split_once('/')
            .is_some_and(|(provider, _)| provider == WORKERS_AI)
    };
    !vars.is_set(GATEWAY_ACCOUNT)
        && !vars.is_set(GATEWAY_ID)
        && vars.get(MODEL).is_some_and(names_it)
}

/// The keys for a gateway at Cloudflare; `name` is the provider's header, `own` the key for it.
pub(super) fn headers(name: KeyHeaderName, key: ApiKey, own: Option<ApiKey>) -> Vec<KeyHeader> {
    let is_providers = PROVIDER_KEYS
        .iter()
        .any(|begin| key.expose().starts_with(begin));
    let own = if is_providers { Some(key.clone()) } else { own };
    let gateway = KeyHeader {
        name: KeyHeaderName::CfAigAuthorization,
        key,
    };
    let provider = own.map(|key| KeyHeader { name, key });
    std::iter::once(gateway).chain(provider).collect()
}

/// A provider's own key, unless it is meant for another address.
fn own_key(
    vars: &Variables<'_>,
    key: &'static str,
    base: &str,
) -> Result<Option<ApiKey>, ModelError> {
    if vars.is_set(base) {
        return Ok(None);
    }
    vars.key(key)
}

/// Provider and model, split at the first slash: a model's name may hold more of them.
fn model(vars: &Variables<'_>) -> Result<(String, String), ModelError> {
    let Some(text) = vars.get(MODEL) else {
        return Ok(("anthropic".to_owned(), anthropic::DEFAULT_MODEL.to_owned()));
    };
    match text.split_once('/') {
        Some((provider, model)) if is_segment(provider) && !model.trim().is_empty() => {
            Ok((provider.to_owned(), model.trim().to_owned()))
        }
        _ => Err(ModelError::config(&format!(
            "{MODEL} must be a provider and a model, as anthropic/claude-sonnet-4-5 or \
             workers-ai/@cf/openai/gpt-oss-120b"
        ))),
    }
}

fn limit(provider: &str, model: &str) -> TokenLimit {
    let is_openai = provider == "openai" || (provider == "compat" && model.starts_with("openai/"));
    if is_openai {
        TokenLimit::MaxCompletionTokens
    } else {
        TokenLimit::MaxTokens
    }
}

/// An id that becomes part of a path.
fn segment(vars: &Variables<'_>, name: &str) -> Result<String, ModelError> {
    vars.get(name)
        .filter(|id| is_segment(id))
        .ok_or_else(|| ModelError::config(&format!("{name} holds characters an id cannot have")))
}

fn is_segment(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !text.is_empty() && text.chars().all(fits)
}

fn shown(provider: &str) -> String {
    format!("cf-ai-gw-{provider}")
}
