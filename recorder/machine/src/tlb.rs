//! Translations that were allowed, by page: the machine's translation look-aside buffer.
//!
//! A processor keeps translations until it is told that they changed; this machine sees the change at
//! once, because a write to a table of a remembered translation makes all of them forgotten.

use crate::Va;

/// Translations of one kind, by the low bits of the page number.
const SETS: usize = 256;
const KINDS: usize = 4;

/// A translation, whose accessed and dirty bits are set already.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Page number and one; zero: empty.
    tag: u32,
    frame: u32,
}

/// The registers that translations depend on: CR3, and the bits of CR0 and CR4 that paging heeds.
pub(crate) type Registers = (u32, u32);

/// Translations under one setting of the registers.
#[derive(Default)]
pub(crate) struct Tlb {
    registers: Registers,
    /// By kind; none before the first is kept, because a copy of a machine that never runs needs none.
    entries: Option<Box<[[Entry; SETS]; KINDS]>>,
}

#[inline(always)]
fn kind(user: bool, write: bool) -> usize {
    usize::from(user) | usize::from(write) << 1
}

impl Tlb {
    /// Forgets what was translated under other registers than these.
    #[inline]
    pub fn select(&mut self, registers: Registers) {
        if self.registers != registers {
            self.registers = registers;
            self.flush();
        }
    }

    /// Frame of a page that was translated under the selected registers for an access of this kind.
    #[inline(always)]
    pub fn find(&self, at: Va, user: bool, write: bool) -> Option<u32> {
        let page = at.0 >> 12;
        let entry = &self.entries.as_ref()?[kind(user, write)][page as usize % SETS];
        (entry.tag == page + 1).then_some(entry.frame)
    }

    /// Frame of a page that was translated under these registers for a supervisor's read. Under others
    /// than the selected ones, such as with paging off, nothing is known.
    #[inline(always)]
    pub fn find_under(&self, registers: Registers, at: Va) -> Option<u32> {
        if self.registers == registers { self.find(at, false, false) } else { None }
    }

    pub fn keep(&mut self, at: Va, user: bool, write: bool, frame: u32) {
        let page = at.0 >> 12;
        let entries = self.entries.get_or_insert_with(|| Box::new([[Entry::default(); SETS]; KINDS]));
        entries[kind(user, write)][page as usize % SETS] = Entry { tag: page + 1, frame };
    }

    pub fn flush(&mut self) {
        if let Some(entries) = &mut self.entries {
            entries.as_flattened_mut().fill(Entry::default());
        }
    }

    /// Forgets the translations that lead to a frame for writing.
    pub fn protect(&mut self, frame: u32) {
        let Some(entries) = &mut self.entries else { return };
        for user in [false, true] {
            for entry in entries[kind(user, true)].iter_mut().filter(|entry| entry.frame == frame) {
                *entry = Entry::default();
            }
        }
    }
}
