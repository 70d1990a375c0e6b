//! The only file that names miniz_oxide: bytes to fewer bytes and back.
//!
//! Pieces that are packed one after the other share one deflate stream, flushed behind each piece, so
//! that a later piece costs only what it has of its own and an earlier one can be read without it. A
//! packed piece is its length (four bytes, little-endian) and its part of the stream. The length is
//! bounded before it is believed, and nothing is allocated beyond it.

use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, StreamResult};

/// How hard it is tried: little, for recording must cost little; and as hard as it goes for what is
/// packed once.
const LEVEL: i32 = 1;
const HARDEST: i32 = 9;
/// Deflate packs at most so many bytes into one.
const RATIO_MAX: usize = 1032;

/// Packs pieces.
pub(crate) struct Packer(Box<CompressorOxide>);

impl Packer {
    /// Begins a stream.
    pub(crate) fn new() -> Packer {
        Packer::at(LEVEL)
    }

    /// Begins a stream of something that is packed once and written often.
    pub(crate) fn hardest() -> Packer {
        Packer::at(HARDEST)
    }

    fn at(level: i32) -> Packer {
        // Window bits below 0: no header of zlib's.
        Packer(Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(level, -15, 0))))
    }

    /// Begins another stream.
    pub(crate) fn restart(&mut self) {
        self.0.reset();
    }

    /// Packs a piece.
    pub(crate) fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut packed = (bytes.len() as u32).to_le_bytes().to_vec();
        compress_to_output(&mut self.0, bytes, TDEFLFlush::Sync, |piece| {
            packed.extend_from_slice(piece);
            true
        });
        packed
    }
}

/// Unpacks pieces, in the order in which they were packed.
#[derive(Clone)]
pub(crate) struct Unpacker(Box<InflateState>);

impl Unpacker {
    /// Begins a stream.
    pub(crate) fn new() -> Unpacker {
        Unpacker(InflateState::new_boxed(DataFormat::Raw))
    }

    /// Unpacks what [`Packer::pack`] gave, up to `limit` bytes. The text says what is wrong; the stream
    /// cannot be gone on with then.
    pub(crate) fn unpack(&mut self, packed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let Some((length, mut stream)) = packed.split_first_chunk::<4>() else {
            return Err(format!("{} bytes, which hold no length", packed.len()));
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > limit || length > RATIO_MAX * stream.len() {
            return Err(format!("{length} bytes packed in {}", stream.len()));
        }
        // One byte more, to notice when there is more.
        let mut bytes = vec![0; length + 1];
        let mut written = 0;
        while !stream.is_empty() && written <= length {
            let StreamResult { bytes_consumed, bytes_written, status } =
                inflate(&mut self.0, stream, &mut bytes[written..], MZFlush::None);
            status.map_err(|error| format!("it cannot be unpacked: {error:?}"))?;
            if bytes_consumed == 0 && bytes_written == 0 {
                break;
            }
            stream = &stream[bytes_consumed..];
            written += bytes_written;
        }
        if written != length || !stream.is_empty() {
            return Err(format!("{written} bytes where {length} were packed"));
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_their_order_and_a_repeated_one_costs_little() {
        let noise: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let pieces = [&b""[..], b"a", &[7; 100_000], &noise, &noise, b""];
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        for (index, piece) in pieces.iter().enumerate() {
            let packed = packer.pack(piece);
            assert_eq!(unpacker.unpack(&packed, 1 << 20).as_deref(), Ok(*piece), "{index}");
            assert!(index != 4 || packed.len() < 200, "{}", packed.len());
        }
        packer.restart();
        assert_eq!(Unpacker::new().unpack(&packer.pack(&noise), 5000), Ok(noise));
    }

    #[test]
    fn a_length_that_lies_is_refused_before_anything_is_allocated() {
        let packed = Packer::new().pack(&[7; 1000]);
        let with = |length: u32| [&length.to_le_bytes(), &packed[4..]].concat();
        let unpack = |packed: &[u8], limit| Unpacker::new().unpack(packed, limit);
        assert!(unpack(&with(1000), 1000).is_ok());
        assert!(unpack(&with(1000), 999).is_err());
        for length in [0, 999, 1001, u32::MAX] {
            assert!(unpack(&with(length), usize::MAX).is_err(), "{length}");
        }
        assert!(unpack(&[1, 0], usize::MAX).is_err());
        assert!(unpack(&packed[..packed.len() / 2], usize::MAX).is_err());
    }
}
