//! Transfers between code segments: far JMP, CALL and RET, call gates, and IRET.

use super::Done;
use crate::op::{Far, Width};
use crate::registers::flags::{NT, VM};
use crate::segment::{Descriptor, attribute, code, is_null};
use crate::trap::Exit;
use crate::{Machine, Reg, Seg, Segment, Trap};

/// Where a far transfer leads: to code directly, or through a call gate.
enum Destination {
    Code { cs: Segment, eip: u32 },
    Inner { target: Descriptor, eip: u32, width: Width, parameters: u32 },
    Gate { cs: Segment, eip: u32, width: Width },
}

impl Machine {
    fn far_pointer(&mut self, width: Width, far: &Far) -> Result<(u16, u32), Trap> {
        match far {
            Far::Direct { selector, offset } => Ok((*selector, *offset)),
            Far::Indirect(address) => self.load_far(width, address),
        }
    }

    /// Reads an offset and the selector behind it.
    pub(super) fn load_far(
        &mut self,
        width: Width,
        address: &crate::op::Address,
    ) -> Result<(u16, u32), Trap> {
        let at = self.offset(address);
        let offset = self.load(address.seg, at, width)?;
        let selector = self.load(address.seg, at.wrapping_add(width.bytes()), Width::Word)?;
        Ok((selector as u16, offset))
    }

    /// Checks a far jump's or call's destination.
    fn destination(&mut self, selector: u16, offset: u32, is_call: bool) -> Result<Destination, Exit> {
        if is_null(selector) {
            return Err(Trap::General(0).into());
        }
        let cpl = self.cpu.cpl();
        let bad = Trap::General(code(selector));
        let rpl = (selector & 3) as u8;
        let descriptor = self.descriptor(selector, Trap::General)?;
        let allowed = match descriptor.system() {
            None if !descriptor.is_code() => false,
            None if descriptor.is_conforming() => descriptor.dpl() <= cpl,
            None => rpl <= cpl && descriptor.dpl() == cpl,
            Some(1 | 4 | 5 | 9 | 0xC) => descriptor.dpl() >= cpl && rpl <= descriptor.dpl(),
            _ => false,
        };
        if !allowed {
            return Err(bad.into());
        }
        match descriptor.system() {
            None => Ok(Destination::Code { cs: self.code_segment(descriptor, cpl, offset)?, eip: offset }),
            _ if !descriptor.is(attribute::PRESENT) => Err(Trap::NotPresent(code(selector)).into()),
            Some(4) => self.through_gate(descriptor, Width::Word, is_call),
            Some(0xC) => self.through_gate(descriptor, Width::Dword, is_call),
            _ => Err(Exit::unsupported(format!("a task switch to selector {selector:04X}"))),
        }
    }

    fn through_gate(&mut self, gate: Descriptor, width: Width, is_call: bool) -> Result<Destination, Exit> {
        let selector = gate.gate_selector();
        let eip = gate.gate_offset() & width.mask();
        if is_null(selector) {
            return Err(Trap::General(0).into());
        }
        let cpl = self.cpu.cpl();
        let target = self.descriptor(selector, Trap::General)?;
        let reachable = match target.is_conforming() || is_call {
            true => target.dpl() <= cpl,
            false => target.dpl() == cpl,
        };
        if !target.is_code() || !reachable {
            return Err(Trap::General(code(selector)).into());
        }
        if is_call && !target.is_conforming() && target.dpl() < cpl {
            let parameters = (gate.raw >> 32) as u32 & 0x1F;
            return Ok(Destination::Inner { target, eip, width, parameters });
        }
        Ok(Destination::Gate { cs: self.code_segment(target, cpl, eip)?, eip, width })
    }

    fn set_code(&mut self, cs: Segment, eip: u32) {
        self.cpu.segments[Seg::Cs as usize] = cs;
        self.cpu.eip = eip;
    }

    pub(super) fn jump_far(&mut self, width: Width, far: &Far) -> Done {
        let (selector, offset) = self.far_pointer(width, far)?;
        match self.destination(selector, offset, false)? {
            Destination::Code { cs, eip } | Destination::Gate { cs, eip, .. } => self.set_code(cs, eip),
            Destination::Inner { .. } => unreachable!("only a call goes to an inner ring"),
        }
        Ok(())
    }

    pub(super) fn call_far(&mut self, width: Width, far: &Far) -> Done {
        let (selector, offset) = self.far_pointer(width, far)?;
        let back = [u32::from(self.cpu.seg(Seg::Cs).selector), self.cpu.eip];
        match self.destination(selector, offset, true)? {
            Destination::Code { cs, eip } => {
                self.push_values(width, &back)?;
                self.set_code(cs, eip);
            }
            Destination::Gate { cs, eip, width } => {
                self.push_values(width, &back)?;
                self.set_code(cs, eip);
            }
            Destination::Inner { target, eip, width, parameters } => {
                self.call_inner(target, eip, width, parameters)?;
            }
        }
        Ok(())
    }

    /// A call through a gate to an inner ring: the stack is switched, and the parameters copied.
    fn call_inner(&mut self, target: Descriptor, eip: u32, width: Width, parameters: u32) -> Done {
        let ring = target.dpl();
        if !target.is(attribute::PRESENT) {
            return Err(Trap::NotPresent(code(target.selector)).into());
        }
        let (ss, esp) = self.inner_stack(ring)?;
        let mut frame = [0; 36];
        let count = parameters as usize + 4;
        frame[0] = self.cpu.seg(Seg::Ss).selector.into();
        frame[1] = self.cpu.esp();
        for index in 0..parameters {
            let above = (parameters - 1 - index) * width.bytes();
            frame[2 + index as usize] = self.stacked(width, above)?;
        }
        frame[count - 2] = self.cpu.seg(Seg::Cs).selector.into();
        frame[count - 1] = self.cpu.eip;
        let cs = self.code_segment(target, ring, eip)?;
        let failure = Trap::Stack(code(ss.selector));
        let esp = self.push_frame(&ss, esp, ring, width, &frame[..count], failure)?;
        self.cpu.segments[Seg::Ss as usize] = ss;
        self.cpu.set_reg(Reg::Esp, esp);
        self.set_code(cs, eip);
        Ok(())
    }

    /// Checks the CS that a far return or IRET brings back.
    fn return_code(&mut self, selector: u16) -> Result<Descriptor, Trap> {
        if is_null(selector) {
            return Err(Trap::General(0));
        }
        let rpl = (selector & 3) as u8;
        let descriptor = self.descriptor(selector, Trap::General)?;
        let dpl = descriptor.dpl();
        let fits = if descriptor.is_conforming() { dpl <= rpl } else { dpl == rpl };
        if !descriptor.is_code() || rpl < self.cpu.cpl() || !fits {
            return Err(Trap::General(code(selector)));
        }
        if !descriptor.is(attribute::PRESENT) {
            return Err(Trap::NotPresent(code(selector)));
        }
        Ok(descriptor)
    }

    /// Goes to an outer ring: takes SS:ESP from `above` bytes above the top of the stack, and drops
    /// the data segments that the outer ring may not use. `extra` bytes are released there.
    fn return_outward(
        &mut self,
        target: Descriptor,
        eip: u32,
        width: Width,
        above: u32,
        extra: u32,
    ) -> Result<(), Trap> {
        let ring = (target.selector & 3) as u8;
        let selector = self.stacked(width, above + width.bytes())? as u16;
        let esp = self.stacked(width, above)?;
        let ss = self.stack_segment(selector, ring, Trap::General)?;
        let cs = self.code_segment(target, ring, eip)?;
        self.cpu.segments[Seg::Ss as usize] = ss;
        let mask = self.stack_mask();
        // A 16-bit stack has SP only: the high half of ESP stays the inner ring's.
        self.cpu.set_reg(Reg::Esp, self.cpu.esp() & !mask | esp.wrapping_add(extra) & mask);
        self.set_code(cs, eip);
        for seg in [Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs] {
            let segment = &mut self.cpu.segments[seg as usize];
            let conforming = attribute::CODE | attribute::CONFORMING;
            let dpl = (segment.attributes >> 5 & 3) as u8;
            if segment.attributes & conforming != conforming && dpl < ring {
                *segment = Segment::default();
            }
        }
        Ok(())
    }

    pub(super) fn return_far(&mut self, width: Width, extra: u16) -> Done {
        let size = width.bytes();
        let extra = u32::from(extra);
        // Downwards, as CR2 tells of a frame that cannot be read.
        let selector = self.stacked(width, size)? as u16;
        let eip = self.stacked(width, 0)?;
        let target = self.return_code(selector)?;
        let ring = (selector & 3) as u8;
        if ring == self.cpu.cpl() {
            let cs = self.code_segment(target, ring, eip)?;
            self.release(2 * size + extra);
            self.set_code(cs, eip);
        } else {
            self.return_outward(target, eip, width, 2 * size + extra, extra)?;
        }
        Ok(())
    }

    pub(super) fn interrupt_return(&mut self, width: Width) -> Done {
        if self.cpu.flag(NT) {
            return Err(Exit::unsupported("IRET with NT set, which returns to another task,"));
        }
        let size = width.bytes();
        let flags = self.stacked(width, 2 * size)?;
        let selector = self.stacked(width, size)? as u16;
        let eip = self.stacked(width, 0)?;
        if width == Width::Dword && flags & VM != 0 && self.cpu.cpl() == 0 {
            return Err(Exit::unsupported("IRET to virtual-8086 mode"));
        }
        let target = self.return_code(selector)?;
        let ring = (selector & 3) as u8;
        // The rights over IF and IOPL are those of the ring that is left.
        let mask = self.flags_mask(width);
        if ring == self.cpu.cpl() {
            let cs = self.code_segment(target, ring, eip)?;
            self.release(3 * size);
            self.set_code(cs, eip);
        } else {
            self.return_outward(target, eip, width, 3 * size, 0)?;
        }
        self.set_flags(mask, flags);
        Ok(())
    }
}
