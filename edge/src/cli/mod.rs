//! The command line.

mod checkpoint;
mod client;
mod devices;
mod doctor;
mod forget;
mod keys;
mod log;
mod orphans;
mod output;
mod peers;
mod restore;
mod rows;
mod workspace;

use crate::exit::{Exit, Failure};
use crate::follow;
use crate::redact::redact;
use crate::serve::{self, Served};
use crate::settings::{self, Flags, Settings};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

/// A personal AI assistant behind an event-sourced gateway.
#[derive(Parser)]
#[command(name = "moltbot", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    command: Option<Verb>,
}

const HOME: &str =
    "Everything the gateway keeps on this machine [env: MOLTBOT_HOME] [default: ~/.moltbot]";
const PORT: &str = "Port to listen on [env: MOLTBOT_PORT] [default: 18789]";
const BIND: &str = "Address to listen on; anything but loopback needs a token, \
    MOLTBOT_GATEWAY_TOKEN [env: MOLTBOT_BIND] [default: 127.0.0.1]";

/// Where the gateway is.
#[derive(Args, Clone, Default)]
struct ServeArgs {
    #[arg(long, global = true, value_name = "DIR", help = HOME)]
    home: Option<PathBuf>,
    #[arg(long, global = true, help = PORT)]
    port: Option<u16>,
    #[arg(long, global = true, value_name = "IP", help = BIND)]
    bind: Option<IpAddr>,
    /// Take the log over from another gateway; that one stops
    #[arg(long)]
    takeover: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the gateway (what `moltbot` alone does)
    Serve(Takeover),
    /// Serve a read-only copy of the log that another gateway writes, and stay close behind it
    Follow,
    /// Let browsers and apps in, and out, on a gateway that runs on this machine
    #[command(subcommand)]
    Devices(devices::Verb),
    /// Let people on chat platforms talk to the assistant, and block them
    #[command(subcommand)]
    Peers(peers::Verb),
    /// Make unreadable for ever what was said, on a gateway that runs on this machine
    Forget(forget::Forget),
    /// Look at the keys that seal what was said
    #[command(subcommand)]
    Keys(keys::Verb),
    /// Look at the log
    #[command(subcommand)]
    Log(log::Verb),
    /// Rebuild the log from its replica on trial, or fork it as it was at any moment
    Restore(restore::Args),
    /// The assistant's files: record changes, list, restore elsewhere
    #[command(subcommand)]
    Workspace(workspace::Verb),
    /// Check configuration, disk, replica and model, and say what to do
    Doctor,
}

#[derive(Args)]
struct Takeover {
    /// Take the log over from another gateway; that one stops
    #[arg(long)]
    takeover: bool,
}

/// Runs the command line; returns the exit code.
pub fn run() -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap prints them to standard output.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage as i32
            } else {
                Exit::Clean as i32
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::new(Exit::Disk, format!("cannot start: {error}"))),
    };
    let outcome = runtime.block_on(dispatch(cli));
    // Nothing that matters is under way any more; a stuck request must not hold the exit up.
    runtime.shutdown_background();
    match outcome {
        Ok(Served::Ended) => Exit::Clean as i32,
        Ok(Served::Restart) => restart(),
        Err(failure) => fail(&failure),
    }
}

async fn dispatch(cli: Cli) -> Result<Served, Failure> {
    let takeover = cli.serve.takeover || matches!(&cli.command, Some(Verb::Serve(s)) if s.takeover);
    let flags = Flags {
        home: cli.serve.home,
        bind: cli.serve.bind,
        port: cli.serve.port,
        takeover,
        serve: matches!(&cli.command, None | Some(Verb::Serve(_) | Verb::Follow)),
    };
    let settings = Settings::read(&flags, &settings::process_env)?;
    match cli.command {
        None | Some(Verb::Serve(_)) => return serve::serve(settings).await,
        Some(Verb::Follow) => return follow::follow(settings).await,
        Some(Verb::Devices(verb)) => devices::run(&settings, verb).await?,
        Some(Verb::Peers(verb)) => peers::run(&settings, verb).await?,
        Some(Verb::Forget(forget)) => forget::run(&settings, forget).await?,
        Some(Verb::Keys(verb)) => keys::run(&settings, verb).await?,
        Some(Verb::Log(verb)) => log::run(&settings, verb).await?,
        Some(Verb::Restore(args)) => restore::run(&settings, args).await?,
        Some(Verb::Workspace(verb)) => workspace::run(&settings, verb).await?,
        Some(Verb::Doctor) => Box::pin(doctor::run(&settings)).await?,
    }
    Ok(Served::Ended)
}

/// Replaces this process by a fresh one with the same arguments and environment. A takeover is
/// not repeated: the log is ours by now.
fn restart() -> i32 {
    use std::os::unix::process::CommandExt;
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            return fail(&Failure::new(
                Exit::Disk,
                format!("cannot restart: {error}"),
            ));
        }
    };
    let arguments = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--takeover");
    let error = std::process::Command::new(program).args(arguments).exec();
    fail(&Failure::new(
        Exit::Disk,
        format!("cannot restart: {error}"),
    ))
}

#[expect(
    clippy::print_stderr,
    reason = "this is where the command line speaks to a person"
)]
fn fail(failure: &Failure) -> i32 {
    // Whoever closed the pipe has seen enough, which needs no words.
    if !failure.message.is_empty() {
        eprintln!("moltbot: {}", redact(&failure.message));
    }
    failure.exit as i32
}

/// Prints a line of an answer.
fn say(line: impl std::fmt::Display) {
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints something to know beside an answer that may go into a file or another program.
fn say_aside(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
