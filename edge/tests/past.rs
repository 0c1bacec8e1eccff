//! The past of a real gateway: seen, compared, carried through a file, forked, from the command line
//! and by the protocol.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

#[path = "past/forks.rs"]
mod forks;
#[path = "past/protocol.rs"]
mod protocol;
#[path = "support/story.rs"]
mod story;
mod support;

use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use story::play;
use support::Home;

/// Runs a command that must succeed and say nothing on standard error; what it prints.
fn run(home: &Home, arguments: &[&str]) -> String {
    let (code, out, error) = home.run(arguments);
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}");
    out
}

/// Runs a command that must fail with this code and these words.
fn refused(home: &Home, arguments: &[&str], code: i32, words: &str) {
    let (found, out, error) = home.run(arguments);
    assert_eq!((found, out.as_str()), (code, ""), "{arguments:?}: {error}");
    assert!(error.contains(words), "{arguments:?}: {error}");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The rows of an exported log, without its first and last line.
fn rows(home: &Home) -> Vec<Value> {
    let out = run(home, &["log", "export"]);
    let rows: Vec<Value> = out.lines().map(json).collect();
    rows[1..rows.len() - 1].to_vec()
}

/// A home in which a story was played, and that nobody uses any more.
async fn told() -> Home {
    let home = Home::new();
    let (gateway, _) = play(&home).await;
    gateway.terminate();
    let mut gateway = gateway;
    gateway.wait();
    home
}

#[tokio::test]
async fn any_moment_of_a_log_is_shown_by_seq_and_by_time() {
    let home = told().await;
    let rows = rows(&home);
    let first = json(&run(&home, &["log", "state", "--at", "1"]));
    assert_eq!(first["seq"], 1);
    assert_eq!(first["at"], rows[0]["at"]);
    assert_eq!(first["state"]["storage"]["epoch"], 1);
    assert_eq!(first["state"]["sessions"], serde_json::json!({}));

    let out = run(&home, &["log", "state"]);
    let last = json(&out);
    assert_eq!(last["hash"], rows.last().unwrap()["hash"]);
    assert_eq!(last["state"]["config"]["values"]["assistant.name"], "Ada");
    assert_eq!(last["state"]["sessions"].as_object().unwrap().len(), 2);
    assert_eq!(
        out,
        run(&home, &["log", "state", "--at", "now"]),
        "always the same text"
    );
    assert!(!out.contains("Device 1"), "names stay sealed");
    let opened = run(&home, &["log", "state", "--open"]);
    assert!(opened.contains("Device 1") && !opened.contains("\"sealed\""));

    // Before and after the assistant got its name.
    let named = rows
        .iter()
        .find(|row| row["data"]["path"] == "assistant.name")
        .unwrap();
    let seq = named["seq"].as_u64().unwrap();
    let before = (seq - 1).to_string();
    let before = json(&run(&home, &["log", "state", "--at", &before]));
    assert_eq!(
        before["state"]["config"]["values"]["assistant.name"],
        Value::Null
    );
    let at = named["at"].as_str().unwrap();
    let then = json(&run(&home, &["log", "state", "--at", at]));
    assert_eq!(then["state"]["config"]["values"]["assistant.name"], "Ada");
    assert!(then["seq"].as_u64().unwrap() >= seq);
}

#[tokio::test]
async fn a_moment_that_is_none_ends_with_2_and_a_sentence() {
    let home = told().await;
    let head = rows(&home).len();
    let state = |at: &str, words: &str| refused(&home, &["log", "state", "--at", at], 2, words);
    state(
        "1000000",
        &format!("there is no record #1000000; the log ends with #{head}"),
    );
    state("0", "there is no record #0");
    state(
        "2020-01-01",
        "the log begins after 2020-01-01T00:00:00.000Z",
    );
    state("9000d ago", "the log begins after ");
    state("yesterday", "`yesterday` is no moment; give a seq");
    refused(&home, &["log", "diff", "1", "x"], 2, "`x` is no moment");
    refused(
        &home,
        &["restore", "--dry-run", "--at", "99999"],
        2,
        "there is no record #99999",
    );
    refused(
        &home,
        &["log", "export", "--from", "99999"],
        2,
        "there is no record #99999",
    );
    refused(
        &home,
        &["log", "export", "--kind", "messages"],
        2,
        "`messages` is no kind",
    );
    let empty = Home::new();
    std::fs::create_dir_all(empty.replica()).unwrap();
    refused(&empty, &["log", "state"], 2, "the log is empty");
}

#[tokio::test]
async fn a_comparison_says_what_changed_and_which_records_did_it() {
    let home = told().await;
    let rows = rows(&home);
    let named = rows
        .iter()
        .find(|row| row["data"]["path"] == "assistant.name")
        .unwrap();
    let seq = named["seq"].as_u64().unwrap();
    let (before, after) = ((seq - 1).to_string(), seq.to_string());
    let out = run(&home, &["log", "diff", &before, &after]);
    assert!(
        out.contains("config: 1 added, 0 removed, 1 changed"),
        "{out}"
    );
    assert!(out.contains("+ values / assistant.name: \"Ada\""), "{out}");
    assert!(
        out.contains(&format!("#{seq}  ")) && out.contains("config_changed"),
        "{out}"
    );
    let back = run(&home, &["log", "diff", &after, &before]);
    assert!(
        back.contains("- values / assistant.name: \"Ada\""),
        "{back}"
    );
    let whole = json(&run(
        &home,
        &["log", "diff", "1", "now", "--json", "--records", "3"],
    ));
    assert_eq!(whole["records"]["count"], rows.len() - 1);
    assert_eq!(whole["records"]["shown"].as_array().unwrap().len(), 3);
    assert_eq!(whole["records"]["leftOut"], rows.len() - 4);
    assert_eq!(whole["to"]["hash"], rows.last().unwrap()["hash"]);
    let same = run(&home, &["log", "diff", "5", "5"]);
    assert!(
        same.contains("nothing changed") && same.contains("records: 0"),
        "{same}"
    );
}

#[tokio::test]
async fn an_exported_log_is_verified_without_the_replica_and_an_altered_byte_is_named() {
    let home = told().await;
    let file = home.path().join("log.jsonl");
    let name = file.to_str().unwrap();
    let out = run(&home, &["log", "export", "-o", name]);
    assert_eq!(out, format!("exported to {name}\n"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        run(&home, &["log", "export"])
    );
    let elsewhere = Home::new();
    let verified = run(&elsewhere, &["log", "verify", name]);
    let remote = run(&home, &["log", "verify"]);
    let head = |out: &str| {
        out.lines()
            .find(|l| l.starts_with("head:"))
            .unwrap()
            .to_owned()
    };
    assert_eq!(head(&verified), head(&remote));

    let text = std::fs::read_to_string(&file).unwrap();
    let row = text.lines().nth(7).unwrap();
    let altered = text.replace(row, &row.replacen("\"version\":1", "\"version\":2", 1));
    std::fs::write(&file, altered).unwrap();
    let (code, _, error) = elsewhere.run(&["log", "verify", name]);
    assert_eq!(code, 4, "{error}");
    assert!(error.contains("record #7 (line 8) is damaged"), "{error}");
    std::fs::write(&file, "{}\n").unwrap();
    refused(
        &elsewhere,
        &["log", "verify", name],
        3,
        "this is no exported log",
    );
    let missing = elsewhere.path().join("nothing");
    refused(
        &elsewhere,
        &["log", "verify", missing.to_str().unwrap()],
        3,
        "cannot read",
    );
}

#[tokio::test]
async fn an_export_can_be_narrowed_and_opened() {
    let home = told().await;
    let all = rows(&home);
    let count = |arguments: &[&str]| {
        let out = run(&home, &[&["log", "export"], arguments].concat());
        let file = home.path().join("part.jsonl");
        std::fs::write(&file, &out).unwrap();
        run(&home, &["log", "verify", file.to_str().unwrap()]);
        (out.lines().count() - 2, out)
    };
    let of = |fits: &dyn Fn(&Value) -> bool| all.iter().filter(|row| fits(row)).count();
    assert_eq!(count(&["--from", "3", "--to", "9"]).0, 7);
    let at = all[9]["at"].as_str().unwrap();
    let until = of(&|row| row["at"].as_str().unwrap() <= at);
    assert_eq!(count(&["--until", at]).0, until);
    assert_eq!(count(&["--since", at]).0, all.len() - until);
    assert_eq!(count(&["--since", "2020-01-01"]).0, all.len());
    let said = of(&|row| row["kind"] == "message_received");
    let (found, sealed) = count(&["--kind", "message_received"]);
    assert_eq!(found, said);
    let system = of(&|row| row["actor"] == "system");
    assert_eq!(count(&["--actor", "system"]).0, system);
    let in_sessions = of(&|row| row["stream"].as_str().unwrap().starts_with("session/"));
    assert_eq!(count(&["--stream", "session"]).0, in_sessions);
    assert!(!sealed.contains("first words"));
    let (_, opened) = count(&["--kind", "message_received", "--open"]);
    assert!(opened.contains("first words"), "{opened}");
}

#[tokio::test]
async fn whoever_closes_the_pipe_is_left_in_peace() {
    let home = told().await;
    for arguments in [
        &["log", "export"][..],
        &["log", "state"],
        &["log", "diff", "1"],
        &["log", "verify"],
        &["log", "stats"],
    ] {
        let mut command = home.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Nobody reads, from the first byte on.
        drop(child.stdout.take());
        let mut error = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!((code, error.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn the_local_log_is_verified_when_nobody_uses_it() {
    let home = Home::new();
    refused(
        &home,
        &["log", "verify", "--local"],
        3,
        "there is no local log in",
    );
    let (mut gateway, story) = play(&home).await;
    refused(
        &home,
        &["log", "verify", "--local"],
        3,
        "another process uses",
    );
    gateway.kill();
    let out = run(&home, &["log", "verify", "--local"]);
    assert!(
        out.contains("in the local log") && out.contains(&story.head),
        "{out}"
    );
    std::fs::remove_dir_all(home.replica()).unwrap();
    run(&home, &["log", "verify", "--local"]);
    refused(&home, &["log", "verify"], 3, "there is no replica in");
}

#[tokio::test]
async fn a_damaged_local_log_is_named_and_ends_with_4() {
    let home = Home::new();
    let (mut gateway, _) = play(&home).await;
    gateway.kill();
    let database = home.data().join("db");
    let mut bytes = std::fs::read(&database).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (64..used).step_by(97) {
        bytes[at] ^= 0x5a;
    }
    std::fs::write(&database, bytes).unwrap();
    let (code, out, error) = home.run(&["log", "verify", "--local"]);
    assert_eq!((code, out.as_str()), (4, ""), "{error}");
    let said = error.lines().last().unwrap_or_default();
    assert!(
        said.starts_with("moltbot: ") && said.contains("local log"),
        "{error}"
    );
    // The replica is whole, and what is said is about the replica.
    run(&home, &["log", "verify"]);
}
