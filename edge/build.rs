//! Builds the web UI into `OUT_DIR` and tells the crate where it is (`UI_DIST`).
//!
//! The source tree is never written to, except for `ui/node_modules`, which git ignores.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A change of any of these rebuilds the UI; a change of Rust code alone does not.
const SOURCES: [&str; 6] = [
    "ui/src",
    "ui/index.html",
    "ui/admin.html",
    "ui/package-lock.json",
    "ui/vite.config.ts",
    "ui/compress.mjs",
];

const NO_NODE: &str = "the web UI needs Node.js 20.19 or newer with npm to be built. Install it, or \
     set MOLTBOT_UI_DIST to the folder of a finished UI build, or build without the UI: \
     cargo build --no-default-features";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_UI").is_none() {
        return ExitCode::SUCCESS;
    }
    println!("cargo::rerun-if-env-changed=MOLTBOT_UI_DIST");
    match provide_ui() {
        Ok(dist) => {
            println!("cargo::rustc-env=UI_DIST={}", dist.display());
            ExitCode::SUCCESS
        }
        Err(message) => {
            // Cargo fails on these by itself and then shows nothing but the message.
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::SUCCESS
        }
    }
}

fn provide_ui() -> Result<PathBuf, String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set; run this by cargo")?);
    let dist = out.join("ui");
    if let Some(built) = env::var_os("MOLTBOT_UI_DIST").filter(|value| !value.is_empty()) {
        copy_finished(Path::new(&built), &dist)?;
        return Ok(dist);
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let root = env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?;
    let ui = Path::new(&root).join("ui");
    install(&ui)?;
    build(&ui, &dist, &out.join("ui-cache"))?;
    Ok(dist)
}

/// Somebody built the UI before us: a container stage, an offline builder, an editor's checker.
fn copy_finished(from: &Path, to: &Path) -> Result<(), String> {
    if !from.join("index.html").is_file() {
        return Err(format!(
            "MOLTBOT_UI_DIST is {}, but there is no index.html in it",
            from.display()
        ));
    }
    println!("cargo::rerun-if-changed={}", from.display());
    if to.exists() {
        fs::remove_dir_all(to).map_err(|error| explain("clear", to, &error))?;
    }
    copy_folder(from, to)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| explain("create", to, &error))?;
    let entries = fs::read_dir(from).map_err(|error| explain("read", from, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| explain("read", from, &error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(|error| explain("copy", &source, &error))?;
        }
    }
    Ok(())
}

fn explain(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

/// Runs npm only if what is installed is missing or older than the lock file.
fn install(ui: &Path) -> Result<(), String> {
    let lock = ui.join("package-lock.json");
    if is_fresh(&ui.join("node_modules/.package-lock.json"), &lock) {
        return Ok(());
    }
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    // A developer's test tools stay; everybody else gets only what the build needs.
    if !ui.join("node_modules/vitest").exists() {
        npm.arg("--omit=dev");
    }
    run(npm.current_dir(ui), "npm ci")
}

fn is_fresh(installed: &Path, lock: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    match (changed(installed), changed(lock)) {
        (Ok(installed), Ok(lock)) => installed >= lock,
        _ => false,
    }
}

fn build(ui: &Path, dist: &Path, cache: &Path) -> Result<(), String> {
    let mut vite = Command::new("node");
    vite.arg("node_modules/vite/bin/vite.js")
        .args(["build", "--logLevel", "warn", "--emptyOutDir"])
        // The default loader writes a temporary file beside the sources.
        .args(["--configLoader", "runner"])
        .args([OsStr::new("--outDir"), dist.as_os_str()])
        .env("MOLTBOT_UI_CACHE", cache)
        .env("NODE_ENV", "production")
        .current_dir(ui);
    run(&mut vite, "vite build")?;
    let mut compress = Command::new("node");
    compress.arg("compress.mjs").arg(dist).current_dir(ui);
    run(&mut compress, "compressing the UI")
}

/// What a tool prints is kept from cargo, which would read it, and shown only when it failed.
fn run(command: &mut Command, name: &str) -> Result<(), String> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => NO_NODE.to_owned(),
        _ => format!("{name} could not be started: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!(
        "{name} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&said).trim()
    ))
}
