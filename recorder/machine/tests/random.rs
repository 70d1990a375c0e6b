//! Random programs: a run always ends, and what is remembered of memory never shows.

mod common;

use common::{
    CODE0, CODE3, DATA0, DATA3, DOWN, GDT, HANDLERS, IDT, KERNEL, KERNEL_CODE, KERNEL_DATA, KERNEL_STACK,
    READ_ONLY, RW, SMALL, TSS, UNMAPPED, USER_CODE, USER_DATA, USER_STACK, World,
};
use machine::registers::flags;
use machine::{Machine, Pa, Reg, Stop, Until};
use proptest::prelude::*;

const BUDGET: u64 = 300;

/// Bytes that are more often instructions worth meeting than random ones are.
fn byte() -> impl Strategy<Value = u8> {
    let common = proptest::sample::select(vec![
        0x0F, 0x66, 0x67, 0xF3, 0xF2, 0x89, 0x8B, 0x01, 0x29, 0x50, 0x58, 0xA4, 0xA5, 0xAA, 0xAB, 0xEB, 0x74,
        0xC7, 0xCD, 0xCF, 0x8E, 0x1F, 0x9D, 0xFF, 0x83, 0x81, 0xD9, 0xDB, 0xDD, 0xC8, 0x60, 0x61, 0xE8, 0x22,
        0x20, 0x00, 0x04, 0x24, 0x2E,
    ]);
    prop_oneof![1 => any::<u8>(), 1 => common]
}

/// Register values that point at something: code, data, tables, page ends, selectors.
fn value() -> impl Strategy<Value = u32> {
    let places = proptest::sample::select(vec![
        USER_CODE,
        USER_CODE + 32,
        USER_DATA,
        USER_DATA + 0xFFE,
        UNMAPPED - 2,
        USER_STACK - 64,
        READ_ONLY,
        KERNEL_CODE,
        KERNEL_CODE + 32,
        KERNEL_DATA,
        KERNEL_STACK - 64,
        GDT,
        IDT,
        TSS,
        // The page directory, and the tables of the user's pages and of the kernel's.
        KERNEL + 0x1000,
        KERNEL + 0x1800,
        KERNEL + 0x3F000,
        1,
        5,
        0x174,
        CODE0.into(),
        DATA0.into(),
        CODE3.into(),
        DATA3.into(),
        SMALL.into(),
        DOWN.into(),
    ]);
    prop_oneof![3 => places, 1 => any::<u32>()]
}

#[derive(Clone, Debug)]
struct Program {
    ring3: bool,
    code: Vec<u8>,
    handlers: Vec<u8>,
    regs: [u32; 8],
    eflags: u32,
    cr0: u32,
    natives: bool,
    dr7: u32,
    /// Where a byte is written by the host in the middle, and which.
    poke: (u32, u8),
}

fn program() -> impl Strategy<Value = Program> {
    let code = proptest::collection::vec(byte(), 64..160);
    let handlers = proptest::collection::vec(byte(), 16);
    let regs = proptest::array::uniform8(value());
    let switches = (any::<bool>(), any::<u32>(), any::<u32>(), any::<bool>(), any::<u32>());
    let poke = (0u32..160, byte());
    (code, handlers, regs, switches, poke).prop_map(|(code, handlers, regs, switches, poke)| {
        let (ring3, eflags, cr0, natives, dr7) = switches;
        Program { ring3, code, handlers, regs, eflags, cr0, natives, dr7, poke }
    })
}

impl Program {
    fn machine(&self) -> Machine {
        let mut world = if self.ring3 { World::user() } else { World::new() };
        // Page tables that the program can reach.
        world.map(KERNEL + 0x80_000, 0x80_000, RW);
        world.map(KERNEL + 0x81_000, 0x81_000, RW);
        world.map(KERNEL + 0x82_000, 0x1_000, RW);
        world.poke(if self.ring3 { USER_CODE } else { KERNEL_CODE }, &self.code);
        for vector in 0..64 {
            world.poke(HANDLERS + vector * 16, &self.handlers);
        }
        if !self.natives {
            world.m.gates.kernel = 0..0;
        }
        let cpu = &mut world.m.cpu;
        let top = cpu.regs[Reg::Esp as usize];
        cpu.regs = self.regs;
        if self.eflags & 0x8000_0000 == 0 {
            cpu.regs[Reg::Esp as usize] = top;
        }
        let settable = flags::CF | flags::DF | flags::IOPL | flags::AC | flags::IF | flags::ZF;
        let rare = if self.eflags & 0x7000_0000 == 0 { flags::TF | flags::NT } else { 0 };
        cpu.eflags |= self.eflags & (settable | rare);
        cpu.cr0 ^= self.cr0 & 0x4_0008 & (self.cr0 >> 8);
        if self.dr7 & 0x300 == 0 {
            cpu.dr[0] = self.regs[3];
            cpu.dr[1] = USER_CODE + 7;
            cpu.dr[7] = self.dr7 & 0x00FF_000F | 0x400;
        }
        world.m
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn remembering_changes_nothing(program in program()) {
        let mut fast = program.machine();
        let mut slow = fast.clone();
        slow.set_caching(false);
        for round in 0..4 {
            let end = fast.retired + BUDGET;
            let stop = fast.run(&Until::budget(BUDGET));
            if stop == Stop::Budget && fast.retired < end {
                // It delivers exceptions without end; how many of them a run makes is not the same.
                break;
            }
            // The reference goes in pieces, which must not show either.
            let mut other = Stop::Budget;
            while other == Stop::Budget && slow.retired < end {
                other = slow.run(&Until::budget(7.min(end - slow.retired)));
            }
            prop_assert_eq!(&stop, &other);
            prop_assert_eq!(&fast.cpu, &slow.cpu);
            prop_assert_eq!(fast.memory.changed(&slow.memory), Vec::<u32>::new());
            if stop != Stop::Budget {
                break;
            }
            let page = if program.ring3 { 0x20_000 } else { 0x10_000 };
            for m in [&mut fast, &mut slow] {
                m.memory.write(Pa(page + program.poke.0), &[program.poke.1]);
                m.cpu.interrupt = Some(round * 60);
            }
        }
    }

    #[test]
    fn a_run_always_ends(bytes in proptest::collection::vec(any::<u8>(), 4096), regs: [u32; 8], eip in 0u32..4096) {
        let mut m = Machine::new(16);
        m.memory.write(Pa(0), &bytes);
        m.cpu.segments.iter_mut().for_each(|segment| {
            *segment = machine::Segment { selector: 8, base: 0, limit: u32::MAX, attributes: 0xC093 };
        });
        m.cpu.segments[1].attributes = 0xC09B;
        m.cpu.idtr = machine::Table { base: 0, limit: 0x7FF };
        m.cpu.gdtr = machine::Table { base: 0, limit: 0xFFF };
        m.cpu.regs = regs;
        m.cpu.eip = eip;
        m.run(&Until::budget(2000));
        prop_assert!(m.retired <= 2000);
        m.step();
    }
}
