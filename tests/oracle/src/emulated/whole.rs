//! A whole program on the machine, up to its first exception: an instruction at a time, which tells
//! what is undefined along the way, and in blocks, which must give the same machine.

use super::{HANDLERS, physical, prepare, put, state, unwind};
use crate::compare::{is_newer, is_port_string};
use crate::generate::touches_x87;
use crate::program::{Scene, judged};
use crate::undefined::operand;
use crate::{Bytes, CODE, Case, End, SYSTEM, State, decode, entry, in_signals, reads, sets, undefined};
use iced_x86::{Instruction, Mnemonic, OpKind};
use machine::{Gates, Machine, Pa, Stop, Until};

/// Selectors that Linux has and the machine does not: its 64-bit code, and data whose limit is the number
/// of the processor.
const SYSTEM_SEGMENTS: [u32; 2] = [0x30, 0x78];
/// The most instructions, or repetitions of one, in a program's run.
const MOST: u64 = 5000;

/// A program's run, on the machine or elsewhere.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The state at the end.
    pub state: State,
    /// The exception.
    pub end: End,
    /// What the code page holds at the end.
    pub page: Vec<u8>,
}

/// A program's run an instruction at a time.
pub struct Traced {
    /// What came of it.
    pub ran: Ran,
    /// The status flags that are undefined at the end.
    pub undefined: u32,
    /// The instruction that raised the exception, with the registers that it started from; no memory.
    pub last: Case,
    /// Its name.
    pub mnemonic: Mnemonic,
    /// Instructions executed, a repeated one counted by its repetitions.
    pub executed: u64,
}

/// Why a run cannot be compared as it is.
#[derive(Clone, Debug)]
pub enum Cut {
    /// The next instruction depends on what is undefined, or is not one to be judged: its linear address.
    At(u32),
    /// The machine does not do an instruction, and says which.
    Stopped(String),
    /// A repeated instruction overwrites itself.
    Itself,
    /// It reaches what belongs to a judge.
    Foreign,
    /// It takes too long.
    Endless,
}

/// The machine, ready to execute programs in ring 3, with and without blocks.
pub struct Whole {
    ready: Machine,
    plain: Machine,
    blocks: Machine,
}

impl Default for Whole {
    fn default() -> Self {
        let mut ready = prepare(true);
        ready.gates = Gates { kernel: HANDLERS..HANDLERS + 0x1000, user: 0..0 };
        let mut plain = ready.clone();
        plain.set_caching(false);
        Whole { plain, blocks: ready.clone(), ready }
    }
}

impl Whole {
    /// Runs a program without blocks, an instruction at a time.
    ///
    /// # Errors
    /// Why there is nothing to compare.
    pub fn trace(&mut self, scene: &Scene) -> Result<Traced, Cut> {
        start(&mut self.plain, &self.ready, scene);
        let m = &mut self.plain;
        let mut taint = 0;
        // The flags before the first of the repetitions that are under way.
        let mut before = None;
        for _ in 0..MOST {
            let (at, code) = next(m);
            let wide = entry(m.cpu.segments[1].selector).is_none_or(|entry| entry.wide);
            let instruction = decode(&code, wide);
            let mut case = Case { len: instruction.len(), code, start: registers(m) };
            case.start.eflags = before.take().unwrap_or(case.start.eflags);
            let mask = undefined(&instruction, &case);
            // AMD's processors check the port even if there is nothing to repeat.
            let choice = is_port_string(instruction.mnemonic()) && m.cpu.regs[1] & 0xFFFF == 0;
            // What the programs before left in the unit is not known.
            let unknown = scene.start.x87.is_none() && touches_x87(&instruction);
            let foreign = of_the_system(m, &instruction, &case);
            // What newer processors do, and programs of the time could not ask for.
            let newer = instruction.is_invalid() && is_newer(&case);
            let cut = choice || unknown || foreign || newer || mask.result || !judged(&instruction);
            if cut || reads(&instruction) & taint != 0 {
                return Err(Cut::At(at));
            }
            let retired = m.retired;
            match m.step() {
                Stop::Budget => {}
                stop => return Err(Cut::Stopped(named(&stop))),
            }
            let repeated = instruction.is_string_instruction() && m.cpu.eip == case.start.eip;
            before = repeated.then_some(case.start.eflags);
            if m.cpu.cpl() == 3 && repeated && !next(m).1.starts_with(&case.code[..case.len]) {
                return Err(Cut::Itself);
            }
            if m.retired != retired {
                taint = taint & !sets(&instruction, &case) | mask.flags;
            }
            if m.cpu.cpl() != 3 {
                let traced = traced(m, scene, taint, case, &instruction);
                return if touches_a_judge(&traced.ran) { Err(Cut::Foreign) } else { Ok(traced) };
            }
        }
        Err(Cut::Endless)
    }

    /// Runs the program that was just traced once more, in blocks, a number of instructions at a time.
    /// Says in what the machine differs then, if in anything.
    pub fn blocks(&mut self, scene: &Scene, piece: u64) -> Option<String> {
        start(&mut self.blocks, &self.ready, scene);
        let m = &mut self.blocks;
        for _ in 0..=MOST {
            match m.run(&Until::budget(piece)) {
                Stop::Budget => {}
                Stop::Native(_) => break,
                stop => return Some(named(&stop)),
            }
        }
        let plain = &self.plain;
        if m == plain {
            return None;
        }
        if m.cpu != plain.cpu {
            let state = |m: &Machine| format!("{:08X?} at {:08X}", m.cpu.regs, m.cpu.eip);
            return Some(match state(m) != state(plain) {
                true => format!("registers {} instead of {}", state(m), state(plain)),
                false => format!("{:?} instead of {:?}", m.cpu, plain.cpu),
            });
        }
        if m.retired != plain.retired {
            return Some(format!("{} instructions retired instead of {}", m.retired, plain.retired));
        }
        Some(format!("physical pages {:X?}", m.memory.changed(&plain.memory)))
    }
}

fn start(m: &mut Machine, ready: &Machine, scene: &Scene) {
    m.clone_from(ready);
    m.memory.write(physical(CODE), &scene.page);
    put(m, &scene.start);
}

/// Whether a segment is asked about that only the system has.
fn of_the_system(m: &Machine, instruction: &Instruction, case: &Case) -> bool {
    let asks = match instruction.mnemonic() {
        Mnemonic::Lar | Mnemonic::Lsl => 1,
        Mnemonic::Verr | Mnemonic::Verw => 0,
        _ => return false,
    };
    let selector = match instruction.op_kind(asks) {
        OpKind::Register => m.cpu.regs[instruction.op_register(asks).full_register32().number()] as u16,
        _ => {
            let at = operand(instruction, case, true);
            let byte = |n| at.and_then(|at| readable(m, at.wrapping_add(n)));
            let (Some(low), Some(high)) = (byte(0), byte(1)) else { return false };
            u16::from_le_bytes([low, high])
        }
    };
    SYSTEM_SEGMENTS.contains(&(u32::from(selector) & !3))
}

/// A byte of the code page or of the data.
fn readable(m: &Machine, at: u32) -> Option<u8> {
    let inside = at.wrapping_sub(CODE) < 0x1000 || Bytes::index(at).is_some();
    inside.then(|| {
        let mut byte = [0];
        let Pa(page) = physical(at & !0xFFF);
        m.memory.read(Pa(page | at & 0xFFF), &mut byte);
        byte[0]
    })
}

/// Whether a run ended at memory that a judge has to itself, at a segment that only its system has, or
/// with a stack pointer in the frames of its signals, which then have no room.
fn touches_a_judge(ran: &Ran) -> bool {
    let reached = match ran.end {
        End::Fault { vector: 14, address, .. } => address >= SYSTEM || in_signals(address),
        End::Fault { vector: 13, error, .. } => SYSTEM_SEGMENTS.contains(&error),
        _ => false,
    };
    reached || in_signals(ran.state.regs[4])
}

/// What a stop is, without where it was.
pub fn named(stop: &Stop) -> String {
    let why = match stop {
        Stop::Unsupported(what) => what.clone(),
        other => format!("{other:?}"),
    };
    why.split(" at EIP").next().unwrap_or(&why).to_owned()
}

/// The linear address of the next instruction, and its bytes as far as they can be fetched.
fn next(m: &Machine) -> (u32, Vec<u8>) {
    let at = m.cpu.segments[1].base.wrapping_add(m.cpu.eip);
    (at, (0..15).map_while(|n| readable(m, at.wrapping_add(n))).collect())
}

/// The registers alone.
fn registers(m: &Machine) -> State {
    State {
        regs: m.cpu.regs,
        eip: m.cpu.eip,
        eflags: m.cpu.eflags,
        selectors: m.cpu.segments.map(|segment| segment.selector),
        x87: None,
        bytes: Bytes(Vec::new()),
    }
}

fn traced(m: &Machine, scene: &Scene, undefined: u32, last: Case, instruction: &Instruction) -> Traced {
    let mut ended = m.clone();
    let end = unwind(&mut ended);
    let mut page = vec![0; scene.page.len()];
    ended.memory.read(physical(CODE), &mut page);
    let ran = Ran { state: state(&ended, &scene.start), end, page };
    Traced { ran, undefined, last, mnemonic: instruction.mnemonic(), executed: m.retired }
}
