//! API keys, and text from a provider that is safe to show.
//!
//! Invariant: a key leaves this type only as a request header; neither `Debug` nor an [`Excerpt`]
//! ever holds it, nor anything that looks like a key.

use std::fmt;

use crate::error::ModelError;

/// Characters of provider text an [`Excerpt`] keeps.
const EXCERPT_CHARS_MAX: usize = 200;
const REDACTED: &str = "[redacted]";
/// How a provider blots out the middle of a key it was given.
const MASK: &str = "***";

/// An API key, and the variable it was taken from. It has no `Display`, and its `Debug` shows the
/// variable only.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    text: String,
    variable: &'static str,
}

impl ApiKey {
    /// Takes a key as a person pastes it into `variable`: surrounding white space is dropped.
    ///
    /// Empty keys and keys with other characters than visible ASCII are [`ModelError::Config`].
    pub fn new(variable: &'static str, text: &str) -> Result<Self, ModelError> {
        let text = text.trim();
        let problem = if text.is_empty() {
            "is empty"
        } else if !text.chars().all(|c| c.is_ascii_graphic()) {
            "holds characters a key cannot have"
        } else {
            return Ok(Self {
                text: text.to_owned(),
                variable,
            });
        };
        Err(ModelError::config(&format!("{variable} {problem}")))
    }

    /// The variable to look at when the key is refused.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    pub(crate) fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.variable)
    }
}

/// A short piece of what a provider said: one line, at most 200 characters, without keys.
///
/// Its `Display` is either empty or a parenthesis that can follow a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// Cuts `raw` down to what may be shown: `keys` and everything shaped like a key is replaced.
    pub fn redacted(raw: &str, keys: &[ApiKey]) -> Self {
        let mut keys: Vec<&str> = keys.iter().map(ApiKey::expose).collect();
        // One key may begin another one.
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(key.len()));
        let text = keys
            .into_iter()
            .fold(raw.to_owned(), |text, key| text.replace(key, REDACTED));
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

/// Appends `word`, with every part replaced that begins like a provider's key (`sk-…`) or has its
/// middle blotted out: a proxy may echo a key that is not ours, a provider the ends of ours.
fn push_without_keys(line: &mut String, word: &str) {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    for part in word.split_inclusive(|c: char| !is_key_char(c)) {
        let bare = part.trim_end_matches(|c: char| !is_key_char(c));
        let is_key = bare.starts_with("sk-") && bare.len() > "sk-".len();
        if is_key || bare.contains(MASK) {
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
        let key = ApiKey::new("KEY", "  sk-ant-secret\n").unwrap();
        assert_eq!(key.expose(), "sk-ant-secret");
        assert_eq!(format!("{key:?}"), "ApiKey(KEY)");
    }

    #[test]
    fn unusable_keys_are_refused_by_their_variable_without_quoting_them() {
        for bad in ["", "  ", "sk-ant\nsecret", "schlüssel", "two words"] {
            let error = ApiKey::new("SOME_KEY", bad).unwrap_err();
            assert_eq!(error.code(), "model_config");
            assert!(error.to_string().contains("SOME_KEY"), "{error}");
            assert!(
                bad.trim().is_empty() || !error.to_string().contains(bad),
                "{error}"
            );
        }
    }

    #[test]
    fn excerpt_redacts_our_keys_and_foreign_ones() {
        let keys = ["plainsecret99", "plainsecret99plus"].map(|key| ApiKey::new("K", key).unwrap());
        let raw = "bad key plainsecret99; \"plainsecret99plus\"\n\"sk-ant-api03-zzz\", (sk-proj_1)";
        let excerpt = Excerpt::redacted(raw, &keys);
        assert_eq!(
            excerpt.as_str(),
            "bad key [redacted]; \"[redacted]\" \"[redacted]\", ([redacted])"
        );
    }

    #[test]
    fn excerpt_redacts_keys_with_their_middle_blotted_out() {
        let excerpt = Excerpt::redacted("wrong key: plai*****et99. Look **here**.", &[]);
        assert_eq!(excerpt.as_str(), "wrong key: [redacted]. Look **here**.");
    }

    #[test]
    fn excerpt_is_one_bounded_line() {
        let raw = "line\r\n\u{7}two 界".repeat(200);
        let excerpt = Excerpt::redacted(&raw, &[]);
        assert_eq!(excerpt.as_str().chars().count(), EXCERPT_CHARS_MAX);
        assert!(!excerpt.as_str().contains(['\n', '\r', '\u{7}']));
        assert!(Excerpt::redacted("", &[]).to_string().is_empty());
    }
}
