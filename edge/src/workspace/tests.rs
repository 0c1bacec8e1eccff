//! Passes over a log in memory: what forgetting an author leaves behind.

use super::materialize::{Source, materialize};
use super::root::Root;
use super::tree::{Recorded, Tree, blob_key, key_of};
use super::{Pass, Progress, Report};
use crate::writer::recorder::Recorder;
use moltbot_core::actor::Actor;
use moltbot_core::command::{Action, Command, FileChange};
use moltbot_core::ids::{Entropy, KeyId};
use moltbot_core::time::Timestamp;
use moltbot_core::workspace::{INDEX_AUTHOR, REGULAR, file_id};
use moltbot_store::blobs::{BlobWriter, LocalBlobs};
use moltbot_store::keys::Keyring;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use object_store::memory::InMemory;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// A log in memory, and a directory beside it.
struct Scene {
    recorder: Recorder,
    keyring: Arc<Keyring>,
    replica: Replica,
    directory: tempfile::TempDir,
    commands: u8,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let keyring = Arc::new(Keyring::in_memory(None));
        let blobs = LocalBlobs::open(&directory.path().join("blobs"), 1 << 20).unwrap();
        let replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
        let state = moltbot_core::state::State::default();
        let log = Box::new(MemoryLog::new());
        Scene {
            recorder: Recorder::new(log, Arc::clone(&keyring), state),
            keyring,
            replica: replica.with_blobs(Arc::new(blobs)),
            directory,
            commands: 0,
        }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("workspace")
    }

    fn submit(&mut self, actor: &Actor, action: Action) {
        self.commands += 1;
        let command = Command {
            at: Timestamp(1),
            actor: actor.clone(),
            entropy: Entropy([self.commands; 32]),
            cause: None,
            correlation: None,
            idempotency: None,
            action,
        };
        self.recorder.stage(&command).unwrap().unwrap();
        self.recorder.commit().unwrap();
    }

    /// Records a file as this actor's; the key that seals it.
    fn write(&mut self, actor: &Actor, path: &str, content: &[u8]) -> KeyId {
        self.submit(actor, Action::CreateWorkspaceKeys);
        let state = self.recorder.state();
        let author = moltbot_core::workspace::author(actor);
        let key = key_of(state, &author).unwrap();
        let index = self.keyring.get(&key_of(state, INDEX_AUTHOR).unwrap());
        let sealing = blob_key(&self.keyring, &key).unwrap();
        let mut writer = BlobWriter::new(self.replica.blobs.as_ref().unwrap(), &sealing);
        writer.push(content).unwrap();
        let written = writer.finish().unwrap();
        let change = FileChange::Write {
            file: file_id(&index.unwrap(), path),
            path: path.to_owned(),
            mode: REGULAR | 0o644,
            size: written.bytes,
            blob: written.blob,
        };
        let (key, changes) = (key.clone(), vec![change]);
        let record = Action::RecordFiles {
            key: key.clone(),
            changes,
        };
        self.submit(actor, record);
        key
    }

    async fn restore(&self) -> Report {
        let source = Source {
            recorded: Recorded::of(self.recorder.state()),
            keyring: Arc::clone(&self.keyring),
            replica: self.replica.clone(),
        };
        let pass = Pass {
            root: &self.root(),
            base: Some(&self.directory.path().join("base")),
            cause: None,
            watch: &watch::Sender::new(Progress::IDLE),
        };
        materialize(source, &pass).await.unwrap()
    }
}

#[tokio::test]
async fn what_was_forgotten_is_unreadable_and_leaves_the_disk() {
    let mut scene = Scene::new();
    let mine = Actor::Local;
    let theirs = Actor::System;
    scene.write(&mine, "kept", b"mine");
    let forgotten = scene.write(&theirs, "forgotten", b"theirs");
    assert_eq!(scene.restore().await.restored, 2);
    assert!(scene.root().join("forgotten").exists());

    scene.keyring.remove(&[forgotten]).unwrap();
    let tree = Tree::open(Recorded::of(scene.recorder.state()), &scene.keyring);
    assert_eq!((tree.nodes.len(), tree.forgotten), (1, 1));
    let report = scene.restore().await;
    assert_eq!(
        (report.deleted, report.forgotten, report.unchanged),
        (1, 1, 1)
    );
    assert!(!scene.root().join("forgotten").exists());
    assert_eq!(std::fs::read(scene.root().join("kept")).unwrap(), b"mine");
    assert_eq!(scene.restore().await.problems, []);
}

#[tokio::test]
async fn what_the_log_changed_or_deleted_follows_unless_it_was_changed_here() {
    let mut scene = Scene::new();
    let root = scene.root();
    for path in ["changed", "deleted", "both", "deleted but changed here"] {
        scene.write(&Actor::Local, path, b"one");
    }
    assert_eq!(scene.restore().await.restored, 4);
    scene.write(&Actor::Local, "changed", b"two");
    scene.write(&Actor::Local, "both", b"two");
    let index = key_of(scene.recorder.state(), INDEX_AUTHOR).unwrap();
    let index = scene.keyring.get(&index).unwrap();
    let delete = |path| FileChange::Delete {
        file: file_id(&index, path),
    };
    let changes = vec![delete("deleted"), delete("deleted but changed here")];
    let key = key_of(scene.recorder.state(), "local").unwrap();
    scene.submit(&Actor::Local, Action::RecordFiles { key, changes });
    std::fs::write(root.join("both"), b"three").unwrap();
    std::fs::write(root.join("deleted but changed here"), b"three").unwrap();
    std::fs::write(root.join("unknown"), b"three").unwrap();

    let report = scene.restore().await;
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(
        (read("changed").as_str(), read("both").as_str()),
        ("two", "two")
    );
    assert!(!root.join("deleted").exists());
    assert_eq!(read("deleted but changed here"), "three");
    assert_eq!(read("unknown"), "three");
    let [(path, aside)] = report.conflicts.as_slice() else {
        unreachable!("one conflict, not {:?}", report.conflicts);
    };
    assert_eq!((path.as_str(), read(aside).as_str()), ("both", "three"));
    assert_eq!(scene.restore().await.restored, 0);
}

#[test]
fn a_path_through_a_link_is_refused_even_inside() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::create(&directory.path().join("w")).unwrap();
    root.directory("real").unwrap();
    root.link("inside", b"real").unwrap();
    root.link("outside", b"/tmp").unwrap();
    for path in ["inside/file", "outside/file", "outside/../file"] {
        assert!(root.part(path).is_err(), "{path}");
        assert!(root.link(path, b"x").is_err(), "{path}");
        assert!(root.directory(path).is_err(), "{path}");
        assert_eq!(root.look(path).unwrap(), None, "{path}");
    }
    assert!(root.set_mode("inside", 0o700).is_err());
}
