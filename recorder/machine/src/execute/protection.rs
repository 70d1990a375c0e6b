//! Selectors and descriptor tables: loading and storing them, and asking about them.

use super::Done;
use crate::op::{Address, Ask, Place, TableRegister, Width, Word};
use crate::registers::{Table, control, flags::ZF};
use crate::segment::{Descriptor, attribute};
use crate::{Access, Machine, Reg, Seg, Trap};

impl Machine {
    pub(super) fn mov_segment(&mut self, seg: Seg, place: &Place) -> Result<(), Trap> {
        let selector = self.read_place(Width::Word, place)? as u16;
        let segment = self.segment_for(seg, selector)?;
        self.cpu.segments[seg as usize] = segment;
        self.cpu.shadow |= seg == Seg::Ss;
        Ok(())
    }

    /// LDS and its relatives.
    pub(super) fn load_pointer(
        &mut self,
        width: Width,
        seg: Seg,
        reg: Reg,
        address: &Address,
    ) -> Result<(), Trap> {
        let (selector, offset) = self.load_far(width, address)?;
        let segment = self.segment_for(seg, selector)?;
        self.cpu.segments[seg as usize] = segment;
        self.set_register(width, reg, offset);
        Ok(())
    }

    fn table(&mut self, table: TableRegister) -> &mut Table {
        match table {
            TableRegister::Gdtr => &mut self.cpu.gdtr,
            TableRegister::Idtr => &mut self.cpu.idtr,
        }
    }

    pub(super) fn store_table(&mut self, table: TableRegister, address: &Address) -> Result<(), Trap> {
        let span = self.operand(address, 6, Access::Write)?;
        let Table { base, limit } = *self.table(table);
        let mut raw = [0; 6];
        raw[..2].copy_from_slice(&limit.to_le_bytes());
        raw[2..].copy_from_slice(&base.to_le_bytes());
        self.put_bytes(span, &raw);
        Ok(())
    }

    pub(super) fn load_table(
        &mut self,
        table: TableRegister,
        width: Width,
        address: &Address,
    ) -> Result<(), Trap> {
        self.require_ring_0()?;
        let span = self.operand(address, 6, Access::Read)?;
        let mut raw = [0; 6];
        self.get_bytes(span, &mut raw);
        // The 16-bit form has room for 24 bits of address.
        let mask = if width == Width::Word { 0xFF_FFFF } else { u32::MAX };
        let base = u32::from_le_bytes([raw[2], raw[3], raw[4], raw[5]]) & mask;
        *self.table(table) = Table { base, limit: u16::from_le_bytes([raw[0], raw[1]]) };
        Ok(())
    }

    pub(super) fn store_word(&mut self, word: Word, width: Width, place: &Place) -> Result<(), Trap> {
        let value = match word {
            Word::Ldtr => self.cpu.ldtr.selector.into(),
            Word::Tr => self.cpu.tr.selector.into(),
            Word::Msw => self.cpu.cr0,
        };
        self.write_place(width, place, value)
    }

    pub(super) fn load_word(&mut self, word: Word, place: &Place) -> Done {
        self.require_ring_0()?;
        let value = self.read_place(Width::Word, place)?;
        match word {
            Word::Ldtr => self.load_local_table(value as u16)?,
            Word::Tr => self.load_task(value as u16)?,
            Word::Msw => {
                // LMSW can set PE and cannot clear it.
                let settable = control::PE | control::MP | control::EM | control::TS;
                self.cpu.cr0 = self.cpu.cr0 & (!settable | control::PE) | value & settable;
            }
        }
        Ok(())
    }

    /// Whether the current privilege and a selector's RPL may use a descriptor at all.
    fn is_visible(&self, descriptor: &Descriptor) -> bool {
        let dpl = descriptor.dpl();
        let rpl = (descriptor.selector & 3) as u8;
        descriptor.is_conforming() || (self.cpu.cpl() <= dpl && rpl <= dpl)
    }

    pub(super) fn ask(&mut self, ask: Ask, place: &Place) -> Result<(), Trap> {
        let selector = self.read_place(Width::Word, place)? as u16;
        let found = self.find_descriptor(selector)?.filter(|descriptor| self.is_visible(descriptor));
        let answer = found.and_then(|descriptor| match ask {
            Ask::Rights(width, reg) => {
                let known = matches!(descriptor.system(), None | Some(1..=5 | 9 | 0xB | 0xC));
                let rights = (descriptor.raw >> 32) as u32 & 0xFF_FF00;
                known.then_some(Some((width, reg, rights)))
            }
            Ask::Limit(width, reg) => {
                let known = matches!(descriptor.system(), None | Some(1..=3 | 9 | 0xB));
                known.then_some(Some((width, reg, descriptor.segment().limit)))
            }
            Ask::Readable => {
                let data = descriptor.is(attribute::ORDINARY) && !descriptor.is_code();
                (data || descriptor.is_code() && descriptor.is(attribute::WRITABLE)).then_some(None)
            }
            Ask::Writable => {
                let data = descriptor.is(attribute::ORDINARY | attribute::WRITABLE) && !descriptor.is_code();
                data.then_some(None)
            }
        });
        if let Some(Some((width, reg, value))) = answer {
            self.set_register(width, reg, value);
        }
        self.set_flags(ZF, if answer.is_some() { ZF } else { 0 });
        Ok(())
    }

    /// ARPL: raises a selector's RPL to that of another.
    pub(super) fn adjust_rpl(&mut self, place: &Place, reg: Reg) -> Result<(), Trap> {
        let old = self.read_place(Width::Word, place)?;
        let rpl = self.cpu.reg(reg) & 3;
        let raised = old & 3 < rpl;
        // What is not changed need not be writable.
        if raised {
            self.write_place(Width::Word, place, old & !3 | rpl)?;
        }
        self.set_flags(ZF, if raised { ZF } else { 0 });
        Ok(())
    }
}
