//! What the gateway is told about signed checkpoints.

use super::{Remote, duration, wrong};
use crate::exit::Failure;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use moltbot_core::ids::unhex;
use std::fmt;
use std::time::Duration;
use url::Url;

/// How often the log is vouched for, with which key, and where a copy goes.
#[derive(Debug, Clone, Default)]
pub struct CheckpointSettings {
    /// What the signing key is made of, when given from outside.
    pub seed: Option<Seed>,
    /// The time between two checkpoints; `None`: none are made.
    pub every: Option<Duration>,
    /// The second place.
    pub copy: Option<Remote>,
}

/// What a signing key is made of. Prints nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// The seed in sixty-four hex digits or in base64.
    pub fn parse(text: &str) -> Option<Seed> {
        let text = text.trim();
        let base64 = |text: &str| {
            let unpadded = text.trim_end_matches('=');
            let url_safe = URL_SAFE_NO_PAD.decode(unpadded).ok();
            url_safe.or_else(|| STANDARD.decode(text).ok())
        };
        let bytes = match text.len() {
            64 => unhex(text)?,
            _ => base64(text)?,
        };
        bytes.try_into().ok().map(Seed)
    }
}

/// Reads `MOLTBOT_CHECKPOINT_KEY`, `MOLTBOT_CHECKPOINT_EVERY` and `MOLTBOT_CHECKPOINT_URL`. The second
/// place is opened with the credentials of the first.
pub(super) fn read(
    remote: &Remote,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<CheckpointSettings, Failure> {
    let seed = env("MOLTBOT_CHECKPOINT_KEY").map(|text| {
        Seed::parse(&text).ok_or_else(|| {
            wrong(
                "MOLTBOT_CHECKPOINT_KEY must be 32 bytes as 64 hex digits or base64, for example \
                 the output of: openssl rand -hex 32",
            )
        })
    });
    let every = env("MOLTBOT_CHECKPOINT_EVERY").unwrap_or_else(|| EVERY.to_owned());
    let every = duration("MOLTBOT_CHECKPOINT_EVERY", Some(every));
    let copy = env("MOLTBOT_CHECKPOINT_URL").map(|text| {
        let url = Url::parse(&text).ok();
        let is_known = url.is_some_and(|url| ["file", "s3"].contains(&url.scheme()));
        let place = is_known.then(|| Remote {
            url: text,
            options: remote.options.clone(),
            missing: Vec::new(),
        });
        place.ok_or_else(|| {
            wrong("MOLTBOT_CHECKPOINT_URL must be a URL, as s3://bucket/prefix or file:///path")
        })
    });
    Ok(CheckpointSettings {
        seed: seed.transpose()?,
        every: every?,
        copy: copy.transpose()?,
    })
}

/// The time between two checkpoints when nobody says another one.
const EVERY: &str = "10m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_hex_or_base64_and_shows_itself_to_nobody() {
        let hex = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fff";
        let seed = Seed::parse(hex).unwrap();
        assert_eq!(seed.0[31], 255);
        for text in [STANDARD.encode(seed.0), URL_SAFE_NO_PAD.encode(seed.0)] {
            assert_eq!(Seed::parse(&text), Some(seed), "{text}");
        }
        assert_eq!(format!("{seed:?}"), "Seed(…)");
        for bad in ["", "secret", &hex[2..], &format!("{hex}00"), "é"] {
            assert_eq!(Seed::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_the_value() {
        let check = |name: &'static str, value: &'static str| {
            let env = |asked: &str| (asked == name).then(|| value.to_owned());
            read(&Remote::default(), &env)
        };
        for (name, bad) in [
            ("MOLTBOT_CHECKPOINT_KEY", "hunter2"),
            ("MOLTBOT_CHECKPOINT_EVERY", "hunter2"),
            ("MOLTBOT_CHECKPOINT_URL", "ftp://hunter2"),
        ] {
            let message = check(name, bad).unwrap_err().message;
            assert!(
                message.contains(name) && !message.contains("hunter2"),
                "{message}"
            );
        }
        let minutes = |n: u64| Some(Duration::from_secs(n * 60));
        assert_eq!(check("X", "").unwrap().every, minutes(10));
        assert_eq!(
            check("MOLTBOT_CHECKPOINT_EVERY", "2h").unwrap().every,
            minutes(120)
        );
        assert_eq!(
            check("MOLTBOT_CHECKPOINT_EVERY", "never").unwrap().every,
            None
        );
        let copy = check("MOLTBOT_CHECKPOINT_URL", "file:///x").unwrap().copy;
        assert_eq!(copy.unwrap().url, "file:///x");
    }
}
