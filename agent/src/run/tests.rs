use std::sync::Arc;

use super::*;
use crate::testing::{ScriptedModel, Step};

fn limits(answer_bytes_max: usize) -> RunLimits {
    RunLimits {
        timeout: Duration::from_mins(1),
        answer_bytes_max,
    }
}

async fn run(script: Vec<Step>, limits: RunLimits, cancel: Cancel) -> RunOutcome {
    let model = ScriptedModel::new(vec![script]);
    let mut seen = String::new();
    let on_delta = |delta: &str| seen.push_str(delta);
    let outcome = drive(&model, ModelRequest::default(), limits, cancel, on_delta).await;
    assert_eq!(outcome.text(), seen, "the outcome holds what was shown");
    outcome
}

#[tokio::test(start_paused = true)]
async fn answer_completes_with_its_usage_and_model() {
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        ..Usage::default()
    };
    let script = vec![
        Step::delta("Hel"),
        Step::Usage(usage),
        Step::delta("lo"),
        Step::done(),
    ];
    let outcome = run(script, limits(100), Cancel::never()).await;
    let model = ModelInfo {
        provider: "scripted".to_owned(),
        model: "script".to_owned(),
    };
    let text = "Hello".to_owned();
    let expected = RunOutcome::Completed {
        text,
        stop: StopReason::EndTurn,
        usage,
        model,
    };
    assert_eq!(outcome, expected);
}

#[tokio::test(start_paused = true)]
async fn long_answer_is_cut_between_characters() {
    for (bytes_max, expected) in [(0, ""), (3, "ab"), (4, "ab"), (5, "ab界"), (7, "ab界")] {
        let script = vec![Step::delta("ab"), Step::delta("界界"), Step::done()];
        let outcome = run(script, limits(bytes_max), Cancel::never()).await;
        assert_eq!(outcome.text(), expected);
        let is_cut = matches!(
            outcome,
            RunOutcome::Completed {
                stop: StopReason::MaxTokens,
                ..
            }
        );
        assert!(is_cut, "{outcome:?}");
    }
    let outcome = run(
        vec![Step::delta("ab"), Step::done()],
        limits(2),
        Cancel::never(),
    )
    .await;
    assert!(matches!(
        outcome,
        RunOutcome::Completed {
            stop: StopReason::EndTurn,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn cancel_keeps_the_partial_answer() {
    let (handle, cancel) = Cancel::pair();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.cancel();
    };
    let run = run(vec![Step::delta("part"), Step::Hang], limits(100), cancel);
    let (outcome, ()) = tokio::join!(run, stop);
    assert_eq!(
        outcome,
        RunOutcome::Cancelled {
            partial: "part".to_owned(),
            usage: Usage::default()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn cancel_before_the_start_shows_nothing() {
    let (handle, cancel) = Cancel::pair();
    handle.cancel();
    drop(handle);
    let outcome = run(vec![Step::delta("never")], limits(100), cancel).await;
    assert!(matches!(outcome, RunOutcome::Cancelled { .. }));
    assert_eq!(outcome.text(), "");
}

#[tokio::test(start_paused = true)]
async fn cancel_stops_a_model_that_is_always_ready() {
    let (handle, cancel) = Cancel::pair();
    let model = ScriptedModel::new(vec![vec![Step::delta("x"); 1000]]);
    let mut deltas = 0;
    let on_delta = |_: &str| {
        deltas += 1;
        if deltas == 3 {
            handle.cancel();
        }
    };
    let outcome = drive(
        &model,
        ModelRequest::default(),
        limits(9000),
        cancel,
        on_delta,
    )
    .await;
    assert_eq!(outcome.text(), "xxx");
}

#[tokio::test(start_paused = true)]
async fn dropped_handle_lets_the_run_go_on() {
    let script = vec![
        Step::Pause(Duration::from_secs(1)),
        Step::delta("on"),
        Step::done(),
    ];
    let outcome = run(script, limits(100), Cancel::never()).await;
    assert_eq!(outcome.text(), "on");
}

#[tokio::test(start_paused = true)]
async fn silent_model_times_out_with_the_partial_answer() {
    let begun = tokio::time::Instant::now();
    let script = vec![Step::delta("part"), Step::Hang];
    let outcome = run(script, limits(100), Cancel::never()).await;
    assert_eq!(
        outcome,
        RunOutcome::TimedOut {
            partial: "part".to_owned(),
            usage: Usage::default()
        }
    );
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn failure_keeps_the_partial_answer() {
    let script = vec![Step::delta("part"), Step::Fail(ModelError::Interrupted)];
    let outcome = run(script, limits(100), Cancel::never()).await;
    let RunOutcome::Failed { partial, error, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((partial.as_str(), error), ("part", ModelError::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn stream_without_an_end_is_a_failure() {
    let outcome = run(vec![Step::delta("part")], limits(100), Cancel::never()).await;
    assert!(matches!(
        outcome,
        RunOutcome::Failed {
            error: ModelError::Interrupted,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn run_of_any_model_can_be_spawned() {
    let model: Arc<dyn Model> = Arc::new(ScriptedModel::answering("from a task"));
    let run = async move {
        drive(
            &*model,
            ModelRequest::default(),
            limits(100),
            Cancel::never(),
            |_| {},
        )
        .await
    };
    let outcome = tokio::spawn(run).await.unwrap();
    assert_eq!(outcome.text(), "from a task");
}
