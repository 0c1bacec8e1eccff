//! Personal content: sealed before it is recorded, opened only on the way to a person.
//!
//! Invariant: plaintext never reaches the log. `decide` writes [`Content::Plain`]; [`Content::seal`]
//! turns it into [`Content::Sealed`]; serializing plaintext fails. Sealed bytes are
//! `nonce (24) ‖ XChaCha20-Poly1305 ciphertext`, with the key id as associated data.
//! Deleting the data key makes the content unreadable everywhere while the hash chain stays whole.

use crate::ids::{KeyId, hex};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NONCE_BYTES: usize = 24;

/// A 256-bit data key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DataKey(pub [u8; 32]);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// A piece of personal text in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// As `decide` made it; must be sealed before it is recorded.
    Plain {
        /// The data key that will seal it.
        key: KeyId,
        /// The text.
        text: String,
    },
    /// As it is recorded.
    Sealed {
        /// The data key that opens it.
        key: KeyId,
        /// Nonce and ciphertext.
        bytes: Vec<u8>,
    },
}

/// What opening gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The text.
    Text(String),
    /// The data key is gone: the content was forgotten.
    Forgotten,
    /// The key is there but the bytes do not open with it.
    Damaged,
}

impl Opened {
    /// The text, or an empty string when it cannot be read any more.
    pub fn into_text(self) -> String {
        match self {
            Opened::Text(text) => text,
            Opened::Forgotten | Opened::Damaged => String::new(),
        }
    }
}

impl Content {
    /// The id of the data key of this content.
    pub fn key(&self) -> &KeyId {
        match self {
            Content::Plain { key, .. } | Content::Sealed { key, .. } => key,
        }
    }

    /// Replaces plaintext by its sealed form. `nonce` must never repeat for the same key.
    /// Sealed content is left as it is.
    pub fn seal(&mut self, data_key: &DataKey, nonce: [u8; NONCE_BYTES]) {
        let Content::Plain { key, text } = self else {
            return;
        };
        let cipher = XChaCha20Poly1305::new(&data_key.0.into());
        let payload = Payload {
            msg: text.as_bytes(),
            aad: key.0.as_bytes(),
        };
        // The cipher fails only for messages beyond 256 GiB.
        let Ok(ciphertext) = cipher.encrypt(XNonce::from_slice(&nonce), payload) else {
            return;
        };
        let bytes = [nonce.as_slice(), &ciphertext].concat();
        *self = Content::Sealed {
            key: std::mem::take(key),
            bytes,
        };
    }

    /// Opens the content; `data_key` is `None` when the key no longer exists.
    pub fn open(&self, data_key: Option<&DataKey>) -> Opened {
        let (key, bytes) = match self {
            Content::Plain { text, .. } => return Opened::Text(text.clone()),
            Content::Sealed { key, bytes } => (key, bytes),
        };
        let Some(data_key) = data_key else {
            return Opened::Forgotten;
        };
        let Some((nonce, ciphertext)) = bytes.split_at_checked(NONCE_BYTES) else {
            return Opened::Damaged;
        };
        let cipher = XChaCha20Poly1305::new(&data_key.0.into());
        let payload = Payload {
            msg: ciphertext,
            aad: key.0.as_bytes(),
        };
        cipher
            .decrypt(XNonce::from_slice(nonce), payload)
            .ok()
            .and_then(|plain| String::from_utf8(plain).ok())
            .map_or(Opened::Damaged, Opened::Text)
    }
}

#[derive(Serialize)]
struct SealedText<'a> {
    key: &'a KeyId,
    sealed: String,
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Readable formats are for people who may read; stored formats are binary.
            Content::Plain { text, .. } if serializer.is_human_readable() => {
                serializer.serialize_str(text)
            }
            Content::Plain { .. } => Err(serde::ser::Error::custom(
                "plaintext content must be sealed first",
            )),
            Content::Sealed { key, bytes } if serializer.is_human_readable() => SealedText {
                key,
                sealed: hex(bytes),
            }
            .serialize(serializer),
            Content::Sealed { key, bytes } => (key, bytes).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (key, bytes) = Deserialize::deserialize(deserializer)?;
        Ok(Content::Sealed { key, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Content {
        Content::Plain {
            key: "k1".into(),
            text: "你好, Li".into(),
        }
    }

    #[test]
    fn sealed_content_opens_with_its_key_only() {
        let mut content = plain();
        content.seal(&DataKey([1; 32]), [9; 24]);
        assert!(matches!(&content, Content::Sealed { bytes, .. } if bytes.len() > 24));
        assert_eq!(
            content.open(Some(&DataKey([1; 32]))),
            Opened::Text("你好, Li".into())
        );
        assert_eq!(content.open(Some(&DataKey([2; 32]))), Opened::Damaged);
        assert_eq!(content.open(None), Opened::Forgotten);
    }

    #[test]
    fn plaintext_cannot_be_recorded() {
        let config = crate::codec::config();
        assert!(bincode::serde::encode_to_vec(plain(), config).is_err());
        assert_eq!(serde_json::to_value(plain()).unwrap(), "你好, Li");
    }
}
