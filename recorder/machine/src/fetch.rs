//! Fetching: from EIP to a lowered instruction, most often one that was decoded before.

use crate::cache::CodePage;
use crate::debug::ENABLED;
use crate::lower::{LONGEST, Lowered, lower};
use crate::op::Op;
use crate::registers::{control, flags};
use crate::segment::attribute;
use crate::{Access, Machine, PAGE, Pa, Seg, Trap, Va};
use std::sync::Arc;

/// A hold on the decoded page that EIP is in, so that it need not be found for each instruction.
pub(crate) struct Cursor {
    /// What the translation of the page and the meaning of its bytes depend on.
    key: Key,
    code: Option<Arc<CodePage>>,
    /// The instruction that was fetched, when it is not in a decoded page.
    single: Lowered,
}

#[derive(Clone, Copy, PartialEq, Default)]
struct Key {
    page: u32,
    cr3: u32,
    paging: u32,
    /// CPL and the code segment's width.
    mode: u16,
    epoch: u64,
}

impl Default for Cursor {
    fn default() -> Self {
        let nothing = Lowered { op: Op::Undefined, len: 1 };
        Cursor { key: Key::default(), code: None, single: nothing }
    }
}

impl Machine {
    #[inline]
    fn key(&self, at: Va) -> Key {
        let cs = self.cpu.seg(Seg::Cs);
        Key {
            page: at.0 >> 12,
            cr3: self.cpu.cr3,
            paging: self.cpu.cr0 & control::PG,
            mode: cs.selector & 3 | cs.attributes & attribute::BIG,
            epoch: self.memory.cache.epoch(),
        }
    }

    /// Fetches and lowers the instruction at EIP, unless a breakpoint of the debug registers is on it.
    #[inline]
    pub(crate) fn fetch<'c>(&mut self, cursor: &'c mut Cursor) -> Result<&'c Lowered, Trap> {
        if self.cpu.dr[7] & ENABLED != 0 && !self.cpu.flag(flags::RF) {
            self.meet_breakpoints()?;
        }
        let (eip, limit) = (self.cpu.eip, self.cpu.seg(Seg::Cs).limit);
        let at = self.cpu.next();
        if cursor.code.is_none() || cursor.key != self.key(at) {
            self.open(cursor, at);
        }
        if let Some(code) = &cursor.code
            && let Some(index) = code.index(at.offset())
            && let Some(known) = code.get(index)
            && eip <= limit
            && limit - eip >= u32::from(known.len) - 1
        {
            // Found a second time, because a borrow cannot be given back on one way only.
            return Ok(cursor.code.as_ref().and_then(|code| code.get(index)).unwrap_or(&cursor.single));
        }
        cursor.code = None;
        cursor.single = self.fetch_by_tables(eip, limit)?;
        Ok(&cursor.single)
    }

    fn meet_breakpoints(&mut self) -> Result<(), Trap> {
        let hits = self.instruction_breakpoints(self.cpu.next());
        self.cpu.dr[6] |= hits;
        if hits == 0 { Ok(()) } else { Err(Trap::Debug) }
    }

    /// Takes hold of the decoded page at EIP, if there is one.
    fn open(&mut self, cursor: &mut Cursor, at: Va) {
        cursor.code = None;
        let wide = self.cpu.seg(Seg::Cs).attributes & attribute::BIG != 0;
        if !wide || self.cpu.eip > self.cpu.seg(Seg::Cs).limit {
            return;
        }
        if let Ok(from) = self.translate(at, Access::Execute, self.cpu.cpl() == 3) {
            cursor.code = self.memory.cache.code(from.frame());
            // Only now: setting an accessed bit may have made a translation forgotten.
            cursor.key = self.key(at);
        }
    }

    /// Decodes the instruction at EIP.
    fn fetch_by_tables(&mut self, eip: u32, limit: u32) -> Result<Lowered, Trap> {
        if eip > limit {
            return Err(Trap::General(0));
        }
        let at = self.cpu.next();
        let wide = self.cpu.seg(Seg::Cs).attributes & attribute::BIG != 0;
        let user = self.cpu.cpl() == 3;
        let from = self.translate(at, Access::Execute, user)?;
        let in_page = PAGE - at.offset();
        let available = (limit - eip).saturating_add(1).min(LONGEST as u32);
        let head = available.min(in_page) as usize;
        let mut bytes = [0; LONGEST];
        self.memory.read(from, &mut bytes[..head]);
        if let Some(lowered) = lower(&bytes[..head], wide) {
            if wide {
                self.memory.keep_instruction(from, lowered);
            }
            return Ok(lowered);
        }
        let available = available as usize;
        if available > head {
            let from: Pa = self.translate(at.add(in_page), Access::Execute, user)?;
            self.memory.read(from, &mut bytes[head..available]);
            if let Some(lowered) = lower(&bytes[..available], wide) {
                return Ok(lowered);
            }
        }
        // Only the end of the segment cuts an instruction short of fifteen bytes.
        Err(Trap::General(0))
    }
}
