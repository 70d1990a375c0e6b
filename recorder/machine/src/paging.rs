//! Two-level paging: translation, rights, and the accessed and dirty bits.

use crate::tlb::Registers;
use crate::{Access, Fault, Level, Machine, Pa, Va, registers::control};

const PRESENT: u32 = 1;
const WRITABLE: u32 = 2;
const USER: u32 = 4;
const ACCESSED: u32 = 0x20;
const DIRTY: u32 = 0x40;
const FRAME: u32 = 0xFFFF_F000;
/// Of a directory entry: it maps 4 MiB by itself.
const LARGE: u32 = 0x80;
const LARGE_FRAME: u32 = 0xFFC0_0000;

/// A translation that was allowed: where it leads, and the entries whose A and D bits it would set. Of a
/// page of 4 MiB both are the directory's.
struct Walk {
    to: Pa,
    directory: (Pa, u32),
    table: (Pa, u32),
}

impl Machine {
    /// Translates `at` for an access of the given kind and privilege, and sets the accessed and
    /// dirty bits as the processor does.
    ///
    /// # Errors
    /// The page fault that the processor would raise; nothing is changed then.
    #[inline]
    pub fn translate(&mut self, at: Va, access: Access, user: bool) -> Result<Pa, Fault> {
        if self.cpu.cr0 & control::PG == 0 {
            return Ok(Pa(at.0));
        }
        let registers = self.paging_registers();
        match self.memory.cache.translation(registers, at, user, access == Access::Write) {
            Some(frame) => Ok(Pa(frame << 12 | at.offset())),
            None => self.translate_by_tables(at, access, user),
        }
    }

    /// What translations depend on besides the tables: CR3, and the bits of CR0 and CR4 that paging heeds
    /// (in bits 1 to 4).
    #[inline]
    pub(crate) fn paging_registers(&self) -> Registers {
        let heeded =
            self.cpu.cr0 >> 31 << 1 | (self.cpu.cr0 & control::WP) >> 14 | (self.cpu.cr4 & control::PSE) >> 1;
        (self.cpu.cr3, heeded)
    }

    fn translate_by_tables(&mut self, at: Va, access: Access, user: bool) -> Result<Pa, Fault> {
        let walk = self.walk(self.cpu.cr3, at, access, user)?;
        let dirty = if access == Access::Write { DIRTY } else { 0 };
        let above = if walk.directory.0 == walk.table.0 { ACCESSED | dirty } else { ACCESSED };
        for ((place, entry), bits) in [(walk.directory, above), (walk.table, ACCESSED | dirty)] {
            if entry & bits != bits {
                self.memory.write_entry(place, entry | bits);
            }
        }
        let kind = (user, access == Access::Write);
        let tables = ([walk.directory.0, walk.table.0], self.memory.pages());
        self.memory.cache.keep_translation(at, kind, walk.to, tables);
        Ok(walk.to)
    }

    /// Translates without touching anything, in the address space of `cr3`.
    ///
    /// # Errors
    /// The page fault that a supervisor access of that kind would raise.
    pub fn probe(&self, cr3: u32, at: Va, access: Access) -> Result<Pa, Fault> {
        if self.cpu.cr0 & control::PG == 0 {
            return Ok(Pa(at.0));
        }
        Ok(self.walk(cr3, at, access, false)?.to)
    }

    /// Where a supervisor's read leads in the address space of `cr3`, if that is remembered.
    #[inline]
    pub(crate) fn remembered(&self, cr3: u32, at: Va) -> Option<Pa> {
        let registers = (cr3, self.paging_registers().1);
        let frame = self.memory.cache.tlb.find_under(registers, at)?;
        Some(Pa(frame << 12 | at.offset()))
    }

    fn walk(&self, cr3: u32, at: Va, access: Access, user: bool) -> Result<Walk, Fault> {
        let directory = Pa((cr3 & FRAME) + (at.0 >> 22) * 4);
        let upper = self.memory.read_u32(directory);
        let fault = |present, level| Fault { at, access, user, present, level };
        if upper & PRESENT == 0 {
            return Err(fault(false, Level::Directory));
        }
        // CR4 has the bit only in processors that know of such pages.
        let large = upper & LARGE != 0 && self.cpu.cr4 & control::PSE != 0;
        let (table, lower) = if large {
            (directory, upper)
        } else {
            let table = Pa((upper & FRAME) + (at.0 >> 12 & 0x3FF) * 4);
            (table, self.memory.read_u32(table))
        };
        if lower & PRESENT == 0 {
            return Err(fault(false, Level::Table));
        }
        let level = |right| if upper & right == 0 { Level::Directory } else { Level::Table };
        let rights = upper & lower;
        if user && rights & USER == 0 {
            return Err(fault(true, level(USER)));
        }
        let protected = user || self.cpu.cr0 & control::WP != 0;
        if access == Access::Write && protected && rights & WRITABLE == 0 {
            return Err(fault(true, level(WRITABLE)));
        }
        let to = match large {
            true => Pa(lower & LARGE_FRAME | at.0 & !LARGE_FRAME),
            false => Pa(lower & FRAME | at.offset()),
        };
        Ok(Walk { to, directory: (directory, upper), table: (table, lower) })
    }
}
