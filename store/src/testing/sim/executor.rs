//! A single-threaded executor that decides by a seed who runs next, and a clock that it turns.
//!
//! Invariant: nothing but the seed decides the order; a task that did not ask to be woken is not
//! polled.

use crate::testing::rng::Rng;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Simulated time in milliseconds.
#[derive(Default)]
pub(super) struct Clock {
    now_ms: Cell<u64>,
    sleepers: RefCell<Vec<(u64, Waker)>>,
}

impl Clock {
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    pub(super) fn set(&self, now_ms: u64) {
        self.now_ms.set(now_ms.max(self.now_ms.get()));
        self.sleepers.borrow_mut().retain(|(due, waker)| {
            let is_early = *due > self.now_ms.get();
            if !is_early {
                waker.wake_by_ref();
            }
            is_early
        });
    }

    pub(super) fn wake_at(&self, due: u64, waker: &Waker) {
        self.sleepers.borrow_mut().push((due, waker.clone()));
    }

    /// When the next sleeper wakes.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.sleepers.borrow().iter().map(|(due, _)| *due).min()
    }

    pub(super) async fn sleep(self: Rc<Clock>, ms: u64) {
        let due = self.now_ms() + ms;
        std::future::poll_fn(|context| {
            if self.now_ms() >= due {
                return Poll::Ready(());
            }
            self.wake_at(due, context.waker());
            Poll::Pending
        })
        .await;
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Body = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    gateway: usize,
    body: Body,
    flag: Arc<Flag>,
}

/// The tasks of all gateways.
#[derive(Default)]
pub(super) struct Executor {
    tasks: Vec<Task>,
}

impl Executor {
    pub(super) fn spawn(&mut self, gateway: usize, body: Body) {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.push(Task {
            gateway,
            body,
            flag,
        });
    }

    /// The gateway is gone in the middle of whatever it did.
    pub(super) fn kill(&mut self, gateway: usize) {
        self.tasks.retain(|task| task.gateway != gateway);
    }

    /// Runs one task that wants to run and whose gateway is not stalled. `None` when there is none.
    pub(super) fn poll_one(&mut self, rng: &mut Rng, stalled: &[bool]) -> Option<usize> {
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|at| {
                self.tasks.get(*at).is_some_and(|task| {
                    let is_stalled = stalled.get(task.gateway).copied().unwrap_or(false);
                    !is_stalled && task.flag.0.load(Ordering::Relaxed)
                })
            })
            .collect();
        let at = *ready.get(rng.index(ready.len()))?;
        let task = self.tasks.get_mut(at)?;
        task.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.flag));
        let gateway = task.gateway;
        if task
            .body
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            self.tasks.swap_remove(at);
        }
        Some(gateway)
    }
}

/// Runs a future that never really waits.
pub(super) fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}
