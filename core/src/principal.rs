//! Whom Cloudflare Access vouched for: the person or service behind an `access:<id>` actor.
//!
//! Invariant: ids are random and in the clear, names are sealed content under a key of their own,
//! so who did what can be told from the log until that person is forgotten, and by nobody without
//! the keys.

use crate::content::Content;
use crate::decide::Draft;
use crate::error::Rejection;
use crate::event::PrincipalIdentified;
use crate::ids::PrincipalId;
use crate::limits::{ID_BYTES_MAX, PRINCIPAL_NAME_BYTES_MAX, PRINCIPALS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person or service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// E-mail address of a person, name of a service.
    pub name: Content,
    /// Whether it is a service.
    pub service: bool,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Principals(BTreeMap<PrincipalId, Principal>);

impl Principals {
    /// Whether the log says who this is.
    pub fn knows(&self, id: &PrincipalId) -> bool {
        self.0.contains_key(id)
    }

    /// The person or service with this id.
    pub fn get(&self, id: &PrincipalId) -> Option<&Principal> {
        self.0.get(id)
    }

    /// Everyone, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&PrincipalId, &Principal)> {
        self.0.iter()
    }

    pub(crate) fn identified(&mut self, event: &PrincipalIdentified) {
        let principal = Principal {
            name: event.name.clone(),
            service: event.service,
        };
        self.0.insert(event.principal.clone(), principal);
    }
}

pub(crate) fn identify(
    draft: &mut Draft,
    id: &PrincipalId,
    name: &str,
    service: bool,
) -> Result<(), Rejection> {
    let known = &draft.state.principals;
    if known.knows(id) {
        return Ok(());
    }
    let has_bounds = !id.0.is_empty()
        && id.0.len() <= ID_BYTES_MAX
        && !name.trim().is_empty()
        && name.len() <= PRINCIPAL_NAME_BYTES_MAX
        && !name.chars().any(char::is_control);
    if !has_bounds {
        return Err(Rejection::new(
            "bad_principal",
            format!(
                "an e-mail address or service name has 1 to {PRINCIPAL_NAME_BYTES_MAX} bytes and no control characters"
            ),
        ));
    }
    if known.0.len() >= PRINCIPALS_MAX {
        return Err(Rejection::new(
            "too_many_principals",
            format!("at most {PRINCIPALS_MAX} people and services can be told apart"),
        ));
    }
    let name = draft.content(&format!("principal/{id}"), "self", name);
    draft.push(PrincipalIdentified {
        principal: id.clone(),
        name,
        service,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{Actor, Scope, Scopes};
    use crate::command::Action;
    use crate::decide::scopes_of;
    use crate::testing::{Scene, device, intro};

    fn identify(id: &str, name: &str) -> Action {
        Action::IdentifyPrincipal {
            principal: id.into(),
            name: name.into(),
            service: false,
        }
    }

    fn access(id: &str) -> Actor {
        Actor::Access(id.into())
    }

    #[test]
    fn nobody_acts_before_the_log_says_who_he_is() {
        let mut scene = Scene::default();
        let redeem = || Action::RedeemGrant {
            intro: intro("laptop", &[Scope::Admin]),
        };
        scene.check(&access("p1"), redeem(), "!not_allowed");
        let nothing = Action::RedeemGrant {
            intro: intro("laptop", &[]),
        };
        scene.check(&access("p1"), nothing, "!not_allowed");
        scene.check(
            &access("p1"),
            identify("p1", "li@example.com"),
            "!not_allowed",
        );
        scene.check(
            &Actor::System,
            identify("p1", "li@example.com"),
            "principal_identified",
        );
        assert_eq!(scopes_of(&scene.state, &access("p1")), Scopes::all());
        assert_eq!(scopes_of(&scene.state, &access("p2")), Scopes::default());
        scene.check(&access("p1"), redeem(), "device_approved");
        let paired = &scene.state.devices.paired;
        assert_eq!(paired[&"laptop".into()].approved_by, "access:p1");
    }

    #[test]
    fn a_name_has_bounds_and_an_id_is_given_once() {
        let mut scene = Scene::founded();
        let long = format!("{}@example.com", "l".repeat(PRINCIPAL_NAME_BYTES_MAX));
        for name in ["", " ", "li\n@example.com", &long] {
            scene.check(&Actor::System, identify("p1", name), "!bad_principal");
        }
        scene.check(
            &Actor::System,
            identify("", "li@example.com"),
            "!bad_principal",
        );
        scene.check(
            &device("admin"),
            identify("p1", "li@example.com"),
            "!not_allowed",
        );
        scene.check(
            &Actor::System,
            identify("p1", "li@example.com"),
            "principal_identified",
        );
        scene.check(&Actor::System, identify("p1", "wu@example.com"), "");
        for n in 1..PRINCIPALS_MAX {
            let id = format!("q{n}");
            scene.check(
                &Actor::System,
                identify(&id, "li@example.com"),
                "principal_identified",
            );
        }
        scene.check(
            &Actor::System,
            identify("p2", "wu@example.com"),
            "!too_many_principals",
        );
    }
}
