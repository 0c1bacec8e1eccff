//! What was forgotten where the log is written is forgotten in every copy of it.

use super::support::client::{ALL, text};
use super::{Shared, reaches, until};
use serde_json::json;
use std::path::Path;

/// The files below a folder that hold these bytes.
fn holders(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut files = Vec::new();
    super::collect(folder, &mut files);
    let holds = |(path, _): &(String, u64)| {
        let content = std::fs::read(path).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    };
    let held = files.into_iter().filter(holds);
    held.map(|(path, _)| path).collect()
}

#[tokio::test]
async fn a_copy_forgets_when_the_log_does_whether_it_runs_or_not() {
    let mut shared = Shared::new();
    let (home, running, sleeping) = (shared.home(), shared.home(), shared.home());
    let (writer, mut client) = shared.writer(&home).await;
    client.chat("other", "echo stays", "r2").await;
    let seq = writer.shipped().await;
    let follower = running.follow();
    let mut asleep = sleeping.follow();
    reaches(&asleep, seq).await;
    asleep.kill();
    reaches(&follower, seq).await;
    let mut reader = shared.device.connect(&follower, &ALL).await.unwrap();
    assert_eq!(text(&reader.history("main").await[1]), "first");

    // The keys that are about to go, as they are stored.
    let keys = shared.dir.path().join("keys");
    let stored = |file: &str| std::fs::read(keys.join(file)).unwrap();
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&keys).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let before: Vec<(String, Vec<u8>)> = names()
        .into_iter()
        .map(|n| (n.clone(), stored(&n)))
        .collect();
    // Form, key, checksum: 32 bytes in the middle are the key itself.
    let held = |key: &[u8], home: &Path| holders(&home.join("follower"), &key[2..34]);
    for (_, key) in &before {
        assert!(
            !held(key, running.path()).is_empty(),
            "a copy has the keys it needs"
        );
    }
    let forget = json!({ "sessionKey": "main" });
    let answer = client.request("content.forget", forget).await.unwrap();
    assert_eq!(answer["deleted"], true, "{answer}");
    let gone: Vec<&Vec<u8>> = before
        .iter()
        .filter(|(name, _)| !names().contains(name))
        .map(|(_, bytes)| bytes)
        .collect();
    assert!(!gone.is_empty(), "nothing was deleted");

    let seq = writer.shipped().await;
    reaches(&follower, seq).await;
    let asleep = sleeping.follow();
    for (copy, home) in [(&follower, &running), (&asleep, &sleeping)] {
        reaches(copy, seq).await;
        let mut reader = shared.device.connect(copy, &ALL).await.unwrap();
        let asked = json!({ "sessionKey": "main" });
        let forgotten = |history: &serde_json::Value| {
            let lines = history["messages"].as_array().unwrap();
            lines
                .iter()
                .all(|line| line["__openclaw"]["forgotten"].is_object())
        };
        until(&mut reader, "chat.history", asked, forgotten).await;
        assert_eq!(text(&reader.history("other").await[1]), "stays");
        for key in &gone {
            assert_eq!(held(key, home.path()), Vec::<String>::new());
        }
    }
}
