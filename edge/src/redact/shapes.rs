//! The shapes of credentials: what a secret looks like that nobody registered.
//!
//! One pass: an automaton finds where a shape could begin, a rule looks at what stands there. A
//! rule looks at each character a bounded number of times, as it wants the start of a word.

use super::MARK;
use aho_corasick::AhoCorasick;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// How a credential goes on after its trigger.
#[derive(Clone, Copy)]
enum Rule {
    /// The trigger begins it; at least so many characters of a token follow.
    Token(usize),
    /// As [`Rule::Token`], and the trigger's case counts.
    ExactToken(usize),
    /// The trigger introduces it; the credential itself has at least so many characters.
    After(usize),
    /// A name and its value in an address or a form.
    Value,
    /// A JSON web token: three parts with dots between them.
    Jwt,
    /// Digits, this colon, 35 characters: a Telegram bot's token
    /// ([format](https://core.telegram.org/bots/api#authorizing-your-bot)).
    Telegram,
    /// `user:password@` of an address.
    UserInfo,
    /// A private key in PEM (RFC 7468).
    Pem,
}

const SHAPES: [(&str, Rule); 28] = [
    ("sk-", Rule::Token(16)),
    ("xoxa-", Rule::Token(8)),
    ("xoxb-", Rule::Token(8)),
    ("xoxe-", Rule::Token(8)),
    ("xoxp-", Rule::Token(8)),
    ("xoxr-", Rule::Token(8)),
    ("xoxs-", Rule::Token(8)),
    ("xapp-", Rule::Token(8)),
    ("ghp_", Rule::Token(30)),
    ("github_pat_", Rule::Token(30)),
    ("AIza", Rule::ExactToken(35)),
    ("AKIA", Rule::ExactToken(16)),
    ("ASIA", Rule::ExactToken(16)),
    ("Bearer ", Rule::After(8)),
    ("token=", Rule::Value),
    ("secret=", Rule::Value),
    ("key=", Rule::Value),
    ("grant=", Rule::Value),
    ("password=", Rule::Value),
    ("signature=", Rule::Value),
    ("credential=", Rule::Value),
    ("token%3d", Rule::Value),
    ("secret%3d", Rule::Value),
    ("key%3d", Rule::Value),
    ("eyJ", Rule::Jwt),
    (":", Rule::Telegram),
    ("://", Rule::UserInfo),
    ("-----BEGIN ", Rule::Pem),
];

static TRIGGERS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasick::builder();
    builder
        .ascii_case_insensitive(true)
        .match_kind(aho_corasick::MatchKind::LeftmostLongest);
    // It fails only beyond billions of patterns.
    builder
        .build(SHAPES.iter().map(|(trigger, _)| trigger))
        .ok()
});

/// The text without anything that looks like a credential.
pub(super) fn without(text: &str) -> Cow<'_, str> {
    let Some(triggers) = &*TRIGGERS else {
        return Cow::Borrowed(MARK);
    };
    super::without(
        text,
        Credentials {
            text,
            triggers,
            at: 0,
        },
    )
}

struct Credentials<'a> {
    text: &'a str,
    triggers: &'a AhoCorasick,
    at: usize,
}

impl Iterator for Credentials<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = aho_corasick::Input::new(self.text).span(self.at..self.text.len());
            let found = self.triggers.find(rest)?;
            let (_, rule) = SHAPES.get(found.pattern().as_usize())?;
            let credential = credential(self.text, found.range(), *rule)
                .filter(|range| range.start >= self.at && !range.is_empty());
            match credential {
                Some(range) => {
                    self.at = range.end;
                    return Some(range);
                }
                None => self.at = found.start() + 1,
            }
        }
    }
}

fn credential(text: &str, trigger: Range<usize>, rule: Rule) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let (start, after) = (trigger.start, trigger.end);
    let begins_word = start == 0 || !bytes.get(start - 1).copied().is_some_and(is_token);
    let run = |from: usize, fits: fn(u8) -> bool| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| fits(**byte)).count()
    };
    // Inside a word that was looked at already, looking again would take time without end.
    let of_words = !matches!(
        rule,
        Rule::Value | Rule::Telegram | Rule::UserInfo | Rule::Pem
    );
    if of_words && !begins_word {
        return None;
    }
    match rule {
        Rule::Token(least) => {
            let end = run(after, is_token);
            (end - after >= least).then_some(start..end)
        }
        Rule::ExactToken(least) => {
            let is_exact = SHAPES
                .iter()
                .any(|(shape, _)| text.get(trigger.clone()) == Some(shape));
            let end = run(after, is_token);
            (is_exact && end - after >= least).then_some(start..end)
        }
        Rule::After(least) => {
            let end = run(after, is_token68);
            (end - after >= least).then_some(after..end)
        }
        Rule::Value => {
            let end = run(after, is_value);
            Some(after..end)
        }
        Rule::Jwt => {
            let first = run(after, is_token);
            let second = dotted(bytes, first, &run)?;
            let third = dotted(bytes, second, &run)?;
            (third > second + 1).then_some(start..third)
        }
        Rule::Telegram => {
            let before = bytes.get(..start).unwrap_or_default();
            let digits = before.iter().rev().take_while(|b| b.is_ascii_digit());
            let digits = digits.count();
            let end = run(after, is_token);
            (digits >= 6 && end - after >= 35).then_some(start - digits..end)
        }
        Rule::UserInfo => {
            let end = run(after, is_authority);
            let at = bytes
                .get(after..end)?
                .iter()
                .rposition(|byte| *byte == b'@')?;
            let info = text.get(after..after + at)?;
            info.contains(':').then_some(after..after + at)
        }
        Rule::Pem => {
            let rest = text.get(after..)?;
            let (label, _) = rest.split_once("-----")?;
            if label.len() > 40 || !label.ends_with("PRIVATE KEY") {
                return None;
            }
            let end = format!("-----END {label}-----");
            let end_at = rest.find(&end).map(|at| at + end.len());
            // Cut short, as lines are: the rest of the string.
            let length = end_at.or_else(|| rest.find('"')).unwrap_or(rest.len());
            Some(start..after + length)
        }
    }
}

/// The end of a part after a dot, if there is one.
fn dotted(bytes: &[u8], at: usize, run: &impl Fn(usize, fn(u8) -> bool) -> usize) -> Option<usize> {
    (bytes.get(at) == Some(&b'.')).then(|| run(at + 1, is_token))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// RFC 9110, section 11.2.
fn is_token68(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

fn is_value(byte: u8) -> bool {
    byte > b' ' && !br#"&;,"'\<>()[]{}#"#.contains(&byte)
}

fn is_authority(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && !br#"/?#"'\<>"#.contains(&byte)
}
