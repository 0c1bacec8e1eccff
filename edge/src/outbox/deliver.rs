//! Hands a reply to its chat platform.
//!
//! Invariant: called once per attempt. A message is posted at most once; what is repeated is only
//! what surely did not happen, and edits of messages that are there.

use super::step::Outcome;
use super::words;
use crate::channels::Platform;
use crate::channels::outlet::NotDelivered;
use crate::gateway::Running;
use crate::limits::{DELIVERY_PATIENCE_MS, HISTORY_RETRY_MS};
use crate::writer::Intent;
use moltbot_channels::{Chat, MessageId, Piece};
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::delivery::{Delivery, DeliveryStatus};
use moltbot_core::ids::{DeliveryId, RunId, Seq};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// Performs a delivery, so far as this attempt goes.
pub async fn perform(running: Arc<Running>, id: DeliveryId, delivery: Delivery) -> Outcome {
    let Some(platform) = running.channels.get(&delivery.channel).cloned() else {
        return failed("no_channel", "the channel is not configured any more");
    };
    let Some(chat) = platform.direct_chat(&delivery.peer) else {
        return failed("no_address", "this person has no address on the channel");
    };
    let reply = Reply {
        running,
        platform,
        id,
        chat,
    };
    let outcome = match delivery.status {
        DeliveryStatus::Streaming => reply.show(&delivery).await,
        _ => reply.send(&delivery).await,
    };
    outcome.unwrap_or_else(|error| match error {
        NotDelivered::Failed { code, message } => Outcome::Failed { code, message },
        NotDelivered::Unknown { reason } => {
            warn!(%reason, "nobody knows whether a reply was sent");
            Outcome::Unknown
        }
        NotDelivered::Stopped => Outcome::NotSent,
    })
}

/// Shows that the bot is writing, until it is dropped.
pub async fn keep_typing(running: Arc<Running>, peer: moltbot_core::ids::PeerId) {
    let known = running.view.read(|model| {
        let known = model.state.peers.approved.get(&peer);
        known.map(|known| known.channel.clone())
    });
    let Some(platform) = known.and_then(|channel| running.channels.get(&channel).cloned()) else {
        return;
    };
    let Some(chat) = platform.direct_chat(&peer) else {
        return;
    };
    loop {
        platform.outlet.typing(&chat).await;
        // A little earlier than the sign fades.
        let stays_ms = platform.channel.limits().typing_ms;
        tokio::time::sleep(Duration::from_millis(stays_ms * 4 / 5)).await;
    }
}

struct Reply {
    running: Arc<Running>,
    platform: Arc<Platform>,
    id: DeliveryId,
    chat: Chat,
}

impl Reply {
    /// Posts what is not on the channel yet.
    async fn send(&self, delivery: &Delivery) -> Result<Outcome, NotDelivered> {
        let pieces = self.pieces(delivery.text_seq).await?;
        let mut receipt = delivery.receipt.clone();
        if pieces.is_empty() {
            return Ok(failed("unreadable", "the text of this reply is gone"));
        }
        for piece in pieces.iter().skip(receipt.len()) {
            match self.platform.outlet.post(&self.chat, piece).await {
                Ok(message) => receipt.push(message.0),
                // Part of it is there: it is not due again, and a person should look at it.
                Err(NotDelivered::Stopped) if !receipt.is_empty() => return Ok(Outcome::Unknown),
                Err(NotDelivered::Failed { message, .. }) if !receipt.is_empty() => {
                    let (there, all) = (receipt.len(), pieces.len());
                    let message = format!("only {there} of {all} parts are there: {message}");
                    return Ok(failed("incomplete", &message));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Outcome::Confirmed { receipt })
    }

    /// Shows an answer while it is written, then in its last form.
    async fn show(&self, delivery: &Delivery) -> Result<Outcome, NotDelivered> {
        let mut shown = Shown {
            message: delivery.receipt.first().cloned().map(MessageId),
            piece: None,
        };
        let text_seq = match (&delivery.run, delivery.text_seq) {
            (_, Some(text_seq)) => text_seq,
            (Some(run), None) => match self.follow(run, &mut shown).await? {
                Some(text_seq) => text_seq,
                None => return Ok(Outcome::Unknown),
            },
            (None, None) => return Ok(failed("unreadable", "nobody writes this reply")),
        };
        let pieces = self.pieces(Some(text_seq)).await?;
        let Some(first) = pieces.first() else {
            return Ok(failed("unreadable", "the text of this reply is gone"));
        };
        let message = match &shown.message {
            None => self.post_first(first).await?,
            Some(message) => {
                if shown.piece.as_ref() != Some(first) {
                    self.platform
                        .outlet
                        .edit(&self.chat, message, first)
                        .await?;
                }
                message.clone()
            }
        };
        if pieces.len() > 1 {
            return Ok(Outcome::Shown);
        }
        let receipt = vec![message.0];
        Ok(Outcome::Confirmed { receipt })
    }

    /// Shows what was said so far until the end of the run is recorded; `None` when the delivery
    /// is gone.
    async fn follow(&self, run: &RunId, shown: &mut Shown) -> Result<Option<Seq>, NotDelivered> {
        let pace = Duration::from_millis(self.platform.channel.limits().post_interval_ms);
        let mut head = self.running.view.head();
        loop {
            let delivery = self
                .running
                .view
                .read(|model| model.state.deliveries.get(&self.id).cloned());
            let Some(delivery) = delivery else {
                return Ok(None);
            };
            if delivery.text_seq.is_some() {
                return Ok(delivery.text_seq);
            }
            let said = self.running.live.with(run, |live| live.text.clone());
            let first =
                said.and_then(|said| self.platform.channel.render(&said).into_iter().next());
            if let Some(piece) = first.filter(|piece| shown.piece.as_ref() != Some(piece)) {
                match &shown.message {
                    None => {
                        shown.message = Some(self.post_first(&piece).await?);
                        shown.piece = Some(piece);
                    }
                    Some(message) => {
                        if self
                            .platform
                            .outlet
                            .try_edit(&self.chat, message, &piece)
                            .await
                        {
                            shown.piece = Some(piece);
                        }
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pace) => {}
                _ = head.wait_for(|_| self.is_written()) => {}
            }
        }
    }

    fn is_written(&self) -> bool {
        self.running.view.read(|model| {
            let delivery = model.state.deliveries.get(&self.id);
            delivery.is_none_or(|delivery| delivery.text_seq.is_some())
        })
    }

    /// Posts the first form and records where it is, so that a process after this one can finish it.
    async fn post_first(&self, piece: &Piece) -> Result<MessageId, NotDelivered> {
        let posted = self.platform.outlet.post(&self.chat, piece).await;
        if posted == Err(NotDelivered::Stopped) {
            // It is due again once it is written, and its end is about to be recorded.
            let mut head = self.running.view.head();
            let _ = head.wait_for(|_| self.is_written()).await;
        }
        let message = posted?;
        let action = Action::PostDelivery {
            delivery: self.id.clone(),
            receipt: vec![message.0.clone()],
        };
        if let Err(refused) = self
            .running
            .submit(Intent::new(Actor::System, action))
            .await
        {
            warn!(?refused, "where a reply is shown could not be recorded");
        }
        Ok(message)
    }

    /// What is to be posted. Text that is only in the remote log is waited for.
    async fn pieces(&self, text_seq: Option<Seq>) -> Result<Vec<Piece>, NotDelivered> {
        let Some(seq) = text_seq else {
            return Ok(Vec::new());
        };
        let deadline = Instant::now() + Duration::from_millis(DELIVERY_PATIENCE_MS);
        let text = loop {
            match words::of(&self.running, seq) {
                Ok(text) => break text,
                Err(error) if Instant::now() >= deadline => {
                    return Err(NotDelivered::Failed {
                        code: "unreadable".to_owned(),
                        message: error.to_string(),
                    });
                }
                Err(error) => warn!(%error, "the text of a reply cannot be read yet"),
            }
            tokio::time::sleep(Duration::from_millis(HISTORY_RETRY_MS)).await;
        };
        Ok(text.map_or_else(Vec::new, |text| self.platform.channel.render(&text)))
    }
}

/// What of an answer is on the channel.
struct Shown {
    message: Option<MessageId>,
    piece: Option<Piece>,
}

fn failed(code: &str, message: &str) -> Outcome {
    Outcome::Failed {
        code: code.to_owned(),
        message: message.to_owned(),
    }
}
