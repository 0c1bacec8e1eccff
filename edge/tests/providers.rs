//! Every provider through the real binary: what its server sees, what a person sees, and that no key
//! is seen by anyone else.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use moltbot_agent::testing::{
    Anthropic, Dialect, Fault, OpenAi, Plan, ProviderServer, Reply, ScriptedAnswer,
};
use serde_json::Value;
use support::Home;
use support::client::{ALL, Client, Device, text};

const ANSWER: &str = "Gewiß: **one** log, 一条日志, and every word of it is kept.";
const CLAUDE: &str = "claude-sonnet-4-5-20250929";
const GPT: &str = "gpt-5.2";
/// A key that is told from a provider's.
const TOKEN: &str = "canary-cloudflare-token-0123456789";

/// A home with these variables; `{server}` in a value is the server's address.
fn home(vars: &[(&str, &str)], server: &str) -> Home {
    vars.iter().fold(Home::new(), |home, (name, value)| {
        home.with(name, &value.replace("{server}", server))
    })
}

async fn connect(gateway: &support::Gateway) -> Client {
    let mut device = Device::new(1);
    device.redeem(gateway).await;
    device.connect(gateway, &ALL).await.unwrap()
}

/// A chat and a doctor with these variables, over a server that accepts nothing but what the plan
/// says. Both must succeed.
async fn check<D: Dialect>(vars: &[(&str, &str)], plan: Plan, provider: &str, model: &str) {
    let server = ProviderServer::<D>::start(plan.with_model(model))
        .await
        .unwrap();
    let home = home(vars, server.url());
    let (code, out, error) = home.run(&["doctor", "--port", "0"]);
    assert_eq!(code, 0, "{out}{error}");
    let said = format!("{model} by {provider} at {}/", server.url());
    assert!(
        out.contains(&said) && out.contains("the key is accepted"),
        "{out}"
    );

    let gateway = home.start();
    let mut client = connect(&gateway).await;
    let shown = &client.hello["moltbot"]["model"];
    assert_eq!(
        (&shown["provider"], &shown["name"]),
        (&provider.into(), &model.into())
    );
    let end = client.chat("main", "hello", "r1").await;
    assert_eq!(text(&end["message"]), ANSWER, "{end}");
    let last = client.history("main").await.pop().unwrap();
    assert_eq!(
        last["usage"]["input"].as_u64(),
        Some(ScriptedAnswer::INPUT_TOKENS)
    );
    assert!(last["usage"]["output"].as_u64() > Some(1), "{last}");
    assert_eq!(
        (&last["provider"], &last["model"]),
        (&provider.into(), &model.into())
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "one check, one answer");
    for request in requests {
        assert_eq!(request.violations, Vec::<String>::new(), "{vars:?}");
    }
}

fn answering() -> Plan {
    Plan::answering("unused", ANSWER)
}

const GATEWAY: [(&str, &str); 4] = [
    ("CLOUDFLARE_AI_GATEWAY_API_KEY", TOKEN),
    ("CF_AI_GATEWAY_ACCOUNT_ID", "acct"),
    ("CF_AI_GATEWAY_GATEWAY_ID", "my-gw"),
    ("CF_AI_GATEWAY_BASE_URL", "{server}/v1"),
];

fn gateway<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&GATEWAY[..], more].concat()
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloudflare_gateway_that_pays_or_keeps_keys_gets_the_token_only() {
    let aig = bearer(TOKEN);
    let keys = [("cf-aig-authorization", aig.as_str())];
    let plan = answering()
        .at("/v1/acct/my-gw/anthropic/v1/messages")
        .with_credentials(&keys);
    check::<Anthropic>(&gateway(&[]), plan, "cf-ai-gw-anthropic", CLAUDE).await;

    let plan = answering()
        .at("/v1/acct/my-gw/openai/chat/completions")
        .with_credentials(&keys)
        .with_limit_name("max_completion_tokens");
    let vars = gateway(&[("CF_AI_GATEWAY_MODEL", "openai/gpt-5.2")]);
    check::<OpenAi>(&vars, plan, "cf-ai-gw-openai", GPT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloudflare_gateway_gets_the_providers_own_key_along() {
    let (aig, own) = (bearer(TOKEN), bearer("sk-canary-own"));
    let keys = [
        ("cf-aig-authorization", aig.as_str()),
        ("authorization", &own),
    ];
    let plan = answering()
        .at("/v1/acct/my-gw/openai/chat/completions")
        .with_credentials(&keys)
        .with_limit_name("max_completion_tokens");
    let vars = gateway(&[
        ("CF_AI_GATEWAY_MODEL", "openai/gpt-5.2"),
        ("OPENAI_API_KEY", "sk-canary-own"),
        ("ANTHROPIC_API_KEY", "sk-ant-canary-other"),
    ]);
    check::<OpenAi>(&vars, plan, "cf-ai-gw-openai", GPT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_ai_is_asked_behind_a_gateway_and_without_one() {
    let token = bearer(TOKEN);
    let model = ("CF_AI_GATEWAY_MODEL", "workers-ai/@cf/openai/gpt-oss-120b");
    let keys = [
        ("cf-aig-authorization", token.as_str()),
        ("authorization", &token),
    ];
    let path = "/v1/acct/my-gw/workers-ai/v1/chat/completions";
    let plan = answering().at(path).with_credentials(&keys);
    let name = "@cf/openai/gpt-oss-120b";
    check::<OpenAi>(&gateway(&[model]), plan, "cf-ai-gw-workers-ai", name).await;

    let mut plan =
        Plan::answering(TOKEN, ANSWER).at("/client/v4/accounts/acct/ai/v1/chat/completions");
    plan.models_path = Some("/client/v4/accounts/acct/ai/models/search?per_page=1".to_owned());
    let vars = [
        model,
        ("CLOUDFLARE_AI_GATEWAY_API_KEY", TOKEN),
        ("CF_ACCOUNT_ID", "acct"),
        ("CLOUDFLARE_API_BASE_URL", "{server}/client/v4/"),
    ];
    check::<OpenAi>(&vars, plan, "cf-ai-gw-workers-ai", name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_by_its_address_speaks_the_form_its_address_ends_with() {
    let key = "canary-gateway-key";
    let vars = |base| {
        [
            ("AI_GATEWAY_API_KEY", key),
            ("AI_GATEWAY_BASE_URL", base),
            ("ANTHROPIC_API_KEY", "sk-ant-canary-direct"),
        ]
    };
    let plan = Plan::answering(key, ANSWER).at("/v1/a/g/anthropic/v1/messages");
    let anthropic = vars("{server}/v1/a/g/anthropic//");
    check::<Anthropic>(&anthropic, plan, "anthropic", CLAUDE).await;
    let plan = Plan::answering(key, ANSWER)
        .at("/v1/a/g/openai/chat/completions")
        .with_limit_name("max_completion_tokens");
    check::<OpenAi>(&vars("{server}/v1/a/g/openai/"), plan, "openai", GPT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_of_the_openai_form_answers_with_the_model_that_is_named() {
    let key = "canary-openai-key";
    let vars = [
        ("OPENAI_API_KEY", key),
        ("OPENAI_BASE_URL", "{server}"),
        ("MOLTBOT_MODEL", "qwen3:8b"),
        ("ANTHROPIC_BASE_URL", " "),
    ];
    check::<OpenAi>(&vars, Plan::answering(key, ANSWER), "openai", "qwen3:8b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_keeps_what_was_said_and_can_be_tried_again() {
    for fault in [
        Fault::ErrorEvent("server_error"),
        Fault::Cut,
        Fault::EndEarly,
    ] {
        let broken = ScriptedAnswer::new("The first half").failing(fault);
        let replies = vec![
            Reply::Answer(broken),
            Reply::Answer(ScriptedAnswer::new(ANSWER)),
        ];
        let server = ProviderServer::<OpenAi>::start(Plan::new("k", replies))
            .await
            .unwrap();
        let vars = [("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "{server}")];
        let home = home(&vars, server.url());
        let gateway = home.start();
        let mut client = connect(&gateway).await;
        let end = client.chat("main", "hello", "r1").await;
        assert_eq!(end["state"], "error", "{fault:?}");
        let last = client.history("main").await.pop().unwrap();
        assert_eq!(text(&last), "The first half");
        assert_eq!(client.chat("main", "again", "r2").await["state"], "final");
    }
}

/// All variables with keys, each with a key of its own, and addresses that lead to the server.
const CANARIES: [(&str, &str); 12] = [
    ("CLOUDFLARE_AI_GATEWAY_API_KEY", "canary-a-cloudflare"),
    ("CF_AI_GATEWAY_ACCOUNT_ID", "acct"),
    ("CF_AI_GATEWAY_GATEWAY_ID", "my-gw"),
    ("CF_AI_GATEWAY_BASE_URL", "{server}/v1"),
    ("AI_GATEWAY_API_KEY", "canary-b-gateway"),
    ("AI_GATEWAY_BASE_URL", "{server}/openai"),
    ("ANTHROPIC_API_KEY", "canary-c-anthropic"),
    ("ANTHROPIC_BASE_URL", "{server}"),
    ("OPENAI_API_KEY", "canary-d-openai"),
    ("OPENAI_BASE_URL", "{server}"),
    ("MOLTBOT_LOG", "trace"),
    ("CF_ACCOUNT_ID", "acct"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_one_plain_sentence_that_names_its_variable_and_no_key_is_seen() {
    // Each provider in turn: the variables of those before it are taken away.
    let plan = || Plan::answering("right", ANSWER);
    let aig = [("cf-aig-authorization", "Bearer right")];
    let gateway = plan()
        .at("/v1/acct/my-gw/anthropic/v1/messages")
        .with_credentials(&aig);
    refused::<Anthropic>(&CANARIES, gateway, "CLOUDFLARE_AI_GATEWAY_API_KEY").await;
    let gateway = plan()
        .at("/openai/chat/completions")
        .with_limit_name("max_completion_tokens");
    refused::<OpenAi>(&CANARIES[4..], gateway, "AI_GATEWAY_API_KEY").await;
    refused::<Anthropic>(&CANARIES[6..], plan(), "ANTHROPIC_API_KEY").await;
    refused::<OpenAi>(&CANARIES[8..], plan(), "OPENAI_API_KEY").await;
}

async fn refused<D: Dialect>(vars: &[(&str, &str)], plan: Plan, variable: &str) {
    let server = ProviderServer::<D>::start(plan).await.unwrap();
    let home = home(vars, server.url());
    let (code, out, error) = home.run(&["doctor", "--port", "0"]);
    assert_eq!(code, 3, "{out}");
    let wrong = out
        .lines()
        .find(|line| line.starts_with("WRONG  model"))
        .unwrap();
    let sentence = format!("The model provider refused the API key in {variable};");
    assert!(wrong.contains(&sentence), "{wrong}");

    let gateway = home.start();
    let mut client = connect(&gateway).await;
    let end = client.chat("main", "hello", "r1").await;
    assert_eq!(
        (&end["state"], &end["errorKind"]),
        (&"error".into(), &"model_auth".into())
    );
    let said = end["errorMessage"].as_str().unwrap();
    assert!(
        said.starts_with(&sentence) && said.contains("[redacted]"),
        "{said}"
    );
    assert!(
        !said.contains(['{', '\n']) && !said.contains("://"),
        "{said}"
    );
    let history = Value::from(client.history("main").await).to_string();

    let sent = server.requests();
    assert_eq!(
        sent.len(),
        2,
        "one check, one try: a wrong key does not become right"
    );
    let repeated = |request: &moltbot_agent::testing::SeenRequest| {
        request
            .violations
            .first()
            .is_some_and(|said| said.contains("canary-"))
    };
    assert!(
        sent.iter().all(repeated),
        "the server repeats the key, or this proves nothing"
    );
    let log = gateway.log();
    assert!(log.contains("TRACE"), "everything that can be logged is");
    for place in [out, error, end.to_string(), history, log] {
        let line = place.lines().find(|line| line.contains("canary-"));
        assert_eq!(line, None, "{variable}");
    }
}

/// What the doctor says of the model, and its exit code.
fn doctor(vars: &[(&str, &str)]) -> (i32, Vec<String>) {
    let (code, out, _) = home(vars, "").run(&["doctor", "--port", "0"]);
    let lines = out.lines().filter(|line| line.contains(" model "));
    (code, lines.map(str::to_owned).collect())
}

#[test]
fn what_is_set_in_part_is_named_with_what_answers_instead() {
    let (code, lines) = doctor(&[]);
    assert_eq!(code, 0);
    assert_eq!(
        lines,
        ["ok     model    the demo model; set ANTHROPIC_API_KEY for a real one"]
    );
    let (code, lines) = doctor(&[
        ("CLOUDFLARE_AI_GATEWAY_API_KEY", TOKEN),
        ("CF_AI_GATEWAY_GATEWAY_ID", "my-gw"),
        ("AI_GATEWAY_BASE_URL", "https://gateway.example"),
    ]);
    assert_eq!(code, 3);
    assert_eq!(
        lines[1..],
        [
            "WRONG  model    CLOUDFLARE_AI_GATEWAY_API_KEY and CF_AI_GATEWAY_GATEWAY_ID are set but \
             CF_AI_GATEWAY_ACCOUNT_ID is not; the demo model answers instead",
            "WRONG  model    AI_GATEWAY_BASE_URL is set but AI_GATEWAY_API_KEY is not; the demo model \
             answers instead",
        ]
    );
    let gateway = home(&[("AI_GATEWAY_API_KEY", TOKEN)], "").start();
    let line = gateway.wait_for_log("AI_GATEWAY_BASE_URL is not; the demo model answers instead");
    assert!(line.contains("WARN"), "{line}");
    assert!(!gateway.log().contains(TOKEN));
}

#[test]
fn what_cannot_be_used_or_reached_is_named() {
    let unusable = gateway(&[("CF_AI_GATEWAY_MODEL", "gpt-5.2")]);
    let (code, lines) = doctor(&unusable);
    assert_eq!((code, lines.len()), (3, 1));
    assert!(
        lines[0].contains("CF_AI_GATEWAY_MODEL must be a provider and a model"),
        "{lines:?}"
    );
    let (code, _, error) = home(&unusable, "http://127.0.0.1:9").run(&["serve", "--port", "0"]);
    assert_eq!(code, 3);
    assert!(
        error.contains("CF_AI_GATEWAY_MODEL must be a provider and a model"),
        "{error}"
    );

    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (code, lines) = doctor(&[("OPENAI_API_KEY", TOKEN), ("OPENAI_BASE_URL", &address)]);
    assert_eq!(code, 3);
    assert!(
        lines[0].contains("The model provider cannot be reached"),
        "{lines:?}"
    );
    assert!(
        lines[0].contains(&address) && !lines[0].contains(TOKEN),
        "{lines:?}"
    );
}
