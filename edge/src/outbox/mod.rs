//! The outbox: performs what has to happen and reports the outcome as a command.
//!
//! What to do is decided in [`step`], as a function of the state; here it is done. [`turns`] drives
//! models, [`deliver`] hands replies to chat platforms, [`words`] says what those replies are.
//!
//! Invariant: the only place that acts because of an event. What it acts on is state; what it
//! learns goes back through the writer. After a crash the state says what is still to be done: a
//! run without `run_started` begins, one with it was interrupted; a delivery that was attempted is
//! unknown and never repeated on its own.

pub mod deliver;
pub mod step;
pub mod turns;
pub mod words;

use crate::channels::Channels;
use crate::forget;
use crate::gateway::{Gateway, Running};
use crate::limits::OUTBOX_QUEUE;
use crate::writer::Intent;
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::delivery::Delivery;
use moltbot_core::ids::DeliveryId;
use std::sync::Arc;
use std::time::Duration;
use step::{Do, Input, Outcome, Steps};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

/// Reports what was under way when the process before this one ended.
pub async fn recover(running: &Running) {
    let actions = running.view.read(|model| Steps::recover(&model.state));
    for action in actions {
        if let Err(refused) = running.submit(Intent::new(Actor::System, action)).await {
            warn!(
                ?refused,
                "an effect of the process before this one could not be reported"
            );
        }
    }
}

/// Performs what the state asks for.
pub struct Outbox {
    gateway: Arc<Gateway>,
    running: Arc<Running>,
    steps: Steps,
    inputs: mpsc::Receiver<Input>,
    events: mpsc::Sender<Input>,
}

impl Outbox {
    /// For these channels.
    pub fn new(gateway: &Arc<Gateway>, running: &Arc<Running>) -> Outbox {
        let (events, inputs) = mpsc::channel(OUTBOX_QUEUE);
        let names = running.channels.iter().map(|(name, _)| name.to_owned());
        Outbox {
            gateway: Arc::clone(gateway),
            running: Arc::clone(running),
            steps: Steps::new(names),
            inputs,
            events,
        }
    }

    /// Works until the gateway stops and what was under way has ended, or for so long after that.
    pub async fn run(mut self, patience: Duration) {
        let mut head = self.running.view.head();
        let mut shipped = self.running.ship.shipped();
        let started = Instant::now();
        let mut input = Input::Changed;
        let mut give_up = None;
        loop {
            let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let is_stopping = self.gateway.stop.borrow().is_some();
            if is_stopping && give_up.is_none() {
                give_up = Some(Instant::now() + patience);
                stop_sending(&self.running.channels);
                self.steps.begin_nothing_more();
            }
            let shipped_seq = shipped.borrow().seq;
            let todo = self
                .running
                .view
                .read(|model| self.steps.step(now_ms, &model.state, shipped_seq, input));
            for item in todo {
                self.perform(item);
            }
            if is_stopping && self.steps.is_idle() {
                return;
            }
            let wake = self.steps.wake_at_ms();
            let wake = wake.map(|at_ms| started + Duration::from_millis(at_ms));
            let deadline = wake.into_iter().chain(give_up).min();
            input = tokio::select! {
                changed = head.changed() => match changed {
                    Ok(()) => Input::Changed,
                    Err(_) => return,
                },
                Ok(()) = shipped.changed() => Input::Changed,
                Some(event) = self.inputs.recv() => event,
                _ = self.gateway.stopped(), if !is_stopping => Input::Changed,
                () = sleep_until(deadline.unwrap_or(started)), if deadline.is_some() => {
                    if give_up.is_some_and(|at| at <= Instant::now()) {
                        return warn!("effects were still under way; the next start reports them");
                    }
                    Input::Changed
                }
            };
        }
    }

    fn perform(&self, item: Do) {
        let (running, events) = (Arc::clone(&self.running), self.events.clone());
        match item {
            Do::ShipNow => running.ship.ship_now(),
            Do::Run(id, run) => {
                let task = turns::run(
                    Arc::clone(&self.gateway),
                    running,
                    id.clone(),
                    run,
                    events.clone(),
                );
                tokio::spawn(async move {
                    if let Err(panic) = tokio::spawn(task).await {
                        error!(%panic, "a model turn ended unexpectedly");
                    }
                    tell(&events, Input::RunOver(id)).await;
                });
            }
            Do::Deliver(id, delivery) => {
                tokio::spawn(async move {
                    let outcome = perform_delivery(running, id.clone(), delivery).await;
                    tell(&events, Input::Performed(id, outcome)).await;
                });
            }
            Do::DeleteKeys(tombstone, keys) => {
                let gateway = Arc::clone(&self.gateway);
                tokio::spawn(async move {
                    if forget::delete_keys(&gateway, &running, keys).await {
                        tell(&events, Input::KeysDeleted(tombstone)).await;
                    }
                });
            }
            Do::Submit(id, action) => {
                tokio::spawn(async move {
                    let intent = Intent::new(Actor::System, action);
                    if let Err(refused) = running.submit(intent).await {
                        debug!(?refused, delivery = %id, "a delivery is not where it was");
                        tell(&events, Input::Refused(id)).await;
                    }
                });
            }
            Do::Report(action) => {
                if matches!(action, Action::RecordLoweredDurability { .. }) {
                    warn!(
                        "the remote log is late; a reply goes out although its attempt is only on this disk"
                    );
                }
                tokio::spawn(async move {
                    if let Err(refused) = running.submit(Intent::new(Actor::System, action)).await {
                        debug!(?refused, "nothing was recorded");
                    }
                });
            }
        }
    }
}

async fn perform_delivery(running: Arc<Running>, id: DeliveryId, delivery: Delivery) -> Outcome {
    let task = tokio::spawn(deliver::perform(running, id, delivery));
    task.await.unwrap_or_else(|panic| {
        error!(%panic, "a delivery ended unexpectedly");
        Outcome::Unknown
    })
}

/// The outbox reads until it is gone; then nobody wants to know.
async fn tell(events: &mpsc::Sender<Input>, input: Input) {
    let _ = events.send(input).await;
}

fn stop_sending(channels: &Channels) {
    for (_, platform) in channels.iter() {
        platform.outlet.stop();
    }
}
