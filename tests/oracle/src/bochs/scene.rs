//! The scene of the directed tests: a small machine with everything that the rules need.
//!
//! 1 MiB of physical memory, mapped at its own addresses below 4 MiB; flat segments for every ring; a
//! stack for every ring; an IDT whose every gate leads to a VMCALL of its own, which ends the test there.

use machine::image::Stubs;
use machine::image::asm::CodeAssembler;
use machine::registers::control;
use machine::{Machine, Pa, Reg, Seg, Segment, Table, Va};

/// Pages of physical memory.
pub const PAGES: u32 = 256;
/// The page directory, and the table of the first 4 MiB.
pub const DIRECTORY: u32 = 0x1000;
/// The page table of the first 4 MiB.
pub const PAGE_TABLE: u32 = 0x2000;
/// The global descriptor table.
pub const GDT: u32 = 0x3000;
/// The local descriptor table.
pub const LDT: u32 = 0x4000;
/// The interrupt descriptor table.
pub const IDT: u32 = 0x5000;
/// The 32-bit task-state segment.
pub const TSS: u32 = 0x6000;
/// A page that user code may not touch.
pub const SUPERVISOR_DATA: u32 = 0x3_0000;
/// A page that user code may read and write; the ones behind it as well.
pub const USER_DATA: u32 = 0x6_0000;
/// What a gate's handler is: VMCALL, at this place and 16 bytes further for each vector.
pub const HANDLERS: u32 = 0x1_2000;
/// Handlers that a test may write itself.
pub const OWN_HANDLER: u32 = 0x1_4000;

/// Selectors of the GDT.
pub mod selector {
    /// The task register's.
    pub const TSS: u16 = 0x48;
    /// The local table's.
    pub const LDT: u16 = 0x50;
    /// Free for tests: from here to 0xF8.
    pub const FREE: u16 = 0x58;
    /// The code segment of a ring.
    pub const fn code(ring: u8) -> u16 {
        0x08 + 0x10 * ring as u16 + ring as u16
    }
    /// The data and stack segment of a ring.
    pub const fn data(ring: u8) -> u16 {
        0x10 + 0x10 * ring as u16 + ring as u16
    }
}

/// Where the code of a ring's tests starts.
pub const fn code_at(ring: u8) -> u32 {
    if ring == 3 { 0x4_0000 } else { 0x1_0000 + 0x400 * ring as u32 }
}

/// The top of a ring's stack.
pub const fn stack_of(ring: u8) -> u32 {
    if ring == 3 { 0x5_8000 } else { 0x2_2000 + 0x2000 * ring as u32 }
}

/// A segment descriptor from its parts: access byte, and the flags G, D/B, L, AVL in bits 0 to 3.
pub fn descriptor(base: u32, limit: u32, access: u8, flags: u8) -> u64 {
    u64::from(limit & 0xFFFF)
        | u64::from(base & 0xFF_FFFF) << 16
        | u64::from(access) << 40
        | u64::from(limit >> 16 & 0xF) << 48
        | u64::from(flags) << 52
        | u64::from(base >> 24) << 56
}

/// A gate: type and rights in `access`; `count` is a call gate's.
pub fn gate(selector: u16, offset: u32, access: u8, count: u8) -> u64 {
    u64::from(offset & 0xFFFF)
        | u64::from(selector) << 16
        | u64::from(count) << 32
        | u64::from(access) << 40
        | u64::from(offset >> 16) << 48
}

/// A machine in the making: where a directed test starts.
#[derive(Clone)]
pub struct Scene {
    /// The machine.
    pub m: Machine,
}

impl Scene {
    /// The scene, before any test has touched it, in ring 0.
    pub fn base() -> Scene {
        let mut scene = Scene { m: Machine::new(PAGES) };
        scene.m.memory.write_u32(Pa(DIRECTORY), PAGE_TABLE | 0x67);
        for index in 0..PAGES {
            let user = if index >= 0x40 { 4 } else { 0 };
            scene.m.memory.write_u32(Pa(PAGE_TABLE + index * 4), index << 12 | 0x63 | user);
        }
        for ring in 0..4u8 {
            let rights = 0x90 | ring << 5;
            scene.set_descriptor(selector::code(ring), descriptor(0, 0xF_FFFF, rights | 0xB, 0xC));
            scene.set_descriptor(selector::data(ring), descriptor(0, 0xF_FFFF, rights | 0x3, 0xC));
        }
        scene.set_descriptor(selector::TSS, descriptor(TSS, 0x67, 0x8B, 0));
        scene.set_descriptor(selector::LDT, descriptor(LDT, 0xFF, 0x82, 0));
        for ring in 0..3 {
            scene.write_u32(TSS + 4 + 8 * u32::from(ring), stack_of(ring) - 0x800);
            scene.write_u32(TSS + 8 + 8 * u32::from(ring), selector::data(ring).into());
        }
        // No map of ports: its offset is the limit's.
        scene.write_u32(TSS + 0x64, 0x68 << 16);
        for vector in 0..=255u8 {
            scene.set_gate(vector, gate(selector::code(0), HANDLERS + 16 * u32::from(vector), 0xEE, 0));
            scene.write(HANDLERS + 16 * u32::from(vector), &VMCALL);
        }
        let (task, local) = (scene.segment(selector::TSS), scene.segment(selector::LDT));
        let cpu = &mut scene.m.cpu;
        cpu.gdtr = Table { base: GDT, limit: 0xFF };
        cpu.idtr = Table { base: IDT, limit: 0x7FF };
        cpu.cr0 = control::PE | control::ET | control::NE | control::WP | control::PG;
        cpu.cr3 = DIRECTORY;
        cpu.eflags = 0x202;
        (cpu.tr, cpu.ldtr) = (task, local);
        scene.enter(0);
        for (index, register) in
            [Reg::Eax, Reg::Ecx, Reg::Edx, Reg::Ebx, Reg::Ebp, Reg::Esi, Reg::Edi].into_iter().enumerate()
        {
            scene.m.cpu.set_reg(register, 0x1111_1111 * (index as u32 + 1));
        }
        scene
    }

    /// A copy of a scene, in a ring.
    pub fn in_ring(&self, ring: u8) -> Scene {
        let mut scene = self.clone();
        scene.enter(ring);
        scene
    }

    fn enter(&mut self, ring: u8) {
        let (code, data) = (self.segment(selector::code(ring)), self.segment(selector::data(ring)));
        self.m.cpu.segments = [data; 6];
        self.m.cpu.segments[Seg::Cs as usize] = code;
        self.m.cpu.set_reg(Reg::Esp, stack_of(ring));
        self.m.cpu.eip = code_at(ring);
    }

    /// What a segment register holds when a selector was loaded, whoever may load it.
    pub fn segment(&self, selector: u16) -> Segment {
        let raw = self.descriptor(selector);
        let limit = (raw & 0xFFFF) as u32 | (raw >> 32) as u32 & 0xF_0000;
        let attributes = (raw >> 40) as u16 & 0xF0FF;
        Segment {
            selector,
            base: (raw >> 16) as u32 & 0xFF_FFFF | (raw >> 32) as u32 & 0xFF00_0000,
            limit: if attributes & 0x8000 != 0 { limit << 12 | 0xFFF } else { limit },
            attributes,
        }
    }

    fn place(selector: u16) -> u32 {
        u32::from(selector & !7) + if selector & 4 != 0 { LDT } else { GDT }
    }

    /// The descriptor of a selector.
    pub fn descriptor(&self, selector: u16) -> u64 {
        let at = Self::place(selector);
        let half = |at| u64::from(self.m.memory.read_u32(Pa(at)));
        half(at) | half(at + 4) << 32
    }

    /// Puts a descriptor in its table.
    pub fn set_descriptor(&mut self, selector: u16, raw: u64) -> &mut Scene {
        self.write(Self::place(selector), &raw.to_le_bytes())
    }

    /// Puts a gate in the IDT.
    pub fn set_gate(&mut self, vector: u8, raw: u64) -> &mut Scene {
        self.write(IDT + 8 * u32::from(vector), &raw.to_le_bytes())
    }

    /// Writes physical memory, which is linear memory below 1 MiB.
    pub fn write(&mut self, at: u32, bytes: &[u8]) -> &mut Scene {
        for (index, byte) in bytes.iter().enumerate() {
            self.m.memory.write(Pa(at + index as u32), &[*byte]);
        }
        self
    }

    /// Writes a word of physical memory.
    pub fn write_u32(&mut self, at: u32, value: u32) -> &mut Scene {
        self.write(at, &value.to_le_bytes())
    }

    /// Changes the page-table entry of a page: bits to clear, and bits to set.
    pub fn page(&mut self, linear: u32, clear: u32, set: u32) -> &mut Scene {
        let at = PAGE_TABLE + (linear >> 12) * 4;
        let entry = self.m.memory.read_u32(Pa(at));
        self.write_u32(at, entry & !clear | set)
    }

    /// Sets a general register.
    pub fn reg(&mut self, reg: Reg, value: u32) -> &mut Scene {
        self.m.cpu.set_reg(reg, value);
        self
    }

    /// Pushes words on the stack, the first one first.
    pub fn push(&mut self, values: &[u32]) -> &mut Scene {
        for value in values {
            let esp = self.m.cpu.esp() - 4;
            self.m.cpu.set_reg(Reg::Esp, esp);
            self.write_u32(esp, *value);
        }
        self
    }

    /// Puts the code of the test at EIP, and a VMCALL behind it.
    ///
    /// # Panics
    /// When the code cannot be assembled.
    pub fn code(&mut self, write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> &mut Scene {
        let at = self.m.cpu.next().0;
        self.code_at(at, write)
    }

    /// Puts code at a place, and a VMCALL behind it.
    ///
    /// # Panics
    /// When the code cannot be assembled.
    pub fn code_at(&mut self, at: u32, write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> &mut Scene {
        let mut stubs = Stubs::new(Va(at));
        write(&mut stubs.asm).expect("the test's code can be assembled");
        let mut bytes = stubs.finish().expect("the test's code can be assembled").bytes;
        bytes.extend(VMCALL);
        self.write(at, &bytes)
    }

    /// Puts bytes at EIP, and a VMCALL behind them.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Scene {
        let at = self.m.cpu.next().0;
        self.write(at, &[bytes, &VMCALL].concat())
    }
}

/// What assembling a piece of a test gives.
pub type Assembled = Result<(), machine::image::AssembleError>;

/// VMCALL, which ends a test.
pub const VMCALL: [u8; 3] = [0x0F, 0x01, 0xC1];
