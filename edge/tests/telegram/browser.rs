//! Somebody writes on Telegram, an operator lets him in with a real browser, and he gets his answer:
//! once with the strict server, once with an emulator that others wrote.

use super::{Story, TOKEN, li};
use crate::support::{Gateway, Home};
use moltbot_channels::testing::emulator::Emulator;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Lets the one who waits in; what the admin page says of him. `None` without a browser.
fn approve(home: &Home, gateway: &Gateway) -> Option<String> {
    let chromium = ["/usr/bin/chromium", "/usr/bin/google-chrome"];
    if !chromium.iter().any(|path| Path::new(path).exists()) {
        assert!(std::env::var_os("CI").is_none(), "no Chromium");
        return None;
    }
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    if !ui.join("node_modules/playwright-core").exists() {
        let mut install = Command::new("npm");
        install
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&ui);
        assert!(install.status().unwrap().success());
    }
    let port = gateway.port().to_string();
    let (code, link, error) = home.run(&["devices", "link", "--port", &port]);
    assert_eq!(code, 0, "{error}");
    let output = Command::new("node")
        .arg("e2e/approve.mjs")
        .env("MOLTBOT_LINK", link.trim())
        .current_dir(&ui)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}{}", gateway.log());
    Some(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approved_in_a_browser_a_stranger_gets_an_answer() {
    let story = Story::begin("pairing").await;
    story.telegram.say(&li(), "May I?");
    let sent = story.sent(1).await;
    let Some(row) = approve(&story.home, &story.gateway) else {
        return;
    };
    assert!(row.contains("May I?") && row.contains("Li"), "{row}");
    let code = row
        .split_whitespace()
        .find(|word| sent[0].text().contains(&word.replace('-', "")));
    assert!(code.is_some(), "the page shows the code he was told: {row}");
    story.sent(2).await;
    story.telegram.say(&li(), "echo thank you");
    story.reads("thank you").await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_through_an_emulator_of_others() {
    let Some(emulator) = Emulator::start_or_skip(TOKEN) else {
        return;
    };
    let home = Home::new()
        .with("TELEGRAM_BOT_TOKEN", TOKEN)
        .with("TELEGRAM_API_URL", emulator.url().as_str());
    let gateway = home.start();
    emulator.say(7, "May I?").await;
    shows(&emulator, &gateway, "Pairing code").await;
    if approve(&home, &gateway).is_none() {
        return;
    }
    shows(&emulator, &gateway, "You can talk to me").await;
    emulator.say(7, "echo thank you").await;
    let shown = shows(&emulator, &gateway, "thank you").await;
    assert_eq!(shown.len(), 3, "{shown:?}");
}

/// Waits until the last message of the bot says this.
async fn shows(emulator: &Emulator, gateway: &Gateway, text: &str) -> Vec<Value> {
    let deadline = Instant::now() + crate::support::PATIENCE;
    loop {
        let shown = emulator.shown().await;
        let last = shown.last().and_then(|message| message["text"].as_str());
        if last.is_some_and(|last| last.contains(text)) {
            return shown;
        }
        assert!(Instant::now() < deadline, "{shown:?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
