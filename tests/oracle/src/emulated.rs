//! The machine in the same situation: ring 3, the same pages, the same descriptors, a step at a time.

mod tables;
mod whole;

use crate::{Bytes, CODE, Case, DATA, End, FLAGS, State, X87};
use machine::{Machine, Reg, Seg, Stop, Until, Va};
use tables::{HANDLERS, deny, physical, prepare};
pub use whole::{Cut, Ran, Traced, Whole, named};

const TF: u32 = 0x100;

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
        Emulated { ready: prepare(false) }
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
            deny(&mut m, page, denied);
        }
        m.memory.write(physical(CODE + offset(start)), &case.code);
        put(&mut m, start);
        m.cpu.eflags |= TF;
        for _ in 0..3 {
            match m.step() {
                Stop::Budget => {}
                stop => return Err(stop),
            }
            if m.cpu.cpl() != 3 {
                break;
            }
        }
        let end = match unwind(&mut m) {
            End::Fault { vector: 1, .. } => End::Done,
            end => end,
        };
        Ok((state(&m, start), end))
    }

    /// Runs a program from the start of the code page up to its INT3, with these registers and this data,
    /// which is at most the two pages.
    ///
    /// # Errors
    /// What ended it instead.
    pub fn run_table(&self, program: &[u8], start: [u32; 8], data: &mut [u8]) -> Result<(), Stop> {
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

/// Puts everything but the code.
fn put(m: &mut Machine, start: &State) {
    for (page, bytes) in start.bytes.0.chunks(0x1000).enumerate() {
        m.memory.write(physical(Bytes::address(page * 0x1000)), bytes);
    }
    m.cpu.regs = start.regs;
    m.cpu.eip = start.eip;
    m.cpu.eflags = start.eflags & FLAGS | 0x202;
    for (seg, selector) in SEGMENTS.into_iter().zip(start.selectors) {
        m.load_segment(seg, selector).expect("a selector that ring 3 can hold");
    }
    if let Some(x87) = &start.x87 {
        put_x87(m, x87);
    }
}

/// What a machine that came from `start` is in now.
fn state(m: &Machine, start: &State) -> State {
    let mut bytes = start.bytes.clone();
    for (page, bytes) in bytes.0.chunks_mut(0x1000).enumerate() {
        m.memory.read(physical(Bytes::address(page * 0x1000)), bytes);
    }
    State {
        regs: m.cpu.regs,
        eip: m.cpu.eip,
        eflags: m.cpu.eflags & FLAGS,
        selectors: m.cpu.segments.map(|segment| segment.selector),
        x87: start.x87.as_ref().map(|_| x87(m)),
        bytes,
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
    End::Fault { vector, error, address: if vector == 14 { m.cpu.cr2 } else { 0 } }
}
