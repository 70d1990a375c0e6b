//! What is remembered of memory: translations, and decoded instructions.
//!
//! None of it is state. A copy of a machine remembers nothing, machines that differ only in it are
//! equal, and a run gives the same with it as without. It lives in [`Memory`](crate::Memory) because
//! every write to memory, the guest's and the host's, passes there: frames of which something is
//! remembered are marked, and a write to one of them makes it forgotten. The processor itself keeps
//! translations until it is told that they changed; this machine sees the change at once.

use crate::lower::Lowered;
use crate::{PAGE, Pa, Va};
use std::sync::Arc;

/// The frame holds instructions that were decoded.
const CODE: u8 = 1;
/// The frame is a page directory or a page table of a remembered translation.
const TABLE: u8 = 2;

/// Translations of one kind, by the low bits of the page number.
const SETS: usize = 128;
const KINDS: usize = 4;

/// A translation that was allowed, with its accessed and dirty bits set already.
#[derive(Clone, Copy, Default)]
struct Translation {
    /// Page number and one; zero: empty.
    tag: u32,
    frame: u32,
}

/// The decoded instructions that start and end in one page, by their offset.
#[derive(Debug)]
pub(crate) struct CodePage {
    /// One more than an index in `instructions`; zero: not decoded.
    starts: Box<[u16; PAGE as usize]>,
    instructions: Vec<Lowered>,
}

impl CodePage {
    /// The instruction at an offset, if it was decoded.
    #[inline]
    pub fn index(&self, offset: u32) -> Option<usize> {
        let index = self.starts[offset as usize & (PAGE as usize - 1)];
        usize::from(index).checked_sub(1)
    }

    #[inline]
    pub fn get(&self, index: usize) -> Option<&Lowered> {
        self.instructions.get(index)
    }
}

/// What is remembered of one memory.
#[derive(Default)]
pub(crate) struct Cache {
    /// Grows whenever something is forgotten.
    epoch: u64,
    off: bool,
    marks: Vec<u8>,
    /// The CR3 and CR0 of the translations.
    registers: (u32, u32),
    translations: Vec<Translation>,
    code: Vec<Option<Arc<CodePage>>>,
}

impl Clone for Cache {
    fn clone(&self) -> Self {
        Cache::new(!self.off)
    }
}

/// Where a translation of this kind is kept.
#[inline]
fn slot(at: Va, user: bool, write: bool) -> usize {
    let kind = usize::from(user) | usize::from(write) << 1;
    (at.0 >> 12) as usize % SETS + kind * SETS
}

impl Cache {
    /// Remembers nothing yet, and nothing ever if not `on`.
    pub fn new(on: bool) -> Cache {
        Cache { off: !on, ..Cache::default() }
    }

    /// Frame of a page that was translated under these registers for an access of this kind.
    #[inline]
    pub fn translation(&self, registers: (u32, u32), at: Va, user: bool, write: bool) -> Option<u32> {
        let entry = self.translations.get(slot(at, user, write))?;
        (entry.tag == (at.0 >> 12) + 1 && self.registers == registers).then_some(entry.frame)
    }

    /// Remembers a translation that came from these two tables, in a memory of so many pages.
    pub fn keep_translation(
        &mut self,
        registers: (u32, u32),
        at: Va,
        (user, write): (bool, bool),
        to: Pa,
        (tables, pages): ([Pa; 2], u32),
    ) {
        if self.off {
            return;
        }
        if self.translations.is_empty() || self.registers != registers {
            self.translations.clear();
            self.translations.resize(SETS * KINDS, Translation::default());
            self.registers = registers;
        }
        for table in tables {
            self.mark(table.frame(), TABLE, pages);
        }
        self.translations[slot(at, user, write)] = Translation { tag: (at.0 >> 12) + 1, frame: to.frame() };
    }

    /// A number that changes whenever something that was remembered may no longer be true.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The decoded instructions of a frame.
    pub fn code(&self, frame: u32) -> Option<Arc<CodePage>> {
        self.code.get(frame as usize)?.clone()
    }

    /// Remembers a decoded instruction whose bytes lie in one page, in a memory of so many pages.
    pub fn keep_instruction(&mut self, at: Pa, lowered: Lowered, pages: u32) {
        if self.off || at.frame() >= pages {
            return;
        }
        if self.code.is_empty() {
            self.code.resize_with(pages as usize, || None);
        }
        self.mark(at.frame(), CODE, pages);
        let empty = || Arc::new(CodePage { starts: Box::new([0; PAGE as usize]), instructions: Vec::new() });
        let page = self.code[at.frame() as usize].get_or_insert_with(empty);
        // Somebody who is reading the page has to be content with what there is.
        if let Some(page) = Arc::get_mut(page) {
            page.instructions.push(lowered);
            page.starts[at.offset() as usize] = page.instructions.len() as u16;
        }
    }

    fn mark(&mut self, frame: u32, kind: u8, pages: u32) {
        if self.marks.is_empty() {
            self.marks.resize(pages as usize, 0);
        }
        // Frames beyond the end of memory cannot be written, and so cannot change.
        if let Some(mark) = self.marks.get_mut(frame as usize) {
            *mark |= kind;
        }
    }

    /// Whether a write to a frame must be told to the cache.
    #[inline]
    pub fn is_marked(&self, frame: u32) -> bool {
        self.marks.get(frame as usize).is_some_and(|mark| *mark != 0)
    }

    /// Forgets what was remembered of a frame that is about to be written.
    #[cold]
    pub fn written(&mut self, frame: u32) {
        let Some(mark) = self.marks.get_mut(frame as usize) else { return };
        if *mark & TABLE != 0 {
            self.translations.clear();
        }
        if *mark & CODE != 0 {
            self.code[frame as usize] = None;
        }
        *mark = 0;
        self.epoch += 1;
    }
}
