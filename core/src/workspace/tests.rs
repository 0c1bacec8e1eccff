//! What is recorded of a tree, and what is not.

use super::*;
use crate::testing::{Scene, device, peer};

const LOCAL: Actor = Actor::Local;

fn id(path: &str) -> FileId {
    file_id(&DataKey([1; 32]), path)
}

fn write(path: &str, content: u8) -> FileChange {
    FileChange::Write {
        file: id(path),
        path: path.into(),
        mode: 0o100_644,
        size: 10,
        blob: Some(Hash([content; 32])),
    }
}

fn directory(path: &str) -> FileChange {
    FileChange::Directory {
        file: id(path),
        path: path.into(),
        mode: 0o040_755,
    }
}

fn delete(path: &str) -> FileChange {
    FileChange::Delete { file: id(path) }
}

/// A scene in which the local command line may record.
fn scene() -> Scene {
    let mut scene = Scene::founded();
    scene.check(&LOCAL, Action::CreateWorkspaceKeys, "");
    scene
}

fn record(scene: &Scene, changes: &[FileChange]) -> Action {
    Action::RecordFiles {
        key: scene.state.vault.get("workspace|local").unwrap().clone(),
        changes: changes.to_vec(),
    }
}

#[track_caller]
fn check(scene: &mut Scene, changes: &[FileChange], expected: &str) {
    let action = record(scene, changes);
    scene.check(&LOCAL, action, expected);
}

#[test]
fn keys_are_made_once_and_one_for_each_author() {
    let mut scene = scene();
    let index = scene.state.vault.get("workspace|index").unwrap().clone();
    assert_eq!(scene.state.vault.iter().count(), 4);
    scene.check(&LOCAL, Action::CreateWorkspaceKeys, "");
    assert_eq!(scene.state.vault.iter().count(), 4);
    scene.check(&Actor::System, Action::CreateWorkspaceKeys, "");
    assert!(scene.state.vault.get("workspace|assistant").is_some());
    assert_eq!(*scene.state.vault.get("workspace|index").unwrap(), index);
}

#[test]
fn only_who_administers_changes_files() {
    let mut scene = scene();
    for actor in [device("talker"), peer("p1"), Actor::Grant] {
        scene.check(&actor, Action::CreateWorkspaceKeys, "!missing_scope");
        let action = record(&scene, &[write("a", 1)]);
        scene.check(&actor, action, "!missing_scope");
    }
}

#[test]
fn what_is_so_already_is_not_recorded() {
    let mut scene = scene();
    let changes = [directory("d"), write("d/a", 1), write("b", 2)];
    check(
        &mut scene,
        &changes,
        "directory_created file_written file_written",
    );
    check(&mut scene, &changes, "");
    assert_eq!(
        (scene.state.workspace.len(), scene.state.workspace.bytes()),
        (3, 20)
    );
    check(
        &mut scene,
        &[write("d/a", 3), write("b", 2)],
        "file_written",
    );
    check(&mut scene, &[delete("b"), delete("c")], "file_deleted");
    check(&mut scene, &[delete("b")], "");
    assert_eq!(
        (scene.state.workspace.len(), scene.state.workspace.bytes()),
        (2, 10)
    );
    // A file takes the place of a directory.
    check(&mut scene, &[write("d", 1)], "file_written");
    assert_eq!(scene.state.workspace.get(&id("d")).unwrap().kind(), REGULAR);
}

#[test]
fn the_key_must_be_the_one_that_counts_now() {
    let mut scene = scene();
    let action = Action::RecordFiles {
        key: scene.state.vault.get("workspace|index").unwrap().clone(),
        changes: vec![write("a", 1)],
    };
    scene.check(&LOCAL, action, "!key_changed");
    let action = record(&scene, &[write("a", 1)]);
    scene.check(&Actor::System, action, "!key_changed");
}

#[test]
fn a_path_stays_inside_and_within_its_bounds() {
    let mut scene = scene();
    let deep = ["d"; PATH_DEPTH_MAX + 1].join("/");
    let long_name = "n".repeat(PATH_NAME_BYTES_MAX + 1);
    let long = vec!["n".repeat(200); 6].join("/");
    let bad = [
        "",
        "/etc/passwd",
        "..",
        "a/../../b",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        &deep,
        &long_name,
        &long,
    ];
    for path in bad {
        check(&mut scene, &[write(path, 1)], "!bad_path");
        check(&mut scene, &[directory(path)], "!bad_path");
    }
    for path in [
        "-rf",
        " ",
        "a\nb",
        "...",
        "工作/é",
        "a\\b",
        ".git/config",
        "C:",
    ] {
        check(&mut scene, &[write(path, 1)], "file_written");
    }
}

#[test]
fn modes_contents_and_numbers_have_bounds() {
    let mut scene = scene();
    let with = |mode: u32, size: u64, blob: Option<Hash>| FileChange::Write {
        file: id("a"),
        path: "a".into(),
        mode,
        size,
        blob,
    };
    let some = Some(Hash([1; 32]));
    for mode in [0o644, 0o040_755, 0o104_755, 0o060_644, 0o1_100_644] {
        check(&mut scene, &[with(mode, 1, some)], "!bad_mode");
    }
    check(&mut scene, &[with(0o100_644, 0, some)], "!bad_content");
    check(&mut scene, &[with(0o100_644, 1, None)], "!bad_content");
    check(
        &mut scene,
        &[with(0o100_644, FILE_BYTES_MAX + 1, some)],
        "!file_too_large",
    );
    check(&mut scene, &[with(0o120_777, 3, some)], "file_written");
    check(&mut scene, &[with(0o100_600, 0, None)], "file_written");
    check(&mut scene, &[write("x", 1), delete("x")], "!file_twice");
    let many: Vec<_> = (0..=FILE_CHANGES_MAX)
        .map(|n| write(&n.to_string(), 1))
        .collect();
    check(&mut scene, &many, "!too_many_changes");
}

#[test]
fn a_full_workspace_takes_no_more_but_gets_smaller() {
    let mut scene = scene();
    let large = |path: &str, size| FileChange::Write {
        file: id(path),
        path: path.into(),
        mode: 0o100_644,
        size,
        blob: Some(Hash([1; 32])),
    };
    let files = usize::try_from(WORKSPACE_BYTES_MAX / FILE_BYTES_MAX).unwrap();
    for n in 0..files {
        check(
            &mut scene,
            &[large(&n.to_string(), FILE_BYTES_MAX)],
            "file_written",
        );
    }
    check(&mut scene, &[large("more", 1)], "!workspace_full");
    let smaller = [large("0", FILE_BYTES_MAX - 1), large("more", 1)];
    check(&mut scene, &smaller, "file_written file_written");
    check(&mut scene, &[delete("0")], "file_deleted");
}

#[test]
fn ten_thousand_files_take_a_few_hundred_bytes_each() {
    let mut scene = scene();
    let before = scene.state.encode().unwrap().len();
    let path = |n: usize| format!("skills/some-skill-{}/reference/page-{n}.md", n / 100);
    for from in (0..10_000).step_by(FILE_CHANGES_MAX) {
        let to = (from + FILE_CHANGES_MAX).min(10_000);
        let changes: Vec<_> = (from..to).map(|n| write(&path(n), 1)).collect();
        let expected = vec!["file_written"; changes.len()].join(" ");
        check(&mut scene, &changes, &expected);
    }
    let bytes = scene.state.encode().unwrap().len() - before;
    assert!(bytes / 10_000 < 250, "{bytes} bytes");
}

#[test]
fn an_id_depends_on_path_and_key_and_is_the_same_for_ever() {
    let key = DataKey([7; 32]);
    assert_eq!(file_id(&key, "a/b").as_str().len(), 32);
    assert_ne!(file_id(&key, "a/b"), file_id(&key, "a/c"));
    assert_ne!(file_id(&key, "a/b"), file_id(&DataKey([8; 32]), "a/b"));
    insta::assert_snapshot!(file_id(&key, "a/b"));
}
