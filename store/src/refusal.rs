//! What a server says when it refuses a request, cut down to what may be shown.
//!
//! The S3 protocol explains a refusal in an XML body: `<Code>` is a stable word, the rest repeats
//! what the request was signed with, the access key id among it
//! ([error responses](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html),
//! [R2's codes](https://developers.cloudflare.com/r2/api/error-codes/)).
//!
//! Invariant: of a refused request's body nothing but its code leaves this module, beside how far
//! this machine's clock is off, which is what the answer's `Date` says against the request's own.

use crate::settings::REFUSAL_BYTES_MAX;
use futures_util::TryStreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use std::fmt::Write;
use std::pin::Pin;

/// Makes clients whose refusals are cut down.
#[derive(Debug, Default)]
pub(crate) struct PlainRefusals;

impl HttpConnector for PlainRefusals {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Service { inner }))
    }
}

#[derive(Debug)]
struct Service {
    inner: HttpClient,
}

/// What `async fn` in the library's trait stands for.
type Call<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Service {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Call<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let sent = text(request.headers(), "x-amz-date").and_then(|at| basic_seconds(&at));
            let response = self.inner.execute(request).await?;
            if !response.status().is_client_error() && !response.status().is_server_error() {
                return Ok(response);
            }
            let answered = text(response.headers(), "date").and_then(|at| http_seconds(&at));
            let ahead = sent.zip(answered).map(|(sent, answered)| sent - answered);
            let (parts, body) = response.into_parts();
            let body = beginning(body).await?;
            let refusal = Refusal {
                code: code_in(&body).map(str::to_owned),
                clock_ahead_s: ahead,
            };
            let body = HttpResponseBody::from(refusal.to_text());
            Ok(HttpResponse::from_parts(parts, body))
        })
    }
}

/// The beginning of a body, in which a refusal says its code.
async fn beginning(body: HttpResponseBody) -> Result<String, HttpError> {
    let mut stream = body.bytes_stream();
    let mut bytes = Vec::new();
    while bytes.len() < REFUSAL_BYTES_MAX {
        let Some(chunk) = stream.try_next().await? else {
            break;
        };
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is known of a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The protocol's code, as `NoSuchBucket`.
    pub(crate) code: Option<String>,
    /// By how many seconds this machine's clock is ahead of the server's.
    pub(crate) clock_ahead_s: Option<i64>,
}

impl Refusal {
    /// As a body that the client library repeats in its error.
    fn to_text(&self) -> String {
        let mut text = String::from("<Error>");
        if let Some(code) = &self.code {
            // Writing to a string cannot fail.
            let _ = write!(text, "<Code>{code}</Code>");
        }
        if let Some(ahead) = self.clock_ahead_s {
            let _ = write!(text, "<ClockAhead>{ahead}</ClockAhead>");
        }
        text + "</Error>"
    }

    /// Reads it back out of an error's words.
    pub(crate) fn in_words(words: &str) -> Refusal {
        Refusal {
            code: code_in(words).map(str::to_owned),
            clock_ahead_s: element(words, "ClockAhead").and_then(|text| text.parse().ok()),
        }
    }
}

/// The code, if it is one: letters only, so no server smuggles anything into a log with it.
fn code_in(body: &str) -> Option<&str> {
    const CHARS_MAX: usize = 64;
    element(body, "Code").filter(|code| {
        (1..=CHARS_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

fn text(headers: &object_store::HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `20260131T235959Z`, as signed requests carry it.
fn basic_seconds(text: &str) -> Option<i64> {
    let number = |from, to| text.get(from..to)?.parse::<i64>().ok();
    let date = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    Some(seconds(
        date,
        (number(9, 11)?, number(11, 13)?, number(13, 15)?),
    ))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
fn http_seconds(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_whitespace().skip(1);
    let day = words.next()?.parse().ok()?;
    let month = MONTHS.find(words.next()?)? / 3 + 1;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<i64>);
    let mut part = || clock.next()?.ok();
    let time = (part()?, part()?, part()?);
    Some(seconds((year, i64::try_from(month).ok()?, day), time))
}

/// Seconds since 1970-01-01 UTC (the era arithmetic of Howard Hinnant's date algorithms).
fn seconds((year, month, day): (i64, i64, i64), (h, m, s): (i64, i64, i64)) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    days * 86_400 + h * 3600 + m * 60 + s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_are_read_alike() {
        let http = http_seconds("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http, Some(784_111_777));
        assert_eq!(basic_seconds("19941106T084937Z"), http);
        assert_eq!(basic_seconds("20240229T000000Z"), Some(1_709_164_800));
        for bad in ["", "now", "Sun, 06 Nov", "19941106"] {
            assert_eq!(
                (http_seconds(bad), basic_seconds(bad)),
                (None, None),
                "{bad}"
            );
        }
    }

    #[test]
    fn only_the_code_of_a_refusal_is_kept() {
        let body = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code>\
            <AWSAccessKeyId>AKIA1</AWSAccessKeyId><StringToSign>AWS4</StringToSign></Error>";
        let refusal = Refusal {
            code: code_in(body).map(str::to_owned),
            clock_ahead_s: Some(-7200),
        };
        let text = refusal.to_text();
        assert!(!text.contains("AKIA1") && !text.contains("AWS4"), "{text}");
        assert_eq!(Refusal::in_words(&format!("403: {text}")), refusal);
        assert_eq!(code_in("<Code>two words\nof a liar</Code>"), None);
        assert_eq!(Refusal::in_words("<html>bad gateway"), Refusal::default());
    }
}
