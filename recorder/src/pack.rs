//! The only file that names miniz_oxide: bytes to fewer bytes and back.
//!
//! Pieces that are packed one after the other share one deflate stream, flushed behind each piece, so
//! that a later piece costs only what it has of its own and an earlier one can be read without it. A
//! packed piece is its length (four bytes, little-endian) and its part of the stream. The length is
//! bounded before it is believed, and nothing is allocated beyond it.

use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, StreamResult};
use std::cell::Cell;

/// How hard it is tried: little, for recording must cost little; and as hard as it goes for what is
/// packed once.
const LEVEL: i32 = 1;
const HARDEST: i32 = 9;
/// Deflate packs at most so many bytes into one.
const RATIO_MAX: usize = 1032;

thread_local! {
    /// The state of a packer that this thread no longer uses. It has some 300 KiB, and making it takes
    /// longer than packing a short case.
    static SPARE: Cell<Option<Box<CompressorOxide>>> = const { Cell::new(None) };
}

/// Packs pieces.
pub(crate) struct Packer {
    /// None only while it is dropped.
    state: Option<Box<CompressorOxide>>,
    level: i32,
}

impl Packer {
    /// Begins a stream.
    pub(crate) fn new() -> Packer {
        match SPARE.take() {
            Some(mut state) => {
                state.reset();
                Packer { state: Some(state), level: LEVEL }
            }
            None => Packer::quick(),
        }
    }

    /// Begins a stream of something that is packed once and written often.
    pub(crate) fn hardest() -> Packer {
        Packer::at(HARDEST, CompressionStrategy::Default)
    }

    /// With deflate's fixed codes: finding the best ones for a piece takes longer than all the rest, and
    /// saves a twentieth.
    fn quick() -> Packer {
        Packer::at(LEVEL, CompressionStrategy::Fixed)
    }

    fn at(level: i32, strategy: CompressionStrategy) -> Packer {
        // Window bits below 0: no header of zlib's.
        let flags = create_comp_flags_from_zip_params(level, -15, strategy as i32);
        Packer { state: Some(Box::new(CompressorOxide::new(flags))), level }
    }

    fn state(&mut self) -> &mut CompressorOxide {
        self.state.as_mut().expect("only dropping takes it")
    }

    /// Begins another stream.
    pub(crate) fn restart(&mut self) {
        self.state().reset();
    }

    /// Appends a piece, packed.
    pub(crate) fn pack(&mut self, bytes: &[u8], packed: &mut Vec<u8>) {
        packed.extend((bytes.len() as u32).to_le_bytes());
        compress_to_output(self.state(), bytes, TDEFLFlush::Sync, |piece| {
            packed.extend_from_slice(piece);
            true
        });
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        if self.level == LEVEL {
            // A thread that is ending keeps nothing.
            let _ = SPARE.try_with(|spare| spare.set(self.state.take()));
        }
    }
}

/// How many bytes a packed piece says that it has unpacked, before that is believed.
pub(crate) fn unpacked_length(packed: &[u8]) -> u64 {
    packed.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length).into())
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

    fn packed(packer: &mut Packer, bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        packer.pack(bytes, &mut packed);
        packed
    }

    #[test]
    fn pieces_come_back_in_their_order_and_a_repeated_one_costs_little() {
        let noise: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let pieces = [&b""[..], b"a", &[7; 100_000], &noise, &noise, b""];
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        for (index, piece) in pieces.iter().enumerate() {
            let packed = packed(&mut packer, piece);
            assert_eq!(unpacker.unpack(&packed, 1 << 20).as_deref(), Ok(*piece), "{index}");
            assert!(index != 4 || packed.len() < 200, "{}", packed.len());
        }
        packer.restart();
        assert_eq!(Unpacker::new().unpack(&packed(&mut packer, &noise), 5000), Ok(noise));
    }

    #[test]
    fn a_packer_that_was_used_before_packs_as_a_new_one() {
        let pieces = [vec![7; 3000], (0..40_000u32).map(|n| ((n * n) >> 7) as u8).collect::<Vec<u8>>()];
        let all = |mut packer: Packer| pieces.each_ref().map(|piece| packed(&mut packer, piece));
        let new = all(Packer::quick());
        let mut packer = Packer::quick();
        packed(&mut packer, b"something else, with its own repetitions: something else");
        drop(packer);
        assert_eq!(all(Packer::new()), new);
        assert_eq!(all(Packer::new()), new);
    }

    #[test]
    fn a_length_that_lies_is_refused_before_anything_is_allocated() {
        let packed = packed(&mut Packer::new(), &[7; 1000]);
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
