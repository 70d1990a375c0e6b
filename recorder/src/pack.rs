//! The only file that names lz4_flex: bytes to fewer bytes and back.
//!
//! Pieces that are packed one after the other share one window of what was packed before, so that a later
//! piece costs only what it has of its own and an earlier one can be read without it. A packed piece is
//! its length (four bytes, little-endian) and blocks as those of an LZ4 frame, linked: each with its own
//! length in front. Lengths are bounded before they are believed, and nothing is allocated beyond them.

use lz4_flex::block::decompress_into_with_dict;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use std::cell::Cell;
use std::io::Write;

/// Bytes of a frame's front, which is the same for all.
const FRAME_FRONT: usize = 7;
/// Bytes that a block holds at most, unpacked.
const BLOCK_MAX: usize = 64 << 10;
/// How far back a block refers.
const WINDOW: usize = 64 << 10;
/// In a block's length: it is not packed.
const STORED: u32 = 1 << 31;
/// LZ4 packs at most so many bytes into one.
const RATIO_MAX: usize = 256;

thread_local! {
    /// The state of a packer that this thread no longer uses: it has some 200 KiB.
    static SPARE: Cell<Option<FrameEncoder<Vec<u8>>>> = const { Cell::new(None) };
}

/// Packs pieces.
pub(crate) struct Packer {
    /// None only while it is dropped.
    state: Option<FrameEncoder<Vec<u8>>>,
    begun: bool,
}

impl Packer {
    /// Begins a stream.
    pub(crate) fn new() -> Packer {
        match SPARE.take() {
            Some(state) => Packer { state: Some(state), begun: false },
            None => Packer::made(),
        }
    }

    fn made() -> Packer {
        let info = FrameInfo::new().block_mode(BlockMode::Linked).block_size(BlockSize::Max64KB);
        Packer { state: Some(FrameEncoder::with_frame_info(info, Vec::new())), begun: false }
    }

    /// Begins another stream.
    pub(crate) fn restart(&mut self) {
        if let Some(state) = &mut self.state
            && std::mem::take(&mut self.begun)
        {
            state.try_finish().expect("memory takes every byte");
            state.get_mut().clear();
        }
    }

    /// What appends a piece, packed behind those before it.
    pub(crate) fn behind(&mut self) -> impl FnOnce(&[u8], &mut Vec<u8>) {
        |bytes, packed| self.pack(bytes, packed)
    }

    /// Appends a piece, packed.
    pub(crate) fn pack(&mut self, bytes: &[u8], packed: &mut Vec<u8>) {
        let state = self.state.as_mut().expect("only dropping takes it");
        state.write_all(bytes).and_then(|()| state.flush()).expect("memory takes every byte");
        let blocks = state.get_mut();
        let front = if self.begun || bytes.is_empty() { 0 } else { FRAME_FRONT };
        self.begun |= !bytes.is_empty();
        packed.extend((bytes.len() as u32).to_le_bytes());
        packed.extend_from_slice(&blocks[front..]);
        blocks.clear();
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.restart();
        // A thread that is ending keeps nothing.
        let _ = SPARE.try_with(|spare| spare.set(self.state.take()));
    }
}

/// How many bytes a packed piece says that it has unpacked, before that is believed.
pub(crate) fn unpacked_length(packed: &[u8]) -> u64 {
    packed.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length).into())
}

/// The length that a packed piece says it has unpacked, if it is at most `limit` and so many times what it
/// is packed in; and what it is packed in. The text says what is wrong.
pub(crate) fn claimed(packed: &[u8], limit: usize, ratio: usize) -> Result<(usize, &[u8]), String> {
    let Some((length, content)) = packed.split_first_chunk::<4>() else {
        return Err("what is packed is too short to hold a length".to_owned());
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > limit || length > ratio * content.len() {
        return Err(format!("{length} bytes packed in {}", content.len()));
    }
    Ok((length, content))
}

/// Unpacks pieces, in the order in which they were packed.
#[derive(Clone)]
pub(crate) struct Unpacker {
    /// The last bytes that were unpacked.
    window: Vec<u8>,
}

impl Unpacker {
    /// Begins a stream.
    pub(crate) fn new() -> Unpacker {
        Unpacker { window: Vec::new() }
    }

    /// What unpacks a piece behind those before it.
    pub(crate) fn behind(&mut self) -> impl FnOnce(&[u8], usize) -> Result<Vec<u8>, String> {
        |packed, limit| self.unpack(packed, limit)
    }

    /// Unpacks what [`Packer::pack`] gave, up to `limit` bytes. The text says what is wrong; the stream
    /// cannot be gone on with then.
    pub(crate) fn unpack(&mut self, packed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let (length, mut blocks) = claimed(packed, limit, RATIO_MAX)?;
        let mut bytes = Vec::with_capacity(length);
        while let Some((front, rest)) = blocks.split_first_chunk::<4>() {
            let front = u32::from_le_bytes(*front);
            let Some((block, rest)) = rest.split_at_checked((front & !STORED) as usize) else {
                return Err(format!("a block of {} bytes in {}", front & !STORED, rest.len()));
            };
            self.block(block, front & STORED != 0, &mut bytes)?;
            if bytes.len() > length {
                break;
            }
            blocks = rest;
        }
        if bytes.len() != length || !blocks.is_empty() {
            return Err(format!("{} bytes where {length} were packed", bytes.len()));
        }
        Ok(bytes)
    }

    /// Appends what is in a block.
    fn block(&mut self, block: &[u8], stored: bool, bytes: &mut Vec<u8>) -> Result<(), String> {
        let from = bytes.len();
        if stored {
            bytes.extend_from_slice(block);
        } else {
            bytes.resize(from + BLOCK_MAX.min(RATIO_MAX * block.len()), 0);
            let unpacked = decompress_into_with_dict(block, &mut bytes[from..], &self.window);
            bytes.truncate(from + unpacked.map_err(|error| format!("it cannot be unpacked: {error}"))?);
        }
        self.window.extend_from_slice(&bytes[from..]);
        let old = self.window.len().saturating_sub(WINDOW);
        self.window.drain(..old);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn packed(packer: &mut Packer, bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        packer.pack(bytes, &mut packed);
        packed
    }

    fn noise(len: u32) -> Vec<u8> {
        (0..len).map(|n| (n.wrapping_mul(n ^ 2_654_435_761) >> 15) as u8).collect()
    }

    #[test]
    fn pieces_come_back_in_their_order_and_a_repeated_one_costs_little() {
        let noise = noise(5000);
        let mut pieces = vec![&b""[..], b"a", &[7; 200_000], &noise, &noise, b""];
        // Longer all together than the window and the packer's buffers, several times.
        let long = self::noise(300_000);
        pieces.extend(long.chunks(30_000));
        pieces.extend([&noise[..], &long, &noise]);
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new());
        for (index, piece) in pieces.iter().enumerate() {
            let packed = packed(&mut packer, piece);
            assert_eq!(unpacker.unpack(&packed, 1 << 20).as_deref(), Ok(*piece), "{index}");
            assert!(index != 4 || packed.len() < 200, "{}", packed.len());
            assert!(unpacker.window.len() <= WINDOW);
        }
        packer.restart();
        assert_eq!(Unpacker::new().unpack(&packed(&mut packer, &noise), 5000), Ok(noise));
    }

    #[test]
    fn a_packer_that_was_used_before_packs_as_a_new_one() {
        let pieces = [vec![7; 3000], noise(40_000), noise(90_000)];
        let all = |mut packer: Packer| pieces.each_ref().map(|piece| packed(&mut packer, piece));
        let new = all(Packer::made());
        let mut packer = Packer::made();
        packed(&mut packer, b"something else, with its own repetitions: something else");
        packed(&mut packer, &noise(40_000));
        packer.restart();
        drop(packer);
        assert_eq!(all(Packer::new()), new);
        assert_eq!(all(Packer::new()), new);
        // One that has packed nothing.
        drop(Packer::new());
        let mut packer = Packer::new();
        packed(&mut packer, b"");
        packer.restart();
        assert_eq!(all(packer), new);
    }

    /// Whatever unpacks a thousand bytes believes no other length, and nothing that is cut off or too long.
    pub(crate) fn believes_no_lies(packed: &[u8], unpack: fn(&[u8], usize) -> Result<Vec<u8>, String>) {
        let with = |length: u32| [&length.to_le_bytes(), &packed[4..]].concat();
        assert!(unpack(&with(1000), 1000).is_ok());
        assert!(unpack(&with(1000), 999).is_err());
        for length in [0, 999, 1001, u32::MAX] {
            assert!(unpack(&with(length), usize::MAX).is_err(), "{length}");
        }
        let told = format!("{} bytes packed in {}", u32::MAX, packed.len() - 4);
        assert_eq!(unpack(&with(u32::MAX), usize::MAX), Err(told));
        assert!(unpack(&[1, 0], usize::MAX).is_err());
        assert!(unpack(&packed[..packed.len() / 2], usize::MAX).is_err());
        assert!(unpack(&packed[..packed.len() - 1], usize::MAX).is_err());
        for behind in [&[0][..], &[0; 3]] {
            assert!(unpack(&[packed, behind].concat(), usize::MAX).is_err());
        }
    }

    #[test]
    fn a_length_that_lies_is_refused_before_anything_is_allocated() {
        let packed = packed(&mut Packer::new(), &[7; 1000]);
        believes_no_lies(&packed, |packed, limit| Unpacker::new().unpack(packed, limit));
    }

    #[test]
    fn a_block_that_lies_is_refused() {
        let unpack = |length: u32, front: u32, block: &[u8]| {
            let packed = [&length.to_le_bytes()[..], &front.to_le_bytes(), block].concat();
            Unpacker::new().unpack(&packed, 1 << 20)
        };
        assert_eq!(unpack(3, STORED | 3, b"abc"), Ok(b"abc".to_vec()));
        assert_eq!(unpack(3, 4, b"\x30abc"), Ok(b"abc".to_vec()));
        let refused = |length, front, block| unpack(length, front, block).unwrap_err();
        assert_eq!(refused(3, STORED | 4, b"abc"), "a block of 4 bytes in 3");
        assert_eq!(refused(3, u32::MAX, b"abc"), format!("a block of {} bytes in 3", !STORED));
        assert_eq!(refused(4, STORED | 3, b"abc"), "3 bytes where 4 were packed");
        // Nothing lies before the first byte.
        assert!(refused(8, 7, b"\x10a\x02\0\x30abc").starts_with("it cannot be unpacked"), "an offset");
    }
}
