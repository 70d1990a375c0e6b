//! What the manuals leave undefined, and is therefore not compared.
//!
//! The source for the status flags is the table of iced (`rflags_undefined`), which follows the Intel
//! SDM and the AMD APM, volume 3; for counts of shifts, which that table does not know, the entries of
//! RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD and SHRD in the SDM, volume 2.

use crate::Case;
use iced_x86::{Instruction, Mnemonic, OpKind, RflagsBits};

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
const ALL: u32 = 0x8D5;

/// The mask of an instruction that was executed.
pub fn undefined(instruction: &Instruction, case: &Case) -> Undefined {
    let table = [
        (RflagsBits::CF, CF),
        (RflagsBits::PF, 0x4),
        (RflagsBits::AF, AF),
        (RflagsBits::ZF, 0x40),
        (RflagsBits::SF, 0x80),
        (RflagsBits::OF, OF),
    ];
    let bits = instruction.rflags_undefined();
    let flags = table.iter().filter(|(bit, _)| bits & bit != 0).fold(0, |mask, (_, flag)| mask | flag);
    let (flags, result) = counted(instruction, case).unwrap_or((flags, false));
    Undefined { flags, status: 0, result, bytes: Vec::new() }
}

/// Shifts and rotations: the undefined flags, and whether the result is undefined.
fn counted(instruction: &Instruction, case: &Case) -> Option<(u32, bool)> {
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
