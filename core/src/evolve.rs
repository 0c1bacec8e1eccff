//! `evolve`: the fold of a record into the state.
//!
//! Invariant: total and free of effects; the only code that runs on replay. Records come in
//! order: the seq follows and the hash links, asserted here and checked again when read from disk.

use crate::event::Event;
use crate::ids::Seq;
use crate::outbox::Effect;
use crate::record::Record;
use crate::state::{State, UnknownCritical};

/// Folds a record, whose decoded event is `event`.
///
/// # Panics
/// When the record does not follow the state: the caller broke the order of the log.
pub fn evolve(state: &mut State, record: &Record, event: &Event) {
    assert_eq!(
        record.seq,
        state.cursor.seq.next(),
        "records are folded in order"
    );
    assert_eq!(
        record.prev_hash, state.cursor.hash,
        "records are folded along the chain"
    );
    state.cursor = record.cursor();
    state.vault.sealed(record.at, &event.contents());
    let seq = record.seq;
    if seq == Seq(1) {
        state.storage.log = record.hash;
    }
    match event {
        Event::WriterStarted(e) => {
            state.storage.epoch = e.epoch;
            state.storage.writer = e.instance.clone();
            state.storage.started = seq;
        }
        Event::SnapshotTaken(e) => state.storage.snapshot_taken(record, e),
        Event::CheckpointKeyUsed(e) => state.storage.checkpoint_key = Some(e.public_key),
        Event::CommandRecorded(e) => state.idempotency.evolve(seq, record.at, e),
        Event::DataKeyCreated(e) => {
            state.vault.created(record, e);
        }
        Event::ContentForgotten(e) => {
            state.vault.forget(record, e);
            state.outbox.queue(seq, Effect::DeleteKeys(seq));
        }
        Event::DataKeysDeleted(e) => {
            state.vault.deleted(seq, e.tombstone);
            state.outbox.done(e.tombstone);
        }
        Event::MasterKeyRotated(e) => state.vault.master_key = Some(e.fingerprint.clone()),
        Event::ConfigChanged(e) => state.config.evolve(seq, e),
        Event::DevicePairingRequested(e) => state.devices.requested(record, e),
        Event::DeviceApproved(e) => state.devices.approved(record, e),
        Event::DeviceRejected(e) => state.devices.forget_request(&e.request),
        Event::DeviceRevoked(e) => state.devices.revoked(&e.device),
        Event::DeviceTokenRotated(e) => state.devices.token_rotated(e),
        Event::PairingExpired(e) => {
            state.devices.forget_request(&e.request);
            state.peers.forget_request(&e.request);
        }
        Event::PeerPairingRequested(e) => state.peers.requested(record, e),
        Event::PeerApproved(e) => state.peers.approved(record, e),
        Event::PeerBlocked(e) => state.peers.blocked(record, e),
        Event::SessionCreated(e) => state.sessions.created(record, e),
        Event::MessageReceived(e) => state.sessions.received(record, e),
        Event::RunRequested(e) => {
            let retried = e
                .retry_of
                .as_ref()
                .and_then(|_| state.sessions.last_run(&e.session));
            state.runs.requested(record, e, retried);
            state.outbox.queue(seq, Effect::Run(e.run.clone()));
        }
        Event::RunStarted(e) => state.runs.started(seq, e),
        Event::RunCompleted(e) => end_run(state, record, &e.run),
        Event::RunCancelled(e) => end_run(state, record, &e.run),
        Event::RunFailed(e) => end_run(state, record, &e.run),
        Event::RunInterrupted(e) => end_run(state, record, &e.run),
        Event::DeliveryQueued(e) => {
            state.deliveries.queued(seq, e);
            state.outbox.queue(seq, Effect::Deliver(e.delivery.clone()));
        }
        Event::DeliveryBegun(e) => {
            state.deliveries.begun(seq, e);
            state.outbox.queue(seq, Effect::Deliver(e.delivery.clone()));
        }
        Event::DeliveryPosted(e) => state.deliveries.posted(e),
        Event::DeliveryAttempted(e) => state.deliveries.attempted(seq, &e.delivery),
        Event::DeliveryUnknown(e) => state.deliveries.unknown(&e.delivery),
        Event::DeliveryReturned(e) => state.deliveries.resent(&e.delivery),
        Event::DeliveryResent(e) => state.deliveries.resent(&e.delivery),
        Event::DeliveryConfirmed(e) => end_delivery(state, &e.delivery),
        Event::DeliveryFailed(e) => end_delivery(state, &e.delivery),
        Event::DeliveryCancelled(e) => end_delivery(state, &e.delivery),
        Event::FileWritten(e) => state.workspace.written(record, e),
        Event::DirectoryCreated(e) => state.workspace.directory_created(record, e),
        Event::FileDeleted(e) => state.workspace.deleted(e),
        Event::PrincipalIdentified(e) => state.principals.identified(e),
        Event::Unknown(_) if record.critical => {
            state.unknown_critical.get_or_insert(UnknownCritical {
                seq,
                kind: record.kind,
                version: record.version,
            });
        }
        Event::Unknown(_) | Event::StrangersRefused(_) | Event::DurabilityLowered(_) => {}
    }
}

fn end_run(state: &mut State, record: &Record, run: &crate::ids::RunId) {
    if let Some(ended) = state.runs.ended(run) {
        state.outbox.done(ended.requested);
        state.sessions.run_ended(record, run, &ended);
        state.deliveries.text_known(run, record.seq);
    }
}

fn end_delivery(state: &mut State, delivery: &crate::ids::DeliveryId) {
    if let Some(ended) = state.deliveries.ended(delivery) {
        state.outbox.done(ended.queued);
    }
}
