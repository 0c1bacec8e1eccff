//! Opaque identifiers.
//!
//! Invariant: an id names one thing for ever and says nothing about a person; ids that appear in
//! the clear are random or hashes. Only `edge` and the channels make ids from outside input;
//! `decide` makes them from the command's entropy.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Position of a record in the log. The first record has seq 1; 0 means "before the first".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first record.
    pub const ZERO: Seq = Seq(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Generation of the writer. Each takeover of the remote log claims the next one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

macro_rules! string_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

string_id! {
    /// A browser or app holding a key: lowercase hex SHA-256 of its raw Ed25519 public key.
    DeviceId,
    /// A pairing request of a device or a peer.
    RequestId,
    /// One conversation with the assistant.
    SessionId,
    /// One model turn. Chosen by the client (it is the idempotency key of its message).
    RunId,
    /// A person or room on a channel, as an opaque id made by `edge`.
    PeerId,
    /// A person or service that an identity provider in front of the gateway vouches for.
    PrincipalId,
    /// One reply to be delivered to a channel.
    DeliveryId,
    /// A file, directory or symbolic link of the workspace: a keyed hash of its path.
    FileId,
    /// A data key that seals personal content.
    KeyId,
    /// A gateway installation: survives restarts, differs between machines.
    InstanceId,
}

/// Randomness that came with a command; ids are derived from it, so `decide` is deterministic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entropy(pub [u8; 32]);

impl Entropy {
    /// Bytes for the given purpose; different purposes give independent bytes.
    pub fn bytes<const N: usize>(&self, purpose: &str) -> [u8; N] {
        let mut bytes = [0; N];
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher
            .update(purpose.as_bytes())
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    /// Thirty-two lowercase hex digits for the given purpose.
    pub fn hex(&self, purpose: &str) -> String {
        hex(&self.bytes::<16>(purpose))
    }

    /// A short code from an alphabet without look-alikes, for people to compare.
    pub fn code(&self, purpose: &str, length: usize) -> String {
        const ALPHABET: [char; 32] = [
            'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'Q', 'R', 'S',
            'T', 'U', 'V', 'W', 'X', 'Y', 'Z', '2', '3', '4', '5', '6', '7', '8', '9',
        ];
        self.bytes::<16>(purpose)
            .iter()
            .take(length)
            .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
            .collect()
    }
}

/// Lowercase hex of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Bytes of lowercase or uppercase hex; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    // Checked first: the parser would take a sign.
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_use_no_look_alikes_and_depend_on_the_purpose() {
        let entropy = Entropy([7; 32]);
        let code = entropy.code("a", 6);
        assert_eq!(code.len(), 6);
        assert_ne!(code, entropy.code("b", 6));
        assert!(!code.contains(['I', 'O', '0', '1']));
    }

    #[test]
    fn hex_round_trips_and_refuses_other_text() {
        assert_eq!(unhex(&hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        assert_eq!(unhex("0g"), None);
        assert_eq!(unhex("012"), None);
        assert_eq!(unhex("+f"), None);
        assert_eq!(unhex("é0"), None);
    }
}
