//! Everywhere something could still be: files, objects opened with every key there is, answers.

use super::support::client::Client;
use super::support::{Gateway, Home};
use moltbot_core::chain::Cursor;
use moltbot_core::content::Opened;
use moltbot_core::ids::{KeyId, Seq};
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::log::EventLog;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaOptions};
use moltbot_store::settings::StoreSettings;
use moltbot_store::{restore, snapshot};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A data key as it lies in a directory, plain or wrapped.
pub(crate) struct Stored {
    pub(crate) id: KeyId,
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    /// The key itself, of one that is plain.
    pub(crate) fn secret(&self) -> &[u8] {
        assert_eq!(self.bytes[..2], [1, 0], "it is plain");
        &self.bytes[2..34]
    }
}

/// All keys in the `keys` folder of a remote log.
pub(crate) fn keys(replica: &Path) -> Vec<Stored> {
    let mut all = Vec::new();
    for path in files(&replica.join("keys")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // The server of these tests keeps notes beside its objects.
        if !name.starts_with('.') {
            let bytes = std::fs::read(&path).unwrap();
            let id = name.into();
            all.push(Stored { id, bytes });
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

/// All files below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The files below a directory that hold these bytes.
pub(crate) fn holding(directory: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        // A file may be gone by now.
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    files(directory).into_iter().filter(holds).collect()
}

/// Every text in a remote log that any of its keys opens, and how many none does.
pub(crate) async fn readable(replica: &Path) -> (Vec<String>, usize) {
    let url = url::Url::from_directory_path(replica).unwrap();
    let replica = Replica::open(url.as_str(), &ReplicaOptions::default()).unwrap();
    let settings = StoreSettings::default();
    let mut log = MemoryLog::default();
    let restored = restore::restore(&replica, &mut log, &settings, &mut |_, _| {}).await;
    assert!(restored.unwrap() > 0);
    let keyring = Keyring::in_memory(MasterKeys::default());
    keyring.load_remote(&replica, &settings).await.unwrap();
    let (mut texts, mut closed) = (Vec::new(), 0);
    for record in log.reader().read(Seq(1), usize::MAX).unwrap() {
        for content in record.event().unwrap().contents() {
            match content.open(keyring.get(content.key()).as_ref()) {
                Opened::Text(text) => texts.push(text),
                Opened::Forgotten => closed += 1,
                Opened::Damaged => panic!("#{} is damaged", record.seq),
            }
        }
    }
    // What a snapshot holds is packed: it is looked at unpacked.
    for seq in snapshot::list(&replica).await.unwrap() {
        let (snapshot, _) = snapshot::get(&replica, seq).await.unwrap().unwrap();
        for section in snapshot.sections {
            texts.push(String::from_utf8_lossy(&section.bytes).into_owned());
        }
    }
    (texts, closed)
}

/// The export, line by line.
pub(crate) fn export(home: &Home) -> Vec<Value> {
    let (code, out, error) = home.run(&["log", "export"]);
    assert_eq!(code, 0, "{error}");
    let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// The keys of a scope that begins like this, in the order in which they were made.
pub(crate) fn keys_of(home: &Home, scope: &str) -> Vec<KeyId> {
    let made = export(home).into_iter().filter(|line| {
        let is_of = line["data"]["scope"]
            .as_str()
            .is_some_and(|s| s.starts_with(scope));
        line["kind"] == "data_key_created" && is_of
    });
    made.map(|line| line["data"]["key"].as_str().unwrap().into())
        .collect()
}

/// The records of a kind.
pub(crate) fn of_kind(home: &Home, kind: &str) -> Vec<Value> {
    let mut lines = export(home);
    lines.retain(|line| line["kind"] == kind);
    lines
}

/// All that the protocol says about what was said: lists, transcripts, the log from its beginning.
pub(crate) async fn told(client: &mut Client, sessions: &[&str]) -> String {
    let mut told = String::new();
    for (method, params) in [
        ("sessions.list", json!({})),
        ("device.pair.list", json!({})),
        ("peer.list", json!({})),
        ("status", json!({})),
        ("config.get", json!({})),
    ] {
        told.push_str(&client.request(method, params).await.unwrap().to_string());
    }
    for key in sessions {
        told.push_str(&Value::from(client.history(key).await).to_string());
    }
    let from = json!({ "from": Cursor::START });
    let head = client.request("log.subscribe", from).await.unwrap()["head"]["seq"].clone();
    loop {
        let page = client.event("log").await;
        told.push_str(&page.to_string());
        let last = page["records"].as_array().unwrap().last();
        if last.is_some_and(|record| record["seq"].as_u64() >= head.as_u64()) {
            return told;
        }
    }
}

/// All that HTTP says.
pub(crate) async fn shown(gateway: &Gateway) -> String {
    let mut shown = String::new();
    for path in [
        "/debug/version",
        "/debug/processes?logs=true",
        "/debug/logs",
        "/debug/env",
        "/debug/container-config",
        "/debug/cli?cmd=moltbot%20log%20stats",
        "/api/admin/devices",
        "/api/admin/storage",
        "/metrics",
    ] {
        let bearer = format!("Bearer {}", gateway.token());
        let headers = [("authorization", bearer.as_str())];
        let answer = gateway.http("GET", path, &headers, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        shown.push_str(&answer.body.to_string());
    }
    shown
}
