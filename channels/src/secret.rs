//! Bot tokens, and text from outside that is safe to show.
//!
//! Invariant: a token leaves this type only towards its platform; neither `Debug` nor an error
//! holds it.

use std::fmt;

use crate::settings::EXCERPT_CHARS_MAX;

const REDACTED: &str = "[redacted]";

/// A bot's token. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct BotToken(String);

impl BotToken {
    /// Takes a token as a person pastes it: surrounding white space is dropped. The error says what
    /// is wrong without quoting it.
    pub fn new(token: &str) -> Result<Self, &'static str> {
        let token = token.trim();
        if token.is_empty() {
            return Err("it is empty");
        }
        // It becomes part of an address.
        if !token
            .chars()
            .all(|c| c.is_ascii_graphic() && !"/?#%\\".contains(c))
        {
            return Err("it holds characters that a token cannot have");
        }
        Ok(Self(token.to_owned()))
    }

    #[cfg(any(test, feature = "telegram"))]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// One line of what came from outside, at most 200 characters, without this token.
    pub fn excerpt(&self, raw: &str) -> String {
        let text = raw.replace(&self.0, REDACTED);
        let mut line = String::new();
        for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            if !line.is_empty() && !word.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if line.chars().count() > EXCERPT_CHARS_MAX {
            line = line.chars().take(EXCERPT_CHARS_MAX - 1).collect();
            line.push('…');
        }
        line
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BotToken([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_never_printed() {
        let token = BotToken::new("  12:AA-secret\n").unwrap();
        assert_eq!(token.expose(), "12:AA-secret");
        assert_eq!(format!("{token:?}"), "BotToken([redacted])");
        assert_eq!(token.excerpt("a 12:AA-secret/\n b"), "a [redacted]/ b");
    }

    #[test]
    fn unusable_tokens_are_refused_without_quoting_them() {
        for bad in ["", " ", "a b", "a/b", "schlüssel"] {
            let error = BotToken::new(bad).unwrap_err();
            assert!(bad.trim().is_empty() || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn an_excerpt_is_one_bounded_line() {
        let token = BotToken::new("x").unwrap();
        let excerpt = token.excerpt(&"a\r\n\u{7}界 ".repeat(200));
        assert_eq!(excerpt.chars().count(), EXCERPT_CHARS_MAX);
        assert!(!excerpt.contains(['\n', '\r', '\u{7}']));
    }
}
