//! The machine in the same situation: ring 3, the same pages, the same descriptors, a step at a time.

use crate::{Bytes, CODE, CONSTANT, Case, DATA, End, FLAGS, FLAT_CODE, FLAT_DATA, LDT, NOTHING, State, X87};
use machine::{Machine, Pa, Reg, Seg, Segment, Stop, Table, Until, Va};

/// The machine's own tables, above everything that is judged. Their pages belong to ring 0.
const TABLES: u32 = 0xFFFF_0000;
const GDT: u32 = TABLES;
const LOCAL: u32 = TABLES + 0x200;
const TASK: u32 = TABLES + 0x400;
const IDT: u32 = TABLES + 0x1000;
const STACK_TOP: u32 = TABLES + 0x3000;
/// The first exception handler, which is never executed; vector n's lies 16 n further on.
const HANDLERS: u32 = TABLES + 0x4000;
const TF: u32 = 0x100;

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

fn physical(linear: u32) -> Pa {
    Pa(frame(linear).expect("an address of the layout"))
}

/// What is taken away from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is not present.
    Everything,
    /// It cannot be written.
    Writing,
}

/// The machine, ready to execute instructions in ring 3.
pub struct Emulated {
    ready: Machine,
}

impl Default for Emulated {
    fn default() -> Self {
        Emulated { ready: prepare() }
    }
}

impl Emulated {
    /// Executes one instruction (two, when the first holds off the step's trap) and says what came of
    /// it. After an exception the state is what the exception's frame holds.
    ///
    /// # Errors
    /// Why the machine stopped, where it does not do the instruction.
    pub fn step(&self, case: &Case) -> Result<(State, End), Stop> {
        self.step_denied(case, None)
    }

    /// The same, while something is taken away from one of the pages of data.
    ///
    /// # Errors
    /// As of [`Emulated::step`].
    pub fn step_denied(&self, case: &Case, denied: Option<(u32, Denied)>) -> Result<(State, End), Stop> {
        let start = &case.start;
        let mut m = self.ready.clone();
        if let Some((page, denied)) = denied {
            let bit = if denied == Denied::Everything { 1 } else { 2 };
            let table = m.memory.read_u32(Pa(DIRECTORY + (page >> 22) * 4)) & !0xFFF;
            let entry = Pa(table + (page >> 12 & 0x3FF) * 4);
            let rights = m.memory.read_u32(entry);
            m.memory.write_u32(entry, rights & !bit);
        }
        m.memory.write(physical(CODE + offset(start)), &case.code);
        for (page, bytes) in start.bytes.0.chunks(0x1000).enumerate() {
            m.memory.write(physical(Bytes::address(page * 0x1000)), bytes);
        }
        m.cpu.regs = start.regs;
        m.cpu.eip = start.eip;
        m.cpu.eflags = start.eflags & FLAGS | TF | 0x202;
        for (seg, selector) in SEGMENTS.into_iter().zip(start.selectors) {
            m.load_segment(seg, selector).expect("a selector that ring 3 can hold");
        }
        if let Some(x87) = &start.x87 {
            put_x87(&mut m, x87);
        }
        for _ in 0..3 {
            match m.step() {
                Stop::Budget => {}
                stop => return Err(stop),
            }
            if m.cpu.cpl() != 3 {
                break;
            }
        }
        let end = unwind(&mut m);
        let mut bytes = start.bytes.clone();
        for (page, bytes) in bytes.0.chunks_mut(0x1000).enumerate() {
            m.memory.read(physical(Bytes::address(page * 0x1000)), bytes);
        }
        let state = State {
            regs: m.cpu.regs,
            eip: m.cpu.eip,
            eflags: m.cpu.eflags & FLAGS,
            selectors: m.cpu.segments.map(|segment| segment.selector),
            x87: start.x87.as_ref().map(|_| x87(&m)),
            bytes,
        };
        Ok((state, end))
    }
}

impl Emulated {
    /// Runs a program from the start of the code page up to its INT3, with these registers and this data,
    /// which is at most the two pages.
    ///
    /// # Errors
    /// What ended it instead.
    pub fn run(&self, program: &[u8], start: [u32; 8], data: &mut [u8]) -> Result<(), Stop> {
        let mut m = self.ready.clone();
        m.memory.write(physical(CODE), program);
        for (page, bytes) in (DATA..).step_by(0x1000).zip(data.chunks(0x1000)) {
            m.memory.write(physical(page), bytes);
        }
        (m.cpu.regs, m.cpu.eip, m.cpu.eflags) = (start, CODE, 0x202);
        m.gates.kernel = HANDLERS..HANDLERS + 0x1000;
        match m.run(&Until::budget(1 << 24)) {
            Stop::Native(at) if at == Va(HANDLERS + 3 * 16) => {}
            other => return Err(other),
        }
        for (page, bytes) in (DATA..).step_by(0x1000).zip(data.chunks_mut(0x1000)) {
            m.memory.read(physical(page), bytes);
        }
        Ok(())
    }
}

/// Segments in the order in which they are loaded and listed.
const SEGMENTS: [Seg; 6] = [Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs];

/// How far the first instruction is from the start of the code page.
pub(crate) fn offset(start: &State) -> u32 {
    let base = crate::entry(start.selectors[Seg::Cs as usize]).map_or(0, |entry| entry.base);
    base.wrapping_add(start.eip).wrapping_sub(CODE)
}

/// Puts an x87 state into a machine.
pub fn put_x87(m: &mut Machine, x87: &X87) {
    let top = usize::from(x87.status >> 11 & 7);
    let fpu = &mut m.cpu.fpu;
    fpu.control = x87.control;
    fpu.status = x87.status;
    fpu.tag = 0;
    fpu.instruction = x87.instruction;
    fpu.operand = x87.operand;
    fpu.selector = u32::from(x87.opcode) << 16;
    fpu.operand_selector = 0;
    for (i, raw) in x87.st.iter().enumerate() {
        let index = (top + i) & 7;
        fpu.registers[index] = *raw;
        let full = x87.full >> index & 1 != 0;
        fpu.tag |= if full { tag(raw) } else { 3 } << (2 * index);
    }
}

/// What the tag word says of a register that is not empty: valid, zero or special.
fn tag(raw: &[u8; 10]) -> u16 {
    let exponent = u16::from_le_bytes([raw[8], raw[9]]) & 0x7FFF;
    match exponent {
        0 if raw[..8] == [0; 8] => 1,
        1..=0x7FFE if raw[7] & 0x80 != 0 => 0,
        _ => 2,
    }
}

fn x87(m: &Machine) -> X87 {
    let fpu = &m.cpu.fpu;
    let top = usize::from(fpu.status >> 11 & 7);
    X87 {
        control: fpu.control,
        status: fpu.status,
        full: (0..8).filter(|i| fpu.tag >> (2 * i) & 3 != 3).fold(0, |bits, i| bits | 1 << i),
        opcode: (fpu.selector >> 16 & 0x7FF) as u16,
        instruction: fpu.instruction,
        operand: fpu.operand,
        st: std::array::from_fn(|i| fpu.registers[(top + i) & 7]),
    }
}

/// Puts back what the exception's frame saved.
fn unwind(m: &mut Machine) -> End {
    if m.cpu.cpl() == 3 {
        return End::Done;
    }
    let vector = ((m.cpu.eip - HANDLERS) / 16) as u8;
    let coded = matches!(vector, 8 | 10..=14 | 17);
    let word = |m: &Machine, index: u32| m.memory.read_u32(physical(m.cpu.esp() + 4 * index));
    let error = if coded { word(m, 0) } else { 0 };
    let first = u32::from(coded);
    let saved: [u32; 5] = std::array::from_fn(|index| word(m, first + index as u32));
    let [eip, cs, eflags, esp, ss] = saved;
    m.cpu.eip = eip;
    m.cpu.eflags = eflags;
    m.cpu.set_reg(Reg::Esp, esp);
    m.cpu.segments[Seg::Cs as usize].selector = cs as u16;
    m.cpu.segments[Seg::Ss as usize].selector = ss as u16;
    if vector == 1 {
        return End::Done;
    }
    End::Fault { vector, error, address: if vector == 14 { m.cpu.cr2 } else { 0 } }
}

fn prepare() -> Machine {
    let mut m = Machine::new(32);
    let mut table = DIRECTORY;
    for (linear, rights) in MAPPED {
        let entry = DIRECTORY + (linear >> 22) * 4;
        if m.memory.read_u32(Pa(entry)) == 0 {
            table += 0x1000;
            m.memory.write_u32(Pa(entry), table | 0x67);
        }
        let page = (m.memory.read_u32(Pa(entry)) & !0xFFF) + (linear >> 12 & 0x3FF) * 4;
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
