//! The embedded demo model: a gateway without an API key still answers.
//!
//! It is a small program, says so, and says how to connect a real model. Invariants: the answer
//! depends on the request alone (time and log come from its facts), and it is streamed word by word
//! with usage and a token limit, so that everything that follows a real model can be tried with it.

mod answer;
mod grammar;
mod sums;

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use crate::model::{
    Model, ModelEvent, ModelInfo, ModelRequest, ModelStream, Role, StopReason, Usage,
};
use crate::settings::Settings;

/// Characters that arrive together where a script has no spaces between words.
const CHARS_PER_DELTA: usize = 4;

/// The demo model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoModel {
    pace: Duration,
}

impl DemoModel {
    /// Waits `pace` before each word.
    pub fn new(pace: Duration) -> Self {
        Self { pace }
    }

    /// The pace the settings describe.
    pub fn paced(settings: &Settings) -> Self {
        Self::new(Duration::from_millis(settings.demo_pace_ms))
    }
}

impl Model for DemoModel {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            provider: "demo".to_owned(),
            model: "demo".to_owned(),
        }
    }

    fn start(&self, request: ModelRequest) -> ModelStream {
        let pace = self.pace;
        let events: VecDeque<ModelEvent> = script(&request).into();
        stream::unfold(events, move |mut events| async move {
            let event = events.pop_front()?;
            if !pace.is_zero() && matches!(event, ModelEvent::Delta(_)) {
                tokio::time::sleep(pace).await;
            }
            Some((Ok(event), events))
        })
        .boxed()
    }
}

/// The whole answer as events.
fn script(request: &ModelRequest) -> Vec<ModelEvent> {
    let question = request
        .turns
        .iter()
        .rev()
        .find(|turn| turn.role == Role::User);
    let question = question.map_or("", |turn| turn.text.as_str());
    let text = answer::answer(question, &request.facts);
    let tokens_max = usize::try_from(request.max_tokens).unwrap_or(usize::MAX);
    let deltas = deltas(&text);
    let stop = if deltas.len() > tokens_max {
        StopReason::MaxTokens
    } else {
        StopReason::EndTurn
    };
    let said = deltas.len().min(tokens_max);
    let heard: usize = request
        .turns
        .iter()
        .map(|turn| turn.text.chars().count())
        .sum();
    let usage = |output: usize| {
        ModelEvent::Usage(Usage {
            // About four characters to a token, as in most models.
            input_tokens: heard.div_ceil(4) as u64,
            output_tokens: output as u64,
            ..Usage::default()
        })
    };
    let mut events = vec![usage(0)];
    events.extend(
        deltas
            .into_iter()
            .take(said)
            .map(|delta| ModelEvent::Delta(delta.to_owned())),
    );
    events.extend([usage(said), ModelEvent::Done(stop)]);
    events
}

/// Cuts a text into word-sized pieces that join to the same text.
fn deltas(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for mut word in text.split_inclusive(char::is_whitespace) {
        while !word.is_ascii() && word.chars().count() > CHARS_PER_DELTA {
            let cut = word
                .char_indices()
                .nth(CHARS_PER_DELTA)
                .map_or(word.len(), |(at, _)| at);
            let (piece, rest) = word.split_at(cut);
            pieces.push(piece);
            word = rest;
        }
        pieces.push(word);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LogFacts, Turn};

    fn ask(question: &str, max_tokens: u32) -> ModelRequest {
        let turns = vec![
            Turn::user("earlier"),
            Turn::assistant("yes"),
            Turn::user(question),
        ];
        ModelRequest {
            system: None,
            turns,
            max_tokens,
            facts: LogFacts::default(),
        }
    }

    async fn stream(request: ModelRequest) -> (String, usize, Usage, StopReason) {
        let model = DemoModel::paced(&Settings::default());
        let mut events = model.start(request);
        let (mut text, mut deltas, mut usage) = (String::new(), 0, Usage::default());
        while let Some(Ok(event)) = events.next().await {
            match event {
                ModelEvent::Delta(delta) => {
                    text.push_str(&delta);
                    deltas += 1;
                }
                ModelEvent::Usage(seen) => usage = seen,
                ModelEvent::Done(stop) => return (text, deltas, usage, stop),
            }
        }
        panic!("the stream had no end");
    }

    #[tokio::test(start_paused = true)]
    async fn answer_is_streamed_in_words_with_usage() {
        let begun = tokio::time::Instant::now();
        let (text, deltas, usage, stop) = stream(ask("echo one two three", 100)).await;
        assert_eq!((text.as_str(), deltas), ("one two three", 3));
        assert_eq!(stop, StopReason::EndTurn);
        assert_eq!((usage.input_tokens, usage.output_tokens), (7, 3));
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test(start_paused = true)]
    async fn token_limit_cuts_the_answer() {
        let (text, _, usage, stop) = stream(ask("echo one two three", 2)).await;
        assert_eq!((text.as_str(), usage.output_tokens), ("one two ", 2));
        assert_eq!(stop, StopReason::MaxTokens);
    }

    #[tokio::test(start_paused = true)]
    async fn same_request_gives_the_same_answer() {
        for question in ["help", "log", "time", "写一篇文章", "", "what?"] {
            let first = stream(ask(question, 5000)).await;
            assert_eq!(first, stream(ask(question, 5000)).await);
            assert!(!first.0.trim().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn request_without_turns_is_answered_too() {
        let request = ModelRequest {
            max_tokens: 1000,
            ..ModelRequest::default()
        };
        assert!(stream(request).await.0.contains("demo model"));
    }

    #[test]
    fn deltas_join_to_the_text_and_stay_small() {
        for text in [
            "",
            "one",
            " a  b\n\nc ",
            "你好,我是演示模型。mixed 文字文字文字文字 x",
            "🦀🦀🦀🦀🦀",
        ] {
            let pieces = deltas(text);
            assert_eq!(pieces.concat(), text);
            assert!(
                pieces
                    .iter()
                    .all(|p| p.is_ascii() || p.chars().count() <= 5),
                "{pieces:?}"
            );
        }
        assert_eq!(deltas("你好你好你"), ["你好你好", "你"]);
    }
}
