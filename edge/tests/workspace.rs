//! The workspace comes back byte by byte, whatever happened; nothing outside it is ever touched.
//!
//! `WORKSPACE_FILES` (default 1,000) and `WORKSPACE_LARGE_MB` (default 20) say how large it is; the
//! full run is 10,000 files and 100 MB.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]
#![allow(clippy::print_stdout, reason = "what it found is worth reading")]

#[path = "support/s3.rs"]
mod s3;
mod support;
#[path = "workspace/tree.rs"]
mod tree;

use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Gateway, Home};
use tree::{look, plant, same, write};

/// Memory of a gateway that moves a large file; its own size, and a few chunks.
const MEMORY_KIB_MAX: u64 = 300 * 1024;

fn workspace(home: &Home) -> PathBuf {
    home.path().join("workspace")
}

/// Everything but the remote is gone, as with a new machine.
fn vanish(home: &Home) {
    for name in ["data", "blobs", "workspace"] {
        let _ = fs::remove_dir_all(home.path().join(name));
    }
    let _ = fs::remove_file(home.path().join("workspace.base"));
}

/// Runs a command against the gateway; what it says.
fn run(home: &Home, gateway: &Gateway, arguments: &[&str]) -> String {
    let port = gateway.port().to_string();
    let arguments = [arguments, &["--port", &port]].concat();
    // A large workspace takes longer than a test's patience for one command.
    let out = home.command(&arguments).output().unwrap();
    let (said, error) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{arguments:?}: {said}{error}");
    said
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn record(home: &Home, gateway: &Gateway) -> String {
    run(home, gateway, &["workspace", "record"])
}

fn status(home: &Home, gateway: &Gateway) -> Value {
    let said = run(home, gateway, &["workspace", "status", "--json"]);
    serde_json::from_str(&said).unwrap()
}

/// Waits until the workspace was restored; how that ended.
fn restored(home: &Home, gateway: &Gateway) -> Value {
    gateway.wait_for_log("ready ");
    let deadline = Instant::now() + Duration::from_mins(10);
    loop {
        let status = status(home, gateway);
        if status["state"] == "idle" && !status["lastRestore"].is_null() {
            return status["lastRestore"].clone();
        }
        assert!(Instant::now() < deadline, "still {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until everything recorded so far is in the remote log, however long it takes.
fn shipped(home: &Home, gateway: &Gateway) {
    let deadline = Instant::now() + Duration::from_mins(10);
    while status(home, gateway)["waiting"]["blobs"] != 0 {
        assert!(Instant::now() < deadline, "blobs still wait");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number of the environment.
fn size(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn memory_kib_max(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn bucket(server: &S3Server) -> Home {
    Home::new()
        .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/w"))
        .with("AWS_ENDPOINT_URL_S3", &server.url())
        .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
}

#[tokio::test]
async fn a_whole_workspace_comes_back_from_a_bucket_byte_by_byte() {
    let mut server = S3Server::new();
    server.start();
    let home = bucket(&server);
    let files = size("WORKSPACE_FILES", 1_000) as usize;
    let large_bytes = size("WORKSPACE_LARGE_MB", 20) << 20;
    plant(&workspace(&home), files, large_bytes);
    let expected = look(&workspace(&home));

    let mut gateway = home.start();
    let began = Instant::now();
    let said = record(&home, &gateway);
    assert!(
        said.starts_with(&format!("recorded: {} changes", expected.len())),
        "{said}"
    );
    let recorded = began.elapsed();
    assert!(record(&home, &gateway).starts_with("recorded: 0 changes"));
    shipped(&home, &gateway);
    gateway.shipped().await;
    let uploaded = began.elapsed();
    let memory = memory_kib_max(&gateway);
    gateway.kill();
    let bytes = |folder: &Path| -> Vec<u8> {
        let files = fs::read_dir(folder).unwrap();
        files
            .flat_map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect()
    };
    let log = bytes(&server.path().join(BUCKET).join("w/log"));
    assert!(!contains(&log, b"file-1.txt"), "a path is in the log");

    vanish(&home);
    let began = Instant::now();
    let mut gateway = home.start();
    let report = restored(&home, &gateway);
    assert_eq!(report["problemCount"], 0, "{report}");
    assert_eq!(report["restored"].as_u64(), Some(expected.len() as u64));
    same(&expected, &look(&workspace(&home)));
    println!(
        "{} entries, {large_bytes} bytes in one: recorded in {recorded:?}, uploaded after {uploaded:?}, \
         restored in {:?}; at most {memory} KiB and {} KiB of memory",
        expected.len(),
        began.elapsed(),
        memory_kib_max(&gateway)
    );
    assert!(memory.max(memory_kib_max(&gateway)) < MEMORY_KIB_MAX);
    assert!(record(&home, &gateway).starts_with("recorded: 0 changes"));
    gateway.kill();

    // The same without a gateway, from the bucket alone.
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("copy");
    let arguments = ["workspace", "restore", "--to", to.to_str().unwrap()];
    let out = home.command(&arguments).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    same(&expected, &look(&to));
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn killed_while_it_records_it_goes_on_and_nothing_named_is_missing() {
    let home = Home::new();
    let root = workspace(&home);
    let mut gateway = home.start();
    for round in 0..6_u64 {
        for n in 0..300 {
            let content = format!("{round} {n}").repeat(200);
            write(
                &root,
                &format!("{round}/{}/{n}", n % 10),
                content.as_bytes(),
                0o644,
            );
        }
        let port = gateway.port().to_string();
        let arguments = ["workspace", "record", "--port", &port];
        let mut recording = home.command(&arguments).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(40 + 60 * round)).await;
        gateway.kill();
        recording.wait().unwrap();
        gateway = home.start();
        assert_eq!(restored(&home, &gateway)["problemCount"], 0);
        // What is named is there, as the remote has it.
        gateway.shipped().await;
        let elsewhere = tempfile::tempdir().unwrap();
        let (code, said, error) = home.run(&[
            "workspace",
            "restore",
            "--to",
            elsewhere.path().to_str().unwrap(),
        ]);
        assert_eq!(code, 0, "{said}{error}");
    }
    let expected = look(&root);
    record(&home, &gateway);
    assert_eq!(
        status(&home, &gateway)["count"].as_u64(),
        Some(expected.len() as u64)
    );
    gateway.shipped().await;
    gateway.kill();
    vanish(&home);
    let gateway = home.start();
    assert_eq!(restored(&home, &gateway)["problemCount"], 0);
    same(&expected, &look(&root));
    assert_eq!(status(&home, &gateway)["waiting"]["blobs"], 0);
}

#[tokio::test]
async fn what_was_changed_while_it_was_away_is_neither_undone_nor_lost() {
    let home = Home::new();
    let root = workspace(&home);
    for name in ["kept", "changed", "deleted", "folder/inside"] {
        write(&root, name, name.as_bytes(), 0o644);
    }
    let mut gateway = home.start();
    record(&home, &gateway);
    gateway.kill();

    write(&root, "changed", b"by hand", 0o600);
    write(&root, "new", b"new", 0o644);
    fs::remove_file(root.join("deleted")).unwrap();
    let by_hand = look(&root);
    gateway = home.start();
    let report = restored(&home, &gateway);
    assert_eq!(
        (&report["restored"], &report["left"]),
        (&0.into(), &3.into()),
        "{report}"
    );
    same(&by_hand, &look(&root));
    assert!(record(&home, &gateway).starts_with("recorded: 3 changes"));
    gateway.shipped().await;
    gateway.kill();

    // A workspace that is gone as a whole was not deleted file by file.
    fs::remove_dir_all(&root).unwrap();
    gateway = home.start();
    restored(&home, &gateway);
    same(&by_hand, &look(&root));
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    assert!(record(&home, &gateway).starts_with("recorded: 0 changes"));
    gateway.kill();
    gateway = home.start();
    restored(&home, &gateway);
    same(&by_hand, &look(&root));
    gateway.kill();

    // Only the log is gone: what was deleted stays deleted, and is recorded as such.
    fs::remove_file(root.join("new")).unwrap();
    home.wipe();
    gateway = home.start();
    restored(&home, &gateway);
    assert!(!root.join("new").exists());
    assert!(record(&home, &gateway).starts_with("recorded: 1 changes"));
}

#[tokio::test]
async fn two_versions_that_nobody_agreed_on_are_both_kept() {
    let home = Home::new();
    let root = workspace(&home);
    write(&root, "note", b"from the log", 0o644);
    write(&root, "place", b"a file", 0o644);
    let mut gateway = home.start();
    record(&home, &gateway);
    gateway.shipped().await;
    gateway.kill();
    // Another machine with a workspace of its own.
    vanish(&home);
    write(&root, "note", b"from the image", 0o644);
    write(&root, "place/inside", b"inside", 0o644);
    write(&root, "own", b"own", 0o644);
    gateway = home.start();
    let report = restored(&home, &gateway);
    assert_eq!(report["conflictCount"], 2, "{report}");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(
        (read("note").as_str(), read("place").as_str()),
        ("from the log", "a file")
    );
    assert_eq!(read("own"), "own");
    let all = look(&root);
    let copies: Vec<&String> = all
        .keys()
        .filter(|path| path.contains(".conflict-"))
        .collect();
    assert_eq!(copies.len(), 3, "{copies:?}");
    let note = copies
        .iter()
        .find(|path| path.starts_with("note."))
        .unwrap();
    assert_eq!(read(note), "from the image");
    record(&home, &gateway);
    assert_eq!(
        status(&home, &gateway)["count"].as_u64(),
        Some(look(&root).len() as u64)
    );
    // The same again changes nothing any more.
    gateway.shipped().await;
    gateway.kill();
    vanish(&home);
    write(&root, "note", b"from the image", 0o644);
    gateway = home.start();
    restored(&home, &gateway);
    same(&all, &look(&root));
}

#[tokio::test]
async fn a_link_leads_nothing_out_of_the_workspace() {
    let home = Home::new();
    let root = workspace(&home);
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret", b"of somebody else", 0o644);
    write(&root, "folder/file", b"inside", 0o644);
    write(&root, "folder/secret", b"inside", 0o644);
    write(&root, "single", b"inside", 0o644);
    let mut gateway = home.start();
    record(&home, &gateway);
    gateway.shipped().await;
    gateway.kill();
    let outside_before = look(outside.path());

    vanish(&home);
    fs::create_dir(&root).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.join("folder")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), root.join("single")).unwrap();
    gateway = home.start();
    let report = restored(&home, &gateway);
    same(&outside_before, &look(outside.path()));
    assert_eq!(report["problemCount"], 0, "{report}");
    assert_eq!(fs::read(root.join("folder/secret")).unwrap(), b"inside");
    assert!(!root.join("folder").is_symlink() && !root.join("single").is_symlink());
    // Links are recorded as links: what they lead to is not read.
    record(&home, &gateway);
    let listed = run(&home, &gateway, &["workspace", "list"]);
    assert_eq!(listed.matches("120777").count(), 2, "{listed}");
    assert!(
        !listed.contains("conflict-") || !listed.contains("/secret.conflict"),
        "{listed}"
    );
}

#[tokio::test]
async fn a_content_that_is_lost_or_damaged_is_named_and_holds_nothing_up() {
    let home = Home::new();
    let root = workspace(&home);
    write(&root, "a", b"first", 0o644);
    let mut gateway = home.start();
    record(&home, &gateway);
    gateway.shipped().await;
    let blobs = home.replica().join("blob");
    let first = fs::read_dir(&blobs)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    for n in 0..20 {
        write(
            &root,
            &format!("other/{n}"),
            format!("{n}").as_bytes(),
            0o644,
        );
    }
    record(&home, &gateway);
    gateway.shipped().await;
    gateway.kill();
    let whole = fs::read(&first).unwrap();
    let name = first.file_name().unwrap().to_str().unwrap().to_owned();
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    for damage in [None, Some(damaged), Some(whole[..20].to_vec())] {
        fs::remove_file(&first).unwrap();
        if let Some(damage) = damage {
            fs::write(&first, damage).unwrap();
        } else {
            fs::create_dir_all(&blobs).unwrap();
        }
        vanish(&home);
        gateway = home.start();
        let report = restored(&home, &gateway);
        assert_eq!(report["problemCount"], 1, "{report}");
        assert_eq!(report["problems"][0]["path"], "a");
        let reason = report["problems"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(&name), "{reason}");
        assert!(!root.join("a").exists() && root.join("other/19").exists());
        assert!(!gateway.log().contains("other/"), "a name is in the log");
        // What is missing here was not deleted here.
        assert!(record(&home, &gateway).starts_with("recorded: 0 changes"));
        gateway.shipped().await;
        gateway.kill();
        fs::write(&first, &whole).unwrap();
    }
    // Put back, it comes at the next start.
    gateway = home.start();
    assert_eq!(restored(&home, &gateway)["restored"], 1);
    assert_eq!(fs::read(root.join("a")).unwrap(), b"first");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_said_by_name() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    let root = workspace(&home);
    write(&root, "fine", b"fine", 0o644);
    let odd = root.join(std::ffi::OsStr::from_bytes(b"latin-\xe9"));
    fs::write(&odd, b"odd").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let gateway = home.start();
    let said = record(&home, &gateway);
    assert!(said.starts_with("recorded: 1 changes"), "{said}");
    assert!(
        said.contains("latin-") && said.contains("not UTF-8"),
        "{said}"
    );
    assert!(said.contains("socket: it is no file"), "{said}");
    assert!(!gateway.log().contains("latin-"), "a name is in the log");
}
