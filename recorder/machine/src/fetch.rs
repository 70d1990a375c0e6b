//! Fetching a single instruction: from EIP to its lowered form.

use crate::debug::ENABLED;
use crate::lower::{LONGEST, Lowered, lower};
use crate::registers::flags;
use crate::segment::attribute;
use crate::{Access, Machine, PAGE, Pa, Seg, Trap};

impl Machine {
    /// Fetches and lowers the instruction at EIP, unless a breakpoint of the debug registers is on it.
    pub(crate) fn fetch(&mut self) -> Result<Lowered, Trap> {
        if self.cpu.dr[7] & ENABLED != 0 && !self.cpu.flag(flags::RF) {
            self.meet_breakpoints()?;
        }
        self.fetch_by_tables(self.cpu.eip, self.cpu.seg(Seg::Cs).limit)
    }

    fn meet_breakpoints(&mut self) -> Result<(), Trap> {
        let hits = self.instruction_breakpoints(self.cpu.next());
        self.cpu.dr[6] |= hits;
        if hits == 0 { Ok(()) } else { Err(Trap::Debug) }
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
