//! Comparing what two judges say of one instruction.

use crate::intel;
use crate::undefined::operand;
use crate::{Bytes, CODE, Case, End, SYSTEM, State, Undefined, X87, entry, in_signals};
use iced_x86::{Decoder, DecoderError, DecoderOptions, MemorySize, Mnemonic};

/// The names of the general registers, by their encodings.
const REGS: [&str; 8] = ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"];
const SEGS: [&str; 6] = ["ES", "CS", "SS", "DS", "FS", "GS"];

/// The first thing in which the machine differs from the judge, if there is one. `undefined` counts
/// only after an instruction that was executed: a fault leaves nothing undefined.
pub fn difference(judge: &(State, End), machine: &(State, End), undefined: &Undefined) -> Option<String> {
    let (left, right) = (&judge.0, &machine.0);
    if fetched(judge.1) != machine.1 {
        return Some(format!("ends with {} instead of {}", end(machine.1), end(judge.1)));
    }
    let none = Undefined::default();
    let undefined = if judge.1 == End::Done { undefined } else { &none };
    if left.eip != right.eip {
        return Some(said("EIP", right.eip, left.eip));
    }
    if undefined.result {
        return None;
    }
    for (index, name) in REGS.iter().enumerate() {
        if left.regs[index] != right.regs[index] {
            return Some(said(name, right.regs[index], left.regs[index]));
        }
    }
    if (left.eflags ^ right.eflags) & !undefined.flags != 0 {
        let mask = undefined.flags;
        return Some(format!("{} (undefined: {mask:X})", said("EFLAGS", right.eflags, left.eflags)));
    }
    for (index, name) in SEGS.iter().enumerate() {
        if left.selectors[index] != right.selectors[index] {
            return Some(said(name, right.selectors[index].into(), left.selectors[index].into()));
        }
    }
    if let (Some(left), Some(right)) = (&left.x87, &right.x87)
        && let Some(what) = x87(left, right, undefined.status)
    {
        return Some(what);
    }
    let masked = |at: usize| undefined.bytes.iter().any(|(first, len)| at >= *first && at - first < *len);
    if left.bytes == right.bytes {
        return None;
    }
    let pairs = left.bytes.0.iter().zip(&right.bytes.0).enumerate();
    let (at, (judge, machine)) = pairs.into_iter().find(|(at, (a, b))| a != b && !masked(*at))?;
    let address = Bytes::address(at);
    Some(format!("byte {address:08X} is {machine:02X} instead of {judge:02X}"))
}

/// A page fault without the bit that says that it was a fetch, which only processors that can forbid
/// execution set.
fn fetched(end: End) -> End {
    match end {
        End::Fault { vector: 14, error, address } => End::Fault { vector: 14, error: error & !0x10, address },
        other => other,
    }
}

/// Why memory may differ after a fault.
pub const PARTIAL: &str = "AMD's processors keep some of several accesses when a later one faults";

const TABLES: &str = "a judge's own tables lie there";

/// Why the real processor is not to be asked about an instruction that ends so on the machine: the frame that
/// tells of a fault would have no room, and end the judge.
pub fn unjudged(machine: &(State, End)) -> Option<&'static str> {
    let (state, end) = machine;
    (*end != End::Done && in_signals(state.regs[4])).then_some(TABLES)
}

/// Whether an instruction that ended so may have made some of its accesses.
pub fn may_be_partial(end: End, mnemonic: Mnemonic) -> bool {
    makes_several_accesses(mnemonic) && matches!(end, End::Fault { vector: 10..=14 | 17, .. })
}

/// Why a disagreement is none, where the manuals leave it to the processor.
pub fn explained(
    judge: &(State, End),
    machine: &(State, End),
    mnemonic: Mnemonic,
    case: &Case,
) -> Option<&'static str> {
    let vector = |end| match end {
        End::Done => None,
        End::Fault { vector, .. } => Some(vector),
    };
    if let End::Fault { vector: 14, address, .. } = machine.1
        && (address >= SYSTEM || in_signals(address))
    {
        return Some(TABLES);
    }
    let place = |outcome: &(State, End)| (outcome.0.eip, fetched(outcome.1));
    if place(judge) != place(machine)
        && let Some(why) = intel::at_another_end(judge, machine, case)
    {
        return Some(why);
    }
    if fetched(judge.1) == machine.1 {
        let partial = may_be_partial(machine.1, mnemonic) && differs_by_parts(judge, machine, mnemonic);
        return partial.then_some(PARTIAL).or_else(|| intel::at_the_same_end(judge, machine, case));
    }
    let locked = case.code[..case.len.min(case.code.len())].contains(&0xF0);
    let several = |vector| matches!(vector, Some(10..=14 | 17));
    match (vector(judge.1), vector(machine.1)) {
        (Some(17), Some(14)) => Some("AMD's processors check alignment before the page, others after it"),
        (Some(12 | 13), Some(14 | 17)) if wraps(case) => {
            Some("whether an operand may go on at offset 0 is the processor's choice (SDM, volume 3, 5.3)")
        }
        (Some(13 | 14), Some(6)) if is_newer(case) && misses_the_next(judge.1, case) => {
            Some("the longer encodings of newer processors are fetched before they are refused")
        }
        (Some(13 | 14), Some(6)) if misses_the_next(judge.1, case) && is_cut_off(case) => {
            Some("AMD's processors fetch the whole of an instruction before they refuse its opcode")
        }
        (judge, machine) if several(judge) && several(machine) && makes_several_accesses(mnemonic) => {
            Some("which of several accesses faults first is the processor's choice")
        }
        (Some(13), None) if is_port_string(mnemonic) && case.start.regs[1] & 0xFFFF == 0 => {
            Some("AMD's processors check the port even if there is nothing to repeat")
        }
        (judge, Some(6)) if several(judge) && locked => {
            Some("AMD's processors read the operand before they refuse LOCK")
        }
        (_, Some(6)) if locked && matches!(mnemonic, Mnemonic::Verr | Mnemonic::Verw) => {
            Some("AMD's processors let LOCK pass before VERR and VERW")
        }
        (Some(6), Some(13 | 14))
            if case.code.windows(2).any(|two| two == [0x0F, 0xFF] || two == [0x0F, 0xB9]) =>
        {
            Some("AMD's processors fetch no operand of UD0 and UD1, Intel's newer ones do")
        }
        _ => None,
    }
}

/// Whether the two differ, and in nothing but memory and, after POPA, the registers.
fn differs_by_parts(judge: &(State, End), machine: &(State, End), mnemonic: Mnemonic) -> bool {
    let none = Undefined::default();
    let mut alike = machine.clone();
    alike.0.bytes = judge.0.bytes.clone();
    if matches!(mnemonic, Mnemonic::Popa | Mnemonic::Popad) {
        alike.0.regs = judge.0.regs;
    }
    difference(judge, machine, &none).is_some() && difference(judge, &alike, &none).is_none()
}

/// Whether an operand in memory goes beyond the last offset.
fn wraps(case: &Case) -> bool {
    let instruction = case.instruction();
    let size = instruction.memory_size().size() as u32;
    operand(&instruction, case, false).is_some_and(|offset| offset.checked_add(size.max(1) - 1).is_none())
}

/// Whether the first byte after the prefixes begins VEX, EVEX or XOP on newer processors.
pub(crate) fn is_newer(case: &Case) -> bool {
    let rest: Vec<&u8> = case.code.iter().skip_while(prefix).collect();
    matches!(rest.first(), Some(0x62 | 0x8F | 0xC4 | 0xC5))
}

/// Whether the judge's fault is of a fetch from where the code ends: the page behind it, or an offset
/// beyond the limit of its segment.
fn misses_the_next(judge: End, case: &Case) -> bool {
    const FETCH: u32 = 0x10;
    /// Bytes of the longest instruction.
    const LONGEST: u32 = 15;
    let segment = entry(case.start.selectors[1]);
    match judge {
        End::Fault { vector: 14, error, address } => error & FETCH != 0 && address == CODE + 0x1000,
        End::Fault { vector: 13, error: 0, .. } => {
            segment.is_some_and(|entry| entry.last().wrapping_sub(case.start.eip) < LONGEST)
        }
        _ => false,
    }
}

/// Whether an instruction of a group that has no member of its number has a member that would need more
/// bytes than there are.
fn is_cut_off(case: &Case) -> bool {
    let opcode = case.code.iter().take_while(prefix).count();
    let modrm = opcode + if case.code.get(opcode) == Some(&0x0F) { 2 } else { 1 };
    modrm < case.code.len()
        && (0..8).any(|number| {
            let mut code = case.code.clone();
            code[modrm] = code[modrm] & 0xC7 | number << 3;
            let bits = if case.is_wide() { 32 } else { 16 };
            let mut decoder = Decoder::new(bits, &code, DecoderOptions::NONE);
            let _ = decoder.decode();
            decoder.last_error() == DecoderError::NoMoreBytes
        })
}

fn prefix(byte: &&u8) -> bool {
    matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3)
}

/// Whether the judge differs in nothing but this: where the machine still has the pointers to the last
/// instruction and operand that were loaded, in the unit or in what FNSTENV and FNSAVE stored, the judge
/// has zeros for one of them or both. AMD's processors keep these pointers only for an exception that is
/// pending and not masked, so that a switch to another task and back, between the loading of the state and
/// the instruction, loses them (AMD APM, volume 2, section 11.4): the judge is to be asked again.
pub fn lost(judge: &(State, End), machine: &(State, End), case: &Case) -> bool {
    let start = &case.start;
    let instruction = case.instruction();
    let Some(loaded) = start.x87.as_ref().filter(|x87| x87.status & 0x80 == 0) else { return false };
    let mut alike = machine.clone();
    if let (Some(x87), Some(judged)) = (&mut alike.0.x87, &judge.0.x87) {
        if x87.instruction == loaded.instruction && judged.instruction == 0 {
            x87.instruction = 0;
        }
        if x87.operand == loaded.operand && judged.operand == 0 {
            x87.operand = 0;
        }
    }
    let stores = matches!(instruction.mnemonic(), Mnemonic::Fnstenv | Mnemonic::Fnsave);
    if let Some(image) = operand(&instruction, case, true).filter(|_| stores) {
        let pointers = match instruction.memory_size() {
            MemorySize::FpuEnv14 | MemorySize::FpuState94 => 6..14,
            _ => 12..28,
        };
        for index in pointers.filter_map(|at| Bytes::index(image.wrapping_add(at))) {
            if judge.0.bytes.0[index] == 0 {
                alike.0.bytes.0[index] = 0;
            }
        }
    }
    let none = Undefined::default();
    difference(judge, machine, &none).is_some() && difference(judge, &alike, &none).is_none()
}

/// INS and OUTS.
pub(crate) fn is_port_string(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic, Insb | Insw | Insd | Outsb | Outsw | Outsd)
}

/// Instructions that reach memory in more than one place, or in more than one piece, or that check
/// their target besides.
fn makes_several_accesses(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    is_port_string(mnemonic)
        || matches!(
            mnemonic,
            Cmpsb | Cmpsw | Cmpsd | Movsb | Movsw | Movsd | Call | Jmp | Retf | Iret | Iretd | Enter | Leave
        )
        || matches!(
            mnemonic,
            Pusha | Pushad | Popa | Popad | Push | Pop | Bound | Les | Lds | Lss | Lfs | Lgs
        )
        || matches!(mnemonic, Fxsave | Fxrstor | Fnsave | Frstor | Fnstenv | Fldenv | Cmpxchg8b | Ret)
        // Numbers of 80 bits are moved in two parts.
        || matches!(mnemonic, Fld | Fstp | Fbld | Fbstp)
}

fn x87(left: &X87, right: &X87, undefined: u16) -> Option<String> {
    let words = [
        ("x87 control", left.control, right.control),
        ("x87 status", left.status & !undefined, right.status & !undefined),
        ("x87 full registers", left.full.into(), right.full.into()),
    ];
    if let Some((what, judge, machine)) = words.into_iter().find(|(_, a, b)| a != b) {
        return Some(said(what, machine.into(), judge.into()));
    }
    if let Some(i) = (0..8).find(|i| left.st[*i] != right.st[*i]) {
        return Some(format!("ST({i}) is {} instead of {}", number(&right.st[i]), number(&left.st[i])));
    }
    // AMD's processors keep these two only for an exception that is not masked.
    if left.status & 0x80 == 0 {
        return None;
    }
    if left.instruction != right.instruction {
        return Some(said("x87 instruction offset", right.instruction, left.instruction));
    }
    (left.operand != right.operand).then(|| said("x87 operand offset", right.operand, left.operand))
}

/// An 80-bit number as sign and exponent, then mantissa.
pub fn number(raw: &[u8; 10]) -> String {
    let hex: String = raw.iter().rev().map(|byte| format!("{byte:02X}")).collect();
    format!("{}:{}", &hex[..4], &hex[4..])
}

fn said(what: &str, machine: u32, judge: u32) -> String {
    format!("{what} is {machine:08X} instead of {judge:08X}")
}

fn end(end: End) -> String {
    match end {
        End::Done => "no exception".into(),
        End::Fault { vector, error, address } => {
            format!("exception {vector}, error code {error:X}, at {address:08X}")
        }
    }
}
