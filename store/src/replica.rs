//! The remote log's object store, with the few operations this crate relies on.
//!
//! Invariant: an object is created once and never changed, but for keys ([`Replica::overwrite`]); whether a failed request took effect is
//! not known. Every request ends within the timeout; nothing is retried here, the callers do that.
//! Reads no environment: whoever opens a replica passes the credentials in.
//! An error names the operation and the object, never an address with a query or a secret.

use crate::blobs::LocalBlobs;
use crate::diagnosis::{Names, Subject};
use crate::error::StoreError;
use crate::refusal::PlainRefusals;
use crate::settings::{OBJECT_BYTES_MAX, REQUEST_TIMEOUT_MS};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Where the remote log lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaKind {
    /// A directory on this machine: the mechanism of a remote log without its safety.
    Directory,
    /// A bucket behind the S3 protocol, as R2.
    S3,
    /// The memory of this process, for tests.
    Memory,
}

impl ReplicaKind {
    /// Whether the log survives the loss of this machine.
    pub fn is_remote(self) -> bool {
        self == ReplicaKind::S3
    }
}

/// Credentials and address of a bucket; not needed for directories.
#[derive(Clone, Default)]
pub struct ReplicaOptions {
    /// Address of the S3 endpoint; `None` for AWS itself. An `http` address is allowed.
    pub endpoint: Option<String>,
    /// Region; `auto` for R2.
    pub region: Option<String>,
    /// Access key id.
    pub access_key_id: Option<String>,
    /// Secret access key.
    pub secret_access_key: Option<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
    /// Where these values came from.
    pub names: Names,
}

impl fmt::Debug for ReplicaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicaOptions")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// What creating an object gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was not there; now it is.
    New,
    /// It was there already, perhaps from an earlier request of ours whose reply was lost.
    Exists,
}

/// An object that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub path: Path,
    /// Its size.
    pub bytes: u64,
}

/// The object store of one remote log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replica {
    /// The objects, named relative to the prefix of this log.
    pub store: Arc<dyn ObjectStore>,
    /// Where it is, for people; holds no secret.
    pub location: String,
    /// What it is.
    pub kind: ReplicaKind,
    /// What sentences about its failures are about.
    pub subject: Subject,
    /// Blobs on this machine, where some are recorded or read.
    pub blobs: Option<Arc<LocalBlobs>>,
    timeout: Option<Duration>,
}

impl Replica {
    /// Opens `file:///path`, `s3://bucket/prefix` or `memory://`. Makes no request. For `s3` the
    /// process must have installed a `rustls` crypto provider before.
    pub fn open(url: &str, options: &ReplicaOptions) -> Result<Replica, StoreError> {
        let invalid = |reason: &str| StoreError::Invalid(format!("the replica URL {reason}"));
        let parsed = Url::parse(url).map_err(|error| invalid(&format!("is no URL: {error}")))?;
        let (store, kind): (Arc<dyn ObjectStore>, _) = match parsed.scheme() {
            "file" => (directory(&parsed)?, ReplicaKind::Directory),
            "s3" => (bucket(&parsed, options)?, ReplicaKind::S3),
            "memory" => (Arc::new(InMemory::new()), ReplicaKind::Memory),
            other => {
                return Err(invalid(&format!(
                    "has the scheme `{other}`; use s3 or file"
                )));
            }
        };
        let host = parsed.host_str().unwrap_or_default();
        let location = format!("{}://{host}{}", parsed.scheme(), parsed.path());
        let timeout = Some(Duration::from_millis(REQUEST_TIMEOUT_MS));
        Ok(Replica {
            store,
            location,
            kind,
            subject: Subject {
                bucket: host.to_owned(),
                names: options.names,
            },
            blobs: None,
            timeout,
        })
    }

    /// A replica over any object store, without timeouts of its own; needs no async runtime.
    pub fn over(store: Arc<dyn ObjectStore>, kind: ReplicaKind) -> Replica {
        Replica {
            location: store.to_string(),
            store,
            kind,
            subject: Subject::default(),
            blobs: None,
            timeout: None,
        }
    }

    /// The same replica with another time limit for each request.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Replica {
        self.timeout = Some(timeout);
        self
    }

    /// The same replica with these blobs beside it: they are uploaded before what names them.
    #[must_use]
    pub fn with_blobs(mut self, blobs: Arc<LocalBlobs>) -> Replica {
        self.blobs = Some(blobs);
        self
    }

    /// Whether an object is there.
    pub async fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        let head = self.store.get_opts(path, GetOptions::new().with_head(true));
        match self.bounded("read", path, head).await? {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("read", path, &error)),
        }
    }

    /// Creates an object if it is absent. After an error nobody knows whether it exists: create it
    /// again with the same bytes, and when it `Exists`, compare.
    pub async fn create(&self, path: &Path, bytes: Bytes) -> Result<Created, StoreError> {
        let options = PutOptions::from(PutMode::Create);
        let put = self
            .store
            .put_opts(path, PutPayload::from_bytes(bytes), options);
        match self.bounded("create", path, put).await? {
            Ok(_) => Ok(Created::New),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(Created::Exists),
            Err(error) => Err(self.failed("create", path, &error)),
        }
    }

    /// Writes an object, whatever was there. Only for bytes that mean the same as those before: a
    /// request whose outcome is not known may take effect much later.
    pub async fn overwrite(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        let options = PutOptions::from(PutMode::Overwrite);
        let put = self
            .store
            .put_opts(path, PutPayload::from_bytes(bytes), options);
        match self.bounded("overwrite", path, put).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed("overwrite", path, &error)),
        }
    }

    /// The bytes of an object; `None` when it is not there.
    pub async fn get(&self, path: &Path) -> Result<Option<Bytes>, StoreError> {
        let get = async {
            let result = self.store.get_opts(path, GetOptions::default()).await?;
            let size = result.meta.size;
            if size > OBJECT_BYTES_MAX {
                return Ok((size, Bytes::new()));
            }
            Ok((size, result.bytes().await?))
        };
        match self.bounded("read", path, get).await? {
            Ok((size, bytes)) if bytes.len() as u64 == size => Ok(Some(bytes)),
            Ok((size, _)) if size > OBJECT_BYTES_MAX => Err(StoreError::Corrupt {
                place: format!("`{path}`"),
                reason: format!("{size} bytes are more than any object of a log has"),
            }),
            Ok((size, bytes)) => Err(StoreError::Remote {
                operation: "read",
                object: path.to_string(),
                reason: format!("got {} of {size} bytes", bytes.len()),
            }),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path, &error)),
        }
    }

    /// A small object as JSON; `None` when it is not there.
    pub(crate) async fn get_json<T: DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.get(path).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| StoreError::Corrupt {
                place: format!("`{path}`"),
                reason: error.to_string(),
            })
    }

    /// Creates a small object as JSON, as [`Replica::create`] does.
    pub(crate) async fn create_json(
        &self,
        path: &Path,
        value: &impl Serialize,
    ) -> Result<Created, StoreError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| StoreError::Internal(format!("cannot encode `{path}`: {error}")))?;
        self.create(path, Bytes::from(bytes)).await
    }

    /// The names in a folder, sorted. The list may be stale: an object that is missing from it can
    /// exist all the same, so whoever needs to know asks for the object itself.
    pub async fn list(&self, folder: &str) -> Result<Vec<Path>, StoreError> {
        let listed = self.list_after(folder, None).await?;
        Ok(listed.into_iter().map(|listed| listed.path).collect())
    }

    /// What is in a folder, sorted by name, from the name after this one on. As stale as
    /// [`Replica::list`].
    pub async fn list_after(
        &self,
        folder: &str,
        after: Option<&Path>,
    ) -> Result<Vec<Listed>, StoreError> {
        let folder = Path::from(folder);
        let listed = match after {
            Some(after) => self.store.list_with_offset(Some(&folder), after),
            None => self.store.list(Some(&folder)),
        };
        let listed = listed
            .map_ok(|meta| Listed {
                path: meta.location,
                bytes: meta.size,
            })
            .try_collect::<Vec<Listed>>();
        let mut listed = self
            .bounded("list", &folder, listed)
            .await?
            .map_err(|error| self.failed("list", &folder, &error))?;
        listed.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(listed)
    }

    /// Deletes an object; one that is not there counts as deleted. After an error nobody knows
    /// whether it is gone, or goes later.
    pub async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        let delete = self.store.delete(path);
        match self.bounded("delete", path, delete).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", path, &error)),
        }
    }

    fn failed(
        &self,
        operation: &'static str,
        path: &Path,
        error: &object_store::Error,
    ) -> StoreError {
        StoreError::Remote {
            operation,
            object: path.to_string(),
            reason: self.subject.explain(operation, error).message,
        }
    }

    async fn bounded<T>(
        &self,
        operation: &'static str,
        path: &Path,
        request: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let Some(timeout) = self.timeout else {
            return Ok(request.await);
        };
        tokio::time::timeout(timeout, request)
            .await
            .map_err(|_| StoreError::Remote {
                operation,
                object: path.to_string(),
                reason: format!("no answer within {} ms", timeout.as_millis()),
            })
    }
}

fn directory(url: &Url) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let path = url
        .to_file_path()
        .map_err(|()| StoreError::Invalid("a file:// replica needs an absolute path".to_owned()))?;
    let unusable = |reason: String| {
        StoreError::Invalid(format!(
            "cannot use the replica `{}`: {reason}",
            path.display()
        ))
    };
    std::fs::create_dir_all(&path).map_err(|error| unusable(error.to_string()))?;
    let store =
        LocalFileSystem::new_with_prefix(&path).map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(store.with_fsync(true)))
}

fn bucket(url: &Url, options: &ReplicaOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let name = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| StoreError::Invalid("the replica URL names no bucket".to_owned()))?;
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    let plain = options
        .endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let client = ClientOptions::new()
        .with_timeout(Duration::from_millis(REQUEST_TIMEOUT_MS))
        .with_connect_timeout(Duration::from_millis(REQUEST_TIMEOUT_MS / 3))
        .with_allow_http(plain);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_client_options(client)
        .with_retry(retry)
        .with_http_connector(PlainRefusals)
        // Single deletes: not every server has the other ones, and this crate deletes little.
        .with_disable_bulk_delete(true)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_region(options.region.as_deref().unwrap_or("us-east-1"));
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    let (Some(id), Some(secret)) = (&options.access_key_id, &options.secret_access_key) else {
        // Without them the client would ask the machine it runs on, which never helps here.
        return Err(StoreError::Invalid(
            "an s3:// replica needs an access key id and a secret access key".to_owned(),
        ));
    };
    builder = builder
        .with_access_key_id(id)
        .with_secret_access_key(secret);
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token);
    }
    let store = builder
        .build()
        .map_err(|error| StoreError::Invalid(format!("cannot use the bucket: {error}")))?;
    let prefix = Path::from(url.path().trim_matches('/'));
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_work_are_refused_with_a_reason() {
        for url in ["nonsense", "ftp://host/x", "s3:///prefix"] {
            let error = Replica::open(url, &ReplicaOptions::default()).unwrap_err();
            assert!(matches!(error, StoreError::Invalid(_)), "{url}: {error}");
        }
    }

    #[test]
    fn the_location_holds_no_secret() {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = ReplicaOptions {
            secret_access_key: Some("hidden".to_owned()),
            access_key_id: Some("id".to_owned()),
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            ..ReplicaOptions::default()
        };
        assert!(!format!("{options:?}").contains("hidden"));
        let replica = Replica::open("s3://user:word@bucket/some/prefix?x=1", &options).unwrap();
        assert_eq!(replica.location, "s3://bucket/some/prefix");
        assert!(!replica.location.contains("word"));
    }
}
