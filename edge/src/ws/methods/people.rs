//! `peer.*`: letting people on channels in, and keeping them out.
//!
//! Invariant: who guesses codes is slowed down like who guesses tokens; while an address is over its
//! limit, the right code is refused as well.

use super::{Caller, devices};
use crate::gateway::{Gateway, Running};
use crate::limits::PEERS_LISTED_MAX;
use crate::present::people as present;
use crate::stamp;
use crate::ws::frame::{Failure, Params};
use moltbot_core::command::Action;
use moltbot_core::ids::PeerId;
use moltbot_core::peer::Peer;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Who waits, in the order in which they asked; who was let in and who is not heard, newest first.
/// `hasMore` says that there are others beyond [`PEERS_LISTED_MAX`].
pub fn list(running: &Running) -> Value {
    let now = stamp::now();
    let (mut pending, approved, blocked, has_more) = running.view.read(|model| {
        let peers = &model.state.peers;
        let waiting = peers.pending.values();
        let waiting = waiting.filter(|request| request.asked.expires_at > now);
        let most = peers.approved.len().max(peers.blocked.len());
        (
            waiting.cloned().collect::<Vec<_>>(),
            newest(&peers.approved),
            newest(&peers.blocked),
            most > PEERS_LISTED_MAX,
        )
    });
    pending.sort_by_key(|request| request.seq);
    let row = |request| present::waiting(running, request);
    let approved = approved.iter();
    let blocked = blocked.iter();
    json!({
        "pending": pending.iter().map(row).collect::<Vec<_>>(),
        "approved": approved
            .map(|(id, peer)| present::approved(running, id, peer))
            .collect::<Vec<_>>(),
        "blocked": blocked
            .map(|(id, peer)| present::blocked(running, id, peer))
            .collect::<Vec<_>>(),
        "hasMore": has_more,
        "shippedSeq": running.shipped_seq(),
    })
}

/// The devices, and beside them the people under `peers`: everyone who was let in or wants to be.
pub fn list_with_devices(gateway: &Gateway, running: &Running) -> Value {
    let mut all = devices::list(gateway, running);
    all["peers"] = list(running);
    all
}

fn newest(peers: &BTreeMap<PeerId, Peer>) -> Vec<(PeerId, Peer)> {
    let mut newest: Vec<_> = peers.iter().collect();
    newest.sort_unstable_by_key(|(_, peer)| Reverse(peer.seq));
    newest.truncate(PEERS_LISTED_MAX);
    let own = |(id, peer): (&PeerId, &Peer)| (id.clone(), peer.clone());
    newest.into_iter().map(own).collect()
}

pub(super) async fn approve(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let is_operator = params.flag_opt("isOperator")?.unwrap_or(false);
    let peer = wanted(caller, params)?;
    let action = Action::ApprovePeer {
        peer: peer.clone(),
        is_operator,
    };
    let mut answer = devices::act(caller, action).await?;
    let running = caller.running()?;
    let approved = running
        .view
        .read(|model| model.state.peers.approved.get(&peer).cloned());
    answer["peerId"] = json!(peer);
    answer["peer"] = json!(approved.map(|approved| present::approved(running, &peer, &approved)));
    Ok(answer)
}

pub(super) async fn block(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let peer = PeerId::from(params.id("peerId")?);
    let action = Action::BlockPeer { peer: peer.clone() };
    let mut answer = devices::act(caller, action).await?;
    answer["peerId"] = json!(peer);
    Ok(answer)
}

/// Whom an approval means: by id, or by the code that the person was given.
fn wanted(caller: &Caller, params: &Params) -> Result<PeerId, Failure> {
    match (params.value("peerId"), params.value("code")) {
        (Some(_), None) => params.id("peerId").map(PeerId::from),
        (None, Some(_)) => by_code(caller, params.id("code")?),
        _ => Err(params.invalid("must have either property 'peerId' or property 'code'")),
    }
}

fn by_code(caller: &Caller, spelled: &str) -> Result<PeerId, Failure> {
    let (gateway, now) = (&caller.gateway, stamp::now());
    if let Some(ms) = gateway.limiter.wait_ms(caller.address, now) {
        let text = "too many failed attempts from this address (wait a minute)";
        return Err(Failure::limited(text, ms));
    }
    let code = spelled.replace(['-', ' '], "").to_uppercase();
    let found = caller.running()?.view.read(|model| {
        let mut waiting = model.state.peers.pending.values();
        waiting
            .find(|request| request.asked.code == code && request.asked.expires_at > now)
            .map(|request| request.asked.peer.clone())
    });
    found.ok_or_else(|| {
        gateway.count_refusal(caller.address, "wrong pairing code");
        let text =
            "nobody waits with this code; it holds for an hour, then the person writes again";
        Failure::invalid(text).with(json!({ "code": "unknown_code" }))
    })
}
