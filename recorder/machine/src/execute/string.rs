//! String instructions. A repeated one runs an iteration at a time: an interrupt, or the end of the
//! budget, may fall between two, and each counts as an instruction retired.

use super::Done;
use crate::flags::{STATUS, sub};
use crate::op::{Repeat, StringOp, Text, Width};
use crate::registers::flags::{DF, RF, ZF};
use crate::{Access, Machine, Reg, Seg, Trap};

impl Machine {
    pub(super) fn string(&mut self, string: &StringOp, here: u32) -> Done {
        let index = if string.word { Width::Word } else { Width::Dword };
        if string.repeat == Repeat::Once {
            return Ok(self.string_once(string, index)?);
        }
        let count = self.register(index, Reg::Ecx);
        if count == 0 {
            return Ok(());
        }
        self.string_once(string, index)?;
        self.set_register(index, Reg::Ecx, count - 1);
        let compares = matches!(string.text, Text::Cmps | Text::Scas);
        let ended = compares && self.cpu.flag(ZF) != (string.repeat == Repeat::Equal);
        if count > 1 && !ended {
            // What interrupts it here must not meet a breakpoint on it again.
            self.cpu.eip = here;
            self.cpu.eflags |= RF;
        }
        Ok(())
    }

    fn string_once(&mut self, string: &StringOp, index: Width) -> Result<(), Trap> {
        let width = string.width;
        let (source, target) = (self.register(index, Reg::Esi), self.register(index, Reg::Edi));
        let accumulator = self.register(width, Reg::Eax);
        let port = self.register(Width::Word, Reg::Edx) as u16;
        match string.text {
            Text::Movs => {
                let value = self.load(string.seg, source, width)?;
                self.store(Seg::Es, target, width, value)?;
            }
            Text::Cmps => {
                let left = self.load(string.seg, source, width)?;
                let right = self.load(Seg::Es, target, width)?;
                self.set_flags(STATUS, sub(width, left, right, false).1);
            }
            Text::Stos => self.store(Seg::Es, target, width, accumulator)?,
            Text::Lods => {
                let value = self.load(string.seg, source, width)?;
                self.set_register(width, Reg::Eax, value);
            }
            Text::Scas => {
                let right = self.load(Seg::Es, target, width)?;
                self.set_flags(STATUS, sub(width, accumulator, right, false).1);
            }
            Text::Ins => {
                self.require_port(port, width)?;
                let span = self.reach(Seg::Es, target, width.bytes(), Access::Write)?;
                self.put(span, width, u32::MAX);
            }
            Text::Outs => {
                self.require_port(port, width)?;
                self.load(string.seg, source, width)?;
            }
        }
        let reads = matches!(string.text, Text::Movs | Text::Cmps | Text::Lods | Text::Outs);
        let writes = !matches!(string.text, Text::Lods | Text::Outs);
        let step = if self.cpu.flag(DF) { 0u32.wrapping_sub(width.bytes()) } else { width.bytes() };
        if reads {
            self.set_register(index, Reg::Esi, source.wrapping_add(step));
        }
        if writes {
            self.set_register(index, Reg::Edi, target.wrapping_add(step));
        }
        Ok(())
    }
}
