//! Lowering of system instructions and of those for the x87 unit.

use super::operand::{address, place, register, value, width};
use crate::Seg;
use crate::op::*;
use iced_x86::{Code, CpuidFeature, Instruction, Mnemonic, OpKind, Register};

pub(super) fn system(i: &Instruction) -> Option<Op> {
    use Code as C;
    use Mnemonic as M;
    let pointer = |seg| Op::LoadPointer(width(i, 0), seg, register(i, 0), address(i));
    let table = |table| match i.code() {
        C::Lgdt_m1632_16 | C::Lidt_m1632_16 => Op::LoadTable(table, Width::Word, address(i)),
        _ => Op::LoadTable(table, Width::Dword, address(i)),
    };
    let store = |word| {
        let width = if i.op0_kind() == OpKind::Memory { Width::Word } else { width(i, 0) };
        Op::StoreWord(word, width, place(i, 0))
    };
    Some(match i.mnemonic() {
        M::Les => pointer(Seg::Es),
        M::Lds => pointer(Seg::Ds),
        M::Lss => pointer(Seg::Ss),
        M::Lfs => pointer(Seg::Fs),
        M::Lgs => pointer(Seg::Gs),
        M::Sgdt => Op::StoreTable(TableRegister::Gdtr, address(i)),
        M::Sidt => Op::StoreTable(TableRegister::Idtr, address(i)),
        M::Lgdt => table(TableRegister::Gdtr),
        M::Lidt => table(TableRegister::Idtr),
        M::Sldt => store(Word::Ldtr),
        M::Str => store(Word::Tr),
        M::Smsw => store(Word::Msw),
        M::Lldt => Op::LoadWord(Word::Ldtr, place(i, 0)),
        M::Ltr => Op::LoadWord(Word::Tr, place(i, 0)),
        M::Lmsw => Op::LoadWord(Word::Msw, place(i, 0)),
        M::Lar => Op::Ask(Ask::Rights(width(i, 0), register(i, 0)), place(i, 1)),
        M::Lsl => Op::Ask(Ask::Limit(width(i, 0), register(i, 0)), place(i, 1)),
        M::Verr => Op::Ask(Ask::Readable, place(i, 0)),
        M::Verw => Op::Ask(Ask::Writable, place(i, 0)),
        M::Arpl => Op::AdjustRpl(place(i, 0), register(i, 1)),
        M::In => Op::In(width(i, 0), value(i, 1)),
        M::Out => Op::Out(width(i, 1), value(i, 0)),
        M::Cli => Op::Flag(Flag::Cli),
        M::Sti => Op::Flag(Flag::Sti),
        M::Clts => Op::Flag(Flag::Clts),
        M::Hlt => Op::Halt,
        M::Invlpg => Op::InvalidatePage(address(i)),
        M::Invd | M::Wbinvd => Op::Privileged,
        M::Cpuid => Op::CpuId,
        M::Rdtsc => Op::ReadTime,
        M::Rdmsr => Op::ReadMsr,
        M::Wrmsr => Op::WriteMsr,
        _ => return None,
    })
}

/// None when the instruction is not one for the x87 unit.
pub(super) fn fpu(i: &Instruction) -> Option<FpuOp> {
    use Mnemonic as M;
    let bytes = i.memory_size().size() as u8;
    let in_memory = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Memory);
    let float = match bytes {
        4 => Float::Single,
        8 => Float::Double,
        _ => Float::Extended,
    };
    let store = |pop| match in_memory {
        true => FpuOp::Store { float, to: address(i), pop },
        false => FpuOp::StoreRegister { to: stack(i.op0_register()), pop },
    };
    let of_fpu = [CpuidFeature::FPU, CpuidFeature::FPU287, CpuidFeature::FPU387];
    let unsupported = FpuOp::Unsupported(i.mnemonic() as u16);
    Some(match i.mnemonic() {
        // The 16-bit images of the environment have a form of their own.
        M::Fnstenv | M::Fldenv if bytes == 14 => unsupported,
        M::Fnsave | M::Frstor if bytes == 94 => unsupported,
        M::Wait => FpuOp::Wait,
        M::Fninit => FpuOp::Init,
        M::Fnclex => FpuOp::ClearExceptions,
        M::Fnstcw => FpuOp::StoreControl(address(i)),
        M::Fldcw => FpuOp::LoadControl(address(i)),
        M::Fnstsw => FpuOp::StoreStatus(place(i, 0)),
        M::Fnstenv => FpuOp::StoreEnvironment(address(i)),
        M::Fldenv => FpuOp::LoadEnvironment(address(i)),
        M::Fnsave => FpuOp::Save(address(i)),
        M::Frstor => FpuOp::Restore(address(i)),
        M::Fld if in_memory => FpuOp::Load(float, address(i)),
        M::Fld => FpuOp::LoadRegister(stack(i.op0_register())),
        M::Fst => store(false),
        M::Fstp => store(true),
        M::Fild => FpuOp::LoadInteger { bytes, from: address(i) },
        M::Fist => FpuOp::StoreInteger { bytes, to: address(i), pop: false },
        M::Fistp => FpuOp::StoreInteger { bytes, to: address(i), pop: true },
        M::Fld1 => FpuOp::LoadOne,
        M::Fldz => FpuOp::LoadZero,
        M::Fxch => FpuOp::Exchange(stack(i.op1_register())),
        M::Ffree => FpuOp::Free(stack(i.op0_register())),
        M::Fchs => FpuOp::ChangeSign,
        M::Fabs => FpuOp::Absolute,
        M::Fincstp => FpuOp::IncrementTop,
        M::Fdecstp => FpuOp::DecrementTop,
        // On anything newer than a 287 the last three do nothing.
        M::Fnop | M::Fneni | M::Fndisi | M::Fnsetpm => FpuOp::Nop,
        M::Fxsave => FpuOp::FxSave(address(i)),
        M::Fxrstor => FpuOp::FxRestore(address(i)),
        M::Ldmxcsr => FpuOp::LoadMxcsr(address(i)),
        M::Stmxcsr => FpuOp::StoreMxcsr(address(i)),
        _ if i.cpuid_features().iter().any(|feature| of_fpu.contains(feature)) => unsupported,
        _ => return None,
    })
}

/// The i of ST(i).
fn stack(register: Register) -> u8 {
    (register as usize).saturating_sub(Register::ST0 as usize) as u8 & 7
}
