//! The way out to a platform, at the pace it bears.
//!
//! Invariant: nothing is sent within a pause the platform asked for; a post is repeated only when
//! it surely did not happen.

use crate::limits::{DELIVERY_PATIENCE_MS, DELIVERY_RETRY_MS, PACED_CHATS_MAX};
use moltbot_channels::{Channel, Chat, MessageId, Piece, SendError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Why something was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDelivered {
    /// The platform refused it, or could not be reached for too long; it surely has nothing of it.
    Failed {
        /// Stable code.
        code: String,
        /// One sentence for a person.
        message: String,
    },
    /// The platform may or may not have it.
    Unknown {
        /// What happened.
        reason: String,
    },
    /// The gateway stops; it surely was not sent.
    Stopped,
}

/// Sends to a platform.
pub struct Outlet {
    channel: Arc<dyn Channel>,
    pace: Mutex<Pace>,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Pace {
    /// Nothing is sent before, to anyone.
    paused_until: Option<Instant>,
    /// When something may next be sent to a chat.
    next: BTreeMap<Chat, Instant>,
}

impl Outlet {
    pub(super) fn new(channel: Arc<dyn Channel>) -> Outlet {
        Outlet {
            channel,
            pace: Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }

    /// From now on nothing that waits is sent any more; what is under way goes on.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Posts a message; waits for its turn, and as long as it surely cannot be sent.
    pub async fn post(&self, chat: &Chat, piece: &Piece) -> Result<MessageId, NotDelivered> {
        self.patiently(chat, false, || self.channel.post(chat, piece, None))
            .await
    }

    /// Edits a message, again and again until the platform took it.
    pub async fn edit(
        &self,
        chat: &Chat,
        message: &MessageId,
        piece: &Piece,
    ) -> Result<(), NotDelivered> {
        self.patiently(chat, true, || self.channel.edit(chat, message, piece))
            .await
    }

    /// Edits a message if it is its turn; whether the platform took it. Something newer follows.
    pub async fn try_edit(&self, chat: &Chat, message: &MessageId, piece: &Piece) -> bool {
        if self.turn(chat, Instant::now()).is_some() {
            return false;
        }
        match self.channel.edit(chat, message, piece).await {
            Ok(()) => true,
            Err(error) => {
                self.obey(&error);
                false
            }
        }
    }

    /// Shows that the bot is writing. Of no consequence when it fails.
    pub async fn typing(&self, chat: &Chat) {
        let is_paused = self
            .lock()
            .paused_until
            .is_some_and(|at| at > Instant::now());
        if !is_paused && let Err(error) = self.channel.typing(chat).await {
            self.obey(&error);
        }
    }

    async fn patiently<T, F, Fut>(
        &self,
        chat: &Chat,
        is_idempotent: bool,
        send: F,
    ) -> Result<T, NotDelivered>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, SendError>>,
    {
        let give_up = Instant::now() + Duration::from_millis(DELIVERY_PATIENCE_MS);
        let (mut wait_ms, longest_ms) = DELIVERY_RETRY_MS;
        loop {
            self.wait_for_turn(chat).await?;
            let error = match send().await {
                Ok(taken) => return Ok(taken),
                Err(error) => error,
            };
            self.obey(&error);
            match error {
                SendError::Wait { .. } => {}
                SendError::Refused { code, message } => {
                    let code = code.to_owned();
                    return Err(NotDelivered::Failed { code, message });
                }
                SendError::Unknown { reason } if !is_idempotent => {
                    return Err(NotDelivered::Unknown { reason });
                }
                SendError::NotSent { .. } | SendError::Unknown { .. } => {
                    self.rest(Duration::from_millis(wait_ms)).await?;
                    wait_ms = (wait_ms * 2).min(longest_ms);
                }
            }
            if Instant::now() > give_up {
                return Err(NotDelivered::Failed {
                    code: "unreachable".to_owned(),
                    message: "the platform could not be reached for too long".to_owned(),
                });
            }
        }
    }

    /// Waits until something may be sent to this chat, and takes the turn.
    async fn wait_for_turn(&self, chat: &Chat) -> Result<(), NotDelivered> {
        loop {
            if *self.stop.borrow() {
                return Err(NotDelivered::Stopped);
            }
            match self.turn(chat, Instant::now()) {
                None => return Ok(()),
                Some(at) => {
                    let pause = at.saturating_duration_since(Instant::now());
                    self.rest(pause).await?;
                }
            }
        }
    }

    /// Takes the turn for a chat, or says when it comes.
    fn turn(&self, chat: &Chat, now: Instant) -> Option<Instant> {
        let mut pace = self.lock();
        let next = pace.next.get(chat).copied();
        let at = pace.paused_until.into_iter().chain(next).max();
        if let Some(at) = at.filter(|at| *at > now) {
            return Some(at);
        }
        if pace.next.len() >= PACED_CHATS_MAX {
            pace.next.retain(|_, at| *at > now);
        }
        let interval = Duration::from_millis(self.channel.limits().post_interval_ms);
        pace.next.insert(chat.clone(), now + interval);
        None
    }

    /// Keeps to a pause the platform asked for.
    fn obey(&self, error: &SendError) {
        if let SendError::Wait { retry_after_ms } = error {
            let until = Instant::now() + Duration::from_millis(*retry_after_ms);
            let mut pace = self.lock();
            pace.paused_until = pace.paused_until.max(Some(until));
        }
    }

    async fn rest(&self, pause: Duration) -> Result<(), NotDelivered> {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            () = sleep_until(Instant::now() + pause) => Ok(()),
            _ = stop.wait_for(|stop| *stop) => Err(NotDelivered::Stopped),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
