//! Brings what people write on a platform into the log.
//!
//! Invariant: a platform is told that it may forget something only once that is recorded and in the
//! remote log, or after that was waited for and an alarm was recorded. The platform's own number is
//! the idempotency key, so what comes again is recognised, also after a restart.

use super::{Platform, State};
use crate::ack::AckLevel;
use crate::gateway::{Gateway, Running};
use crate::limits::{
    CHANNEL_CONFLICT_WAIT_MS, CHANNEL_RETRY_MS, HELD_BACK_RETRY_MS, INBOX_PENDING_MAX,
    INBOX_REPLICATION_WAIT_MS,
};
use crate::writer::{Intent, Refused};
use moltbot_channels::{
    ChannelError, ChannelErrorKind, ChatKind, Inbound, InboundContent, InboundMessage, Inbox, Mark,
};
use moltbot_core::actor::Actor;
use moltbot_core::chain::Hash;
use moltbot_core::command::{Action, Idempotency};
use moltbot_core::ids::{RunId, Seq};
use moltbot_store::ship_status::ShipStatus;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// The method under which the marks of platforms are idempotency keys.
const METHOD: &str = "channel.receive";

/// The gateway stops: what was received stays unconfirmed and comes again.
struct Stopping;

/// Receives until the gateway stops or the settings prove wrong.
pub async fn keep(gateway: Arc<Gateway>, running: Arc<Running>, platform: Arc<Platform>) {
    let name = platform.channel.name();
    let mut pause = Pause::default();
    while let Err(error) = identify(&platform).await {
        if pause.after(&gateway, &platform, &error).await.is_err() {
            return;
        }
    }
    pause = Pause::default();
    let mut inbox = platform.channel.inbox(None);
    loop {
        let received = tokio::select! {
            received = inbox.receive() => received,
            _ = gateway.stopped() => return,
        };
        match received {
            Ok(batch) => {
                pause = Pause::default();
                if platform.note(State::Receiving) {
                    info!(channel = name, "receiving");
                }
                if take(&gateway, &running, &platform, &mut *inbox, batch)
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                if pause.after(&gateway, &platform, &error).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn identify(platform: &Platform) -> Result<(), ChannelError> {
    let account = platform.channel.identify().await?;
    info!(channel = platform.channel.name(), account = %account.id, "the bot is known");
    platform
        .status
        .send_modify(|status| status.account = Some(account));
    Ok(())
}

/// Records a batch in order, then lets the platform forget it, but for what comes after a message
/// that has to wait: the platform keeps that and brings it again.
async fn take(
    gateway: &Gateway,
    running: &Running,
    platform: &Platform,
    inbox: &mut dyn Inbox,
    batch: Vec<Inbound>,
) -> Result<(), Stopping> {
    let (mut last, mut pending) = (Seq::ZERO, 0);
    let mut upto = None;
    let mut held_back = BTreeSet::new();
    for inbound in batch {
        match inbound.content {
            InboundContent::Message(message) if message.chat_kind == ChatKind::Direct => {
                let sender = message.sender.id.clone();
                // What one person writes stays in order; the others do not wait for him.
                if !held_back.contains(&sender) {
                    match record(running, platform, &inbound.key, &message).await? {
                        Some(seq) => {
                            last = last.max(seq);
                            pending += 1;
                        }
                        None => _ = held_back.insert(sender),
                    }
                }
            }
            InboundContent::Message(_) => debug!("a message in a group is not answered"),
            InboundContent::Ignored { reason } => debug!(reason, "ignored"),
        }
        if held_back.is_empty() {
            upto = upto.max(Some(inbound.mark));
        }
    }
    if let Some(upto) = upto {
        confirm(running, platform, inbox, last, pending, upto).await?;
    }
    if held_back.is_empty() {
        return Ok(());
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(HELD_BACK_RETRY_MS)) => Ok(()),
        _ = gateway.stopped() => Err(Stopping),
    }
}

/// Lets the platform forget what is recorded, once that is as safe as it is going to be.
async fn confirm(
    running: &Running,
    platform: &Platform,
    inbox: &mut dyn Inbox,
    last: Seq,
    pending: usize,
    upto: Mark,
) -> Result<(), Stopping> {
    let waited = Instant::now();
    if !is_safe_enough(running, last, pending).await {
        let name = platform.channel.name();
        warn!(
            channel = name,
            seq = last.0,
            "the remote log is late; received messages are only on this disk"
        );
        let action = Action::RecordLoweredDurability {
            what: format!("{name} messages"),
            seq: last,
            waited_ms: u64::try_from(waited.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        if running.submit(Intent::new(Actor::System, action)).await == Err(Refused::Stopped) {
            return Err(Stopping);
        }
    }
    if let Err(error) = inbox.confirm(upto).await {
        // It comes again and is recognised.
        debug!(%error, "what was recorded could not be confirmed yet");
    }
    Ok(())
}

/// Waits until what was recorded is in the remote log; for a while, and not while that cannot be
/// reached and too much waits. True as well where the deployment does not want to wait.
async fn is_safe_enough(running: &Running, last: Seq, pending: usize) -> bool {
    if running.ack_level() == Some(AckLevel::Local) {
        return true;
    }
    let mut status = running.ship.status();
    let too_many = async {
        let is_away = |ship: &ShipStatus| ship.failing_since_ms.is_some();
        if pending < INBOX_PENDING_MAX || status.wait_for(is_away).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        is_safe = running.replicated(last, INBOX_REPLICATION_WAIT_MS) => is_safe,
        () = too_many => false,
    }
}

/// Records a message; the last record that must be safe before it is confirmed. `None`: too many
/// messages of this person wait for an answer, so it has to come again.
async fn record(
    running: &Running,
    platform: &Platform,
    key: &str,
    message: &InboundMessage,
) -> Result<Option<Seq>, Stopping> {
    match running.submit(intent(platform, key, message)).await {
        Ok(accepted) => Ok(Some(accepted.seq)),
        Err(Refused::Stopped) => Err(Stopping),
        Err(Refused::Rejected(no)) if no.code == "session_busy" => Ok(None),
        Err(Refused::Rejected(rejection)) => {
            warn!(channel = platform.channel.name(), %rejection, "a message was not taken");
            Ok(Some(Seq::ZERO))
        }
    }
}

fn intent(platform: &Platform, key: &str, message: &InboundMessage) -> Intent {
    let channel = platform.channel.name();
    let key = format!("{channel}:{}:{key}", message.account);
    let action = Action::ReceiveFromPeer {
        channel: channel.to_owned(),
        account: message.account.to_string(),
        name: message.sender.name.clone(),
        text: message.text.clone(),
        run: RunId(key.clone()),
        policy: platform.access.policy_for(&message.sender.id),
    };
    Intent {
        idempotency: Some(Idempotency {
            method: METHOD,
            // The number alone says what it is: how a message is put into words may change.
            payload: Hash::of(key.as_bytes()),
            key,
        }),
        ..Intent::new(Actor::Peer(platform.peer(&message.sender.id)), action)
    }
}

/// How long to wait after an error, longer each time.
struct Pause {
    next_ms: u64,
}

impl Default for Pause {
    fn default() -> Pause {
        Pause {
            next_ms: CHANNEL_RETRY_MS.0,
        }
    }
}

impl Pause {
    /// Notes the error and waits; `Err` when there is nothing to wait for.
    async fn after(
        &mut self,
        gateway: &Gateway,
        platform: &Platform,
        error: &ChannelError,
    ) -> Result<(), Stopping> {
        let (state, wait_ms) = match error.kind() {
            ChannelErrorKind::Invalid => (State::Stopped(error.to_string()), None),
            ChannelErrorKind::Conflict => (
                State::Failing(error.to_string()),
                Some(CHANNEL_CONFLICT_WAIT_MS),
            ),
            ChannelErrorKind::Transient { retry_after_ms } => {
                let wait_ms = retry_after_ms.unwrap_or(0).max(self.next_ms);
                self.next_ms = (self.next_ms * 2).min(CHANNEL_RETRY_MS.1);
                (State::Failing(error.to_string()), Some(wait_ms))
            }
        };
        if platform.note(state) {
            warn!(channel = platform.channel.name(), %error, "the channel does not receive");
        }
        let Some(wait_ms) = wait_ms else {
            return Err(Stopping);
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => Ok(()),
            _ = gateway.stopped() => Err(Stopping),
        }
    }
}
