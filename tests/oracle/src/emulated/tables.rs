//! The machine's tables: page tables, descriptors, interrupt gates, and a task for the ring 0 stack.

use crate::{CODE, CONSTANT, DATA, FLAT_CODE, FLAT_DATA, LDT, NOTHING};
use machine::{Machine, Pa, Seg, Segment, Table};

/// The machine's own tables, above everything that is judged. Their pages belong to ring 0.
const TABLES: u32 = 0xFFFF_0000;
const GDT: u32 = TABLES;
const LOCAL: u32 = TABLES + 0x200;
const TASK: u32 = TABLES + 0x400;
const IDT: u32 = TABLES + 0x1000;
const STACK_TOP: u32 = TABLES + 0x3000;
/// The first exception handler, which is never executed; vector n's lies 16 n further on.
pub(super) const HANDLERS: u32 = TABLES + 0x4000;

/// Physical pages: directory, three page tables, then the mapped pages in the order of [`MAPPED`].
const DIRECTORY: u32 = 0x1000;
const MAPPED: [(u32, u32); 11] = [
    (CODE, 5),
    (DATA, 7),
    (DATA + 0x1000, 7),
    (CONSTANT, 5),
    (TABLES, 3),
    (TABLES + 0x1000, 3),
    (TABLES + 0x2000, 3),
    (TABLES + 0x3000, 3),
    (TABLES + 0x4000, 3),
    (TABLES + 0x5000, 3),
    (TABLES + 0x6000, 3),
];

fn frame(linear: u32) -> Option<u32> {
    let index = MAPPED.iter().position(|(page, _)| *page == linear & !0xFFF)? as u32;
    Some((8 + index) << 12 | linear & 0xFFF)
}

pub(super) fn physical(linear: u32) -> Pa {
    Pa(frame(linear).expect("an address of the layout"))
}

/// A machine in ring 3 with the layout's pages and descriptors. `open`: it may write to its code.
pub(super) fn prepare(open: bool) -> Machine {
    let mut m = Machine::new(32);
    let mut table = DIRECTORY;
    for (linear, rights) in MAPPED {
        let entry = DIRECTORY + (linear >> 22) * 4;
        if m.memory.read_u32(Pa(entry)) == 0 {
            table += 0x1000;
            m.memory.write_u32(Pa(entry), table | 0x67);
        }
        let page = (m.memory.read_u32(Pa(entry)) & !0xFFF) + (linear >> 12 & 0x3FF) * 4;
        let rights = if open && linear == CODE { rights | 2 } else { rights };
        m.memory.write_u32(Pa(page), physical(linear).0 | rights | 0x60);
    }
    m.memory.write(physical(CODE), &[NOTHING; 0x1000]);
    // The descriptors that Linux has where ring 3 can name them.
    let descriptors: [(u32, u64); 5] = [
        (0x08, 0x00CF_9B00_0000_FFFF),
        (0x10, 0x00AF_9B00_0000_FFFF),
        (0x18, 0x00CF_9300_0000_FFFF),
        (0x20, 0x00CF_FB00_0000_FFFF),
        (0x28, 0x00CF_F300_0000_FFFF),
    ];
    for (selector, raw) in descriptors {
        m.memory.write(physical(GDT + selector), &raw.to_le_bytes());
    }
    for (index, entry) in LDT.iter().enumerate() {
        let raw = entry.map_or(0, |entry| entry.raw());
        m.memory.write(physical(LOCAL + 8 * index as u32), &raw.to_le_bytes());
    }
    let put = |m: &mut Machine, at: u32, value: u32| m.memory.write_u32(physical(at), value);
    put(&mut m, TASK + 4, STACK_TOP);
    put(&mut m, TASK + 8, 0x18);
    // The I/O map lies beyond the limit: every port is refused.
    put(&mut m, TASK + 0x64, 0x0068_0000);
    for vector in 0..256 {
        let handler = HANDLERS + 16 * vector;
        let rights = if matches!(vector, 3 | 4 | 0x80) { 0xEE00 } else { 0x8E00 };
        put(&mut m, IDT + vector * 8, 0x0008_0000 | handler & 0xFFFF);
        put(&mut m, IDT + vector * 8 + 4, handler & 0xFFFF_0000 | rights);
    }
    use machine::registers::control::{AM, MP, PG, WP};
    m.cpu.gdtr = Table { base: GDT, limit: 0x7F };
    m.cpu.idtr = Table { base: IDT, limit: 0x7FF };
    m.cpu.ldtr = Segment { selector: 0x50, base: LOCAL, limit: 8 * LDT.len() as u32 - 1, attributes: 0x82 };
    m.cpu.tr = Segment { selector: 0x40, base: TASK, limit: 0x67, attributes: 0x8B };
    m.cpu.cr3 = DIRECTORY;
    m.cpu.cr0 |= PG | WP | MP | AM;
    m.cpu.cr4 |= machine::registers::control::OSFXSR;
    m.load_segment(Seg::Cs, FLAT_CODE).expect("a code descriptor");
    for seg in [Seg::Ss, Seg::Ds, Seg::Es] {
        m.load_segment(seg, FLAT_DATA).expect("a data descriptor");
    }
    m
}
