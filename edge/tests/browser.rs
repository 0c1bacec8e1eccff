//! The web UI in a real browser, talking to the real binary; and its unit tests.
//!
//! What happens in the browser is written in `ui/e2e`. It runs wherever Chromium is; a machine
//! without one skips it with a line that says so, except in CI, where nobody would read the line.

#![cfg(feature = "ui")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

const BROWSERS: [&str; 4] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/snap/bin/chromium",
];

/// Only one of the tests installs what both need.
static INSTALLING: Mutex<()> = Mutex::new(());

fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

/// The build of the binary installs no test tools; whoever runs tests gets them here.
fn install_test_tools() {
    let _one_at_a_time = INSTALLING.lock().expect("the other test installed");
    let tools = ["playwright-core", "axe-core", "vitest"];
    let modules = ui().join("node_modules");
    if tools.iter().any(|tool| !modules.join(tool).exists()) {
        run("npm", &["ci", "--no-audit", "--no-fund"], &[]);
    }
}

/// Runs a tool in the UI folder; what it said is shown only when it failed.
fn run(program: &str, arguments: &[&str], env: &[(&str, &Path)]) {
    let output = Command::new(program)
        .args(arguments)
        .envs(env.iter().copied())
        // A run of node inside a test runner would otherwise report to that one.
        .env_remove("NODE_TEST_CONTEXT")
        .current_dir(ui())
        .output()
        .unwrap_or_else(|error| panic!("cannot start {program}, is Node.js installed? {error}"));
    assert!(
        output.status.success(),
        "{program} {} failed ({}):\n{}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

fn chromium() -> Option<PathBuf> {
    let chosen = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let installed = BROWSERS.iter().map(PathBuf::from);
    chosen
        .or_else(|| installed.into_iter().find(|path| path.exists()))
        .filter(|path| path.exists())
}

#[test]
fn people_use_it_in_a_browser() {
    let Some(chromium) = chromium() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "no Chromium: install the package `chromium`, or point CHROMIUM at a browser"
        );
        eprintln!("skipped, no Chromium: install the package `chromium`, or point CHROMIUM at one");
        return;
    };
    install_test_tools();
    let binary = Path::new(env!("CARGO_BIN_EXE_moltbot"));
    run(
        "npm",
        &["run", "--silent", "e2e"],
        &[("MOLTBOT_BIN", binary), ("CHROMIUM", &chromium)],
    );
}

#[test]
fn parts_of_the_ui_do_what_they_say() {
    install_test_tools();
    run("npm", &["test", "--silent"], &[]);
}
