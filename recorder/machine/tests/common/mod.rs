//! A small world for programs under test: two rings, paging, and a gate for every vector that stops
//! the machine.
#![allow(dead_code)]

use machine::image::{AssembleError, Stubs};
use machine::registers::control;
use machine::{Machine, Pa, Reg, Seg, Segment, Stop, Table, Until, Va};

pub use machine::image::asm::*;

/// Kernel memory: linear addresses from here on are the physical ones.
pub const KERNEL: u32 = 0x8000_0000;
pub const GDT: u32 = KERNEL + 0x2000;
pub const IDT: u32 = KERNEL + 0x3000;
pub const TSS: u32 = KERNEL + 0x4000;
/// The stack of ring 0: one page, with nothing mapped below.
pub const KERNEL_STACK: u32 = KERNEL + 0x7000;
pub const KERNEL_CODE: u32 = KERNEL + 0x10000;
pub const KERNEL_DATA: u32 = KERNEL + 0x11000;
/// Handler of vector v: this plus 16 v. Reaching it stops the machine.
pub const HANDLERS: u32 = KERNEL + 0x12000;

pub const USER_CODE: u32 = 0x0040_1000;
/// Two pages of data; nothing is mapped behind them.
pub const USER_DATA: u32 = 0x0040_2000;
pub const USER_STACK: u32 = 0x0013_0000;
pub const UNMAPPED: u32 = 0x0040_4000;
/// A page that ring 3 may read and not write.
pub const READ_ONLY: u32 = 0x0050_0000;

pub const CODE0: u16 = 0x08;
pub const DATA0: u16 = 0x10;
pub const CODE3: u16 = 0x1B;
pub const DATA3: u16 = 0x23;
pub const TASK: u16 = 0x28;
/// Ring 3 data, base USER_DATA, limit FFF.
pub const SMALL: u16 = 0x33;
pub const ABSENT: u16 = 0x3B;
pub const READONLY_SEGMENT: u16 = 0x43;
/// Expand-down data for ring 3: offsets above FFF are valid, base USER_DATA - 1000.
pub const DOWN: u16 = 0x4B;
/// A call gate to ring 0 with two parameters.
pub const CALL_GATE: u16 = 0x53;
/// The LDT, whose entry 0 is like SMALL.
pub const LDT: u16 = 0x58;
/// 16-bit code for ring 0.
pub const CODE16: u16 = 0x60;

pub const RW: u32 = 3;
pub const USER: u32 = 4;

const DIRECTORY: u32 = 0x1000;

/// A descriptor; `attributes` as in `Segment::attributes`.
pub fn descriptor(base: u32, limit: u32, attributes: u16) -> u64 {
    let (base, limit, attributes) = (u64::from(base), u64::from(limit), u64::from(attributes));
    limit & 0xFFFF
        | (base & 0xFF_FFFF) << 16
        | attributes << 40
        | (limit >> 16 & 0xF) << 48
        | (base >> 24) << 56
}

/// A gate; kind E is an interrupt gate, F a trap gate, C a call gate.
pub fn gate(selector: u16, offset: u32, kind: u16, dpl: u16, parameters: u32) -> u64 {
    let high = offset & 0xFFFF_0000 | u32::from(0x80 | dpl << 5 | kind) << 8 | parameters;
    u64::from(high) << 32 | u64::from(selector) << 16 | u64::from(offset & 0xFFFF)
}

pub struct World {
    pub m: Machine,
    tables: u32,
}

impl World {
    /// A machine in ring 0 that is about to execute KERNEL_CODE.
    pub fn new() -> World {
        let mut world = World { m: Machine::new(256), tables: 0x80 };
        for page in (0..0x40).filter(|page| *page != 5) {
            world.map(KERNEL + page * 0x1000, page * 0x1000, RW);
        }
        world.map(USER_CODE, 0x20000, RW | USER);
        world.map(USER_DATA, 0x21000, RW | USER);
        world.map(USER_DATA + 0x1000, 0x23000, RW | USER);
        world.map(USER_STACK - 0x1000, 0x22000, RW | USER);
        world.map(READ_ONLY, 0x24000, 1 | USER);
        world.tables();
        let cpu = &mut world.m.cpu;
        cpu.cr3 = DIRECTORY;
        cpu.cr0 |= control::PG | control::WP;
        cpu.gdtr = Table { base: GDT, limit: 0x7F };
        cpu.idtr = Table { base: IDT, limit: 0x7FF };
        world.m.load_segment(Seg::Cs, CODE0).unwrap();
        world.m.load_segment(Seg::Ss, DATA0).unwrap();
        for seg in [Seg::Ds, Seg::Es, Seg::Fs, Seg::Gs] {
            world.m.load_segment(seg, DATA3).unwrap();
        }
        world.m.load_task(TASK).unwrap();
        world.m.gates.kernel = HANDLERS..HANDLERS + 0x1000;
        world.m.cpu.eip = KERNEL_CODE;
        world.m.cpu.set_reg(Reg::Esp, KERNEL_STACK);
        world
    }

    /// A machine in ring 3 that is about to execute USER_CODE.
    pub fn user() -> World {
        let mut world = World::new();
        world.enter_user();
        world
    }

    pub fn enter_user(&mut self) {
        self.m.load_segment(Seg::Cs, CODE3).unwrap();
        self.m.load_segment(Seg::Ss, DATA3).unwrap();
        self.m.cpu.eip = USER_CODE;
        self.m.cpu.set_reg(Reg::Esp, USER_STACK);
    }

    fn tables(&mut self) {
        let gdt = [
            0,
            descriptor(0, 0xF_FFFF, 0xC09A),
            descriptor(0, 0xF_FFFF, 0xC092),
            descriptor(0, 0xF_FFFF, 0xC0FA),
            descriptor(0, 0xF_FFFF, 0xC0F2),
            descriptor(TSS, 0x87, 0x0089),
            descriptor(USER_DATA, 0xFFF, 0x40F2),
            descriptor(0, 0xFFF, 0x4072),
            descriptor(USER_DATA, 0xFFF, 0x40F0),
            descriptor(USER_DATA - 0x1000, 0xFFF, 0x40F6),
            gate(CODE0, KERNEL_CODE, 0xC, 3, 2),
            descriptor(GDT + 0x800, 7, 0x0082),
            descriptor(KERNEL_CODE, 0xFFFF, 0x009A),
        ];
        for (index, raw) in gdt.into_iter().enumerate() {
            self.physical64(0x2000 + index as u32 * 8, raw);
        }
        self.physical64(0x2800, descriptor(USER_DATA, 0xFFF, 0x40F2));
        for vector in 0..256 {
            let dpl = if matches!(vector, 3 | 4 | 0x2E | 0x2F) { 3 } else { 0 };
            let kind = if vector == 0x2F { 0xF } else { 0xE };
            let raw = gate(CODE0, HANDLERS + vector * 16, kind, dpl, 0);
            self.physical64(0x3000 + vector * 8, raw);
        }
        self.m.memory.write_u32(Pa(0x4004), KERNEL_STACK);
        self.m.memory.write_u32(Pa(0x4008), DATA0.into());
        // The I/O bitmap: ports 0 to F, of which 3 alone is allowed.
        self.m.memory.write_u32(Pa(0x4064), 0x0068_0000);
        self.m.memory.write_u32(Pa(0x4068), 0xFFFF_FFF7);
    }

    pub fn physical64(&mut self, at: u32, raw: u64) {
        self.m.memory.write(Pa(at), &raw.to_le_bytes());
    }

    /// The place of a page-table entry; makes the table where there is none.
    pub fn entry(&mut self, at: u32) -> Pa {
        let directory = Pa(DIRECTORY + (at >> 22) * 4);
        let mut upper = self.m.memory.read_u32(directory);
        if upper & 1 == 0 {
            upper = self.tables << 12 | RW | USER;
            self.tables += 1;
            self.m.memory.write_u32(directory, upper);
        }
        Pa((upper & !0xFFF) + (at >> 12 & 0x3FF) * 4)
    }

    pub fn map(&mut self, at: u32, to: u32, bits: u32) {
        let entry = self.entry(at);
        self.m.memory.write_u32(entry, to | bits);
    }

    /// Assembles code to a linear address.
    pub fn code(
        &mut self,
        at: u32,
        write: impl FnOnce(&mut CodeAssembler) -> Result<(), AssembleError>,
    ) -> &mut World {
        let mut stubs = Stubs::new(Va(at));
        write(&mut stubs.asm).unwrap();
        let code = stubs.finish().unwrap();
        self.poke(at, &code.bytes);
        self
    }

    pub fn poke(&mut self, at: u32, bytes: &[u8]) -> &mut World {
        self.m.poke(DIRECTORY, Va(at), bytes).unwrap();
        self
    }

    pub fn peek32(&self, at: u32) -> u32 {
        let mut raw = [0; 4];
        self.m.peek(DIRECTORY, Va(at), &mut raw).unwrap();
        u32::from_le_bytes(raw)
    }

    pub fn run(&mut self) -> Stop {
        self.m.run(&Until::budget(10_000))
    }

    pub fn reg(&self, reg: Reg) -> u32 {
        self.m.cpu.reg(reg)
    }

    pub fn seg(&self, seg: Seg) -> Segment {
        *self.m.cpu.seg(seg)
    }

    /// Doublewords from ESP on.
    pub fn stack<const N: usize>(&self) -> [u32; N] {
        let top = self.m.cpu.esp();
        std::array::from_fn(|index| self.peek32(top + 4 * index as u32))
    }
}

/// The stop at the handler of a vector.
pub fn handler(vector: u32) -> Stop {
    Stop::Native(Va(HANDLERS + vector * 16))
}
