//! Blocks: instructions that follow each other in one page, decoded once.
//!
//! A block begins where a run came to and ends behind the first instruction that may go elsewhere or
//! change the conditions under which blocks run. It is keyed by its physical address, so that every
//! mapping of a page finds it, and dropped when its page is written.
//!
//! Two kinds of instructions are never kept, and go through [`crate::fetch`] one at a time:
//!
//! - One that crosses the end of its page. Its first half lies in one physical frame, and which frame
//!   has the second is up to the mapping of the next linear page: another address space that shares the
//!   first frame may have another, or none, and then the fetch must fault. A block knows one frame,
//!   which is its key and whose writes drop it.
//! - One of a 16-bit code segment. The same bytes mean something else there, so that the width would be
//!   part of the key; and an NT guest hardly ever executes any, so that there is nothing to gain.

use crate::fast::{After, Fast, after, fast};
use crate::lower::{LONGEST, Lowered, lower};
use crate::{Gates, Model, Page};
use std::sync::Arc;

/// The most instructions in a block.
const MOST: usize = 64;

/// An instruction of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub fast: Fast,
    pub after: After,
    /// Where it begins and where the next one does, from the block's first byte.
    pub start: u16,
    pub end: u16,
}

/// Instructions of a 32-bit code segment that follow each other, all in one page.
#[derive(Debug)]
pub(crate) struct Block {
    pub steps: Box<[Step]>,
    /// The general forms.
    pub lowered: Box<[Lowered]>,
    /// Offset of its last byte, from its first.
    pub last: u32,
}

impl Block {
    /// Decodes the block that begins at an offset of a page; none when not even the first instruction
    /// ends in the page.
    pub fn decode(page: &Page, offset: u32) -> Option<Block> {
        let bytes = &page[offset as usize..];
        let (mut steps, mut lowered) = (Vec::new(), Vec::new());
        let mut at = 0;
        while steps.len() < MOST {
            let rest = &bytes[at..bytes.len().min(at + LONGEST)];
            let Some(known) = lower(rest, true) else { break };
            let end = at + usize::from(known.len);
            let after = after(&known.op);
            // Whether the processor has it at all is asked on the general way.
            let fast = if known.needs == Model::I386 { fast(&known.op) } else { Fast::General };
            steps.push(Step { fast, after, start: at as u16, end: end as u16 });
            lowered.push(known);
            at = end;
            if matches!(after, After::Branch | After::Anything) {
                break;
            }
        }
        let last = at.checked_sub(1)? as u32;
        Some(Block { steps: steps.into(), lowered: lowered.into(), last })
    }
}

/// How many blocks a directory holds.
const SLOTS: usize = 512;

/// A block that was found, and what has to be so for it to be the right one.
#[derive(Clone, Default)]
struct Entry {
    linear: u32,
    /// The address space and the privilege.
    space: u32,
    epoch: u64,
    block: Option<Arc<Block>>,
}

/// Where a run finds blocks by linear address. Blocks that reach into a native routine's range are
/// never entered.
pub(crate) struct Directory {
    entries: Vec<Entry>,
    gates: Gates,
}

impl Directory {
    pub fn new() -> Directory {
        Directory { entries: vec![Entry::default(); SLOTS], gates: Gates::default() }
    }

    /// Sees to it that no block reaches into these ranges.
    pub fn heed(&mut self, gates: &Gates) {
        if self.gates != *gates {
            self.gates = gates.clone();
            self.entries.fill(Entry::default());
        }
    }

    /// The slot of an address.
    #[inline(always)]
    pub fn slot(linear: u32) -> usize {
        (linear ^ linear >> 9) as usize % SLOTS
    }

    /// Whether a slot has the block for an address.
    #[inline(always)]
    pub fn has(&self, slot: usize, linear: u32, space: u32, epoch: u64) -> bool {
        let entry = &self.entries[slot % SLOTS];
        entry.linear == linear && entry.space == space && entry.epoch == epoch && entry.block.is_some()
    }

    #[inline(always)]
    pub fn block(&self, slot: usize) -> Option<&Block> {
        self.entries[slot % SLOTS].block.as_deref()
    }

    /// Enters a block, unless it reaches into a native routine's range.
    pub fn enter(&mut self, slot: usize, linear: u32, space: u32, epoch: u64, block: Arc<Block>) -> bool {
        let last = linear.saturating_add(block.last);
        let meets =
            |range: &std::ops::Range<u32>| range.start <= last && linear < range.end && !range.is_empty();
        let clear = !meets(&self.gates.kernel) && !meets(&self.gates.user);
        if clear {
            self.entries[slot % SLOTS] = Entry { linear, space, epoch, block: Some(block) };
        }
        clear
    }
}
