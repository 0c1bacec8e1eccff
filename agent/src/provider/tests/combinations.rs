//! The rule of precedence, written apart from the code that follows it, and every combination of the
//! variables it is about.

use super::*;

const CF_AIG: &str = "cf-aig-authorization";
const BEARER: &str = "authorization";
const X_API_KEY: &str = "x-api-key";

type Names = Vec<&'static str>;
type Keys = Vec<(&'static str, &'static str)>;
/// Provider, URL, model, name of the limit, keys.
type Found = (Provider, &'static str, String, Option<TokenLimit>, Keys);

fn claude(vars: &Vars<'_>) -> String {
    let named = vars.get("MOLTBOT_MODEL");
    named
        .copied()
        .unwrap_or("claude-sonnet-4-5-20250929")
        .to_owned()
}

fn gpt(vars: &Vars<'_>) -> String {
    vars.get("MOLTBOT_MODEL")
        .copied()
        .unwrap_or("gpt-5.2")
        .to_owned()
}

fn lacks(vars: &Vars<'_>, names: &[&'static str]) -> Names {
    let missing = names
        .iter()
        .copied()
        .filter(|name| !vars.contains_key(name));
    missing.collect()
}

fn of_a_cloudflare_gateway(vars: &Vars<'_>) -> Found {
    let gateway = (CF_AIG, CF_KEY);
    if vars.get(CF_MODEL) == Some(&"workers-ai/@cf/meta/llama") {
        return (
            Provider::CloudflareGateway,
            "https://gateway.ai.cloudflare.com/v1/acct/gw/workers-ai/v1/chat/completions",
            "@cf/meta/llama".to_owned(),
            Some(TokenLimit::MaxTokens),
            vec![gateway, (BEARER, CF_KEY)],
        );
    }
    let mut keys = vec![gateway];
    if vars.contains_key("ANTHROPIC_API_KEY") && !vars.contains_key("ANTHROPIC_BASE_URL") {
        keys.push((X_API_KEY, "ANTHROPIC_API_KEY"));
    }
    let model = if vars.contains_key(CF_MODEL) {
        "claude-x"
    } else {
        "claude-sonnet-4-5-20250929"
    };
    let url = "https://gateway.ai.cloudflare.com/v1/acct/gw/anthropic/v1/messages";
    (
        Provider::CloudflareGateway,
        url,
        model.to_owned(),
        None,
        keys,
    )
}

fn of_cloudflare(vars: &Vars<'_>) -> (Option<Found>, Option<Names>) {
    let has = |name: &str| vars.contains_key(name);
    if has(CF_KEY) && has(CF_ACCOUNT) && has(CF_ID) {
        return (Some(of_a_cloudflare_gateway(vars)), None);
    }
    let model = vars.get(CF_MODEL).copied().unwrap_or_default();
    if model.starts_with("workers-ai/") && !has(CF_ACCOUNT) && !has(CF_ID) {
        if !has(CF_KEY) || !has("CF_ACCOUNT_ID") {
            return (None, Some(lacks(vars, &[CF_KEY, "CF_ACCOUNT_ID"])));
        }
        let found = (
            Provider::WorkersAi,
            "https://api.cloudflare.com/client/v4/accounts/account/ai/v1/chat/completions",
            "@cf/meta/llama".to_owned(),
            Some(TokenLimit::MaxTokens),
            vec![(BEARER, CF_KEY)],
        );
        return (Some(found), None);
    }
    if has(CF_KEY) || has(CF_ACCOUNT) || has(CF_ID) || has(CF_MODEL) {
        return (None, Some(lacks(vars, &[CF_KEY, CF_ACCOUNT, CF_ID])));
    }
    (None, None)
}

fn of_a_gateway(vars: &Vars<'_>) -> (Option<Found>, Option<Names>) {
    let (key, base) = ("AI_GATEWAY_API_KEY", "AI_GATEWAY_BASE_URL");
    let found = match (vars.contains_key(key), vars.get(base).copied()) {
        (true, None) => return (None, Some(vec![base])),
        (false, Some(_)) => return (None, Some(vec![key])),
        (false, None) => return (None, None),
        (true, Some("https://gw.example/anthropic")) => (
            Provider::Gateway,
            "https://gw.example/anthropic/v1/messages",
            claude(vars),
            None,
            vec![(X_API_KEY, key)],
        ),
        (true, Some(_)) => (
            Provider::Gateway,
            "https://gw.example/openai/chat/completions",
            gpt(vars),
            Some(TokenLimit::MaxCompletionTokens),
            vec![(BEARER, key)],
        ),
    };
    (Some(found), None)
}

fn of_anthropic(vars: &Vars<'_>) -> (Option<Found>, Option<Names>) {
    let key = "ANTHROPIC_API_KEY";
    let url = match (
        vars.contains_key(key),
        vars.contains_key("ANTHROPIC_BASE_URL"),
    ) {
        (true, true) => "https://a.example/v1/messages",
        (true, false) => "https://api.anthropic.com/v1/messages",
        (false, true) => return (None, Some(vec![key])),
        (false, false) => return (None, None),
    };
    let keys = vec![(X_API_KEY, key)];
    (
        Some((Provider::Anthropic, url, claude(vars), None, keys)),
        None,
    )
}

fn of_openai(vars: &Vars<'_>) -> (Option<Found>, Option<Names>) {
    let key = "OPENAI_API_KEY";
    let (url, limit) = match (vars.contains_key(key), vars.contains_key("OPENAI_BASE_URL")) {
        (true, true) => (
            "https://o.example/v1/chat/completions",
            TokenLimit::MaxTokens,
        ),
        (true, false) => (
            "https://api.openai.com/v1/chat/completions",
            TokenLimit::MaxCompletionTokens,
        ),
        (false, true) => return (None, Some(vec![key])),
        (false, false) => return (None, None),
    };
    let keys = vec![(BEARER, key)];
    (
        Some((Provider::OpenAi, url, gpt(vars), Some(limit), keys)),
        None,
    )
}

/// The first that is complete answers; all that are not are reported.
fn oracle(vars: &Vars<'_>) -> Row {
    let all = [
        of_cloudflare(vars),
        of_a_gateway(vars),
        of_anthropic(vars),
        of_openai(vars),
    ];
    let missing = all.iter().filter_map(|(_, missing)| missing.clone());
    let mut row = Row {
        provider: Provider::Demo,
        url: None,
        model: None,
        limit: None,
        headers: vec![],
        missing: missing.collect(),
    };
    let first = all.into_iter().find_map(|(found, _)| found);
    if let Some((provider, url, model, limit, headers)) = first {
        row.provider = provider;
        row.url = Some(url.to_owned());
        row.model = Some(model);
        row.limit = limit;
        row.headers = headers;
    }
    row
}

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
