//! Chunks: what stands in a recording's file, each with its length and checksums in front.
//!
//! The length has a checksum of its own, so that a damaged length is told from a file that ends too
//! early.

use super::file::ReadError;
use crate::codec;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes in front of a chunk's content: tag, length, checksum of these two, checksum of the content.
pub(super) const FRAME: usize = 16;

pub(super) const HEAD: [u8; 4] = *b"HEAD";
pub(super) const EVENT: [u8; 4] = *b"EVNT";
pub(super) const FULL: [u8; 4] = *b"FULL";
pub(super) const END: [u8; 4] = *b"END.";

/// A chunk's front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) tag: [u8; 4],
    /// Bytes of its content, as they stand in the file.
    pub(super) length: usize,
    check: u32,
}

/// Where a chunk is put together. Whoever writes many keeps one.
#[derive(Default)]
pub(super) struct Scratch {
    encoded: Vec<u8>,
    chunk: Vec<u8>,
}

impl Scratch {
    /// The bytes of a chunk that holds a value. `pack` appends bytes in fewer bytes.
    pub(super) fn chunk<T: Serialize>(
        &mut self,
        tag: [u8; 4],
        value: &T,
        pack: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> &[u8] {
        self.encoded.clear();
        codec::encode_into(value, &mut self.encoded);
        let out = &mut self.chunk;
        out.clear();
        out.resize(FRAME, 0);
        pack(&self.encoded, out);
        let length = (out.len() - FRAME) as u32;
        out[..4].copy_from_slice(&tag);
        out[4..8].copy_from_slice(&length.to_le_bytes());
        let checks = [crc32fast::hash(&out[..8]), crc32fast::hash(&out[FRAME..])];
        out[8..12].copy_from_slice(&checks[0].to_le_bytes());
        out[12..FRAME].copy_from_slice(&checks[1].to_le_bytes());
        out
    }
}

/// Reads a front that lies at byte `at` of a file.
pub(super) fn front(at: u64, bytes: &[u8; FRAME]) -> Result<Front, ReadError> {
    let word = |offset: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[offset + index]));
    if crc32fast::hash(&bytes[..8]) != word(8) {
        return Err(damaged(at, "the checksum of a chunk's length is wrong"));
    }
    let length = word(4) as usize;
    if length > codec::LENGTH_MAX {
        return Err(damaged(at, format!("a chunk of {length} bytes")));
    }
    Ok(Front { tag: [bytes[0], bytes[1], bytes[2], bytes[3]], length, check: word(12) })
}

impl Front {
    /// Checks that the chunk is of this kind.
    pub(super) fn expect(&self, at: u64, tag: [u8; 4]) -> Result<(), ReadError> {
        if self.tag == tag {
            return Ok(());
        }
        let found = String::from_utf8_lossy(&self.tag).into_owned();
        Err(damaged(at, format!("a chunk `{found}` where it cannot be")))
    }

    /// The value in the chunk's content. `unpack` gives the bytes that were packed into fewer, up to so many.
    pub(super) fn value<T: Serialize + DeserializeOwned>(
        &self,
        at: u64,
        content: &[u8],
        unpack: impl FnOnce(&[u8], usize) -> Result<Vec<u8>, String>,
    ) -> Result<T, ReadError> {
        if crc32fast::hash(content) != self.check {
            return Err(damaged(at, "the checksum of a chunk is wrong"));
        }
        let bytes = unpack(content, codec::LENGTH_MAX).map_err(|what| damaged(at, what))?;
        codec::decode(&bytes).map_err(|error| damaged(at, error.to_string()))
    }
}

pub(super) fn damaged(at: u64, what: impl Into<String>) -> ReadError {
    ReadError::Damaged { at, what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_no_longer_than_what_can_be_decoded() {
        let told = |length: u32| {
            let mut bytes = [0; FRAME];
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            let check = crc32fast::hash(&bytes[..8]);
            bytes[8..12].copy_from_slice(&check.to_le_bytes());
            front(12, &bytes).map(|front| front.length).map_err(|error| error.to_string())
        };
        assert_eq!(told(codec::LENGTH_MAX as u32), Ok(codec::LENGTH_MAX));
        let refused = told(codec::LENGTH_MAX as u32 + 1).unwrap_err();
        assert!(refused.contains("a chunk of 33554433 bytes"), "{refused}");
    }
}
