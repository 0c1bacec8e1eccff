//! The `OpenAI` form against the strict local server, through the run driver and real sockets.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use moltbot_agent::model::KeyCheck;
use moltbot_agent::model::openai::DEFAULT_MODEL;
use moltbot_agent::testing::{
    Chunking, Fault, OpenAi, OpenAiServer, Plan, Reply, ScriptedAnswer, SeenRequest,
};
use moltbot_agent::{
    Cancel, Choice, Model, ModelRequest, Provider, RunLimits, RunOutcome, Settings, StopReason,
    Turn, Usage, drive,
};
use serde_json::{Value, json};

const KEY: &str = "plain-key-0123456789";
const ANSWER: &str = "Hello, 世界! It is a fine day 🦀.";

/// The usual settings, with waits that suit a local server.
fn settings() -> Settings {
    Settings {
        backoff_ms: 2,
        backoff_ms_max: 4,
        ..Settings::default()
    }
}

fn choice(server: &OpenAiServer, key: &str) -> Choice {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let env = |name: &str| match name {
        "OPENAI_API_KEY" => Some(key.to_owned()),
        "OPENAI_BASE_URL" => Some(server.url().to_owned()),
        _ => None,
    };
    Provider::choose(&env).unwrap()
}

fn request() -> ModelRequest {
    ModelRequest {
        system: Some("Be brief.".to_owned()),
        turns: vec![
            Turn::user("Hi"),
            Turn::assistant("Hello"),
            Turn::user("And today?"),
        ],
        max_tokens: 100,
        ..ModelRequest::default()
    }
}

/// One run, with retries, as the gateway does it.
async fn run(server: &OpenAiServer, settings: Settings) -> RunOutcome {
    let model = choice(server, KEY).model(settings, 7).unwrap();
    run_with(&*model, settings).await
}

async fn run_with(model: &dyn Model, settings: Settings) -> RunOutcome {
    let mut shown = String::new();
    let on_delta = |delta: &str| shown.push_str(delta);
    let limits = RunLimits::new(&settings);
    let outcome = drive(model, request(), limits, Cancel::never(), on_delta).await;
    assert_eq!(outcome.text(), shown);
    let debug = format!("{outcome:?}");
    assert!(!debug.contains(KEY), "{debug}");
    outcome
}

fn end_of(outcome: &RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Completed { .. } => "ok",
        RunOutcome::Failed { error, .. } => error.code(),
        other => panic!("unexpected {other:?}"),
    }
}

/// One run against these replies: text, and `ok` or the error's code.
async fn check(replies: Vec<Reply>, text: &str, end: &str, requests: usize) {
    let shown = format!("{replies:?}");
    let server = OpenAiServer::start(Plan::new(KEY, replies)).await.unwrap();
    let outcome = run(&server, settings()).await;
    assert_eq!((outcome.text(), end_of(&outcome)), (text, end), "{shown}");
    assert_eq!(server.requests().len(), requests, "{shown}");
    for request in server.requests() {
        assert_eq!(request.violations, Vec::<String>::new());
    }
}

fn answer() -> Reply {
    Reply::Answer(ScriptedAnswer::new(ANSWER))
}

fn refused(status: u16, kind: &'static str, retry_after_s: Option<u64>) -> Reply {
    Reply::Error {
        status,
        kind,
        retry_after_s,
    }
}

fn failing(fault: Fault) -> Reply {
    Reply::Answer(ScriptedAnswer::new("Hello, wor").failing(fault))
}

fn only_request(server: &OpenAiServer) -> SeenRequest {
    let mut requests = server.requests();
    assert_eq!(requests.len(), 1);
    requests.pop().unwrap()
}

#[tokio::test]
async fn request_is_what_the_api_documents_and_tokens_are_counted() {
    let plan = Plan::new(KEY, vec![answer()]).with_model(DEFAULT_MODEL);
    let server = OpenAiServer::start(plan).await.unwrap();
    let RunOutcome::Completed {
        text,
        stop,
        usage,
        model,
    } = run(&server, settings()).await
    else {
        panic!("not completed");
    };
    assert_eq!((text.as_str(), stop), (ANSWER, StopReason::EndTurn));
    let expected = Usage {
        input_tokens: ScriptedAnswer::INPUT_TOKENS,
        output_tokens: 8,
        cache_read_tokens: ScriptedAnswer::CACHED_TOKENS,
        cache_write_tokens: 0,
    };
    assert_eq!(usage, expected);
    assert_eq!(
        (model.provider.as_str(), model.model.as_str()),
        ("openai", DEFAULT_MODEL)
    );
    let seen = only_request(&server);
    assert_eq!(seen.violations, Vec::<String>::new());
    assert_eq!(seen.path, "/v1/chat/completions");
    let bearer = format!("Bearer {KEY}");
    assert_eq!(seen.header("authorization"), Some(bearer.as_str()));
    assert_eq!(seen.body["max_tokens"], json!(100));
    assert_eq!(seen.body["messages"][0]["content"], "Be brief.");
    assert_eq!(seen.body["messages"][3]["content"], "And today?");
}

#[tokio::test]
async fn answer_is_whole_wherever_the_stream_is_cut_in_two() {
    let answer = ScriptedAnswer::new(ANSWER);
    let cuts = 0..=answer.stream::<OpenAi>(DEFAULT_MODEL).len();
    let cut_at = |cut| Reply::Answer(answer.clone().chunked(Chunking::CutAt(cut)));
    let plan = Plan::new(KEY, cuts.clone().map(cut_at).collect());
    let server = OpenAiServer::start(plan).await.unwrap();
    let model = choice(&server, KEY).model(settings(), 7).unwrap();
    for cut in cuts {
        let outcome = run_with(&*model, settings()).await;
        assert_eq!(
            (outcome.text(), end_of(&outcome)),
            (ANSWER, "ok"),
            "cut at {cut}"
        );
    }
}

#[tokio::test]
async fn answer_is_whole_in_pieces_of_any_size() {
    for size in [1, 2, 3, 7, 64, 1024] {
        let pieces = ScriptedAnswer::new(ANSWER).chunked(Chunking::Bytes(size));
        check(vec![Reply::Answer(pieces)], ANSWER, "ok", 1).await;
    }
}

#[tokio::test]
async fn reasons_to_stop_are_told_apart() {
    for (reason, expected) in [
        ("stop", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
    ] {
        let mut answer = ScriptedAnswer::new(ANSWER);
        answer.stop_reason = reason;
        let plan = Plan::new(KEY, vec![Reply::Answer(answer)]);
        let server = OpenAiServer::start(plan).await.unwrap();
        let outcome = run(&server, settings()).await;
        let reached = matches!(outcome, RunOutcome::Completed { stop, .. } if stop == expected);
        assert!(reached, "{outcome:?}");
    }
}

#[tokio::test]
async fn stream_cut_anywhere_before_its_reason_is_an_error_with_the_text_so_far() {
    let whole = ScriptedAnswer::new("Hello, wor").failing(Fault::EndMarkMissing);
    let stream = whole.stream::<OpenAi>(DEFAULT_MODEL);
    let reason = stream.find(r#""finish_reason":"stop""#).unwrap();
    let end_of_chunk = reason + stream[reason..].find("\n\n").unwrap() + 2;
    let cut_at = |cut| Reply::Stream(stream[..cut].to_owned());
    // The answer is ASCII, so every byte is a place to cut.
    let plan = Plan::new(KEY, (0..=stream.len()).map(cut_at).collect());
    let server = OpenAiServer::start(plan).await.unwrap();
    let once = Settings {
        tries_max: 1,
        ..settings()
    };
    let model = choice(&server, KEY).model(once, 7).unwrap();
    for cut in 0..=stream.len() {
        let outcome = run_with(&*model, once).await;
        let expected = if cut < end_of_chunk {
            "model_interrupted"
        } else {
            "ok"
        };
        assert_eq!(end_of(&outcome), expected, "cut at {cut}");
        assert!("Hello, wor".starts_with(outcome.text()), "cut at {cut}");
        let complete = stream[..cut].matches("\n\n").count();
        let words = complete.saturating_sub(2).min(2);
        assert_eq!(outcome.text(), ["", "Hello, ", "Hello, wor"][words]);
    }
}

#[tokio::test]
async fn error_in_the_middle_keeps_the_partial_answer_and_is_not_retried() {
    for (fault, code) in [
        (Fault::ErrorEvent("overloaded_error"), "model_overloaded"),
        (Fault::ErrorEvent("server_error"), "model_unavailable"),
        (
            Fault::ErrorEvent("rate_limit_exceeded"),
            "model_rate_limited",
        ),
        (Fault::Cut, "model_interrupted"),
        (Fault::EndEarly, "model_interrupted"),
    ] {
        check(vec![failing(fault), answer()], "Hello, wor", code, 1).await;
    }
}

#[tokio::test]
async fn end_mark_may_be_missing_after_the_reason() {
    check(vec![failing(Fault::EndMarkMissing)], "Hello, wor", "ok", 1).await;
    let hasty = Settings {
        ending_timeout_ms: 50,
        ..settings()
    };
    let plan = Plan::new(KEY, vec![failing(Fault::HangAtTheEnd)]);
    let server = OpenAiServer::start(plan).await.unwrap();
    let outcome = run(&server, hasty).await;
    assert_eq!((outcome.text(), end_of(&outcome)), ("Hello, wor", "ok"));
}

#[tokio::test]
async fn faults_before_the_first_delta_are_retried() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        check(vec![refused(status, "x", None), answer()], ANSWER, "ok", 2).await;
    }
    let limited = refused(429, "rate_limit_exceeded", Some(0));
    check(vec![limited, Reply::Close, answer()], ANSWER, "ok", 3).await;
    let early = ScriptedAnswer::new("").failing(Fault::ErrorEvent("server_error"));
    check(vec![Reply::Answer(early), answer()], ANSWER, "ok", 2).await;
}

#[tokio::test]
async fn tries_are_bounded_and_a_wait_too_long_is_told_at_once() {
    let overloaded = refused(529, "overloaded_error", None);
    check(vec![overloaded], "", "model_overloaded", 3).await;
    let limited = refused(429, "rate_limit_exceeded", Some(3600));
    check(vec![limited], "", "model_rate_limited", 1).await;
}

#[tokio::test]
async fn refusals_are_told_apart_and_not_retried() {
    for (status, kind, code) in [
        (400, "invalid_request_error", "model_bad_request"),
        (400, "context_length_exceeded", "model_request_too_large"),
        (401, "invalid_api_key", "model_auth"),
        (403, "unsupported_country_region_territory", "model_auth"),
        (404, "model_not_found", "model_not_found"),
        (429, "insufficient_quota", "model_billing"),
        (302, "moved", "model_protocol"),
    ] {
        check(vec![refused(status, kind, None)], "", code, 1).await;
    }
}

#[tokio::test]
async fn what_is_no_event_stream_is_said_with_its_reason() {
    let reply = r#"{"success":false,"errors":[{"code":7,"message":"not today"}]}"#;
    let plan = Plan::new(KEY, vec![Reply::Json(reply.to_owned())]);
    let server = OpenAiServer::start(plan).await.unwrap();
    let RunOutcome::Failed { error, .. } = run(&server, settings()).await else {
        panic!("not failed");
    };
    assert_eq!(error.code(), "model_protocol");
    assert!(error.message().contains("not today"), "{error}");
}

#[tokio::test]
async fn wrong_key_is_refused_with_its_variable_and_shown_nowhere() {
    let wrong = "wrong-key-555";
    let plan = Plan::new(KEY, vec![answer()]);
    let server = OpenAiServer::start(plan).await.unwrap();
    let choice = choice(&server, wrong);
    let model = choice.model(settings(), 7).unwrap();
    let limits = RunLimits::new(&settings());
    let outcome = drive(&*model, request(), limits, Cancel::never(), |_| {}).await;
    let RunOutcome::Failed { error, .. } = &outcome else {
        panic!("unexpected {outcome:?}");
    };
    assert_eq!(error.code(), "model_auth");
    let refused = choice.check(settings()).await.unwrap_err();
    assert_eq!(refused.code(), "model_auth");
    let echoed = server.requests().iter().all(|request| {
        let violation = request.violations.first();
        violation.is_some_and(|violation| violation.contains(wrong))
    });
    assert!(echoed, "the server repeats the key, or this proves nothing");
    for message in [error.message(), refused.message()] {
        assert!(
            message.contains("OPENAI_API_KEY") && message.contains("[redacted]"),
            "{message}"
        );
    }
    let shown = format!("{outcome:?} {choice:?} {refused:?}");
    assert!(!shown.contains(wrong) && !shown.contains("555"), "{shown}");
}

#[tokio::test]
async fn key_is_checked_for_free_and_in_bounded_time() {
    let server = OpenAiServer::start(Plan::new(KEY, vec![answer()]))
        .await
        .unwrap();
    let found = choice(&server, KEY).check(settings()).await;
    assert_eq!(found, Ok(Some(KeyCheck::Accepted)));
    let seen = only_request(&server);
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("GET", "/v1/models")
    );
    assert_eq!((seen.violations, seen.body), (vec![], Value::Null));

    let plan = Plan::new(KEY, vec![refused(404, "x", None)]);
    let server = OpenAiServer::start(plan).await.unwrap();
    let found = choice(&server, KEY).check(settings()).await;
    assert_eq!(found, Ok(Some(KeyCheck::Unknown { status: 404 })));

    let server = OpenAiServer::start(Plan::new(KEY, vec![Reply::Hang]))
        .await
        .unwrap();
    let hasty = Settings {
        check_timeout_ms: 100,
        ..settings()
    };
    let error = choice(&server, KEY).check(hasty).await.unwrap_err();
    assert_eq!(error.code(), "model_timeout");
}

#[tokio::test]
async fn redirect_does_not_take_the_key_along() {
    let elsewhere = OpenAiServer::start(Plan::answering(KEY, ANSWER))
        .await
        .unwrap();
    let to = format!("{}/v1/chat/completions", elsewhere.url());
    check(vec![Reply::Redirect(to)], "", "model_protocol", 1).await;
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn cancel_keeps_the_partial_answer_and_frees_the_connection() {
    let plan = Plan::new(KEY, vec![failing(Fault::Hang)]);
    let server = OpenAiServer::start(plan).await.unwrap();
    let model = choice(&server, KEY).model(settings(), 7).unwrap();
    let (handle, cancel) = Cancel::pair();
    let mut shown = String::new();
    let on_delta = |delta: &str| {
        shown.push_str(delta);
        if shown == "Hello, wor" {
            handle.cancel();
        }
    };
    let limits = RunLimits::new(&settings());
    let outcome = drive(&*model, request(), limits, cancel, on_delta).await;
    assert!(
        matches!(outcome, RunOutcome::Cancelled { .. }),
        "{outcome:?}"
    );
    assert_eq!(outcome.text(), "Hello, wor");
    let freed = async {
        while server.abandoned() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed)
        .await
        .unwrap();
}

#[tokio::test]
async fn silence_is_a_timeout_and_not_retried() {
    let impatient = Settings {
        first_byte_timeout_ms: 1_000,
        idle_timeout_ms: 1_000,
        ..settings()
    };
    for (reply, text) in [(Reply::Hang, ""), (failing(Fault::Hang), "Hello, wor")] {
        let server = OpenAiServer::start(Plan::new(KEY, vec![reply]))
            .await
            .unwrap();
        let outcome = run(&server, impatient).await;
        assert_eq!((outcome.text(), end_of(&outcome)), (text, "model_timeout"));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn what_real_servers_send_is_understood() {
    let cases = [
        // A router that says it is alive, no counts, reasoning beside the text.
        ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"reasoning\":\"hm\"}}]}\n\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\n\
         data: [DONE]\n\n",
        // Lines that end with CRLF, no space after the colon, null content, no end mark.
        "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":null}}],\"usage\":null}\r\n\r\n\
         data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\r\n\r\n\
         data:{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        // An end mark, but no reason.
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n",
    ];
    for stream in cases {
        check(vec![Reply::Stream(stream.to_owned())], "Hi", "ok", 1).await;
    }
}
