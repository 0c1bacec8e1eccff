//! `telegram-test-api`, an emulator of Telegram's Bot API that others wrote: what we believe of the
//! API is not only what our own server believes. See <https://www.npmjs.com/package/telegram-test-api>.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use telegram_http::Client;
use url::Url;

/// The running emulator; it ends with this value.
#[derive(Debug)]
pub struct Emulator {
    url: Url,
    token: String,
    process: Child,
    client: Client,
}

impl Emulator {
    /// The emulator for the bot with this token. Without Node.js, or where the emulator cannot be
    /// installed, there is none, which is said; in CI that is a failure.
    ///
    /// # Panics
    /// In CI, when there is none.
    pub fn start_or_skip(token: &str) -> Option<Emulator> {
        match Emulator::start(token) {
            Ok(emulator) => Some(emulator),
            Err(why) => {
                let is_ci = std::env::var_os("CI").is_some();
                assert!(!is_ci, "CI needs the emulator: {why}");
                eprintln!("skipped, there is no emulator: {why}");
                None
            }
        }
    }

    fn start(token: &str) -> Result<Emulator, String> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/telegram-test-api");
        if !folder.join("node_modules").is_dir() {
            let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
            let npm = Command::new("npm")
                .args(install)
                .current_dir(&folder)
                .output();
            let output = npm.map_err(|error| format!("npm: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("npm ci: {said}"));
            }
        }
        let mut process = Command::new("node")
            .arg("start.js")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node: {error}"))?;
        let mut said = String::new();
        if let Some(stdout) = process.stdout.take() {
            let read = BufReader::new(stdout).read_line(&mut said);
            read.map_err(|error| format!("node: {error}"))?;
        }
        let url = said.trim().parse();
        Ok(Emulator {
            url: url.map_err(|_| format!("no address in `{said}`"))?,
            token: token.to_owned(),
            process,
            client: Client::new(),
        })
    }

    /// Where it is.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The answer to a request that it takes from people; `null` when there is none.
    async fn ask(&self, path: &str, body: &Value) -> Value {
        let Ok(url) = self.url.join(path) else {
            return Value::Null;
        };
        match self.client.post(url).json(body).send().await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// The person with this id writes to the bot directly.
    pub async fn say(&self, person: i64, text: &str) {
        let from = json!({"id": person, "first_name": "Li", "username": "li", "is_bot": false});
        let chat = json!({"id": person, "first_name": "Li", "type": "private"});
        let date = 1_700_000_000;
        let message =
            json!({"botToken": self.token, "from": from, "chat": chat, "date": date, "text": text});
        self.ask("sendMessage", &message).await;
    }

    /// What the bot's messages say now, with their parameters.
    pub async fn shown(&self) -> Vec<Value> {
        let history = self
            .ask("getUpdatesHistory", &json!({"token": self.token}))
            .await;
        let history = history
            .pointer("/result")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let messages = history
            .into_iter()
            .filter_map(|mut update| update.get_mut("message").map(Value::take));
        messages
            .filter(|message| message.get("chat_id").is_some_and(Value::is_i64))
            .collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
