//! Log lines: to standard error, so that what a command prints can be piped.

use tracing_subscriber::EnvFilter;

/// Starts logging. `MOLTBOT_LOG` chooses what is shown, as `moltbot_edge=debug`.
pub fn start() {
    let filter = EnvFilter::try_from_env("MOLTBOT_LOG").unwrap_or_else(|_| {
        EnvFilter::new("warn,moltbot_edge=info,moltbot_store=info,moltbot_agent=info")
    });
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
    // Only a second call fails, and then the first one's choice stands.
    let _ = started;
}
