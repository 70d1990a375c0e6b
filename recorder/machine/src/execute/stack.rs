//! The stack: PUSH and POP in all their forms, ENTER and LEAVE.

use super::Done;
use crate::op::{Place, Width};
use crate::registers::flags::{self, IF, IOPL, RF, VM};
use crate::segment::attribute;
use crate::{Access, Machine, Model, Reg, Seg, Trap};

impl Machine {
    /// The bits of ESP that address the stack.
    #[inline]
    pub(super) fn stack_mask(&self) -> u32 {
        if self.cpu.seg(Seg::Ss).attributes & attribute::BIG != 0 { u32::MAX } else { 0xFFFF }
    }

    /// Moves the stack pointer up; beyond 16 bits only if the stack is 32 bits wide.
    #[inline]
    pub(super) fn release(&mut self, bytes: u32) {
        let esp = self.stack_offset(bytes) | self.cpu.esp() & !self.stack_mask();
        self.cpu.set_reg(Reg::Esp, esp);
    }

    /// The offset `above` bytes above the top of the stack.
    #[inline]
    pub(super) fn stack_offset(&self, above: u32) -> u32 {
        self.cpu.esp().wrapping_add(above) & self.stack_mask()
    }

    #[inline]
    pub(super) fn push(&mut self, width: Width, value: u32) -> Result<(), Trap> {
        let below = 0u32.wrapping_sub(width.bytes());
        self.store(Seg::Ss, self.stack_offset(below), width, value)?;
        self.release(below);
        Ok(())
    }

    /// Reads the value `above` bytes above the top of the stack.
    #[inline]
    pub(super) fn stacked(&mut self, width: Width, above: u32) -> Result<u32, Trap> {
        self.load(Seg::Ss, self.stack_offset(above), width)
    }

    pub(super) fn pop_place(&mut self, width: Width, place: &Place) -> Result<(), Trap> {
        let value = self.stacked(width, 0)?;
        let esp = self.cpu.esp();
        // An address with ESP in it means the ESP after the pop.
        self.release(width.bytes());
        self.write_place(width, place, value).inspect_err(|_| self.cpu.regs[Reg::Esp as usize] = esp)
    }

    pub(super) fn pop_segment(&mut self, width: Width, seg: Seg) -> Result<(), Trap> {
        let selector = self.stacked(width, 0)? as u16;
        let segment = self.segment_for(seg, selector)?;
        self.release(width.bytes());
        self.cpu.segments[seg as usize] = segment;
        self.cpu.shadow |= seg == Seg::Ss;
        Ok(())
    }

    /// Pushes values on the current stack, all of them or none.
    pub(super) fn push_values(&mut self, width: Width, values: &[u32]) -> Result<(), Trap> {
        let stack = *self.cpu.seg(Seg::Ss);
        let (esp, ring) = (self.cpu.esp(), self.cpu.cpl());
        if self.cpu.flag(flags::AC) {
            for count in 1..=values.len() as u32 {
                let at = self.stack_offset(0u32.wrapping_sub(count * width.bytes()));
                self.reach(Seg::Ss, at, width.bytes(), Access::Write)?;
            }
        }
        let esp = self.push_frame(&stack, esp, ring, width, values, Trap::Stack(0))?;
        self.cpu.set_reg(Reg::Esp, esp);
        Ok(())
    }

    pub(super) fn push_all(&mut self, width: Width) -> Result<(), Trap> {
        let values = self.cpu.regs;
        self.push_values(width, &values)
    }

    pub(super) fn pop_all(&mut self, width: Width) -> Result<(), Trap> {
        let mut values = [0; 8];
        for (index, value) in values.iter_mut().rev().enumerate() {
            *value = self.stacked(width, index as u32 * width.bytes())?;
        }
        use Reg::{Eax, Ebp, Ebx, Ecx, Edi, Edx, Esi};
        for reg in [Eax, Ecx, Edx, Ebx, Ebp, Esi, Edi] {
            self.set_register(width, reg, values[reg as usize]);
        }
        self.release(8 * width.bytes());
        Ok(())
    }

    pub(super) fn push_flags(&mut self, width: Width) -> Result<(), Trap> {
        self.push(width, self.cpu.eflags & !(RF | VM))
    }

    pub(super) fn pop_flags(&mut self, width: Width) -> Done {
        let value = self.stacked(width, 0)?;
        self.release(width.bytes());
        self.set_flags(self.flags_mask(width), value & !RF);
        Ok(())
    }

    /// The flags that a program of the current privilege may set by POPF or IRET.
    pub(super) fn flags_mask(&self, width: Width) -> u32 {
        let mut mask = crate::flags::STATUS | flags::TF | flags::DF | flags::NT;
        mask |= RF;
        if self.cpu.model > Model::I386 {
            mask |= flags::AC | flags::ID;
        }
        let cpl = self.cpu.cpl();
        if u32::from(cpl) <= self.io_privilege() {
            mask |= IF;
        }
        if cpl == 0 {
            mask |= IOPL;
        }
        mask & width.mask()
    }

    /// IOPL: the outermost ring that may use ports and IF.
    pub(super) fn io_privilege(&self) -> u32 {
        (self.cpu.eflags & IOPL) >> 12
    }

    pub(super) fn enter(&mut self, width: Width, size: u16, level: u8) -> Result<(), Trap> {
        let level = u32::from(level) & 31;
        let mask = self.stack_mask();
        let esp = self.cpu.esp();
        let frame = esp & !mask | esp.wrapping_sub(width.bytes()) & mask;
        let old = self.cpu.esp();
        let ebp = self.cpu.reg(Reg::Ebp);
        let outer = |n: u32| ebp.wrapping_sub(n * width.bytes()) & mask;
        let pushed = |n: u32| old.wrapping_sub(n * width.bytes()) & mask;
        let count = level + 1;
        for n in 1..level {
            self.reach(Seg::Ss, outer(n), width.bytes(), Access::Read)?;
        }
        for n in 1..=count {
            self.reach(Seg::Ss, pushed(n), width.bytes(), Access::Write)?;
        }
        // The locals are not written, but the processor makes sure that their end could be.
        let low = pushed(count).wrapping_sub(size.into()) & mask;
        self.reach(Seg::Ss, low, width.bytes(), Access::Write)?;
        // One at a time: what is pushed may lie where an outer frame's pointer is read.
        self.store(Seg::Ss, pushed(1), width, ebp)?;
        for n in 1..level {
            let value = self.load(Seg::Ss, outer(n), width)?;
            self.store(Seg::Ss, pushed(n + 1), width, value)?;
        }
        if level > 0 {
            self.store(Seg::Ss, pushed(count), width, frame)?;
        }
        self.set_register(width, Reg::Ebp, frame);
        self.cpu.set_reg(Reg::Esp, old & !mask | low);
        Ok(())
    }

    pub(super) fn leave(&mut self, width: Width) -> Result<(), Trap> {
        let mask = self.stack_mask();
        let frame = self.cpu.reg(Reg::Ebp);
        let value = self.load(Seg::Ss, frame & mask, width)?;
        let esp = frame.wrapping_add(width.bytes());
        self.cpu.set_reg(Reg::Esp, self.cpu.esp() & !mask | esp & mask);
        self.set_register(width, Reg::Ebp, value);
        Ok(())
    }
}
