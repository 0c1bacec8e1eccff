//! What the demo model says; pure.
//!
//! Every wish has one answer per language. The long texts are files beside this one.

use std::fmt::Write as _;

use super::grammar::{COUNT_MAX, Language, Wish, wish};
use super::sums::{SumError, evaluate};
use crate::calendar::LocalTime;
use crate::model::LogFacts;
use Language::{Chinese, English};

const HELP_EN: &str = include_str!("help_en.md");
const HELP_ZH: &str = include_str!("help_zh.md");
const ESSAY_EN: &str = include_str!("essay_en.md");
const ESSAY_ZH: &str = include_str!("essay_zh.md");
const NUMBERS_PER_LINE: u32 = 10;

/// The whole answer to `question`, as Markdown.
pub(super) fn answer(question: &str, facts: &LogFacts) -> String {
    let language = Language::of(question);
    match wish(question) {
        Wish::Help => help(language).to_owned(),
        Wish::Echo(text) => echo(text, language),
        Wish::Time => time(facts, language),
        Wish::Log => log(facts, language),
        Wish::Sum(expression) => sum(expression, language),
        Wish::Count(to) => count(to),
        Wish::CountTooFar => count_too_far(language),
        Wish::Essay => essay(language).to_owned(),
        Wish::Other => other(language),
    }
}

fn help(language: Language) -> &'static str {
    match language {
        English => HELP_EN,
        Chinese => HELP_ZH,
    }
}

fn essay(language: Language) -> &'static str {
    match language {
        English => ESSAY_EN,
        Chinese => ESSAY_ZH,
    }
}

fn echo(text: &str, language: Language) -> String {
    if !text.trim().is_empty() {
        return text.to_owned();
    }
    match language {
        English => "There is nothing to echo. Try `echo hello`.".to_owned(),
        Chinese => "没有可复述的内容。试试 `复述 你好`。".to_owned(),
    }
}

fn time(facts: &LogFacts, language: Language) -> String {
    let now = LocalTime::at(facts.now_ms, facts.utc_offset_minutes);
    let (date, clock, offset) = (now.date(), now.clock(), now.offset());
    match language {
        English => format!(
            "It is **{clock}** on {}, {date} ({offset}).",
            now.weekday_en()
        ),
        Chinese => format!(
            "现在是 {date} {} **{clock}**（{offset}）。",
            now.weekday_zh()
        ),
    }
}

fn sum(expression: &str, language: Language) -> String {
    match evaluate(expression) {
        Ok(value) => format!("`{expression}` {value}"),
        Err(error) => format!("`{expression}`: {}", no_value(error, language)),
    }
}

fn no_value(error: SumError, language: Language) -> &'static str {
    match (error, language) {
        (SumError::Malformed, English) => "this does not read as a sum to me.",
        (SumError::Malformed, Chinese) => "我看不懂这个算式。",
        (SumError::DividedByZero, English) => "nothing can be divided by zero.",
        (SumError::DividedByZero, Chinese) => "除数不能为零。",
        (SumError::TooLarge, English) => "this is too large for me.",
        (SumError::TooLarge, Chinese) => "这个算式太大，我算不了。",
    }
}

fn count(to: u32) -> String {
    let mut text = String::new();
    for number in 1..=to {
        let after = match number {
            last if last == to => "",
            full if full % NUMBERS_PER_LINE == 0 => "\n",
            _ => " ",
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{number}{after}");
    }
    text
}

fn count_too_far(language: Language) -> String {
    match language {
        English => format!("I count from 1 to at most {COUNT_MAX}. Try `count to {COUNT_MAX}`."),
        Chinese => format!("我最多从 1 数到 {COUNT_MAX}。试试 `数到 {COUNT_MAX}`。"),
    }
}

fn log(facts: &LogFacts, language: Language) -> String {
    let title = match language {
        English => "The log right now:",
        Chinese => "日志的当前内容：",
    };
    let head = match (facts.head_hash.as_str(), language) {
        ("", English) => "The log is still empty, so there is no head hash.".to_owned(),
        ("", Chinese) => "日志还是空的，所以没有头部哈希。".to_owned(),
        (hash, English) => {
            format!("The hash of its head, which vouches for all of it:\n\n```text\n{hash}\n```")
        }
        (hash, Chinese) => format!("头部哈希（为整条日志作证）：\n\n```text\n{hash}\n```"),
    };
    let mut table = match language {
        English => "| what | value |\n| --- | ---: |\n".to_owned(),
        Chinese => "| 内容 | 数值 |\n| --- | ---: |\n".to_owned(),
    };
    for (english, chinese, value) in rows(facts, language) {
        let name = if language == English {
            english
        } else {
            chinese
        };
        let _ = writeln!(table, "| {name} | {value} |");
    }
    format!("{title}\n\n{table}\n{head}")
}

fn rows(facts: &LogFacts, language: Language) -> [(&'static str, &'static str, String); 7] {
    let none_yet = if language == English {
        "nothing yet"
    } else {
        "尚无"
    };
    let shipped = facts
        .shipped_seq
        .map_or(none_yet.to_owned(), |seq| seq.to_string());
    let lag = facts
        .head_seq
        .saturating_sub(facts.shipped_seq.unwrap_or(0));
    [
        ("Recorded events", "已记录事件", facts.events.to_string()),
        ("Head seq", "头部序号", facts.head_seq.to_string()),
        ("Shipped seq", "已备份序号", shipped),
        ("Lag (events)", "备份滞后（事件）", lag.to_string()),
        ("Sessions", "会话", facts.sessions.to_string()),
        ("Devices", "设备", facts.devices.to_string()),
        ("Writer epoch", "写入者纪元", facts.epoch.to_string()),
    ]
}

fn other(language: Language) -> String {
    match language {
        English => "I am the **demo model** that comes with Moltbot: a small program, not an AI, so I \
                    cannot understand that. Your message did arrive and is recorded, and so is this \
                    answer.\n\n\
                    - `help` shows what I can do\n\
                    - `what is in the log?` shows what has been recorded\n\
                    - `2 * (3 + 4)` is something I can work out\n\n\
                    To talk to a real model, start the gateway with `ANTHROPIC_API_KEY` set."
            .to_owned(),
        Chinese => "我是 Moltbot 自带的**演示模型**：只是一个小程序，不是 AI，所以听不懂这句话。\
                    不过您的消息已经送达并记录，这条回答也一样。\n\n\
                    - `帮助`：看看我会什么\n\
                    - `日志里有什么？`：看看记录了哪些内容\n\
                    - `2 * (3 + 4)`：这种算式我会算\n\n\
                    想和真正的模型对话，请在启动网关时设置 `ANTHROPIC_API_KEY`。"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> LogFacts {
        LogFacts {
            events: 128,
            head_seq: 128,
            head_hash: "ab12".to_owned(),
            shipped_seq: Some(120),
            sessions: 3,
            devices: 2,
            epoch: 5,
            now_ms: 1_795_358_970_000,
            utc_offset_minutes: 480,
        }
    }

    #[test]
    fn answers_are_in_the_language_of_the_question() {
        assert_eq!(
            answer("time", &facts()),
            "It is **22:49:30** on Sunday, 2026-11-22 (UTC+8)."
        );
        assert_eq!(
            answer("几点了", &facts()),
            "现在是 2026-11-22 星期日 **22:49:30**（UTC+8）。"
        );
        assert_eq!(answer("what is 0.1 + 0.2?", &facts()), "`0.1 + 0.2` = 0.3");
        assert_eq!(answer("计算 1/0", &facts()), "`1/0`: 除数不能为零。");
        assert_eq!(answer("echo hi  there", &facts()), "hi  there");
    }

    #[test]
    fn demo_model_says_what_it_is_and_how_to_replace_it() {
        for question in ["help", "hello", "", "essay"] {
            let text = answer(question, &facts());
            assert!(
                text.contains("demo model") && text.contains("not an AI"),
                "{text}"
            );
            assert!(text.contains("ANTHROPIC_API_KEY"), "{text}");
        }
        for question in ["帮助", "你好", "写一篇文章"] {
            let text = answer(question, &facts());
            assert!(
                text.contains("演示模型") && text.contains("不是 AI"),
                "{text}"
            );
            assert!(text.contains("ANTHROPIC_API_KEY"), "{text}");
        }
    }

    #[test]
    fn log_is_a_table_with_the_head_in_a_code_block() {
        let text = answer("what is in the log?", &facts());
        for line in [
            "| Recorded events | 128 |",
            "| Shipped seq | 120 |",
            "| Lag (events) | 8 |",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.contains("```text\nab12\n```"));
        assert!(answer("日志", &facts()).contains("| 会话 | 3 |"));
        let empty = answer("log", &LogFacts::default());
        assert!(empty.contains("| Shipped seq | nothing yet |") && empty.contains("still empty"));
    }

    #[test]
    fn counting_is_complete_and_bounded() {
        assert_eq!(
            answer("count to 12", &facts()),
            "1 2 3 4 5 6 7 8 9 10\n11 12"
        );
        let long = answer("数到2000", &facts());
        assert_eq!(long.split_whitespace().count(), 2000);
        assert!(answer("count to 2001", &facts()).contains("at most 2000"));
    }

    #[test]
    fn essays_are_long_enough_to_be_stopped() {
        assert!(answer("essay", &facts()).split_whitespace().count() > 500);
        assert!(answer("作文", &facts()).chars().count() > 800);
    }
}
