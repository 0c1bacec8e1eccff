//! The binary `moltbot`.

fn main() -> std::process::ExitCode {
    // Before anything that may use TLS: none of the client libraries chooses a provider itself.
    // Only a second installation fails, and there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    moltbot_edge::telemetry::start();
    let code = moltbot_edge::cli::run();
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(1))
}
