//! A processor state as the monitor's words, and as what is compared.

use super::layout::WORDS;
use machine::x87::Fpu;
use machine::{Cpu, Segment, Table};

// Places of words. Selectors, bases, limits and rights are those of ES, CS, SS, DS, FS, GS, LDTR, TR.
const ESP: usize = 8;
const EIP: usize = 9;
const EFLAGS: usize = 10;
const SELECTORS: usize = 11;
const BASES: usize = 19;
const LIMITS: usize = 27;
const RIGHTS: usize = 35;
const GDTR: usize = 43;
const IDTR: usize = 45;
const CR0: usize = 47;
const CR3: usize = 48;
const CR4: usize = 49;
const CR0_SEEN: usize = 50;
const CR4_SEEN: usize = 51;
const DR7: usize = 52;
const SYSENTER: usize = 53;
const SHADOW: usize = 56;
const EVENT: usize = 59;
const REASON: usize = 62;
const QUALIFICATION: usize = 63;
const CR2: usize = 65;
const DR0: usize = 66;
const DR6: usize = 70;

/// The bits that the guest may not have otherwise, and sees as it wants them.
const NE: u32 = 0x20;
const VMXE: u32 = 0x2000;
/// Access rights: the segment register holds nothing that can be used.
const UNUSABLE: u32 = 0x1_0000;

/// A state as the monitor's words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Words(pub [u32; WORDS]);

/// How many values are compared.
pub const VALUES: usize = 61;

/// What is compared, in the order of [`NAMES`].
pub type Values = [u32; VALUES];

/// The names of what is compared.
pub const NAMES: [&str; VALUES] = [
    "eax",
    "ecx",
    "edx",
    "ebx",
    "esp",
    "ebp",
    "esi",
    "edi",
    "eip",
    "eflags", //
    "es",
    "es.base",
    "es.limit",
    "es.rights",
    "cs",
    "cs.base",
    "cs.limit",
    "cs.rights", //
    "ss",
    "ss.base",
    "ss.limit",
    "ss.rights",
    "ds",
    "ds.base",
    "ds.limit",
    "ds.rights", //
    "fs",
    "fs.base",
    "fs.limit",
    "fs.rights",
    "gs",
    "gs.base",
    "gs.limit",
    "gs.rights", //
    "ldtr",
    "ldtr.base",
    "ldtr.limit",
    "ldtr.rights",
    "tr",
    "tr.base",
    "tr.limit",
    "tr.rights", //
    "gdtr.base",
    "gdtr.limit",
    "idtr.base",
    "idtr.limit",
    "cr0",
    "cr2",
    "cr3",
    "cr4", //
    "dr0",
    "dr1",
    "dr2",
    "dr3",
    "dr6",
    "dr7",
    "sysenter_cs",
    "sysenter_esp",
    "sysenter_eip",
    "shadow", //
    "halted",
];

/// The place of EFLAGS among the values.
pub const EFLAGS_VALUE: usize = 9;
/// The place of the interrupt shadow among the values.
pub const SHADOW_VALUE: usize = 59;
/// The place of DR6 among the values.
pub const DR6_VALUE: usize = 54;

fn usable(segment: &Segment) -> bool {
    segment.attributes & 0x80 != 0
}

/// What is compared, of a processor.
pub fn values(cpu: &Cpu) -> Values {
    let mut out = [0; VALUES];
    out[..8].copy_from_slice(&cpu.regs);
    out[8] = cpu.eip;
    out[9] = cpu.eflags;
    let segments = cpu.segments.iter().chain([&cpu.ldtr, &cpu.tr]);
    for (four, segment) in out[10..42].chunks_exact_mut(4).zip(segments) {
        four[0] = segment.selector.into();
        if usable(segment) {
            four[1..].copy_from_slice(&[segment.base, segment.limit, segment.attributes.into()]);
        }
    }
    let tables = [cpu.gdtr.base, cpu.gdtr.limit.into(), cpu.idtr.base, cpu.idtr.limit.into()];
    out[42..46].copy_from_slice(&tables);
    out[46..50].copy_from_slice(&[cpu.cr0, cpu.cr2, cpu.cr3, cpu.cr4]);
    out[50..54].copy_from_slice(&cpu.dr[..4]);
    out[54..56].copy_from_slice(&cpu.dr[6..]);
    out[56..59].copy_from_slice(&cpu.sysenter);
    out[59] = cpu.shadow.into();
    out[60] = cpu.halted.into();
    out
}

impl Words {
    /// The words that load a state. A pending external interrupt that may be taken is taken at once.
    pub fn of(cpu: &Cpu) -> Words {
        let mut w = [0; WORDS];
        w[..8].copy_from_slice(&cpu.regs);
        w[ESP] = cpu.esp();
        w[EIP] = cpu.eip;
        w[EFLAGS] = cpu.eflags;
        let mut segments: Vec<Segment> = cpu.segments.to_vec();
        segments.push(cpu.ldtr);
        // A virtual machine cannot be without a task register; one with no room serves nobody.
        let none = Segment { attributes: 0x8B, ..Segment::default() };
        segments.push(if usable(&cpu.tr) { cpu.tr } else { none });
        for (index, segment) in segments.iter().enumerate() {
            w[SELECTORS + index] = segment.selector.into();
            w[RIGHTS + index] = UNUSABLE;
            if usable(segment) {
                w[BASES + index] = segment.base;
                w[LIMITS + index] = segment.limit;
                w[RIGHTS + index] = segment.attributes.into();
            }
        }
        w[GDTR..GDTR + 2].copy_from_slice(&[cpu.gdtr.base, cpu.gdtr.limit.into()]);
        w[IDTR..IDTR + 2].copy_from_slice(&[cpu.idtr.base, cpu.idtr.limit.into()]);
        w[CR0] = cpu.cr0 | NE;
        w[CR3] = cpu.cr3;
        w[CR4] = cpu.cr4 | VMXE;
        w[CR0_SEEN] = cpu.cr0;
        w[CR4_SEEN] = cpu.cr4;
        w[DR7] = cpu.dr[7];
        w[SYSENTER..SYSENTER + 3].copy_from_slice(&cpu.sysenter);
        let enabled = cpu.flag(machine::registers::flags::IF);
        w[SHADOW] = match (cpu.shadow, enabled) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
        if let Some(vector) = cpu.interrupt
            && enabled
            && !cpu.shadow
        {
            w[EVENT] = 1 << 31 | u32::from(vector);
        }
        w[CR2] = cpu.cr2;
        w[DR0..DR0 + 4].copy_from_slice(&cpu.dr[..4]);
        w[DR6] = cpu.dr[6];
        Words(w)
    }

    /// The processor, without its x87 unit.
    pub fn cpu(&self) -> Cpu {
        let w = &self.0;
        let mut cpu = Cpu { eip: w[EIP], eflags: w[EFLAGS], ..Cpu::default() };
        cpu.regs.copy_from_slice(&w[..8]);
        cpu.regs[4] = w[ESP];
        let segment = |index: usize| match w[RIGHTS + index] & UNUSABLE {
            0 => Segment {
                selector: w[SELECTORS + index] as u16,
                base: w[BASES + index],
                limit: w[LIMITS + index],
                attributes: w[RIGHTS + index] as u16,
            },
            _ => Segment { selector: w[SELECTORS + index] as u16, ..Segment::default() },
        };
        cpu.segments = std::array::from_fn(segment);
        cpu.ldtr = segment(6);
        cpu.tr = segment(7);
        cpu.gdtr = Table { base: w[GDTR], limit: w[GDTR + 1] as u16 };
        cpu.idtr = Table { base: w[IDTR], limit: w[IDTR + 1] as u16 };
        cpu.cr0 = w[CR0] & !NE | w[CR0_SEEN] & NE;
        cpu.cr2 = w[CR2];
        cpu.cr3 = w[CR3];
        cpu.cr4 = w[CR4] & !VMXE | w[CR4_SEEN] & VMXE;
        cpu.dr[..4].copy_from_slice(&w[DR0..DR0 + 4]);
        cpu.dr[6] = w[DR6];
        cpu.dr[7] = w[DR7];
        cpu.sysenter.copy_from_slice(&w[SYSENTER..SYSENTER + 3]);
        cpu.shadow = w[SHADOW] & 3 != 0;
        cpu.interrupt = (w[EVENT] >> 31 != 0).then_some(w[EVENT] as u8);
        cpu
    }

    /// What is compared.
    pub fn values(&self) -> Values {
        values(&self.cpu())
    }

    /// Why the guest came back.
    pub fn reason(&self) -> Reason {
        let event = self.0[QUALIFICATION];
        match self.0[REASON] {
            2 => Reason::Shutdown,
            7 => Reason::Window,
            9 => Reason::TaskSwitch,
            10 => Reason::CpuId,
            12 => Reason::Halt,
            13 => Reason::Caches,
            28 => Reason::Control,
            18 => Reason::Call,
            30 => Reason::Port,
            37 => Reason::Step,
            48 => Reason::BeyondMemory,
            52 => Reason::Endless,
            other => Reason::Other(other, event),
        }
    }
}

/// Why the guest came back to the monitor: numbers of Intel's manual, volume 3, appendix C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A step was done.
    Step,
    /// VMCALL, which ends a test.
    Call,
    /// A fault while a double fault was delivered.
    Shutdown,
    /// HLT is about to be executed.
    Halt,
    /// A task switch is about to be made.
    TaskSwitch,
    /// CPUID is about to be executed.
    CpuId,
    /// INVD is about to be executed.
    Caches,
    /// A bit of CR0 or CR4 that a virtual machine may not have otherwise is about to be changed.
    Control,
    /// A port is about to be used, with the right to do so.
    Port,
    /// An external interrupt would be taken now.
    Window,
    /// An access beyond the guest's physical memory.
    BeyondMemory,
    /// It ran for too long.
    Endless,
    /// Another reason, and its qualification.
    Other(u32, u32),
}

/// The image for FXRSTOR that holds an x87 state.
pub fn float_image(fpu: &Fpu) -> [u8; 512] {
    let mut raw = [0; 512];
    let top = usize::from(fpu.status >> 11 & 7);
    raw[0..2].copy_from_slice(&fpu.control.to_le_bytes());
    raw[2..4].copy_from_slice(&fpu.status.to_le_bytes());
    raw[4] = (0..8).filter(|index| fpu.tag >> (index * 2) & 3 != 3).fold(0, |bits, index| bits | 1 << index);
    raw[6..8].copy_from_slice(&((fpu.selector >> 16) as u16).to_le_bytes());
    raw[8..12].copy_from_slice(&fpu.instruction.to_le_bytes());
    raw[12..14].copy_from_slice(&(fpu.selector as u16).to_le_bytes());
    raw[16..20].copy_from_slice(&fpu.operand.to_le_bytes());
    raw[20..22].copy_from_slice(&fpu.operand_selector.to_le_bytes());
    raw[24..28].copy_from_slice(&fpu.mxcsr.to_le_bytes());
    for index in 0..8 {
        let start = 32 + 16 * index;
        raw[start..start + 10].copy_from_slice(&fpu.registers[(top + index) & 7]);
    }
    raw
}

/// The x87 state of an image; tags are made from what the registers hold.
pub fn float_of(raw: &[u8; 512]) -> Fpu {
    let word = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
    let dword = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
    let mut fpu = Fpu {
        control: word(0),
        status: word(2),
        tag: 0,
        instruction: dword(8),
        selector: u32::from(word(12)) | u32::from(word(6)) << 16,
        operand: dword(16),
        operand_selector: word(20),
        mxcsr: dword(24),
        ..Fpu::default()
    };
    let top = usize::from(fpu.status >> 11 & 7);
    for index in 0..8 {
        let start = 32 + 16 * index;
        fpu.registers[(top + index) & 7].copy_from_slice(&raw[start..start + 10]);
    }
    for index in 0..8 {
        let register = &fpu.registers[index];
        let exponent = u16::from_le_bytes([register[8], register[9]]) & 0x7FFF;
        let zero = register[..8].iter().all(|byte| *byte == 0);
        let kind = match exponent {
            _ if raw[4] >> index & 1 == 0 => 3,
            0 if zero => 1,
            1..0x7FFF if register[7] & 0x80 != 0 => 0,
            _ => 2,
        };
        fpu.tag |= kind << (index * 2);
    }
    fpu
}
