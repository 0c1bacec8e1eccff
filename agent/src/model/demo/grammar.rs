//! What a person wants of the demo model; pure, total.
//!
//! The grammar is small on purpose: it recognises whole sentences in two languages and does not
//! pretend to understand more. Whatever it does not know is [`Wish::Other`].

/// Highest number it counts to.
pub(super) const COUNT_MAX: u32 = 2000;
/// Longest sum it looks at, the words around it included.
const SUM_CHARS_MAX: usize = 200;

/// In which language the answer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Chinese as soon as there is one Chinese character.
    pub(super) fn of(text: &str) -> Self {
        let is_cjk = |c| matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}');
        if text.chars().any(is_cjk) {
            Self::Chinese
        } else {
            Self::English
        }
    }
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish<'a> {
    Help,
    Echo(&'a str),
    Time,
    Log,
    Sum(&'a str),
    Count(u32),
    CountTooFar,
    Essay,
    Other,
}

const HELP: &[&str] = &[
    "help",
    "?",
    "what can you do",
    "commands",
    "帮助",
    "你会什么",
    "你能做什么",
    "怎么用",
];
const TIME: &[&str] = &[
    "time",
    "date",
    "what time is it",
    "what day is it",
    "what is the time",
    "what's the time",
    "what is the date",
    "what's the date",
    "what is today's date",
    "now",
    "时间",
    "日期",
    "几点",
    "几点了",
    "现在几点",
    "现在几点了",
    "今天几号",
    "今天星期几",
];
const LOG: &[&str] = &[
    "log",
    "status",
    "events",
    "what is in the log",
    "what's in the log",
    "what does the log hold",
    "what does the log contain",
    "show the log",
    "show me the log",
    "日志",
    "状态",
    "事件",
    "日志里有什么",
    "日志里有什么内容",
    "日志有什么",
    "查看日志",
    "显示日志",
];
const ECHO: &[&str] = &["echo ", "say ", "repeat ", "复述", "重复", "跟我说"];
const COUNT: &[&str] = &[
    "count up to ",
    "count to ",
    "count ",
    "数到",
    "从一数到",
    "从1数到",
];
const ESSAY: &[&str] = &[
    "essay",
    "write an essay",
    "write me an essay",
    "long answer",
    "作文",
    "长文",
    "写一篇",
    "写篇",
];
const SUM_BEFORE: &[&str] = &[
    "what is ",
    "what's ",
    "how much is ",
    "calculate ",
    "compute ",
    "calc ",
    "sum ",
    "请计算",
    "计算",
    "算一下",
    "算",
];
const SUM_AFTER: &[&str] = &["等于多少", "等于几", "是多少", "得多少", "="];

/// Reads a message.
pub(super) fn wish(message: &str) -> Wish<'_> {
    let text = message.trim();
    let text = text.strip_prefix('/').unwrap_or(text);
    if let Some(rest) = after_any(text, ECHO) {
        return Wish::Echo(rest.trim_start_matches([' ', ':', '：']));
    }
    let sentence = text.trim_end_matches(|c: char| c.is_whitespace() || "?？.。!！".contains(c));
    let is = |phrases: &[&str]| {
        phrases
            .iter()
            .any(|phrase| phrase.eq_ignore_ascii_case(sentence))
    };
    if is(HELP) || matches!(text, "?" | "？") {
        Wish::Help
    } else if is(TIME) {
        Wish::Time
    } else if is(LOG) {
        Wish::Log
    } else if let Some(count) = count(sentence) {
        count
    } else if after_any(text, ESSAY).is_some() {
        Wish::Essay
    } else {
        sum(sentence).map_or(Wish::Other, Wish::Sum)
    }
}

fn count(sentence: &str) -> Option<Wish<'_>> {
    let number = after_any(sentence, COUNT)?.trim();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match number.parse() {
        Ok(to @ 1..=COUNT_MAX) => Some(Wish::Count(to)),
        _ => Some(Wish::CountTooFar),
    }
}

/// The expression in a sentence: asked for by word, or made of nothing but an expression.
fn sum(sentence: &str) -> Option<&str> {
    if sentence.chars().count() > SUM_CHARS_MAX {
        return None;
    }
    let bare = after_any(sentence, SUM_BEFORE).unwrap_or(sentence).trim();
    let bare = SUM_AFTER
        .iter()
        .find_map(|words| bare.strip_suffix(words))
        .unwrap_or(bare)
        .trim();
    let of_a_sum = |c: char| c.is_ascii_digit() || ".()（） \t".contains(c) || is_operator(c);
    let is_sum = bare.chars().all(of_a_sum)
        && bare.chars().any(is_operator)
        && bare.chars().any(|c| c.is_ascii_digit());
    is_sum.then_some(bare)
}

fn is_operator(c: char) -> bool {
    "+-*/×÷−＋－＊／".contains(c)
}

/// What follows one of the beginnings, whatever its case.
fn after_any<'a>(text: &'a str, beginnings: &[&str]) -> Option<&'a str> {
    beginnings.iter().find_map(|beginning| {
        let (start, rest) = text.split_at_checked(beginning.len())?;
        start.eq_ignore_ascii_case(beginning).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_are_understood_in_both_languages() {
        let sentences = [
            ("help", Wish::Help),
            ("/Help!", Wish::Help),
            ("?", Wish::Help),
            ("帮助。", Wish::Help),
            ("echo  Hello, World!", Wish::Echo("Hello, World!")),
            ("Echo 2+2?", Wish::Echo("2+2?")),
            ("复述：你好", Wish::Echo("你好")),
            ("What time is it?", Wish::Time),
            ("现在几点？", Wish::Time),
            ("what does the log hold?", Wish::Log),
            ("日志里有什么?", Wish::Log),
            ("count to 2000", Wish::Count(2000)),
            ("Count up to 7.", Wish::Count(7)),
            ("数到 30", Wish::Count(30)),
            ("count to 2001", Wish::CountTooFar),
            ("count to 0", Wish::CountTooFar),
            ("count to 99999999999999", Wish::CountTooFar),
            ("count to ten", Wish::Other),
            ("write an essay about rivers", Wish::Essay),
            ("写一篇关于河流的文章", Wish::Essay),
            ("2+2", Wish::Sum("2+2")),
            ("What is 2 * (3 + 4)?", Wish::Sum("2 * (3 + 4)")),
            ("1÷3=", Wish::Sum("1÷3")),
            ("计算（1＋2）×3等于多少？", Wish::Sum("（1＋2）×3")),
            ("42", Wish::Other),
            ("what is love?", Wish::Other),
            ("hello", Wish::Other),
            ("你好", Wish::Other),
            ("", Wish::Other),
        ];
        for (sentence, expected) in sentences {
            assert_eq!(wish(sentence), expected, "{sentence:?}");
        }
    }

    #[test]
    fn chinese_characters_choose_the_language() {
        assert_eq!(Language::of("hello"), Language::English);
        assert_eq!(Language::of("café 🦀"), Language::English);
        assert_eq!(Language::of("hello 你好"), Language::Chinese);
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_panic(message in "\\PC{0,80}") {
            let _ = wish(&message);
        }
    }
}
