//! Log lines: to standard error, so that what a command prints can be piped.

use crate::log_ring;
use crate::settings;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

/// Starts logging. `MOLTBOT_LOG` chooses what is shown, as `moltbot_edge=debug`. Colours are for
/// terminals only: a container's log collector would store them as rubbish.
pub fn start() {
    let wanted = settings::process_env("MOLTBOT_LOG");
    let filter = wanted.and_then(|text| EnvFilter::try_new(text).ok());
    let filter = filter.unwrap_or_else(|| {
        EnvFilter::new("warn,moltbot_edge=info,moltbot_store=info,moltbot_agent=info")
    });
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr.and(log_ring::writer))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    // Only a second call fails, and then the first one's choice stands.
    let _ = started;
}
