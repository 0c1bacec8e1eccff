//! The Telegram channel against the strict local Bot API.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "telegram/receiving.rs"]
mod receiving;
#[path = "telegram/sending.rs"]
mod sending;

use std::sync::Arc;

use moltbot_channels::telegram::Telegram;
use moltbot_channels::testing::conformance::{self, Call, Failure, Platform};
use moltbot_channels::testing::{Fault, Person, TelegramServer};
use moltbot_channels::{Channel, Chat};
use url::Url;

const TOKEN: &str = "4242:AA-very-secret";

/// A server and a client of it.
async fn pair() -> (TelegramServer, Telegram) {
    let server = TelegramServer::start(TOKEN).await.unwrap();
    let telegram = Telegram::new(TOKEN, Some(server.url())).unwrap();
    (server, telegram)
}

fn li() -> Person {
    Person {
        handle: Some("li".to_owned()),
        ..Person::new(7, "Li")
    }
}

fn chat(id: i64) -> Chat {
    Chat {
        room: id.to_string(),
        thread: None,
    }
}

struct Local(TelegramServer);

impl Platform for Local {
    fn channel(&self) -> Arc<dyn Channel> {
        Arc::new(Telegram::new(TOKEN, Some(self.0.url())).unwrap())
    }

    fn stranger(&self) -> Arc<dyn Channel> {
        Arc::new(Telegram::new("1:other", Some(self.0.url())).unwrap())
    }

    fn unreachable(&self) -> Arc<dyn Channel> {
        // A port that was free a moment ago, with nobody listening.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        Arc::new(Telegram::new(TOKEN, Some(Url::parse(&url).unwrap())).unwrap())
    }

    fn token(&self) -> String {
        "AA-very-secret".to_owned()
    }

    fn say(&self, person: u8, text: &str) {
        self.0.say(&Person::new(i64::from(person), "Someone"), text);
    }

    fn make_noise(&self) {
        let bot = Person {
            is_bot: true,
            ..Person::new(99, "Bot")
        };
        self.0.say(&bot, "beep");
    }

    fn chat(&self, person: u8) -> Chat {
        chat(i64::from(person))
    }

    fn fail(&self, call: Call, failure: Failure) {
        let refused = |code, description: &str| Fault::Refused {
            code,
            description: description.to_owned(),
        };
        let fault = match failure {
            Failure::Pause => Fault::Pause { secs: 1 },
            Failure::Refused => refused(403, "Forbidden: bot was blocked by the user"),
            Failure::MarkupRefused => {
                refused(400, "Bad Request: can't parse entities: Unclosed start tag")
            }
            Failure::CutBefore => Fault::CutBefore,
            Failure::CutAfter => Fault::CutAfter,
            Failure::ServerError => Fault::Broken(500),
            Failure::Garbled => Fault::Garbled,
        };
        let method = match call {
            Call::Post => "sendMessage",
            Call::Edit => "editMessageText",
        };
        self.0.fault(method, fault);
    }

    fn pending(&self) -> usize {
        self.0.pending().len()
    }

    fn shown(&self) -> Vec<String> {
        let sent = self.0.sent();
        sent.iter().map(|sent| sent.text().to_owned()).collect()
    }

    fn violations(&self) -> Vec<String> {
        self.0.violations()
    }
}

#[tokio::test]
async fn telegram_conforms() {
    conformance::run(async || Local(TelegramServer::start(TOKEN).await.unwrap())).await;
}
