//! From what is wanted to the action it is in a state.

use super::universe::{CANARY, Intent, device, intro, peer, principal};
use moltbot_core::chain::Hash;
use moltbot_core::command::{Action, FileChange};
use moltbot_core::content::DataKey;
use moltbot_core::event::Usage;
use moltbot_core::forget::Subject;
use moltbot_core::ids::{DeliveryId, KeyId, RequestId, RunId, Seq, SessionId};
use moltbot_core::outbox::Effect;
use moltbot_core::state::State;
use moltbot_core::storage::CheckpointKey;
use moltbot_core::workspace::{DIRECTORY, REGULAR, SYMLINK, file_id};
use proptest::sample::Index;

impl Intent {
    /// The action; ids of what is not there name nothing.
    pub(crate) fn action(&self, state: &State) -> Action {
        let text = |n: u8| format!("{CANARY} {n}");
        match self.clone() {
            Intent::Housekeeping(n) => housekeeping(state, n),
            Intent::Configure(change, base) => configure(state, change, base),
            Intent::AskIn(n, scopes) => Action::RequestDevicePairing {
                intro: intro(n, scopes),
                address: format!("{CANARY} address"),
            },
            Intent::Approve(pick, scopes) => Action::ApproveDevice {
                request: request(state, pick),
                scopes,
            },
            Intent::Redeem(n, scopes) => Action::RedeemGrant {
                intro: intro(n, scopes),
            },
            Intent::Reject(pick) => Action::RejectDevice {
                request: request(state, pick),
            },
            Intent::Revoke(n) => Action::RevokeDevice { device: device(n) },
            Intent::Rotate(n) => Action::RotateDeviceToken { device: device(n) },
            // Nothing came before the first step.
            Intent::ExpirePairings | Intent::Again => Action::ExpirePairings,
            Intent::ApprovePeer(n, is_operator) => Action::ApprovePeer {
                peer: peer(n),
                is_operator,
            },
            Intent::BlockPeer(n) => Action::BlockPeer { peer: peer(n) },
            Intent::Say(session, n, said) => Action::ReceiveMessage {
                session_key: ["main", "Work", "agent:main:telegram:dm:p0"]
                    [usize::from(session % 3)]
                .into(),
                run: run_id(n),
                text: text(said),
            },
            Intent::PeerSays(n, run, said, policy) => Action::ReceiveFromPeer {
                channel: ["telegram", "telegram", "slack"][usize::from(n % 3)].into(),
                account: "bot".into(),
                name: format!("{CANARY} person {n}"),
                text: text(said),
                run: run_id(run),
                policy,
            },
            Intent::Retry(pick, n) => Action::RetryRun {
                run: last_run(state, pick),
                new_run: run_id(n),
            },
            Intent::Run(what, pick, said) => run(what, open_run(state, pick), text(said)),
            Intent::Deliver(what, pick) => deliver(what, open_delivery(state, pick)),
            Intent::Identify(n) => Action::IdentifyPrincipal {
                principal: principal(n),
                name: text(n),
                service: n == 0,
            },
            Intent::Forget(what, n) => Action::Forget {
                subject: subject(state, what, n),
            },
            Intent::KeysDeleted(pick) => keys_deleted(state, pick),
            Intent::OpenWorkspace => Action::CreateWorkspaceKeys,
            Intent::Files(changes) => Action::RecordFiles {
                key: workspace_key(state),
                changes: changes.into_iter().map(file_change).collect(),
            },
        }
    }
}

fn housekeeping(state: &State, what: u8) -> Action {
    let cursor = state.cursor;
    match what % 6 {
        5 => Action::UseCheckpointKey {
            public_key: CheckpointKey([7; 32]),
        },
        4 => Action::RecordMasterKeyRotation {
            fingerprint: format!("{what:016x}"),
            keys: 2,
        },
        3 => Action::RecordLoweredDurability {
            what: "delivery_attempted".into(),
            seq: cursor.seq,
            waited_ms: 10_000,
        },
        0 => Action::StartWriter {
            epoch: state.storage.epoch.next(),
            instance: "instance".into(),
            software: "0.1.0".into(),
        },
        1 => Action::RecordSnapshot {
            seq: cursor.seq,
            record_hash: cursor.hash,
            object_hash: Hash::of(b"object"),
            bytes: 77,
        },
        _ => Action::RecordRefusals {
            prefix: "203.0.113.0/24".into(),
            count: 3,
            reason: "bad token".into(),
        },
    }
}

fn configure(state: &State, change: u8, base: Option<bool>) -> Action {
    let (path, value) = [
        ("run.timeout_s", Some("30")),
        ("run.timeout_s", Some("1")),
        ("assistant.name", Some("\"Ada\"")),
        ("assistant.name", None),
        ("no.such.path", Some("true")),
        ("model.name", Some("{")),
    ][usize::from(change % 6)];
    let current = state.config.changed;
    Action::ChangeConfig {
        changes: vec![(path.into(), value.map(str::to_owned))],
        base: base.map(|fresh| if fresh { current } else { current.next() }),
    }
}

fn run(what: u8, run: RunId, text: String) -> Action {
    let (provider, model) = ("demo".to_owned(), "demo-1".to_owned());
    match what % 7 {
        6 => Action::BeginDelivery { run },
        0 => Action::StartRun {
            run,
            provider,
            model,
        },
        1 | 2 => Action::CompleteRun {
            run,
            text,
            stop_reason: "stop".into(),
            provider,
            model,
            usage: Usage {
                input: 1,
                output: 2,
                cache_read: 3,
                cache_write: 4,
            },
            duration_ms: 5,
        },
        3 => Action::CancelRun {
            run,
            text,
            reason: "rpc".into(),
        },
        4 => Action::FailRun {
            run,
            text,
            code: "overloaded".into(),
            message: "the model is busy".into(),
        },
        _ => Action::InterruptRun { run },
    }
}

fn deliver(what: u8, delivery: DeliveryId) -> Action {
    match what {
        0..=2 => Action::AttemptDelivery { delivery },
        3 => Action::ConfirmDelivery {
            delivery,
            receipt: vec!["42".into()],
        },
        4 => Action::FailDelivery {
            delivery,
            code: "forbidden".into(),
            message: "the bot was blocked".into(),
        },
        5 => Action::MarkDeliveryUnknown { delivery },
        6 => Action::PostDelivery {
            delivery,
            receipt: vec!["41".into()],
        },
        7 => Action::ReturnDelivery { delivery },
        8 | 9 => Action::ResendDelivery { delivery },
        _ => Action::CancelDelivery { delivery },
    }
}

fn subject(state: &State, what: u8, n: u8) -> Subject {
    match what % 3 {
        0 => {
            let mut ids = state.sessions.iter().map(|(id, _)| id.clone());
            let id = ids.nth(usize::from(n));
            Subject::Session(id.unwrap_or_else(|| SessionId::from("nothing")))
        }
        1 => Subject::Peer(peer(n)),
        _ => Subject::Device(device(n)),
    }
}

fn keys_deleted(state: &State, pick: Index) -> Action {
    let due = state.outbox.iter().filter_map(|(_, effect)| match effect {
        Effect::DeleteKeys(tombstone) => Some(*tombstone),
        _ => None,
    });
    let due: Vec<Seq> = due.collect();
    let tombstone = if due.is_empty() {
        Seq::ZERO
    } else {
        *pick.get(&due)
    };
    Action::ConfirmKeysDeleted { tombstone }
}

/// The command line's key.
fn workspace_key(state: &State) -> KeyId {
    let known = state.vault.get("workspace|local").cloned();
    known.unwrap_or_else(|| "no key".into())
}

fn file_change((path, what): (u8, u8)) -> FileChange {
    let path = format!("{CANARY} {path}");
    let file = file_id(&DataKey([1; 32]), &path);
    match what {
        0 => FileChange::Delete { file },
        1 => FileChange::Directory {
            file,
            path,
            mode: DIRECTORY | 0o755,
        },
        2 => FileChange::Write {
            file,
            path: "../escapes".into(),
            mode: REGULAR,
            size: 0,
            blob: None,
        },
        n => FileChange::Write {
            file,
            path,
            mode: if n == 3 {
                SYMLINK | 0o777
            } else {
                REGULAR | 0o600
            },
            size: u64::from(n),
            blob: Some(Hash([n; 32])),
        },
    }
}

fn run_id(n: u8) -> RunId {
    RunId(format!("run-{}", n % 6))
}

fn request(state: &State, pick: Index) -> RequestId {
    pick_of(state.devices.pending.keys(), pick)
}

fn open_run(state: &State, pick: Index) -> RunId {
    pick_of(state.runs.iter().map(|(run, _)| run), pick)
}

fn open_delivery(state: &State, pick: Index) -> DeliveryId {
    pick_of(state.deliveries.iter().map(|(delivery, _)| delivery), pick)
}

fn last_run(state: &State, pick: Index) -> RunId {
    let ended = state
        .sessions
        .iter()
        .filter_map(|(_, s)| s.last_run.as_ref());
    pick_of(ended.map(|ended| &ended.run), pick)
}

/// One of what there is; an id that names nothing when there is nothing.
fn pick_of<'a, T: Clone + From<&'a str> + 'a>(all: impl Iterator<Item = &'a T>, pick: Index) -> T {
    let all: Vec<&T> = all.collect();
    if all.is_empty() {
        return T::from("nothing");
    }
    (*pick.get(&all)).clone()
}
