//! The real binary on a home of its own, and a client that speaks the gateway protocol.
//!
//! Every test starts its own gateway on a free port of the loopback and sends it nothing but what
//! a real client would.

#![allow(dead_code, reason = "each test file uses its part of this")]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

pub mod client;
pub mod connect;
pub mod http;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long anything may take before a test gives up; generous, because machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A home that is removed at the end, and the environment of gateways in it.
pub struct Home {
    /// The directory.
    pub dir: tempfile::TempDir,
    /// Variables for the gateway.
    pub env: Vec<(String, String)>,
}

impl Home {
    /// An empty home.
    pub fn new() -> Home {
        // Only the first test of a process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Home {
            dir: tempfile::tempdir().unwrap(),
            env: Vec::new(),
        }
    }

    /// The same home with another variable.
    pub fn with(mut self, name: &str, value: &str) -> Home {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The local log.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The gateway token.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.path().join("token"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// The default remote.
    pub fn replica(&self) -> PathBuf {
        self.path().join("replica")
    }

    /// Removes the local log, as a container that vanishes does.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.data()).unwrap();
    }

    /// The binary with this home and nothing else of our environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moltbot"));
        command
            .args(arguments)
            .env_clear()
            .env("MOLTBOT_HOME", self.path())
            // Tests read what people read; the other format has its own test.
            .env("MOLTBOT_LOG_FORMAT", "text");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end: exit code, standard output, standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = read_all(child.stdout.take().unwrap());
        let error = read_all(child.stderr.take().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{arguments:?} does not end: {}", error.join().unwrap());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let code = child.wait().unwrap().code().unwrap_or(-1);
        (code, out.join().unwrap(), error.join().unwrap())
    }

    /// Starts a gateway and waits until it is ready.
    pub fn start(&self) -> Gateway {
        self.start_with(&[])
    }

    /// Starts a gateway with more arguments and waits until it is ready.
    pub fn start_with(&self, arguments: &[&str]) -> Gateway {
        let gateway = self.launch(arguments);
        gateway.wait_for_log("ready ");
        gateway
    }

    /// Starts a gateway and waits for nothing.
    pub fn launch(&self, arguments: &[&str]) -> Gateway {
        self.launch_on(0, arguments)
    }

    /// Starts a gateway on a port (0: any) and waits for nothing.
    pub fn launch_on(&self, port: u16, arguments: &[&str]) -> Gateway {
        let port = port.to_string();
        self.spawn(&[&["serve", "--port", &port], arguments].concat())
    }

    /// Starts a follower and waits for nothing.
    pub fn launch_follower(&self) -> Gateway {
        self.spawn(&["follow", "--port", "0"])
    }

    /// Starts a follower and waits until it can be read.
    pub fn follow(&self) -> Gateway {
        let follower = self.launch_follower();
        follower.wait_for_log("ready to read ");
        follower
    }

    fn spawn(&self, arguments: &[&str]) -> Gateway {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Gateway {
            child,
            log,
            token_file: self.path().join("token"),
            token: self.env_token(),
        }
    }

    fn env_token(&self) -> Option<String> {
        let token = self
            .env
            .iter()
            .find(|(name, _)| name == "MOLTBOT_GATEWAY_TOKEN");
        token.map(|(_, value)| value.clone())
    }
}

/// Reads a pipe to its end beside what else happens.
fn read_all(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A gateway process. Killed when dropped.
pub struct Gateway {
    child: Child,
    log: Arc<Mutex<String>>,
    token_file: PathBuf,
    token: Option<String>,
}

impl Gateway {
    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line with this text was logged; returns the line.
    pub fn wait_for_log(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "no `{text}` in the log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        let line = self.wait_for_log("listening ");
        let digits = line.rsplit(':').next().unwrap_or_default();
        let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .unwrap_or_else(|_| panic!("no port in `{line}`"))
    }

    /// Its address.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port())
    }

    /// Asks for a path without credentials: status code and JSON; `None` when nobody answers.
    pub async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).await.ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((
            head.split(' ').nth(1)?.parse().ok()?,
            serde_json::from_str(body).ok()?,
        ))
    }

    /// Where it is, as `/status` says; `None` when nobody answers.
    pub async fn status(&self) -> Option<Value> {
        self.get("/status").await.map(|(_, status)| status)
    }

    /// Waits until `/status` fits.
    pub async fn status_where(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status().await;
            if let Some(status) = status.as_ref().filter(|status| fits(status)) {
                return status.clone();
            }
            assert!(
                Instant::now() < deadline,
                "still {status:?}; its log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until everything it recorded so far is in the remote log; the last seq.
    pub async fn shipped(&self) -> u64 {
        let is_shipped =
            |status: &Value| status["shippedSeq"].as_u64() == status["headSeq"].as_u64();
        let is_ready = |status: &Value| status["ok"] == true && is_shipped(status);
        self.status_where(is_ready).await["headSeq"]
            .as_u64()
            .unwrap()
    }

    /// The gateway token.
    pub fn token(&self) -> String {
        self.token.clone().unwrap_or_else(|| {
            std::fs::read_to_string(&self.token_file)
                .unwrap()
                .trim()
                .to_owned()
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as the system's last resort does: no handler runs.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a container runtime does.
    pub fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end; its log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
