//! What platforms are told, and what is attempted outside, while the remote log is away.

use super::Remote;
use moltbot_channels::testing::telegram::{Person, TelegramServer};
use serde_json::Value;

/// As long as Telegram's, with the account's id in front.
const TOKEN: &str = "4242:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-aa";

async fn begin(ack: Option<&str>) -> (Remote, TelegramServer) {
    let telegram = TelegramServer::start(TOKEN).await.unwrap();
    let url = telegram.url().to_string();
    let mut variables = vec![
        ("TELEGRAM_BOT_TOKEN", TOKEN),
        ("TELEGRAM_API_URL", url.as_str()),
        ("TELEGRAM_DM_POLICY", "open"),
    ];
    variables.extend(ack.map(|level| ("MOLTBOT_ACK", level)));
    let remote = Remote::begin(&variables).await;
    (remote, telegram)
}

/// Waits until Telegram may forget everything that was said.
async fn forgotten(remote: &Remote, telegram: &TelegramServer) {
    let is_forgotten = telegram.wait_until(|| telegram.pending().is_empty());
    let forgotten = is_forgotten.await;
    forgotten.unwrap_or_else(|error| panic!("{error}\n{}", remote.gateway.log()));
}

/// What was recorded as less safe than it should be: what, and how long the remote was waited for.
async fn alarms(remote: &Remote) -> Vec<(String, u64)> {
    remote.gateway.shipped().await;
    let (code, out, error) = remote.home.run(&["log", "export"]);
    assert_eq!(code, 0, "{error}");
    let records = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lowered = records.filter(|record| record["kind"] == "durability_lowered");
    let alarm = |record: Value| {
        let data = &record["data"];
        let what = data["what"].as_str().unwrap().to_owned();
        (what, data["waited_ms"].as_u64().unwrap())
    };
    lowered.map(alarm).collect()
}

fn li() -> Person {
    Person::new(7, "Li")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_platform_waits_two_seconds_and_an_attempt_ten_each_with_an_alarm() {
    let (mut remote, telegram) = begin(None).await;
    remote.falls_silent();
    telegram.say(&li(), "echo hello");
    forgotten(&remote, &telegram).await;
    assert_eq!(telegram.sent(), Vec::new(), "its attempt still waits");
    telegram.wait_for(|sent| !sent.is_empty()).await.unwrap();
    remote.comes_back();
    let alarms = alarms(&remote).await;
    let waited = |what: &str| {
        let of = alarms.iter().filter(|(name, _)| name == what);
        of.map(|(_, waited_ms)| *waited_ms).collect::<Vec<_>>()
    };
    let (received, attempted) = (waited("telegram messages"), waited("delivery_attempted"));
    assert!(
        !received.is_empty() && received.iter().all(|ms| *ms >= 2_000),
        "{alarms:?}"
    );
    assert!(
        !attempted.is_empty() && attempted.iter().all(|ms| *ms >= 10_000),
        "{alarms:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_messages_do_not_wait_for_a_remote_log_that_is_away() {
    let (mut remote, telegram) = begin(None).await;
    remote.goes_away();
    // One of the first two looks brings fifty at least.
    for n in 0..150 {
        telegram.say(&Person::new(100 + n, "Somebody"), "echo many");
    }
    forgotten(&remote, &telegram).await;
    remote.comes_back();
    let alarms = alarms(&remote).await;
    let received = alarms
        .iter()
        .filter(|(what, _)| what == "telegram messages");
    let quick = received.filter(|(_, waited_ms)| *waited_ms < 2_000).count();
    assert!(quick > 0, "{alarms:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_setting_lets_an_effect_happen_before_its_attempt_is_safe_or_was_waited_for() {
    let (mut remote, telegram) = begin(Some("local")).await;
    remote.falls_silent();
    telegram.say(&li(), "echo hello");
    // The message itself may be forgotten at once, and that is no alarm: it is what was asked for.
    forgotten(&remote, &telegram).await;
    telegram.wait_for(|sent| !sent.is_empty()).await.unwrap();
    remote.comes_back();
    let alarms = alarms(&remote).await;
    assert!(!alarms.is_empty(), "an attempt was not waited for");
    for (what, waited_ms) in &alarms {
        assert!(
            what == "delivery_attempted" && *waited_ms >= 10_000,
            "{alarms:?}"
        );
    }
}
