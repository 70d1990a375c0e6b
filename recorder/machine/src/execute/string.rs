//! String instructions. A repeated one runs an iteration at a time: an interrupt, or the end of the
//! budget, may fall between two, and each counts as an instruction retired.

use super::Done;
use crate::access::within;
use crate::flags::{STATUS, sub};
use crate::op::{Repeat, StringOp, Text, Width};
use crate::registers::flags::{DF, RF, ZF};
use crate::segment::attribute;
use crate::{Access, Machine, PAGE, Pa, Reg, Seg, Trap};

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

    /// Executes a string instruction up to its end or that of the run, `until` so many instructions are
    /// retired or the epoch of what is remembered changes. The last iteration that it makes is not
    /// counted yet, and leaves EIP and RF as any does.
    pub(crate) fn repeat(&mut self, string: &StringOp, here: u32, (until, epoch): (u64, u64)) -> Done {
        let (next, first) = (self.cpu.eip, self.retired);
        loop {
            if string.repeat != Repeat::Once && !string.word {
                self.leap(string, until - self.retired - 1);
            }
            if let Err(exit) = self.string(string, here) {
                self.cpu.eflags |= if self.retired > first { RF } else { 0 };
                return Err(exit);
            }
            let more = self.cpu.flag(RF) && self.cpu.eip == here;
            if !more || self.retired + 1 >= until || self.memory.cache.epoch() != epoch {
                return Ok(());
            }
            self.retired += 1;
            self.cpu.eflags &= !RF;
            self.cpu.eip = next;
        }
    }

    /// Makes iterations of a repeated MOVS or STOS at once, all but the last one and at most `most`,
    /// while they stay in pages that are at hand and whose writing nobody has to be told of.
    fn leap(&mut self, string: &StringOp, most: u64) {
        let moves = string.text == Text::Movs;
        if !(moves || string.text == Text::Stos) || self.cpu.flag(DF) {
            return;
        }
        let (width, mut most) = (string.width.bytes(), most);
        loop {
            let (from, to) = (self.cpu.reg(Reg::Esi), self.cpu.reg(Reg::Edi));
            let count = u64::from(self.cpu.reg(Reg::Ecx)).saturating_sub(1).min(most);
            let Some(target) = self.at_hand(Seg::Es, to, width, Access::Write) else { return };
            let source = match moves {
                true => self.at_hand(string.seg, from, width, Access::Read),
                false => Some((target.0, PAGE)),
            };
            let Some(source) = source else { return };
            let count = count.min(u64::from(source.1.min(target.1) / width)) as u32;
            let len = count * width;
            // Where the two overlap, an iteration may read what an earlier one wrote.
            let overlaps = moves && source.0.frame() == target.0.frame();
            if count == 0 || overlaps {
                return;
            }
            let mut bytes = [0; PAGE as usize];
            let bytes = &mut bytes[..len as usize];
            if moves {
                self.memory.read(source.0, bytes);
            } else {
                let pattern = self.cpu.reg(Reg::Eax).to_le_bytes();
                bytes
                    .chunks_exact_mut(width as usize)
                    .for_each(|item| item.copy_from_slice(&pattern[..width as usize]));
            }
            self.memory.write(target.0, bytes);
            if moves {
                self.cpu.set_reg(Reg::Esi, from.wrapping_add(len));
            }
            self.cpu.set_reg(Reg::Edi, to.wrapping_add(len));
            self.cpu.set_reg(Reg::Ecx, self.cpu.reg(Reg::Ecx) - count);
            self.retired += u64::from(count);
            most -= u64::from(count);
        }
    }

    /// Where an access leads that needs no table to be walked, and how many bytes further it does.
    fn at_hand(&self, seg: Seg, offset: u32, len: u32, access: Access) -> Option<(Pa, u32)> {
        let segment = self.cpu.seg(seg);
        // In an expand-down segment the limit lies below, not above.
        if segment.attributes & (attribute::CODE | attribute::DOWN) == attribute::DOWN {
            return None;
        }
        let at = within(segment, offset, len, access)?;
        let user = self.cpu.cpl() == 3;
        let frame = self.memory.cache.tlb.find(at, user, access == Access::Write)?;
        let in_page = PAGE - at.offset();
        let room = if segment.limit == u32::MAX {
            in_page
        } else {
            in_page.min((segment.limit - offset).saturating_add(1))
        };
        (frame < self.memory.pages()).then_some((Pa(frame << 12 | at.offset()), room))
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
