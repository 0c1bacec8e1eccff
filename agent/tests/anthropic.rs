//! The Anthropic model against the strict local server, through the run driver and real sockets.

use std::error::Error;
use std::time::Duration;

use moltbot_agent::model::access::Access;
use moltbot_agent::model::anthropic::{AnthropicModel, DEFAULT_MODEL};
use moltbot_agent::model::retry::{RetryPolicy, Retrying};
use moltbot_agent::prompt::system_prompt;
use moltbot_agent::testing::{
    Anthropic, AnthropicServer, Chunking, Fault, Plan, Reply, ScriptedAnswer,
};
use moltbot_agent::{
    Cancel, LogFacts, ModelError, ModelRequest, Provider, RunLimits, RunOutcome, Settings,
    StopReason, Turn, drive,
};

type TestResult = Result<(), Box<dyn Error>>;

const KEY: &str = "sk-ant-local-0123456789";
const ANSWER: &str = "Hello, 世界! It is a fine day 🦀.";

/// The usual settings, with waits that suit a local server.
fn settings() -> Settings {
    Settings {
        backoff_ms: 2,
        backoff_ms_max: 4,
        ..Settings::default()
    }
}

fn access(server: &AnthropicServer, key: &str) -> Result<Access, ModelError> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let env = |name: &str| match name {
        "ANTHROPIC_API_KEY" => Some(key.to_owned()),
        "ANTHROPIC_BASE_URL" => Some(server.url().to_owned()),
        _ => None,
    };
    // A key is set, so it is not the demo model.
    Provider::choose(&env)?
        .access
        .ok_or(ModelError::Interrupted)
}

fn request() -> ModelRequest {
    let facts = LogFacts {
        now_ms: 1_795_358_970_000,
        ..LogFacts::default()
    };
    ModelRequest {
        system: Some(system_prompt(&facts)),
        turns: vec![
            Turn::user("Hi"),
            Turn::assistant("Hello"),
            Turn::user("And today?"),
        ],
        max_tokens: 100,
        facts,
    }
}

/// One run, with retries, as the gateway does it.
async fn run(server: &AnthropicServer, settings: Settings) -> Result<RunOutcome, ModelError> {
    let model = AnthropicModel::new(access(server, KEY)?, settings)?;
    let model = Retrying::new(model, RetryPolicy::new(&settings), 7);
    let limits = RunLimits::new(&settings);
    let mut shown = String::new();
    let on_delta = |delta: &str| shown.push_str(delta);
    let outcome = drive(&model, request(), limits, Cancel::never(), on_delta).await;
    assert_eq!(outcome.text(), shown);
    Ok(outcome)
}

/// One run against these replies: text, and `ok` or the error's code.
async fn check(replies: Vec<Reply>, text: &str, end: &str, requests: usize) -> TestResult {
    let server = AnthropicServer::start(Plan::new(KEY, replies)).await?;
    let outcome = run(&server, settings()).await?;
    let seen = match &outcome {
        RunOutcome::Completed { .. } => "ok",
        RunOutcome::Failed { error, .. } => {
            assert!(!error.message().contains(KEY), "{error}");
            error.code()
        }
        other => return Err(format!("unexpected {other:?}").into()),
    };
    assert_eq!((outcome.text(), seen), (text, end));
    assert_eq!(server.requests().len(), requests);
    Ok(())
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

#[tokio::test]
async fn request_is_what_the_api_documents() -> TestResult {
    let mut plan = Plan::new(KEY, vec![answer()]);
    plan.model = Some(DEFAULT_MODEL.to_owned());
    let server = AnthropicServer::start(plan).await?;
    let outcome = run(&server, settings()).await?;
    let RunOutcome::Completed {
        text,
        stop,
        usage,
        model,
    } = outcome
    else {
        return Err(format!("unexpected {outcome:?}").into());
    };
    assert_eq!((text.as_str(), stop), (ANSWER, StopReason::EndTurn));
    assert_eq!((usage.input_tokens, usage.output_tokens), (25, 8));
    assert_eq!(
        (model.provider.as_str(), model.model.as_str()),
        ("anthropic", DEFAULT_MODEL)
    );
    let requests = server.requests();
    let [seen] = requests.as_slice() else {
        return Err("one request expected".into());
    };
    assert_eq!(seen.violations, Vec::<String>::new());
    assert_eq!(seen.header("x-api-key"), Some(KEY));
    assert_eq!(
        seen.body.pointer("/messages/2/content"),
        Some(&"And today?".into())
    );
    Ok(())
}

#[tokio::test]
async fn answer_is_whole_wherever_the_stream_is_cut_in_two() -> TestResult {
    let answer = ScriptedAnswer::new(ANSWER);
    let cuts = 1..answer.stream::<Anthropic>("model").len();
    let replies: Vec<_> = cuts
        .map(|cut| Reply::Answer(answer.clone().chunked(Chunking::CutAt(cut))))
        .collect();
    let runs = replies.len();
    let server = AnthropicServer::start(Plan::new(KEY, replies)).await?;
    let model = AnthropicModel::new(access(&server, KEY)?, settings())?;
    let limits = RunLimits::new(&settings());
    for cut in 1..=runs {
        let outcome = drive(&model, request(), limits, Cancel::never(), |_| {}).await;
        let completed = matches!(outcome, RunOutcome::Completed { .. });
        assert!(
            completed && outcome.text() == ANSWER,
            "cut at {cut}: {outcome:?}"
        );
    }
    assert_eq!(server.requests().len(), runs);
    Ok(())
}

#[tokio::test]
async fn answer_is_whole_in_pieces_of_any_size() -> TestResult {
    for size in [1, 2, 3, 7, 64, 1000] {
        let answer = ScriptedAnswer::new(ANSWER).chunked(Chunking::Bytes(size));
        check(vec![Reply::Answer(answer)], ANSWER, "ok", 1).await?;
    }
    Ok(())
}

#[tokio::test]
async fn stop_reasons_reach_the_outcome() -> TestResult {
    for (wire, expected) in [
        ("max_tokens", StopReason::MaxTokens),
        ("refusal", StopReason::Refusal),
    ] {
        let answer = ScriptedAnswer {
            stop_reason: wire,
            ..ScriptedAnswer::new(ANSWER)
        };
        let server = AnthropicServer::start(Plan::new(KEY, vec![Reply::Answer(answer)])).await?;
        let outcome = run(&server, settings()).await?;
        let reached = matches!(outcome, RunOutcome::Completed { stop, .. } if stop == expected);
        assert!(reached, "{outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn error_in_the_middle_keeps_the_partial_answer_and_is_not_retried() -> TestResult {
    let overload = failing(Fault::ErrorEvent("overloaded_error"));
    check(
        vec![overload, answer()],
        "Hello, wor",
        "model_overloaded",
        1,
    )
    .await?;
    let internal = failing(Fault::ErrorEvent("api_error"));
    check(
        vec![internal, answer()],
        "Hello, wor",
        "model_unavailable",
        1,
    )
    .await?;
    check(
        vec![failing(Fault::Cut), answer()],
        "Hello, wor",
        "model_interrupted",
        1,
    )
    .await?;
    check(
        vec![failing(Fault::EndEarly), answer()],
        "Hello, wor",
        "model_interrupted",
        1,
    )
    .await
}

#[tokio::test]
async fn faults_before_the_first_delta_are_retried() -> TestResult {
    check(vec![Reply::overloaded(), answer()], ANSWER, "ok", 2).await?;
    check(vec![Reply::Close, answer()], ANSWER, "ok", 2).await?;
    let limited = refused(429, "rate_limit_error", Some(0));
    check(
        vec![limited, refused(500, "api_error", None), answer()],
        ANSWER,
        "ok",
        3,
    )
    .await?;
    let early = ScriptedAnswer::new("").failing(Fault::ErrorEvent("overloaded_error"));
    check(vec![Reply::Answer(early), answer()], ANSWER, "ok", 2).await
}

#[tokio::test]
async fn tries_are_bounded_and_the_last_error_stands() -> TestResult {
    check(vec![Reply::overloaded()], "", "model_overloaded", 3).await?;
    // A wait longer than we are ready for: the person is told at once.
    check(
        vec![refused(429, "rate_limit_error", Some(3600))],
        "",
        "model_rate_limited",
        1,
    )
    .await
}

#[tokio::test]
async fn refusals_are_told_apart_and_not_retried() -> TestResult {
    let refusals = [
        (400, "invalid_request_error", "model_bad_request"),
        (401, "authentication_error", "model_auth"),
        (402, "billing_error", "model_billing"),
        (403, "permission_error", "model_auth"),
        (404, "not_found_error", "model_not_found"),
        (413, "request_too_large", "model_request_too_large"),
        (302, "moved", "model_protocol"),
    ];
    for (status, kind, code) in refusals {
        check(vec![refused(status, kind, None)], "", code, 1).await?;
    }
    Ok(())
}

#[tokio::test]
async fn wrong_key_is_refused_and_shown_nowhere() -> TestResult {
    let wrong = "wrong-key-555";
    let server = AnthropicServer::start(Plan::new(KEY, vec![answer()])).await?;
    let model = AnthropicModel::new(access(&server, wrong)?, settings())?;
    let limits = RunLimits::new(&settings());
    let outcome = drive(&model, request(), limits, Cancel::never(), |_| {}).await;
    let RunOutcome::Failed { error, .. } = &outcome else {
        return Err(format!("unexpected {outcome:?}").into());
    };
    assert_eq!(error.code(), "model_auth");
    for shown in [error.message(), format!("{outcome:?} {model:?}")] {
        assert!(!shown.contains(wrong) && !shown.contains("555"), "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn redirect_does_not_take_the_key_along() -> TestResult {
    let elsewhere = AnthropicServer::start(Plan::answering(KEY, ANSWER)).await?;
    let to = format!("{}/v1/messages", elsewhere.url());
    check(vec![Reply::Redirect(to)], "", "model_protocol", 1).await?;
    assert_eq!(elsewhere.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn cancel_keeps_the_partial_answer_and_frees_the_connection() -> TestResult {
    let server = AnthropicServer::start(Plan::new(KEY, vec![failing(Fault::Hang)])).await?;
    let model = AnthropicModel::new(access(&server, KEY)?, settings())?;
    let (handle, cancel) = Cancel::pair();
    let mut shown = String::new();
    let on_delta = |delta: &str| {
        shown.push_str(delta);
        if shown == "Hello, wor" {
            handle.cancel();
        }
    };
    let outcome = drive(
        &model,
        request(),
        RunLimits::new(&settings()),
        cancel,
        on_delta,
    )
    .await;
    let RunOutcome::Cancelled { partial, usage } = outcome else {
        return Err(format!("unexpected {outcome:?}").into());
    };
    assert_eq!((partial.as_str(), usage.input_tokens), ("Hello, wor", 25));
    let freed = async {
        while server.abandoned() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await?;
    Ok(())
}

#[tokio::test]
async fn silence_is_a_timeout_and_not_retried() -> TestResult {
    let impatient = Settings {
        first_byte_timeout_ms: 1_000,
        idle_timeout_ms: 1_000,
        ..settings()
    };
    for (reply, text) in [(Reply::Hang, ""), (failing(Fault::Hang), "Hello, wor")] {
        let server = AnthropicServer::start(Plan::new(KEY, vec![reply])).await?;
        let outcome = run(&server, impatient).await?;
        let RunOutcome::Failed { partial, error, .. } = outcome else {
            return Err(format!("unexpected {outcome:?}").into());
        };
        assert_eq!((partial.as_str(), error.code()), (text, "model_timeout"));
        assert_eq!(server.requests().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn run_timeout_ends_a_slow_answer() -> TestResult {
    let slow = ScriptedAnswer::new(ANSWER).failing(Fault::Hang);
    let server = AnthropicServer::start(Plan::new(KEY, vec![Reply::Answer(slow)])).await?;
    let outcome = run(
        &server,
        Settings {
            run_timeout_ms: 300,
            ..settings()
        },
    )
    .await?;
    assert!(
        matches!(outcome, RunOutcome::TimedOut { .. }),
        "{outcome:?}"
    );
    Ok(())
}

#[tokio::test]
async fn unreachable_server_is_said_to_be_so() -> TestResult {
    let server = AnthropicServer::start(Plan::answering(KEY, ANSWER)).await?;
    let access = access(&server, KEY)?;
    drop(server);
    // The listener closes when its task is gone.
    tokio::task::yield_now().await;
    let model = AnthropicModel::new(access, settings())?;
    let limits = RunLimits::new(&settings());
    let outcome = drive(&model, request(), limits, Cancel::never(), |_| {}).await;
    let RunOutcome::Failed { error, .. } = outcome else {
        return Err(format!("unexpected {outcome:?}").into());
    };
    assert_eq!(error.code(), "model_unreachable");
    assert!(error.message().contains("refused"), "{error}");
    Ok(())
}

#[tokio::test]
async fn long_answer_is_cut_at_the_bound() -> TestResult {
    let server = AnthropicServer::start(Plan::answering(KEY, ANSWER)).await?;
    let outcome = run(
        &server,
        Settings {
            answer_bytes_max: 8,
            ..settings()
        },
    )
    .await?;
    let cut = matches!(
        outcome,
        RunOutcome::Completed {
            stop: StopReason::MaxTokens,
            ..
        }
    );
    assert!(cut && outcome.text() == "Hello, ", "{outcome:?}");
    let outcome = run(
        &server,
        Settings {
            stream_bytes_max: 300,
            ..settings()
        },
    )
    .await?;
    let RunOutcome::Failed { error, .. } = outcome else {
        return Err(format!("unexpected {outcome:?}").into());
    };
    assert_eq!(error.code(), "model_answer_too_large");
    Ok(())
}

#[tokio::test]
async fn server_refuses_what_the_api_would_refuse() -> TestResult {
    let server = AnthropicServer::start(Plan::answering(KEY, ANSWER)).await?;
    let model = AnthropicModel::new(access(&server, KEY)?, settings())?;
    let turns = vec![Turn::user("Hi"), Turn::user("Hi again")];
    let twice = ModelRequest { turns, ..request() };
    let limits = RunLimits::new(&settings());
    let outcome = drive(&model, twice, limits, Cancel::never(), |_| {}).await;
    let RunOutcome::Failed { error, .. } = outcome else {
        return Err(format!("unexpected {outcome:?}").into());
    };
    assert_eq!(error.code(), "model_bad_request");
    assert!(
        error.message().contains("messages: not permitted"),
        "{error}"
    );
    Ok(())
}
