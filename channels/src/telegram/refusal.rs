//! Telegram's refusals: which they are, and what they mean to a person.
//!
//! Telegram names its reasons only in English sentences, so those are compared, in lower case and
//! by their stable part.

use super::TOKEN_VARIABLE;
use crate::error::SendError;

/// A "no" in Telegram's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// 400 to 499.
    pub(super) code: u16,
    /// Telegram's sentence, without secrets.
    pub(super) description: String,
    /// The chat lives on under this id.
    pub(super) moved_to: Option<i64>,
}

/// Part of Telegram's sentence, our code, our sentence.
const REASONS: [(&str, &str, &str); 22] = [
    (
        "bot was blocked by the user",
        "blocked",
        "the person has blocked this bot",
    ),
    (
        "user is deactivated",
        "account_gone",
        "the person's account no longer exists",
    ),
    (
        "bot was kicked",
        "removed",
        "the bot was removed from this chat",
    ),
    (
        "bot is not a member",
        "removed",
        "the bot is not in this chat",
    ),
    (
        "group is deactivated",
        "chat_gone",
        "this group no longer exists",
    ),
    (
        "group chat was upgraded",
        "chat_moved",
        "this group has become another chat",
    ),
    (
        "can't initiate conversation",
        "not_started",
        "the person has to write to the bot first",
    ),
    (
        "can't send messages to bots",
        "is_bot",
        "bots cannot write to bots",
    ),
    (
        "chat not found",
        "chat_not_found",
        "Telegram does not know this chat",
    ),
    (
        "peer_id_invalid",
        "chat_not_found",
        "Telegram does not know this chat",
    ),
    (
        "message thread not found",
        "thread_not_found",
        "this topic no longer exists",
    ),
    ("topic_closed", "thread_closed", "this topic is closed"),
    (
        "not enough rights",
        "no_rights",
        "the bot may not write in this chat",
    ),
    (
        "have no rights to send",
        "no_rights",
        "the bot may not write in this chat",
    ),
    (
        "need administrator rights",
        "no_rights",
        "the bot may not write in this chat",
    ),
    (
        "chat_write_forbidden",
        "no_rights",
        "the bot may not write in this chat",
    ),
    (
        "message to edit not found",
        MESSAGE_NOT_FOUND.0,
        MESSAGE_NOT_FOUND.1,
    ),
    (
        "message_id_invalid",
        MESSAGE_NOT_FOUND.0,
        MESSAGE_NOT_FOUND.1,
    ),
    (
        "message can't be edited",
        "not_editable",
        "this message can no longer be edited",
    ),
    (
        "too long",
        "too_long",
        "the message is too long for Telegram",
    ),
    ("text is empty", "empty", "the message has no text"),
    ("text must be non-empty", "empty", "the message has no text"),
];
const MESSAGE_NOT_FOUND: (&str, &str) = ("message_not_found", "this message no longer exists");

impl Refusal {
    fn says(&self, part: &str) -> bool {
        self.description.to_lowercase().contains(part)
    }

    /// The token is wrong or revoked. Telegram says "Not Found" to one of a wrong shape.
    pub(super) fn is_about_token(&self) -> bool {
        match self.code {
            401 => true,
            404 => self.says("not found") && !self.says(":"),
            _ => false,
        }
    }

    /// The markup is wrong; the text may not be.
    pub(super) fn is_about_markup(&self) -> bool {
        self.code == 400 && self.says("can't parse entities")
    }

    /// An edit that changes nothing.
    pub(super) fn says_unchanged(&self) -> bool {
        self.code == 400 && self.says("message is not modified")
    }

    /// A webhook receives in place of `getUpdates`.
    pub(super) fn is_about_webhook(&self) -> bool {
        self.code == 409 && self.says("webhook")
    }

    pub(super) fn into_send_error(self) -> SendError {
        if self.is_about_token() {
            return SendError::Refused {
                code: "token",
                message: format!("Telegram refuses the bot token: check {TOKEN_VARIABLE}"),
            };
        }
        let known = REASONS.iter().find(|(part, ..)| self.says(part));
        let (code, sentence) = match known {
            Some((_, code, sentence)) => (*code, *sentence),
            None if self.code == 403 => ("forbidden", "Telegram forbids this message"),
            None => ("refused", "Telegram refuses this message"),
        };
        SendError::Refused {
            code,
            message: format!("{sentence} (Telegram says: {})", self.description),
        }
    }
}

/// The message's id is none of Telegram's.
pub(super) fn message_not_found() -> SendError {
    let (code, message) = MESSAGE_NOT_FOUND;
    SendError::Refused {
        code,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_a_stable_code_and_say_what_telegram_said() {
        let table = [
            (403, "Forbidden: bot was blocked by the user", "blocked"),
            (403, "Forbidden: user is deactivated", "account_gone"),
            (
                403,
                "Forbidden: bot was kicked from the supergroup chat",
                "removed",
            ),
            (
                403,
                "Forbidden: bot is not a member of the channel chat",
                "removed",
            ),
            (
                403,
                "Forbidden: bot can't initiate conversation with a user",
                "not_started",
            ),
            (403, "Forbidden: bot can't send messages to bots", "is_bot"),
            (403, "Forbidden: something new", "forbidden"),
            (400, "Bad Request: chat not found", "chat_not_found"),
            (400, "Bad Request: PEER_ID_INVALID", "chat_not_found"),
            (
                400,
                "Bad Request: message thread not found",
                "thread_not_found",
            ),
            (400, "Bad Request: TOPIC_CLOSED", "thread_closed"),
            (
                400,
                "Bad Request: not enough rights to send text messages to the chat",
                "no_rights",
            ),
            (400, "Bad Request: CHAT_WRITE_FORBIDDEN", "no_rights"),
            (
                400,
                "Bad Request: message to edit not found",
                "message_not_found",
            ),
            (400, "Bad Request: MESSAGE_ID_INVALID", "message_not_found"),
            (400, "Bad Request: message can't be edited", "not_editable"),
            (400, "Bad Request: message is too long", "too_long"),
            (
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                "chat_moved",
            ),
            (400, "Bad Request: message text is empty", "empty"),
            (400, "Bad Request: something new", "refused"),
            (401, "Unauthorized", "token"),
            (404, "Not Found", "token"),
        ];
        for (code, description, expected) in table {
            let description = description.to_owned();
            let refusal = Refusal {
                code,
                description: description.clone(),
                moved_to: None,
            };
            let SendError::Refused { code, message } = refusal.into_send_error() else {
                panic!("{description}");
            };
            assert_eq!(code, expected, "{description}");
            assert!(
                code == "token" || message.contains(&description),
                "{message}"
            );
        }
    }
}
