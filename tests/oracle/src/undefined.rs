//! What the manuals leave undefined, and is therefore not compared.
//!
//! The source for the status flags is the table of iced (`rflags_undefined`), which follows the Intel
//! SDM and the AMD APM, volume 3; for counts of shifts, which that table does not know, the entries of
//! RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD and SHRD in the SDM, volume 2.

use crate::{Bytes, Case, entry};
use iced_x86::{Instruction, Mnemonic, OpKind, Register, RflagsBits};

/// What is left out of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undefined {
    /// EFLAGS bits.
    pub flags: u32,
    /// Bits of the x87 status word.
    pub status: u16,
    /// Whether the result itself is undefined, so that only the end is compared.
    pub result: bool,
    /// Bytes of memory: first index and count.
    pub bytes: Vec<(usize, usize)>,
}

const CF: u32 = 1;
const AF: u32 = 0x10;
const OF: u32 = 0x800;
/// The status flags.
pub(crate) const ALL: u32 = 0x8D5;

/// The status flags among iced's flags, as bits of EFLAGS.
fn status(bits: u32) -> u32 {
    let table = [
        (RflagsBits::CF, CF),
        (RflagsBits::PF, 0x4),
        (RflagsBits::AF, AF),
        (RflagsBits::ZF, 0x40),
        (RflagsBits::SF, 0x80),
        (RflagsBits::OF, OF),
    ];
    table.iter().filter(|(bit, _)| bits & bit != 0).fold(0, |mask, (_, flag)| mask | flag)
}

/// The status flags on which an instruction depends.
pub fn reads(instruction: &Instruction) -> u32 {
    match instruction.mnemonic() {
        Mnemonic::Pushf | Mnemonic::Pushfd => ALL,
        _ => status(instruction.rflags_read()),
    }
}

/// The status flags that are surely others after an instruction: not those that it leaves as they were
/// when there was nothing to shift, or nothing to repeat.
pub fn sets(instruction: &Instruction, case: &Case) -> u32 {
    let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let nothing = match shift(instruction, case) {
        Some(shift) => shift.count == 0,
        None => repeats && case.start.regs[1] & 0xFFFF == 0,
    };
    if nothing { 0 } else { status(instruction.rflags_modified()) }
}

/// The mask of an instruction that was executed.
pub fn undefined(instruction: &Instruction, case: &Case) -> Undefined {
    let flags = status(instruction.rflags_undefined());
    let (flags, result) = counted(instruction, case).unwrap_or((flags, false));
    Undefined { flags, status: 0, result, bytes: images(instruction, case) }
}

/// Of FXSAVE's image: the last instruction and operand, which AMD's processors keep only for an
/// exception that is not masked; MXCSR's mask, which is the model's; and from byte 160 on what belongs
/// to registers that the machine does not have (AMD APM, volume 2, section 11.4).
fn images(instruction: &Instruction, case: &Case) -> Vec<(usize, usize)> {
    if instruction.mnemonic() != Mnemonic::Fxsave {
        return Vec::new();
    }
    let Some(operand) = operand(instruction, case, true) else { return Vec::new() };
    [(6, 18), (28, 4), (160, 352)]
        .into_iter()
        .flat_map(|(from, len)| (from..from + len).filter_map(|at| Bytes::index(operand.wrapping_add(at))))
        .map(|index| (index, 1))
        .collect()
}

/// The linear address of an instruction's operand in memory, or its offset in the segment.
pub(crate) fn operand(instruction: &Instruction, case: &Case, linear: bool) -> Option<u32> {
    let n = (0..instruction.op_count()).find(|n| instruction.op_kind(*n) == OpKind::Memory)?;
    let value = |register: Register| match register {
        Register::None => Some(0),
        _ if register.is_segment_register() => {
            if !linear {
                return Some(0);
            }
            let selector = case.start.selectors[register.number()];
            Some(entry(selector).map_or(0, |entry| entry.base).into())
        }
        _ => {
            let whole = case.start.regs[register.full_register32().number()];
            Some(if register.size() == 2 { u64::from(whole as u16) } else { whole.into() })
        }
    };
    instruction.virtual_address(n, 0, |register, _, _| value(register)).map(|at| at as u32)
}

/// A shift or rotation.
struct Shift {
    /// Bits to shift by, as the processor takes them: 0 to 31.
    count: u32,
    /// Bits of what is shifted.
    width: u32,
    rotates: bool,
    double: bool,
}

fn shift(instruction: &Instruction, case: &Case) -> Option<Shift> {
    use Mnemonic::*;
    let mnemonic = instruction.mnemonic();
    let rotates = matches!(mnemonic, Rol | Ror | Rcl | Rcr);
    let double = matches!(mnemonic, Shld | Shrd);
    if !rotates && !double && !matches!(mnemonic, Shl | Sal | Shr | Sar) {
        return None;
    }
    let last = instruction.op_count() - 1;
    let count = match instruction.op_kind(last) {
        OpKind::Register => case.start.regs[1] & 31,
        _ => u32::from(instruction.immediate8()) & 31,
    };
    let width = match instruction.op_kind(0) {
        OpKind::Register => instruction.op0_register().size() as u32 * 8,
        _ => instruction.memory_size().size() as u32 * 8,
    };
    Some(Shift { count, width, rotates, double })
}

/// Shifts and rotations: the undefined flags, and whether the result is undefined.
fn counted(instruction: &Instruction, case: &Case) -> Option<(u32, bool)> {
    let Shift { count, width, rotates, double } = shift(instruction, case)?;
    if double && count > width {
        return Some((ALL, true));
    }
    let flags = match (count, rotates) {
        (0, _) | (1, true) => 0,
        (1, false) => AF,
        (_, true) => OF,
        (_, false) => AF | OF,
    };
    let carry = if !rotates && count >= width { CF } else { 0 };
    Some((flags | carry, false))
}
