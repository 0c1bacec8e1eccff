use super::*;
use std::collections::BTreeMap;

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
    let shown =
        |header: &crate::model::access::KeyHeader| (header.name.as_str(), header.key.variable());
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

use crate::model::access::TokenLimit;

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

/// What the rule says, written apart from the code: the first of five that is complete.
fn oracle(vars: &Vars<'_>) -> Row {
    let has = |name: &str| vars.contains_key(name);
    let lacks = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| !has(name)).collect()
    };
    let wants_workers = vars
        .get(CF_MODEL)
        .is_some_and(|model| model.starts_with("workers-ai/"));
    let named = vars.get("MOLTBOT_MODEL").map(|model| (*model).to_owned());
    let claude = named
        .clone()
        .unwrap_or("claude-sonnet-4-5-20250929".to_owned());
    let gpt = named.unwrap_or("gpt-5.2".to_owned());
    let mut missing = Vec::new();
    let mut found: Option<(Provider, &str, String, Option<TokenLimit>, Vec<_>)> = None;

    if has(CF_KEY) && has(CF_ACCOUNT) && has(CF_ID) {
        let gateway = (CF_AIG, CF_KEY);
        found = Some(match vars.get(CF_MODEL).copied() {
            Some("workers-ai/@cf/meta/llama") => (
                Provider::CloudflareGateway,
                "https://gateway.ai.cloudflare.com/v1/acct/gw/workers-ai/v1/chat/completions",
                "@cf/meta/llama".to_owned(),
                Some(TokenLimit::MaxTokens),
                vec![gateway, (BEARER, CF_KEY)],
            ),
            model => {
                let mut keys = vec![gateway];
                if has("ANTHROPIC_API_KEY") && !has("ANTHROPIC_BASE_URL") {
                    keys.push((X_API_KEY, "ANTHROPIC_API_KEY"));
                }
                (
                    Provider::CloudflareGateway,
                    "https://gateway.ai.cloudflare.com/v1/acct/gw/anthropic/v1/messages",
                    if model.is_some() {
                        "claude-x".to_owned()
                    } else {
                        "claude-sonnet-4-5-20250929".to_owned()
                    },
                    None,
                    keys,
                )
            }
        });
    } else if wants_workers && !has(CF_ACCOUNT) && !has(CF_ID) {
        if has(CF_KEY) && has("CF_ACCOUNT_ID") {
            found = Some((
                Provider::WorkersAi,
                "https://api.cloudflare.com/client/v4/accounts/account/ai/v1/chat/completions",
                "@cf/meta/llama".to_owned(),
                Some(TokenLimit::MaxTokens),
                vec![(BEARER, CF_KEY)],
            ));
        } else {
            missing.push(lacks(&[CF_KEY, "CF_ACCOUNT_ID"]));
        }
    } else if has(CF_KEY) || has(CF_ACCOUNT) || has(CF_ID) || has(CF_MODEL) {
        missing.push(lacks(&[CF_KEY, CF_ACCOUNT, CF_ID]));
    }

    let base = vars.get("AI_GATEWAY_BASE_URL").copied();
    match (has("AI_GATEWAY_API_KEY"), base) {
        (true, Some("https://gw.example/anthropic")) => {
            found = found.or_else(|| {
                Some((
                    Provider::Gateway,
                    "https://gw.example/anthropic/v1/messages",
                    claude.clone(),
                    None,
                    vec![(X_API_KEY, "AI_GATEWAY_API_KEY")],
                ))
            });
        }
        (true, Some(_)) => {
            found = found.or_else(|| {
                Some((
                    Provider::Gateway,
                    "https://gw.example/openai/chat/completions",
                    gpt.clone(),
                    Some(TokenLimit::MaxCompletionTokens),
                    vec![(BEARER, "AI_GATEWAY_API_KEY")],
                ))
            });
        }
        (true, None) => missing.push(vec!["AI_GATEWAY_BASE_URL"]),
        (false, Some(_)) => missing.push(vec!["AI_GATEWAY_API_KEY"]),
        (false, None) => {}
    }

    match (has("ANTHROPIC_API_KEY"), has("ANTHROPIC_BASE_URL")) {
        (true, own) => {
            let url = if own {
                "https://a.example/v1/messages"
            } else {
                "https://api.anthropic.com/v1/messages"
            };
            let keys = vec![(X_API_KEY, "ANTHROPIC_API_KEY")];
            found = found.or_else(|| Some((Provider::Anthropic, url, claude.clone(), None, keys)));
        }
        (false, true) => missing.push(vec!["ANTHROPIC_API_KEY"]),
        (false, false) => {}
    }

    match (has("OPENAI_API_KEY"), has("OPENAI_BASE_URL")) {
        (true, own) => {
            let (url, limit) = if own {
                (
                    "https://o.example/v1/chat/completions",
                    TokenLimit::MaxTokens,
                )
            } else {
                (
                    "https://api.openai.com/v1/chat/completions",
                    TokenLimit::MaxCompletionTokens,
                )
            };
            let keys = vec![(BEARER, "OPENAI_API_KEY")];
            found = found.or_else(|| Some((Provider::OpenAi, url, gpt.clone(), Some(limit), keys)));
        }
        (false, true) => missing.push(vec!["OPENAI_API_KEY"]),
        (false, false) => {}
    }

    match found {
        Some((provider, url, model, limit, headers)) => Row {
            provider,
            url: Some(url.to_owned()),
            model: Some(model),
            limit,
            headers,
            missing,
        },
        None => Row {
            provider: Provider::Demo,
            url: None,
            model: None,
            limit: None,
            headers: vec![],
            missing,
        },
    }
}

const CF_AIG: &str = "cf-aig-authorization";
const BEARER: &str = "authorization";
const X_API_KEY: &str = "x-api-key";

#[test]
fn every_combination_of_variables_is_chosen_by_the_rule() {
    // Each variable with its values; not to be set is one more of them.
    let domain: [(&str, &[&str]); 12] = [
        (CF_KEY, &["canary-cf"]),
        (CF_ACCOUNT, &["acct"]),
        (CF_ID, &["gw"]),
        (
            CF_MODEL,
            &["anthropic/claude-x", "workers-ai/@cf/meta/llama"],
        ),
        ("CF_ACCOUNT_ID", &["account"]),
        ("AI_GATEWAY_API_KEY", &["canary-ai"]),
        (
            "AI_GATEWAY_BASE_URL",
            &["https://gw.example/anthropic", "https://gw.example/openai"],
        ),
        ("ANTHROPIC_API_KEY", &["canary-an"]),
        ("ANTHROPIC_BASE_URL", &["https://a.example"]),
        ("OPENAI_API_KEY", &["canary-op"]),
        ("OPENAI_BASE_URL", &["https://o.example"]),
        ("MOLTBOT_MODEL", &["a/model"]),
    ];
    let mut all: Vec<Vars<'_>> = vec![Vars::new()];
    for (name, values) in domain {
        let with = |value: &'static str, all: &[Vars<'static>]| -> Vec<Vars<'static>> {
            let add = |vars: &Vars<'static>| {
                let mut vars = vars.clone();
                vars.insert(name, value);
                vars
            };
            all.iter().map(add).collect()
        };
        let set: Vec<Vars<'_>> = values.iter().flat_map(|value| with(value, &all)).collect();
        all.extend(set);
    }
    assert_eq!(all.len(), 3 * 3 * 1024);
    for vars in all {
        let choice = choose(&vars).unwrap();
        assert_eq!(row(&choice), oracle(&vars), "{vars:#?}");
        let shown = format!("{choice:?} {:?}", choice.half_set);
        assert!(!shown.contains("canary"), "{shown}");
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
