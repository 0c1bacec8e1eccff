//! The shared gateway token, and the tokens of devices.
//!
//! Invariant: a token is never recorded, logged or printed after its creation. A device's token is
//! derived from the gateway token, the device and its rotation count, so nothing secret has to
//! be stored for it, and a new gateway token makes all of them invalid.

use moltbot_core::chain::Hash;
use moltbot_core::ids::{DeviceId, hex};
use std::fmt;

/// A secret text. Neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a text is the secret, in time that does not depend on where they differ.
    pub fn matches(&self, text: &str) -> bool {
        // Comparing two blake3 hashes takes constant time.
        blake3::hash(self.0.as_bytes()) == blake3::hash(text.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A hash that nobody without the gateway token can make. What is recorded of a text must not let
/// whoever reads the log try his guesses on it, least of all once the text was forgotten.
pub fn hash_of_text(gateway: &Secret, text: &str) -> Hash {
    let key = blake3::derive_key("moltbot 2026 hash of a text", gateway.0.as_bytes());
    Hash(*blake3::keyed_hash(&key, text.as_bytes()).as_bytes())
}

/// A device's access token: 32 hex digits.
pub fn of_device(gateway: &Secret, device: &DeviceId, role: &str, generation: u32) -> Secret {
    let key = blake3::derive_key("moltbot 2026 device access token", gateway.0.as_bytes());
    let text = format!("{device}|{role}|{generation}");
    let hash = blake3::keyed_hash(&key, text.as_bytes());
    let (half, _) = hash.as_bytes().split_at(16);
    Secret(hex(half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_tokens_differ_by_device_rotation_and_gateway_token() {
        let gateway = Secret::new("g");
        let token = of_device(&gateway, &"a".into(), "operator", 0);
        assert_eq!(token.reveal().len(), 32);
        assert!(token.matches(of_device(&gateway, &"a".into(), "operator", 0).reveal()));
        assert_ne!(token, of_device(&gateway, &"b".into(), "operator", 0));
        assert_ne!(token, of_device(&gateway, &"a".into(), "operator", 1));
        assert_ne!(
            token,
            of_device(&Secret::new("h"), &"a".into(), "operator", 0)
        );
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
