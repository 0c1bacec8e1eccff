//! One request to the Bot API, and what its failure means.
//!
//! Invariant: a request is never repeated here; an error says whether Telegram surely did not act.
//! No error holds the token: addresses are taken off network errors, what others said is searched
//! for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use telegram_http::{Client, Response, redirect};
use teloxide::Bot;
use teloxide::requests::Payload;
use tokio::time::Instant;
use url::Url;

use super::refusal::Refusal;
use super::{API_URL_VARIABLE, PLATFORM, TOKEN_VARIABLE, setting};
use crate::error::{ChannelError, SendError};
use crate::secret::BotToken;
use crate::settings::{
    ANSWER_BYTES_MAX, ANSWER_TIMEOUT, CONNECT_TIMEOUT, IDLE_TIMEOUT, PAUSE_DEFAULT_MS, PAUSE_MS_MAX,
};

/// The Bot API for one bot. Not `Debug`: teloxide's `Bot` prints its token.
pub(super) struct Api {
    bot: Bot,
    token: BotToken,
    /// Until when Telegram wants to hear nothing from this bot.
    banned_until: Mutex<Option<Instant>>,
}

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// Telegram said no: it did not act.
    Refused(Refusal),
    /// Telegram asks for a pause: it did not act.
    Wait {
        /// How long, in milliseconds.
        retry_after_ms: u64,
    },
    /// The request did not reach Telegram.
    NotSent(String),
    /// The answer is missing or makes no sense: Telegram may have acted.
    Lost(String),
}

/// What every answer looks like: <https://core.telegram.org/bots/api#making-requests>.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    result: Value,
    error_code: Option<u16>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

impl Api {
    pub(super) fn new(token: BotToken, url: Option<Url>) -> Result<Api, ChannelError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            // The address holds the token: it goes to no other place, in no header.
            .redirect(redirect::Policy::none())
            .referer(false)
            .build()
            .map_err(|error| setting(API_URL_VARIABLE, &error.without_url().to_string()))?;
        let mut bot = Bot::with_client(token.expose(), client);
        if let Some(url) = url {
            bot = bot.set_api_url(url);
        }
        Ok(Api {
            bot,
            token,
            banned_until: Mutex::new(None),
        })
    }

    /// A request that changes nothing anyone sees.
    pub(super) async fn ask<P, R>(&self, payload: &P) -> Result<R, CallError>
    where
        P: Payload + Serialize,
        R: DeserializeOwned,
    {
        let timeout = payload.timeout_hint().unwrap_or_default() + ANSWER_TIMEOUT;
        let body = serde_json::to_vec(payload).map_err(|e| CallError::NotSent(e.to_string()))?;
        let (status, answer) = self.exchange(P::NAME, body, timeout).await?;
        let result = interpret(status, &answer)
            .map_err(|error| error.map_text(|text| self.token.excerpt(text)))?;
        serde_json::from_value(result)
            .map_err(|error| CallError::Lost(self.token.excerpt(&error.to_string())))
    }

    /// A request that people see. While Telegram wants a pause nothing is sent at all: what comes
    /// within it makes it longer.
    pub(super) async fn send<P, R>(&self, payload: &P) -> Result<R, CallError>
    where
        P: Payload + Serialize,
        R: DeserializeOwned,
    {
        if let Some(retry_after_ms) = self.pause_left_ms() {
            return Err(CallError::Wait { retry_after_ms });
        }
        let outcome = self.ask(payload).await;
        if let Err(CallError::Wait { retry_after_ms }) = &outcome {
            self.pause(Duration::from_millis(*retry_after_ms));
        }
        outcome
    }

    async fn exchange(
        &self,
        method: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<(u16, Vec<u8>), CallError> {
        let request = self
            .bot
            .client()
            .post(self.address(method))
            .timeout(timeout)
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status().as_u16();
        Ok((status, self.read(response).await?))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, CallError> {
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| {
            // The head of the answer was here, so the request was there.
            match self.broken(error) {
                CallError::NotSent(reason) => CallError::Lost(reason),
                other => other,
            }
        })? {
            answer.extend_from_slice(&chunk);
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(CallError::Lost("the answer is too large".to_owned()));
            }
        }
        Ok(answer)
    }

    fn address(&self, method: &str) -> Url {
        let mut url = self.bot.api_url();
        // Telegram has `http` addresses only, checked when the bot was made.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .push(&format!("bot{}", self.token.expose()))
                .push(method);
        }
        url
    }

    /// A failure of the network. Only what failed before or while connecting surely had no effect.
    fn broken(&self, error: telegram_http::Error) -> CallError {
        let is_unsent = error.is_connect() || error.is_builder();
        let reason = self.token.excerpt(&sentence(&error.without_url()));
        if is_unsent {
            CallError::NotSent(reason)
        } else {
            CallError::Lost(reason)
        }
    }

    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut banned = self.lock();
        *banned = (*banned).max(Some(until));
    }

    fn pause_left_ms(&self) -> Option<u64> {
        let mut banned = self.lock();
        let left = (*banned)?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            *banned = None;
            return None;
        }
        // Rounded up: a moment too early is within the pause.
        Some(
            u64::try_from(left.as_millis())
                .unwrap_or(u64::MAX)
                .saturating_add(1),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.banned_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an answer means.
fn interpret(status: u16, body: &[u8]) -> Result<Value, CallError> {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        // Not Telegram, but something on the way: it cannot know whether Telegram acted.
        return Err(CallError::Lost(format!(
            "HTTP {status} with an answer that is not Telegram's"
        )));
    };
    if answer.ok {
        return Ok(answer.result);
    }
    let code = answer.error_code.unwrap_or(status);
    let Parameters {
        retry_after,
        migrate_to_chat_id,
    } = answer.parameters;
    if code == 429 || retry_after.is_some() {
        let asked_ms = retry_after.map(|secs| secs.saturating_mul(1_000));
        let retry_after_ms = asked_ms.unwrap_or(PAUSE_DEFAULT_MS).min(PAUSE_MS_MAX);
        return Err(CallError::Wait { retry_after_ms });
    }
    if !(400..500).contains(&code) {
        return Err(CallError::Lost(format!("{code} {}", answer.description)));
    }
    Err(CallError::Refused(Refusal {
        code,
        description: answer.description,
        moved_to: migrate_to_chat_id,
    }))
}

/// An error and its causes in one line.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl CallError {
    /// The chat's id is none of Telegram's.
    pub(super) fn no_such_chat() -> CallError {
        CallError::Refused(Refusal {
            code: 400,
            description: "Bad Request: chat not found".to_owned(),
            moved_to: None,
        })
    }

    fn map_text(self, map: impl Fn(&str) -> String) -> CallError {
        match self {
            Self::Refused(refusal) => Self::Refused(Refusal {
                description: map(&refusal.description),
                ..refusal
            }),
            Self::Wait { .. } => self,
            Self::NotSent(text) => Self::NotSent(map(&text)),
            Self::Lost(text) => Self::Lost(map(&text)),
        }
    }

    pub(super) fn into_send_error(self) -> SendError {
        match self {
            Self::Refused(refusal) => refusal.into_send_error(),
            Self::Wait { retry_after_ms } => SendError::Wait { retry_after_ms },
            Self::NotSent(reason) => SendError::NotSent { reason },
            Self::Lost(reason) => SendError::Unknown { reason },
        }
    }

    pub(super) fn into_channel_error(self) -> ChannelError {
        let platform = PLATFORM;
        match self {
            Self::Refused(refusal) if refusal.is_about_token() => ChannelError::Token {
                platform,
                variable: TOKEN_VARIABLE,
            },
            Self::Refused(refusal) if refusal.code == 409 => ChannelError::Conflict { platform },
            Self::Refused(refusal) => ChannelError::Refused {
                platform,
                reason: refusal.description,
            },
            Self::Wait { retry_after_ms } => ChannelError::Wait {
                platform,
                retry_after_ms,
            },
            Self::NotSent(reason) | Self::Lost(reason) => {
                ChannelError::Unavailable { platform, reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, expected: &str) {
        let outcome = match interpret(status, body.as_bytes()) {
            Ok(value) => format!("ok {value}"),
            Err(CallError::Refused(refusal)) => format!("refused {}", refusal.code),
            Err(CallError::Wait { retry_after_ms }) => format!("wait {retry_after_ms}"),
            Err(CallError::NotSent(_)) => "not sent".to_owned(),
            Err(CallError::Lost(_)) => "lost".to_owned(),
        };
        assert_eq!(outcome, expected, "{status} {body}");
    }

    #[test]
    fn only_a_refusal_in_telegrams_own_words_surely_had_no_effect() {
        check(
            200,
            r#"{"ok":true,"result":{"message_id":7}}"#,
            r#"ok {"message_id":7}"#,
        );
        check(
            400,
            r#"{"ok":false,"error_code":400,"description":"Bad Request"}"#,
            "refused 400",
        );
        check(
            403,
            r#"{"ok":false,"error_code":403,"description":"Forbidden"}"#,
            "refused 403",
        );
        check(
            403,
            r#"{"ok":false,"description":"Forbidden"}"#,
            "refused 403",
        );
        check(
            500,
            r#"{"ok":false,"error_code":500,"description":"Internal"}"#,
            "lost",
        );
        check(200, r#"{"ok":false,"description":"no code"}"#, "lost");
        check(502, "<html>Bad Gateway</html>", "lost");
        check(403, "<html>a proxy says no</html>", "lost");
        check(307, "", "lost");
        check(200, "", "lost");
        check(200, r#"{"ok":true,"resu"#, "lost");
    }

    #[test]
    fn a_pause_is_taken_from_the_answer_and_bounded() {
        let asked = |secs: u64| {
            format!(r#"{{"ok":false,"error_code":429,"parameters":{{"retry_after":{secs}}}}}"#)
        };
        check(429, &asked(3), "wait 3000");
        check(429, &asked(u64::MAX), "wait 3600000");
        check(
            429,
            r#"{"ok":false,"error_code":429,"description":"Too Many"}"#,
            "wait 5000",
        );
    }

    #[test]
    fn what_went_wrong_with_an_account_is_told_by_kind() {
        let refused = |code, description: &str| {
            let description = description.to_owned();
            let refusal = Refusal {
                code,
                description,
                moved_to: None,
            };
            CallError::Refused(refusal).into_channel_error().code()
        };
        assert_eq!(refused(401, "Unauthorized"), "channel_token");
        assert_eq!(refused(404, "Not Found"), "channel_token");
        assert_eq!(
            refused(409, "Conflict: terminated by other"),
            "channel_conflict"
        );
        assert_eq!(refused(400, "Bad Request: x"), "channel_refused");
        let lost = CallError::Lost("x".to_owned()).into_channel_error();
        assert_eq!(lost.code(), "channel_unavailable");
    }
}
