//! Every bound and rhythm of the log and its replica, with units in the names.
//!
//! Invariant: nothing in this crate waits, retries, reads or allocates without a bound from here.
//! A struct of values only; components (the object store, the log) are handed over separately.
//! Bounds of the stored formats are constants: reader and writer must agree on them for ever.

/// Frames in one segment before packing; a larger segment is neither written nor read.
pub const SEGMENT_CONTENT_BYTES_MAX: usize = 32 << 20;

/// Frames in one merged segment before packing.
pub const MERGED_CONTENT_BYTES_MAX: usize = SEGMENT_CONTENT_BYTES_MAX / 2;

/// Sections of one snapshot before packing; a larger snapshot is neither written nor read.
pub const SNAPSHOT_CONTENT_BYTES_MAX: usize = 128 << 20;

/// One stored value of the local log. A leaf of sled's tree holds up to twenty values and must
/// stay below 128 KiB: sled writes larger ones to separate files and never syncs those.
pub const LOG_VALUE_BYTES_MAX: usize = 4 << 10;

/// Threads that verify the local log when it is opened, each a part of at least so many records.
pub const VERIFY_THREADS_MAX: usize = 4;
/// See [`VERIFY_THREADS_MAX`].
pub const VERIFY_PART_RECORDS_MIN: u64 = 5_000;

/// Zeros that are appended to sled's file at a time, for sled to write over.
pub const ROOM_BYTES: usize = 1 << 20;
/// They are appended when fewer than this are left.
pub const ROOM_BYTES_MIN: u64 = 128 << 10;

/// What the tail of the local log writes at a time, at least: no append touches a block that holds
/// what was acknowledged before.
pub const TAIL_BLOCK_BYTES: usize = 4 << 10;
/// Records that go from the tail into sled as one batch with one sync, and the largest batch that
/// takes its way through the tail: less than a segment of sled's file (512 KiB), so that sled never
/// writes over what a batch made needless before that batch is synced.
pub const CHECKPOINT_BATCH_BYTES: usize = 256 << 10;

/// An object larger than this is not read; the largest snapshot fits.
pub const OBJECT_BYTES_MAX: u64 = 192 << 20;

/// A checkpoint; a larger one is not read.
pub const CHECKPOINT_BYTES_MAX: usize = 4 << 10;
/// Checkpoints that are never thinned out, the newest ones.
pub const CHECKPOINTS_NEWEST_KEPT: usize = 64;
/// Checkpoints of one place that are read when a log is held against them, the newest ones: they
/// vouch for everything before.
pub const CHECKPOINTS_READ_MAX: usize = 1_000;
/// Checkpoints that are read at the same time.
pub const CHECKPOINTS_READ_AT_ONCE: usize = 8;
/// Content is sealed in pieces of this size. Part of the form: another one gives other names.
pub const BLOB_CHUNK_BYTES: usize = 1 << 20;
/// The largest object that holds a blob or a part of one.
pub const BLOB_OBJECT_BYTES_MAX: usize = BLOB_CHUNK_BYTES + (4 << 10);
/// Blobs that are uploaded at the same time.
pub const BLOB_UPLOADS: usize = 8;

/// A request to the object store that takes longer has failed, with unknown outcome.
pub const REQUEST_TIMEOUT_MS: u64 = 30_000;

/// Of what a server says about a refused request, more than this is not read.
pub const REFUSAL_BYTES_MAX: usize = 16 << 10;

/// How long a fenced gateway tries to keep its unshipped tail, and the wait between two tries.
pub const ORPHAN_UPLOAD_MS_MAX: u64 = 30_000;
/// See [`ORPHAN_UPLOAD_MS_MAX`].
pub const ORPHAN_RETRY_MS: u64 = 1000;

/// Tails under `orphan/` that are listed, the newest.
pub const ORPHANS_MAX: usize = 1000;

/// Gateways that claim at the same moment try so often to get ahead of one another.
pub const CLAIM_ROUNDS_MAX: u32 = 64;

/// Snapshots that a start tries, from the newest on, before it reads the whole log.
pub const ANCHORS_TRIED_MAX: usize = 5;
/// Encoded bytes read per step of the search for the event that vouches for a snapshot.
pub const ANCHOR_SCAN_BYTES: usize = 1 << 20;

/// Memory for decoded objects of the history before the local log; one larger object fits as well.
pub const HISTORY_CACHE_BYTES: usize = 16 << 20;
/// Readers that wait for the history before the local log; more are refused for the moment.
pub const HISTORY_READERS_MAX: usize = 64;

/// Records in one object of the log. Whoever looks for a record needs to list no object that begins
/// so far before it.
pub const OBJECT_RECORDS_MAX: u64 = 1 << 17;

/// So often a reader asks for the lists again when an object that should be there is not, until it
/// says that this must be tried later.
pub const CATALOG_REFRESHES_MAX: u32 = 6;

/// Merged segments that a restore reads at the same time; each is some megabytes in memory.
pub const RESTORE_MERGED_CONCURRENCY: usize = 4;

/// How often the compactor looks whether there is anything to merge. Looking costs no request.
pub const COMPACT_LOOK_MS: u64 = 60_000;

/// Payload bytes that a restore gathers before it appends them to the local log.
pub const RESTORE_APPEND_BYTES_MAX: usize = 4 << 20;

/// Records that are read at a time from somewhere in the remote log, to the end of their segment.
pub const SCAN_PAGE_RECORDS: u64 = 10_000;

/// A request of a scan or a copy is tried so often while the object store cannot be reached.
pub const COPY_TRIES_MAX: u32 = 5;

/// Bytes of objects that a copy has under way at the same time; one that is larger goes alone.
pub const COPY_BYTES_MAX: usize = 64 << 20;

/// Of the snapshots up to a moment, so many of the newest go into a fork: as many as a start tries.
pub const FORK_SNAPSHOTS_MAX: usize = 3;

/// Appends whose time is remembered until they are shipped; with more, ages are overstated.
pub const LAG_MARKS_MAX: usize = 64;

/// Values of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Page cache of sled. Not a cap on its memory, which is several times this.
    pub sled_cache_bytes: u64,
    /// How long to wait for another process to let go of the local log.
    pub lock_wait_ms: u64,
    /// Records that are stored in sled, and later read, as one group.
    pub group_bytes_max: usize,
    /// Size of the tail of a new local log. What it holds is also in memory.
    pub tail_bytes: usize,
    /// Frames gathered into one segment before packing.
    pub segment_bytes_max: usize,
    /// As much goes into one segment instead once as much waits.
    pub catch_up_bytes_max: usize,
    /// How long a record waits for company while the PUT budget has tokens.
    pub linger_ms: u64,
    /// How long a record waits for company once the PUT budget is used up.
    pub linger_idle_ms: u64,
    /// PUTs that may be spent at once.
    pub put_burst: u32,
    /// One PUT is added to the budget in this time (2.6 s: the free tier of R2 around the clock).
    pub put_refill_ms: u64,
    /// A request that has no answer after this is told of as a failing remote; it is not given up yet.
    pub slow_request_ms: u64,
    /// How often a gateway that ships nothing asks whether it was fenced. Once a minute is 44,640
    /// reads a month of 31 days; R2's free tier has ten million.
    pub head_check_ms: u64,
    /// The first wait after a failed request; it doubles from there, with jitter.
    pub retry_ms_min: u64,
    /// The longest wait after a failed request.
    pub retry_ms_max: u64,
    /// Objects read at the same time.
    pub restore_concurrency: usize,
    /// A local log that is so many records behind is begun anew at a snapshot.
    pub behind_records_max: u64,
    /// What is merged into one object, as stored. A reader of old history reads all of it.
    pub compact_bytes_max: u64,
    /// Fewer segments are not worth merging.
    pub compact_segments_min: usize,
    /// So many neighbours of similar size are merged once more.
    pub compact_fan_in: usize,
    /// Objects made in one pass.
    pub compact_objects_max: usize,
    /// Objects deleted in one pass.
    pub compact_deletes_max: usize,
    /// Snapshots that are kept, the newest ones.
    pub snapshots_kept: usize,
    /// Of blobs that are in the remote log, at most so much stays on this machine too.
    pub blob_cache_bytes: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings {
            sled_cache_bytes: 16 << 20,
            lock_wait_ms: 500,
            group_bytes_max: 64 << 10,
            tail_bytes: 2 << 20,
            segment_bytes_max: 256 << 10,
            catch_up_bytes_max: 4 << 20,
            linger_ms: 50,
            linger_idle_ms: 1000,
            put_burst: 30,
            put_refill_ms: 2600,
            slow_request_ms: 3000,
            head_check_ms: 60_000,
            retry_ms_min: 200,
            retry_ms_max: 30_000,
            restore_concurrency: 32,
            behind_records_max: 20_000,
            compact_bytes_max: 4 << 20,
            compact_segments_min: 32,
            compact_fan_in: 8,
            compact_objects_max: 8,
            compact_deletes_max: 500,
            snapshots_kept: 3,
            blob_cache_bytes: 256 << 20,
        }
    }
}
