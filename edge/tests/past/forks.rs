//! Forks and imports: logs of their own, on which a gateway starts.

use super::story::{look, play};
use super::support::Home;
use super::support::client::ALL;
use super::{json, refused, rows, run, told};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// A home on the log in this place.
fn home_on(place: &str) -> Home {
    Home::new().with("MOLTBOT_REPLICA_URL", place)
}

/// The last seq of a whole command at or before this one.
fn whole_before(rows: &[Value], seq: usize) -> usize {
    let continues = |next: &Value, last: &Value| {
        let is_same = next["at"] == last["at"] && next["actor"] == last["actor"];
        is_same
            && !next["cause"].is_null()
            && (next["cause"] == last["seq"] || next["cause"] == last["cause"])
    };
    let mut last = seq;
    while last > 0 && last < rows.len() && continues(&rows[last], &rows[last - 1]) {
        last -= 1;
    }
    last
}

#[tokio::test]
async fn a_fork_is_the_log_as_it_was_and_starts_as_its_own() {
    let home = told().await;
    let rows = rows(&home);
    let places = tempfile::tempdir().unwrap();
    for seq in [1, rows.len() / 3, rows.len() / 2, rows.len()] {
        let place = url(&places.path().join(format!("fork-{seq}")));
        let whole = whole_before(&rows, seq);
        let at = seq.to_string();
        let (code, out, error) = home.run(&["restore", "--at", &at, "--to", &place]);
        assert_eq!(code, 0, "{error}");
        assert!(out.starts_with(&format!("forked: {whole} events")), "{out}");
        assert_eq!(
            out.contains("in the middle of a command"),
            whole < seq,
            "{out}"
        );
        let fork = home_on(&place);
        let state = run(&fork, &["log", "state"]);
        let original = run(&home, &["log", "state", "--at", &whole.to_string()]);
        assert_eq!(state, original);
        refused(
            &home,
            &["restore", "--at", &at, "--to", &place],
            3,
            "is not empty",
        );
        let gateway = fork.start();
        let status = gateway.status().await.unwrap();
        let epoch = json(&state)["state"]["storage"]["epoch"].as_u64().unwrap();
        assert_eq!(status["epoch"], epoch + 1);
        gateway.shipped().await;
        run(&fork, &["log", "verify"]);
    }
    // The original is as it was.
    assert_eq!(super::rows(&home), rows);
}

#[tokio::test]
async fn a_fork_of_now_goes_on_with_everything_that_was_said() {
    let home = Home::new();
    let (mut gateway, story) = play(&home).await;
    let places = tempfile::tempdir().unwrap();
    let place = url(places.path());
    // Beside the running gateway, which is not disturbed.
    let (code, _, error) = home.run(&["restore", "--to", &place]);
    assert_eq!(code, 0, "{error}");
    gateway.kill();
    let fork = home_on(&place).with("MOLTBOT_GATEWAY_TOKEN", &home.token());
    let forked = fork.start();
    let mut client = story.operator.connect(&forked, &ALL).await.unwrap();
    assert_eq!(look(&mut client).await, story.seen);
    let status = forked.status().await.unwrap();
    assert_eq!(status["epoch"], story.epoch + 1);
}

#[tokio::test]
async fn a_fork_goes_nowhere_near_its_original_and_leaves_nothing_when_it_fails() {
    let home = told().await;
    let original = url(&home.replica());
    refused(
        &home,
        &["restore", "--to", &original],
        3,
        "outside of its original",
    );
    let inside = url(&home.replica().join("fork"));
    refused(
        &home,
        &["restore", "--to", &inside],
        3,
        "outside of its original",
    );
    let around = url(home.path());
    refused(
        &home,
        &["restore", "--to", &around],
        3,
        "outside of its original",
    );
    refused(
        &home,
        &["restore", "--to", "nowhere"],
        2,
        "`nowhere` is no URL",
    );
    refused(
        &home,
        &["restore", "--to", "ftp://x/y"],
        3,
        "the scheme `ftp`",
    );
    refused(
        &home,
        &["restore", "--to", &around, "--dry-run"],
        2,
        "--dry-run",
    );

    // A data key that is gone: no gateway would start on the fork.
    let keys = std::fs::read_dir(home.replica().join("keys")).unwrap();
    for key in keys {
        std::fs::remove_file(key.unwrap().path()).unwrap();
    }
    let places = tempfile::tempdir().unwrap();
    refused(
        &home,
        &["restore", "--to", &url(places.path())],
        3,
        "the data key `keys/",
    );
    let mut left = Vec::new();
    files(places.path(), &mut left);
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

fn files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

#[tokio::test]
async fn a_trial_restore_of_a_moment_counts_what_was_there_then() {
    let home = told().await;
    let out = run(&home, &["restore", "--dry-run", "--at", "1"]);
    assert!(
        out.starts_with("restorable: 1 events, 0 conversations, 0 devices"),
        "{out}"
    );
    let out = run(&home, &["restore", "--dry-run"]);
    assert!(out.contains("2 conversations, 2 devices"), "{out}");
}

#[tokio::test]
async fn an_exported_log_is_imported_with_its_keys_and_goes_on() {
    let secret = "a-master-key-of-many-words";
    for master in [None, Some(secret)] {
        let home = match master {
            Some(secret) => Home::new().with("MOLTBOT_MASTER_KEY", secret),
            None => Home::new(),
        };
        let (mut gateway, story) = play(&home).await;
        gateway.kill();
        let places = tempfile::tempdir().unwrap();
        let place = url(&places.path().join("imported"));
        let (file, keys) = (
            places.path().join("log.jsonl"),
            places.path().join("keys.jsonl"),
        );
        let (file, keys) = (file.to_str().unwrap(), keys.to_str().unwrap());
        let (code, _, error) = home.run(&["log", "export", "-o", file, "--keys", keys]);
        assert_eq!(code, 0, "{error}");
        assert_eq!(error.contains("in the clear"), master.is_none(), "{error}");
        let mode = std::fs::metadata(keys).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let header = std::fs::read_to_string(keys).unwrap();
        assert_eq!(
            json(header.lines().next().unwrap())["wrapped"],
            master.is_some()
        );
        refused(
            &home,
            &["log", "export", "-o", file, "--keys", keys],
            3,
            "is there already",
        );

        let other = Home::new();
        let import = ["log", "import", file, "--to", &place];
        refused(&other, &import, 3, "data keys of this log are missing");
        let import = [&import[..], &["--keys", keys]].concat();
        if master.is_some() {
            refused(&other, &import, 3, "MOLTBOT_MASTER_KEY");
        }
        let (code, out, error) = home.run(&import);
        assert_eq!((code, error.as_str()), (0, ""), "{out}");
        assert!(out.contains(&story.head), "{out}");
        refused(&home, &import, 3, "is not empty");

        let mut imported = home_on(&place).with("MOLTBOT_GATEWAY_TOKEN", &home.token());
        if let Some(secret) = master {
            imported = imported.with("MOLTBOT_MASTER_KEY", secret);
        }
        let out = run(&imported, &["log", "verify"]);
        assert!(out.contains(&format!("head:  {}", story.head)), "{out}");
        let again = imported.start();
        let mut client = story.operator.connect(&again, &ALL).await.unwrap();
        assert_eq!(look(&mut client).await, story.seen);
    }
}

#[tokio::test]
async fn only_a_whole_and_undamaged_log_is_imported_and_nothing_is_written_otherwise() {
    let home = told().await;
    let places = tempfile::tempdir().unwrap();
    let target = places.path().join("target");
    let place = url(&target);
    let (file, keys) = (
        places.path().join("log.jsonl"),
        places.path().join("keys.jsonl"),
    );
    let (name, keys) = (file.to_str().unwrap(), keys.to_str().unwrap());
    let (code, _, error) = home.run(&["log", "export", "-o", name, "--keys", keys]);
    assert_eq!(code, 0, "{error}");
    let import = ["log", "import", name, "--to", &place, "--keys", keys];
    let whole = std::fs::read_to_string(&file).unwrap();
    let cut: String = whole.split_inclusive('\n').take(9).collect();
    std::fs::write(&file, cut).unwrap();
    refused(
        &home,
        &import,
        4,
        "record #9 (line 10) is damaged: the file ends here",
    );
    for part in [&["--from", "2"][..], &["--kind", "writer_started"]] {
        run(&home, &[&["log", "export", "-o", name], part].concat());
        refused(&home, &import, 3, "is a part of a log");
    }
    assert!(!target.exists(), "nothing was written");
    let text = std::fs::read_to_string(keys).unwrap();
    std::fs::write(keys, text.replacen("\"object\":\"A", "\"object\":\"B", 1)).unwrap();
    refused(&home, &import, 4, "line 2 of the key file is damaged");
}
