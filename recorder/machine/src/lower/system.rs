//! Lowering of system instructions.

use super::operand::{address, place, register, value, width};
use crate::Seg;
use crate::op::*;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

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
