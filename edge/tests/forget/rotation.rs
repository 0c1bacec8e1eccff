//! Another master key, and processes that are killed while it comes into use.

use super::places::{Stored, holding, keys, of_kind};
use super::s3::{BUCKET, Fault, S3Server};
use super::support::client::{ALL, text};
use super::support::{Gateway, Home};
use super::{KEPT, enter, home_on, talk};

const OLDER: &str = "canary-older-master-key-81f3";
const NEWER: &str = "canary-newer-master-key-c04e";
const CURRENT: &str = "MOLTBOT_MASTER_KEY";
const PREVIOUS: &str = "MOLTBOT_MASTER_KEY_PREVIOUS";

/// The same home with these master keys.
fn masters(mut home: Home, current: Option<&str>, previous: Option<&str>) -> Home {
    home.env
        .retain(|(name, _)| name != CURRENT && name != PREVIOUS);
    for (name, value) in [(CURRENT, current), (PREVIOUS, previous)] {
        if let Some(value) = value {
            home = home.with(name, value);
        }
    }
    home
}

/// A start that must fail: its sentence.
fn refuses(home: &Home) -> String {
    let mut gateway = home.launch(&[]);
    let code = gateway.wait().code();
    let sentence = gateway.wait_for_log("moltbot: ");
    assert_eq!(code, Some(3), "{}", gateway.log());
    sentence
}

fn stop(mut gateway: Gateway) {
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    let log = gateway.log();
    assert!(!log.contains(OLDER) && !log.contains(NEWER), "{log}");
}

/// How many keys are wrapped.
fn wrapped(stored: &[Stored]) -> usize {
    stored.iter().filter(|key| key.bytes[1] == 1).count()
}

#[tokio::test]
async fn plain_keys_are_wrapped_by_the_first_master_key_and_a_wrong_one_is_said_in_words() {
    let mut server = S3Server::new();
    server.start();
    let remote = server.path().join(BUCKET).join("p");
    let mut home = home_on(&server);
    let gateway = home.start();
    let (_, mut client) = enter(&gateway).await;
    talk(&mut client, &gateway).await;
    stop(gateway);
    let plain = keys(&remote);
    assert_eq!(wrapped(&plain), 0);
    for key in &plain {
        assert!(!holding(&home.data(), key.secret()).is_empty());
    }
    home = masters(home, Some(OLDER), None);
    let (_, out, _) = home.run(&["doctor"]);
    assert!(
        out.contains("the next start of the gateway does that"),
        "{out}"
    );
    let gateway = home.start();
    gateway.shipped().await;
    stop(gateway);
    assert_eq!(wrapped(&keys(&remote)), plain.len());
    for key in &plain {
        for place in [server.path(), home.path()] {
            let found = holding(place, key.secret());
            assert!(found.is_empty(), "it lies plain in {found:?}");
        }
    }
    let rotated = of_kind(&home, "master_key_rotated");
    assert_eq!(rotated.len(), 1);
    assert_eq!(rotated[0]["data"]["keys"], plain.len());

    let table = [
        (
            Some(NEWER),
            None,
            "set MOLTBOT_MASTER_KEY_PREVIOUS to that one",
        ),
        (Some(NEWER), Some("x"), "neither MOLTBOT_MASTER_KEY nor"),
        (None, None, "set MOLTBOT_MASTER_KEY to it"),
        (None, Some(OLDER), "MOLTBOT_MASTER_KEY is not"),
    ];
    for (current, previous, words) in table {
        home = masters(home, current, previous);
        let sentence = refuses(&home);
        assert!(sentence.contains(words), "no `{words}` in: {sentence}");
    }
    home = masters(home, Some(NEWER), None);
    let (code, out, _) = home.run(&["doctor"]);
    assert!(
        code == 3 && out.contains("a master key that is not known here"),
        "{out}"
    );
}

#[tokio::test]
async fn a_change_cut_off_in_the_middle_is_finished_and_the_older_master_key_is_not_needed() {
    let mut server = S3Server::new();
    server.start();
    let remote = server.path().join(BUCKET).join("p");
    let mut home = masters(home_on(&server), Some(OLDER), None);
    let gateway = home.start();
    let (device, mut client) = enter(&gateway).await;
    talk(&mut client, &gateway).await;
    // So many keys that the names of some end with an even digit and of some with an odd one.
    for number in 0..8 {
        let (key, run) = (format!("s{number}"), format!("s{number}"));
        client.chat(&key, "echo more", &run).await;
    }
    gateway.shipped().await;
    stop(gateway);
    let older = keys(&remote);
    assert_eq!(wrapped(&older), older.len());

    home = masters(home, Some(NEWER), Some(OLDER));
    server.change(Some(Fault::OverwritesHalf));
    let mut gateway = home.launch(&[]);
    gateway.wait_for_log("could not overwrite");
    gateway.kill();
    let halfway = keys(&remote);
    let changed = halfway
        .iter()
        .zip(&older)
        .filter(|(a, b)| a.bytes != b.bytes);
    let changed = changed.count();
    assert!(
        0 < changed && changed < older.len(),
        "{changed} of {}",
        older.len()
    );
    server.change(None);
    let (code, out, _) = home.run(&["keys", "status"]);
    assert_eq!(code, 0);
    assert!(out.contains(&format!("current    {changed}")), "{out}");
    assert!(!out.contains("canary"), "{out}");
    let gateway = home.start();
    gateway.shipped().await;
    stop(gateway);
    let newer = keys(&remote);
    assert!(newer.iter().zip(&older).all(|(a, b)| a.bytes != b.bytes));
    for key in &older {
        assert!(holding(server.path(), &key.bytes).is_empty());
        assert!(holding(home.path(), &key.bytes).is_empty());
    }
    let rotated = of_kind(&home, "master_key_rotated");
    assert_eq!(rotated.len(), 1, "{rotated:?}");
    assert!(!rotated[0].to_string().contains("canary"));
    let (_, out, _) = home.run(&["keys", "status"]);
    assert!(
        out.contains("MOLTBOT_MASTER_KEY_PREVIOUS is not needed any more"),
        "{out}"
    );

    // Here, and on a machine that has nothing.
    home = masters(home, Some(NEWER), None);
    for wipe in [false, true] {
        if wipe {
            home.wipe();
        }
        let gateway = home.start();
        let mut client = device.connect(&gateway, &ALL).await.unwrap();
        assert_eq!(text(&client.history("work").await[1]), KEPT);
        gateway.shipped().await;
        stop(gateway);
    }
    assert_eq!(of_kind(&home, "master_key_rotated").len(), 1);
    let (code, out, _) = home.run(&["doctor"]);
    let line = out.lines().find(|line| line.contains("keys ")).unwrap();
    assert!(
        code == 0 && line.starts_with("ok") && line.contains("wrapped by"),
        "{out}"
    );
}

#[tokio::test]
async fn a_process_killed_before_this_disk_has_the_new_form_leaves_that_to_the_next() {
    let home = masters(Home::new(), Some(OLDER), None);
    let gateway = home.start();
    let (device, mut client) = enter(&gateway).await;
    talk(&mut client, &gateway).await;
    stop(gateway);
    let before = std::fs::read(home.data().join("keys")).unwrap();
    let home = masters(home, Some(NEWER), Some(OLDER));
    stop(home.start());
    // The remote log has the new form and says so; the file is as before, and a new one was begun.
    let after = std::fs::read(home.data().join("keys")).unwrap();
    std::fs::write(home.data().join("keys"), &before).unwrap();
    std::fs::write(home.data().join("keys.new"), &after[..after.len() / 2]).unwrap();
    stop(home.start());
    assert_eq!(std::fs::read(home.data().join("keys")).unwrap(), after);
    assert!(!home.data().join("keys.new").exists());
    assert_eq!(of_kind(&home, "master_key_rotated").len(), 1);
    let home = masters(home, Some(NEWER), None);
    let gateway = home.start();
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(text(&client.history("work").await[1]), KEPT);
}
