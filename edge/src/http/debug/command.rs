//! `/debug/cli`: a few commands of our own command line that only read.
//!
//! Invariant: what is run is one of the lines of a table, word for word, as a child process of this
//! very program; never a shell, never an argument from outside. One at a time, in bounded time.

use super::answer_with;
use crate::gateway::Gateway;
use crate::http::context::Context;
use crate::http::reply::Response;
use crate::limits::{DEBUG_COMMAND_TIMEOUT_MS, DEBUG_OUTPUT_BYTES_MAX};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use warp::http::StatusCode;

/// The commands, as they are asked for.
const COMMANDS: [&str; 8] = [
    "moltbot --help",
    "moltbot --version",
    "moltbot devices --help",
    "moltbot devices list",
    "moltbot devices list --json",
    "moltbot log stats",
    "moltbot log verify",
    "moltbot restore --dry-run",
];
/// How often it is looked whether a command has ended.
const LOOK_MS: u64 = 20;

// Each reads the whole log into the memory of a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub(super) async fn answer(gateway: &Gateway, context: &Context) -> Response {
    let asked = context.query("cmd");
    let asked = asked.as_deref().unwrap_or("moltbot --help").trim();
    let Some(command) = COMMANDS.into_iter().find(|command| *command == asked) else {
        let body = json!({ "error": "this command cannot be run here", "commands": COMMANDS });
        return answer_with(StatusCode::BAD_REQUEST, &body);
    };
    let Ok(_one) = ONE_AT_A_TIME.try_lock() else {
        let body = json!({ "error": "another command is running; try again in a moment" });
        return answer_with(StatusCode::CONFLICT, &body);
    };
    let listen = gateway.settings.listen;
    let home = gateway.settings.home.clone();
    let run = move || {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(command.split(' ').skip(1));
        // This gateway, wherever the environment says another one would be.
        child.arg("--home").arg(home);
        child.args(["--bind", &listen.ip().to_string()]);
        child.args(["--port", &listen.port().to_string()]);
        run(child)
    };
    let ran = tokio::task::spawn_blocking(run).await;
    let (status, body) = match ran {
        Ok(Ok(ran)) => (StatusCode::OK, ran.shown(command)),
        Ok(Err(error)) => failed(command, &error.to_string()),
        Err(_) => failed(command, "the command could not be watched"),
    };
    answer_with(status, &body)
}

fn failed(command: &str, error: &str) -> (StatusCode, Value) {
    let body = json!({ "command": command, "status": "error", "error": error });
    (StatusCode::INTERNAL_SERVER_ERROR, body)
}

/// A command that has ended; without a status it was ended.
struct Ran {
    status: Option<ExitStatus>,
    out: String,
    error: String,
}

impl Ran {
    fn shown(&self, command: &str) -> Value {
        let status = match self.status {
            None => "timeout",
            Some(status) if status.success() => "completed",
            Some(_) => "failed",
        };
        json!({
            "command": command,
            "status": status,
            "exitCode": self.status.and_then(|status| status.code()),
            "stdout": self.out,
            "stderr": self.error,
        })
    }
}

fn run(mut command: Command) -> io::Result<Ran> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().map(read);
    let error = child.stderr.take().map(read);
    let deadline = Instant::now() + Duration::from_millis(DEBUG_COMMAND_TIMEOUT_MS);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    };
    Ok(Ran {
        status,
        out: text(out),
        error: text(error),
    })
}

/// Reads a pipe to its end, so that nobody waits at a full one, and keeps the beginning.
fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let bound = DEBUG_OUTPUT_BYTES_MAX as u64;
        // What came before an error is all there is.
        let _ = pipe.by_ref().take(bound).read_to_end(&mut kept);
        let _ = io::copy(&mut pipe, &mut io::sink());
        kept
    })
}

fn text(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
