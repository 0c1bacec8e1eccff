//! Why a request to the object store failed, in a sentence for the person who can change it.
//!
//! Invariant: a message holds no address, no credential (the access key id is one) and no text of
//! a server; what it names is the bucket and the variables that were set.

use crate::refusal::Refusal;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error;
use std::fmt;

/// Seconds a signed request may be off
/// ([`RequestTimeTooSkewed`](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)).
const CLOCK_OFF_S_MAX: i64 = 15 * 60;

/// Where a value came from, for sentences that say what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// What the object store is called.
    pub store: &'static str,
    /// The variable with the access key id.
    pub access_key_id: &'static str,
    /// The variable with the secret access key.
    pub secret_access_key: &'static str,
    /// The variable that decides the address.
    pub address: &'static str,
    /// How a missing bucket comes to be.
    pub create_bucket: &'static str,
    /// What the credentials must permit.
    pub permission: &'static str,
}

impl Names {
    /// Any S3 server, set by the usual variables.
    pub const S3: Names = Names {
        store: "the object store",
        access_key_id: "AWS_ACCESS_KEY_ID",
        secret_access_key: "AWS_SECRET_ACCESS_KEY",
        address: "AWS_ENDPOINT_URL_S3",
        create_bucket: "create it, or name another one in MOLTBOT_REPLICA_URL",
        permission: "reading, writing, listing and deleting objects of the bucket",
    };
    /// Cloudflare R2, set by its three secrets.
    pub const R2: Names = Names {
        store: "R2",
        access_key_id: "R2_ACCESS_KEY_ID",
        secret_access_key: "R2_SECRET_ACCESS_KEY",
        address: "CF_ACCOUNT_ID",
        create_bucket: "create it in the dashboard, deploy once with wrangler, or name another one \
            in R2_BUCKET_NAME",
        permission: "\"Object Read & Write\" on the bucket",
    };
}

impl Default for Names {
    fn default() -> Names {
        Names::S3
    }
}

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody knows the access key id.
    AccessKeyUnknown,
    /// The secret does not fit the access key id.
    SecretWrong,
    /// The bucket does not exist.
    BucketMissing,
    /// The credentials do not permit it.
    Denied,
    /// This machine's clock is too far off.
    ClockWrong,
    /// An object that existed was created again: two gateways could overwrite one another.
    ConditionIgnored,
    /// The server does not know conditional writes.
    ConditionUnsupported,
    /// What was read is not what was written.
    WrongContent,
    /// The host name does not exist.
    NameUnknown,
    /// No secure connection came about.
    Insecure,
    /// Nobody listens, or the connection broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// Too many requests.
    Throttled,
    /// The server failed.
    ServerFailed,
    /// The region or the address belongs to another bucket.
    WrongRegion,
    /// The object is not there.
    Absent,
    /// Anything else.
    Unexpected,
}

impl Fault {
    /// Its stable name.
    pub fn code(self) -> &'static str {
        match self {
            Fault::AccessKeyUnknown => "access_key_unknown",
            Fault::SecretWrong => "secret_key_wrong",
            Fault::BucketMissing => "bucket_missing",
            Fault::Denied => "access_denied",
            Fault::ClockWrong => "clock_wrong",
            Fault::ConditionIgnored => "conditional_put_ignored",
            Fault::ConditionUnsupported => "conditional_put_unsupported",
            Fault::WrongContent => "wrong_content",
            Fault::NameUnknown => "name_unknown",
            Fault::Insecure => "tls_failed",
            Fault::Unreachable => "unreachable",
            Fault::Timeout => "timeout",
            Fault::Throttled => "throttled",
            Fault::ServerFailed => "server_failed",
            Fault::WrongRegion => "wrong_region",
            Fault::Absent => "absent",
            Fault::Unexpected => "unexpected",
        }
    }

    /// Whether the log would not be safe there, however often it is tried.
    pub fn is_unsafe(self) -> bool {
        matches!(self, Fault::ConditionIgnored | Fault::ConditionUnsupported)
    }
}

/// A fault and the sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// For programs.
    pub fault: Fault,
    /// For people: what it means and what to do.
    pub message: String,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What the sentences are about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The bucket; empty for directories.
    pub bucket: String,
    /// Who set what.
    pub names: Names,
}

impl Subject {
    /// Explains an error of the client library.
    pub fn explain(&self, operation: &'static str, error: &object_store::Error) -> Diagnosis {
        let words = chain(error);
        let refusal = Refusal::in_words(&words);
        let fault = fault_of(error, &words, &refusal);
        let message = match fault {
            Fault::Unexpected => self.unexpected(&words, &refusal),
            fault => self.say(fault, operation, refusal.clock_ahead_s),
        };
        Diagnosis { fault, message }
    }

    /// The diagnosis of a fault that no error tells.
    pub fn of(&self, fault: Fault, operation: &'static str) -> Diagnosis {
        Diagnosis {
            fault,
            message: self.say(fault, operation, None),
        }
    }

    fn say(&self, fault: Fault, operation: &str, clock_ahead_s: Option<i64>) -> String {
        let (n, bucket) = (&self.names, &self.bucket);
        match fault {
            Fault::AccessKeyUnknown => format!(
                "{} does not know the access key id; set {} and {} to a token that exists",
                n.store, n.access_key_id, n.secret_access_key
            ),
            Fault::SecretWrong => format!(
                "the secret access key does not fit the access key id; set {} again",
                n.secret_access_key
            ),
            Fault::BucketMissing => {
                format!("the bucket `{bucket}` does not exist; {}", n.create_bucket)
            }
            Fault::Denied => format!(
                "the credentials do not permit to {operation} objects in `{bucket}`; \
                 give their token {}",
                n.permission
            ),
            Fault::ClockWrong => format!(
                "this machine's clock is {}; set it right, {} refuses such requests",
                clock_words(clock_ahead_s),
                n.store
            ),
            Fault::ConditionIgnored => format!(
                "{} overwrote an object that it was asked to create only if absent: two gateways \
                 could overwrite each other's log there; use R2, S3 or another server that honours \
                 `If-None-Match: *`",
                n.store
            ),
            Fault::ConditionUnsupported => format!(
                "{} cannot create objects only if absent (`If-None-Match: *`), without which two \
                 gateways could overwrite each other's log; use R2, S3 or another server that can",
                n.store
            ),
            Fault::WrongContent => format!(
                "{} gave back other bytes than were written; this is no place for a log",
                n.store
            ),
            Fault::NameUnknown => format!(
                "the name of {} cannot be resolved; check {} and this machine's network",
                n.store, n.address
            ),
            Fault::Insecure => format!(
                "no secure connection to {} comes about; check {}, its certificate, and whether \
                 something stands in between",
                n.store, n.address
            ),
            Fault::Unreachable => format!(
                "{} cannot be reached; check {} and this machine's network",
                n.store, n.address
            ),
            Fault::Timeout => format!(
                "{} does not answer in time; check {} and this machine's network",
                n.store, n.address
            ),
            Fault::Throttled => format!("{} asks to send fewer requests; this passes", n.store),
            Fault::ServerFailed => format!("{} failed by itself; this usually passes", n.store),
            Fault::WrongRegion => format!(
                "the bucket `{bucket}` belongs to another region or address; check {} and the region",
                n.address
            ),
            Fault::Absent => "it is not there".to_owned(),
            Fault::Unexpected => format!("{} did not do it", n.store),
        }
    }

    /// The code if there is one, else the library's words without addresses and bodies.
    fn unexpected(&self, words: &str, refusal: &Refusal) -> String {
        match &refusal.code {
            Some(code) => format!("{} refuses with {code}", self.names.store),
            None => plain(words),
        }
    }
}

fn clock_words(ahead_s: Option<i64>) -> String {
    match ahead_s {
        Some(ahead) if ahead >= 60 => format!("{} minutes ahead", ahead / 60),
        Some(ahead) if ahead <= -60 => format!("{} minutes behind", -ahead / 60),
        _ => "too far off".to_owned(),
    }
}

fn fault_of(error: &object_store::Error, words: &str, refusal: &Refusal) -> Fault {
    // A server that thinks little of our clock may call it a wrong signature or no permission.
    let is_clock_off = refusal
        .clock_ahead_s
        .is_some_and(|ahead| ahead.abs() > CLOCK_OFF_S_MAX);
    match refusal.code.as_deref() {
        Some("RequestTimeTooSkewed" | "ExpiredRequest" | "RequestExpired") => Fault::ClockWrong,
        Some("SignatureDoesNotMatch" | "AccessDenied") if is_clock_off => Fault::ClockWrong,
        Some("SignatureDoesNotMatch") => Fault::SecretWrong,
        // R2 checks the length of the access key id before it looks for it.
        Some("InvalidAccessKeyId" | "Unauthorized" | "NotSignedUp" | "InvalidArgument") => {
            Fault::AccessKeyUnknown
        }
        Some("NoSuchBucket" | "InvalidBucketName") => Fault::BucketMissing,
        Some("AccessDenied" | "AllAccessDisabled") => Fault::Denied,
        Some("NotImplemented") => Fault::ConditionUnsupported,
        Some("SlowDown" | "TooManyRequests" | "ReducedRequestRate") => Fault::Throttled,
        Some("InternalError" | "ServiceUnavailable") => Fault::ServerFailed,
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed") => Fault::WrongRegion,
        _ => fault_without_code(error, words),
    }
}

fn fault_without_code(error: &object_store::Error, words: &str) -> Fault {
    match error {
        object_store::Error::NotFound { .. } => return Fault::Absent,
        object_store::Error::PermissionDenied { .. } => return Fault::Denied,
        object_store::Error::Unauthenticated { .. } => return Fault::AccessKeyUnknown,
        _ => {}
    }
    if let Some(http) = cause::<HttpError>(error) {
        return transport(http.kind(), words);
    }
    if words.contains("redirect without LOCATION") {
        return Fault::WrongRegion;
    }
    match words.split_once("status code: ").map(|(_, rest)| rest) {
        Some(status) if status.starts_with("429") => Fault::Throttled,
        Some(status) if status.starts_with("501") => Fault::ConditionUnsupported,
        Some(status) if status.starts_with('5') => Fault::ServerFailed,
        _ => Fault::Unexpected,
    }
}

/// No answer at all. The libraries tell a name from a certificate by words only.
fn transport(kind: HttpErrorKind, words: &str) -> Fault {
    let words = words.to_ascii_lowercase();
    let says = |marks: &[&str]| marks.iter().any(|mark| words.contains(mark));
    if says(&["dns error", "failed to lookup address"]) {
        Fault::NameUnknown
    } else if says(&["certificate", "tls", "ssl", "handshake", "corrupt message"]) {
        Fault::Insecure
    } else if kind == HttpErrorKind::Timeout {
        Fault::Timeout
    } else {
        Fault::Unreachable
    }
}

fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error's own words and those of its causes that it does not repeat.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

/// One line: addresses and what a server put into its body are left out, as both may repeat what a
/// request was signed with.
fn plain(words: &str) -> String {
    const CHARS_MAX: usize = 200;
    let line = words.split(['<', '{', '\n']).next().unwrap_or_default();
    let words: Vec<&str> = line
        .split_whitespace()
        .filter(|word| !word.contains("://"))
        .collect();
    let line = words.join(" ");
    line.trim_end_matches(':').chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
