//! The only file that names miniz_oxide: what is packed once and written often.
//!
//! It is packed by itself: its length (four bytes, little-endian) and a deflate stream.

use crate::pack::claimed;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// A twentieth more bytes than the hardest of miniz_oxide's levels leaves, in a fifth of the time, which whoever
/// records a single case waits for.
const LEVEL: u8 = 2;
/// Deflate packs at most so many bytes into one.
const RATIO_MAX: usize = 1032;

/// Appends bytes, packed.
pub(crate) fn pack(bytes: &[u8], packed: &mut Vec<u8>) {
    packed.extend((bytes.len() as u32).to_le_bytes());
    packed.extend(compress_to_vec(bytes, LEVEL));
}

/// Unpacks what [`pack`] gave, up to `limit` bytes. The text says what is wrong.
pub(crate) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let (length, stream) = claimed(packed, limit, RATIO_MAX)?;
    // One byte more, to notice when there is more.
    let mut bytes = vec![0; length + 1];
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let done = inflate(&mut state, stream, &mut bytes, MZFlush::Finish);
    match done.status {
        Ok(MZStatus::StreamEnd) if (done.bytes_written, done.bytes_consumed) == (length, stream.len()) => {
            bytes.truncate(length);
            Ok(bytes)
        }
        Ok(_) => Err(format!("{} bytes where {length} were packed", done.bytes_written)),
        Err(error) => Err(format!("it cannot be unpacked: {error:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        pack(bytes, &mut packed);
        packed
    }

    #[test]
    fn what_was_packed_comes_back() {
        for bytes in [&b""[..], b"a", &[7; 100_000]] {
            assert_eq!(unpack(&packed(bytes), 1 << 20).as_deref(), Ok(bytes));
        }
        assert!(packed(&[7; 100_000]).len() < 200);
    }

    #[test]
    fn a_length_that_lies_is_refused_before_anything_is_allocated() {
        crate::pack::tests::believes_no_lies(&packed(&[7; 1000]), unpack);
    }
}
