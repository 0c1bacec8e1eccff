//! Seals personal content before it is recorded.
//!
//! Invariant: a data key is durable before the first content sealed with it is appended. Keys and
//! nonces come from the command's entropy, which is never recorded.

use moltbot_core::content::{Content, DataKey};
use moltbot_core::error::Rejection;
use moltbot_core::event::Event;
use moltbot_core::ids::Entropy;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;

/// Seals all content of a command's events; creates the data keys that they announce.
pub fn seal(events: &mut [Event], keyring: &Keyring, entropy: &Entropy) -> Result<(), SealError> {
    let announced = |event: &Event| match event {
        Event::DataKeyCreated(created) => {
            let key = DataKey(entropy.bytes(&format!("data key {}", created.key)));
            Some((created.key.clone(), key))
        }
        _ => None,
    };
    let new_keys: Vec<_> = events.iter().filter_map(announced).collect();
    if !new_keys.is_empty() {
        keyring.create(&new_keys)?;
    }
    let contents = events.iter_mut().flat_map(Event::contents_mut);
    for (number, content) in contents.enumerate() {
        if let Content::Plain { key, .. } = content {
            let Some(data_key) = keyring.get(key) else {
                return Err(SealError::Rejected(Rejection::new(
                    "content_key_missing",
                    "the key that protects this conversation is gone; begin a new one",
                )));
            };
            content.seal(&data_key, entropy.bytes(&format!("nonce {number}")));
        }
    }
    Ok(())
}

/// Why content was not sealed.
#[derive(Debug)]
pub enum SealError {
    /// The command cannot be carried out.
    Rejected(Rejection),
    /// The disk failed.
    Store(StoreError),
}

impl From<StoreError> for SealError {
    fn from(error: StoreError) -> SealError {
        SealError::Store(error)
    }
}
