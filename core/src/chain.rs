//! The hash chain: each record names its predecessor's hash.
//!
//! Invariant: `hash = blake3(prev_hash ‖ body)`, where the body is the canonical encoding of the
//! record without its hashes (see [`crate::codec`]). Altering, dropping or reordering any record
//! changes every later hash.

use crate::ids::{Seq, hex, unhex};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A blake3 hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first record names as its predecessor.
    pub const ZERO: Hash = Hash([0; 32]);

    /// The hash of the record with this body after `self`.
    #[must_use]
    pub fn next(&self, body: &[u8]) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(body);
        Hash(*hasher.finalize().as_bytes())
    }

    /// Hash of any bytes, for objects that are not records.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(*blake3::hash(bytes).as_bytes())
    }

    /// Sixty-four lowercase hex digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// The hash in sixty-four hex digits, if it is one.
    pub fn from_hex(text: &str) -> Option<Hash> {
        unhex(text)?.try_into().ok().map(Hash)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_hex())
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Hash::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a hash is 64 hex digits"))
        } else {
            Deserialize::deserialize(deserializer).map(Hash)
        }
    }
}

/// A position in one particular log: a seq alone does not say which history it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The last record seen.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
}

impl Cursor {
    /// Before the first record.
    pub const START: Cursor = Cursor {
        seq: Seq::ZERO,
        hash: Hash::ZERO,
    };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.seq, self.hash)
    }
}
