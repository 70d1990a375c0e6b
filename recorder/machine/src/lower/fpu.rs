//! Lowering of the instructions for the x87 unit.

use super::operand::{address, place};
use crate::op::*;
use iced_x86::{CpuidFeature, Instruction, Mnemonic, OpKind, Register};

/// None when the instruction is not one for the x87 unit, or for that of a later processor only: FISTTP
/// came with SSE3.
pub(super) fn fpu(i: &Instruction) -> Option<FpuOp> {
    moves(i).or_else(|| computes(i)).or_else(|| {
        let of_fpu = [CpuidFeature::FPU, CpuidFeature::FPU287, CpuidFeature::FPU387];
        let known = i.cpuid_features().iter().all(|feature| of_fpu.contains(feature));
        known.then_some(FpuOp::Unsupported(i.mnemonic() as u16))
    })
}

fn in_memory(i: &Instruction) -> bool {
    i.op_kind(0) == OpKind::Memory && i.op_count() > 0
}

fn float(i: &Instruction) -> Float {
    match i.memory_size().size() {
        4 => Float::Single,
        8 => Float::Double,
        _ => Float::Extended,
    }
}

fn moves(i: &Instruction) -> Option<FpuOp> {
    use Mnemonic as M;
    let bytes = i.memory_size().size() as u8;
    let store = |pop| match in_memory(i) {
        true => FpuOp::Store { float: float(i), to: address(i), pop },
        false => FpuOp::StoreRegister { to: stack(i.op0_register()), pop },
    };
    // The images of the environment with an operand size of 16 bits.
    let short = matches!(bytes, 14 | 94);
    Some(match i.mnemonic() {
        M::Wait => FpuOp::Wait,
        M::Fninit => FpuOp::Init,
        M::Fnclex => FpuOp::ClearExceptions,
        M::Fnstcw => FpuOp::StoreControl(address(i)),
        M::Fldcw => FpuOp::LoadControl(address(i)),
        M::Fnstsw => FpuOp::StoreStatus(place(i, 0)),
        M::Fnstenv => FpuOp::StoreEnvironment { to: address(i), short },
        M::Fldenv => FpuOp::LoadEnvironment { from: address(i), short },
        M::Fnsave => FpuOp::Save { to: address(i), short },
        M::Frstor => FpuOp::Restore { from: address(i), short },
        M::Fld if in_memory(i) => FpuOp::Load(float(i), address(i)),
        M::Fld => FpuOp::LoadRegister(stack(i.op0_register())),
        M::Fst => store(false),
        M::Fstp => store(true),
        M::Fstpnce => FpuOp::StoreAnything(stack(i.op0_register())),
        M::Fild => FpuOp::LoadInteger { bytes, from: address(i) },
        M::Fist => FpuOp::StoreInteger { bytes, to: address(i), pop: false },
        M::Fistp => FpuOp::StoreInteger { bytes, to: address(i), pop: true },
        M::Fbld => FpuOp::LoadDecimal(address(i)),
        M::Fbstp => FpuOp::StoreDecimal(address(i)),
        M::Fld1 => FpuOp::LoadConstant(Constant::One),
        M::Fldl2t => FpuOp::LoadConstant(Constant::Log2Of10),
        M::Fldl2e => FpuOp::LoadConstant(Constant::Log2OfE),
        M::Fldpi => FpuOp::LoadConstant(Constant::Pi),
        M::Fldlg2 => FpuOp::LoadConstant(Constant::Log10Of2),
        M::Fldln2 => FpuOp::LoadConstant(Constant::LogEOf2),
        M::Fldz => FpuOp::LoadConstant(Constant::Zero),
        M::Fxch => FpuOp::Exchange(stack(i.op1_register())),
        M::Ffree => FpuOp::Free { i: stack(i.op0_register()), pop: false },
        M::Ffreep => FpuOp::Free { i: stack(i.op0_register()), pop: true },
        M::Fincstp => FpuOp::IncrementTop,
        M::Fdecstp => FpuOp::DecrementTop,
        M::Fnop => FpuOp::Nop,
        M::Fneni | M::Fndisi | M::Fnsetpm => FpuOp::OldNop,
        M::Fxsave => FpuOp::FxSave(address(i)),
        M::Fxrstor => FpuOp::FxRestore(address(i)),
        M::Ldmxcsr => FpuOp::LoadMxcsr(address(i)),
        M::Stmxcsr => FpuOp::StoreMxcsr(address(i)),
        M::Fcmovb => move_if(i, 2),
        M::Fcmovnb => move_if(i, 3),
        M::Fcmove => move_if(i, 4),
        M::Fcmovne => move_if(i, 5),
        M::Fcmovbe => move_if(i, 6),
        M::Fcmovnbe => move_if(i, 7),
        M::Fcmovu => move_if(i, 10),
        M::Fcmovnu => move_if(i, 11),
        _ => return None,
    })
}

fn move_if(i: &Instruction, condition: u8) -> FpuOp {
    FpuOp::MoveIf(Condition(condition), stack(i.op1_register()))
}

fn computes(i: &Instruction) -> Option<FpuOp> {
    use Arithmetic::*;
    use Mnemonic as M;
    let (kind, pop) = match i.mnemonic() {
        M::Fadd | M::Fiadd => (Add, false),
        M::Fmul | M::Fimul => (Multiply, false),
        M::Fsub | M::Fisub => (Subtract, false),
        M::Fsubr | M::Fisubr => (SubtractReversed, false),
        M::Fdiv | M::Fidiv => (Divide, false),
        M::Fdivr | M::Fidivr => (DivideReversed, false),
        M::Faddp => (Add, true),
        M::Fmulp => (Multiply, true),
        M::Fsubp => (Subtract, true),
        M::Fsubrp => (SubtractReversed, true),
        M::Fdivp => (Divide, true),
        M::Fdivrp => (DivideReversed, true),
        _ => return compares(i),
    };
    let to = if in_memory(i) { 0 } else { stack(i.op0_register()) };
    Some(FpuOp::Arithmetic { kind, to, source: source(i), pop })
}

fn compares(i: &Instruction) -> Option<FpuOp> {
    use Mnemonic as M;
    let compare = |quiet, pops| FpuOp::Compare { source: source(i), quiet, pops };
    let flags = |quiet, pop| FpuOp::CompareFlags { i: stack(i.op1_register()), quiet, pop };
    Some(match i.mnemonic() {
        M::Fcom | M::Ficom => compare(false, 0),
        M::Fcomp | M::Ficomp => compare(false, 1),
        M::Fcompp => FpuOp::Compare { source: FpuSource::Register(1), quiet: false, pops: 2 },
        M::Fucom => compare(true, 0),
        M::Fucomp => compare(true, 1),
        M::Fucompp => FpuOp::Compare { source: FpuSource::Register(1), quiet: true, pops: 2 },
        M::Fcomi => flags(false, false),
        M::Fcomip => flags(false, true),
        M::Fucomi => flags(true, false),
        M::Fucomip => flags(true, true),
        M::Ftst => FpuOp::Test,
        M::Fxam => FpuOp::Examine,
        M::Fchs => FpuOp::Sign { change: true },
        M::Fabs => FpuOp::Sign { change: false },
        M::Fsqrt => FpuOp::Root,
        M::Frndint => FpuOp::RoundToInteger,
        M::Fscale => FpuOp::Scale,
        M::Fxtract => FpuOp::Extract,
        M::Fprem => FpuOp::Remainder { nearest: false },
        M::Fprem1 => FpuOp::Remainder { nearest: true },
        _ => return None,
    })
}

/// The operand in memory, or the last register.
fn source(i: &Instruction) -> FpuSource {
    use iced_x86::MemorySize as S;
    if !in_memory(i) {
        return FpuSource::Register(stack(i.op_register(i.op_count() - 1)));
    }
    match i.memory_size() {
        S::Int16 => FpuSource::Integer(2, address(i)),
        S::Int32 => FpuSource::Integer(4, address(i)),
        _ => FpuSource::Real(float(i), address(i)),
    }
}

/// The i of ST(i).
fn stack(register: Register) -> u8 {
    (register as usize).saturating_sub(Register::ST0 as usize) as u8 & 7
}

/// The opcode as the unit remembers it: the low three bits of its first byte, and its second byte.
pub(super) fn opcode(bytes: &[u8]) -> u16 {
    // Prefixes stand before it, and no prefix looks like its first byte.
    let first = bytes.iter().position(|byte| matches!(byte, 0xD8..=0xDF)).unwrap_or(0);
    match bytes.get(first..first + 2) {
        Some([escape, modrm]) if *escape & 0xF8 == 0xD8 => u16::from(escape & 7) << 8 | u16::from(*modrm),
        _ => 0,
    }
}
