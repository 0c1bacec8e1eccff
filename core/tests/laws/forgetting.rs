//! Laws on forgetting: what was forgotten is never opened again, by whomever and whatever follows.

use super::driver::Gateway;
use super::generate::steps;
use super::{Taken, after, walk};
use moltbot_core::actor::Scope;
use moltbot_core::command::Action;
use moltbot_core::decide::{Decision, decide, scopes_of};
use moltbot_core::event::Event;
use moltbot_core::ids::KeyId;
use proptest::prelude::*;
use std::collections::BTreeSet;

proptest! {
    #[test]
    fn nothing_is_sealed_with_a_key_that_was_forgotten(steps in steps()) {
        let mut forgotten = BTreeSet::<KeyId>::new();
        let mut known = BTreeSet::<KeyId>::new();
        for (record, event) in after(&steps).records {
            match &event {
                Event::DataKeyCreated(e) => prop_assert!(known.insert(e.key.clone())),
                Event::ContentForgotten(e) => for key in &e.keys {
                    prop_assert!(known.contains(key));
                    prop_assert!(forgotten.insert(key.clone()), "{} twice", key);
                },
                // It repeats the name as it was sealed when the device asked.
                Event::DeviceApproved(e) if e.request.is_some() => {}
                event => for content in event.contents() {
                    prop_assert!(!forgotten.contains(content.key()), "#{}", record.seq);
                },
            }
        }
    }

    #[test]
    fn the_state_names_exactly_the_keys_that_were_forgotten(steps in steps()) {
        let gateway = after(&steps);
        let vault = &gateway.state.vault;
        let in_use: BTreeSet<KeyId> = vault.iter().map(|(_, s)| s.key.clone()).collect();
        let gone: BTreeSet<KeyId> = vault.forgotten().cloned().collect();
        prop_assert!(in_use.is_disjoint(&gone));
        let created = gateway.records.iter().filter_map(|(_, event)| match event {
            Event::DataKeyCreated(e) => Some(e.key.clone()),
            _ => None,
        });
        let both: BTreeSet<KeyId> = in_use.union(&gone).cloned().collect();
        prop_assert_eq!(created.collect::<BTreeSet<_>>(), both);
        for (scope, sealing) in vault.iter() {
            let sealed = gateway.records.iter().flat_map(|(_, event)| event.contents());
            let texts = sealed.filter(|c| *c.key() == sealing.key).count();
            prop_assert_eq!(sealing.texts, texts as u64, "{}", scope);
        }
    }

    #[test]
    fn only_who_administers_forgets_and_twice_is_as_good_as_once(steps in steps()) {
        walk(&mut Gateway::default(), &steps, |taken| {
            let Taken { before, command, answer, after } = taken;
            let Action::Forget { subject } = &command.action else { return Ok(()) };
            let Ok(Decision::Events(events)) = answer else { return Ok(()) };
            prop_assert!(scopes_of(before, &command.actor).grants(Scope::Admin));
            let forgets = |event: &&Event| matches!(event, Event::ContentForgotten(_));
            let count = events.iter().filter(forgets).count();
            let mut again = command.clone();
            again.idempotency = None;
            let repeated = decide(&after.state, &again);
            // An answer that failed because of it may have got the assistant a new key.
            let Ok(Decision::Events(repeated)) = repeated else {
                return Err(TestCaseError::fail(format!("{subject} is not forgotten again")));
            };
            let left = repeated.iter().filter(forgets).count();
            prop_assert!(left <= count.min(1));
            let has_failed = events.iter().any(|event| matches!(event, Event::RunFailed(_)));
            prop_assert!(left == 0 || has_failed, "{:?}", repeated);
            Ok(())
        })?;
    }
}
