//! An object store that fails the way object stores do, from a seed.
//!
//! Invariant: an object is either absent or whole and never changes; everything else is allowed:
//! requests that fail before or after they took effect, that take effect long after they failed or
//! after their sender is gone, stale lists, replies that end too early.

use super::rng::Rng;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, Extensions, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

/// How often each fault happens, in a thousand requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Refused before it took effect.
    pub before: u64,
    /// Took effect, but the reply was lost.
    pub after: u64,
    /// Timed out, and takes effect later, or never.
    pub late: u64,
    /// Refused with "too many requests".
    pub throttled: u64,
    /// A list that lacks some objects.
    pub stale_list: u64,
    /// A reply that ends too early.
    pub partial: u64,
    /// A delete is refused.
    pub undeletable: u64,
    /// A request is put off at most this often, before it takes effect and again after.
    pub yields_max: u64,
}

/// What is decided about a write before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    After,
    Late,
}

/// What changes the store.
#[derive(Debug)]
enum Write {
    Put(Path, PutPayload, PutOptions),
    Delete(Path),
}

#[derive(Debug)]
struct State {
    rng: Rng,
    faults: Faults,
    is_down: bool,
    /// So many more requests are answered, and whether the last write takes effect all the same.
    left: Option<(u64, bool)>,
    has_ended: bool,
    late: Vec<Write>,
    /// Writes of others that land just before one of ours to that folder.
    overtaking: Vec<(Path, Path, PutPayload)>,
    requests: u64,
}

/// One client's view of an object store. Several can share the store below.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

impl FaultyStore {
    /// Wraps a store; faultless until told otherwise.
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64) -> FaultyStore {
        let state = State {
            rng: Rng::new(seed),
            faults: Faults::default(),
            is_down: false,
            left: None,
            has_ended: false,
            late: Vec::new(),
            overtaking: Vec::new(),
            requests: 0,
        };
        FaultyStore {
            inner,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// From now on it fails this often.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// From now on every request is refused, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Its client is gone after so many more requests; when `last_lands`, the write with which it
    /// goes takes effect although nobody hears of it.
    pub fn end_after(&self, requests: u64, last_lands: bool) {
        self.lock().left = Some((requests, last_lands));
    }

    /// Whether [`FaultyStore::end_after`] has refused anything.
    pub fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// Lets one of the writes that timed out take effect now. `false` when there is none.
    pub async fn land_late_write(&self) -> bool {
        let write = {
            let mut state = self.lock();
            let length = state.late.len();
            if length == 0 {
                return false;
            }
            let at = state.rng.index(length);
            state.late.swap_remove(at)
        };
        // Nobody is there to hear about its failure.
        let _ = self.apply(write).await;
        true
    }

    /// Somebody else creates this object just before the next write to that folder takes effect.
    pub fn overtake(&self, folder: &str, path: Path, bytes: Bytes) {
        let write = (Path::from(folder), path, PutPayload::from_bytes(bytes));
        self.lock().overtaking.push(write);
    }

    async fn let_overtake(&self, path: &Path) {
        let overtaking = std::mem::take(&mut self.lock().overtaking);
        for (folder, other, payload) in overtaking {
            if path.prefix_matches(&folder) {
                let options = PutOptions::from(PutMode::Create);
                // It may be there already; then it did not overtake.
                let _ = self.inner.put_opts(&other, payload, options).await;
            } else {
                self.lock().overtaking.push((folder, other, payload));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.requests += 1;
        let bound = state.faults.yields_max + 1;
        state.rng.below(bound)
    }

    fn chance(&self, of: impl Fn(&Faults) -> u64) -> bool {
        let mut state = self.lock();
        let per_mille = of(&state.faults);
        state.rng.chance(per_mille)
    }

    fn refused(&self) -> Option<Error> {
        if self.lock().is_down {
            return Some(failure("connection refused"));
        }
        if self.chance(|faults| faults.throttled) {
            return Some(failure("503 slow down"));
        }
        self.chance(|faults| faults.before)
            .then(|| failure("500 internal error"))
    }

    /// `Some` when the client is gone: whether this write takes effect.
    fn end(&self) -> Option<bool> {
        let mut state = self.lock();
        let (left, last_lands) = state.left?;
        if left > 0 {
            state.left = Some((left - 1, last_lands));
            return None;
        }
        state.left = Some((0, false));
        state.has_ended = true;
        Some(last_lands)
    }

    fn fate(&self) -> Result<Fate> {
        match self.end() {
            Some(true) => return Ok(Fate::After),
            Some(false) => return Err(failure("gone")),
            None => {}
        }
        if let Some(error) = self.refused() {
            return Err(error);
        }
        if self.chance(|faults| faults.late) {
            return Ok(Fate::Late);
        }
        let is_after = self.chance(|faults| faults.after);
        Ok(if is_after { Fate::After } else { Fate::Fine })
    }

    async fn apply(&self, write: Write) -> Result<PutResult> {
        match write {
            Write::Put(path, payload, options) => {
                self.inner.put_opts(&path, payload, options).await
            }
            Write::Delete(path) => self.inner.delete(&path).await.map(|()| PutResult {
                e_tag: None,
                version: None,
                extensions: Extensions::default(),
            }),
        }
    }

    async fn write(&self, write: Write) -> Result<PutResult> {
        let fate = self.fate();
        let mut flight = Flight {
            store: self,
            write: Some(write),
        };
        yields(self.begin()).await;
        let Some(write) = flight.write.take() else {
            return Err(failure("lost"));
        };
        let fate = fate?;
        if fate == Fate::Late {
            self.lock().late.push(write);
            yields(self.begin()).await;
            return Err(failure("timed out"));
        }
        if let Write::Put(path, ..) = &write {
            self.let_overtake(path).await;
        }
        let result = self.apply(write).await;
        yields(self.begin()).await;
        if fate == Fate::After {
            return Err(failure("connection reset"));
        }
        result
    }

    async fn remove(&self, path: Path) -> Result<Path> {
        if self.chance(|faults| faults.undeletable) {
            return Err(failure("403 forbidden"));
        }
        self.write(Write::Delete(path.clone())).await?;
        Ok(path)
    }

    async fn read(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        yields(self.begin()).await;
        if self.end().is_some() {
            return Err(failure("gone"));
        }
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let result = self.inner.get_opts(path, options).await;
        yields(self.begin()).await;
        let mut result = result?;
        if self.chance(|faults| faults.partial) {
            let meta = result.meta.clone();
            let range = result.range.clone();
            let attributes = result.attributes.clone();
            let extensions = result.extensions.clone();
            let bytes = result.bytes().await?;
            let short = Bytes::copy_from_slice(bytes.get(..bytes.len() / 2).unwrap_or_default());
            result = GetResult {
                payload: GetResultPayload::Stream(stream::iter([Ok(short)]).boxed()),
                meta,
                range,
                attributes,
                extensions,
            };
        }
        Ok(result)
    }

    async fn names(&self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        yields(self.begin()).await;
        if self.end().is_some() {
            return Err(failure("gone"));
        }
        if let Some(error) = self.refused() {
            return Err(error);
        }
        let mut listed: Vec<ObjectMeta> = self.inner.list(prefix.as_ref()).try_collect().await?;
        yields(self.begin()).await;
        listed.sort_by(|left, right| left.location.cmp(&right.location));
        if !listed.is_empty() && self.chance(|faults| faults.stale_list) {
            let mut state = self.lock();
            if state.rng.chance(700) {
                let missing = 1 + state.rng.index(3);
                listed.truncate(listed.len().saturating_sub(missing));
            } else {
                let missing = state.rng.index(listed.len());
                listed.remove(missing);
            }
        }
        Ok(listed)
    }
}

/// A write on its way; when its sender is dropped it may still arrive.
struct Flight<'a> {
    store: &'a FaultyStore,
    write: Option<Write>,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(write) = self.write.take() {
            let mut state = self.store.lock();
            if state.rng.chance(500) {
                state.late.push(write);
            }
        }
    }
}

fn failure(reason: &'static str) -> Error {
    Error::Generic {
        store: "faulty",
        source: reason.into(),
    }
}

/// Lets others run this many times.
pub async fn yields(times: u64) {
    for _ in 0..times {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl ObjectStore for FaultyStore {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Boxed<'c, PutResult>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.write(Write::Put(location.clone(), payload, opts)))
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        opts: PutMultipartOptions,
    ) -> Boxed<'c, Box<dyn MultipartUpload>>
    where
        'a: 'c,
        'b: 'c,
    {
        self.inner.put_multipart_opts(location, opts)
    }

    fn get_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        options: GetOptions,
    ) -> Boxed<'c, GetResult>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(self.read(location, options))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .and_then(move |path| {
                let store = store.clone();
                async move { store.remove(path).await }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(async move { store.names(prefix).await })
            .map_ok(|names| stream::iter(names.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, prefix: Option<&'b Path>) -> Boxed<'c, ListResult>
    where
        'a: 'c,
        'b: 'c,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'd, 'c>(
        &'a self,
        from: &'b Path,
        to: &'d Path,
        options: CopyOptions,
    ) -> Boxed<'c, ()>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
    {
        self.inner.copy_opts(from, to, options)
    }
}
