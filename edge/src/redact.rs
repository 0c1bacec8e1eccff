//! Takes secrets out of a text before anybody sees it: log lines, panics, errors, diagnostics.
//!
//! Two nets: the literal values of the secrets this process was given, in the forms they take in
//! addresses, headers and JSON; and the shapes of credentials that nobody told it about.
//!
//! Invariant: linear in the text's length, whatever the text is; redacting twice changes nothing
//! more; a JSON line stays a JSON line.

mod forms;
mod shapes;

use aho_corasick::{AhoCorasick, MatchKind};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

/// What stands where a secret was.
pub const MARK: &str = "[redacted]";

/// Shorter values would black out ordinary words.
const SECRET_CHARS_MIN: usize = 8;

/// The known secrets in all their forms.
struct Known {
    forms: BTreeSet<String>,
    matcher: Option<AhoCorasick>,
}

static KNOWN: RwLock<Known> = RwLock::new(Known {
    forms: BTreeSet::new(),
    matcher: None,
});

/// Makes these values unspeakable from now on. Values of fewer than eight characters are not.
pub fn register<'a>(secrets: impl IntoIterator<Item = &'a str>) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let long_enough = |secret: &&str| secret.chars().count() >= SECRET_CHARS_MIN;
    for secret in secrets.into_iter().map(str::trim).filter(long_enough) {
        known.forms.extend(forms::of(secret));
    }
    known.matcher = matcher(&known.forms);
}

fn matcher(forms: &BTreeSet<String>) -> Option<AhoCorasick> {
    if forms.is_empty() {
        return None;
    }
    let mut builder = AhoCorasick::builder();
    builder.match_kind(MatchKind::LeftmostLongest);
    // It fails only beyond billions of patterns.
    builder.build(forms).ok()
}

/// The text without secrets.
pub fn redact(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let literal = match &known.matcher {
        Some(matcher) => without(text, matcher.find_iter(text).map(|found| found.range())),
        None => Cow::Borrowed(text),
    };
    drop(known);
    match shapes::without(&literal) {
        Cow::Borrowed(_) => literal,
        Cow::Owned(text) => Cow::Owned(text),
    }
}

/// The text with a mark in place of these ranges, which follow one another.
fn without(text: &str, ranges: impl Iterator<Item = std::ops::Range<usize>>) -> Cow<'_, str> {
    let mut out = String::new();
    let mut end = 0;
    for range in ranges {
        out.push_str(text.get(end..range.start).unwrap_or_default());
        out.push_str(MARK);
        end = range.end;
    }
    if end == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(end..).unwrap_or_default());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
