//! All authenticated sockets.
//!
//! Invariant: what waits for a slow client is bounded in frames and bytes. Beyond the bound, answers
//! and pages of the log wait at their source; events that later ones make obsolete are skipped; any
//! other closes the socket with 1008. Answers never take the room of events, so a client that
//! catches up is not taken for a slow one.

use crate::limits::{ANSWER_BUFFER_BYTES_MAX, SEND_BUFFER_BYTES_MAX, SEND_QUEUE_FRAMES};
use moltbot_core::actor::{Scope, Scopes};
use moltbot_core::ids::DeviceId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// A frame that waits to be sent.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// A response, as text.
    Response(String),
    /// An event: its number is given when it is sent, so skipped ones leave no gap.
    Event {
        /// Its name.
        name: &'static str,
        /// Its payload, as JSON.
        payload: Arc<str>,
    },
}

impl Outgoing {
    /// Bytes it counts for.
    pub fn bytes(&self) -> usize {
        match self {
            Outgoing::Response(text) => text.len(),
            Outgoing::Event { payload, .. } => payload.len() + 64,
        }
    }
}

/// A frame in the queue. It keeps its room until it is dropped, which is after it was sent.
pub struct Queued {
    /// The frame.
    pub frame: Outgoing,
    room: OwnedSemaphorePermit,
}

impl Queued {
    /// The frame and its room, to be held until the frame was sent.
    pub fn take(self) -> (Outgoing, OwnedSemaphorePermit) {
        (self.frame, self.room)
    }
}

/// Why a socket is to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// WebSocket close code.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

impl Close {
    /// A close with its code and reason.
    pub fn new(code: u16, reason: &str) -> Close {
        Close {
            code,
            reason: reason.to_owned(),
        }
    }
}

/// The sending side of one socket. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    queue: mpsc::Sender<Queued>,
    room_for_answers: Arc<Semaphore>,
    room_for_events: Arc<Semaphore>,
    close: watch::Sender<Option<Close>>,
    /// Number of the newest log subscription of the connection.
    pub subscription: Arc<AtomicU64>,
}

/// The receiving end of an [`Outbound`], for the task that writes the socket.
pub struct Inbox {
    /// Frames to send.
    pub queue: mpsc::Receiver<Queued>,
    /// Set when the socket is to be closed.
    pub close: watch::Receiver<Option<Close>>,
}

impl Outbound {
    /// A new pair.
    pub fn pair() -> (Outbound, Inbox) {
        let (sender, queue) = mpsc::channel(SEND_QUEUE_FRAMES);
        let (close, closed) = watch::channel(None);
        let room_for_events = SEND_BUFFER_BYTES_MAX - ANSWER_BUFFER_BYTES_MAX;
        let outbound = Outbound {
            queue: sender,
            room_for_answers: Arc::new(Semaphore::new(ANSWER_BUFFER_BYTES_MAX)),
            room_for_events: Arc::new(Semaphore::new(room_for_events)),
            close,
            subscription: Arc::default(),
        };
        (
            outbound,
            Inbox {
                queue,
                close: closed,
            },
        )
    }

    /// Queues an answer or a page of the log; waits for room. False when the socket is gone.
    pub async fn send(&self, frame: Outgoing) -> bool {
        // One that is larger than all the room goes alone.
        let bytes = permits(frame.bytes().min(ANSWER_BUFFER_BYTES_MAX));
        let room = Arc::clone(&self.room_for_answers).acquire_many_owned(bytes);
        let Ok(room) = room.await else {
            return false;
        };
        self.queue.send(Queued { frame, room }).await.is_ok()
    }

    /// Queues an event without waiting. A slow client misses it when it is `droppable`, else loses
    /// its socket.
    pub fn offer(&self, name: &'static str, payload: Arc<str>, droppable: bool) {
        let frame = Outgoing::Event { name, payload };
        let bytes = permits(frame.bytes());
        let room = Arc::clone(&self.room_for_events).try_acquire_many_owned(bytes);
        let queued = room.is_ok_and(|room| self.queue.try_send(Queued { frame, room }).is_ok());
        if !queued && !droppable {
            self.close(Close::new(1008, "slow consumer"));
        }
    }

    /// Begins a new log subscription; the one before it ends.
    pub fn next_subscription(&self) -> u64 {
        self.subscription.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Closes the socket; the first reason wins.
    pub fn close(&self, close: Close) {
        self.close.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(close);
            }
            first
        });
    }

    /// Waits until the socket is gone.
    pub async fn gone(&self) {
        self.queue.closed().await;
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What is known of a connection.
#[derive(Clone)]
pub struct Connection {
    /// Number of the connection.
    pub id: u64,
    /// Its sending side.
    pub outbound: Outbound,
    /// What it may do.
    pub scopes: Scopes,
    /// Which device it is; none for a command line with the gateway token.
    pub device: Option<DeviceId>,
    /// Kind of client.
    pub client_id: String,
}

/// The connections.
#[derive(Default)]
pub struct Hub {
    connections: Mutex<BTreeMap<u64, Connection>>,
    next: AtomicU64,
}

impl Hub {
    /// A number for a new connection.
    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds an authenticated connection; the guard removes it.
    pub fn join(self: &Arc<Self>, connection: Connection) -> Membership {
        let id = connection.id;
        self.lock().insert(id, connection);
        Membership {
            hub: Arc::clone(self),
            id,
        }
    }

    /// All connections.
    pub fn connections(&self) -> Vec<Connection> {
        self.lock().values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Whether a device has a socket open.
    pub fn is_connected(&self, device: &DeviceId) -> bool {
        self.lock()
            .values()
            .any(|connection| connection.device.as_ref() == Some(device))
    }

    /// Sends an event to everyone with the scope.
    pub fn broadcast(&self, name: &'static str, payload: &Value, scope: Scope) {
        self.send(name, payload, false, |connection| {
            connection.scopes.grants(scope)
        });
    }

    /// Sends an event to whom it may concern.
    pub fn send(
        &self,
        name: &'static str,
        payload: &Value,
        droppable: bool,
        concerns: impl Fn(&Connection) -> bool,
    ) {
        let concerned: Vec<Outbound> = {
            let connections = self.lock();
            connections
                .values()
                .filter(|c| concerns(c))
                .map(|c| c.outbound.clone())
                .collect()
        };
        if concerned.is_empty() {
            return;
        }
        let payload: Arc<str> = payload.to_string().into();
        for outbound in concerned {
            outbound.offer(name, Arc::clone(&payload), droppable);
        }
    }

    /// Closes the sockets of a device.
    pub fn close_device(&self, device: &DeviceId, close: &Close) {
        let of_device = |c: &&Connection| c.device.as_ref() == Some(device);
        for connection in self.lock().values().filter(of_device) {
            connection.outbound.close(close.clone());
        }
    }

    /// Closes all sockets.
    pub fn close_all(&self, close: &Close) {
        for connection in self.lock().values() {
            connection.outbound.close(close.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Connection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a connection in the hub while it lives.
pub struct Membership {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.hub.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_client_misses_droppable_events_and_is_closed_by_others() {
        let (outbound, inbox) = Outbound::pair();
        let big: Arc<str> = "x".repeat(SEND_BUFFER_BYTES_MAX).into();
        outbound.offer("chat", Arc::clone(&big), true);
        assert_eq!(inbox.queue.len(), 0);
        assert_eq!(*inbox.close.borrow(), None);
        outbound.offer("chat", big, false);
        assert_eq!(
            *inbox.close.borrow(),
            Some(Close::new(1008, "slow consumer"))
        );
    }
}
