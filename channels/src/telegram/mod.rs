//! Telegram: one bot, long polling in, messages and edits out.
//!
//! | module | what it is |
//! |---|---|
//! | `api` | one request, and what its failure means |
//! | `inbox` | our own loop over `getUpdates`: nothing is confirmed before the caller says so |
//! | `convert` | an update → [`Inbound`](crate::Inbound), pure |
//! | `html` | Markdown → messages in Telegram's HTML, pure |
//!
//! Methods, parameters and types are teloxide's; requests are made here, because teloxide's own
//! executor drops the HTTP status that tells "refused" from "perhaps sent".
//!
//! Vendor's page: <https://core.telegram.org/bots/api>.

mod api;
mod convert;
mod html;
mod inbox;
mod media;
mod refusal;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::{DeserializeOwned, IgnoredAny};
use teloxide::payloads::{EditMessageText, GetMe, SendChatAction, SendMessage};
use teloxide::payloads::{
    EditMessageTextSetters as _, SendChatActionSetters as _, SendMessageSetters as _,
};
use teloxide::requests::Payload;
use teloxide::types::{
    ChatAction, ChatId, LinkPreviewOptions, MessageId as WireMessageId, ParseMode, ReplyParameters,
    ThreadId,
};
use url::Url;

use self::api::{Api, CallError};
use self::inbox::TelegramInbox;
use crate::channel::{Account, Channel, Chat, Inbox, Limits, Mark, MessageId, Piece};
use crate::error::{ChannelError, SendError};
use crate::secret::BotToken;
use crate::settings::PIECES_MAX;

/// The environment variable that holds the token.
pub const TOKEN_VARIABLE: &str = "TELEGRAM_BOT_TOKEN";
/// The environment variable that holds another address of the Bot API.
pub const API_URL_VARIABLE: &str = "TELEGRAM_API_URL";

const PLATFORM: &str = "Telegram";
const LIMITS: Limits = Limits {
    text_max: 4_096,
    pieces_max: PIECES_MAX,
    post_interval_ms: 1_000,
    typing_ms: 5_000,
};

/// A Telegram bot.
#[derive(Clone)]
pub struct Telegram {
    api: Arc<Api>,
}

impl fmt::Debug for Telegram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telegram")
    }
}

impl Telegram {
    /// A bot by its token; `api_url` replaces `https://api.telegram.org`. Does nothing on the
    /// network.
    ///
    /// Fails with [`ChannelError::Setting`] only.
    pub fn new(token: &str, api_url: Option<Url>) -> Result<Telegram, ChannelError> {
        let token = BotToken::new(token).map_err(|reason| setting(TOKEN_VARIABLE, reason))?;
        if let Some(url) = &api_url
            && !matches!(url.scheme(), "http" | "https")
        {
            return Err(setting(API_URL_VARIABLE, "it is no http or https address"));
        }
        let api = Api::new(token, api_url)?;
        Ok(Telegram { api: Arc::new(api) })
    }

    /// Asks until an answer stands: a room that has moved is asked at its new place, markup that is
    /// refused is left away. Each further request follows a refusal, so nothing happens twice.
    async fn deliver<P, R>(
        &self,
        chat: &Chat,
        payload: impl Fn(ChatId, Form) -> P,
    ) -> Result<R, CallError>
    where
        P: Payload + serde::Serialize,
        R: DeserializeOwned,
    {
        let mut room = room(chat)?;
        let mut form = Form::Markup;
        let mut has_moved = false;
        loop {
            let refusal = match self.api.send(&payload(room, form)).await {
                Err(CallError::Refused(refusal)) => refusal,
                other => return other,
            };
            match refusal.moved_to {
                Some(new) if !has_moved => {
                    has_moved = true;
                    room = ChatId(new);
                }
                _ if form == Form::Markup && refusal.is_about_markup() => form = Form::Plain,
                _ => return Err(CallError::Refused(refusal)),
            }
        }
    }
}

/// How a piece is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Markup,
    Plain,
}

#[async_trait]
impl Channel for Telegram {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    async fn identify(&self) -> Result<Account, ChannelError> {
        let me: convert::Me = self
            .api
            .ask(&GetMe::new())
            .await
            .map_err(CallError::into_channel_error)?;
        Ok(me.into())
    }

    fn inbox(&self, since: Option<Mark>) -> Box<dyn Inbox> {
        Box::new(TelegramInbox::new(self.clone(), since))
    }

    fn render(&self, markdown: &str) -> Vec<Piece> {
        html::render(markdown, LIMITS.text_max, LIMITS.pieces_max)
    }

    async fn post(
        &self,
        chat: &Chat,
        piece: &Piece,
        reply_to: Option<&MessageId>,
    ) -> Result<MessageId, SendError> {
        let thread = thread(chat).map_err(CallError::into_send_error)?;
        // An id that is none of Telegram's names no message, like one that was deleted.
        let answered = reply_to.and_then(|id| id.as_str().parse().ok());
        let payload = |room, form| {
            let mut payload =
                SendMessage::new(room, text(piece, form)).link_preview_options(no_preview());
            if form == Form::Markup {
                payload = payload.parse_mode(ParseMode::Html);
            }
            if let Some(thread) = thread {
                payload = payload.message_thread_id(thread);
            }
            if let Some(id) = answered {
                let answered = ReplyParameters::new(WireMessageId(id));
                payload = payload.reply_parameters(answered.allow_sending_without_reply());
            }
            payload
        };
        let sent: convert::Sent = self
            .deliver(chat, payload)
            .await
            .map_err(CallError::into_send_error)?;
        Ok(MessageId(sent.message_id.to_string()))
    }

    async fn edit(&self, chat: &Chat, message: &MessageId, piece: &Piece) -> Result<(), SendError> {
        let Ok(id) = message.as_str().parse() else {
            return Err(refusal::message_not_found());
        };
        let payload = |room, form| {
            let payload = EditMessageText::new(room, WireMessageId(id), text(piece, form))
                .link_preview_options(no_preview());
            match form {
                Form::Markup => payload.parse_mode(ParseMode::Html),
                Form::Plain => payload,
            }
        };
        let outcome: Result<IgnoredAny, CallError> = self.deliver(chat, payload).await;
        match outcome {
            Ok(_) => Ok(()),
            Err(CallError::Refused(refusal)) if refusal.says_unchanged() => Ok(()),
            Err(error) => Err(error.into_send_error()),
        }
    }

    async fn typing(&self, chat: &Chat) -> Result<(), SendError> {
        let thread = thread(chat).map_err(CallError::into_send_error)?;
        let payload = |room, _| {
            let payload = SendChatAction::new(room, ChatAction::Typing);
            match thread {
                Some(thread) => payload.message_thread_id(thread),
                None => payload,
            }
        };
        let outcome: Result<IgnoredAny, CallError> = self.deliver(chat, payload).await;
        outcome.map(|_| ()).map_err(CallError::into_send_error)
    }
}

fn text(piece: &Piece, form: Form) -> &str {
    match form {
        Form::Markup => &piece.markup,
        Form::Plain => &piece.plain,
    }
}

fn no_preview() -> LinkPreviewOptions {
    LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}

fn room(chat: &Chat) -> Result<ChatId, CallError> {
    let id = chat.room.parse().map_err(|_| CallError::no_such_chat())?;
    Ok(ChatId(id))
}

fn thread(chat: &Chat) -> Result<Option<ThreadId>, CallError> {
    let parse = |thread: &String| thread.parse().map_err(|_| CallError::no_such_chat());
    let id = chat.thread.as_ref().map(parse).transpose()?;
    Ok(id.map(|id| ThreadId(WireMessageId(id))))
}

fn setting(variable: &'static str, reason: &str) -> ChannelError {
    ChannelError::Setting {
        variable,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
