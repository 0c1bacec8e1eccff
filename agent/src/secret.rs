//! The API key, and text from a provider that is safe to show.
//!
//! Invariant: a key leaves this type only as a request header; neither `Debug` nor an [`Excerpt`]
//! ever holds it, nor anything that looks like a key.

use std::fmt;

use crate::error::ModelError;

/// Characters of provider text an [`Excerpt`] keeps.
const EXCERPT_CHARS_MAX: usize = 200;
const REDACTED: &str = "[redacted]";

/// An API key. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key as a person pastes it: surrounding white space is dropped.
    ///
    /// Empty keys and keys with other characters than visible ASCII are [`ModelError::Config`].
    pub fn new(key: &str) -> Result<Self, ModelError> {
        let key = key.trim();
        if key.is_empty() {
            return Err(ModelError::config("the API key is empty"));
        }
        if !key.chars().all(|c| c.is_ascii_graphic()) {
            return Err(ModelError::config(
                "the API key holds characters a key cannot have",
            ));
        }
        Ok(Self(key.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

/// A short piece of what a provider said: one line, at most 200 characters, without keys.
///
/// Its `Display` is either empty or a parenthesis that can follow a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// Cuts `raw` down to what may be shown: `key` and everything shaped like a key is replaced.
    pub fn redacted(raw: &str, key: Option<&ApiKey>) -> Self {
        let text = match key {
            Some(key) => raw.replace(key.expose(), REDACTED),
            None => raw.to_owned(),
        };
        let mut line = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            if word.is_empty() {
                continue;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            push_without_keys(&mut line, word);
        }
        if line.chars().count() > EXCERPT_CHARS_MAX {
            line = line.chars().take(EXCERPT_CHARS_MAX - 1).collect();
            line.push('…');
        }
        Self(line)
    }

    /// The text, possibly empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " (the provider says: {})", self.0)
        }
    }
}

/// Appends `word`, with every part that begins like a provider key (`sk-…`) replaced: a proxy may
/// echo a key that is not ours, or a part of ours.
fn push_without_keys(line: &mut String, word: &str) {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for part in word.split_inclusive(|c: char| !is_key_char(c)) {
        let bare = part.trim_end_matches(|c: char| !is_key_char(c));
        if bare.starts_with("sk-") && bare.len() > "sk-".len() {
            line.push_str(REDACTED);
            line.push_str(part.strip_prefix(bare).unwrap_or_default());
        } else {
            line.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_trimmed_and_never_printed() {
        let key = ApiKey::new("  sk-ant-secret\n").unwrap();
        assert_eq!(key.expose(), "sk-ant-secret");
        assert_eq!(format!("{key:?}"), "ApiKey([redacted])");
    }

    #[test]
    fn unusable_keys_are_refused_without_quoting_them() {
        for bad in ["", "  ", "sk-ant\nsecret", "schlüssel", "two words"] {
            let error = ApiKey::new(bad).unwrap_err();
            assert_eq!(error.code(), "model_config");
            assert!(
                bad.trim().is_empty() || !error.to_string().contains(bad),
                "{error}"
            );
        }
    }

    #[test]
    fn excerpt_redacts_our_key_and_foreign_ones() {
        let key = ApiKey::new("plainsecret99").unwrap();
        let raw = "bad key plainsecret99;\n\"sk-ant-api03-zzz\", (sk-proj_1)";
        let excerpt = Excerpt::redacted(raw, Some(&key));
        assert_eq!(
            excerpt.as_str(),
            "bad key [redacted]; \"[redacted]\", ([redacted])"
        );
    }

    #[test]
    fn excerpt_is_one_bounded_line() {
        let raw = "line\r\n\u{7}two 界".repeat(200);
        let excerpt = Excerpt::redacted(&raw, None);
        assert_eq!(excerpt.as_str().chars().count(), EXCERPT_CHARS_MAX);
        assert!(!excerpt.as_str().contains(['\n', '\r', '\u{7}']));
        assert!(Excerpt::redacted("", None).to_string().is_empty());
    }
}
