//! The assistant's system prompt; pure.
//!
//! Only the date changes from run to run, so that providers can cache the prompt for a day.

use crate::calendar::LocalTime;
use crate::model::LogFacts;

/// Tells the model who it is, where it runs and what day it is.
pub fn system_prompt(facts: &LogFacts) -> String {
    let now = LocalTime::at(facts.now_ms, facts.utc_offset_minutes);
    format!(
        "You are a personal assistant. You run behind Moltbot, a self-hosted gateway that carries \
         your conversation with its owner and records it as events in a log.\n\
         Today is {weekday}, {date} ({offset}).\n\
         Answer in the language of the last message, briefly and directly. Markdown is rendered. \
         You have no tools in this conversation: when something would need one, say so instead of \
         guessing. If you do not know, say that you do not know.",
        weekday = now.weekday_en(),
        date = now.date(),
        offset = now.offset(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_names_the_gateway_and_the_local_date() {
        let facts = LogFacts {
            now_ms: 1_795_358_970_000,
            utc_offset_minutes: 600,
            ..LogFacts::default()
        };
        let prompt = system_prompt(&facts);
        assert!(prompt.contains("Moltbot"));
        assert!(
            prompt.contains("Today is Monday, 2026-11-23 (UTC+10)."),
            "{prompt}"
        );
        let later = LogFacts {
            now_ms: facts.now_ms + 60_000,
            events: 9,
            ..facts
        };
        assert_eq!(system_prompt(&later), prompt, "same day, same prompt");
    }
}
