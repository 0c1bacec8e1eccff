//! A person on a channel is forgotten.

use super::places::{holding, keys, keys_of, told};
use super::support::Home;
use super::{enter, run};
use moltbot_channels::testing::telegram::{Person, Sent, TelegramServer};
use serde_json::json;

const TOKEN: &str = "4711:the-token-of-the-forgotten-person-123456";
const CANARY: &str = "canary-of-a-person-0d93";
const NAME: &str = "Canary Lin";

#[tokio::test]
async fn a_person_is_forgotten_with_name_and_conversation_stays_let_in_and_is_answered() {
    let telegram = TelegramServer::start(TOKEN).await.unwrap();
    let home = Home::new()
        .with("TELEGRAM_BOT_TOKEN", TOKEN)
        .with("TELEGRAM_API_URL", telegram.url().as_str())
        .with("TELEGRAM_DM_POLICY", "open");
    let gateway = home.start();
    let (_, mut client) = enter(&gateway).await;
    let (person, other) = (Person::new(7, NAME), Person::new(8, "Somebody Else"));
    telegram.say(&person, &format!("echo {CANARY}"));
    telegram.say(&other, "echo stays");
    for _ in 0..2 {
        let confirmed = |p: &serde_json::Value| p["status"] == "confirmed";
        client.event_where("delivery.changed", confirmed).await;
    }
    gateway.shipped().await;
    let gone = keys_of(&home, "peer/telegram:7|");
    assert_eq!(gone.len(), 1);
    let before = keys(&home.replica());
    let names = ["agent:main:telegram:dm:7", "agent:main:telegram:dm:8"];
    assert!(told(&mut client, &names).await.contains(NAME));

    let forget = ["forget", "--peer", "telegram:7"];
    let (_, out, _) = run(&home, &gateway, &[&forget[..], &["--dry-run"]].concat());
    assert!(out.contains("dm:7: 1 messages and 1 answers"), "{out}");
    assert!(
        out.contains("the name and first message of telegram:7"),
        "{out}"
    );
    assert!(out.contains("moltbot peers block telegram:7"), "{out}");
    let (code, out, error) = run(&home, &gateway, &[&forget[..], &["--yes"]].concat());
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("deleted here and in the replica"), "{out}");

    let all = told(&mut client, &names).await;
    assert!(!all.contains(CANARY) && !all.contains(NAME) && all.contains("stays"));
    let people = client.request("peer.list", json!({})).await.unwrap();
    let approved = people["approved"].as_array().unwrap();
    let row = approved
        .iter()
        .find(|row| row["peerId"] == "telegram:7")
        .unwrap();
    assert_eq!(
        (&row["nameForgotten"], &row["name"]),
        (&json!(true), &json!(null))
    );
    let (_, out, _) = run(&home, &gateway, &["peers", "list"]);
    assert!(
        out.contains("(name forgotten)") && out.contains("Somebody Else"),
        "{out}"
    );
    let after = keys(&home.replica());
    let is_gone = |key: &&super::places::Stored| !after.iter().any(|kept| kept.id == key.id);
    let deleted: Vec<_> = before.iter().filter(is_gone).collect();
    assert_eq!(deleted.len(), 3, "his name, what he said, what he was told");
    for key in deleted {
        assert!(holding(home.path(), key.secret()).is_empty());
    }

    // Access is another matter: he writes, and is answered.
    telegram.say(&person, "echo anew");
    let is_answered = |sent: &[Sent]| sent.iter().any(|message| message.text().contains("anew"));
    telegram.wait_for(is_answered).await.unwrap();
    let confirmed = |p: &serde_json::Value| p["status"] == "confirmed";
    client.event_where("delivery.changed", confirmed).await;
    assert!(told(&mut client, &names).await.contains("anew"));
}
