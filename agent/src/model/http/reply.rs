//! The body of a reply: bytes to events, within the bounds on silence and size.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::error::{ModelError, Wait};
use crate::model::sse::{SseEvent, SseParser};
use crate::model::{ModelEvent, ModelStream, StopReason};
use crate::secret::ApiKey;
use crate::settings::Settings;

/// Makes the events of one reply out of the events of its stream; pure.
pub(crate) trait Decoder: Send + 'static {
    /// Takes the next event and appends what it contributes, at last `Done`.
    fn take(
        &mut self,
        event: &SseEvent,
        keys: &[ApiKey],
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<(), ModelError>;

    /// Why the answer ended, once all its text is known to have come even without an end mark.
    fn finished(&self) -> Option<StopReason> {
        None
    }
}

/// The events of a reply, ending after `Done` or the first error.
pub(super) fn events(
    bytes: BoxStream<'static, Result<Bytes, ModelError>>,
    decoder: impl Decoder,
    keys: Vec<ApiKey>,
    settings: Settings,
) -> ModelStream {
    let parser = SseParser::new(
        settings.stream_line_bytes_max,
        settings.stream_event_bytes_max,
    );
    let reading = Reading {
        bytes,
        keys,
        settings,
        bytes_left: settings.stream_bytes_max,
        parser,
        parsed: VecDeque::new(),
        decoder,
        ready: VecDeque::new(),
        failure: None,
        ended: false,
    };
    stream::try_unfold(reading, |mut reading| async move {
        let event = reading.next().await?;
        Ok(event.map(|event| (event, reading)))
    })
    .into_stream()
    .boxed()
}

struct Reading<D> {
    bytes: BoxStream<'static, Result<Bytes, ModelError>>,
    keys: Vec<ApiKey>,
    settings: Settings,
    bytes_left: usize,
    parser: SseParser,
    parsed: VecDeque<SseEvent>,
    decoder: D,
    ready: VecDeque<ModelEvent>,
    /// Kept until what came before it was handed out.
    failure: Option<ModelError>,
    ended: bool,
}

impl<D: Decoder> Reading<D> {
    async fn next(&mut self) -> Result<Option<ModelEvent>, ModelError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.ended = matches!(event, ModelEvent::Done(_));
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            if let Some(failure) = self.failure.take() {
                // Nothing that comes after the last word can spoil the answer.
                match self.decoder.finished() {
                    Some(stop) => self.ready.push_back(ModelEvent::Done(stop)),
                    None => return Err(failure),
                }
                continue;
            }
            let taken = match self.piece().await {
                Ok(piece) => self.take(&piece),
                Err(error) => Err(error),
            };
            self.failure = taken.err();
        }
    }

    async fn piece(&mut self) -> Result<Bytes, ModelError> {
        let wait_ms = match self.decoder.finished() {
            Some(_) => self.settings.ending_timeout_ms,
            None => self.settings.idle_timeout_ms,
        };
        let wait = Duration::from_millis(wait_ms);
        let piece = tokio::time::timeout(wait, self.bytes.next())
            .await
            .map_err(|_| ModelError::Timeout { wait: Wait::Idle })?
            .ok_or(ModelError::Interrupted)??;
        match self.bytes_left.checked_sub(piece.len()) {
            Some(left) => self.bytes_left = left,
            None => {
                return Err(ModelError::AnswerTooLarge {
                    bytes_max: self.settings.stream_bytes_max,
                });
            }
        }
        Ok(piece)
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), ModelError> {
        let parsed = self.parser.push(piece, &mut self.parsed);
        while let Some(event) = self.parsed.pop_front() {
            self.decoder.take(&event, &self.keys, &mut self.ready)?;
            if matches!(self.ready.back(), Some(ModelEvent::Done(_))) {
                // Whatever a server sends after its end mark is of no interest.
                return Ok(());
            }
        }
        parsed.map_err(|error| ModelError::protocol(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::anthropic::MessageOrder;

    const REPLY: &str = concat!(
        "event: message_start\n",
        "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1}}}\n\n",
        "event: content_block_start\n",
        "data: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,",
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"Hé 界\"}}\n\n",
    );
    const TAIL: &str = concat!(
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
    );

    async fn read<S>(reply: S, settings: Settings) -> (String, Result<bool, &'static str>)
    where
        S: futures_util::Stream<Item = Result<Bytes, ModelError>> + Send + 'static,
    {
        let mut events = events(reply.boxed(), MessageOrder::new(), vec![], settings);
        let (mut text, mut done) = (String::new(), false);
        while let Some(event) = events.next().await {
            match event {
                Ok(ModelEvent::Delta(delta)) => text.push_str(&delta),
                Ok(ModelEvent::Usage(_)) => {}
                Ok(ModelEvent::Done(_)) => done = true,
                Err(error) => {
                    assert!(events.next().await.is_none(), "nothing follows an error");
                    return (text, Err(error.code()));
                }
            }
        }
        (text, Ok(done))
    }

    fn pieces(bytes: &[u8], size: usize) -> Vec<Result<Bytes, ModelError>> {
        bytes
            .chunks(size)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect()
    }

    #[tokio::test]
    async fn reply_is_the_same_in_pieces_of_any_size() {
        let whole = [REPLY, TAIL, "data: garbage after the end\n\n"].concat();
        for size in 1..=whole.len() {
            let reply = stream::iter(pieces(whole.as_bytes(), size));
            let expected = ("Hé 界".to_owned(), Ok(true));
            assert_eq!(read(reply, Settings::default()).await, expected);
        }
    }

    #[tokio::test]
    async fn reply_without_its_end_is_interrupted() {
        let reply = stream::iter(pieces(REPLY.as_bytes(), 9));
        let (text, end) = read(reply, Settings::default()).await;
        assert_eq!((text.as_str(), end), ("Hé 界", Err("model_interrupted")));
    }

    #[tokio::test]
    async fn text_before_a_fault_in_the_same_piece_is_kept() {
        let whole = format!("{REPLY}data: {{\"type\":\"message_stop\"}}\n\n");
        let reply = stream::iter(pieces(whole.as_bytes(), whole.len()));
        let (text, end) = read(reply, Settings::default()).await;
        assert_eq!((text.as_str(), end), ("Hé 界", Err("model_protocol")));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_in_the_middle_is_a_timeout() {
        let begun = tokio::time::Instant::now();
        let reply = stream::iter(pieces(REPLY.as_bytes(), 50)).chain(stream::pending());
        let (text, end) = read(reply, Settings::default()).await;
        assert_eq!((text.as_str(), end), ("Hé 界", Err("model_timeout")));
        assert_eq!(begun.elapsed().as_secs(), 45);
    }

    #[tokio::test]
    async fn sizes_are_bounded() {
        let endless = || stream::repeat_with(|| Ok(Bytes::from_static(b": keep going\n")));
        let (_, end) = read(endless(), Settings::default()).await;
        assert_eq!(end, Err("model_answer_too_large"));
        let no_newline = stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; 4096])));
        let (_, end) = read(no_newline, Settings::default()).await;
        assert_eq!(end, Err("model_protocol"));
    }
}
