//! The real binary, as a process.

use moltbot_benches::directory;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whatever goes wrong ends the bench.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The binary that ships, or else the newcomer's.
pub(crate) fn path() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let target = exe.ancestors().find(|folder| folder.ends_with("target"))?;
    let given = std::env::var_os("MOLTBOT_BIN").map(PathBuf::from);
    let found = ["dist", "release"].map(|profile| target.join(profile).join("moltbot"));
    given.into_iter().chain(found).find(|path| path.is_file())
}

/// A running gateway; it and its home go with this.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) home: PathBuf,
    pub(crate) port: u16,
}

impl Gateway {
    /// Starts it on an empty home.
    pub(crate) fn start(
        binary: &Path,
        name: &str,
        env: &[(&str, &str)],
    ) -> Result<Gateway, Failure> {
        let home = directory(name);
        // Free a moment ago; nobody else asks for ports here.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let child = Command::new(binary)
            .args(["serve", "--port", &port.to_string()])
            .env_clear()
            .env("MOLTBOT_HOME", &home)
            .env("MOLTBOT_LOG", "error")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Gateway { child, home, port })
    }

    /// The time until a path answers 200.
    pub(crate) fn wait(&self, path: &str, since: Instant) -> Result<Duration, Failure> {
        use std::io::{Read, Write};
        loop {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                write!(
                    stream,
                    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                )?;
                let mut reply = String::new();
                // A connection that breaks is tried again.
                let _ = stream.read_to_string(&mut reply);
                if reply.starts_with("HTTP/1.1 200") {
                    return Ok(since.elapsed());
                }
            }
            if since.elapsed() > Duration::from_secs(20) {
                return Err(format!("{path} does not answer").into());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Resident memory in MB.
    #[allow(
        dead_code,
        reason = "only one of the benches that share this asks for it"
    )]
    pub(crate) fn resident_mb(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .ok_or("no VmRSS")?;
        let kb: f64 = line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?;
        Ok(kb / 1024.0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
