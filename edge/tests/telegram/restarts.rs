//! What is received is recorded once and what is sent is sent once, whenever the process dies.

use super::{Fault, Sent, Story, li};
use serde_json::{Value, json};
use std::time::Duration;

/// The records of a kind in the log.
pub(super) async fn records(story: &Story, kind: &str) -> Vec<Value> {
    // The export reads the remote log.
    if story.gateway.status().await.is_some() {
        story.gateway.shipped().await;
    }
    let (code, out, err) = story.home.run(&["log", "export"]);
    assert_eq!(code, 0, "{err}");
    let all = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|record| record["kind"] == kind).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_update_a_hundred_times_across_kills_is_one_message_and_one_answer() {
    let mut story = Story::begin("open").await;
    let update = story.telegram.say(&li(), "echo once");
    story.telegram.redeliver(update, 100);
    for round in 0..10_u64 {
        // At a moment that has no pattern: before, while and after it is recorded and answered.
        let pause = round * 37 % 11 * 20;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        story.kill_and_start().await;
    }
    let heard = story
        .telegram
        .wait_until(|| story.telegram.pending().is_empty());
    heard.await.unwrap();
    // An answer that a kill left in doubt waits for a person; it is never sent again by itself.
    story
        .deliveries(|rows| rows.iter().all(|row| row["status"] == "unknown"))
        .await;
    assert_eq!(records(&story, "message_received").await.len(), 1);
    assert!(
        story.telegram.sent().len() <= 1,
        "{:?}",
        story.telegram.sent()
    );
    assert_eq!(story.telegram.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_attempt_and_receipt_is_unknown_until_the_operator_decides() {
    let mut story = Story::begin("open").await;
    let delay = Fault::Delay(Duration::from_mins(1));
    story.telegram.fault("sendMessage", delay);
    story.telegram.say(&li(), "echo maybe");
    let asked = |calls: Vec<String>| calls.iter().filter(|call| *call == "sendmessage").count();
    let is_asked = story
        .telegram
        .wait_until(|| asked(story.telegram.calls()) == 1);
    is_asked.await.unwrap();
    story.kill_and_start().await;
    let rows = story
        .deliveries(|rows| rows.len() == 1 && rows[0]["status"] == "unknown")
        .await;
    assert_eq!(rows[0]["name"], "Li");
    assert_eq!(asked(story.telegram.calls()), 1, "not sent again by itself");
    // The rest of the conversation does not wait for it.
    story.telegram.say(&li(), "echo next");
    story.reads("next").await;
    let resend = json!({ "deliveryId": rows[0]["deliveryId"] });
    story
        .operator
        .request("delivery.resend", resend)
        .await
        .unwrap();
    story.deliveries(<[Value]>::is_empty).await;
    let attempts = records(&story, "delivery_attempted").await.len()
        + records(&story, "delivery_begun").await.len();
    assert_eq!(attempts, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_a_kill_cut_short_is_finished_in_the_same_message() {
    let mut story = Story::begin("open").await;
    let words: Vec<String> = (0..400).map(|n| format!("word{n}")).collect();
    story
        .telegram
        .say(&li(), &format!("echo {}", words.join(" ")));
    story.sent(1).await;
    // The receipt of the first form is recorded shortly after.
    story
        .deliveries(|rows| rows.iter().any(|row| row["status"] == "streaming"))
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    story.kill_and_start().await;
    let sent = story
        .telegram
        .wait_for(|sent| sent.iter().any(|sent| sent.text().contains("restarted")))
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", story.gateway.log()));
    assert_eq!(sent.len(), 1, "{sent:?}");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_a_shutdown_cut_short_is_finished_in_the_same_message() {
    let mut story = Story::begin("open").await;
    let words: Vec<String> = (0..400).map(|n| format!("word{n}")).collect();
    story
        .telegram
        .say(&li(), &format!("echo {}", words.join(" ")));
    story.sent(1).await;
    story.gateway.terminate();
    assert!(story.gateway.wait().success());
    story.start_again().await;
    let is_finished = |sent: &[Sent]| sent.iter().any(|sent| sent.text().contains("restarted"));
    let sent = story.telegram.wait_for(is_finished).await;
    let sent = sent.unwrap_or_else(|error| panic!("{error}\n{}", story.gateway.log()));
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].text().starts_with("word0 word1 "), "{sent:?}");
    assert_eq!(records(&story, "delivery_unknown").await.len(), 0);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_surely_was_not_sent_before_a_shutdown_is_sent_after_it() {
    let mut story = Story::begin("open").await;
    story.telegram.say(&li(), "echo first");
    story.reads("first").await;
    // Telegram wants silence for longer than the shutdown may take.
    story
        .telegram
        .fault("sendMessage", Fault::Pause { secs: 30 });
    story.telegram.say(&li(), "echo second");
    let is_asked = story.telegram.wait_until(|| {
        let calls = story.telegram.calls();
        calls.iter().filter(|call| *call == "sendmessage").count() == 2
    });
    is_asked.await.unwrap();
    story.gateway.terminate();
    assert!(story.gateway.wait().success());
    assert_eq!(records(&story, "delivery_returned").await.len(), 1);
    assert_eq!(records(&story, "delivery_unknown").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vanished_machine_loses_nothing_that_telegram_was_told_to_forget() {
    let mut story = Story::begin("open").await;
    for n in 0..5 {
        story.telegram.say(&li(), &format!("echo {n}"));
        let heard = story
            .telegram
            .wait_until(|| story.telegram.pending().is_empty());
        heard.await.unwrap();
        story.gateway.kill();
        story.home.wipe();
        story.start_again().await;
    }
    let received = records(&story, "message_received").await;
    assert_eq!(received.len(), 5, "{received:?}");
}
