//! Lowering of what moves the stack pointer, the instruction pointer, or strings.

use super::operand::{address, branch, condition, direct, distance, place, register, seg, value, width};
use crate::Seg;
use crate::op::*;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn stack_or_control(i: &Instruction) -> Option<Op> {
    use Code as C;
    use Mnemonic as M;
    let size = || if i.stack_pointer_increment() % 4 == 0 { Width::Dword } else { Width::Word };
    let near = |kind: fn(Width, u32) -> Op| kind(branch(i), distance(i));
    let ret = |short: bool, kind: fn(Width, u16) -> Op| {
        kind(
            if short { Width::Word } else { Width::Dword },
            if i.op_count() == 1 { i.immediate16() } else { 0 },
        )
    };
    let short_if = |short| if short { Width::Word } else { Width::Dword };
    let repeat = |kind, short_counter| Op::Loop {
        kind,
        counter: short_if(short_counter),
        width: branch(i),
        distance: distance(i),
    };
    Some(match i.mnemonic() {
        M::Push => match (i.op0_kind(), seg(i.op0_register())) {
            (OpKind::Register, Some(seg)) => Op::PushSegment(size(), seg),
            _ => Op::Push(size(), value(i, 0)),
        },
        M::Pop => match (i.op0_kind(), seg(i.op0_register())) {
            (OpKind::Register, Some(Seg::Cs)) => Op::Undefined,
            (OpKind::Register, Some(seg)) => Op::PopSegment(size(), seg),
            _ => Op::Pop(size(), place(i, 0)),
        },
        M::Pusha => Op::PushAll(Width::Word),
        M::Pushad => Op::PushAll(Width::Dword),
        M::Popa => Op::PopAll(Width::Word),
        M::Popad => Op::PopAll(Width::Dword),
        M::Pushf => Op::PushFlags(Width::Word),
        M::Pushfd => Op::PushFlags(Width::Dword),
        M::Popf => Op::PopFlags(Width::Word),
        M::Popfd => Op::PopFlags(Width::Dword),
        M::Enter => {
            Op::Enter(short_if(i.code() == C::Enterw_imm16_imm8), i.immediate16(), i.immediate8_2nd())
        }
        M::Leave => Op::Leave(short_if(i.code() == C::Leavew)),
        M::Jmp => match i.op0_kind() {
            OpKind::NearBranch16 | OpKind::NearBranch32 => near(Op::Jump),
            OpKind::FarBranch16 | OpKind::FarBranch32 => Op::JumpFar(branch(i), direct(i)),
            _ if i.code() == C::Jmp_m1616 => Op::JumpFar(Width::Word, Far::Indirect(address(i))),
            _ if i.code() == C::Jmp_m1632 => Op::JumpFar(Width::Dword, Far::Indirect(address(i))),
            _ => Op::JumpTo(width(i, 0), place(i, 0)),
        },
        M::Call => match i.op0_kind() {
            OpKind::NearBranch16 | OpKind::NearBranch32 => near(Op::Call),
            OpKind::FarBranch16 | OpKind::FarBranch32 => Op::CallFar(branch(i), direct(i)),
            _ if i.code() == C::Call_m1616 => Op::CallFar(Width::Word, Far::Indirect(address(i))),
            _ if i.code() == C::Call_m1632 => Op::CallFar(Width::Dword, Far::Indirect(address(i))),
            _ => Op::CallTo(width(i, 0), place(i, 0)),
        },
        M::Ret => ret(matches!(i.code(), C::Retnw | C::Retnw_imm16), Op::Return),
        M::Retf => ret(matches!(i.code(), C::Retfw | C::Retfw_imm16), Op::ReturnFar),
        M::Iret => Op::InterruptReturn(Width::Word),
        M::Iretd => Op::InterruptReturn(Width::Dword),
        M::Int => Op::Interrupt(i.immediate8()),
        M::Int3 => Op::Interrupt(3),
        M::Int1 => Op::DebugTrap,
        M::Into => Op::InterruptOnOverflow,
        M::Bound => Op::Bound(width(i, 0), register(i, 0), address(i)),
        M::Sysenter => Op::SysEnter,
        M::Sysexit => Op::SysExit,
        M::Jcxz => repeat(Loop::CounterZero, true),
        M::Jecxz => repeat(Loop::CounterZero, false),
        M::Loop => repeat(Loop::Always, matches!(i.code(), C::Loop_rel8_16_CX | C::Loop_rel8_32_CX)),
        M::Loope => repeat(Loop::Equal, matches!(i.code(), C::Loope_rel8_16_CX | C::Loope_rel8_32_CX)),
        M::Loopne => repeat(Loop::NotEqual, matches!(i.code(), C::Loopne_rel8_16_CX | C::Loopne_rel8_32_CX)),
        _ if i.is_jcc_short_or_near() => Op::JumpIf(condition(i), branch(i), distance(i)),
        _ => return None,
    })
}

pub(super) fn string(i: &Instruction) -> Option<Op> {
    use Code as C;
    use {Text::*, Width::*};
    let (text, width) = match i.code() {
        C::Movsb_m8_m8 => (Movs, Byte),
        C::Movsw_m16_m16 => (Movs, Word),
        C::Movsd_m32_m32 => (Movs, Dword),
        C::Cmpsb_m8_m8 => (Cmps, Byte),
        C::Cmpsw_m16_m16 => (Cmps, Word),
        C::Cmpsd_m32_m32 => (Cmps, Dword),
        C::Stosb_m8_AL => (Stos, Byte),
        C::Stosw_m16_AX => (Stos, Word),
        C::Stosd_m32_EAX => (Stos, Dword),
        C::Lodsb_AL_m8 => (Lods, Byte),
        C::Lodsw_AX_m16 => (Lods, Word),
        C::Lodsd_EAX_m32 => (Lods, Dword),
        C::Scasb_AL_m8 => (Scas, Byte),
        C::Scasw_AX_m16 => (Scas, Word),
        C::Scasd_EAX_m32 => (Scas, Dword),
        C::Insb_m8_DX => (Ins, Byte),
        C::Insw_m16_DX => (Ins, Word),
        C::Insd_m32_DX => (Ins, Dword),
        C::Outsb_DX_m8 => (Outs, Byte),
        C::Outsw_DX_m16 => (Outs, Word),
        C::Outsd_DX_m32 => (Outs, Dword),
        _ => return None,
    };
    let short = |kind| matches!(kind, OpKind::MemoryESDI | OpKind::MemorySegSI);
    let word = short(i.op0_kind()) || short(i.op1_kind());
    let repeat = match (i.has_repne_prefix(), i.has_repe_prefix()) {
        (true, _) => Repeat::NotEqual,
        (_, true) => Repeat::Equal,
        _ => Repeat::Once,
    };
    let seg = seg(i.memory_segment()).unwrap_or(Seg::Ds);
    Some(Op::String(StringOp { text, width, repeat, seg, word }))
}
