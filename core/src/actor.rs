//! Who wants something, and what he may.
//!
//! Invariant: authority comes from the state (a device's approved scopes) or from how the command
//! entered the gateway, never from what the command says of itself.

use crate::ids::{DeviceId, PeerId, PrincipalId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The author of a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// The gateway itself: timers, the outbox, recovery.
    System,
    /// A command line on this machine that proved knowledge of the gateway token.
    Local,
    /// The holder of a one-time link printed on the operator's terminal.
    Grant,
    /// A device that proved possession of its key.
    Device(DeviceId),
    /// A person or room on a channel.
    Peer(PeerId),
    /// A person or service that Cloudflare Access let through. The id is random; whose it is stands
    /// sealed in `principal_identified`.
    Access(PrincipalId),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::System => f.write_str("system"),
            Actor::Local => f.write_str("local"),
            Actor::Grant => f.write_str("grant"),
            Actor::Device(id) => write!(f, "device:{id}"),
            Actor::Peer(id) => write!(f, "peer:{id}"),
            Actor::Access(id) => write!(f, "access:{id}"),
        }
    }
}

/// A right of an operator device. `Admin` implies all others, `Write` implies `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// See sessions, transcripts and status.
    #[serde(rename = "operator.read")]
    Read,
    /// Talk to the assistant.
    #[serde(rename = "operator.write")]
    Write,
    /// Answer the assistant's questions about tools.
    #[serde(rename = "operator.approvals")]
    Approvals,
    /// Let devices and peers in, and out.
    #[serde(rename = "operator.pairing")]
    Pairing,
    /// Everything.
    #[serde(rename = "operator.admin")]
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 5] = [
        Scope::Read,
        Scope::Write,
        Scope::Approvals,
        Scope::Pairing,
        Scope::Admin,
    ];

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "operator.read",
            Scope::Write => "operator.write",
            Scope::Approvals => "operator.approvals",
            Scope::Pairing => "operator.pairing",
            Scope::Admin => "operator.admin",
        }
    }

    /// The scope of this name.
    pub fn from_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// A set of scopes, stored as sorted protocol names so that a new scope never changes old bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// The set of these names; unknown names are kept, they grant nothing.
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Scopes {
        Scopes(
            names
                .into_iter()
                .map(|name| name.as_ref().to_owned())
                .collect(),
        )
    }

    /// The set of these scopes.
    pub fn of(scopes: &[Scope]) -> Scopes {
        Scopes::from_names(scopes.iter().map(|scope| scope.name()))
    }

    /// Every scope.
    pub fn all() -> Scopes {
        Scopes::of(&Scope::ALL)
    }

    /// Whether the set grants the scope, directly or by implication.
    pub fn grants(&self, scope: Scope) -> bool {
        let has = |scope: Scope| self.0.contains(scope.name());
        has(scope) || has(Scope::Admin) || (scope == Scope::Read && has(Scope::Write))
    }

    /// Whether everything in `other` is granted by this set.
    pub fn covers(&self, other: &Scopes) -> bool {
        other.0.iter().all(|name| match Scope::from_name(name) {
            Some(scope) => self.grants(scope),
            None => self.0.contains(name),
        })
    }

    /// The names of `self` that `granted` covers.
    #[must_use]
    pub fn limited_to(&self, granted: &Scopes) -> Scopes {
        let one = |name: &String| Scopes(BTreeSet::from([name.clone()]));
        Scopes(
            self.0
                .iter()
                .filter(|name| granted.covers(&one(name)))
                .cloned()
                .collect(),
        )
    }

    /// The names of `self` that this version knows. What it does not know is never granted: a
    /// later version would find a right that nobody meant to give.
    #[must_use]
    pub fn known(&self) -> Scopes {
        self.limited_to(&Scopes::all())
    }

    /// Both sets together.
    #[must_use]
    pub fn union(&self, other: &Scopes) -> Scopes {
        Scopes(self.0.union(&other.0).cloned().collect())
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_covers_everything_known_and_write_covers_read() {
        assert!(Scopes::of(&[Scope::Admin]).covers(&Scopes::all()));
        assert!(Scopes::of(&[Scope::Write]).grants(Scope::Read));
        assert!(!Scopes::of(&[Scope::Write]).covers(&Scopes::all()));
        assert!(!Scopes::all().covers(&Scopes::from_names(["operator.unheard_of"])));
    }

    #[test]
    fn narrowing_keeps_only_what_is_granted() {
        let asked = Scopes::of(&[Scope::Read, Scope::Admin]);
        let limited = asked.limited_to(&Scopes::of(&[Scope::Write]));
        assert_eq!(limited, Scopes::of(&[Scope::Read]));
        let asked = Scopes::from_names(["operator.read", "operator.unheard_of"]);
        assert_eq!(asked.known(), Scopes::of(&[Scope::Read]));
    }
}
