//! moto, an S3 server that shares no code with the other one. Python's package index has it.

use super::s3::{BUCKET, free_port};
use super::support::PATIENCE;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How to get it.
const INSTALL: &str = "python3 -m venv target/moto-venv && \
     target/moto-venv/bin/pip install 'moto[server]==5.2.5'";

/// The server; ends when dropped.
pub struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    /// Starts it with one bucket; `None` where it is not installed, which CI does not accept.
    pub async fn start() -> Option<Moto> {
        let Some(program) = program() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no moto_server; run: {INSTALL}"
            );
            println!("skipped: no moto_server; to run this test: {INSTALL}");
            return None;
        };
        let port = free_port();
        let mut command = Command::new(program);
        command
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null());
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Moto { child, port };
        moto.create_bucket().await;
        Some(moto)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Tries until it answers.
    async fn create_bucket(&self) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match http.put(format!("{}/{BUCKET}", self.url())).send().await {
                Ok(answer) => return assert!(answer.status().is_success(), "{answer:?}"),
                Err(error) => assert!(Instant::now() < deadline, "moto_server: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let installed = workspace.join("target/moto-venv/bin/moto_server");
    let given = std::env::var_os("MOTO_SERVER").map(PathBuf::from);
    given
        .into_iter()
        .chain([installed])
        .find(|program| program.exists())
}
