//! Forgetting, on the side that acts: says what would become unreadable, records that it is to be,
//! and deletes the keys.
//!
//! Invariant: from the record on that forgets, nothing is opened with its keys ([`follow`], for
//! whoever folds records); the keys are deleted only once that record is in the remote log, and that
//! is tried until it is done, by this process or a later one. A key that comes back is deleted again
//! at the next start.

use crate::exit::Failure;
use crate::gateway::{Gateway, Running, Stop};
use crate::limits::{FORGET_RETRY_MS, FORGET_WAIT_MS, REPLICATION_WAIT_MS};
use crate::present;
use crate::reader::Reader;
use crate::writer::{Intent, Refused};
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::error::Rejection;
use moltbot_core::event::Event;
use moltbot_core::forget::{FORGOTTEN_CODE, Reach, Subject};
use moltbot_core::ids::{DeviceId, KeyId, PeerId, Seq, SessionId};
use moltbot_core::record::Record;
use moltbot_core::session::canonical_key;
use moltbot_core::time::Timestamp;
use moltbot_core::vault::SealingKey;
use moltbot_store::error::StoreError;
use moltbot_store::keys;
use moltbot_store::settings::StoreSettings;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// Opens nothing any more with the keys that these records forget, and keeps nothing that was opened
/// with them: what whoever folds records owes to those who were forgotten. To be called with every
/// record that is folded after the start; before the start, [`keys::Keyring::conceal`] does the same with
/// what the state says was forgotten.
pub fn follow(reader: &Reader, records: &[Record]) {
    let forgotten = keys::forgotten_in(records);
    if !forgotten.is_empty() {
        reader.forget(&forgotten);
    }
}

/// Whose content is meant: a conversation by its id or key, a person or a device by id.
pub fn subject(running: &Running, kind: &str, name: &str) -> Option<Subject> {
    match kind {
        "session" => {
            let by_key = running.view.read(|model| {
                let (id, _) = model.state.sessions.find(&canonical_key(name))?;
                Some(id.clone())
            });
            Some(Subject::Session(
                by_key.unwrap_or_else(|| SessionId::from(name)),
            ))
        }
        "peer" => Some(Subject::Peer(PeerId::from(name))),
        "device" => Some(Subject::Device(DeviceId::from(name))),
        _ => None,
    }
}

/// What would become unreadable, by conversation, and how much of it.
pub fn preview(running: &Running, subject: &Subject) -> Result<Value, Rejection> {
    running.view.read(|model| {
        let state = &model.state;
        let reach = Reach::of(state, subject)?;
        let mut sessions: BTreeMap<SessionId, Extent> = BTreeMap::new();
        let mut all = Extent::default();
        for (scope, sealing) in reach.keys(state) {
            all.add(scope, sealing);
            let stream = scope.split('|').next().unwrap_or_default();
            if let Some(session) = stream.strip_prefix("session/") {
                let extent = sessions.entry(session.into()).or_default();
                extent.add(scope, sealing);
            }
        }
        let rows = sessions.iter().map(|(id, extent)| {
            let mut row = extent.json();
            row["sessionId"] = json!(id);
            row["sessionKey"] = json!(state.sessions.get(id).map(|session| &session.key));
            row
        });
        let mut plan = all.json();
        plan["sessions"] = rows.collect();
        plan["subject"] = json!(subject.to_string());
        plan["runs"] = json!(reach.runs(state).count());
        Ok(plan)
    })
}

/// How much is sealed with some keys.
#[derive(Default)]
struct Extent {
    keys: u64,
    messages: u64,
    answers: u64,
    names: u64,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
}

impl Extent {
    fn add(&mut self, scope: &str, sealing: &SealingKey) {
        let (stream, author) = scope.split_once('|').unwrap_or((scope, ""));
        let texts = if !stream.starts_with("session/") {
            &mut self.names
        } else if author == "assistant" {
            &mut self.answers
        } else {
            &mut self.messages
        };
        *texts += sealing.texts;
        self.keys += 1;
        let first = self.first_at.unwrap_or(sealing.first_at);
        self.first_at = Some(first.min(sealing.first_at));
        self.last_at = self.last_at.max(Some(sealing.last_at));
    }

    fn json(&self) -> Value {
        json!({
            "keys": self.keys,
            "messages": self.messages,
            "answers": self.answers,
            "names": self.names,
            "firstAtMs": self.first_at.map(|at| at.0),
            "lastAtMs": self.last_at.map(|at| at.0),
        })
    }
}

/// Forgets: in effect at once, answered when the remote log says so or after a while, and if it can
/// be in time, when the keys are gone.
pub async fn forget(running: &Running, actor: Actor, subject: Subject) -> Result<Value, Refused> {
    let name = subject.to_string();
    let action = Action::Forget { subject };
    let accepted = running.submit(Intent::new(actor, action)).await?;
    for (seq, _) in &accepted.events {
        stop_run(running, *seq);
    }
    let replicated = running.replicated(accepted.seq, REPLICATION_WAIT_MS).await;
    let recorded: BTreeSet<Seq> = accepted.events.iter().map(|(seq, _)| *seq).collect();
    let is_deleted = || {
        running.view.read(|model| {
            let stones = model.state.vault.tombstones();
            let mut open = stones.filter(|(_, stone)| stone.deleted.is_none());
            open.all(|(seq, _)| !recorded.contains(&seq))
        })
    };
    let mut head = running.view.head();
    let wait = Duration::from_millis(if replicated { FORGET_WAIT_MS } else { 0 });
    // Not in time means later: the answer says which.
    let _ = tokio::time::timeout(wait, head.wait_for(|_| is_deleted())).await;
    let (keys, texts) = running.view.read(|model| {
        let stones = recorded.iter();
        let stones = stones.filter_map(|seq| model.state.vault.tombstone(*seq));
        stones.fold((0, 0), |(keys, texts), stone| {
            (keys + stone.keys.len(), texts + stone.texts)
        })
    });
    Ok(json!({
        "ok": true,
        "subject": name,
        "seq": accepted.seq,
        "replication": if replicated { "replicated" } else { "pending_replication" },
        "keys": keys,
        "texts": texts,
        "deleted": is_deleted(),
    }))
}

/// A model need not finish an answer that nobody may read.
fn stop_run(running: &Running, seq: Seq) {
    if let Some(record) = running.reader.log.get(seq).ok().flatten()
        && let Ok(Event::RunFailed(failed)) = record.event()
        && failed.code == FORGOTTEN_CODE
    {
        running.live.stop(&failed.run, FORGOTTEN_CODE);
    }
}

/// Deletes keys on this machine and in the remote log, however often that has to be tried. False
/// when the gateway stops or the disk fails before it is done.
pub async fn delete_keys(gateway: &Gateway, running: &Arc<Running>, ids: Vec<KeyId>) -> bool {
    let delete = || async {
        keys::delete(&running.replica, &ids, &StoreSettings::default()).await?;
        remove_here(running, ids.clone()).await
    };
    until_done(gateway, delete).await.is_some()
}

/// Deletes what came back: keys that were forgotten before this process began. A request that
/// seemed to fail may have put one there much later, somebody a copy of the bucket, or a local log
/// that was set aside had it.
pub async fn delete_returned(gateway: Arc<Gateway>, running: Arc<Running>) {
    let forgotten: BTreeSet<KeyId> = running
        .view
        .read(|model| model.state.vault.forgotten().cloned().collect());
    if forgotten.is_empty() {
        return;
    }
    let (gateway, running) = (&gateway, &running);
    let here = || remove_here(running, forgotten.iter().cloned().collect());
    let there = || keys::returned(&running.replica, &forgotten);
    if until_done(gateway, here).await.is_none() {
        return;
    }
    let Some(ids) = until_done(gateway, there).await else {
        return;
    };
    let count = ids.len();
    if count > 0 && delete_keys(gateway, running, ids).await {
        info!(
            count,
            "keys that had been forgotten were there again; deleted"
        );
    }
}

async fn remove_here(running: &Arc<Running>, ids: Vec<KeyId>) -> Result<(), StoreError> {
    let running = Arc::clone(running);
    let removed = tokio::task::spawn_blocking(move || running.reader.keyring.remove(&ids));
    removed
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))?
}

/// Tries something until it is done; nothing when the gateway stops or the disk fails before.
async fn until_done<T, F>(gateway: &Gateway, mut attempt: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut wait_ms, longest_ms) = FORGET_RETRY_MS;
    loop {
        let error = match attempt().await {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        if matches!(error, StoreError::Disk { .. }) {
            gateway.request_stop(Stop::Failed(Arc::new(Failure::from(error))));
            return None;
        }
        warn!(%error, wait_ms, "keys that were forgotten are not deleted yet");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            _ = gateway.stopped() => return None,
        }
        wait_ms = (wait_ms * 2).min(longest_ms);
    }
}

/// Who forgot a text and when, for clients; nothing for one that can be read.
pub fn mark(running: &Running, event: &Event) -> Option<Value> {
    let contents = event.contents();
    let (seq, stone) = running.view.read(|model| {
        let vault = &model.state.vault;
        let mut stones = contents
            .iter()
            .map(|content| vault.tombstone_of(content.key()));
        let (seq, stone) = stones.find_map(|stone| stone)?;
        Some((seq, stone.clone()))
    })?;
    let device = stone.by.strip_prefix("device:").map(DeviceId::from);
    let name = device.and_then(|id| present::device_name(running, &id));
    Some(json!({ "seq": seq, "at": stone.at.0, "by": stone.by, "byName": name }))
}
