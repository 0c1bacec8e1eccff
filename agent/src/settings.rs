//! Every bound of this crate, in one place, with its unit in its name.
//!
//! Values only: components (models, keys) are passed to constructors. The defaults suit a small
//! container that serves one person; none of them is unlimited.

/// Bounds of requests, answers, waits and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Characters of earlier conversation that go with a question.
    pub context_chars_max: usize,
    /// Tokens a model may spend on one answer.
    pub answer_tokens_max: u32,
    /// Bytes of answer text after which a run ends as if the model had reached its token limit.
    pub answer_bytes_max: usize,
    /// Longest run, all retries included.
    pub run_timeout_ms: u64,
    /// Longest wait for a connection to the provider, TLS included.
    pub connect_timeout_ms: u64,
    /// Longest wait from sending a request to the head of its reply.
    pub first_byte_timeout_ms: u64,
    /// Longest silence within a reply; the provider sends pings well below it.
    pub idle_timeout_ms: u64,
    /// Longest wait for token counts and the end mark once an answer said that it is finished.
    pub ending_timeout_ms: u64,
    /// Longest wait for the answer to a check of the key.
    pub check_timeout_ms: u64,
    /// Longest line of an event stream.
    pub stream_line_bytes_max: usize,
    /// Longest single event of an event stream.
    pub stream_event_bytes_max: usize,
    /// Longest whole event stream, framing and ignored events included.
    pub stream_bytes_max: usize,
    /// How much of an error reply is read.
    pub error_body_bytes_max: usize,
    /// Tries per run, the first included.
    pub tries_max: u32,
    /// Wait before the second try; it doubles with each further one.
    pub backoff_ms: u64,
    /// Longest wait between two tries that we choose ourselves.
    pub backoff_ms_max: u64,
    /// Longest wait a provider may ask for; a longer one ends the run with its error.
    pub retry_after_ms_max: u64,
    /// Pause of the demo model before each word.
    pub demo_pace_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            context_chars_max: 48_000,
            answer_tokens_max: 4_096,
            answer_bytes_max: 256 * 1024,
            run_timeout_ms: 5 * 60_000,
            connect_timeout_ms: 10_000,
            first_byte_timeout_ms: 60_000,
            idle_timeout_ms: 45_000,
            ending_timeout_ms: 2_000,
            check_timeout_ms: 10_000,
            stream_line_bytes_max: 256 * 1024,
            stream_event_bytes_max: 512 * 1024,
            stream_bytes_max: 8 * 1024 * 1024,
            error_body_bytes_max: 16 * 1024,
            tries_max: 3,
            backoff_ms: 500,
            backoff_ms_max: 8_000,
            retry_after_ms_max: 30_000,
            demo_pace_ms: 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fit_into_each_other() {
        let settings = Settings::default();
        assert!(settings.stream_line_bytes_max <= settings.stream_event_bytes_max);
        assert!(settings.stream_event_bytes_max <= settings.stream_bytes_max);
        assert!(settings.answer_bytes_max <= settings.stream_bytes_max);
        assert!(settings.backoff_ms <= settings.backoff_ms_max);
        assert!(settings.first_byte_timeout_ms < settings.run_timeout_ms);
        assert!(settings.ending_timeout_ms <= settings.idle_timeout_ms);
        assert!(settings.tries_max >= 1);
    }
}
