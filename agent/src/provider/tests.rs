use super::*;
use crate::model::access::{KeyHeader, TokenLimit};
use std::collections::BTreeMap;

mod combinations;

const CF_KEY: &str = "CLOUDFLARE_AI_GATEWAY_API_KEY";
const CF_ACCOUNT: &str = "CF_AI_GATEWAY_ACCOUNT_ID";
const CF_ID: &str = "CF_AI_GATEWAY_GATEWAY_ID";
const CF_MODEL: &str = "CF_AI_GATEWAY_MODEL";

type Vars<'a> = BTreeMap<&'a str, &'a str>;

fn choose(vars: &Vars<'_>) -> Result<Choice, ModelError> {
    Provider::choose(&|name| vars.get(name).map(|value| (*value).to_owned()))
}

/// Name of the header, and the variable of the key in it.
fn headers(access: &Access) -> Vec<(&'static str, &'static str)> {
    let shown = |header: &KeyHeader| (header.name.as_str(), header.key.variable());
    access.headers.iter().map(shown).collect()
}

/// Everything that is said of a choice: provider, URL of requests, model, headers, half-set groups.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    provider: Provider,
    url: Option<String>,
    model: Option<String>,
    limit: Option<TokenLimit>,
    headers: Vec<(&'static str, &'static str)>,
    missing: Vec<Vec<&'static str>>,
}

fn row(choice: &Choice) -> Row {
    let access = choice.access.as_ref();
    let url = access.map(|access| match access.api {
        Api::Anthropic => access.url("/v1/messages"),
        Api::OpenAi(_) => access.url("/chat/completions"),
    });
    Row {
        provider: choice.provider,
        url: url.map(|url| url.unwrap().into()),
        model: access.map(|access| access.model.clone()),
        limit: access.and_then(|access| match access.api {
            Api::Anthropic => None,
            Api::OpenAi(limit) => Some(limit),
        }),
        headers: access.map(headers).unwrap_or_default(),
        missing: choice
            .half_set
            .iter()
            .map(|half| half.missing.clone())
            .collect(),
    }
}

/// What these variables lead to: URL, model, and `header=variable` of each key.
fn check(vars: &[(&str, &str)], url: &str, model: &str, keys: &[&str]) {
    let row = row(&choose(&vars.iter().copied().collect()).unwrap());
    let seen: Vec<String> = row
        .headers
        .iter()
        .map(|(name, of)| format!("{name}={of}"))
        .collect();
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(
        (row.url.as_deref(), row.model.as_deref(), seen.as_slice()),
        (Some(url), Some(model), keys),
        "{vars:?}"
    );
}

const GATEWAY: [(&str, &str); 3] = [
    (CF_KEY, "cloudflare-token"),
    (CF_ACCOUNT, "acct"),
    (CF_ID, "my-gw_1"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&GATEWAY[..], more].concat()
}

#[test]
fn a_gateway_asks_the_provider_before_the_first_slash() {
    let base = "https://gateway.ai.cloudflare.com/v1/acct/my-gw_1";
    let aig = "cf-aig-authorization=CLOUDFLARE_AI_GATEWAY_API_KEY";
    let rows = [
        ("openai/gpt-5.2", "/openai/chat/completions", "gpt-5.2"),
        (
            "anthropic/claude-opus-4-5",
            "/anthropic/v1/messages",
            "claude-opus-4-5",
        ),
        (
            "openrouter/meta/llama/3",
            "/openrouter/chat/completions",
            "meta/llama/3",
        ),
        (
            "compat/anthropic/claude",
            "/compat/chat/completions",
            "anthropic/claude",
        ),
        (" groq/llama-3 ", "/groq/chat/completions", "llama-3"),
    ];
    for (model, path, expected) in rows {
        let vars = with(&[(CF_MODEL, model)]);
        check(&vars, &format!("{base}{path}"), expected, &[aig]);
    }
    for wrong in [
        "gpt-5.2",
        "/gpt",
        "openai/",
        "openai/ ",
        "/",
        "open ai/x",
        "../x",
        "a?b/x",
    ] {
        let error = choose(&with(&[(CF_MODEL, wrong)]).into_iter().collect()).unwrap_err();
        assert!(error.message().contains(CF_MODEL), "{wrong:?}: {error}");
    }
}

#[test]
fn each_kind_of_key_goes_into_its_headers_and_no_other() {
    let base = "https://gateway.ai.cloudflare.com/v1/acct/my-gw_1";
    let aig = "cf-aig-authorization=CLOUDFLARE_AI_GATEWAY_API_KEY";
    let anthropic = format!("{base}/anthropic/v1/messages");
    let openai = format!("{base}/openai/chat/completions");
    let claude = (CF_MODEL, "anthropic/claude");
    let gpt = (CF_MODEL, "openai/gpt");
    let own_claude = ("ANTHROPIC_API_KEY", "sk-ant-own");
    let own_gpt = ("OPENAI_API_KEY", "sk-own");
    // The gateway pays, or keeps the provider's key.
    check(&with(&[claude]), &anthropic, "claude", &[aig]);
    check(&with(&[gpt]), &openai, "gpt", &[aig]);
    // The provider's own key goes along, another provider's does not.
    let both = [own_claude, own_gpt];
    let keys = [aig, "x-api-key=ANTHROPIC_API_KEY"];
    check(
        &with(&[claude, both[0], both[1]]),
        &anthropic,
        "claude",
        &keys,
    );
    let keys = [aig, "authorization=OPENAI_API_KEY"];
    check(&with(&[gpt, both[0], both[1]]), &openai, "gpt", &keys);
    // A key for another address stays here.
    let elsewhere = ("OPENAI_BASE_URL", "http://127.0.0.1:9");
    check(&with(&[gpt, own_gpt, elsewhere]), &openai, "gpt", &[aig]);
    // The key itself is a provider's.
    for key in ["sk-ant-x", "sk-proj-x", "gsk_x", "xai-x"] {
        let passed_on = [(CF_KEY, key), GATEWAY[1], GATEWAY[2], claude, own_claude];
        let keys = [aig, "x-api-key=CLOUDFLARE_AI_GATEWAY_API_KEY"];
        check(&passed_on, &anthropic, "claude", &keys);
    }
    // Workers AI takes the same token as the gateway.
    let llama = (CF_MODEL, "workers-ai/@cf/meta/llama-3.3");
    let keys = [aig, "authorization=CLOUDFLARE_AI_GATEWAY_API_KEY"];
    let workers_ai = format!("{base}/workers-ai/v1/chat/completions");
    check(&with(&[llama]), &workers_ai, "@cf/meta/llama-3.3", &keys);
}

#[test]
fn addresses_are_the_same_however_they_are_written() {
    let gateway = |base: &str, key: &str, url: &str, model: &str, keys: &[&str]| {
        let vars = [("AI_GATEWAY_API_KEY", key), ("AI_GATEWAY_BASE_URL", base)];
        check(&vars, url, model, keys);
    };
    let x_api_key = ["x-api-key=AI_GATEWAY_API_KEY"];
    let bearer = ["authorization=AI_GATEWAY_API_KEY"];
    let claude = crate::model::anthropic::DEFAULT_MODEL;
    let gpt = crate::model::openai::DEFAULT_MODEL;
    for base in [
        "https://g.example/x",
        "https://g.example/x/",
        " https://g.example/x///\n",
        "https://g.example/x/v1",
        "https://g.example/x/v1/",
    ] {
        gateway(
            base,
            "k",
            "https://g.example/x/v1/messages",
            claude,
            &x_api_key,
        );
    }
    for base in [
        "https://g.example/openai",
        "https://g.example/openai/",
        "https://g.example/openai//",
    ] {
        gateway(
            base,
            "k",
            "https://g.example/openai/chat/completions",
            gpt,
            &bearer,
        );
    }
    // Only the end of the path tells the form.
    gateway(
        "https://openai",
        "k",
        "https://openai/v1/messages",
        claude,
        &x_api_key,
    );
    gateway(
        "https://g.example/openai/x",
        "k",
        "https://g.example/openai/x/v1/messages",
        claude,
        &x_api_key,
    );
    gateway(
        "https://g.example/myopenai",
        "k",
        "https://g.example/myopenai/v1/messages",
        claude,
        &x_api_key,
    );
    // At Cloudflare a token is told from a provider's key.
    let base = "https://gateway.ai.cloudflare.com/v1/a/g/openai/";
    let url = "https://gateway.ai.cloudflare.com/v1/a/g/openai/chat/completions";
    let aig = "cf-aig-authorization=AI_GATEWAY_API_KEY";
    gateway(base, "token", url, gpt, &[aig]);
    gateway(base, "sk-x", url, gpt, &[aig, bearer[0]]);
}

#[test]
fn addresses_of_ones_own_are_taken_as_they_are_meant() {
    let claude = crate::model::anthropic::DEFAULT_MODEL;
    for (base, url) in [
        (
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/v1/chat/completions",
        ),
        (
            "http://127.0.0.1:8000/",
            "http://127.0.0.1:8000/v1/chat/completions",
        ),
        (
            "http://127.0.0.1:8000/v1/",
            "http://127.0.0.1:8000/v1/chat/completions",
        ),
        (
            "https://openrouter.ai/api/v1",
            "https://openrouter.ai/api/v1/chat/completions",
        ),
    ] {
        let vars = [
            ("OPENAI_API_KEY", "k"),
            ("OPENAI_BASE_URL", base),
            ("MOLTBOT_MODEL", " llama "),
        ];
        check(&vars, url, "llama", &["authorization=OPENAI_API_KEY"]);
    }
    let own = with(&[("CF_AI_GATEWAY_BASE_URL", "http://127.0.0.1:7/gw/")]);
    let aig = "cf-aig-authorization=CLOUDFLARE_AI_GATEWAY_API_KEY";
    check(
        &own,
        "http://127.0.0.1:7/gw/acct/my-gw_1/anthropic/v1/messages",
        claude,
        &[aig],
    );
    let workers_ai = [
        (CF_KEY, "k"),
        ("CF_ACCOUNT_ID", "acct"),
        (CF_MODEL, "workers-ai/@cf/openai/gpt-oss-120b"),
        ("CLOUDFLARE_API_BASE_URL", "http://127.0.0.1:7/client/v4/"),
    ];
    let url = "http://127.0.0.1:7/client/v4/accounts/acct/ai/v1/chat/completions";
    let keys = ["authorization=CLOUDFLARE_AI_GATEWAY_API_KEY"];
    check(&workers_ai, url, "@cf/openai/gpt-oss-120b", &keys);
    let choice = choose(&workers_ai.into_iter().collect()).unwrap();
    assert_eq!(
        choice.access.unwrap().models_url.as_str(),
        "http://127.0.0.1:7/client/v4/accounts/acct/ai/models/search?per_page=1"
    );
}

#[test]
fn the_limit_has_the_name_its_provider_knows() {
    let of = |vars: &[(&str, &str)]| row(&choose(&vars.iter().copied().collect()).unwrap()).limit;
    let new = Some(TokenLimit::MaxCompletionTokens);
    let old = Some(TokenLimit::MaxTokens);
    for (model, limit) in [
        ("openai/gpt", new),
        ("compat/openai/gpt", new),
        ("compat/groq/llama", old),
        ("groq/openai/gpt-oss", old),
        ("workers-ai/@cf/openai/gpt-oss-120b", old),
        ("anthropic/claude", None),
    ] {
        assert_eq!(of(&with(&[(CF_MODEL, model)])), limit, "{model}");
    }
    let key = ("OPENAI_API_KEY", "k");
    assert_eq!(of(&[key]), new);
    assert_eq!(
        of(&[key, ("OPENAI_BASE_URL", "https://api.openai.com")]),
        new
    );
    assert_eq!(
        of(&[
            key,
            ("OPENAI_BASE_URL", "https://api.openai.com.example/v1")
        ]),
        old
    );
}

#[test]
fn what_is_empty_or_white_space_is_not_set() {
    for nothing in ["", " ", "\t\n"] {
        let vars = with(&[]).into_iter().map(|(name, value)| match name {
            CF_ID => (name, nothing),
            _ => (name, value),
        });
        let choice = choose(&vars.collect()).unwrap();
        assert_eq!(choice.provider, Provider::Demo);
        assert_eq!(choice.half_set.len(), 1);
        assert_eq!(
            choice.half_set[0].to_string(),
            "CLOUDFLARE_AI_GATEWAY_API_KEY and CF_AI_GATEWAY_ACCOUNT_ID are set but \
             CF_AI_GATEWAY_GATEWAY_ID is not"
        );
        let all: Vars<'_> = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "MOLTBOT_MODEL"]
            .map(|name| (name, nothing))
            .into();
        let choice = choose(&all).unwrap();
        assert_eq!((choice.provider, choice.half_set), (Provider::Demo, vec![]));
    }
}

#[test]
fn what_cannot_be_used_is_named_and_not_passed_over() {
    let fallback = ("OPENAI_API_KEY", "k");
    let rows: [(&str, &[(&str, &str)]); 6] = [
        (
            "ANTHROPIC_API_KEY",
            &[("ANTHROPIC_API_KEY", "canary with blanks")],
        ),
        (
            "ANTHROPIC_BASE_URL",
            &[("ANTHROPIC_API_KEY", "k"), ("ANTHROPIC_BASE_URL", "canary")],
        ),
        (
            "AI_GATEWAY_BASE_URL",
            &[
                ("AI_GATEWAY_API_KEY", "k"),
                ("AI_GATEWAY_BASE_URL", "https://canary@x"),
            ],
        ),
        (
            CF_ACCOUNT,
            &[(CF_KEY, "k"), (CF_ACCOUNT, "canary/.."), (CF_ID, "g")],
        ),
        (
            CF_ID,
            &[(CF_KEY, "k"), (CF_ACCOUNT, "a"), (CF_ID, "canary?")],
        ),
        (
            "CF_AI_GATEWAY_BASE_URL",
            &[
                (CF_KEY, "k"),
                (CF_ACCOUNT, "a"),
                (CF_ID, "g"),
                ("CF_AI_GATEWAY_BASE_URL", "file:///canary"),
            ],
        ),
    ];
    for (named, vars) in rows {
        let vars = vars.iter().copied().chain([fallback]).collect();
        let error = choose(&vars).unwrap_err();
        let shown = format!("{} {error:?}", error.message());
        assert!(
            shown.contains(named) && !shown.contains("canary"),
            "{shown}"
        );
        assert_eq!(error.code(), "model_config");
    }
}
