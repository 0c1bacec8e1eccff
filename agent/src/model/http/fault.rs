//! Error replies and error events of providers, and what they mean for the caller.
//!
//! Providers, and what stands before them, say what is wrong in several shapes: `{"error":
//! {"message", "type", "code"}}` (Anthropic, `OpenAI`), the same with a bare text, `{"message",
//! "code"}` (vLLM), `{"errors": [{"code", "message"}]}` (Cloudflare) and `{"detail"}` (`FastAPI`).
//! All are understood; anything else is some proxy's page and not worth showing.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Response;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;

use crate::error::ModelError;
use crate::secret::{ApiKey, Excerpt};
use crate::settings::Settings;

/// Cloudflare's numbers for a token that it does not take, whichever status they come with:
/// malformed, unauthorized (AI Gateway), invalid.
const CLOUDFLARE_TOKEN_CODES: [u64; 4] = [6003, 2009, 9109, 10_000];
/// What `OpenAI` sends before the wait in milliseconds; finer than `retry-after`.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What a provider said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    message: String,
    /// The values of `type` and `code` that are names.
    names: Vec<String>,
    /// The value of `code` that is a number.
    number: Option<u64>,
}

impl Said {
    /// Finds the message wherever this provider puts it.
    fn find(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self {
                message: text.clone(),
                ..Self::default()
            }),
            Value::Array(items) => items.first().and_then(Self::find),
            Value::Object(fields) => {
                let inner = ["error", "errors"]
                    .iter()
                    .find_map(|name| fields.get(*name));
                if let Some(said) = inner.and_then(Self::find) {
                    return Some(said);
                }
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                let message = text("message").or_else(|| text("detail"))?.to_owned();
                Some(Self {
                    message,
                    names: ["type", "code"]
                        .into_iter()
                        .filter_map(text)
                        .map(str::to_owned)
                        .collect(),
                    number: fields.get("code").and_then(Value::as_u64),
                })
            }
            _ => None,
        }
    }

    fn is_named(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.contains(&name.as_str()))
    }
}

/// Reads an error reply, bounded in bytes and in time; what cannot be read only costs the detail.
pub(super) async fn read(response: Response, keys: &[ApiKey], settings: &Settings) -> ModelError {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let body = body(response, settings).await;
    of_reply(status, &body, retry_after, keys)
}

/// The error of a reply that is no event stream although all seemed well.
pub(super) async fn not_a_stream(
    response: Response,
    keys: &[ApiKey],
    settings: &Settings,
) -> ModelError {
    let content_type = super::content_type(&response).to_owned();
    let body = body(response, settings).await;
    let said = serde_json::from_slice(&body).ok();
    let detail = match said.as_ref().and_then(Said::find) {
        Some(said) => format!(
            "{content_type} instead of an event stream: {}",
            said.message
        ),
        None => format!("{content_type} instead of an event stream"),
    };
    ModelError::Protocol {
        what: Excerpt::redacted(&detail, keys),
    }
}

async fn body(response: Response, settings: &Settings) -> Vec<u8> {
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
    body
}

fn of_reply(
    status: u16,
    body: &[u8],
    retry_after: Option<Duration>,
    keys: &[ApiKey],
) -> ModelError {
    let said = serde_json::from_slice(body)
        .ok()
        .and_then(|value| Said::find(&value))
        .unwrap_or_else(|| Said {
            message: format!("status {status}"),
            ..Said::default()
        });
    meaning(status, &said, retry_after, keys)
}

/// The meaning of an error in the middle of a stream.
pub(crate) fn of_event(data: &str, keys: &[ApiKey]) -> ModelError {
    let said = serde_json::from_str(data)
        .ok()
        .and_then(|value| Said::find(&value))
        .unwrap_or_default();
    // The names come before the number: both are there when a proxy passes an error on.
    let by_name = [
        (
            401,
            &[
                "authentication_error",
                "permission_error",
                "invalid_api_key",
            ][..],
        ),
        (402, &["billing_error"]),
        (404, &["not_found_error", "model_not_found"]),
        (413, &["request_too_large"]),
        (400, &["invalid_request_error"]),
        (429, &["rate_limit_error", "rate_limit_exceeded"]),
        (529, &["overloaded_error"]),
    ];
    let named = by_name.iter().find(|(_, names)| said.is_named(names));
    let numbered = said.number.and_then(|number| u16::try_from(number).ok());
    let status = match (named, numbered) {
        (Some((status, _)), _) => *status,
        (None, Some(number @ 400..=599)) => number,
        (None, _) => 500,
    };
    meaning(status, &said, None, keys)
}

fn meaning(status: u16, said: &Said, retry_after: Option<Duration>, keys: &[ApiKey]) -> ModelError {
    let detail = Excerpt::redacted(&said.message, keys);
    let of_cloudflare = said
        .number
        .is_some_and(|n| CLOUDFLARE_TOKEN_CODES.contains(&n));
    // These come with 429 or 400, where they would be waited out or blamed on the request.
    if said.is_named(&["insufficient_quota", "billing_hard_limit_reached"]) {
        return ModelError::Billing { detail };
    }
    if said.is_named(&["context_length_exceeded"]) {
        return ModelError::TooLarge { detail };
    }
    match status {
        400..=499 if of_cloudflare => auth(detail, keys),
        401 | 403 => auth(detail, keys),
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

fn auth(detail: Excerpt, keys: &[ApiKey]) -> ModelError {
    let mut variables: Vec<&str> = keys.iter().map(ApiKey::variable).collect();
    variables.dedup();
    ModelError::Auth {
        variables: variables.join(" or "),
        detail,
    }
}

/// The wait the provider asks for: in milliseconds, in seconds, or until a date, which counts from
/// the date of the reply itself, so that no clock of ours is asked
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name, unit_s: f64| {
        let number: f64 = text(name)?.parse().ok()?;
        Duration::try_from_secs_f64(number * unit_s).ok()
    };
    let until = || {
        let then = httpdate::parse_http_date(text(RETRY_AFTER)?).ok()?;
        let now = httpdate::parse_http_date(text(DATE)?).ok()?;
        Some(then.duration_since(now).unwrap_or_default())
    };
    number(RETRY_AFTER_MS, 0.001)
        .or_else(|| number(RETRY_AFTER, 1.0))
        .or_else(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [ApiKey; 2] {
        [
            ApiKey::new("KEY", "plainsecret99").unwrap(),
            ApiKey::new("OTHER_KEY", "othersecret77").unwrap(),
        ]
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
            (502, "model_unavailable"),
            (503, "model_unavailable"),
            (529, "model_overloaded"),
            (204, "model_protocol"),
            (302, "model_protocol"),
        ];
        for (status, code) in codes {
            let error = of_reply(status, b"<html>", None, &keys());
            assert_eq!(error.code(), code, "{status}");
            let is_tried_again = matches!(status, 408 | 409 | 429 | 500..);
            let is_transient =
                matches!(error.kind(), crate::error::ModelErrorKind::Transient { .. });
            assert_eq!(is_transient, is_tried_again, "{status}");
        }
    }

    #[test]
    fn every_shape_of_an_error_is_understood_and_shown_without_keys() {
        let bodies = [
            r#"{"type":"error","error":{"type":"authentication_error","message":"no plainsecret99"}}"#,
            r#"{"error":{"message":"no othersecret77","type":"x","param":null,"code":"y"}}"#,
            r#"{"error":"no plainsecret99"}"#,
            r#"{"object":"error","message":"no plainsecret99","type":"x","code":401}"#,
            r#"{"success":false,"errors":[{"code":10000,"message":"no othersecret77"}],"result":null}"#,
            r#"{"success":false,"result":[],"error":[{"code":2009,"message":"no othersecret77"}]}"#,
            r#"[{"code":2009,"message":"no plainsecret99"}]"#,
            r#"{"detail":"no plainsecret99"}"#,
        ];
        for body in bodies {
            let error = of_reply(401, body.as_bytes(), None, &keys());
            let message = error.message();
            assert!(
                message.contains("(the provider says: no [redacted])"),
                "{message}"
            );
            assert!(message.contains("KEY or OTHER_KEY"), "{message}");
        }
        let page = of_reply(502, b"<html>plainsecret99</html>", None, &keys()).message();
        assert!(page.contains("(the provider says: status 502)"), "{page}");
    }

    #[test]
    fn names_tell_apart_what_shares_a_status() {
        let cases = [
            (429, r#""code":"insufficient_quota""#, "model_billing"),
            (429, r#""code":"rate_limit_exceeded""#, "model_rate_limited"),
            (
                400,
                r#""code":"context_length_exceeded""#,
                "model_request_too_large",
            ),
            (400, r#""code":6003"#, "model_auth"),
            (400, r#""code":5007"#, "model_bad_request"),
        ];
        for (status, code, expected) in cases {
            let body = format!(r#"{{"error":{{"message":"x",{code}}}}}"#);
            let error = of_reply(status, body.as_bytes(), None, &keys());
            assert_eq!(error.code(), expected, "{body}");
        }
    }

    #[test]
    fn events_have_the_meaning_of_their_type_or_number() {
        let codes = [
            (r#""type":"overloaded_error""#, "model_overloaded"),
            (r#""type":"api_error""#, "model_unavailable"),
            (r#""type":"rate_limit_error""#, "model_rate_limited"),
            (r#""code":"rate_limit_exceeded""#, "model_rate_limited"),
            (r#""type":"invalid_request_error""#, "model_bad_request"),
            (
                r#""type":"invalid_request_error","code":"invalid_api_key""#,
                "model_auth",
            ),
            (r#""type":"something_new""#, "model_unavailable"),
            (r#""code":502"#, "model_unavailable"),
            (r#""code":429"#, "model_rate_limited"),
            (r#""code":7"#, "model_unavailable"),
        ];
        for (fields, code) in codes {
            let data = format!(r#"{{"error":{{{fields},"message":"x"}}}}"#);
            assert_eq!(of_event(&data, &keys()).code(), code, "{data}");
        }
        assert_eq!(of_event("not json", &keys()).code(), "model_unavailable");
    }

    #[test]
    fn retry_after_is_milliseconds_seconds_a_date_or_nothing() {
        let read = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                let value = value.parse().unwrap();
                (HeaderName::from_static(name), value)
            });
            retry_after(&headers.collect())
        };
        let seconds = |text| read(&[("retry-after", text)]);
        assert_eq!(seconds("7"), Some(Duration::from_secs(7)));
        assert_eq!(seconds("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(
            read(&[("retry-after", "1"), ("retry-after-ms", "250")]),
            Some(Duration::from_millis(250))
        );
        let until = |then| {
            read(&[
                ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                ("retry-after", then),
            ])
        };
        assert_eq!(
            until("Wed, 21 Oct 2026 07:29:30 GMT"),
            Some(Duration::from_secs(90))
        );
        assert_eq!(
            until("Wednesday, 21-Oct-26 07:28:01 GMT"),
            Some(Duration::from_secs(1))
        );
        assert_eq!(
            until("Wed, 21 Oct 2026 07:00:00 GMT"),
            Some(Duration::ZERO),
            "a date that is past asks for no wait"
        );
        for odd in [
            "-1",
            "NaN",
            "inf",
            "1e99",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "soon",
            "",
        ] {
            assert_eq!(seconds(odd), None, "{odd:?}");
        }
        assert_eq!(read(&[]), None);
    }
}
