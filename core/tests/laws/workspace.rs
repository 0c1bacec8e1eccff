//! Laws on the workspace: it is what the last changes made it, and nothing is recorded twice.

use super::driver::Gateway;
use super::generate::steps;
use super::{Taken, walk};
use moltbot_core::decide::Decision;
use moltbot_core::event::Event;
use moltbot_core::ids::FileId;
use moltbot_core::workspace::path_problem;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Mode, size and blob of each file.
type Tree = BTreeMap<FileId, (u32, u64, Option<moltbot_core::chain::Hash>)>;

proptest! {
    #[test]
    fn the_tree_is_what_the_last_changes_made_it(steps in steps()) {
        let mut tree = Tree::new();
        walk(&mut Gateway::default(), &steps, |taken| {
            fold(&mut tree, &taken)?;
            let kept = &taken.after.state.workspace;
            let entries = kept.iter().map(|(id, e)| (id.clone(), (e.mode, e.size, e.blob)));
            prop_assert_eq!(entries.collect::<Tree>(), tree.clone());
            let bytes: u64 = tree.values().map(|(_, size, _)| size).sum();
            prop_assert_eq!((kept.len(), kept.bytes()), (tree.len(), bytes));
            Ok(())
        })?;
    }

    #[test]
    fn a_path_that_is_taken_stays_inside(path in "[a.\\\\/ \u{0}é]{0,12}") {
        let stays = !path.is_empty()
            && !path.contains('\0')
            && path.split('/').all(|name| !matches!(name, "" | "." | ".."));
        prop_assert_eq!(path_problem(&path).is_none(), stays);
    }
}

fn fold(tree: &mut Tree, taken: &Taken) -> Result<(), TestCaseError> {
    let Ok(Decision::Events(events)) = taken.answer else {
        return Ok(());
    };
    for event in events {
        match event {
            Event::FileWritten(e) => {
                let new = (e.mode, e.size, e.blob);
                prop_assert_ne!(tree.insert(e.file.clone(), new), Some(new), "no change");
            }
            Event::DirectoryCreated(e) => {
                let new = (e.mode, 0, None);
                prop_assert_ne!(tree.insert(e.file.clone(), new), Some(new), "no change");
            }
            Event::FileDeleted(e) => prop_assert!(tree.remove(&e.file).is_some(), "nothing there"),
            _ => {}
        }
    }
    Ok(())
}
