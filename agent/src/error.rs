//! What can go wrong with a model, and what the caller does about it.
//!
//! Every error has a [`kind`](ModelError::kind) (the caller's duty), a stable
//! [`code`](ModelError::code) (for translation and records) and a
//! [`message`](ModelError::message) (one sentence for a person). None of them ever holds an API key;
//! of a provider's reply they hold at most an [`Excerpt`].

use std::time::Duration;

use crate::secret::Excerpt;

/// What the caller must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// Retry with backoff while nothing of the answer was shown; after that, offer Retry.
    Transient {
        /// The provider asked for at least this wait.
        retry_after: Option<Duration>,
    },
    /// The provider went silent and may still be working on the request, and billing it: do not
    /// repeat it unasked; tell the person and offer Retry.
    Stalled,
    /// The key, the settings or the request is wrong: tell the person, repeating cannot help.
    Invalid,
    /// The provider, or something between, does not speak the protocol: report it.
    Internal,
}

/// Which wait ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For the connection.
    Connect,
    /// For the head of the reply.
    FirstByte,
    /// For the next piece of the reply.
    Idle,
}

/// Why a model gave no answer, or broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The key is wrong, revoked, or not allowed to use the model.
    #[error(
        "the model provider refused the API key in {variables}; set a valid one and restart the \
         gateway{detail}"
    )]
    Auth {
        /// The variables that hold the keys which were sent, joined by `or`.
        variables: String,
        /// What the provider said.
        detail: Excerpt,
    },
    /// The account cannot pay.
    #[error("the model provider reports a billing problem with the account{detail}")]
    Billing {
        /// What the provider said.
        detail: Excerpt,
    },
    /// The request was refused as malformed.
    #[error("the model provider did not accept the request{detail}")]
    BadRequest {
        /// What the provider said.
        detail: Excerpt,
    },
    /// The model or the address does not exist.
    #[error("the model provider does not know this model or address, check both{detail}")]
    NotFound {
        /// What the provider said.
        detail: Excerpt,
    },
    /// The conversation is too long for the provider.
    #[error("the conversation is too long for the model provider{detail}")]
    TooLarge {
        /// What the provider said.
        detail: Excerpt,
    },
    /// The account asked too often.
    #[error("the model provider is limiting this account's rate, try again shortly{detail}")]
    RateLimited {
        /// The wait the provider asked for.
        retry_after: Option<Duration>,
        /// What the provider said.
        detail: Excerpt,
    },
    /// The provider is short of capacity.
    #[error("the model provider is overloaded, try again shortly{detail}")]
    Overloaded {
        /// The wait the provider asked for.
        retry_after: Option<Duration>,
        /// What the provider said.
        detail: Excerpt,
    },
    /// The provider failed on its side.
    #[error("the model provider has a problem on its side, try again shortly{detail}")]
    Unavailable {
        /// The wait the provider asked for.
        retry_after: Option<Duration>,
        /// What the provider said.
        detail: Excerpt,
    },
    /// No connection, or it was lost before the reply began.
    #[error("the model provider cannot be reached: {}", reason.as_str())]
    Unreachable {
        /// What the network said.
        reason: Excerpt,
    },
    /// A wait ran out.
    #[error("the model provider {}", waited_for(*wait))]
    Timeout {
        /// Which one.
        wait: Wait,
    },
    /// The reply ended before its end mark.
    #[error("the model's answer broke off before its end")]
    Interrupted,
    /// The reply is not what the protocol says.
    #[error("the model provider sent something unexpected: {}", what.as_str())]
    Protocol {
        /// What was unexpected.
        what: Excerpt,
    },
    /// The reply is larger than the bound.
    #[error("the model provider sent more than {bytes_max} bytes for one answer")]
    AnswerTooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// A setting cannot be used.
    #[error("the model settings cannot be used: {}", what.as_str())]
    Config {
        /// Which, and why.
        what: Excerpt,
    },
}

impl ModelError {
    /// What the caller must do.
    pub fn kind(&self) -> ModelErrorKind {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Overloaded { retry_after, .. }
            | Self::Unavailable { retry_after, .. } => ModelErrorKind::Transient {
                retry_after: *retry_after,
            },
            Self::Unreachable { .. }
            | Self::Interrupted
            | Self::Timeout {
                wait: Wait::Connect,
            } => ModelErrorKind::Transient { retry_after: None },
            Self::Timeout { .. } => ModelErrorKind::Stalled,
            Self::Auth { .. }
            | Self::Billing { .. }
            | Self::BadRequest { .. }
            | Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::Config { .. } => ModelErrorKind::Invalid,
            Self::Protocol { .. } | Self::AnswerTooLarge { .. } => ModelErrorKind::Internal,
        }
    }

    /// A stable name for translation, records and tests; never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Auth { .. } => "model_auth",
            Self::Billing { .. } => "model_billing",
            Self::BadRequest { .. } => "model_bad_request",
            Self::NotFound { .. } => "model_not_found",
            Self::TooLarge { .. } => "model_request_too_large",
            Self::RateLimited { .. } => "model_rate_limited",
            Self::Overloaded { .. } => "model_overloaded",
            Self::Unavailable { .. } => "model_unavailable",
            Self::Unreachable { .. } => "model_unreachable",
            Self::Timeout { .. } => "model_timeout",
            Self::Interrupted => "model_interrupted",
            Self::Protocol { .. } => "model_protocol",
            Self::AnswerTooLarge { .. } => "model_answer_too_large",
            Self::Config { .. } => "model_config",
        }
    }

    /// One English sentence for a person, ready to be shown.
    pub fn message(&self) -> String {
        let text = self.to_string();
        let mut chars = text.chars();
        match chars.next() {
            Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
            None => text,
        }
    }

    /// A protocol error in our own words.
    pub(crate) fn protocol(what: &str) -> Self {
        Self::Protocol {
            what: Excerpt::redacted(what, &[]),
        }
    }

    /// A settings error in our own words.
    pub(crate) fn config(what: &str) -> Self {
        Self::Config {
            what: Excerpt::redacted(what, &[]),
        }
    }
}

fn waited_for(wait: Wait) -> &'static str {
    match wait {
        Wait::Connect => "did not take the connection in time",
        Wait::FirstByte => "did not begin to answer in time",
        Wait::Idle => "went silent in the middle of the answer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Excerpt {
        Excerpt::redacted(text, &[])
    }

    fn auth(text: &str) -> ModelError {
        ModelError::Auth {
            variables: "SOME_KEY".to_owned(),
            detail: said(text),
        }
    }

    #[test]
    fn message_is_one_sentence_with_the_excerpt() {
        let error = ModelError::Overloaded {
            retry_after: None,
            detail: said("Overloaded"),
        };
        assert_eq!(
            error.message(),
            "The model provider is overloaded, try again shortly (the provider says: Overloaded)."
        );
        let error = ModelError::Timeout { wait: Wait::Idle };
        assert_eq!(
            error.message(),
            "The model provider went silent in the middle of the answer."
        );
    }

    #[test]
    fn kinds_follow_the_callers_duty() {
        let wait = Some(Duration::from_secs(3));
        let limited = ModelError::RateLimited {
            retry_after: wait,
            detail: said(""),
        };
        assert_eq!(
            limited.kind(),
            ModelErrorKind::Transient { retry_after: wait }
        );
        let connect = ModelError::Timeout {
            wait: Wait::Connect,
        };
        assert_eq!(
            connect.kind(),
            ModelErrorKind::Transient { retry_after: None }
        );
        let silent = ModelError::Timeout {
            wait: Wait::FirstByte,
        };
        assert_eq!(silent.kind(), ModelErrorKind::Stalled);
        assert_eq!(auth("").kind(), ModelErrorKind::Invalid);
        assert_eq!(
            auth("").message(),
            "The model provider refused the API key in SOME_KEY; set a valid one and restart the \
             gateway."
        );
        assert_eq!(ModelError::protocol("x").kind(), ModelErrorKind::Internal);
    }
}
