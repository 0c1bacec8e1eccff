//! Drives one run to its end.
//!
//! Invariant: a run ends in exactly one [`RunOutcome`], and the text in it is exactly what
//! `on_delta` was given, in order. The driver never panics; a model whose stream panics is not caught
//! here, that is for whoever owns the task.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;

use crate::error::ModelError;
use crate::model::{Model, ModelEvent, ModelInfo, ModelRequest, StopReason, Usage};
use crate::settings::Settings;

/// Bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Longest run, retries and waits included.
    pub timeout: Duration,
    /// Longest text; a longer answer is cut there, and the run completes with
    /// [`StopReason::MaxTokens`].
    pub answer_bytes_max: usize,
}

impl RunLimits {
    /// The limits the settings describe.
    pub fn new(settings: &Settings) -> Self {
        Self {
            timeout: Duration::from_millis(settings.run_timeout_ms),
            answer_bytes_max: settings.answer_bytes_max,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOutcome {
    /// The model finished, or reached a bound on length.
    Completed {
        /// The answer, possibly empty.
        text: String,
        /// Why the model stopped.
        stop: StopReason,
        /// Tokens spent.
        usage: Usage,
        /// Who answered.
        model: ModelInfo,
    },
    /// Someone asked to stop.
    Cancelled {
        /// The answer so far.
        partial: String,
        /// Tokens known to be spent so far.
        usage: Usage,
    },
    /// The run took too long.
    TimedOut {
        /// The answer so far.
        partial: String,
        /// Tokens known to be spent so far.
        usage: Usage,
    },
    /// The model failed.
    Failed {
        /// The answer so far.
        partial: String,
        /// Tokens known to be spent so far.
        usage: Usage,
        /// What happened.
        error: ModelError,
    },
}

impl RunOutcome {
    /// The answer, or as much of it as there is.
    pub fn text(&self) -> &str {
        match self {
            Self::Completed { text, .. } => text,
            Self::Cancelled { partial, .. }
            | Self::TimedOut { partial, .. }
            | Self::Failed { partial, .. } => partial,
        }
    }
}

/// Asks one run to stop. Dropping it without asking lets the run go on.
#[derive(Debug)]
pub struct CancelHandle(watch::Sender<bool>);

impl CancelHandle {
    /// Asks to stop; asking twice, or after the end, does nothing.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

/// The run's end of a [`CancelHandle`].
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// A connected pair.
    pub fn pair() -> (CancelHandle, Self) {
        let (sender, receiver) = watch::channel(false);
        (CancelHandle(sender), Self(receiver))
    }

    /// One that never asks.
    pub fn never() -> Self {
        Self::pair().1
    }

    /// Returns when stopping was asked for, never otherwise. May be dropped and called again.
    pub async fn cancelled(&mut self) {
        let asked = self.0.wait_for(|asked| *asked).await.is_ok();
        if !asked {
            std::future::pending::<()>().await;
        }
    }
}

/// Runs `model` on `request` until it ends, is cancelled or takes too long.
///
/// `on_delta` is called with each piece of text as it arrives, on the caller's task: it must not
/// block. Dropping the future abandons the run; then there is no outcome.
pub async fn drive<M, F>(
    model: &M,
    request: ModelRequest,
    limits: RunLimits,
    mut cancel: Cancel,
    on_delta: F,
) -> RunOutcome
where
    M: Model + ?Sized,
    F: FnMut(&str) + Send,
{
    let mut answer = Answer::new(limits.answer_bytes_max, on_delta);
    let deadline = tokio::time::sleep(limits.timeout);
    tokio::pin!(deadline);
    let mut events = model.start(request);
    let end = loop {
        // Biased, so that a model that is always ready cannot outrun Stop.
        let step = tokio::select! {
            biased;
            () = cancel.cancelled() => break End::Cancelled,
            () = &mut deadline => break End::TimedOut,
            event = events.next() => event,
        };
        match step {
            Some(Ok(event)) => {
                if let Some(stop) = answer.take(event) {
                    break End::Stopped(stop);
                }
            }
            Some(Err(error)) => break End::Failed(error),
            None => break End::Failed(ModelError::Interrupted),
        }
    };
    answer.into_outcome(end, model.info())
}

enum End {
    Stopped(StopReason),
    Cancelled,
    TimedOut,
    Failed(ModelError),
}

struct Answer<F> {
    text: String,
    bytes_max: usize,
    usage: Usage,
    on_delta: F,
}

impl<F: FnMut(&str)> Answer<F> {
    fn new(bytes_max: usize, on_delta: F) -> Self {
        Self {
            text: String::new(),
            bytes_max,
            usage: Usage::default(),
            on_delta,
        }
    }

    /// Adds an event; returns the reason if it is the last one.
    fn take(&mut self, event: ModelEvent) -> Option<StopReason> {
        match event {
            ModelEvent::Delta(text) => {
                let room = self.bytes_max - self.text.len();
                let fitting = text
                    .get(..text.floor_char_boundary(room))
                    .unwrap_or_default();
                if !fitting.is_empty() {
                    self.text.push_str(fitting);
                    (self.on_delta)(fitting);
                }
                (fitting.len() < text.len()).then_some(StopReason::MaxTokens)
            }
            ModelEvent::Usage(usage) => {
                self.usage = usage;
                None
            }
            ModelEvent::Done(stop) => Some(stop),
        }
    }

    fn into_outcome(self, end: End, model: ModelInfo) -> RunOutcome {
        let Self { text, usage, .. } = self;
        match end {
            End::Stopped(stop) => RunOutcome::Completed {
                text,
                stop,
                usage,
                model,
            },
            End::Cancelled => RunOutcome::Cancelled {
                partial: text,
                usage,
            },
            End::TimedOut => RunOutcome::TimedOut {
                partial: text,
                usage,
            },
            End::Failed(error) => RunOutcome::Failed {
                partial: text,
                usage,
                error,
            },
        }
    }
}

#[cfg(test)]
mod tests;
