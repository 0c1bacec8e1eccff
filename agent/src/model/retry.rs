//! Tries again while nothing of an answer was shown.
//!
//! Invariant: after the first delta nothing is retried, since a second answer would not continue the
//! first; and only errors of kind [`Transient`](ModelErrorKind::Transient) are retried. Waits go
//! through tokio's timer, and the jitter comes from a seed, so a test sees the same waits each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::error::{ModelError, ModelErrorKind};
use crate::model::{Model, ModelEvent, ModelInfo, ModelRequest, ModelStream};
use crate::settings::Settings;

/// How often and how patiently to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries, the first included.
    pub tries_max: u32,
    /// Wait before the second try; doubles with each further one.
    pub backoff: Duration,
    /// Longest wait we choose ourselves.
    pub backoff_max: Duration,
    /// Longest wait a provider may ask for; if it asks for more, its error stands.
    pub retry_after_max: Duration,
}

impl RetryPolicy {
    /// The policy the settings describe.
    pub fn new(settings: &Settings) -> Self {
        Self {
            tries_max: settings.tries_max,
            backoff: Duration::from_millis(settings.backoff_ms),
            backoff_max: Duration::from_millis(settings.backoff_ms_max),
            retry_after_max: Duration::from_millis(settings.retry_after_ms_max),
        }
    }

    /// How long to wait after `tries` failed tries, or `None` to give up with `error`.
    ///
    /// `jitter` decides where in the upper half of the backoff the wait lies.
    pub fn wait(&self, tries: u32, error: &ModelError, jitter: u64) -> Option<Duration> {
        let ModelErrorKind::Transient { retry_after } = error.kind() else {
            return None;
        };
        if tries >= self.tries_max {
            return None;
        }
        let asked = retry_after.unwrap_or_default();
        if asked > self.retry_after_max {
            return None;
        }
        let doublings = tries.saturating_sub(1).min(31);
        let backoff = self
            .backoff
            .saturating_mul(1 << doublings)
            .min(self.backoff_max);
        let share = u32::try_from(jitter % 1001).unwrap_or_default();
        Some((backoff / 2 + backoff / 2 * share / 1000).max(asked))
    }
}

/// A model that retries another one.
#[derive(Debug)]
pub struct Retrying<M> {
    model: Arc<M>,
    policy: RetryPolicy,
    seed: u64,
    starts: AtomicU64,
}

impl<M: Model + 'static> Retrying<M> {
    /// Wraps `model`. Each answer draws its own jitter from `seed`.
    pub fn new(model: M, policy: RetryPolicy, seed: u64) -> Self {
        Self {
            model: Arc::new(model),
            policy,
            seed,
            starts: AtomicU64::new(0),
        }
    }
}

impl<M: Model + 'static> Model for Retrying<M> {
    fn info(&self) -> ModelInfo {
        self.model.info()
    }

    fn start(&self, request: ModelRequest) -> ModelStream {
        let nth = self.starts.fetch_add(1, Ordering::Relaxed);
        let answer = Answer {
            model: Arc::clone(&self.model),
            policy: self.policy,
            random: self.seed ^ nth.wrapping_mul(0xA076_1D64_78BD_642F),
            tries: 1,
            attempt: None,
            request,
            delta_seen: false,
            ended: false,
        };
        stream::unfold(answer, |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        })
        .boxed()
    }
}

struct Answer<M> {
    model: Arc<M>,
    policy: RetryPolicy,
    request: ModelRequest,
    random: u64,
    tries: u32,
    attempt: Option<ModelStream>,
    delta_seen: bool,
    ended: bool,
}

impl<M: Model> Answer<M> {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        while !self.ended {
            let attempt = self
                .attempt
                .get_or_insert_with(|| self.model.start(self.request.clone()));
            let item = attempt.next().await;
            match &item {
                Some(Ok(ModelEvent::Delta(_))) => self.delta_seen = true,
                Some(Err(error)) if !self.delta_seen => {
                    if let Some(wait) = self.wait_after(error) {
                        // The failed stream goes first: it may hold a connection.
                        self.attempt = None;
                        tokio::time::sleep(wait).await;
                        self.tries += 1;
                        continue;
                    }
                    self.ended = true;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => self.ended = true,
            }
            return item;
        }
        None
    }

    fn wait_after(&mut self, error: &ModelError) -> Option<Duration> {
        self.random = next_random(self.random);
        let wait = self.policy.wait(self.tries, error, self.random)?;
        tracing::debug!(
            code = error.code(),
            tries = self.tries,
            ?wait,
            "model try failed, waiting"
        );
        Some(wait)
    }
}

/// One step of the `SplitMix64` generator.
fn next_random(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Excerpt;
    use crate::testing::{ScriptedModel, Step};
    use tokio::time::Instant;

    fn overloaded(retry_after_ms: Option<u64>) -> ModelError {
        let retry_after = retry_after_ms.map(Duration::from_millis);
        ModelError::Overloaded {
            retry_after,
            detail: Excerpt::default(),
        }
    }

    fn policy() -> RetryPolicy {
        RetryPolicy::new(&Settings::default())
    }

    async fn collect(scripts: Vec<Vec<Step>>) -> (Vec<Result<ModelEvent, ModelError>>, usize) {
        let scripted = Arc::new(ScriptedModel::new(scripts));
        let model = Retrying::new(Arc::clone(&scripted), policy(), 7);
        let items = model.start(ModelRequest::default()).collect().await;
        (items, scripted.requests().len())
    }

    fn answer() -> Vec<Step> {
        vec![Step::delta("hi"), Step::done()]
    }

    fn hi() -> Vec<Result<ModelEvent, ModelError>> {
        vec![
            Ok(ModelEvent::Delta("hi".to_owned())),
            Ok(ModelEvent::Done(crate::model::StopReason::EndTurn)),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn overload_before_the_first_delta_is_retried() {
        let fail = vec![Step::Fail(overloaded(None))];
        let (items, tries) = collect(vec![fail.clone(), fail, answer()]).await;
        assert_eq!((items, tries), (hi(), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn tries_are_bounded() {
        let (items, tries) = collect(vec![vec![Step::Fail(overloaded(None))]]).await;
        assert_eq!((items, tries), (vec![Err(overloaded(None))], 3));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_retried_after_a_delta() {
        let script = vec![Step::delta("par"), Step::Fail(overloaded(None))];
        let (items, tries) = collect(vec![script, answer()]).await;
        assert_eq!(tries, 1);
        assert_eq!(items.last(), Some(&Err(overloaded(None))));
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_and_stalled_requests_are_not_repeated() {
        let auth = ModelError::Auth {
            variables: "KEY".to_owned(),
            detail: Excerpt::default(),
        };
        let stalled = ModelError::Timeout {
            wait: crate::error::Wait::FirstByte,
        };
        for error in [auth, stalled] {
            let (items, tries) = collect(vec![vec![Step::Fail(error.clone())], answer()]).await;
            assert_eq!((items, tries), (vec![Err(error)], 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn asked_wait_is_honoured_within_its_bound() {
        let begun = Instant::now();
        let (items, _) = collect(vec![vec![Step::Fail(overloaded(Some(9_000)))], answer()]).await;
        assert_eq!(items, hi());
        assert!(begun.elapsed() >= Duration::from_secs(9));
        let too_long = overloaded(Some(31_000));
        let (items, tries) = collect(vec![vec![Step::Fail(too_long.clone())], answer()]).await;
        assert_eq!((items, tries), (vec![Err(too_long)], 1));
    }

    #[test]
    fn waits_double_within_bounds_and_depend_on_the_seed_only() {
        let policy = RetryPolicy {
            tries_max: 100,
            ..policy()
        };
        for tries in 1..100 {
            for jitter in [0, 1, 500, 1000, u64::MAX] {
                let wait = policy.wait(tries, &overloaded(None), jitter).unwrap();
                assert_eq!(policy.wait(tries, &overloaded(None), jitter), Some(wait));
                assert!(
                    wait >= policy.backoff / 2 && wait <= policy.backoff_max,
                    "{wait:?}"
                );
            }
        }
        assert_eq!(
            policy.wait(1, &overloaded(None), 1000),
            Some(Duration::from_millis(500))
        );
        assert_eq!(
            policy.wait(3, &overloaded(None), 0),
            Some(Duration::from_secs(1))
        );
        assert_eq!(
            next_random(0),
            0xE220_A839_7B1D_CDAF,
            "the published first output"
        );
    }
}
