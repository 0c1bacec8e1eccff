//! The envelope of everything immutable in the object store: segments and snapshots.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic; its last byte is the version of the form |
//! | 4 | `h`: size of the header |
//! | 4 | `r`: size of the content |
//! | 4 | `p`: size of the packed content |
//! | `h` | header, specified by the user of the envelope |
//! | 4 | crc32c of everything before |
//! | `p` | the content, packed with zstd level 3 |
//! | 32 | blake3 of everything before |
//!
//! All numbers are little endian. Invariant: the same header and content give the same bytes, and
//! no altered, truncated or extended object opens. The header has a checksum of its own, so it can
//! be read from the first bytes of an object alone.

use crate::error::StoreError;
use bytes::Bytes;
use moltbot_core::chain::Hash;

pub(crate) const MAGIC_BYTES: usize = 8;
/// The largest header that is written or read.
pub(crate) const HEADER_BYTES_MAX: usize = 1024;
const PREFIX_BYTES: usize = MAGIC_BYTES + 3 * 4;
const CRC_BYTES: usize = 4;
const HASH_BYTES: usize = 32;
const ZSTD_LEVEL: i32 = 3;

/// What opening one kind of object expects.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) magic: [u8; MAGIC_BYTES],
    /// What it is called in messages.
    pub(crate) noun: &'static str,
    /// Nothing larger is unpacked.
    pub(crate) content_bytes_max: usize,
}

struct Prefix<'a> {
    header: &'a [u8],
    content_bytes: usize,
    packed_bytes: usize,
    packed_at: usize,
}

/// Packs header and content.
pub(crate) fn seal(form: Form, header: &[u8], content: &[u8]) -> Result<Bytes, StoreError> {
    let noun = form.noun;
    if header.len() > HEADER_BYTES_MAX || content.len() > form.content_bytes_max {
        return Err(StoreError::Internal(format!(
            "a {noun} of {} bytes with a header of {} is too large",
            content.len(),
            header.len()
        )));
    }
    let packed = zstd::bulk::compress(content, ZSTD_LEVEL)
        .map_err(|error| StoreError::Internal(format!("cannot pack a {noun}: {error}")))?;
    let size = PREFIX_BYTES + header.len() + CRC_BYTES + packed.len() + HASH_BYTES;
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&form.magic);
    for part in [header.len(), content.len(), packed.len()] {
        let part = u32::try_from(part)
            .map_err(|_| StoreError::Internal(format!("a {noun} of {part} bytes is too large")))?;
        bytes.extend_from_slice(&part.to_le_bytes());
    }
    bytes.extend_from_slice(header);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&packed);
    let hash = Hash::of(&bytes);
    bytes.extend_from_slice(&hash.0);
    Ok(bytes.into())
}

/// The header, from the first bytes of an object; verified by its own checksum only.
pub(crate) fn header<'a>(form: Form, place: &str, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
    Ok(prefix(form, place, bytes)?.header)
}

/// Header and content of a whole object, fully verified.
pub(crate) fn open<'a>(
    form: Form,
    place: &str,
    bytes: &'a [u8],
) -> Result<(&'a [u8], Vec<u8>), StoreError> {
    let prefix = prefix(form, place, bytes)?;
    let size = prefix.packed_at + prefix.packed_bytes + HASH_BYTES;
    if bytes.len() != size {
        let reason = format!("it has {} bytes instead of {size}", bytes.len());
        return Err(corrupt(place, reason));
    }
    let (sealed, hash) = bytes
        .split_at_checked(size - HASH_BYTES)
        .ok_or_else(|| corrupt(place, "it ends too early"))?;
    if Hash::of(sealed).0 != hash {
        return Err(corrupt(place, "its hash does not fit"));
    }
    let packed = sealed.get(prefix.packed_at..).unwrap_or_default();
    let content = zstd::bulk::decompress(packed, prefix.content_bytes)
        .map_err(|error| corrupt(place, format!("it cannot be unpacked: {error}")))?;
    if content.len() != prefix.content_bytes {
        return Err(corrupt(place, "its content has another size"));
    }
    Ok((prefix.header, content))
}

fn prefix<'a>(form: Form, place: &str, bytes: &'a [u8]) -> Result<Prefix<'a>, StoreError> {
    let mut fields = Fields::new(place, bytes);
    let magic: [u8; MAGIC_BYTES] = fields.array()?;
    if magic != form.magic {
        let ([kind @ .., found], [known_kind @ .., known]) = (magic, form.magic);
        let is_same_kind = kind == known_kind;
        return Err(if is_same_kind && found > known && !is_ours(form, bytes) {
            StoreError::newer(place, form.noun, u64::from(found), known)
        } else {
            corrupt(place, format!("it is not a {}", form.noun))
        });
    }
    let header_bytes = fields.size()?;
    let content_bytes = fields.size()?;
    let packed_bytes = fields.size()?;
    if header_bytes > HEADER_BYTES_MAX || content_bytes > form.content_bytes_max {
        return Err(corrupt(place, "its sizes are beyond the bounds"));
    }
    let header = fields.take(header_bytes)?;
    let summed = bytes.get(..PREFIX_BYTES + header_bytes).unwrap_or_default();
    if fields.u32()? != crc32c::crc32c(summed) {
        return Err(corrupt(place, "the checksum of its header does not fit"));
    }
    Ok(Prefix {
        header,
        content_bytes,
        packed_bytes,
        packed_at: PREFIX_BYTES + header_bytes + CRC_BYTES,
    })
}

/// Whether these bytes are of this form but for the version in their magic: then that was damaged.
fn is_ours(form: Form, bytes: &[u8]) -> bool {
    let mut ours = bytes.to_vec();
    ours.splice(..MAGIC_BYTES, form.magic);
    prefix(form, "", &ours).is_ok()
}

/// The error for bytes that are not what was written.
pub(crate) fn corrupt(place: &str, reason: impl Into<String>) -> StoreError {
    StoreError::Corrupt {
        place: format!("`{place}`"),
        reason: reason.into(),
    }
}

/// Takes little-endian fields from bytes; every miss is a `Corrupt` of this place.
pub(crate) struct Fields<'p, 'a> {
    place: &'p str,
    rest: &'a [u8],
}

impl<'p, 'a> Fields<'p, 'a> {
    pub(crate) fn new(place: &'p str, rest: &'a [u8]) -> Fields<'p, 'a> {
        Fields { place, rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StoreError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, StoreError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A u32 that counts bytes.
    pub(crate) fn size(&mut self) -> Result<usize, StoreError> {
        self.u32().map(|size| size as usize)
    }

    pub(crate) fn hash(&mut self) -> Result<Hash, StoreError> {
        self.array().map(Hash)
    }

    /// A text after its u16 length.
    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        let size = usize::from(self.u16()?);
        let bytes = self.take(size)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| corrupt(self.place, "a text is not UTF-8"))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| corrupt(self.place, "it ends too early"))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn take(&mut self, size: usize) -> Result<&'a [u8], StoreError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or_else(|| corrupt(self.place, "it ends too early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Fails when something is left over.
    pub(crate) fn end(self) -> Result<(), StoreError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let reason = format!("{} bytes are left over", self.rest.len());
        Err(corrupt(self.place, reason))
    }
}

/// Appends a text after its u16 length.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) -> Result<(), StoreError> {
    let size = u16::try_from(text.len())
        .map_err(|_| StoreError::Internal(format!("a name of {} bytes is too long", text.len())))?;
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}
