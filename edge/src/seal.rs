//! Seals personal content before it is recorded.
//!
//! Invariant: a data key is durable before the first content sealed with it is appended.

use crate::stamp;
use moltbot_core::content::{Content, DataKey};
use moltbot_core::error::Rejection;
use moltbot_core::event::Event;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;

/// Seals all content of a command's events; creates the data keys that they announce.
pub fn seal(events: &mut [Event], keyring: &Keyring) -> Result<(), SealError> {
    let announced = |event: &Event| match event {
        Event::DataKeyCreated(created) => Some((created.key.clone(), DataKey(stamp::random()))),
        _ => None,
    };
    let new_keys: Vec<_> = events.iter().filter_map(announced).collect();
    if !new_keys.is_empty() {
        keyring.create(&new_keys)?;
    }
    for content in events.iter_mut().flat_map(Event::contents_mut) {
        if let Content::Plain { key, .. } = content {
            let Some(data_key) = keyring.get(key) else {
                return Err(SealError::Rejected(Rejection::new(
                    "content_key_missing",
                    "the key that protects this conversation is gone; begin a new one",
                )));
            };
            content.seal(&data_key, stamp::random());
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
