//! The self-test of a remote log: does the object store do what the log relies on?
//!
//! One probe object is created, created again (which must be refused), read, listed and deleted
//! under `probe/`. Invariant: it touches nothing of the log, ends within its time, and says the
//! first thing that is wrong in words of [`crate::diagnosis`].

use crate::diagnosis::{Diagnosis, Fault};
use crate::layout;
use crate::replica::Replica;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// What is tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An object is created.
    Put,
    /// The same object is created again: the store must refuse.
    PutAgain,
    /// It is read.
    Get,
    /// It is listed.
    List,
    /// It is deleted.
    Delete,
}

impl Step {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Step::Put => "put",
            Step::PutAgain => "put_again",
            Step::Get => "get",
            Step::List => "list",
            Step::Delete => "delete",
        }
    }

    /// The verb for a sentence.
    fn verb(self) -> &'static str {
        match self {
            Step::Put | Step::PutAgain => "create",
            Step::Get => "read",
            Step::List => "list",
            Step::Delete => "delete",
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which step showed it.
    pub step: Step,
    /// What it is.
    pub diagnosis: Diagnosis,
}

/// Tries everything once; `name` is a random name for the probe. Nothing is repeated: what passes
/// by itself is found again by whoever asks again.
pub async fn run(replica: &Replica, name: &str, limit: Duration) -> Result<(), Finding> {
    let probe = Probe {
        replica,
        name,
        path: layout::probe(name),
        step: Mutex::new(Step::Put),
    };
    let in_time = tokio::time::timeout(limit, probe.run()).await;
    let outcome = in_time.unwrap_or_else(|_| {
        let verb = probe.step().verb();
        Err(replica.subject.of(Fault::Timeout, verb))
    });
    outcome.map_err(|diagnosis| Finding {
        step: probe.step(),
        diagnosis,
    })
}

struct Probe<'a> {
    replica: &'a Replica,
    name: &'a str,
    path: Path,
    /// Where it is, for whoever ends it from outside.
    step: Mutex<Step>,
}

impl Probe<'_> {
    async fn run(&self) -> Result<(), Diagnosis> {
        self.create(Step::Put, FIRST).await?;
        let tried = self.use_it().await;
        let step = self.step();
        let deleted = self.delete().await;
        if tried.is_err() {
            // What was wrong first is what a person has to know.
            self.enter(step);
        }
        tried.and(deleted)
    }

    async fn use_it(&self) -> Result<(), Diagnosis> {
        if self.create(Step::PutAgain, SECOND).await? {
            return Err(self.fault(Fault::ConditionIgnored));
        }
        if self.read().await? != FIRST {
            return Err(self.fault(Fault::WrongContent));
        }
        if !self.is_listed().await? {
            return Err(self.fault(Fault::Unexpected));
        }
        Ok(())
    }

    /// Creates the probe if it is absent; whether it was.
    async fn create(&self, step: Step, bytes: &'static [u8]) -> Result<bool, Diagnosis> {
        self.enter(step);
        let payload = PutPayload::from_bytes(Bytes::from_static(bytes));
        let options = PutOptions::from(PutMode::Create);
        match self.store().put_opts(&self.path, payload, options).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.explain(&error)),
        }
    }

    async fn read(&self) -> Result<Bytes, Diagnosis> {
        self.enter(Step::Get);
        let get = async {
            let found = self.store().get_opts(&self.path, GetOptions::default());
            found.await?.bytes().await
        };
        get.await.map_err(|error| self.explain(&error))
    }

    async fn is_listed(&self) -> Result<bool, Diagnosis> {
        self.enter(Step::List);
        let folder = layout::probe_folder(self.name);
        let names: Result<Vec<_>, _> = self.store().list(Some(&folder)).try_collect().await;
        let names = names.map_err(|error| self.explain(&error))?;
        Ok(names.iter().any(|meta| meta.location == self.path))
    }

    async fn delete(&self) -> Result<(), Diagnosis> {
        self.enter(Step::Delete);
        let deleted = self.store().delete(&self.path).await;
        deleted.map_err(|error| self.explain(&error))
    }

    fn store(&self) -> &dyn ObjectStore {
        &*self.replica.store
    }

    fn explain(&self, error: &Error) -> Diagnosis {
        self.replica.subject.explain(self.step().verb(), error)
    }

    fn fault(&self, fault: Fault) -> Diagnosis {
        self.replica.subject.of(fault, self.step().verb())
    }

    fn enter(&self, step: Step) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    fn step(&self) -> Step {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FIRST: &[u8] = b"moltbot self-test";
const SECOND: &[u8] = b"moltbot self-test, created twice";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::{ReplicaKind, ReplicaOptions};
    use crate::testing::faulty_store::{Faults, FaultyStore};
    use object_store::memory::InMemory;
    use std::sync::Arc;

    const LIMIT: Duration = Duration::from_secs(30);

    fn replica(store: Arc<dyn ObjectStore>) -> Replica {
        Replica::over(store, ReplicaKind::Memory)
    }

    #[tokio::test]
    async fn a_sound_store_passes_and_keeps_nothing() {
        let store = Arc::new(InMemory::new());
        let replica = replica(Arc::clone(&store) as Arc<dyn ObjectStore>);
        assert_eq!(run(&replica, "one", LIMIT).await, Ok(()));
        assert_eq!(replica.list(layout::PROBES).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_directory_passes() {
        let directory = tempfile::tempdir().unwrap();
        let url = url::Url::from_directory_path(directory.path()).unwrap();
        let replica = Replica::open(url.as_str(), &ReplicaOptions::default()).unwrap();
        assert_eq!(run(&replica, "one", LIMIT).await, Ok(()));
    }

    #[tokio::test]
    async fn the_step_that_fails_is_named() {
        let store = FaultyStore::new(Arc::new(InMemory::new()), 1);
        store.set_faults(Faults {
            undeletable: 1000,
            ..Faults::default()
        });
        let replica = replica(Arc::new(store));
        let finding = run(&replica, "one", LIMIT).await.unwrap_err();
        assert_eq!(finding.step, Step::Delete);
        assert!(!finding.diagnosis.message.is_empty());
    }

    #[tokio::test]
    async fn a_store_that_was_written_to_by_another_under_this_name_is_not_overwritten() {
        let store = Arc::new(InMemory::new());
        let replica = replica(Arc::clone(&store) as Arc<dyn ObjectStore>);
        let other = Bytes::from_static(b"somebody else's");
        replica.create(&layout::probe("one"), other).await.unwrap();
        let finding = run(&replica, "one", LIMIT).await.unwrap_err();
        assert_eq!(finding.diagnosis.fault, Fault::WrongContent);
    }
}
