//! Log lines: to standard error, so that what a command prints can be piped.
//!
//! On a terminal they are text for people, else one JSON object per line for collectors.
//!
//! Invariant: every line, and every panic, passes [`redact()`] on its way out: there is no other
//! sink.

use crate::log_ring::LogRing;
use crate::redact::{self, redact};
use crate::settings;
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging. `MOLTBOT_LOG` chooses what is shown, as `moltbot_edge=debug`;
/// `MOLTBOT_LOG_FORMAT` chooses `json` or `text`. Colours are for terminals only: a container's log
/// collector would store them as rubbish.
pub fn start() {
    let secrets = settings::process_secrets();
    redact::register(secrets.iter().map(String::as_str));
    let wanted = settings::process_env("MOLTBOT_LOG");
    let filter = wanted.and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| {
        EnvFilter::new("warn,moltbot_edge=info,moltbot_store=info,moltbot_agent=info")
    });
    let is_terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Sink)
        .with_target(false);
    let is_json = match settings::process_env("MOLTBOT_LOG_FORMAT").as_deref() {
        Some("json") => true,
        Some("text") => false,
        _ => !is_terminal,
    };
    let started = if is_json {
        let lines = lines.json().flatten_event(true);
        lines
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    } else {
        lines.with_ansi(is_terminal).try_init()
    };
    // Only a second call fails, and then the first one's choice stands.
    let _ = started;
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let said = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        let said = said.or_else(|| payload.downcast_ref::<String>().cloned());
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        tracing::error!(place, thread, "panic: {}", said.unwrap_or_default());
    }));
}

/// Where lines go. The formatter hands over one whole line at a time.
struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let safe = redact(&text);
        LogRing.write_all(safe.as_bytes())?;
        std::io::stderr().lock().write_all(safe.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        Sink
    }
}
