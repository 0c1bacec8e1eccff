//! Proof that a device holds its key: an Ed25519 signature over what it asks for.
//!
//! The signed text is `|`-joined, in one of three versions:
//!
//! ```text
//! v1|deviceId|clientId|clientMode|role|scopes,…|signedAtMs|token
//! v2|…same…|nonce
//! v3|…same…|nonce|platform|deviceFamily      (both trimmed and lower-cased)
//! ```
//!
//! The device id is the lowercase hex SHA-256 of the raw 32-byte public key.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use moltbot_core::ids::{DeviceId, hex};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};

/// What was signed, apart from the version.
#[derive(Debug, Clone, Default)]
pub struct Signed<'a> {
    /// The device id as sent.
    pub device_id: &'a str,
    /// Kind of client.
    pub client_id: &'a str,
    /// Mode of client.
    pub client_mode: &'a str,
    /// The role as sent.
    pub role: &'a str,
    /// The scopes as sent, in the client's order.
    pub scopes: &'a [String],
    /// The device's clock, or the challenge's.
    pub signed_at_ms: i64,
    /// The token the client chose to sign with, or nothing.
    pub token: &'a str,
    /// The challenge; `None` when the client sent none.
    pub nonce: Option<&'a str>,
    /// Operating system.
    pub platform: &'a str,
    /// Family of the device.
    pub device_family: &'a str,
}

impl Signed<'_> {
    /// The texts that may have been signed, newest version first. The first version carries no
    /// nonce, so it counts only where that is acceptable.
    fn texts(&self, allow_without_nonce: bool) -> Vec<String> {
        let base = format!(
            "{}|{}|{}|{}|{}|{}|{}",
            self.device_id,
            self.client_id,
            self.client_mode,
            self.role,
            self.scopes.join(","),
            self.signed_at_ms,
            self.token
        );
        match self.nonce {
            Some(nonce) => {
                let platform = self.platform.trim().to_lowercase();
                let family = self.device_family.trim().to_lowercase();
                vec![
                    format!("v3|{base}|{nonce}|{platform}|{family}"),
                    format!("v2|{base}|{nonce}"),
                ]
            }
            None if allow_without_nonce => vec![format!("v1|{base}")],
            None => Vec::new(),
        }
    }
}

/// What comes before the key in a `SubjectPublicKeyInfo` of Ed25519 (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0,
];

/// The raw public key of a base64url or PEM text.
pub fn public_key(text: &str) -> Option<[u8; 32]> {
    if let Some(pem) = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----") {
        let body: String = pem.split("-----END").next()?.split_whitespace().collect();
        let der = STANDARD.decode(body).ok()?;
        return der.strip_prefix(SPKI_PREFIX.as_slice())?.try_into().ok();
    }
    decode(text)?.try_into().ok()
}

/// The id of the device with this public key.
pub fn device_id(public_key: &[u8; 32]) -> DeviceId {
    DeviceId(hex(digest(&SHA256, public_key).as_ref()))
}

/// Whether the signature is the device's, over one of the versions that may count.
pub fn verifies(
    public_key: &[u8; 32],
    signature: &str,
    signed: &Signed,
    allow_without_nonce: bool,
) -> bool {
    signed
        .texts(allow_without_nonce)
        .iter()
        .any(|text| verifies_text(public_key, signature, text))
}

/// Whether the signature is the device's, over exactly this text.
pub fn verifies_text(public_key: &[u8; 32], signature: &str, text: &str) -> bool {
    let Some(signature) = decode(signature) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(text.as_bytes(), &signature)
        .is_ok()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().trim_end_matches('=');
    URL_SAFE_NO_PAD
        .decode(text.replace('+', "-").replace('/', "_"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    fn key() -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, public)
    }

    fn signed(nonce: Option<&'static str>) -> Signed<'static> {
        Signed {
            device_id: "d",
            client_id: "cli",
            nonce,
            platform: " Linux ",
            ..Signed::default()
        }
    }

    fn sign(pair: &Ed25519KeyPair, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes()))
    }

    #[test]
    fn all_three_versions_verify_where_they_may() {
        let (pair, public) = key();
        let v3 = sign(&pair, "v3|d|cli||||0||n|linux|");
        assert!(verifies(&public, &v3, &signed(Some("n")), false));
        let v2 = sign(&pair, "v2|d|cli||||0||n");
        assert!(verifies(&public, &v2, &signed(Some("n")), false));
        let v1 = sign(&pair, "v1|d|cli||||0|");
        assert!(verifies(&public, &v1, &signed(None), true));
        assert!(!verifies(&public, &v1, &signed(None), false));
        assert!(!verifies(&public, &v2, &signed(Some("other")), false));
    }

    #[test]
    fn keys_are_read_as_base64url_and_as_pem() {
        let (_, public) = key();
        assert_eq!(public_key(&URL_SAFE_NO_PAD.encode(public)), Some(public));
        let mut der = SPKI_PREFIX.to_vec();
        der.extend(public);
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        );
        assert_eq!(public_key(&pem), Some(public));
        assert_eq!(public_key("short"), None);
    }
}
