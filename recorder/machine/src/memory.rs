//! Physical memory in 4 KiB pages, copied on write.
//!
//! A copy shares every page with its original until one of them writes to it, and pages hang in
//! groups, so that making a copy touches one counter a group and not one a page. Groups are small,
//! because the first write behind a copy touches the counter of every page of its group; and most of
//! memory is never written, so that most groups are not there.
//!
//! Each page knows which of its lines were written, for whoever follows a memory as it runs ([`lines`]).

mod lines;

pub use lines::Apart;

use crate::blocks::Block;
use crate::cache::Cache;
use crate::spare;
use crate::{PAGE, Pa};
use triomphe::Arc;

/// The bytes of one page.
pub type Page = [u8; PAGE as usize];

/// A page as it lies in memory.
pub(crate) struct Leaf {
    /// Where writes began since somebody caught up ([`lines`]); bit n stands for its n-th line.
    pub marks: u64,
    pub bytes: Page,
}

/// A page that was never written.
pub(crate) const BLANK: Leaf = Leaf { marks: 0, bytes: [0; PAGE as usize] };

const GROUP: usize = 32;

/// Pages that share a counter. An absent page reads as zeroes.
#[derive(Clone, Default)]
struct Group([Option<Arc<Leaf>>; GROUP]);

impl Drop for Group {
    fn drop(&mut self) {
        spare::keep(self.0.iter_mut().filter_map(Option::take));
    }
}

/// Physical memory. Addresses beyond its end read as FF and swallow writes, as an empty bus does.
pub struct Memory {
    /// None: no page of it was ever written.
    groups: Vec<Option<Arc<Group>>>,
    pages: u32,
    pub(crate) cache: Cache,
    /// What it has in common with the memory that follows it, or that it follows: they differ in lines
    /// that were written, and in no others.
    pair: Option<Arc<()>>,
}

impl Memory {
    /// Memory of `pages` zeroed pages.
    pub fn new(pages: u32) -> Memory {
        let groups = vec![None; (pages as usize).div_ceil(GROUP)];
        Memory { groups, pages, cache: Cache::default(), pair: None }
    }

    /// How many pages there are.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Bytes of the host's that a copy takes in which no page was written.
    pub fn least_bytes(&self) -> u64 {
        size_of_val(&self.groups[..]) as u64
    }

    /// The page of frame `frame`, or none when it was never written (all zeroes) or does not exist.
    #[inline]
    pub fn page(&self, frame: u32) -> Option<&Page> {
        Some(&self.leaf(frame)?.bytes)
    }

    #[inline(always)]
    fn leaf(&self, frame: u32) -> Option<&Leaf> {
        self.groups.get(frame as usize / GROUP)?.as_ref()?.0[frame as usize % GROUP].as_deref()
    }

    /// The page of frame `frame`, all of which is about to be written; none beyond the end of memory.
    pub fn page_mut(&mut self, frame: u32) -> Option<&mut Page> {
        self.page_for(frame, Apart::ALL)
    }

    /// The page of a frame, with the marks of what is about to be written.
    #[inline]
    fn page_for(&mut self, frame: u32, marks: u64) -> Option<&mut Page> {
        if frame >= self.pages {
            return None;
        }
        if self.cache.is_marked(frame) {
            self.cache.written(frame);
        }
        let group = &mut self.groups[frame as usize / GROUP];
        let group = Arc::make_mut(group.get_or_insert_with(|| Arc::new(Group::default())));
        let page = group.0[frame as usize % GROUP].get_or_insert_with(|| spare::copy(&BLANK));
        if !page.is_unique() {
            *page = spare::copy(page);
        }
        let leaf = Arc::get_mut(page)?;
        leaf.marks |= marks;
        Some(&mut leaf.bytes)
    }

    /// Reads bytes that do not cross a page.
    #[inline]
    pub fn read(&self, at: Pa, out: &mut [u8]) {
        let start = at.offset() as usize;
        match self.page(at.frame()) {
            // Mostly a doubleword; how long a copy is must be known for it to be quick.
            Some(page) => match <&mut [u8; 4]>::try_from(&mut *out) {
                Ok(out) => out.copy_from_slice(&page[start..start + 4]),
                Err(_) => out.copy_from_slice(&page[start..start + out.len()]),
            },
            None if at.frame() < self.pages => out.fill(0),
            None => out.fill(0xFF),
        }
    }

    /// Reads a few bytes that do not cross a page.
    #[inline]
    pub(crate) fn load<const N: usize>(&self, at: Pa) -> [u8; N] {
        let mut raw = [0; N];
        self.read(at, &mut raw);
        raw
    }

    /// Writes bytes that do not cross a page.
    #[inline]
    pub fn write(&mut self, at: Pa, bytes: &[u8]) {
        let start = at.offset() as usize;
        if let Some(page) = self.page_for(at.frame(), lines::marks(start, bytes.len())) {
            match <&[u8; 4]>::try_from(bytes) {
                Ok(bytes) => page[start..start + 4].copy_from_slice(bytes),
                Err(_) => page[start..start + bytes.len()].copy_from_slice(bytes),
            }
        }
    }

    /// Reads an aligned little-endian doubleword.
    #[inline]
    pub fn read_u32(&self, at: Pa) -> u32 {
        let mut raw = [0; 4];
        self.read(at, &mut raw);
        u32::from_le_bytes(raw)
    }

    /// Writes an aligned little-endian doubleword.
    pub fn write_u32(&mut self, at: Pa, value: u32) {
        self.write(at, &value.to_le_bytes());
    }

    /// Reads bytes of a page that was written before; none when they are not all in it.
    #[inline(always)]
    pub(crate) fn quick_load<const N: usize>(&self, frame: u32, offset: u32) -> Option<[u8; N]> {
        let page = &self.leaf(frame)?.bytes;
        page.get(offset as usize..offset as usize + N)?.try_into().ok()
    }

    /// Bytes of a page that no copy shares and of which nothing is remembered, to be written; none
    /// when they are not all in it. Whoever asks has seen to it that nothing is remembered.
    #[inline(always)]
    pub(crate) fn quick_store<const N: usize>(&mut self, frame: u32, offset: u32) -> Option<&mut [u8; N]> {
        let group = Arc::get_mut(self.groups.get_mut(frame as usize / GROUP)?.as_mut()?)?;
        let leaf = Arc::get_mut(group.0[frame as usize % GROUP].as_mut()?)?;
        let bytes = leaf.bytes.get_mut(offset as usize..offset as usize + N)?;
        leaf.marks |= lines::marks(offset as usize, N);
        bytes.try_into().ok()
    }

    /// Writes to a page table on the processor's own behalf: what was remembered of translations stays
    /// true, because accessed and dirty bits do not take part in them.
    pub(crate) fn write_entry(&mut self, at: Pa, entry: u32) {
        let tables = self.cache.suspend_table(at.frame());
        self.write_u32(at, entry);
        self.cache.resume_table(at.frame(), tables);
    }

    /// The block of decoded instructions at a place; none when the first one does not end in the page.
    pub(crate) fn block(&mut self, at: Pa) -> Option<std::sync::Arc<Block>> {
        if let Some(known) = self.cache.block(at) {
            return Some(known);
        }
        let block = std::sync::Arc::new(Block::decode(self.page(at.frame())?, at.offset())?);
        self.cache.keep_block(at, &block, self.pages);
        Some(block)
    }

    /// The frames whose contents differ, in ascending order. Shared pages cost one comparison of
    /// pointers, shared groups one for all their pages.
    pub fn changed(&self, older: &Memory) -> Vec<u32> {
        let differs = |page: Apart| (page.new != page.old).then_some(page.frame);
        // A last group has room for pages that are not there.
        let (both, most) = (self.pages.min(older.pages), self.pages.max(older.pages));
        let apart = self.apart(older).filter_map(differs).filter(|frame| *frame < both);
        apart.chain(both..most).collect()
    }
}

/// Whether two slots hold the very same, or nothing.
#[inline]
fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    // One comparison of pointers.
    let place = |slot: Option<&Arc<T>>| slot.map_or(std::ptr::null(), Arc::heap_ptr);
    place(a) == place(b)
}

/// A page of a group that may not be there.
fn page_of(group: &Option<Arc<Group>>, slot: usize) -> Option<&Arc<Leaf>> {
    group.as_ref()?.0[slot].as_ref()
}

impl Clone for Memory {
    fn clone(&self) -> Memory {
        Memory { groups: self.groups.clone(), pages: self.pages, cache: self.cache.clone(), pair: None }
    }

    /// Puts back what differs, and goes on remembering what is the same. Whoever followed this memory has
    /// to look at all that differs: a page that is put back knows nothing of the one that was here.
    fn clone_from(&mut self, source: &Memory) {
        if self.pages != source.pages {
            *self = source.clone();
            return;
        }
        self.pair = None;
        for (index, (mine, theirs)) in self.groups.iter_mut().zip(&source.groups).enumerate() {
            if same(mine.as_ref(), theirs.as_ref()) {
                continue;
            }
            for slot in 0..GROUP {
                let frame = (index * GROUP + slot) as u32;
                if self.cache.is_marked(frame) && !same(page_of(mine, slot), page_of(theirs, slot)) {
                    self.cache.written(frame);
                }
            }
            mine.clone_from(theirs);
        }
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Memory) -> bool {
        self.pages == other.pages && self.changed(other).is_empty()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Memory({} pages)", self.pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_the_original_overwrites() {
        let mut memory = Memory::new(200);
        memory.write_u32(Pa(0x5000), 1);
        let copy = memory.clone();
        memory.write_u32(Pa(0x5000), 2);
        memory.write_u32(Pa(0x80_000), 3);
        assert_eq!((copy.read_u32(Pa(0x5000)), memory.read_u32(Pa(0x5000))), (1, 2));
        assert_eq!(memory.changed(&copy), [0x5, 0x80]);
    }

    #[test]
    fn pages_that_were_written_apart_may_hold_the_same() {
        let mut memory = Memory::new(200);
        for frame in [3, 4, 0x60] {
            memory.write(Pa(frame * PAGE), &[7]);
        }
        let older = memory.clone();
        for (frame, byte) in [(3, 7), (0x61, 0), (0x60, 9)] {
            memory.write(Pa(frame * PAGE), &[byte]);
        }
        let apart: Vec<_> = memory.apart(&older).map(|page| (page.frame, page.new[0], page.old[0])).collect();
        assert_eq!(apart, [(3, 7, 7), (0x60, 9, 7), (0x61, 0, 0)]);
        assert_eq!(memory.changed(&older), [0x60]);
    }

    #[test]
    fn memories_of_different_sizes_differ_in_what_only_one_has() {
        // Within a group, and beyond it.
        for (less, more) in [(16, 20), (16, 40), (32, 64), (50, 51)] {
            let (small, mut large) = (Memory::new(less), Memory::new(more));
            assert_eq!(small.changed(&large), (less..more).collect::<Vec<u32>>());
            large.write_u32(Pa(3 * PAGE), 1);
            large.write_u32(Pa(less * PAGE), 1);
            assert_eq!(large.changed(&small), [3].into_iter().chain(less..more).collect::<Vec<u32>>());
            assert_eq!(large.changed(&small), small.changed(&large));
        }
    }

    #[test]
    fn a_page_of_zeroes_equals_a_page_never_written() {
        let mut memory = Memory::new(4);
        let empty = memory.clone();
        memory.write_u32(Pa(0x1000), 0);
        assert_eq!(memory, empty);
    }

    #[test]
    fn beyond_the_end_is_an_empty_bus() {
        let mut memory = Memory::new(1);
        memory.write_u32(Pa(0x1000), 7);
        assert_eq!(memory.read_u32(Pa(0x1000)), 0xFFFF_FFFF);
    }
}
