//! A model that plays scripts.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use crate::error::ModelError;
use crate::model::{Model, ModelEvent, ModelInfo, ModelRequest, ModelStream, StopReason, Usage};

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends text.
    Delta(String),
    /// Waits, on tokio's clock.
    Pause(Duration),
    /// Reports tokens.
    Usage(Usage),
    /// Fails; later steps are not played.
    Fail(ModelError),
    /// Never goes on.
    Hang,
    /// Ends the answer; later steps are not played.
    Done(StopReason),
}

impl Step {
    /// Sends `text`.
    pub fn delta(text: &str) -> Self {
        Self::Delta(text.to_owned())
    }

    /// Ends the answer in the usual way.
    pub fn done() -> Self {
        Self::Done(StopReason::EndTurn)
    }
}

/// Plays one script per start, the last one again and again, and remembers what it was asked. A
/// script without an end simply stops, as a broken model would.
#[derive(Debug)]
pub struct ScriptedModel {
    scripts: Vec<Vec<Step>>,
    requests: Mutex<Vec<ModelRequest>>,
}

impl ScriptedModel {
    /// Plays these scripts.
    pub fn new(scripts: Vec<Vec<Step>>) -> Self {
        Self {
            scripts,
            requests: Mutex::new(Vec::new()),
        }
    }

    /// Always answers `text`, a word at a time.
    pub fn answering(text: &str) -> Self {
        let mut script: Vec<Step> = text.split_inclusive(' ').map(Step::delta).collect();
        script.push(Step::done());
        Self::new(vec![script])
    }

    /// The requests so far, oldest first.
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Model for ScriptedModel {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            provider: "scripted".to_owned(),
            model: "script".to_owned(),
        }
    }

    fn start(&self, request: ModelRequest) -> ModelStream {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let script = self.scripts.get(requests.len()).or(self.scripts.last());
        let steps: VecDeque<Step> = script.cloned().unwrap_or_default().into();
        requests.push(request);
        drop(requests);
        stream::unfold(steps, |mut steps| async move {
            let item = play(&mut steps).await?;
            Some((item, steps))
        })
        .boxed()
    }
}

async fn play(steps: &mut VecDeque<Step>) -> Option<Result<ModelEvent, ModelError>> {
    loop {
        match steps.pop_front()? {
            Step::Delta(text) => return Some(Ok(ModelEvent::Delta(text))),
            Step::Usage(usage) => return Some(Ok(ModelEvent::Usage(usage))),
            Step::Pause(pause) => tokio::time::sleep(pause).await,
            Step::Hang => std::future::pending().await,
            Step::Fail(error) => {
                steps.clear();
                return Some(Err(error));
            }
            Step::Done(stop) => {
                steps.clear();
                return Some(Ok(ModelEvent::Done(stop)));
            }
        }
    }
}
