//! The laws: what may never happen, whatever fails.
//!
//! Invariant: looks at the object store itself, without the code under test that reads it.

use crate::layout;
use crate::segment;
use moltbot_core::chain::Cursor;
use moltbot_core::event::Event;
use moltbot_core::ids::{KeyId, Seq};
use moltbot_core::record::Record;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::coverage::Coverage;
use super::executor::now;
use futures_util::TryStreamExt;

type Place = (Seq, [u8; 32]);

/// What was promised, and to check it against, what is stored.
pub(super) struct Oracle {
    remote: Arc<InMemory>,
    /// Acknowledged `Local` by each gateway and not lost with its disk.
    local: Vec<BTreeSet<Place>>,
    /// Acknowledged `Replicated` by anyone.
    replicated: BTreeMap<Seq, [u8; 32]>,
    /// The remote log so far, record by record.
    chain: Vec<Cursor>,
    coverage: Coverage,
    orphans: BTreeSet<Place>,
    orphans_read: BTreeSet<Path>,
    keys: Vec<KeyId>,
}

fn place(record: &Record) -> Place {
    (record.seq, record.hash.0)
}

impl Oracle {
    pub(super) fn new(remote: Arc<InMemory>, gateways: usize) -> Oracle {
        Oracle {
            coverage: Coverage::new(Arc::clone(&remote)),
            remote,
            local: vec![BTreeSet::new(); gateways],
            replicated: BTreeMap::new(),
            chain: Vec::new(),
            orphans: BTreeSet::new(),
            orphans_read: BTreeSet::new(),
            keys: Vec::new(),
        }
    }

    pub(super) fn acknowledged_local(&mut self, gateway: usize, records: &[Record]) {
        if let Some(acknowledged) = self.local.get_mut(gateway) {
            acknowledged.extend(records.iter().map(place));
        }
    }

    pub(super) fn wiped(&mut self, gateway: usize) {
        if let Some(acknowledged) = self.local.get_mut(gateway) {
            acknowledged.clear();
        }
    }

    /// Law: two writers never get `Replicated` for the same seq with different records, and what
    /// is acknowledged as replicated is in the remote log.
    pub(super) fn acknowledged_replicated(&mut self, records: &[Record]) -> Result<(), String> {
        self.follow_chain()?;
        for record in records {
            let known = self.replicated.insert(record.seq, record.hash.0);
            if known.is_some_and(|hash| hash != record.hash.0) {
                return Err(format!("#{} was replicated twice, differently", record.seq));
            }
            self.is_in_chain(record.seq, record.hash.0)?;
        }
        Ok(())
    }

    /// Law: nobody begins with a state that is not that of the log.
    pub(super) fn is_log(&mut self, cursor: Cursor) -> Result<(), String> {
        self.follow_chain()?;
        self.is_in_chain(cursor.seq, cursor.hash.0)
    }

    /// Law: a rewind drops nothing that was acknowledged unless it is kept remotely.
    pub(super) fn dropped(&mut self, gateway: usize, records: &[Record]) -> Result<(), String> {
        self.follow_chain()?;
        self.read_orphans()?;
        let Some(acknowledged) = self.local.get(gateway) else {
            return Ok(());
        };
        match records
            .iter()
            .map(place)
            .find(|place| acknowledged.contains(place) && !self.is_kept(place))
        {
            Some((seq, _)) => Err(format!("#{seq} was dropped and is kept nowhere")),
            None => Ok(()),
        }
    }

    /// Law: the remote log only ever grows, without a gap, and holds everything replicated.
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.follow_chain()?;
        for (seq, hash) in &self.replicated {
            self.is_in_chain(*seq, *hash)?;
        }
        self.coverage.check(&self.chain)
    }

    /// Law at the end: everything acknowledged `Local` is in the remote log or under `orphan/`.
    pub(super) fn check_all_kept(&mut self) -> Result<(), String> {
        self.check()?;
        self.read_orphans()?;
        for (gateway, acknowledged) in self.local.iter().enumerate() {
            if let Some((seq, _)) = acknowledged.iter().find(|place| !self.is_kept(place)) {
                return Err(format!(
                    "#{seq} was acknowledged by gateway {gateway} and is kept nowhere"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn tail(&self) -> Cursor {
        self.chain.last().copied().unwrap_or(Cursor::START)
    }

    pub(super) fn replicated_count(&self) -> usize {
        self.replicated.len()
    }

    pub(super) fn orphan_count(&self) -> usize {
        self.orphans.len()
    }

    fn is_kept(&self, place: &Place) -> bool {
        self.is_in_chain(place.0, place.1).is_ok() || self.orphans.contains(place)
    }

    fn is_in_chain(&self, seq: Seq, hash: [u8; 32]) -> Result<(), String> {
        let index = usize::try_from(seq.0.saturating_sub(1)).unwrap_or(usize::MAX);
        match self.chain.get(index) {
            Some(cursor) if cursor.hash.0 == hash => Ok(()),
            Some(_) => Err(format!("another record #{seq} is in the remote log")),
            None => Err(format!("#{seq} is not in the remote log")),
        }
    }

    fn get(&self, path: &Path) -> Option<bytes::Bytes> {
        let got = now(async { self.remote.get(path).await.ok()?.bytes().await.ok() });
        got.flatten()
    }

    /// Reads what came to the remote log since the last time; objects never change, so what was
    /// read before needs no second look.
    fn follow_chain(&mut self) -> Result<(), String> {
        loop {
            let tail = self.tail();
            let path = layout::segment(tail.seq.next());
            let Some(bytes) = self.get(&path) else {
                return Ok(());
            };
            let found =
                segment::decode(path.as_ref(), &bytes).map_err(|error| error.to_string())?;
            if found.header.from() != tail {
                return Err(format!("`{path}` does not follow {tail}"));
            }
            self.coverage.shipped(found.header.first, found.header.last);
            for record in &found.records {
                self.chain.push(record.cursor());
                if let Ok(Event::DataKeyCreated(event)) = record.event() {
                    self.keys.push(event.key);
                }
            }
            for id in std::mem::take(&mut self.keys) {
                if self.get(&layout::key(&id)).is_none() {
                    return Err(format!("`{path}` names key `{id}`, which is not there"));
                }
            }
        }
    }

    fn read_orphans(&mut self) -> Result<(), String> {
        let folder = Path::from(layout::ORPHANS);
        let listed = now(self.remote.list(Some(&folder)).try_collect::<Vec<_>>());
        let listed = listed.and_then(Result::ok).unwrap_or_default();
        for path in listed.into_iter().map(|meta| meta.location) {
            if !self.orphans_read.insert(path.clone()) {
                continue;
            }
            let bytes = self.get(&path).unwrap_or_default();
            let found =
                segment::decode(path.as_ref(), &bytes).map_err(|error| error.to_string())?;
            self.orphans.extend(found.records.iter().map(place));
        }
        Ok(())
    }
}
