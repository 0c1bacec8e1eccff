//! Names of the objects in the remote log: the only place that spells one.
//!
//! ```text
//! head/<epoch:010>.json               one per takeover, create-only, never deleted
//! log/<first_seq:020>.seg             a segment, create-only
//! compact/<from:020>-<to:020>.seg     merged segments
//! floor/<number:010>.json             how far `log/` was merged, create-only, never deleted
//! snapshot/<seq:020>.snap             a snapshot of the state
//! checkpoint/<seq:020>.json           a signed checkpoint
//! keys/<id>                           a data key
//! blob/<hash>                         a sealed payload too large for a record
//! orphan/<epoch:010>-<writer>-<tail>/<first_seq:020>.seg    a tail that lost against another writer,
//!                                     named by half of the hash of its first record
//! probe/<random>/probe                what a self-test writes and deletes again
//! ```

use moltbot_core::chain::Hash;
use moltbot_core::ids::{Epoch, InstanceId, KeyId, Seq};
use object_store::path::Path;

/// Folder of the heads.
pub const HEADS: &str = "head";
/// Folder of the segments.
pub const SEGMENTS: &str = "log";
/// Folder of the merged segments.
pub const MERGED: &str = "compact";
/// Folder of the floors.
pub const FLOORS: &str = "floor";
/// Folder of the snapshots.
pub const SNAPSHOTS: &str = "snapshot";
/// Folder of the signed checkpoints.
pub const CHECKPOINTS: &str = "checkpoint";
/// Folder of the data keys.
pub const KEYS: &str = "keys";
/// Folder of the blobs.
pub const BLOBS: &str = "blob";
/// Folder of the tails that lost.
pub const ORPHANS: &str = "orphan";

/// Digits that name a tail that lost: 64 bits of a hash.
const TAIL_DIGITS: usize = 16;

/// Folder of the self-tests.
pub const PROBES: &str = "probe";

/// The claim of an epoch.
pub fn head(epoch: Epoch) -> Path {
    Path::from(format!("{HEADS}/{:010}.json", epoch.0))
}

/// The segment that begins with this record.
pub fn segment(first: Seq) -> Path {
    Path::from(format!("{SEGMENTS}/{:020}.seg", first.0))
}

/// The merged segment that holds exactly these records.
pub fn merged(first: Seq, last: Seq) -> Path {
    Path::from(format!("{MERGED}/{:020}-{:020}.seg", first.0, last.0))
}

/// The floor with this number.
pub fn floor(number: u64) -> Path {
    Path::from(format!("{FLOORS}/{number:010}.json"))
}

/// The snapshot of the state after this record.
pub fn snapshot(seq: Seq) -> Path {
    Path::from(format!("{SNAPSHOTS}/{:020}.snap", seq.0))
}

/// The signed checkpoint that ends with this record.
pub fn checkpoint(seq: Seq) -> Path {
    Path::from(format!("{CHECKPOINTS}/{:020}.json", seq.0))
}

/// A data key.
pub fn key(id: &KeyId) -> Path {
    Path::from(format!("{KEYS}/{id}"))
}

/// A blob.
pub fn blob(hash: &Hash) -> Path {
    Path::from(format!("{BLOBS}/{hash}"))
}

/// A segment of the tail that lost and began with the record of this hash. Epoch and writer alone do
/// not tell tails apart: after one record several may have been written, each lost in its turn.
pub fn orphan(epoch: Epoch, writer: &InstanceId, tail: &Hash, first: Seq) -> Path {
    let tail: String = tail.to_hex().chars().take(TAIL_DIGITS).collect();
    Path::from(format!(
        "{ORPHANS}/{:010}-{writer}-{tail}/{:020}.seg",
        epoch.0, first.0
    ))
}

/// Epoch and writer in the name of a folder of [`orphan`].
pub(crate) fn orphan_of(folder: &str) -> Option<(Epoch, InstanceId)> {
    let (epoch, rest) = folder.split_once('-')?;
    let (writer, tail) = rest.rsplit_once('-')?;
    let is_tail = tail.len() == TAIL_DIGITS && tail.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_tail.then(|| Some((Epoch(epoch.parse().ok()?), writer.into())))?
}

/// The folder of one self-test.
pub fn probe_folder(name: &str) -> Path {
    Path::from(format!("{PROBES}/{name}"))
}

/// The only object of one self-test.
pub fn probe(name: &str) -> Path {
    Path::from(format!("{PROBES}/{name}/probe"))
}

/// First and last record in the file name of a merged segment.
pub fn range(path: &Path) -> Option<(Seq, Seq)> {
    let (first, last) = path.filename()?.strip_suffix(".seg")?.split_once('-')?;
    let range = (Seq(first.parse().ok()?), Seq(last.parse().ok()?));
    (Seq::ZERO < range.0 && range.0 <= range.1).then_some(range)
}

/// The number in the file name of a head, segment, floor, snapshot or checkpoint.
pub fn number(path: &Path) -> Option<u64> {
    path.filename()?.split('.').next()?.parse().ok()
}
