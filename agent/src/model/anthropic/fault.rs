//! Error replies and error events of the provider, and what they mean for the caller.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use crate::error::ModelError;
use crate::secret::{ApiKey, Excerpt};
use crate::settings::Settings;

/// The body of every error reply, and the data of every `error` event.
#[derive(Deserialize)]
struct ErrorEnvelope {
    error: ProviderError,
}

#[derive(Deserialize, Default)]
struct ProviderError {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

/// Reads an error reply, bounded in bytes and in time; what cannot be read only costs the detail.
pub(super) async fn read(response: Response, key: &ApiKey, settings: &Settings) -> ModelError {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    let wait = Duration::from_millis(settings.idle_timeout_ms);
    let mut pieces = response.bytes_stream();
    while let Ok(Some(Ok(piece))) = tokio::time::timeout(wait, pieces.next()).await {
        let room = settings.error_body_bytes_max - body.len();
        body.extend(piece.iter().take(room));
        if piece.len() >= room {
            break;
        }
    }
    of_reply(status, &body, retry_after, key)
}

fn of_reply(status: u16, body: &[u8], retry_after: Option<Duration>, key: &ApiKey) -> ModelError {
    // Anything else than the published shape is some proxy's page: not worth showing.
    let error = serde_json::from_slice::<ErrorEnvelope>(body).map(|envelope| envelope.error);
    let text = error.map_or_else(|_| format!("status {status}"), |error| error.message);
    let detail = Excerpt::redacted(&text, Some(key));
    match status {
        401 | 403 => ModelError::Auth { detail },
        402 => ModelError::Billing { detail },
        404 => ModelError::NotFound { detail },
        413 => ModelError::TooLarge { detail },
        429 => ModelError::RateLimited {
            retry_after,
            detail,
        },
        529 => ModelError::Overloaded {
            retry_after,
            detail,
        },
        408 | 409 | 500..=599 => ModelError::Unavailable {
            retry_after,
            detail,
        },
        400..=499 => ModelError::BadRequest { detail },
        _ => ModelError::protocol(&format!("status {status}")),
    }
}

/// The meaning of an `error` event in the middle of a stream.
pub(super) fn of_event(data: &str, key: &ApiKey) -> ModelError {
    let error = serde_json::from_str::<ErrorEnvelope>(data)
        .map_or_else(|_| ProviderError::default(), |envelope| envelope.error);
    let detail = Excerpt::redacted(&error.message, Some(key));
    let retry_after = None;
    match error.kind.as_str() {
        "authentication_error" | "permission_error" => ModelError::Auth { detail },
        "billing_error" => ModelError::Billing { detail },
        "not_found_error" => ModelError::NotFound { detail },
        "request_too_large" => ModelError::TooLarge { detail },
        "invalid_request_error" => ModelError::BadRequest { detail },
        "rate_limit_error" => ModelError::RateLimited {
            retry_after,
            detail,
        },
        "overloaded_error" => ModelError::Overloaded {
            retry_after,
            detail,
        },
        _ => ModelError::Unavailable {
            retry_after,
            detail,
        },
    }
}

/// The wait the provider asks for, in seconds. A date is not understood: the provider sends none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        ApiKey::new("plainsecret99").unwrap()
    }

    #[test]
    fn every_status_has_its_meaning() {
        let codes = [
            (400, "model_bad_request"),
            (401, "model_auth"),
            (402, "model_billing"),
            (403, "model_auth"),
            (404, "model_not_found"),
            (408, "model_unavailable"),
            (409, "model_unavailable"),
            (413, "model_request_too_large"),
            (422, "model_bad_request"),
            (429, "model_rate_limited"),
            (500, "model_unavailable"),
            (503, "model_unavailable"),
            (529, "model_overloaded"),
            (204, "model_protocol"),
            (302, "model_protocol"),
        ];
        for (status, code) in codes {
            assert_eq!(
                of_reply(status, b"<html>", None, &key()).code(),
                code,
                "{status}"
            );
        }
    }

    #[test]
    fn detail_is_the_providers_message_without_the_key() {
        let body = br#"{"type":"error","error":{"type":"authentication_error","message":"bad plainsecret99"}}"#;
        let message = of_reply(401, body, None, &key()).message();
        assert!(message.contains("bad [redacted]"), "{message}");
        let page = of_reply(502, b"<html>plainsecret99</html>", None, &key()).message();
        assert!(page.contains("(the provider says: status 502)"), "{page}");
    }

    #[test]
    fn events_have_the_meaning_of_their_type() {
        let codes = [
            ("overloaded_error", "model_overloaded"),
            ("api_error", "model_unavailable"),
            ("rate_limit_error", "model_rate_limited"),
            ("invalid_request_error", "model_bad_request"),
            ("something_new", "model_unavailable"),
        ];
        for (kind, code) in codes {
            let data = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"x"}}}}"#);
            assert_eq!(of_event(&data, &key()).code(), code);
        }
        assert_eq!(of_event("not json", &key()).code(), "model_unavailable");
    }

    #[test]
    fn retry_after_is_seconds_or_nothing() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("0.5"), Some(Duration::from_millis(500)));
        for odd in [
            "-1",
            "NaN",
            "inf",
            "1e99",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "",
        ] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
