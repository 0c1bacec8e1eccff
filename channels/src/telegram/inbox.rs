//! Our own loop over `getUpdates`.
//!
//! Telegram forgets every update below the `offset` of a request, so the offset moves only when the
//! caller confirms; teloxide's dispatcher moves it before its handlers are done.
//!
//! Invariant: between two calls of `confirm`, every request has the same offset. A dropped
//! `receive` changes nothing.

use async_trait::async_trait;
use serde_json::Value;
use teloxide::payloads::{DeleteWebhook, DeleteWebhookSetters as _};
use teloxide::payloads::{GetUpdates, GetUpdatesSetters as _};
use teloxide::types::AllowedUpdate;
use tokio::time::Instant;

use super::api::CallError;
use super::{Telegram, convert};
use crate::channel::{Account, Channel as _, Inbound, Inbox, Mark};
use crate::error::ChannelError;
use crate::settings::{EMPTY_PAUSE, POLL_SECS};

/// Updates of one answer; the most that Telegram gives.
const UPDATES_MAX: u8 = 100;

/// The receiving half.
#[derive(Debug)]
pub(super) struct TelegramInbox {
    telegram: Telegram,
    account: Option<Account>,
    confirmed: Option<Mark>,
}

impl TelegramInbox {
    pub(super) fn new(telegram: Telegram, since: Option<Mark>) -> Self {
        Self {
            telegram,
            account: None,
            confirmed: since,
        }
    }

    async fn poll(&self) -> Result<Vec<Value>, CallError> {
        let mut payload = GetUpdates::new()
            .limit(UPDATES_MAX)
            .timeout(POLL_SECS)
            .allowed_updates([AllowedUpdate::Message]);
        if let Some(confirmed) = self.confirmed {
            payload = payload.offset(convert::offset_after(confirmed));
        }
        self.telegram.api.ask(&payload).await
    }

    /// Takes the bot back from a webhook; what waits for it comes to us.
    async fn delete_webhook(&self) -> Result<(), CallError> {
        tracing::warn!("a webhook received for this Telegram bot: it is deleted");
        let payload = DeleteWebhook::new().drop_pending_updates(false);
        let _: bool = self.telegram.api.ask(&payload).await?;
        Ok(())
    }

    async fn updates(&self) -> Result<Vec<Value>, CallError> {
        match self.poll().await {
            Err(CallError::Refused(refusal)) if refusal.is_about_webhook() => {
                self.delete_webhook().await?;
                self.poll().await
            }
            other => other,
        }
    }
}

#[async_trait]
impl Inbox for TelegramInbox {
    async fn receive(&mut self) -> Result<Vec<Inbound>, ChannelError> {
        let account = match &self.account {
            Some(account) => account.clone(),
            None => self.telegram.identify().await?,
        };
        let begun = Instant::now();
        let updates = self
            .updates()
            .await
            .map_err(CallError::into_channel_error)?;
        if updates.is_empty() {
            tokio::time::sleep_until(begun + EMPTY_PAUSE).await;
        }
        let inbound = updates
            .iter()
            .filter_map(|update| convert::inbound(update, &account, self.confirmed));
        let inbound = inbound.collect();
        self.account = Some(account);
        Ok(inbound)
    }

    async fn confirm(&mut self, upto: Mark) -> Result<(), ChannelError> {
        self.confirmed = self.confirmed.max(Some(upto));
        Ok(())
    }
}
