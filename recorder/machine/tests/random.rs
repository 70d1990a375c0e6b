//! Random programs: a run always ends, and what is remembered of memory never shows.

mod common;

use common::{
    CODE0, CODE3, DATA0, DATA3, DOWN, GDT, HANDLERS, IDT, KERNEL, KERNEL_CODE, KERNEL_DATA, KERNEL_STACK,
    READ_ONLY, RW, SMALL, TSS, UNMAPPED, USER_CODE, USER_DATA, USER_STACK, World,
};
use machine::registers::flags;
use machine::{Apart, Machine, Memory, PAGE, Pa, Reg, Stop, Until};
use proptest::prelude::*;
use std::collections::BTreeMap;

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

/// Instructions that keep a program going, and that write to where EDI points: at its own code, often.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let near = 0u8..96;
    let alu =
        proptest::sample::select(vec![0x01u8, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85, 0x87, 0x8B]);
    let rewrite = (near.clone(), byte()).prop_map(|(at, new)| vec![0xC6, 0x47, at, new]);
    let change = (near.clone(), 0u8..8).prop_map(|(at, kind)| vec![0x80, 0x47 | kind << 3, at, 1]);
    let fixed = proptest::sample::select(vec![
        vec![0x90],
        vec![0x40],
        vec![0x4A],
        vec![0xAA],
        vec![0xA4],
        vec![0xAC],
        vec![0x50],
        vec![0x58],
        vec![0xF3, 0xAA],
        vec![0xCD, 0x2E],
        vec![0x0F, 0x31],
        vec![0x9C],
        vec![0x9D],
        vec![0x0F, 0x0B],
        // Control registers to and from EBX: the page directory, and WP.
        vec![0x0F, 0x20, 0xDB],
        vec![0x0F, 0x22, 0xDB],
        vec![0x0F, 0x20, 0xC3],
        vec![0x81, 0xF3, 0, 0, 1, 0, 0x0F, 0x22, 0xC3],
        vec![0xFB],
        vec![0x0F, 0xC1, 0x07],
    ]);
    prop_oneof![
        4 => (alu, 0xC0u8..0xE0).prop_map(|(op, operands)| vec![op, operands]),
        2 => rewrite,
        2 => change,
        2 => (near, 0u8..8).prop_map(|(at, reg)| vec![0x8B, 0x47 | reg << 3, at]),
        1 => (0x70u8..0x80, 0u8..12).prop_map(|(op, distance)| vec![op, distance]),
        3 => fixed,
    ]
}

/// A loop of such instructions.
fn living() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(instruction(), 8..30).prop_map(|instructions| {
        let mut code = instructions.concat();
        code.resize(124, 0x90);
        code.extend([0xEB, 0x82]);
        code
    })
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

/// The bytes of two memories that differ and lie in no line in which they are said to.
fn untold(new: &Memory, old: &Memory) -> Vec<Pa> {
    let told: BTreeMap<u32, u64> = new.apart(old).map(|page| (page.frame, page.lines)).collect();
    let differs = |at: &Pa| {
        let byte = |memory: &Memory| memory.page(at.frame()).map_or(0, |page| page[at.offset() as usize]);
        let lines = told.get(&at.frame()).copied().unwrap_or(0);
        lines & 1 << (at.offset() as usize / Apart::LINE) == 0 && byte(new) != byte(old)
    };
    let frames = new.changed(old).into_iter();
    frames.flat_map(|frame| frame * PAGE..(frame + 1) * PAGE).map(Pa).filter(differs).collect()
}

fn program() -> impl Strategy<Value = Program> {
    let code = prop_oneof![living(), proptest::collection::vec(byte(), 64..160)];
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
            // Some handlers go on behind what faulted.
            let skip: &[u8] = match vector {
                8 | 10..=14 | 17 => &[0x83, 0x44, 0x24, 0x04, 2, 0x83, 0xC4, 4, 0xCF],
                0..=19 => &[0x83, 0x04, 0x24, 2, 0xCF],
                _ => &[0xCF],
            };
            let handler = if self.code.len() == 126 { skip } else { &self.handlers };
            world.poke(HANDLERS + vector * 16, handler);
        }
        if !self.natives {
            world.m.gates.kernel = 0..0;
        }
        let cpu = &mut world.m.cpu;
        let top = cpu.regs[Reg::Esp as usize];
        cpu.regs = self.regs;
        if self.eflags & 0x8000_0000 == 0 {
            cpu.regs[Reg::Esp as usize] = top;
            cpu.regs[Reg::Edi as usize] = if self.ring3 { USER_CODE } else { KERNEL_CODE };
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

#[test]
fn a_memory_that_catches_up_forgets_the_instructions_that_it_held() {
    let mut world = World::new();
    // INC EAX, then a loop.
    world.poke(KERNEL_CODE, &[0x40, 0xEB, 0xFE]);
    let mut behind = world.m.clone();
    let start = world.m.cpu.clone();
    behind.memory.catch_up(&mut world.m.memory);
    for (code, eax) in [(0x40, 1), (0x48, u32::MAX), (0x90, 0), (0x40, 1)] {
        world.poke(KERNEL_CODE, &[code]);
        behind.memory.catch_up(&mut world.m.memory);
        behind.cpu = start.clone();
        behind.cpu.set_reg(Reg::Eax, 0);
        behind.run(&Until::budget(10));
        assert_eq!(behind.cpu.reg(Reg::Eax), eax);
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
    fn every_write_of_a_run_is_marked(program in program(), copies in any::<u8>(), pieces in 1u64..40) {
        let mut m = program.machine();
        let mut older = Memory::new(0);
        older.catch_up(&mut m.memory);
        let mut copy = None;
        for round in 0..8 {
            let stop = m.run(&Until::budget(pieces));
            prop_assert_eq!(untold(&m.memory, &older), []);
            if copies & 1 << round != 0 {
                copy = Some(m.clone());
            }
            if round % 2 == 0 {
                older.catch_up(&mut m.memory);
                prop_assert_eq!(m.memory.changed(&older), []);
            }
            if stop != Stop::Budget {
                break;
            }
        }
        drop(copy);
    }

    #[test]
    fn a_machine_that_was_put_back_runs_as_before(program in program()) {
        let original = program.machine();
        let mut m = original.clone();
        let first = m.run(&Until::budget(BUDGET));
        let end = m.clone();
        m.clone_from(&original);
        prop_assert_eq!(&m, &original);
        prop_assert_eq!(m.run(&Until::budget(BUDGET)), first);
        prop_assert_eq!(m, end);
    }

    #[test]
    fn an_instruction_that_faults_has_changed_nothing(program in program()) {
        let mut m = Program { ring3: true, natives: true, ..program }.machine();
        // Pages of which more is written than the program does: descriptors, page tables, the frame.
        let written_by_the_processor = |frame: &u32| matches!(frame, 1 | 2 | 6 | 0x80..=0x8F);
        for _ in 0..20 {
            m.cpu.eflags &= !flags::TF;
            let before = m.clone();
            if m.step() != Stop::Budget || m.retired != before.retired {
                continue;
            }
            let changed = m.memory.changed(&before.memory);
            prop_assert_eq!(changed.into_iter().find(|frame| !written_by_the_processor(frame)), None);
            let (new, old) = (&m.cpu, &before.cpu);
            let mut regs = new.regs;
            regs[Reg::Esp as usize] = old.regs[Reg::Esp as usize];
            prop_assert_eq!(regs, old.regs);
            let data = |cpu: &machine::Cpu| [cpu.segments[0], cpu.segments[3], cpu.segments[4], cpu.segments[5]];
            prop_assert_eq!(data(new), data(old));
            prop_assert_eq!(&new.fpu, &old.fpu);
            // The frame: EIP, CS, EFLAGS with RF, ESP and SS, above an error code or not.
            let mut raw = [0; 20];
            m.peek(m.cpu.cr3, machine::Va(KERNEL_STACK - 20), &mut raw).unwrap();
            let word = |n: usize| u32::from_le_bytes(raw[4 * n..4 * n + 4].try_into().unwrap());
            prop_assert_eq!([word(0), word(3)], [old.eip, old.regs[Reg::Esp as usize]]);
            prop_assert_eq!(word(2) | flags::RF, old.eflags | flags::RF);
            prop_assert_eq!([word(1), word(4)], [old.segments[1].selector.into(), old.segments[2].selector.into()]);
            // Go on behind it.
            m.cpu = old.clone();
            m.cpu.eip = m.cpu.eip.wrapping_add(1);
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
