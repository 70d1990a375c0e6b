//! The only file that names bincode: values to bytes and back.
//!
//! Decoding trusts nothing. What a value may occupy in memory is bounded by a small multiple of the
//! bytes it is decoded from, all of them must be consumed, and only the bytes that encoding gives are
//! accepted, so that two recordings are equal exactly when their bytes are.

use bincode::config::{self, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Why bytes are no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    /// Too many bytes to be looked at.
    #[error("{0} bytes are more than a chunk can have")]
    TooLong(usize),
    /// They cannot be decoded.
    #[error("{0}")]
    Undecodable(String),
    /// Bytes are left over.
    #[error("bytes left over: {0}")]
    LeftOver(usize),
    /// The value is one that is written differently.
    #[error("a value is not written in the one way in which it is")]
    NotCanonical,
}

/// The most bytes that a value is decoded from.
pub(crate) const LENGTH_MAX: usize = 32 << 20;

/// The bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Appends the bytes of a value.
pub(crate) fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(value, bytes, config::standard())
        .expect("every type of a recording can be encoded");
}

/// The value of bytes.
pub(crate) fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, CodecError> {
    // The limit counts bytes in memory, which are at most eight times those on the wire.
    let standard = config::standard();
    match bytes.len() {
        0..=0x1000 => decode_within(bytes, standard.with_limit::<0x1_0000>()),
        0x1001..=0x4_0000 => decode_within(bytes, standard.with_limit::<0x40_0000>()),
        0x4_0001..=LENGTH_MAX => decode_within(bytes, standard.with_limit::<0x1000_0000>()),
        _ => Err(CodecError::TooLong(bytes.len())),
    }
}

fn decode_within<T: DeserializeOwned + Serialize, C: Config>(
    bytes: &[u8],
    config: C,
) -> Result<T, CodecError> {
    let (value, consumed) = bincode::serde::decode_from_slice::<T, C>(bytes, config)
        .map_err(|error| CodecError::Undecodable(error.to_string()))?;
    if consumed != bytes.len() {
        return Err(CodecError::LeftOver(bytes.len() - consumed));
    }
    if encode(&value) != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// Bytes, encoded as a length and themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        // However many bytes there are, none of them can hold so much.
        for length in [9, 0x1000, 0x1001, 0x4_0000, 0x4_0001] {
            let mut bytes = vec![253];
            bytes.extend((1u64 << 36).to_le_bytes());
            bytes.resize(length, 0);
            assert!(matches!(decode::<String>(&bytes), Err(CodecError::Undecodable(_))));
            assert!(matches!(decode::<Bytes>(&bytes), Err(CodecError::Undecodable(_))));
            assert!(matches!(decode::<Vec<(u32, String)>>(&bytes), Err(CodecError::Undecodable(_))));
        }
        let long = vec![0; LENGTH_MAX + 1];
        assert!(matches!(decode::<Bytes>(&long), Err(CodecError::TooLong(_))));
    }

    #[test]
    fn only_the_bytes_that_encoding_gives_are_accepted() {
        assert_eq!(decode::<u32>(&encode(&5u32)).unwrap(), 5);
        assert!(matches!(decode::<u32>(&[251, 5, 0]), Err(CodecError::NotCanonical)));
        assert!(matches!(decode::<u32>(&[5, 0]), Err(CodecError::LeftOver(1))));
    }
}
