//! Trying again while the object store cannot be reached, for work that a person waits for.
//!
//! Invariant: bounded in tries and time; only what is safe to repeat is handed over.

use crate::error::{ErrorKind, StoreError};
use crate::settings::{COPY_TRIES_MAX, StoreSettings};
use std::time::Duration;

/// The first answer that is no transient error, or the last one that is.
pub(crate) async fn retry<T, F>(
    settings: &StoreSettings,
    mut request: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut wait_ms = settings.retry_ms_min;
    for _ in 1..COPY_TRIES_MAX {
        match request().await {
            Err(error) if error.kind() == ErrorKind::Transient => {}
            answer => return answer,
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        wait_ms *= 2;
    }
    request().await
}
