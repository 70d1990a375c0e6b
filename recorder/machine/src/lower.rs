//! Lowering: iced decodes an instruction once, and it becomes an [`Op`].
//!
//! Decoding never fails: what is not an instruction becomes one that raises #UD when it is executed,
//! because a program may well jump over it.

mod flow;
mod fpu;
mod operand;
mod system;

use crate::op::*;
use crate::{Model, Seg};
use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic, OpKind, Register,
};
use operand::{address, condition, place, register, seg, special, value, width};

/// An instruction and its length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lowered {
    pub op: Op,
    pub len: u8,
    /// The oldest processor that has it.
    pub needs: Model,
}

/// The longest instruction, in bytes.
pub(crate) const LONGEST: usize = 15;

/// Decodes the instruction at the start of `bytes`, in a code segment of 16 or 32 bits. The result
/// does not depend on where the instruction is: a page may be mapped in several places. None: there
/// are too few bytes.
pub(crate) fn lower(bytes: &[u8], wide: bool) -> Option<Lowered> {
    let bits = if wide { 32 } else { 16 };
    let mut decoder = Decoder::new(bits, bytes, OPTIONS);
    let instruction = decoder.decode();
    match decoder.last_error() {
        DecoderError::None => {
            let (len, needs) = (instruction.len() as u8, needs(&instruction));
            Some(Lowered { op: op(&instruction, bytes), len, needs })
        }
        DecoderError::NoMoreBytes => None,
        // The decoder takes fifteen bytes at most and calls what wants more invalid. Only prefixes can
        // make an instruction so long, so that one of them can be left out to ask again.
        _ if instruction.len() == LONGEST && lower(&bytes[1..LONGEST], wide).is_none() => {
            Some(Lowered { op: Op::TooLong, len: LONGEST as u8, needs: Model::I386 })
        }
        _ => Some(Lowered { op: Op::Undefined, len: 1, needs: Model::I386 }),
    }
}

/// What the processors of that time make of bytes that newer ones know better: REP before BSF, BSR and
/// WBINVD says nothing.
const OPTIONS: u32 =
    DecoderOptions::NO_MPFX_0FBC | DecoderOptions::NO_MPFX_0FBD | DecoderOptions::NO_WBNOINVD;

/// The oldest processor that has an instruction, if any of them has it.
fn needs(i: &Instruction) -> Model {
    use CpuidFeature as F;
    let of = |feature: &F| match feature {
        F::INTEL8086 | F::INTEL8086_ONLY | F::INTEL186 | F::INTEL286 | F::INTEL286_ONLY => Model::I386,
        F::INTEL386 | F::INTEL386_ONLY | F::FPU | F::FPU287 | F::FPU387 | F::PAUSE => Model::I386,
        F::INTEL486 | F::CPUID | F::TSC | F::MSR | F::CX8 => Model::Pentium,
        _ => Model::PentiumIii,
    };
    i.cpuid_features().iter().map(of).max().unwrap_or(Model::I386)
}

/// The mnemonic that [`FpuOp::Unsupported`] carries.
pub(crate) fn name(mnemonic: u16) -> String {
    Mnemonic::try_from(usize::from(mnemonic)).map_or_else(|_| "?".into(), |known| format!("{known:?}"))
}

fn op(i: &Instruction, bytes: &[u8]) -> Op {
    integer(i)
        .or_else(|| flow::stack_or_control(i))
        .or_else(|| flow::string(i))
        .or_else(|| system::system(i))
        .or_else(|| fpu::fpu(i).map(|unit| Op::Fpu(unit, fpu::opcode(bytes))))
        .unwrap_or(Op::Undefined)
}

fn integer(i: &Instruction) -> Option<Op> {
    use Mnemonic as M;
    let alu = |kind| Op::Alu(kind, width(i, 0), place(i, 0), value(i, 1));
    let unary = |kind| Op::Unary(kind, width(i, 0), place(i, 0));
    let shift = |kind| Op::Shift(kind, width(i, 0), place(i, 0), value(i, 1));
    let bit = |kind| Op::Bit(kind, width(i, 0), place(i, 0), value(i, 1));
    let extend = |signed| Op::Extend {
        signed,
        to: width(i, 0),
        reg: register(i, 0),
        from: width(i, 1),
        source: place(i, 1),
    };
    let double = |left| Op::ShiftDouble {
        left,
        width: width(i, 0),
        place: place(i, 0),
        source: register(i, 1),
        count: value(i, 2),
    };
    let scan =
        |reverse| Op::BitScan { reverse, width: width(i, 0), reg: register(i, 0), source: place(i, 1) };
    let pair = |make: fn(Width, Place, Place) -> Op| make(width(i, 0), place(i, 0), place(i, 1));
    Some(match i.mnemonic() {
        M::Add => alu(Alu::Add),
        M::Or => alu(Alu::Or),
        M::Adc => alu(Alu::Adc),
        M::Sbb => alu(Alu::Sbb),
        M::And => alu(Alu::And),
        M::Sub => alu(Alu::Sub),
        M::Xor => alu(Alu::Xor),
        M::Cmp => alu(Alu::Cmp),
        M::Test => Op::Test(width(i, 0), place(i, 0), value(i, 1)),
        M::Inc => unary(Unary::Inc),
        M::Dec => unary(Unary::Dec),
        M::Not => unary(Unary::Not),
        M::Neg => unary(Unary::Neg),
        M::Mov => mov(i),
        M::Movzx => extend(false),
        M::Movsx => extend(true),
        M::Lea => Op::Lea(width(i, 0), register(i, 0), address(i)),
        M::Rol => shift(Shift::Rol),
        M::Ror => shift(Shift::Ror),
        M::Rcl => shift(Shift::Rcl),
        M::Rcr => shift(Shift::Rcr),
        M::Shl | M::Sal => shift(Shift::Shl),
        M::Shr => shift(Shift::Shr),
        M::Sar => shift(Shift::Sar),
        M::Shld => double(true),
        M::Shrd => double(false),
        M::Bt => bit(Bit::Test),
        M::Bts => bit(Bit::Set),
        M::Btr => bit(Bit::Reset),
        M::Btc => bit(Bit::Complement),
        M::Bsf => scan(false),
        M::Bsr => scan(true),
        M::Mul => Op::Multiply { signed: false, width: width(i, 0), source: place(i, 0) },
        M::Imul => match i.op_count() {
            1 => Op::Multiply { signed: true, width: width(i, 0), source: place(i, 0) },
            2 => Op::MultiplyInto(width(i, 0), register(i, 0), place(i, 0), value(i, 1)),
            _ => Op::MultiplyInto(width(i, 0), register(i, 0), place(i, 1), value(i, 2)),
        },
        M::Div => Op::Divide { signed: false, width: width(i, 0), source: place(i, 0) },
        M::Idiv => Op::Divide { signed: true, width: width(i, 0), source: place(i, 0) },
        M::Xchg => pair(Op::Exchange),
        M::Xadd => pair(Op::ExchangeAdd),
        M::Cmpxchg => pair(Op::CompareExchange),
        M::Cmpxchg8b => Op::CompareExchange8(address(i)),
        M::Bswap => Op::ByteSwap(width(i, 0), register(i, 0)),
        M::Cbw => Op::ConvertAccumulator(Width::Word),
        M::Cwde => Op::ConvertAccumulator(Width::Dword),
        M::Cwd => Op::ConvertPair(Width::Word),
        M::Cdq => Op::ConvertPair(Width::Dword),
        M::Aaa => Op::Decimal(Decimal::Aaa),
        M::Aas => Op::Decimal(Decimal::Aas),
        M::Aad => Op::Decimal(Decimal::Aad(i.immediate8())),
        M::Aam => Op::Decimal(Decimal::Aam(i.immediate8())),
        M::Daa => Op::Decimal(Decimal::Daa),
        M::Das => Op::Decimal(Decimal::Das),
        M::Clc => Op::Flag(Flag::Clc),
        M::Stc => Op::Flag(Flag::Stc),
        M::Cmc => Op::Flag(Flag::Cmc),
        M::Cld => Op::Flag(Flag::Cld),
        M::Std => Op::Flag(Flag::Std),
        M::Lahf => Op::Lahf,
        M::Sahf => Op::Sahf,
        M::Salc => Op::Salc,
        M::Xlatb => Op::Xlat(Address { index: None, ..address(i) }),
        M::Reservednop
            if matches!(i.code(), Code::Reservednop_rm16_r16_0F0D | Code::Reservednop_rm32_r32_0F0D) =>
        {
            Op::Undefined
        }
        M::Nop | M::Pause | M::Endbr32 | M::Endbr64 | M::Reservednop => Op::Nop,
        M::Prefetch | M::Prefetchw | M::Prefetchnta => Op::Nop,
        M::Prefetcht0 | M::Prefetcht1 | M::Prefetcht2 => Op::Nop,
        M::Seto
        | M::Setno
        | M::Setb
        | M::Setae
        | M::Sete
        | M::Setne
        | M::Setbe
        | M::Seta
        | M::Sets
        | M::Setns
        | M::Setp
        | M::Setnp
        | M::Setl
        | M::Setge
        | M::Setle
        | M::Setg => Op::Set(condition(i), place(i, 0)),
        M::Cmovo
        | M::Cmovno
        | M::Cmovb
        | M::Cmovae
        | M::Cmove
        | M::Cmovne
        | M::Cmovbe
        | M::Cmova
        | M::Cmovs
        | M::Cmovns
        | M::Cmovp
        | M::Cmovnp
        | M::Cmovl
        | M::Cmovge
        | M::Cmovle
        | M::Cmovg => Op::MovIf(condition(i), width(i, 0), register(i, 0), place(i, 1)),
        _ => return None,
    })
}

fn mov(i: &Instruction) -> Op {
    use Code as C;
    match i.code() {
        C::Mov_rm16_Sreg | C::Mov_r32m16_Sreg => {
            let width = if i.op0_kind() == OpKind::Memory { Width::Word } else { width(i, 0) };
            seg(i.op1_register()).map_or(Op::Undefined, |seg| Op::StoreSegment(width, place(i, 0), seg))
        }
        C::Mov_Sreg_rm16 | C::Mov_Sreg_r32m16 => match seg(i.op0_register()) {
            Some(Seg::Cs) | None => Op::Undefined,
            Some(seg) => Op::LoadSegment(seg, place(i, 1)),
        },
        C::Mov_r32_cr => Op::StoreControl(register(i, 0), special(i.op1_register(), Register::CR0)),
        C::Mov_cr_r32 => Op::LoadControl(special(i.op0_register(), Register::CR0), register(i, 1)),
        C::Mov_r32_dr => Op::StoreDebug(register(i, 0), special(i.op1_register(), Register::DR0)),
        C::Mov_dr_r32 => Op::LoadDebug(special(i.op0_register(), Register::DR0), register(i, 1)),
        C::Mov_r32_tr | C::Mov_tr_r32 => Op::Undefined,
        _ => Op::Mov(width(i, 0), place(i, 0), value(i, 1)),
    }
}
