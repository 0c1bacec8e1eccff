//! A simulated gateway: claims the log, ships, and works, as the real one does.
//!
//! Invariant: everything it knows about the world it knows through the code under test; it dies at
//! any point where it waits.

use super::compaction::compact;
use super::disk::SimDisk;
use super::load::{Machine, Moment, Process};
use super::snapshots;
use super::world::World;
use crate::claim::{ClaimRequest, claim};
use crate::error::{ErrorKind, StoreError};
use crate::keys::Keyring;
use crate::log::{EventLog, LogReader};
use crate::ship_status::weight;
use crate::ship_task::{ShipSetup, keep_tail, perform};
use crate::shipper::{Action, Input, Outcome, Shipper};
use crate::snapshot::Snapshot;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, Seq};
use moltbot_core::record::Record;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

const RETRY_MS_MAX: u64 = 800;

/// What a gateway's process is doing, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not running.
    Off,
    /// Claims the log.
    Claiming,
    /// Accepts commands in this epoch.
    Running(Epoch),
    /// Was fenced and stopped.
    Fenced,
    /// Another gateway owns the log.
    Refused,
}

/// What the two halves of a running process share.
#[derive(Default)]
pub(super) struct Mailbox {
    inputs: VecDeque<Input>,
    waker: Option<Waker>,
    pub(super) shipped: Cursor,
    pub(super) is_over: bool,
    /// The snapshots that this process took, the newest last.
    pub(super) snapshots: Vec<Seq>,
}

impl Mailbox {
    fn push(&mut self, input: Input) {
        self.inputs.push_back(input);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The whole life of one process.
pub(super) async fn live(world: Rc<World>, gateway: usize, takeover: bool) {
    let mut disk = world.disk(gateway);
    let keyring = world.keyring(gateway);
    let nonce = format!("{}", world.random(u64::MAX));
    let mut attempt = 0;
    let claimed = loop {
        let request = ClaimRequest {
            instance: world.instance(gateway),
            takeover,
            at: world.timestamp(),
            software: "sim".to_owned(),
            nonce: nonce.clone(),
        };
        let replica = world.replica(gateway);
        let settings = world.settings();
        let mut progress = |_, _| {};
        let mut usable = |snapshot: &Snapshot| snapshots::is_usable(snapshot);
        let result = claim(
            &replica,
            &mut disk,
            &keyring,
            &request,
            &settings,
            &mut usable,
            &mut progress,
        );
        attempt += 1;
        match result.await {
            Ok(claimed) => break claimed,
            Err(error) if error.kind() == ErrorKind::Transient => {
                world.note(gateway, || format!("attempt {attempt}: {error}"));
                let wait = 1 + world.random(RETRY_MS_MAX);
                Rc::clone(&world.clock).sleep(wait).await;
            }
            Err(error) => return world.ended(gateway, &error),
        }
    };
    world.note(gateway, || format!("claimed {claimed:?}"));
    world.anchored(claimed.anchor, &disk);
    if let Err(error) = load_keys(&world, gateway, &keyring).await {
        return world.ended(gateway, &error);
    }
    world.count(|counts| counts.claims += 1);
    world.set_phase(gateway, Phase::Running(claimed.epoch));
    replicated(&world, &disk, Cursor::START, claimed.head);

    let setup = ShipSetup {
        replica: world.replica(gateway),
        local: disk.reader(),
        keyring: Arc::clone(&keyring),
        epoch: claimed.epoch,
        instance: world.instance(gateway),
        shipped: claimed.head,
        settings: world.settings(),
        seed: world.random(u64::MAX),
    };
    let mailbox = Rc::new(RefCell::new(Mailbox {
        shipped: claimed.head,
        ..Mailbox::default()
    }));
    let shipping = ship(
        Rc::clone(&world),
        gateway,
        setup,
        disk.clone(),
        Rc::clone(&mailbox),
    );
    world.spawn(gateway, Box::pin(shipping));
    let compacting = compact(
        Rc::clone(&world),
        gateway,
        claimed.epoch,
        Rc::clone(&mailbox),
    );
    world.spawn(gateway, Box::pin(compacting));
    let machine = Machine {
        reader: disk.reader(),
        log: Box::new(disk),
        keyring,
    };
    let process = world.load.borrow_mut().start(machine);
    match process {
        Ok(process) => work(&world, gateway, process, &mailbox).await,
        Err(error) => world.ended(gateway, &error),
    }
}

/// Fetches the data keys that are not on this machine.
async fn load_keys(world: &Rc<World>, gateway: usize, keyring: &Keyring) -> Result<(), StoreError> {
    loop {
        let replica = world.replica(gateway);
        match keyring.load_remote(&replica, &world.settings()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Transient => {
                let wait = 1 + world.random(RETRY_MS_MAX);
                Rc::clone(&world.clock).sleep(wait).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Lets the process work until it ends.
async fn work(
    world: &Rc<World>,
    gateway: usize,
    mut process: Box<dyn Process>,
    mailbox: &RefCell<Mailbox>,
) {
    loop {
        let pause = world.random(world.pace_ms());
        Rc::clone(&world.clock).sleep(pause).await;
        if mailbox.borrow().is_over {
            return;
        }
        if !world.may_work() {
            mailbox.borrow_mut().push(Input::ShipNow);
            continue;
        }
        let shipped = mailbox.borrow().shipped;
        let snapshot = snapshots::take(world, gateway, shipped).await;
        if mailbox.borrow().is_over {
            return;
        }
        let taken = snapshot.as_ref().map(|taken| taken.seq);
        let done = world.with_rng(|rng| {
            process.work(Moment {
                now_ms: world.clock.now_ms(),
                shipped,
                snapshot,
                rng,
            })
        });
        let done = match done {
            Ok(done) => done,
            // The real writer stops at once; the rest of the process may go on for a moment.
            Err(error) => return world.ended(gateway, &error),
        };
        for line in done.notes {
            world.note(gateway, || line);
        }
        let mut mailbox = mailbox.borrow_mut();
        mailbox.snapshots.extend(taken);
        if let Some(last) = done.appended.last() {
            world.acknowledged_local(gateway, &done.appended);
            mailbox.push(Input::Appended {
                head: last.cursor(),
                bytes: weight(&done.appended),
            });
        }
        if done.ship_now {
            mailbox.push(Input::ShipNow);
        }
    }
}

type Request = Pin<Box<dyn Future<Output = Option<Input>>>>;

/// Drives the shipper, as the ship task does.
async fn ship(
    world: Rc<World>,
    gateway: usize,
    setup: ShipSetup,
    disk: SimDisk,
    mailbox: Rc<RefCell<Mailbox>>,
) {
    let mut shipper = Shipper::new(
        setup.epoch,
        setup.instance.clone(),
        setup.shipped,
        setup.settings.clone(),
        setup.seed,
        world.clock.now_ms(),
    );
    let mut request: Option<Request> = None;
    let mut wake = Some(world.clock.now_ms());
    loop {
        let input = next(&world, &mailbox, &mut request, &mut wake).await;
        let before = shipper.shipped();
        for action in shipper.step(world.clock.now_ms(), input) {
            match action {
                Action::WakeAt(at) => wake = Some(at),
                Action::Shipped(cursor) => {
                    world.note(gateway, || format!("shipped {cursor}"));
                    replicated(&world, &disk, before, cursor);
                    mailbox.borrow_mut().shipped = cursor;
                }
                Action::Fenced(by) => {
                    mailbox.borrow_mut().is_over = true;
                    world.note(gateway, || format!("fenced by {by}"));
                    save_tail(&world, &setup, shipper.shipped()).await;
                    return world.ended(gateway, &StoreError::Fenced { by });
                }
                Action::Failed(error) => return world.ended(gateway, &error),
                Action::ReadRecords {
                    op,
                    from,
                    bytes_max,
                } => {
                    let read = setup.local.read_whole(from, bytes_max);
                    let outcome = read.map_or_else(Outcome::Failed, Outcome::Records);
                    request = Some(Box::pin(async move { Some(Input::Done { op, outcome }) }));
                }
                other => {
                    let (replica, keyring) = (setup.replica.clone(), Arc::clone(&setup.keyring));
                    let body = async move { perform(&replica, &keyring, other).await };
                    request = Some(Box::pin(body));
                }
            }
        }
        let status = shipper.status();
        if status.lag_events != status.head.seq.0 - status.shipped.seq.0 {
            world.violation("the lag is not what is unshipped");
        }
    }
}

/// Whatever happens first, for the shipper.
async fn next(
    world: &World,
    mailbox: &RefCell<Mailbox>,
    request: &mut Option<Request>,
    wake: &mut Option<u64>,
) -> Input {
    std::future::poll_fn(|context| {
        if let Some(body) = request
            && let Poll::Ready(done) = body.as_mut().poll(context)
        {
            *request = None;
            if let Some(done) = done {
                return Poll::Ready(done);
            }
        }
        let mut mailbox = mailbox.borrow_mut();
        if let Some(input) = mailbox.inputs.pop_front() {
            return Poll::Ready(input);
        }
        mailbox.waker = Some(context.waker().clone());
        if let Some(due) = *wake {
            if world.clock.now_ms() >= due {
                *wake = None;
                return Poll::Ready(Input::Tick);
            }
            world.clock.wake_at(due, context.waker());
        }
        Poll::Pending
    })
    .await
}

async fn save_tail(world: &Rc<World>, setup: &ShipSetup, after: Cursor) {
    const TRIES: u32 = 5;
    for _ in 0..TRIES {
        match keep_tail(setup, after).await {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::Transient => {
                Rc::clone(&world.clock).sleep(200).await;
            }
            // It is still on this disk; the next start keeps it.
            Err(error) if error.kind() == ErrorKind::Disk => return,
            Err(error) => return world.violation(&format!("cannot keep a tail: {error}")),
        }
    }
}

/// Everything after `before` up to `to` that is on the disk counts as acknowledged.
fn replicated(world: &World, disk: &SimDisk, before: Cursor, to: Cursor) {
    let base = disk.base();
    let before = if before.seq < base.seq { base } else { before };
    let records = match disk.read(before.seq.next(), usize::MAX) {
        Ok(records) => records,
        Err(error) => return world.violation(&error.to_string()),
    };
    let upto: Vec<Record> = records
        .into_iter()
        .filter(|record| record.seq <= to.seq)
        .collect();
    let end = upto.last().map_or(before, Record::cursor);
    if end != to && to.seq != Seq::ZERO {
        return world.violation(&format!("{to} was shipped but {end} is on the disk"));
    }
    world.acknowledged_replicated(&upto);
}
