//! What is remembered of memory: translations, and decoded instructions.
//!
//! None of it is state. A copy of a machine remembers nothing, machines that differ only in it are
//! equal, and a run gives the same with it as without. It lives in [`Memory`](crate::Memory) because
//! every write to memory, the guest's and the host's, passes there: frames of which something is
//! remembered are marked, and a write to one of them makes it forgotten. The quick way to memory looks
//! at no marks, so that translations for writing never lead to a marked frame.

use crate::blocks::{Block, Directory};
use crate::tlb::{Registers, Tlb};
use crate::{Pa, Va};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The frame holds instructions that were decoded.
const CODE: u8 = 1;
/// The frame is a page directory or a page table of a remembered translation.
const TABLE: u8 = 2;

/// What is remembered of one memory.
#[derive(Default)]
pub(crate) struct Cache {
    /// Grows whenever something is forgotten.
    epoch: u64,
    off: bool,
    marks: Vec<u8>,
    pub tlb: Tlb,
    /// The blocks of each frame, by the offset at which they begin.
    code: BTreeMap<u32, BTreeMap<u32, Arc<Block>>>,
    /// Where a run finds blocks by linear address; a run takes it out and puts it back.
    pub directory: Option<Box<Directory>>,
}

impl Clone for Cache {
    fn clone(&self) -> Self {
        Cache::new(!self.off)
    }
}

impl Cache {
    /// Remembers nothing yet, and nothing ever if not `on`.
    pub fn new(on: bool) -> Cache {
        Cache { off: !on, ..Cache::default() }
    }

    /// Whether anything is remembered at all.
    pub fn is_on(&self) -> bool {
        !self.off
    }

    /// Frame of a page that was translated under these registers for an access of this kind.
    #[inline]
    pub fn translation(&mut self, registers: Registers, at: Va, user: bool, write: bool) -> Option<u32> {
        self.tlb.select(registers);
        self.tlb.find(at, user, write)
    }

    /// Remembers a translation under the selected registers that came from these two tables, in a
    /// memory of so many pages.
    pub fn keep_translation(
        &mut self,
        at: Va,
        (user, write): (bool, bool),
        to: Pa,
        (tables, pages): ([Pa; 2], u32),
    ) {
        if self.off {
            return;
        }
        for table in tables {
            self.mark(table.frame(), TABLE, pages);
        }
        if !(write && self.is_marked(to.frame())) {
            self.tlb.keep(at, user, write, to.frame());
        }
    }

    /// A number that changes whenever something that was remembered may no longer be true.
    #[inline(always)]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The block that begins at a place.
    pub fn block(&self, at: Pa) -> Option<Arc<Block>> {
        self.code.get(&at.frame())?.get(&at.offset()).cloned()
    }

    /// Remembers the block that begins at a place, in a memory of so many pages.
    pub fn keep_block(&mut self, at: Pa, block: &Arc<Block>, pages: u32) {
        if self.off {
            return;
        }
        self.mark(at.frame(), CODE, pages);
        self.code.entry(at.frame()).or_default().insert(at.offset(), block.clone());
    }

    fn mark(&mut self, frame: u32, kind: u8, pages: u32) {
        if self.marks.is_empty() {
            self.marks.resize(pages as usize, 0);
        }
        // Frames beyond the end of memory cannot be written, and so cannot change.
        if let Some(mark) = self.marks.get_mut(frame as usize) {
            if *mark == 0 {
                self.tlb.protect(frame);
            }
            *mark |= kind;
        }
    }

    /// Whether a write to a frame must be told to the cache.
    #[inline]
    pub fn is_marked(&self, frame: u32) -> bool {
        self.marks.get(frame as usize).is_some_and(|mark| *mark != 0)
    }

    /// Takes away a frame's mark of being a table, for a write that changes no translation.
    pub fn suspend_table(&mut self, frame: u32) -> u8 {
        let Some(mark) = self.marks.get_mut(frame as usize) else { return 0 };
        let tables = *mark & TABLE;
        *mark &= !TABLE;
        tables
    }

    /// Gives back what [`Cache::suspend_table`] took.
    pub fn resume_table(&mut self, frame: u32, tables: u8) {
        if let Some(mark) = self.marks.get_mut(frame as usize) {
            *mark |= tables;
        }
    }

    /// Forgets what was remembered of a frame that is about to be written.
    #[cold]
    pub fn written(&mut self, frame: u32) {
        let Some(mark) = self.marks.get_mut(frame as usize) else { return };
        if *mark & TABLE != 0 {
            self.tlb.flush();
        }
        if *mark & CODE != 0 {
            self.code.remove(&frame);
        }
        *mark = 0;
        self.epoch += 1;
    }
}
