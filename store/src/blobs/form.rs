//! The two forms of a stored blob.
//!
//! | bytes | field of a chunk |
//! |---|---|
//! | 8 | magic `MBCHUNK`, its last byte the version: 1 |
//! | 24 | nonce |
//! | `n` + 16 | XChaCha20-Poly1305 ciphertext of `n` bytes, the id of the data key as associated data |
//!
//! | bytes | field of a list |
//! |---|---|
//! | 8 | magic `MBCLIST`, its last byte the version: 1 |
//! | 8 | size of the content |
//! | 4 | size of every chunk but the last, before sealing |
//! | 4 | `c`: number of chunks, at least 2 |
//! | 32 × `c` | name of each chunk, in order |
//!
//! All numbers are little endian. The name of either is the blake3 hash of its bytes, so whoever
//! has the name of a list has everything below it. A list is not sealed: it holds names and sizes of
//! objects that whoever can read it can see anyway.
//!
//! Chunks are sealed with a key of their own, derived from the data key, so that their nonces never
//! meet those of records. The nonce is a keyed hash of the plaintext: the same content under the
//! same data key gives the same bytes and is stored once, and nothing that differs ever shares a
//! nonce. Whoever sees the objects learns which of them are equal, and the size of each. Content is
//! not compressed: how well it packs would say something about it.

use crate::envelope::{Fields, corrupt};
use crate::error::StoreError;
use crate::layout;
use crate::settings::BLOB_CHUNK_BYTES;
use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use moltbot_core::chain::Hash;
use moltbot_core::content::DataKey;
use moltbot_core::ids::KeyId;
use moltbot_core::limits::FILE_BYTES_MAX;

const CHUNK: &[u8; 8] = b"MBCHUNK\x01";
const LIST: &[u8; 8] = b"MBCLIST\x01";
const NONCE_BYTES: usize = 24;

/// The content of one file, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    /// Bytes of the content.
    pub(crate) size: u64,
    /// Names of the chunks.
    pub(crate) chunks: Vec<Hash>,
}

/// What seals and opens the chunks of one data key.
#[derive(Clone)]
pub struct BlobKey {
    id: KeyId,
    sealing: [u8; 32],
    nonces: [u8; 32],
}

impl BlobKey {
    /// From a data key and its id.
    pub fn new(id: &KeyId, key: &DataKey) -> BlobKey {
        BlobKey {
            id: id.clone(),
            sealing: blake3::derive_key("moltbot 2026 blob sealing key", &key.0),
            nonces: blake3::derive_key("moltbot 2026 blob nonce key", &key.0),
        }
    }

    /// The id of the data key.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// A chunk of this plaintext.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Bytes, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(plain).finalize_xof().fill(&mut nonce);
        let ciphertext = XChaCha20Poly1305::new(&self.sealing.into())
            .encrypt(XNonce::from_slice(&nonce), self.payload(plain))
            .map_err(|_| StoreError::Internal("cannot seal a chunk".to_owned()))?;
        Ok([CHUNK.as_slice(), &nonce, &ciphertext].concat().into())
    }

    /// The plaintext of the chunk of this name.
    pub(crate) fn open(&self, name: &Hash, bytes: &[u8]) -> Result<Bytes, StoreError> {
        let place = layout::blob(name);
        let mut fields = Fields::new(place.as_ref(), bytes);
        if fields.array()? != *CHUNK {
            return Err(corrupt(place.as_ref(), "it is no chunk of a blob"));
        }
        let nonce: [u8; NONCE_BYTES] = fields.array()?;
        let ciphertext = bytes.get(CHUNK.len() + NONCE_BYTES..).unwrap_or_default();
        XChaCha20Poly1305::new(&self.sealing.into())
            .decrypt(XNonce::from_slice(&nonce), self.payload(ciphertext))
            .map(Bytes::from)
            .map_err(|_| {
                let reason = format!("it does not open with the data key `{}`", self.id);
                corrupt(place.as_ref(), reason)
            })
    }

    fn payload<'a>(&'a self, bytes: &'a [u8]) -> Payload<'a, 'a> {
        Payload {
            msg: bytes,
            aad: self.id.0.as_bytes(),
        }
    }
}

impl std::fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobKey({})", self.id)
    }
}

impl List {
    /// The bytes of the list.
    pub(crate) fn encode(&self) -> Result<Bytes, StoreError> {
        let number = |n: usize| {
            u32::try_from(n).map_err(|_| StoreError::Internal("a blob is too large".to_owned()))
        };
        let mut bytes = LIST.to_vec();
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&number(BLOB_CHUNK_BYTES)?.to_le_bytes());
        bytes.extend_from_slice(&number(self.chunks.len())?.to_le_bytes());
        bytes.extend(self.chunks.iter().flat_map(|chunk| chunk.0));
        Ok(bytes.into())
    }

    /// The list in these bytes; `None` when they are a chunk.
    pub(crate) fn decode(name: &Hash, bytes: &[u8]) -> Result<Option<List>, StoreError> {
        let place = layout::blob(name);
        let place = place.as_ref();
        let mut fields = Fields::new(place, bytes);
        match &fields.array()? {
            magic if magic == CHUNK => return Ok(None),
            magic if magic == LIST => {}
            _ => {
                let reason = "it has a form this version does not know";
                return Err(corrupt(place, reason));
            }
        }
        let size = fields.u64()?;
        let chunk_bytes = u64::from(fields.u32()?);
        let count = fields.size()?;
        // Nothing is allocated for a number that the size contradicts.
        if size > FILE_BYTES_MAX || chunk_bytes == 0 || size.div_ceil(chunk_bytes) != count as u64 {
            return Err(corrupt(place, "its sizes do not fit together"));
        }
        let chunks = (0..count)
            .map(|_| fields.hash())
            .collect::<Result<Vec<_>, _>>()?;
        fields.end()?;
        Ok(Some(List { size, chunks }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use moltbot_core::ids::hex;

    fn key(n: u8) -> BlobKey {
        BlobKey::new(&"key-1".into(), &DataKey([n; 32]))
    }

    fn list() -> List {
        List {
            size: BLOB_CHUNK_BYTES as u64 + 5,
            chunks: vec![Hash([1; 32]), Hash([2; 32])],
        }
    }

    #[test]
    fn the_bytes_of_both_forms_are_frozen() {
        let chunk = key(7).seal(b"hello").unwrap();
        insta::assert_snapshot!("chunk", hex(&chunk));
        insta::assert_snapshot!("list", hex(&list().encode().unwrap()));
    }

    #[test]
    fn the_same_content_under_the_same_key_gives_the_same_bytes_and_no_other() {
        let one = key(1).seal(b"content").unwrap();
        assert_eq!(one, key(1).seal(b"content").unwrap());
        assert_ne!(one, key(2).seal(b"content").unwrap());
        let other = key(1).seal(b"c0ntent").unwrap();
        assert_ne!(one.get(8..32), other.get(8..32), "the same nonce");
        assert!(!one.windows(7).any(|window| window == b"content"));
    }

    #[test]
    fn a_chunk_opens_with_its_key_and_id_only() {
        let chunk = key(1).seal(b"content").unwrap();
        let name = Hash::of(&chunk);
        assert_eq!(key(1).open(&name, &chunk).unwrap(), b"content".as_slice());
        let other_id = BlobKey::new(&"key-2".into(), &DataKey([1; 32]));
        for wrong in [key(2), other_id] {
            let error = wrong.open(&name, &chunk).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&name.to_string()), "{error}");
        }
    }

    #[test]
    fn no_truncation_and_no_flipped_bit_of_a_chunk_opens() {
        let chunk = key(1).seal(b"some content").unwrap().to_vec();
        for end in 0..chunk.len() {
            assert!(key(1).open(&Hash::ZERO, &chunk[..end]).is_err(), "{end}");
        }
        for byte in 0..chunk.len() {
            for bit in 0..8 {
                let mut flipped = chunk.clone();
                flipped[byte] ^= 1 << bit;
                assert!(key(1).open(&Hash::ZERO, &flipped).is_err(), "{byte}.{bit}");
            }
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_never_in_part() {
        let bytes = list().encode().unwrap();
        let name = Hash::of(&bytes);
        assert_eq!(List::decode(&name, &bytes).unwrap(), Some(list()));
        for end in 0..bytes.len() {
            assert!(List::decode(&name, &bytes[..end]).is_err(), "{end}");
        }
        let longer = [bytes.as_ref(), &[0]].concat();
        assert!(List::decode(&name, &longer).is_err());
        let chunk = key(1).seal(b"x").unwrap();
        assert_eq!(List::decode(&name, &chunk).unwrap(), None);
        let mut immense = bytes.to_vec();
        immense[8..16].fill(0xff);
        immense[20..24].fill(0xff);
        assert!(List::decode(&name, &immense).is_err());
    }
}
