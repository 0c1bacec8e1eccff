//! A strict Telegram Bot API on 127.0.0.1: plain HTTP/1.1, one request per connection.
//!
//! Invariant: a request that the published API would refuse is refused here too, in its words. What
//! no proper client does (an unknown parameter, a request within a pause it was told to keep) is
//! also kept in [`TelegramServer::violations`], so a test cannot pass with it.

mod connection;
pub mod html;
mod method;
mod world;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use self::world::World;

/// How long [`TelegramServer::wait_for`] waits, in real time.
const WAIT: Duration = Duration::from_secs(30);

/// The running server; dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct TelegramServer {
    url: Url,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all connections work on.
#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// Changes whenever the world does.
    changes: watch::Sender<u64>,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the world and tells everyone who waits for a change.
    fn change<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let outcome = act(&mut self.world());
        self.changes.send_modify(|count| *count += 1);
        outcome
    }
}

/// Who writes to the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The immutable id, also that of the direct chat.
    pub id: i64,
    /// The first name.
    pub name: String,
    /// The public name, without `@`.
    pub handle: Option<String>,
    /// Whether it is a bot.
    pub is_bot: bool,
}

impl Person {
    /// A person without a public name.
    pub fn new(id: i64, name: &str) -> Person {
        Person {
            id,
            name: name.to_owned(),
            handle: None,
            is_bot: false,
        }
    }
}

/// A message of the bot, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The chat's id.
    pub chat: i64,
    /// The topic.
    pub thread: Option<i64>,
    /// The message's id in its chat.
    pub message: i64,
    /// The message it answers.
    pub reply_to: Option<i64>,
    /// What was read first, and after each edit.
    pub versions: Vec<Version>,
}

/// What a message once said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What is read.
    pub text: String,
    /// The HTML it came as; `None` for plain text.
    pub html: Option<String>,
}

impl Sent {
    /// What it says now.
    pub fn text(&self) -> &str {
        self.versions.last().map_or("", |version| &version.text)
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection closes before the request took effect.
    CutBefore,
    /// The connection closes after it took effect.
    CutAfter,
    /// It took no effect; something on the way answers with this status and a page.
    Gateway(u16),
    /// It took effect; Telegram answers with this status.
    Broken(u16),
    /// It took effect; the answer is not readable.
    Garbled,
    /// It took no effect: the bot has to be silent for so many seconds.
    Pause {
        /// Seconds.
        secs: u64,
    },
    /// It took no effect: refused with this code and sentence.
    Refused {
        /// HTTP status and `error_code`.
        code: u16,
        /// Telegram's words.
        description: String,
    },
    /// It took no effect: the chat lives on under this id.
    Moved {
        /// The new id.
        to: i64,
    },
    /// It waits so long and then does what it should.
    Delay(Duration),
}

impl TelegramServer {
    /// Starts on a free port, for the bot with this token. The bot's id is what stands before the
    /// token's colon, its public name is `moltbot_test_bot`.
    pub async fn start(token: &str) -> io::Result<TelegramServer> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let url = Url::parse(&url).map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(token)),
            changes: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(connection::accept(listener, Arc::clone(&shared)));
        Ok(TelegramServer {
            url,
            shared,
            accepting,
        })
    }

    /// The base address, for `TELEGRAM_API_URL`.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// The person writes to the bot directly; returns the update's id.
    pub fn say(&self, person: &Person, text: &str) -> u64 {
        let chat = json!({"id": person.id, "type": "private", "first_name": person.name});
        self.message(person, &chat, &json!({"text": text}))
    }

    /// The person writes in a group (its id is negative), perhaps in a topic.
    pub fn say_in_group(
        &self,
        person: &Person,
        group: i64,
        thread: Option<i64>,
        text: &str,
    ) -> u64 {
        let chat = json!({"id": group, "type": "supergroup", "title": "group"});
        let mut content = json!({"text": text});
        if let (Some(thread), Some(content)) = (thread, content.as_object_mut()) {
            content.insert("message_thread_id".to_owned(), json!(thread));
            content.insert("is_topic_message".to_owned(), json!(true));
        }
        self.message(person, &chat, &content)
    }

    /// The person sends something else directly: the fields of a message besides who, where, when.
    pub fn send(&self, person: &Person, content: &Value) -> u64 {
        let chat = json!({"id": person.id, "type": "private", "first_name": person.name});
        self.message(person, &chat, content)
    }

    fn message(&self, person: &Person, chat: &Value, content: &Value) -> u64 {
        self.shared
            .change(|world| world.message(person, chat, content))
    }

    /// Any update: its fields besides the id.
    pub fn update(&self, content: Value) -> u64 {
        self.shared.change(|world| world.update(content))
    }

    /// The next `times` answers hold this update once more, confirmed or not.
    pub fn redeliver(&self, update: u64, times: usize) {
        self.shared.change(|world| world.redeliver(update, times));
    }

    /// The next update gets this id, as after a week of silence, in which nothing waits.
    pub fn renumber(&self, next: u64) {
        self.shared.change(|world| world.renumber(next));
    }

    /// The person blocks the bot.
    pub fn block(&self, person: &Person) {
        self.shared.change(|world| world.blocked.insert(person.id));
    }

    /// A webhook receives in place of `getUpdates` until the bot deletes it.
    pub fn set_webhook(&self) {
        self.shared.change(|world| world.has_webhook = true);
    }

    /// The next request of this method (`sendMessage`, any case) fails. Faults of one method wait in
    /// line.
    pub fn fault(&self, method: &str, fault: Fault) {
        let method = method.to_ascii_lowercase();
        self.shared
            .change(|world| world.faults.push_back((method, fault)));
    }

    /// All messages of the bot, oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.world().sent.clone()
    }

    /// The chats in which the bot was shown as typing, oldest first.
    pub fn typing(&self) -> Vec<i64> {
        self.shared.world().typing.clone()
    }

    /// The updates that are not confirmed, oldest first.
    pub fn pending(&self) -> Vec<u64> {
        self.shared.world().pending.keys().copied().collect()
    }

    /// The methods that were called, in lower case, oldest first, also those that failed.
    pub fn calls(&self) -> Vec<String> {
        self.shared.world().calls.clone()
    }

    /// What no proper client does.
    pub fn violations(&self) -> Vec<String> {
        self.shared.world().violations.clone()
    }

    /// Waits until the messages of the bot are as wanted, at most half a minute; the error says
    /// what was there in the end.
    pub async fn wait_for(&self, wanted: impl Fn(&[Sent]) -> bool) -> Result<Vec<Sent>, String> {
        self.wait_until(|| wanted(&self.sent())).await?;
        Ok(self.sent())
    }

    /// Waits until this holds; it is asked after every change.
    pub async fn wait_until(&self, holds: impl Fn() -> bool) -> Result<(), String> {
        let mut changes = self.shared.changes.subscribe();
        let waiting = async {
            while !holds() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(WAIT, waiting).await;
        in_time.map_err(|_| {
            let (sent, violations) = (self.sent(), self.violations());
            format!("waited in vain: sent {sent:#?}, violations {violations:#?}")
        })
    }
}

impl Drop for TelegramServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
