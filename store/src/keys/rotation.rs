//! Another master key: every data key wrapped anew, in the remote log and on this disk.
//!
//! The remote log comes first, each object on its own; the file on this disk comes last, whole. So as
//! long as the file on this disk has a key in the old form, the work is not done; a process that
//! starts then does what is left of it. Key objects are the only ones that are ever written over,
//! and only by the same data key under the same name: whoever knows both master keys reads either.

use super::{Entry, Keyring, MasterKeys, Wrapping, is_name};
use crate::error::{ErrorKind, StoreError};
use crate::layout;
use crate::replica::Replica;
use crate::settings::StoreSettings;
use futures_util::{StreamExt, TryStreamExt, stream};
use moltbot_core::ids::KeyId;
use std::sync::PoisonError;

/// How the keys in a remote log are wrapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySurvey {
    /// Not at all.
    pub plain: u64,
    /// By the current master key.
    pub current: u64,
    /// By the previous one.
    pub previous: u64,
    /// By one that is not known.
    pub closed: Vec<KeyId>,
    /// In no form that can be read.
    pub damaged: Vec<KeyId>,
}

/// Reads every key of a remote log; changes nothing.
pub async fn survey(
    replica: &Replica,
    masters: &MasterKeys,
    settings: &StoreSettings,
) -> Result<KeySurvey, StoreError> {
    let mut survey = KeySurvey::default();
    let mut found = stream::iter(listed(replica).await?)
        .map(|id| async move { Ok((replica.get(&layout::key(&id)).await?, id)) })
        .buffer_unordered(settings.restore_concurrency);
    while let Some((object, id)) = found.try_next().await? {
        let Some(object) = object else { continue };
        match masters.decode(&id, &object) {
            Ok((_, Wrapping::Plain)) => survey.plain += 1,
            Ok((_, Wrapping::Current)) => survey.current += 1,
            Ok((_, Wrapping::Previous)) => survey.previous += 1,
            Err(error) if error.kind() == ErrorKind::Invalid => survey.closed.push(id),
            Err(_) => survey.damaged.push(id),
        }
    }
    Ok(survey)
}

/// The ids of all keys in a remote log.
pub(super) async fn listed(replica: &Replica) -> Result<Vec<KeyId>, StoreError> {
    let paths = replica.list(layout::KEYS).await?;
    let ids = paths.iter().filter_map(|path| path.filename());
    Ok(ids.map(KeyId::from).filter(is_name).collect())
}

impl Keyring {
    /// Whether a key on this disk is in another form than keys are written in now.
    pub fn is_rotation_due(&self) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // Without a master key nothing is ever unwrapped for good.
        self.masters.current.is_some() && !keys.entries.values().all(|entry| self.is_current(entry))
    }

    /// Wraps every key of the remote log by the current master key; how many were not before.
    /// Safe to repeat after any failure.
    pub async fn rotate_remote(
        &self,
        replica: &Replica,
        settings: &StoreSettings,
    ) -> Result<u64, StoreError> {
        let ids = listed(replica).await?;
        let ids = ids.into_iter().filter(|id| !self.is_concealed(id));
        let mut rotated = stream::iter(ids)
            .map(|id| self.rotate_object(replica, id))
            .buffer_unordered(settings.restore_concurrency);
        // One that fails keeps none of the others back.
        let (mut count, mut failed) = (0, None);
        while let Some(outcome) = rotated.next().await {
            match outcome {
                Ok(one) => count += one,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(count), Err)
    }

    async fn rotate_object(&self, replica: &Replica, id: KeyId) -> Result<u64, StoreError> {
        let path = layout::key(&id);
        let Some(object) = replica.get(&path).await? else {
            return Ok(0);
        };
        let (key, wrapping) = self.masters.decode(&id, &object)?;
        if self.masters.is_wanted(wrapping) {
            return Ok(0);
        }
        let object = self.masters.encode(&id, &key)?;
        replica.overwrite(&path, object.clone()).await?;
        if replica.get(&path).await?.as_ref() == Some(&object) {
            return Ok(1);
        }
        Err(StoreError::Remote {
            operation: "overwrite",
            object: path.to_string(),
            reason: "it took other bytes than it was given".to_owned(),
        })
    }

    /// Wraps every key on this disk by the current master key; nothing of the older form is left in
    /// the file. Blocks on the disk.
    pub fn rotate_local(&self) -> Result<(), StoreError> {
        self.rewrite(|entries| {
            let rotated = entries.iter().map(|(id, entry)| {
                let object = self.masters.encode(id, &entry.key)?;
                let key = entry.key;
                Ok((id.clone(), Entry::new(key, object, &self.masters)))
            });
            rotated.collect()
        })
    }

    fn is_current(&self, entry: &Entry) -> bool {
        self.masters.is_wanted(entry.wrapping)
    }
}
