//! Lowering of operands.

use crate::op::*;
use crate::{Reg, Seg};
use iced_x86::{ConditionCode, Instruction, OpKind, Register};

const REGISTERS: [Reg; 8] = [Reg::Eax, Reg::Ecx, Reg::Edx, Reg::Ebx, Reg::Esp, Reg::Ebp, Reg::Esi, Reg::Edi];
const SEGMENTS: [Seg; 6] = [Seg::Es, Seg::Cs, Seg::Ss, Seg::Ds, Seg::Fs, Seg::Gs];

/// How far `register` is from `first` in iced's order, which is that of the encodings.
pub(super) fn special(register: Register, first: Register) -> u8 {
    (register as usize).wrapping_sub(first as usize) as u8
}

/// A general register of 16 or 32 bits, or the low byte of one.
fn general(register: Register) -> Option<Reg> {
    use Register as R;
    let from = |first, count| {
        let index = usize::from(special(register, first));
        REGISTERS.get(index).filter(|_| index < count).copied()
    };
    match register.size() {
        1 => from(R::AL, 4),
        2 => from(R::AX, 8),
        _ => from(R::EAX, 8),
    }
}

pub(super) fn seg(register: Register) -> Option<Seg> {
    SEGMENTS.get(usize::from(special(register, Register::ES))).copied()
}

/// The general register that operand `n` is.
pub(super) fn register(i: &Instruction, n: u32) -> Reg {
    general(i.op_register(n)).unwrap_or(Reg::Eax)
}

pub(super) fn width(i: &Instruction, n: u32) -> Width {
    let bytes = match i.op_kind(n) {
        OpKind::Register => i.op_register(n).size(),
        OpKind::Memory if i.memory_size().element_size() == 0 => 4,
        OpKind::Memory => i.memory_size().element_size(),
        _ => 4,
    };
    match bytes {
        1 => Width::Byte,
        2 => Width::Word,
        _ => Width::Dword,
    }
}

pub(super) fn place(i: &Instruction, n: u32) -> Place {
    let register = i.op_register(n);
    match i.op_kind(n) {
        OpKind::Register => match general(register) {
            Some(reg) => Place::Reg(reg),
            None => Place::High(REGISTERS[usize::from(special(register, Register::AH) & 3)]),
        },
        _ => Place::Mem(address(i)),
    }
}

pub(super) fn value(i: &Instruction, n: u32) -> Value {
    match i.op_kind(n) {
        OpKind::Register | OpKind::Memory => Value::Place(place(i, n)),
        _ => Value::Imm(i.try_immediate(n).unwrap_or(0) as u32),
    }
}

pub(super) fn address(i: &Instruction) -> Address {
    let (base, index) = (i.memory_base(), i.memory_index());
    let word = base.size() == 2 || index.size() == 2 || i.memory_displ_size() == 2;
    Address {
        seg: seg(i.memory_segment()).unwrap_or(Seg::Ds),
        base: general(base),
        index: general(index),
        shift: i.memory_index_scale().trailing_zeros() as u8,
        word,
        displacement: i.memory_displacement32(),
    }
}

pub(super) fn condition(i: &Instruction) -> Condition {
    Condition((i.condition_code() as u8).saturating_sub(ConditionCode::o as u8))
}

/// The operand size of a direct branch.
pub(super) fn branch(i: &Instruction) -> Width {
    match i.op0_kind() {
        OpKind::NearBranch16 | OpKind::FarBranch16 => Width::Word,
        _ => Width::Dword,
    }
}

/// How far a near branch goes, from the next instruction; it was decoded as if at address zero.
pub(super) fn distance(i: &Instruction) -> u32 {
    (i.near_branch_target() as u32).wrapping_sub(i.len() as u32)
}

pub(super) fn direct(i: &Instruction) -> Far {
    let offset = if i.op0_kind() == OpKind::FarBranch16 { i.far_branch16().into() } else { i.far_branch32() };
    Far::Direct { selector: i.far_branch_selector(), offset }
}
