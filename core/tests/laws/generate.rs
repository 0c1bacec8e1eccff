//! Random sequences of steps.

use super::universe::{Intent, Step, device, peer, principal};
use moltbot_core::actor::{Actor, Scope, Scopes};
use moltbot_core::command::DmPolicy;
use moltbot_core::limits::{DEVICE_REQUEST_TTL_MS, IDEMPOTENCY_TTL_MS, PEER_REQUEST_TTL_MS};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

/// Any set of scopes, one unknown to this version among them.
pub(crate) fn scopes() -> impl Strategy<Value = Scopes> {
    let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.name()).collect();
    let names = [names, vec!["operator.talk"]].concat();
    subsequence(names, 0..=6).prop_map(Scopes::from_names)
}

/// Any actor of the universe; device 3, person 3 and principal 3 are strangers to every state.
pub(crate) fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        1 => Just(Actor::System),
        1 => Just(Actor::Local),
        1 => Just(Actor::Grant),
        4 => (0..4_u8).prop_map(|n| Actor::Device(device(n))),
        1 => (0..4_u8).prop_map(|n| Actor::Peer(peer(n))),
        1 => (0..4_u8).prop_map(|n| Actor::Access(principal(n))),
    ]
}

fn policy() -> impl Strategy<Value = DmPolicy> {
    use DmPolicy::{Allowlist, Disabled, Open, Pairing};
    select(vec![Pairing, Pairing, Pairing, Open, Allowlist, Disabled])
}

/// What becomes of some paths.
fn changes() -> impl Strategy<Value = Vec<(u8, u8)>> {
    proptest::collection::vec((0..4_u8, 0..6_u8), 1..4)
}

fn intent() -> impl Strategy<Value = Intent> {
    let n = || 0..3_u8;
    let index = any::<Index>;
    prop_oneof![
        1 => (0..6_u8).prop_map(Intent::Housekeeping),
        2 => (0..6_u8, any::<Option<bool>>()).prop_map(|(c, b)| Intent::Configure(c, b)),
        4 => (n(), scopes()).prop_map(|(d, s)| Intent::AskIn(d, s)),
        4 => (index(), proptest::option::of(scopes())).prop_map(|(r, s)| Intent::Approve(r, s)),
        1 => (n(), scopes()).prop_map(|(d, s)| Intent::Redeem(d, s)),
        1 => index().prop_map(Intent::Reject),
        1 => n().prop_map(Intent::Revoke),
        1 => n().prop_map(Intent::Rotate),
        1 => Just(Intent::ExpirePairings),
        3 => (n(), any::<bool>()).prop_map(|(p, o)| Intent::ApprovePeer(p, o)),
        1 => n().prop_map(Intent::BlockPeer),
        4 => (n(), 0..6_u8, 0..2_u8).prop_map(|(s, r, t)| Intent::Say(s, r, t)),
        6 => (n(), 0..6_u8, 0..2_u8, policy()).prop_map(|(p, r, t, y)| Intent::PeerSays(p, r, t, y)),
        2 => (index(), 0..6_u8).prop_map(|(r, n)| Intent::Retry(r, n)),
        8 => (0..7_u8, index(), 0..2_u8).prop_map(|(w, r, t)| Intent::Run(w, r, t)),
        10 => (0..11_u8, index()).prop_map(|(w, d)| Intent::Deliver(w, d)),
        1 => n().prop_map(Intent::Identify),
        3 => (n(), n()).prop_map(|(w, n)| Intent::Forget(w, n)),
        1 => index().prop_map(Intent::KeysDeleted),
        1 => Just(Intent::OpenWorkspace),
        2 => changes().prop_map(Intent::Files),
    ]
}

/// One step; `actor` says who may take it.
pub(crate) fn step(actor: impl Strategy<Value = Option<Actor>>) -> impl Strategy<Value = Step> {
    let short = select(vec![0, 1, 1_000, 60_000, -500]);
    let long = select(vec![
        DEVICE_REQUEST_TTL_MS,
        PEER_REQUEST_TTL_MS,
        IDEMPOTENCY_TTL_MS / 2,
        IDEMPOTENCY_TTL_MS,
    ]);
    let pause = prop_oneof![9 => short, 1 => long];
    let key = proptest::option::weighted(0.4, 0..3_u8);
    let intent = prop_oneof![9 => intent(), 1 => Just(Intent::Again)];
    (pause, actor, key, intent).prop_map(|(pause_ms, actor, key, intent)| Step {
        pause_ms,
        actor,
        key,
        intent,
    })
}

/// A sequence of steps by all kinds of actors, mostly those who may; half of the sequences begin
/// in a gateway that is in use.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let actor = proptest::option::weighted(0.2, actor());
    let steps = proptest::collection::vec(step(actor), 1..32);
    let before = prop_oneof![
        any::<Index>().prop_map(use_it),
        any::<Index>().prop_map(answering),
        proptest::collection::vec(changes(), 3).prop_map(filing),
    ];
    let before = proptest::option::of(before);
    (before, steps).prop_map(|(before, steps)| {
        let before = before.unwrap_or_default();
        before.into_iter().chain(steps).collect()
    })
}

/// Two devices, one of which administers, two people who were let in, a reply on its way.
fn use_it(any: Index) -> Vec<Step> {
    let partial = Scopes::of(&[Scope::Write, Scope::Pairing]);
    let intents = [
        Intent::Redeem(0, Scopes::all()),
        Intent::OpenWorkspace,
        Intent::AskIn(1, partial),
        Intent::Approve(any, None),
        Intent::PeerSays(0, 0, 0, DmPolicy::Pairing),
        Intent::PeerSays(2, 0, 0, DmPolicy::Pairing),
        Intent::ApprovePeer(0, false),
        Intent::ApprovePeer(2, false),
        Intent::PeerSays(0, 0, 0, DmPolicy::Pairing),
        Intent::PeerSays(2, 1, 0, DmPolicy::Pairing),
        Intent::Run(1, any, 0),
    ];
    intents.into_iter().map(step_of).collect()
}

/// A person gets an answer that is shown while it is written.
fn answering(any: Index) -> Vec<Step> {
    let intents = [
        Intent::Redeem(0, Scopes::all()),
        Intent::PeerSays(0, 0, 0, DmPolicy::Open),
        Intent::Run(0, any, 0),
        Intent::Run(6, any, 0),
        Intent::Deliver(6, any),
    ];
    intents.into_iter().map(step_of).collect()
}

/// Files come and go.
fn filing(changes: Vec<Vec<(u8, u8)>>) -> Vec<Step> {
    let begin = [
        Intent::OpenWorkspace,
        Intent::Files(vec![(0, 5), (1, 4), (2, 1)]),
    ];
    let changes = changes.into_iter().map(Intent::Files);
    begin.into_iter().chain(changes).map(step_of).collect()
}

fn step_of(intent: Intent) -> Step {
    Step {
        pause_ms: 1,
        actor: None,
        key: None,
        intent,
    }
}
