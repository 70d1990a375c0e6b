//! Jumps, calls, returns and loops within a code segment; SYSENTER and SYSEXIT.

use super::Done;
use crate::op::{Address, Loop, Width};
use crate::registers::flags::{IF, RF, VM, ZF};
use crate::{Machine, Reg, Seg, Segment, Trap};

impl Machine {
    /// Where a branch of an operand size goes, if that lies in the code segment.
    #[inline]
    fn branch_target(&self, width: Width, target: u32) -> Result<u32, Trap> {
        let target = target & width.mask();
        if target > self.cpu.seg(Seg::Cs).limit { Err(Trap::General(0)) } else { Ok(target) }
    }

    #[inline]
    pub(super) fn jump(&mut self, width: Width, target: u32) -> Result<(), Trap> {
        self.cpu.eip = self.branch_target(width, target)?;
        Ok(())
    }

    /// Jumps by a distance from the next instruction.
    #[inline]
    pub(super) fn branch(&mut self, width: Width, distance: u32) -> Result<(), Trap> {
        self.jump(width, self.cpu.eip.wrapping_add(distance))
    }

    #[inline]
    pub(super) fn call(&mut self, width: Width, target: u32) -> Result<(), Trap> {
        let target = self.branch_target(width, target)?;
        self.push(width, self.cpu.eip)?;
        self.cpu.eip = target;
        Ok(())
    }

    #[inline]
    pub(super) fn near_return(&mut self, width: Width, extra: u16) -> Result<(), Trap> {
        let target = self.stacked(width, 0)?;
        self.jump(width, target)?;
        self.release(width.bytes() + u32::from(extra));
        Ok(())
    }

    pub(super) fn repeat_loop(
        &mut self,
        kind: Loop,
        counter: Width,
        width: Width,
        distance: u32,
    ) -> Result<(), Trap> {
        let count = self.register(counter, Reg::Ecx);
        if kind == Loop::CounterZero {
            return if count == 0 { self.branch(width, distance) } else { Ok(()) };
        }
        let count = count.wrapping_sub(1) & counter.mask();
        let zero = self.cpu.flag(ZF);
        let again = match kind {
            Loop::Equal => zero,
            Loop::NotEqual => !zero,
            Loop::Always | Loop::CounterZero => true,
        };
        if count != 0 && again {
            self.branch(width, distance)?;
        }
        self.set_register(counter, Reg::Ecx, count);
        Ok(())
    }

    pub(super) fn bound(&mut self, width: Width, reg: Reg, address: &Address) -> Result<(), Trap> {
        let signed = |value: u32| width.extend(value) as i32;
        let index = signed(self.register(width, reg));
        let offset = self.offset(address);
        let low = signed(self.load(address.seg, offset, width)?);
        let high = signed(self.load(address.seg, offset.wrapping_add(width.bytes()), width)?);
        if index < low || index > high { Err(Trap::Bounds) } else { Ok(()) }
    }

    /// A flat segment of SYSENTER or SYSEXIT: no descriptor is read.
    fn flat(selector: u32, kind: u16, ring: u8) -> Segment {
        let attributes = 0xC090 | kind | u16::from(ring) << 5;
        let selector = (selector & 0xFFFC) as u16 | u16::from(ring);
        Segment { selector, base: 0, limit: u32::MAX, attributes }
    }

    fn set_flat(&mut self, selector: u32, ring: u8) {
        self.cpu.segments[Seg::Cs as usize] = Self::flat(selector, 0xB, ring);
        self.cpu.segments[Seg::Ss as usize] = Self::flat(selector.wrapping_add(8), 0x3, ring);
    }

    pub(super) fn sysenter(&mut self) -> Done {
        let [cs, esp, eip] = self.cpu.sysenter;
        if cs & 0xFFFC == 0 {
            return Err(Trap::General(0).into());
        }
        self.set_flat(cs, 0);
        self.cpu.eflags &= !(IF | VM | RF);
        self.cpu.set_reg(Reg::Esp, esp);
        self.cpu.eip = eip;
        Ok(())
    }

    pub(super) fn sysexit(&mut self) -> Done {
        let cs = self.cpu.sysenter[0];
        if cs & 0xFFFC == 0 || self.cpu.cpl() != 0 {
            return Err(Trap::General(0).into());
        }
        self.set_flat((cs & 0xFFFC) + 16, 3);
        self.cpu.set_reg(Reg::Esp, self.cpu.reg(Reg::Ecx));
        self.cpu.eip = self.cpu.reg(Reg::Edx);
        Ok(())
    }
}
