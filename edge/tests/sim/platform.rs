//! A chat platform that gateways share: it outlives all of them and remembers what it saw.
//!
//! Invariant: numbers what people write, gives it out again until it may forget it, and never lies
//! about what it received.

use moltbot_core::ids::{DeliveryId, KeyId, RunId, Seq};
use moltbot_store::testing::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// What happened, for the end of the test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Messages people wrote.
    pub(crate) written: u64,
    /// Messages given out more than once.
    pub(crate) redelivered: u64,
    /// Messages of the bot.
    pub(crate) posted: u64,
    /// Of these, first forms of answers still being written.
    pub(crate) streamed: u64,
    /// Posts whose answer got lost.
    pub(crate) unknown: u64,
    /// Attempts wanted once more by an operator.
    pub(crate) resent: u64,
    /// Effects that did not wait for the remote log.
    pub(crate) lowered: u64,
    /// Times somebody was forgotten, and times keys were deleted because of it.
    pub(crate) forgotten: u64,
    pub(crate) deleted: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Seen) {
        self.written += other.written;
        self.redelivered += other.redelivered;
        self.posted += other.posted;
        self.streamed += other.streamed;
        self.unknown += other.unknown;
        self.resent += other.resent;
        self.lowered += other.lowered;
        self.forgotten += other.forgotten;
        self.deleted += other.deleted;
    }
}

/// The answer to a post, as far as it came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken(u64),
    Refused,
    Lost,
}

/// A message somebody wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) mark: u64,
    pub(crate) sender: u64,
}

#[derive(Default)]
pub(crate) struct Platform {
    updates: Vec<Update>,
    given: BTreeSet<u64>,
    forgotten: u64,
    /// What it was told to forget, and whether that was safe.
    pub(crate) confirmed: BTreeMap<u64, bool>,
    /// Posts per delivery, with the run they belong to.
    pub(crate) posts: BTreeMap<DeliveryId, u64>,
    /// Deliveries whose attempt did not wait for the remote log.
    pub(crate) lowered: BTreeSet<DeliveryId>,
    pub(crate) runs: BTreeMap<DeliveryId, RunId>,
    /// Keys that were deleted, and the record that allowed it. They are gone whatever the platform is.
    pub(crate) deleted: Vec<(Seq, Vec<KeyId>)>,
    messages: u64,
    pub(crate) seen: Seen,
}

impl Platform {
    /// Somebody writes.
    pub(crate) fn write(&mut self, rng: &mut Rng) {
        // The numbers rise, with gaps.
        let last = self.updates.last().map_or(100, |update| update.mark);
        let mark = last + 1 + rng.below(3);
        let sender = rng.below(3);
        self.updates.push(Update { mark, sender });
        self.seen.written += 1;
    }

    /// What it may not forget yet, oldest first.
    pub(crate) fn updates(&mut self, max: usize) -> Vec<Update> {
        let kept = self.updates.iter().filter(|u| u.mark > self.forgotten);
        let kept: Vec<Update> = kept.take(max).copied().collect();
        for update in &kept {
            if !self.given.insert(update.mark) {
                self.seen.redelivered += 1;
            }
        }
        kept
    }

    /// It may forget everything up to this.
    pub(crate) fn forget(&mut self, upto: u64, is_safe: bool) {
        for update in &self.updates {
            if update.mark > self.forgotten && update.mark <= upto {
                self.confirmed.insert(update.mark, is_safe);
            }
        }
        self.forgotten = self.forgotten.max(upto);
    }

    /// The bot posts something.
    pub(crate) fn post(&mut self, delivery: &DeliveryId, rng: &mut Rng) -> Answer {
        if rng.chance(50) {
            return Answer::Refused;
        }
        let arrives = rng.chance(950);
        if arrives {
            self.messages += 1;
            self.seen.posted += 1;
            *self.posts.entry(delivery.clone()).or_default() += 1;
        }
        if arrives && rng.chance(900) {
            return Answer::Taken(self.messages);
        }
        self.seen.unknown += 1;
        Answer::Lost
    }
}
