//! Seals personal content before it is recorded, and opens it for people who may read it.
//!
//! Invariant: a data key is durable before the first content sealed with it is appended.

use crate::stamp;
use moltbot_core::content::{Content, DataKey, Opened};
use moltbot_core::error::Rejection;
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;
use moltbot_store::log::LogReader;
use std::sync::Arc;

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

/// Reads content back. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    /// The log.
    pub log: Arc<dyn LogReader>,
    /// The data keys.
    pub keyring: Arc<Keyring>,
}

impl Reader {
    /// Opens a piece of content.
    pub fn open(&self, content: &Content) -> Opened {
        content.open(self.keyring.get(content.key()).as_ref())
    }

    /// The text of a piece of content; empty when it cannot be read any more.
    pub fn text(&self, content: &Content) -> String {
        self.open(content).into_text()
    }

    /// Opens all content of an event in place; what cannot be read becomes empty.
    pub fn open_event(&self, event: &mut Event) {
        for content in event.contents_mut() {
            let text = self.text(content);
            let key = content.key().clone();
            *content = Content::Plain { key, text };
        }
    }

    /// The record at a seq with its event opened.
    pub fn event(&self, seq: Seq) -> Option<(moltbot_core::record::Record, Event)> {
        let record = self.log.get(seq).ok()??;
        let mut event = record.event().ok()?;
        self.open_event(&mut event);
        Some((record, event))
    }
}
