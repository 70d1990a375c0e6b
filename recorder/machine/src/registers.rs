//! The processor's registers. All of them are state: saved, compared and restored with the machine.

use crate::x87::Fpu;
use serde::{Deserialize, Serialize};

/// A general register, by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Reg {
    Eax,
    Ecx,
    Edx,
    Ebx,
    Esp,
    Ebp,
    Esi,
    Edi,
}

/// A segment register, by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Seg {
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
}

/// EFLAGS bits.
#[allow(missing_docs)]
pub mod flags {
    pub const CF: u32 = 1;
    /// Bit 1 always reads as one.
    pub const ONE: u32 = 2;
    pub const PF: u32 = 4;
    pub const AF: u32 = 0x10;
    pub const ZF: u32 = 0x40;
    pub const SF: u32 = 0x80;
    pub const TF: u32 = 0x100;
    pub const IF: u32 = 0x200;
    pub const DF: u32 = 0x400;
    pub const OF: u32 = 0x800;
    pub const IOPL: u32 = 0x3000;
    pub const NT: u32 = 0x4000;
    pub const RF: u32 = 0x1_0000;
    pub const VM: u32 = 0x2_0000;
    pub const AC: u32 = 0x4_0000;
    pub const ID: u32 = 0x20_0000;
}

/// CR0 and CR4 bits.
#[allow(missing_docs)]
pub mod control {
    pub const PE: u32 = 1;
    pub const MP: u32 = 2;
    pub const EM: u32 = 4;
    pub const TS: u32 = 8;
    pub const ET: u32 = 0x10;
    pub const NE: u32 = 0x20;
    pub const WP: u32 = 0x1_0000;
    pub const AM: u32 = 0x4_0000;
    pub const PG: u32 = 0x8000_0000;
    /// CR4: RDTSC is for ring 0 only.
    pub const TSD: u32 = 4;
    /// CR4: debugging extensions, which take away the aliases DR4 and DR5.
    pub const DE: u32 = 8;
    /// CR4: pages of 4 MiB.
    pub const PSE: u32 = 0x10;
    /// CR4: global pages. A translation that is always up to date has nothing to keep for them.
    pub const PGE: u32 = 0x80;
    /// CR4: FXSAVE and FXRSTOR are supported by the system.
    pub const OSFXSR: u32 = 0x200;
    /// CR4: the system knows of SIMD exceptions.
    pub const OSXMMEXCPT: u32 = 0x400;
}

/// A segment register: the visible selector and the descriptor that was loaded with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The selector: index, table and RPL. 16 bits.
    pub selector: u16,
    /// The linear address of offset 0.
    pub base: u32,
    /// The highest valid offset (the lowest invalid one is one more; reversed for expand-down).
    pub limit: u32,
    /// Descriptor bits 40 to 55 without the limit's: access byte in bits 0 to 7 (type 0..3, S 4,
    /// DPL 5..6, P 7), AVL, L, D/B and G in bits 12 to 15. Zero: the segment is not usable.
    pub attributes: u16,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Linear address of the first descriptor.
    pub base: u32,
    /// Offset of the table's last byte.
    pub limit: u16,
}

/// The processor that a machine has: it says which instructions and which control bits exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Model {
    /// An i386 with its i387: no CR4, no CPUID, no alignment check, and no write protection in ring 0.
    I386,
    /// A Pentium, and so what the i486 added: BSWAP, XADD, CMPXCHG, CMPXCHG8B, CPUID, RDTSC, pages of
    /// 4 MiB. It has no CMOVcc, no SYSENTER and no FXSAVE.
    Pentium,
    /// A Pentium III, without its MMX and SSE registers.
    #[default]
    PentiumIii,
}

/// The registers of an i386 and of the later processors that NT of that time expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Which processor it is. It changes only when the host changes it.
    pub model: Model,
    /// General registers, indexed by [`Reg`].
    pub regs: [u32; 8],
    /// The instruction pointer: an offset in CS.
    pub eip: u32,
    /// EFLAGS; bit 1 is always set.
    pub eflags: u32,
    /// Segment registers, indexed by [`Seg`].
    pub segments: [Segment; 6],
    /// The local descriptor table register.
    pub ldtr: Segment,
    /// The task register.
    pub tr: Segment,
    /// The global descriptor table register.
    pub gdtr: Table,
    /// The interrupt descriptor table register.
    pub idtr: Table,
    /// Control register 0.
    pub cr0: u32,
    /// The address of the last page fault.
    pub cr2: u32,
    /// The physical address of the page directory.
    pub cr3: u32,
    /// Control register 4.
    pub cr4: u32,
    /// Debug registers; 4 and 5 are unused.
    pub dr: [u32; 8],
    /// SYSENTER_CS, SYSENTER_ESP and SYSENTER_EIP: MSRs 174 to 176.
    pub sysenter: [u32; 3],
    /// The external interrupt line: the vector that the interrupt controller wants to deliver.
    pub interrupt: Option<u8>,
    /// HLT was executed and no interrupt has come since.
    pub halted: bool,
    /// The instruction just executed was STI with IF clear, MOV SS or POP SS: interrupts (and for SS
    /// debug traps) wait for one more instruction.
    pub shadow: bool,
    /// DR6 bits of the data breakpoints that MOV SS or POP SS met: they trap after the next instruction.
    pub held: u32,
    /// The x87 floating-point unit.
    pub fpu: Fpu,
}

impl Cpu {
    /// A general register.
    pub fn reg(&self, reg: Reg) -> u32 {
        self.regs[reg as usize]
    }
    /// Sets a general register.
    pub fn set_reg(&mut self, reg: Reg, value: u32) {
        self.regs[reg as usize] = value;
    }
    /// A segment register.
    pub fn seg(&self, seg: Seg) -> &Segment {
        &self.segments[seg as usize]
    }
    /// The current privilege level: the DPL of SS is not consulted, the RPL of CS is. 0 to 3.
    pub fn cpl(&self) -> u8 {
        (self.segments[Seg::Cs as usize].selector & 3) as u8
    }
    /// ESP.
    pub fn esp(&self) -> u32 {
        self.regs[Reg::Esp as usize]
    }
    /// Whether a flag (or any of several) is set.
    pub fn flag(&self, mask: u32) -> bool {
        self.eflags & mask != 0
    }
    /// The linear address of the next instruction.
    pub fn next(&self) -> crate::Va {
        crate::Va(self.seg(Seg::Cs).base.wrapping_add(self.eip))
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Cpu {
            model: Model::default(),
            regs: [0; 8],
            eip: 0,
            eflags: flags::ONE,
            segments: [Segment::default(); 6],
            ldtr: Segment::default(),
            tr: Segment::default(),
            gdtr: Table::default(),
            idtr: Table::default(),
            cr0: control::PE | control::ET | control::NE,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            dr: [0, 0, 0, 0, 0, 0, 0xFFFF_0FF0, 0x400],
            sysenter: [0; 3],
            interrupt: None,
            halted: false,
            shadow: false,
            held: 0,
            fpu: Fpu::default(),
        }
    }
}
