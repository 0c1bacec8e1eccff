//! What the server knows: updates that wait, messages that were sent, pauses that hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::method::{Refusal, check};
use super::{Fault, Person, Sent, Version, html};

/// Longest message, in UTF-16 units of what is read.
const TEXT_UNITS_MAX: usize = 4_096;
/// An offset that is further ahead than this belongs to an older numbering and counts as none.
const OFFSET_AHEAD_MAX: u64 = 10;
/// The time of the first message, in seconds since 1970; each is a second later.
const FIRST_DATE: u64 = 1_700_000_000;

#[derive(Debug)]
pub(super) struct World {
    token: String,
    next_update: u64,
    /// Updates that were not confirmed.
    pub(super) pending: BTreeMap<u64, Value>,
    all_updates: BTreeMap<u64, Value>,
    /// Updates that come once more, with how many answers still hold them.
    repeated: BTreeMap<u64, usize>,
    messages: u64,
    /// Ids of messages of people, by chat.
    received: BTreeSet<(i64, i64)>,
    pub(super) sent: Vec<Sent>,
    pub(super) typing: Vec<i64>,
    chats: BTreeSet<i64>,
    moved: BTreeMap<i64, i64>,
    pub(super) blocked: BTreeSet<i64>,
    pub(super) has_webhook: bool,
    pub(super) faults: VecDeque<(String, Fault)>,
    silent_until: Option<Instant>,
    /// Counts the requests for updates: only the newest is served.
    polls: u64,
    pub(super) calls: Vec<String>,
    pub(super) violations: Vec<String>,
}

/// A request for updates.
#[derive(Debug)]
pub(super) struct Poll {
    number: u64,
    limit: usize,
    pub(super) timeout_secs: u64,
}

impl World {
    pub(super) fn new(token: &str) -> World {
        World {
            token: token.to_owned(),
            next_update: 500_000_001,
            pending: BTreeMap::new(),
            all_updates: BTreeMap::new(),
            repeated: BTreeMap::new(),
            messages: 0,
            received: BTreeSet::new(),
            sent: Vec::new(),
            typing: Vec::new(),
            chats: BTreeSet::new(),
            moved: BTreeMap::new(),
            blocked: BTreeSet::new(),
            has_webhook: false,
            faults: VecDeque::new(),
            silent_until: None,
            polls: 0,
            calls: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn bot(&self) -> Value {
        let id = self.token.split(':').next().and_then(|id| id.parse().ok());
        let id: i64 = id.unwrap_or(1);
        json!({
            "id": id, "is_bot": true, "first_name": "Moltbot", "username": "moltbot_test_bot",
            "can_join_groups": true, "can_read_all_group_messages": false,
            "supports_inline_queries": false, "can_connect_to_business": false,
            "has_main_web_app": false,
        })
    }

    pub(super) fn message(&mut self, person: &Person, chat: &Value, content: &Value) -> u64 {
        self.messages += 1;
        let id = i64::try_from(self.messages).unwrap_or(i64::MAX);
        let chat_id = chat.get("id").and_then(Value::as_i64).unwrap_or_default();
        self.chats.insert(chat_id);
        self.received.insert((chat_id, id));
        let mut from = json!({"id": person.id, "is_bot": person.is_bot, "first_name": person.name});
        if let (Some(handle), Some(from)) = (&person.handle, from.as_object_mut()) {
            from.insert("username".to_owned(), json!(handle));
        }
        let date = FIRST_DATE + self.messages;
        let mut message = json!({"message_id": id, "from": from, "chat": chat, "date": date});
        if let (Some(message), Some(content)) = (message.as_object_mut(), content.as_object()) {
            message.extend(content.clone());
        }
        self.update(json!({"message": message}))
    }

    pub(super) fn update(&mut self, mut content: Value) -> u64 {
        let id = self.next_update;
        self.next_update += 1;
        if let Some(content) = content.as_object_mut() {
            content.insert("update_id".to_owned(), json!(id));
        }
        self.pending.insert(id, content.clone());
        self.all_updates.insert(id, content);
        id
    }

    pub(super) fn redeliver(&mut self, update: u64, times: usize) {
        *self.repeated.entry(update).or_default() += times;
    }

    pub(super) fn renumber(&mut self, next: u64) {
        self.pending.clear();
        self.next_update = next;
    }

    /// Lets a request in: the fault that is planned for it, or the refusal.
    pub(super) fn admit(&mut self, token: &str, method: &str) -> Result<Option<Fault>, Refusal> {
        self.calls.push(method.to_owned());
        if token != self.token {
            return Err(Refusal::new(401, "Unauthorized"));
        }
        let is_visible = matches!(method, "sendmessage" | "editmessagetext" | "sendchataction");
        if is_visible && let Some(left) = self.pause_left() {
            self.violations
                .push(format!("{method} within a pause of {left:?}"));
            return Err(too_many(left.as_secs() + 1));
        }
        let planned = self.faults.iter().position(|(of, _)| of == method);
        let fault = planned.and_then(|at| self.faults.remove(at));
        Ok(fault.map(|(_, fault)| fault))
    }

    fn pause_left(&self) -> Option<Duration> {
        let left = self.silent_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn pause(&mut self, secs: u64) -> Refusal {
        self.silent_until = Some(Instant::now() + Duration::from_secs(secs));
        too_many(secs)
    }

    /// Every group that is asked for now is found under the new id.
    pub(super) fn moved(&mut self, to: i64) -> Refusal {
        for chat in self.chats.iter().filter(|chat| **chat < 0) {
            self.moved.insert(*chat, to);
        }
        self.chats.retain(|chat| *chat >= 0);
        self.chats.insert(to);
        moved_to(to)
    }

    pub(super) fn begin_poll(&mut self, parameters: &Value) -> Result<Poll, Refusal> {
        self.check("getupdates", parameters)?;
        if self.has_webhook {
            return Err(Refusal::new(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            ));
        }
        let number = |name: &str| parameters.get(name).and_then(Value::as_u64);
        let newest = self.next_update.saturating_sub(1);
        if let Some(offset) = number("offset").filter(|at| *at <= newest + OFFSET_AHEAD_MAX) {
            self.pending = self.pending.split_off(&offset);
        }
        self.polls += 1;
        Ok(Poll {
            number: self.polls,
            limit: usize::try_from(number("limit").unwrap_or(100)).unwrap_or(100),
            timeout_secs: number("timeout").unwrap_or(0),
        })
    }

    /// The answer to a request for updates, if there is one yet.
    pub(super) fn poll(&mut self, poll: &Poll) -> Option<Result<Value, Refusal>> {
        if poll.number != self.polls {
            return Some(Err(Refusal::new(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )));
        }
        let repeated = self
            .repeated
            .keys()
            .filter_map(|id| self.all_updates.get(id));
        let waiting = self.pending.values();
        let updates: Vec<&Value> = repeated.chain(waiting).take(poll.limit).collect();
        if updates.is_empty() {
            return None;
        }
        let updates = json!(updates);
        self.repeated.retain(|_, times| {
            *times -= 1;
            *times > 0
        });
        Some(Ok(updates))
    }

    pub(super) fn call(&mut self, method: &str, parameters: &Value) -> Result<Value, Refusal> {
        self.check(method, parameters)?;
        match method {
            "getme" => Ok(self.bot()),
            "deletewebhook" => {
                self.has_webhook = false;
                Ok(json!(true))
            }
            "sendmessage" => self.send(parameters),
            "editmessagetext" => self.edit(parameters),
            _ => {
                let chat = self.chat(parameters)?;
                self.typing.push(chat);
                Ok(json!(true))
            }
        }
    }

    fn check(&mut self, method: &str, parameters: &Value) -> Result<(), Refusal> {
        check(method, parameters).map_err(|wrong| {
            self.violations.push(wrong.clone());
            Refusal::bad(&wrong)
        })
    }

    /// The chat of a request, if the bot may write there.
    fn chat(&self, parameters: &Value) -> Result<i64, Refusal> {
        let id = parameters.get("chat_id").and_then(Value::as_i64);
        let id = id.unwrap_or_default();
        if let Some(to) = self.moved.get(&id) {
            return Err(moved_to(*to));
        }
        if !self.chats.contains(&id) {
            return Err(Refusal::bad("chat not found"));
        }
        if self.blocked.contains(&id) {
            let blocked = "Forbidden: bot was blocked by the user";
            return Err(Refusal::new(403, blocked));
        }
        Ok(id)
    }

    fn send(&mut self, parameters: &Value) -> Result<Value, Refusal> {
        let chat = self.chat(parameters)?;
        let version = version(parameters, "message is too long")?;
        let answered = parameters.get("reply_parameters");
        let reply_to = answered.and_then(|answered| answered.get("message_id")?.as_i64());
        let exists = |id: &i64| {
            let is_own = |sent: &Sent| sent.chat == chat && sent.message == *id;
            self.received.contains(&(chat, *id)) || self.sent.iter().any(is_own)
        };
        let may_miss = answered.and_then(|answered| answered.get("allow_sending_without_reply"));
        if reply_to.is_some_and(|id| !exists(&id)) && may_miss != Some(&json!(true)) {
            return Err(Refusal::bad("message to be replied not found"));
        }
        let reply_to = reply_to.filter(exists);
        self.messages += 1;
        let message = i64::try_from(self.messages).unwrap_or(i64::MAX);
        let text = version.text.clone();
        self.sent.push(Sent {
            chat,
            thread: parameters.get("message_thread_id").and_then(Value::as_i64),
            message,
            reply_to,
            versions: vec![version],
        });
        Ok(self.shown(chat, message, &text))
    }

    fn edit(&mut self, parameters: &Value) -> Result<Value, Refusal> {
        let chat = self.chat(parameters)?;
        let id = parameters.get("message_id").and_then(Value::as_i64);
        let id = id.unwrap_or_default();
        let version = version(parameters, "MESSAGE_TOO_LONG")?;
        let is_foreign = self.received.contains(&(chat, id));
        let found = self
            .sent
            .iter_mut()
            .find(|sent| sent.chat == chat && sent.message == id);
        let Some(sent) = found else {
            return Err(Refusal::bad(if is_foreign {
                "message can't be edited"
            } else {
                "message to edit not found"
            }));
        };
        if sent.versions.last() == Some(&version) {
            return Err(Refusal::bad(
                "message is not modified: specified new message content and reply markup are \
                 exactly the same as a current content and reply markup of the message",
            ));
        }
        let text = version.text.clone();
        sent.versions.push(version);
        Ok(self.shown(chat, id, &text))
    }

    fn shown(&self, chat: i64, message: i64, text: &str) -> Value {
        let kind = if chat < 0 { "supergroup" } else { "private" };
        json!({
            "message_id": message, "from": self.bot(), "date": FIRST_DATE + self.messages,
            "chat": {"id": chat, "type": kind, "first_name": "x", "title": "x"}, "text": text,
        })
    }
}

/// What a message would say.
fn version(parameters: &Value, too_long: &str) -> Result<Version, Refusal> {
    let text = |name: &str| parameters.get(name).and_then(Value::as_str);
    let given = text("text").unwrap_or_default();
    let (read, html) = match text("parse_mode") {
        None => (given.to_owned(), None),
        Some("HTML") => {
            let read = html::visible(given)
                .map_err(|wrong| Refusal::bad(&format!("can't parse entities: {wrong}")))?;
            (read, Some(given.to_owned()))
        }
        Some(_) => return Err(Refusal::bad("unsupported parse_mode")),
    };
    let read = read.trim();
    if read.is_empty() {
        return Err(Refusal::bad("message text is empty"));
    }
    if read.encode_utf16().count() > TEXT_UNITS_MAX {
        return Err(Refusal::bad(too_long));
    }
    let text = read.to_owned();
    Ok(Version { text, html })
}

fn too_many(secs: u64) -> Refusal {
    let mut refusal = Refusal::new(429, &format!("Too Many Requests: retry after {secs}"));
    refusal.parameters = json!({"retry_after": secs});
    refusal
}

fn moved_to(chat: i64) -> Refusal {
    let mut refusal = Refusal::bad("group chat was upgraded to a supergroup chat");
    refusal.parameters = json!({"migrate_to_chat_id": chat});
    refusal
}
