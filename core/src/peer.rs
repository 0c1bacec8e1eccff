//! People on channels: the first message asks in, the operator answers, later messages go through.
//!
//! Invariant: nothing a stranger writes reaches the assistant before an operator let him in; a
//! blocked person leaves no trace.

use crate::actor::{Actor, Scope};
use crate::command::{Action, Command, DmPolicy};
use crate::content::Content;
use crate::decide::{Draft, require_inline};
use crate::delivery;
use crate::error::Rejection;
use crate::event::{PairingExpired, PeerApproved, PeerBlocked, PeerPairingRequested};
use crate::ids::{PeerId, RequestId, RunId, Seq};
use crate::limits::{PEER_CODE_CHARS, PEER_REQUEST_TTL_MS, PEER_REQUESTS_MAX};
use crate::record::Record;
use crate::session;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person who waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequest {
    /// What was asked.
    pub asked: PeerPairingRequested,
    /// The record that asked.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

/// A person who was let in, or kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The channel.
    pub channel: String,
    /// The bot's account on it.
    pub account: String,
    /// What the platform called the person when he asked.
    pub name: Option<Content>,
    /// Whether it is the operator himself.
    pub is_operator: bool,
    /// The record that let him in, or kept him out.
    pub seq: Seq,
    /// When that was.
    pub at: Timestamp,
}

/// All people on channels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peers {
    /// Those who wait.
    pub pending: BTreeMap<RequestId, PeerRequest>,
    /// Those who were let in.
    pub approved: BTreeMap<PeerId, Peer>,
    /// Those who are not heard.
    pub blocked: BTreeMap<PeerId, Peer>,
}

impl Peers {
    pub(crate) fn requested(&mut self, record: &Record, event: &PeerPairingRequested) {
        let request = PeerRequest {
            asked: event.clone(),
            seq: record.seq,
            at: record.at,
        };
        self.pending.insert(event.request.clone(), request);
    }

    pub(crate) fn approved(&mut self, record: &Record, event: &PeerApproved) {
        let asked = self
            .request_of(&event.peer)
            .map(|request| request.asked.name.clone());
        let known = self.known(&event.peer).and_then(|peer| peer.name.clone());
        let name = event.name.clone().or(asked).or(known);
        self.pending
            .retain(|_, request| request.asked.peer != event.peer);
        self.blocked.remove(&event.peer);
        let peer = Peer {
            channel: event.channel.clone(),
            account: event.account.clone(),
            name,
            is_operator: event.is_operator,
            seq: record.seq,
            at: record.at,
        };
        self.approved.insert(event.peer.clone(), peer);
    }

    pub(crate) fn blocked(&mut self, record: &Record, event: &PeerBlocked) {
        let asked = self.request_of(&event.peer).map(|request| &request.asked);
        let known = self.known(&event.peer);
        let account = asked
            .map(|asked| &asked.account)
            .or(known.map(|known| &known.account));
        let peer = Peer {
            channel: event.channel.clone(),
            account: account.cloned().unwrap_or_default(),
            name: asked
                .map(|asked| asked.name.clone())
                .or_else(|| known?.name.clone()),
            is_operator: false,
            seq: record.seq,
            at: record.at,
        };
        self.pending
            .retain(|_, request| request.asked.peer != event.peer);
        self.approved.remove(&event.peer);
        self.blocked.insert(event.peer.clone(), peer);
    }

    /// Whether he wrote and waits, was let in, or is kept out.
    pub(crate) fn has_met(&self, peer: &PeerId) -> bool {
        self.known(peer).is_some() || self.request_of(peer).is_some()
    }

    pub(crate) fn forget_request(&mut self, request: &RequestId) {
        self.pending.remove(request);
    }

    fn known(&self, peer: &PeerId) -> Option<&Peer> {
        self.approved.get(peer).or_else(|| self.blocked.get(peer))
    }

    fn request_of(&self, peer: &PeerId) -> Option<&PeerRequest> {
        self.pending
            .values()
            .find(|request| request.asked.peer == *peer)
    }
}

pub(crate) fn decide(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    match &command.action {
        Action::ApprovePeer { peer, is_operator } => {
            draft.require(&command.actor, Scope::Pairing)?;
            let is_operator = *is_operator;
            if is_operator {
                // He will write to the main session: that is not given by who may not do it.
                draft.require(&command.actor, Scope::Write)?;
            }
            let (channel, account) = place(draft, peer, command.at)?;
            let waited = draft.state.peers.request_of(peer).is_some();
            let approved = draft.next_seq();
            draft.push(PeerApproved {
                peer: peer.clone(),
                channel: channel.clone(),
                account,
                is_operator,
                name: None,
            });
            // Whoever waits is told; who was let in before knows.
            if waited {
                delivery::queue(draft, peer, channel, approved);
            }
            Ok(())
        }
        Action::BlockPeer { peer } => {
            draft.require(&command.actor, Scope::Pairing)?;
            if draft.state.peers.blocked.contains_key(peer) {
                return Ok(());
            }
            let (channel, _) = place(draft, peer, command.at)?;
            draft.push(PeerBlocked {
                peer: peer.clone(),
                channel,
            });
            delivery::drop_due(draft, peer);
            Ok(())
        }
        Action::ReceiveFromPeer {
            channel,
            account,
            name,
            text,
            run,
            policy,
        } => {
            let Actor::Peer(peer) = &command.actor else {
                return Err(Rejection::new(
                    "not_allowed",
                    "only a channel brings such a message",
                ));
            };
            let inbound = Inbound {
                channel,
                account,
                name,
                text,
                run,
                policy: *policy,
            };
            receive(draft, command, peer, &inbound)
        }
        _ => Ok(()),
    }
}

/// Drops the requests that lapsed by `at`.
pub(crate) fn expire(draft: &mut Draft, at: Timestamp) {
    let peers = &draft.state.peers;
    for (request, waiting) in peers
        .pending
        .iter()
        .filter(|(_, r)| r.asked.expires_at <= at)
    {
        draft.push(PairingExpired {
            request: request.clone(),
        });
        // A code that no longer works is not told any more.
        delivery::drop_due(draft, &waiting.asked.peer);
    }
}

struct Inbound<'a> {
    channel: &'a str,
    account: &'a str,
    name: &'a str,
    text: &'a str,
    run: &'a RunId,
    policy: DmPolicy,
}

fn receive(
    draft: &mut Draft,
    command: &Command,
    peer: &PeerId,
    inbound: &Inbound,
) -> Result<(), Rejection> {
    let peers = &draft.state.peers;
    if peers.blocked.contains_key(peer) || inbound.policy == DmPolicy::Disabled {
        return Ok(());
    }
    require_inline(&[
        peer.as_str(),
        inbound.channel,
        inbound.account,
        inbound.name,
    ])?;
    let known = peers.approved.get(peer);
    match (known, inbound.policy) {
        (Some(known), _) => {
            let key = session_key(inbound.channel, peer, known.is_operator);
            session::receive(draft, command, &key, inbound.run, inbound.text)
        }
        (None, DmPolicy::Open) => {
            let name = draft.content(&format!("peer/{peer}"), "self", inbound.name);
            draft.push(PeerApproved {
                peer: peer.clone(),
                channel: inbound.channel.to_owned(),
                account: inbound.account.to_owned(),
                is_operator: false,
                name: Some(name),
            });
            // The code of a request he may have made is not needed any more.
            delivery::drop_due(draft, peer);
            let key = session_key(inbound.channel, peer, false);
            session::receive(draft, command, &key, inbound.run, inbound.text)
        }
        (None, DmPolicy::Pairing) => ask(draft, command, peer, inbound),
        (None, DmPolicy::Allowlist | DmPolicy::Disabled) => Ok(()),
    }
}

fn ask(
    draft: &mut Draft,
    command: &Command,
    peer: &PeerId,
    inbound: &Inbound,
) -> Result<(), Rejection> {
    let waiting = |request: &&PeerRequest| request.asked.expires_at > command.at;
    let live: Vec<&PeerRequest> = draft.state.peers.pending.values().filter(waiting).collect();
    let same_place = |request: &&&PeerRequest| {
        request.asked.channel == inbound.channel && request.asked.account == inbound.account
    };
    if live.iter().any(|request| request.asked.peer == *peer)
        || live.iter().filter(same_place).count() >= PEER_REQUESTS_MAX
    {
        return Ok(());
    }
    session::check_text(inbound.text)?;
    expire(draft, command.at);
    let stream = format!("peer/{peer}");
    let name = draft.content(&stream, "self", inbound.name);
    let message = draft.content(&stream, "self", inbound.text);
    let asked = draft.next_seq();
    draft.push(PeerPairingRequested {
        request: RequestId(draft.id("pairing request")),
        peer: peer.clone(),
        channel: inbound.channel.to_owned(),
        account: inbound.account.to_owned(),
        name,
        message,
        code: draft.code("pairing code", PEER_CODE_CHARS),
        expires_at: command.at.plus_ms(PEER_REQUEST_TTL_MS),
    });
    // The code is told once: later messages of the same person find the request and say nothing.
    delivery::queue(draft, peer, inbound.channel.to_owned(), asked);
    Ok(())
}

/// The key of a person's own conversation, while he is a guest.
pub(crate) fn direct_session_key(peers: &Peers, peer: &PeerId) -> String {
    let known = peers.known(peer).map(|peer| &peer.channel);
    let asked = || peers.request_of(peer).map(|request| &request.asked.channel);
    let channel = known.or_else(asked).map(String::as_str);
    // Whoever is not known any more has his channel in his id.
    let channel = channel
        .or_else(|| peer.as_str().split(':').next())
        .unwrap_or_default();
    session::canonical_key(&session_key(channel, peer, false))
}

fn session_key(channel: &str, peer: &PeerId, is_operator: bool) -> String {
    if is_operator {
        return session::MAIN_KEY.to_owned();
    }
    // The id of a person begins with his channel, which the key says already.
    let own = peer.as_str().strip_prefix(channel);
    let own = own.and_then(|rest| rest.strip_prefix(':'));
    format!("agent:main:{channel}:dm:{}", own.unwrap_or(peer.as_str()))
}

fn place(draft: &Draft, peer: &PeerId, at: Timestamp) -> Result<(String, String), Rejection> {
    let peers = &draft.state.peers;
    let asked = peers
        .pending
        .values()
        .find(|r| r.asked.peer == *peer && r.asked.expires_at > at)
        .map(|r| (r.asked.channel.clone(), r.asked.account.clone()));
    let known = peers
        .known(peer)
        .map(|peer| (peer.channel.clone(), peer.account.clone()));
    asked
        .or(known)
        .ok_or_else(|| Rejection::new("unknown_peer", "nobody of this id has written"))
}

#[cfg(test)]
mod tests;
