//! What only ring 0 may do, or may forbid: control, debug and model-specific registers, IF, HLT.

use super::Done;
use crate::debug::{DETECTED, GENERAL_DETECT};
use crate::registers::{control, flags::IF};
use crate::trap::Exit;
use crate::{Machine, Model, Reg, Trap};
use control::{DE, OSFXSR, OSXMMEXCPT, PGE, PSE, TSD};

impl Machine {
    pub(super) fn require_ring_0(&self) -> Result<(), Trap> {
        if self.cpu.cpl() == 0 { Ok(()) } else { Err(Trap::General(0)) }
    }

    fn require_io_privilege(&self) -> Result<(), Trap> {
        if u32::from(self.cpu.cpl()) <= self.io_privilege() { Ok(()) } else { Err(Trap::General(0)) }
    }

    pub(super) fn clear_interrupt_flag(&mut self) -> Result<(), Trap> {
        self.require_io_privilege()?;
        self.cpu.eflags &= !IF;
        Ok(())
    }

    pub(super) fn set_interrupt_flag(&mut self) -> Result<(), Trap> {
        self.require_io_privilege()?;
        self.cpu.shadow |= !self.cpu.flag(IF);
        self.cpu.eflags |= IF;
        Ok(())
    }

    pub(super) fn clear_task_switched(&mut self) -> Result<(), Trap> {
        self.require_ring_0()?;
        self.cpu.cr0 &= !control::TS;
        Ok(())
    }

    pub(super) fn halt(&mut self) -> Result<(), Trap> {
        self.require_ring_0()?;
        self.cpu.halted = true;
        Ok(())
    }

    pub(super) fn store_control(&mut self, reg: Reg, index: u8) -> Done {
        let value = match index {
            0 => self.cpu.cr0,
            2 => self.cpu.cr2,
            3 => self.cpu.cr3,
            4 if self.cpu.model > Model::I386 => self.cpu.cr4,
            _ => return Err(Trap::Undefined.into()),
        };
        self.require_ring_0()?;
        self.cpu.set_reg(reg, value);
        Ok(())
    }

    pub(super) fn load_control(&mut self, index: u8, reg: Reg) -> Done {
        let value = self.cpu.reg(reg);
        let exists = matches!(index, 0 | 2 | 3) || index == 4 && self.cpu.model > Model::I386;
        if !exists {
            return Err(Trap::Undefined.into());
        }
        self.require_ring_0()?;
        match index {
            0 => self.set_cr0(value)?,
            2 => self.cpu.cr2 = value,
            3 => self.cpu.cr3 = value,
            _ => {
                let of_pentium_iii = match self.cpu.model {
                    Model::PentiumIii => PGE | OSFXSR | OSXMMEXCPT,
                    _ => 0,
                };
                if value & !(TSD | DE | PSE | of_pentium_iii) != 0 {
                    return Err(Trap::General(0).into());
                }
                self.cpu.cr4 = value;
            }
        }
        Ok(())
    }

    pub(super) fn set_cr0(&mut self, value: u32) -> Done {
        let defined = if self.cpu.model == Model::I386 { 0x8000_001F } else { 0xE005_003F };
        let value = value & defined;
        const NW: u32 = 0x2000_0000;
        const CD: u32 = 0x4000_0000;
        let paging_alone = value & (control::PG | control::PE) == control::PG;
        if paging_alone || value & (NW | CD) == NW {
            return Err(Trap::General(0).into());
        }
        if value & control::PE == 0 {
            return Err(Exit::unsupported("leaving protected mode"));
        }
        self.cpu.cr0 = value | control::ET;
        Ok(())
    }

    /// The debug register that an encoding names.
    fn debug_register(&mut self, index: u8) -> Result<usize, Trap> {
        let index = match index {
            4 | 5 if self.cpu.cr4 & DE != 0 => return Err(Trap::Undefined),
            4 | 5 => index + 2,
            _ => index & 7,
        };
        self.require_ring_0()?;
        if self.cpu.dr[7] & GENERAL_DETECT != 0 {
            self.cpu.dr[6] |= DETECTED;
            return Err(Trap::Debug);
        }
        Ok(usize::from(index))
    }

    pub(super) fn store_debug(&mut self, reg: Reg, index: u8) -> Result<(), Trap> {
        let index = self.debug_register(index)?;
        self.cpu.set_reg(reg, self.cpu.dr[index]);
        Ok(())
    }

    pub(super) fn load_debug(&mut self, index: u8, reg: Reg) -> Result<(), Trap> {
        let index = self.debug_register(index)?;
        let value = self.cpu.reg(reg);
        self.cpu.dr[index] = match index {
            6 => value & 0x0000_E00F | 0xFFFF_0FF0,
            7 => value & 0xFFFF_27FF | 0x400,
            _ => value,
        };
        Ok(())
    }

    /// A processor of family 5 or 6 with what NT of that time asks for, and no MMX or SSE.
    pub(super) fn cpuid(&mut self) {
        const FPU: u32 = 1;
        const DEBUGGING: u32 = 1 << 2;
        const LARGE_PAGES: u32 = 1 << 3;
        const TSC: u32 = 1 << 4;
        const MSR: u32 = 1 << 5;
        const CX8: u32 = 1 << 8;
        const SEP: u32 = 1 << 11;
        const GLOBAL_PAGES: u32 = 1 << 13;
        const CMOV: u32 = 1 << 15;
        const FXSR: u32 = 1 << 24;
        let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
        let pentium = FPU | DEBUGGING | LARGE_PAGES | TSC | MSR | CX8;
        let (signature, features) = match self.cpu.model {
            Model::PentiumIii => (0x0673, pentium | SEP | GLOBAL_PAGES | CMOV | FXSR),
            Model::I386 | Model::Pentium => (0x0525, pentium),
        };
        let [eax, ecx, edx, ebx] = match self.cpu.reg(Reg::Eax) {
            0 => [1, word(b"ntel"), word(b"ineI"), word(b"Genu")],
            1 => [signature, 0, features, 0],
            _ => [0; 4],
        };
        self.cpu.set_reg(Reg::Eax, eax);
        self.cpu.set_reg(Reg::Ecx, ecx);
        self.cpu.set_reg(Reg::Edx, edx);
        self.cpu.set_reg(Reg::Ebx, ebx);
    }

    fn set_pair(&mut self, value: u64) {
        self.cpu.set_reg(Reg::Eax, value as u32);
        self.cpu.set_reg(Reg::Edx, (value >> 32) as u32);
    }

    /// RDTSC: the only clock that runs by itself is the count of instructions.
    pub(super) fn read_time(&mut self) -> Result<(), Trap> {
        if self.cpu.cr4 & TSD != 0 {
            self.require_ring_0()?;
        }
        self.set_pair(self.retired);
        Ok(())
    }

    /// Which of SYSENTER's registers ECX names.
    fn model_register(&self) -> Result<usize, Trap> {
        self.require_ring_0()?;
        match self.cpu.reg(Reg::Ecx) {
            msr @ 0x174..=0x176 if self.cpu.model == Model::PentiumIii => Ok(msr as usize - 0x174),
            _ => Err(Trap::General(0)),
        }
    }

    pub(super) fn read_msr(&mut self) -> Result<(), Trap> {
        let index = self.model_register()?;
        self.set_pair(self.cpu.sysenter[index].into());
        Ok(())
    }

    pub(super) fn write_msr(&mut self) -> Result<(), Trap> {
        let index = self.model_register()?;
        self.cpu.sysenter[index] = self.cpu.reg(Reg::Eax);
        Ok(())
    }
}
