//! The rules of the house that no compiler checks: who depends on whom, who reads the environment,
//! what a file looks like.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of code of a file, comments and its own tests not counted.
const CODE_LINES_MAX: usize = 500;
/// The crates, by folder.
const CRATES: [&str; 6] = ["core", "store", "agent", "channels", "edge", "benches"];

/// A source file below some crate's `src`.
struct Source {
    /// Its path from the root, with slashes.
    path: String,
    text: String,
}

impl Source {
    fn is_tests(&self) -> bool {
        let in_tests = ["/tests.rs", "/tests/", "/testing/", "/testing.rs"];
        in_tests.iter().any(|part| self.path.contains(part))
    }

    /// What comes before its unit tests, without comments and empty lines.
    fn code(&self) -> impl Iterator<Item = &str> {
        let code = self.text.lines().map(str::trim);
        code.take_while(|line| *line != "#[cfg(test)]")
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
    }

    /// Where the code has one of these words: path and line.
    fn places<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        let has = |line: &&str| words.iter().any(|word| line.contains(word));
        self.code()
            .filter(has)
            .map(|line| format!("{}: {line}", self.path))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// All source files, sorted.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for name in CRATES {
        collect(&root().join(name).join("src"), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| Source {
        path: path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .replace('\\', "/"),
        text: std::fs::read_to_string(path).unwrap(),
    };
    let sources: Vec<Source> = paths.into_iter().map(read).collect();
    assert!(sources.len() > 50, "where are the sources?");
    sources
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Fails with every offence, one per line.
fn nothing(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}

/// What each crate depends on outside its tests: crate folder and names.
fn dependencies() -> Vec<(String, BTreeSet<String>)> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_package = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().file_name().unwrap();
        let is_normal = |dependency: &&Value| dependency["kind"].is_null();
        let name = |dependency: &Value| dependency["name"].as_str().unwrap().to_owned();
        let all = package["dependencies"].as_array().unwrap();
        (
            folder.to_str().unwrap().to_owned(),
            all.iter().filter(is_normal).map(name).collect(),
        )
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(of_package)
        .collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let dependencies = dependencies();
    let folders: BTreeSet<&str> = dependencies
        .iter()
        .map(|(folder, _)| folder.as_str())
        .collect();
    assert_eq!(folders, BTreeSet::from(CRATES));
    for (folder, names) in &dependencies {
        let allowed: &[&str] = match folder.as_str() {
            "core" => &[],
            "store" | "agent" | "channels" => &["moltbot-core"],
            "edge" => &[
                "moltbot-core",
                "moltbot-store",
                "moltbot-agent",
                "moltbot-channels",
            ],
            _ => continue,
        };
        let ours = names.iter().filter(|name| name.starts_with("moltbot-"));
        let wrong: Vec<String> = ours
            .filter(|n| !allowed.contains(&n.as_str()))
            .cloned()
            .collect();
        nothing(
            &wrong,
            &format!("{folder} depends on what it must not know"),
        );
    }
}

#[test]
fn the_core_knows_no_runtime_no_disk_and_no_network_and_only_the_edge_serves() {
    let pure = [
        "bincode",
        "blake3",
        "chacha20poly1305",
        "crc32c",
        "serde",
        "serde_json",
        "thiserror",
    ];
    let serving = [
        "warp",
        "hyper",
        "hyper-util",
        "tokio-tungstenite",
        "clap",
        "rust-embed",
    ];
    for (folder, names) in dependencies() {
        let wrong = |name: &&String| match folder.as_str() {
            "core" => !pure.contains(&name.as_str()),
            "edge" | "benches" => false,
            _ => serving.contains(&name.as_str()),
        };
        let wrong: Vec<String> = names.iter().filter(wrong).cloned().collect();
        nothing(
            &wrong,
            &format!("{folder} depends on what it must not know"),
        );
    }
    let impure = [
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "SystemTime",
        "Instant",
        "HashMap",
        "HashSet",
        "async fn",
        ".await",
    ];
    let sources = sources();
    let core = sources
        .iter()
        .filter(|s| s.path.starts_with("core/") && !s.is_tests());
    let offences: Vec<String> = core.flat_map(|source| source.places(&impure)).collect();
    nothing(&offences, "the core is pure");
}

#[test]
fn the_environment_the_clock_and_randomness_are_each_read_in_one_place() {
    let table: [(&[&str], &[&str]); 3] = [
        (
            &["env::var", "from_env(", "from_default_env"],
            &["edge/src/settings.rs"],
        ),
        (
            &["SystemTime::now"],
            &["edge/src/stamp.rs", "store/src/ship_task.rs"],
        ),
        (
            &["SystemRandom", "rand::", "getrandom"],
            &["edge/src/stamp.rs"],
        ),
    ];
    for (words, places) in table {
        let sources = sources();
        let others = sources
            .iter()
            .filter(|s| !s.is_tests() && !places.contains(&s.path.as_str()));
        let offences: Vec<String> = others.flat_map(|source| source.places(words)).collect();
        nothing(&offences, &format!("{words:?} only in {places:?}"));
    }
}

#[test]
fn nothing_ends_the_process_in_the_middle_and_nothing_is_left_to_do() {
    // Spelled apart, so that this file does not find itself.
    let words = ["process::exit", "process::abort", "todo!", "unimplemented!"];
    let (fix, todo) = (["FIX", "ME"].concat(), ["TO", "DO"].concat());
    let sources = sources();
    let mut offences: Vec<String> = sources.iter().flat_map(|s| s.places(&words)).collect();
    for source in &sources {
        let marked = source
            .text
            .lines()
            .filter(|line| line.contains(&fix) || line.contains(&todo));
        offences.extend(marked.map(|line| format!("{}: {}", source.path, line.trim())));
    }
    nothing(&offences, "return a failure, finish the work");
}

#[test]
fn every_module_says_what_it_is() {
    let silent = |source: &&Source| !source.is_tests() && !source.text.starts_with("//! ");
    let silent: Vec<String> = sources()
        .iter()
        .filter(silent)
        .map(|source| source.path.clone())
        .collect();
    nothing(&silent, "these do not begin with `//!`");
}

#[test]
fn files_are_named_for_what_they_hold_and_short_enough_to_read() {
    let mut offences = Vec::new();
    for source in sources() {
        let name = source.path.rsplit('/').next().unwrap();
        let nameless = [
            "util.rs",
            "utils.rs",
            "helpers.rs",
            "common.rs",
            "manager.rs",
            "misc.rs",
        ];
        if nameless.contains(&name) {
            offences.push(format!("{}: this could hold anything", source.path));
        }
        let lines = source.code().count();
        if lines > CODE_LINES_MAX {
            offences.push(format!("{}: {lines} lines of code", source.path));
        }
    }
    nothing(&offences, "files");
}

#[test]
fn the_architecture_names_only_files_that_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap_or_default();
    let mut missing = Vec::new();
    for quoted in text.split('`').skip(1).step_by(2) {
        let begins = CRATES
            .iter()
            .any(|name| quoted.starts_with(&format!("{name}/")));
        let is_path = !quoted.contains(['<', '*', '{', ' ', '…']);
        if begins && is_path && !root().join(quoted).exists() {
            missing.push(quoted.to_owned());
        }
    }
    nothing(&missing, "ARCHITECTURE.md names what does not exist");
}
