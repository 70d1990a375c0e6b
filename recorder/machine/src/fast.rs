//! The forms of instructions that programs mostly consist of, with their operands resolved as far as
//! they can be ahead: 32 bits wide, in flat or plain segments. Each has a general form besides, and
//! whenever something is not plain (a page that is not at hand, a segment's end) that one is executed.

use crate::Reg;
use crate::op::{Address, Alu, Condition, Flag, Op, Place, Shift, Unary, Value, Width};

/// A memory operand. The register [`ZERO`] stands for an absent one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mem {
    pub displacement: u32,
    pub seg: u8,
    pub base: u8,
    pub index: u8,
    /// 0 to 3.
    pub shift: u8,
}

/// The ninth register while blocks run: it holds zero.
pub(crate) const ZERO: u8 = 8;

/// An instruction in its fast form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fast {
    /// There is only the general form.
    General,
    Nop,
    MovRR(u8, u8),
    MovRI(u8, u32),
    Load(u8, Mem),
    Store(Mem, u8),
    StoreI(Mem, u32),
    /// MOV to a register's low byte, and from one.
    LoadByte(u8, Mem),
    StoreByte(Mem, u8),
    ZeroByteR(u8, u8),
    SignByteR(u8, u8),
    ZeroWordR(u8, u8),
    SignWordR(u8, u8),
    ZeroByteM(u8, Mem),
    SignByteM(u8, Mem),
    ZeroWordM(u8, Mem),
    SignWordM(u8, Mem),
    Lea(u8, Mem),
    AddRR(u8, u8),
    AddRI(u8, u32),
    AddRM(u8, Mem),
    AddMR(Mem, u8),
    AddMI(Mem, u32),
    OrRR(u8, u8),
    OrRI(u8, u32),
    OrRM(u8, Mem),
    OrMR(Mem, u8),
    OrMI(Mem, u32),
    AndRR(u8, u8),
    AndRI(u8, u32),
    AndRM(u8, Mem),
    AndMR(Mem, u8),
    AndMI(Mem, u32),
    SubRR(u8, u8),
    SubRI(u8, u32),
    SubRM(u8, Mem),
    SubMR(Mem, u8),
    SubMI(Mem, u32),
    XorRR(u8, u8),
    XorRI(u8, u32),
    XorRM(u8, Mem),
    XorMR(Mem, u8),
    XorMI(Mem, u32),
    CmpRR(u8, u8),
    CmpRI(u8, u32),
    CmpRM(u8, Mem),
    CmpMR(Mem, u8),
    CmpMI(Mem, u32),
    TestRR(u8, u8),
    TestRI(u8, u32),
    TestMR(Mem, u8),
    TestMI(Mem, u32),
    /// Of a register's low byte with an immediate, and of two.
    TestByteRI(u8, u8),
    TestByteRR(u8, u8),
    TestByteMI(Mem, u8),
    IncR(u8),
    DecR(u8),
    IncM(Mem),
    DecM(Mem),
    Shl(u8, u8),
    Shr(u8, u8),
    Sar(u8, u8),
    PushR(u8),
    PushI(u32),
    PushM(Mem),
    PopR(u8),
    Jump(u32),
    /// Jump if equal, not equal, …
    JumpE(u32),
    JumpNe(u32),
    JumpB(u32),
    JumpAe(u32),
    JumpBe(u32),
    JumpA(u32),
    JumpS(u32),
    JumpNs(u32),
    JumpL(u32),
    JumpGe(u32),
    JumpLe(u32),
    JumpG(u32),
    Call(u32),
    Return(u16),
}

/// What follows an instruction in a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum After {
    /// The next one.
    Next,
    /// Whatever EIP says, under the same conditions.
    Branch,
    /// Another iteration, or the next one.
    Repeat,
    /// The conditions under which blocks run may be others.
    Anything,
}

/// The fast form of an operation, or [`Fast::General`].
pub(crate) fn fast(op: &Op) -> Fast {
    use Width::{Byte, Dword, Word};
    match *op {
        Op::Nop => Fast::Nop,
        Op::Mov(Dword, place, value) => mov(place, value),
        Op::Mov(Byte, Place::Reg(to), Value::Place(Place::Mem(from))) => {
            with(from, |m| Fast::LoadByte(r(to), m))
        }
        Op::Mov(Byte, Place::Mem(to), Value::Place(Place::Reg(from))) => {
            with(to, |m| Fast::StoreByte(m, r(from)))
        }
        Op::Extend { signed, to: Dword, reg, from, source } => match (from, source, signed) {
            (Byte, Place::Reg(source), false) => Fast::ZeroByteR(r(reg), r(source)),
            (Byte, Place::Reg(source), true) => Fast::SignByteR(r(reg), r(source)),
            (Word, Place::Reg(source), false) => Fast::ZeroWordR(r(reg), r(source)),
            (Word, Place::Reg(source), true) => Fast::SignWordR(r(reg), r(source)),
            (Byte, Place::Mem(source), false) => with(source, |m| Fast::ZeroByteM(r(reg), m)),
            (Byte, Place::Mem(source), true) => with(source, |m| Fast::SignByteM(r(reg), m)),
            (Word, Place::Mem(source), false) => with(source, |m| Fast::ZeroWordM(r(reg), m)),
            (Word, Place::Mem(source), true) => with(source, |m| Fast::SignWordM(r(reg), m)),
            _ => Fast::General,
        },
        Op::Lea(Dword, reg, address) => with(address, |m| Fast::Lea(r(reg), m)),
        Op::Alu(alu, Dword, place, value) => arithmetic(alu, place, value),
        Op::Test(Dword, place, value) => match (place, value) {
            (Place::Reg(a), Value::Place(Place::Reg(b))) => Fast::TestRR(r(a), r(b)),
            (Place::Reg(a), Value::Imm(b)) => Fast::TestRI(r(a), b),
            (Place::Mem(a), Value::Place(Place::Reg(b))) => with(a, |m| Fast::TestMR(m, r(b))),
            (Place::Mem(a), Value::Imm(b)) => with(a, |m| Fast::TestMI(m, b)),
            _ => Fast::General,
        },
        Op::Test(Byte, place, value) => match (place, value) {
            (Place::Reg(a), Value::Place(Place::Reg(b))) => Fast::TestByteRR(r(a), r(b)),
            (Place::Reg(a), Value::Imm(b)) => Fast::TestByteRI(r(a), b as u8),
            (Place::Mem(a), Value::Imm(b)) => with(a, |m| Fast::TestByteMI(m, b as u8)),
            _ => Fast::General,
        },
        Op::Unary(Unary::Inc, Dword, Place::Reg(reg)) => Fast::IncR(r(reg)),
        Op::Unary(Unary::Dec, Dword, Place::Reg(reg)) => Fast::DecR(r(reg)),
        Op::Unary(Unary::Inc, Dword, Place::Mem(address)) => with(address, Fast::IncM),
        Op::Unary(Unary::Dec, Dword, Place::Mem(address)) => with(address, Fast::DecM),
        Op::Shift(kind, Dword, Place::Reg(reg), Value::Imm(count)) if count & 31 != 0 => {
            let (reg, count) = (r(reg), count as u8 & 31);
            match kind {
                Shift::Shl => Fast::Shl(reg, count),
                Shift::Shr => Fast::Shr(reg, count),
                Shift::Sar => Fast::Sar(reg, count),
                _ => Fast::General,
            }
        }
        Op::Push(Dword, Value::Place(Place::Reg(reg))) => Fast::PushR(r(reg)),
        Op::Push(Dword, Value::Imm(value)) => Fast::PushI(value),
        Op::Push(Dword, Value::Place(Place::Mem(address))) => with(address, Fast::PushM),
        Op::Pop(Dword, Place::Reg(reg)) => Fast::PopR(r(reg)),
        Op::Jump(Dword, distance) => Fast::Jump(distance),
        Op::JumpIf(condition, Dword, distance) => jump_if(condition, distance),
        Op::Call(Dword, distance) => Fast::Call(distance),
        Op::Return(Dword, extra) => Fast::Return(extra),
        _ => Fast::General,
    }
}

/// What follows an operation.
pub(crate) fn after(op: &Op) -> After {
    match op {
        Op::Jump(..) | Op::JumpTo(..) | Op::JumpIf(..) | Op::Loop { .. } => After::Branch,
        Op::Call(..) | Op::CallTo(..) | Op::Return(..) => After::Branch,
        Op::String(string) if string.repeat != crate::op::Repeat::Once => After::Repeat,
        Op::PopFlags(_) | Op::Flag(Flag::Cli | Flag::Sti | Flag::Clts) => After::Anything,
        Op::LoadSegment(..) | Op::PopSegment(..) | Op::LoadPointer(..) => After::Anything,
        Op::JumpFar(..) | Op::CallFar(..) | Op::ReturnFar(..) | Op::InterruptReturn(_) => After::Anything,
        Op::Interrupt(_) | Op::DebugTrap | Op::InterruptOnOverflow => After::Anything,
        Op::SysEnter | Op::SysExit | Op::Halt | Op::InvalidatePage(_) | Op::Privileged => After::Anything,
        Op::LoadTable(..) | Op::LoadWord(..) | Op::LoadControl(..) | Op::LoadDebug(..) => After::Anything,
        Op::WriteMsr | Op::Undefined | Op::TooLong => After::Anything,
        _ => After::Next,
    }
}

fn r(reg: Reg) -> u8 {
    reg as u8
}

/// The form with a memory operand, when the operand's offset has 32 bits.
fn with(address: Address, form: impl FnOnce(Mem) -> Fast) -> Fast {
    let Address { seg, base, index, shift, word, displacement } = address;
    if word {
        return Fast::General;
    }
    let encoding = |reg: Option<Reg>| reg.map_or(ZERO, r);
    form(Mem { displacement, seg: seg as u8, base: encoding(base), index: encoding(index), shift })
}

fn mov(place: Place, value: Value) -> Fast {
    match (place, value) {
        (Place::Reg(to), Value::Place(Place::Reg(from))) => Fast::MovRR(r(to), r(from)),
        (Place::Reg(to), Value::Imm(value)) => Fast::MovRI(r(to), value),
        (Place::Reg(to), Value::Place(Place::Mem(from))) => with(from, |m| Fast::Load(r(to), m)),
        (Place::Mem(to), Value::Place(Place::Reg(from))) => with(to, |m| Fast::Store(m, r(from))),
        (Place::Mem(to), Value::Imm(value)) => with(to, |m| Fast::StoreI(m, value)),
        _ => Fast::General,
    }
}

/// The five forms of an operation on two operands.
fn arithmetic(alu: Alu, place: Place, value: Value) -> Fast {
    macro_rules! forms {
        ($rr:ident $ri:ident $rm:ident $mr:ident $mi:ident) => {
            match (place, value) {
                (Place::Reg(a), Value::Place(Place::Reg(b))) => Fast::$rr(r(a), r(b)),
                (Place::Reg(a), Value::Imm(b)) => Fast::$ri(r(a), b),
                (Place::Reg(a), Value::Place(Place::Mem(b))) => with(b, |m| Fast::$rm(r(a), m)),
                (Place::Mem(a), Value::Place(Place::Reg(b))) => with(a, |m| Fast::$mr(m, r(b))),
                (Place::Mem(a), Value::Imm(b)) => with(a, |m| Fast::$mi(m, b)),
                _ => Fast::General,
            }
        };
    }
    match alu {
        Alu::Add => forms!(AddRR AddRI AddRM AddMR AddMI),
        Alu::Or => forms!(OrRR OrRI OrRM OrMR OrMI),
        Alu::And => forms!(AndRR AndRI AndRM AndMR AndMI),
        Alu::Sub => forms!(SubRR SubRI SubRM SubMR SubMI),
        Alu::Xor => forms!(XorRR XorRI XorRM XorMR XorMI),
        Alu::Cmp => forms!(CmpRR CmpRI CmpRM CmpMR CmpMI),
        Alu::Adc | Alu::Sbb => Fast::General,
    }
}

fn jump_if(condition: Condition, distance: u32) -> Fast {
    match condition.0 {
        2 => Fast::JumpB(distance),
        3 => Fast::JumpAe(distance),
        4 => Fast::JumpE(distance),
        5 => Fast::JumpNe(distance),
        6 => Fast::JumpBe(distance),
        7 => Fast::JumpA(distance),
        8 => Fast::JumpS(distance),
        9 => Fast::JumpNs(distance),
        12 => Fast::JumpL(distance),
        13 => Fast::JumpGe(distance),
        14 => Fast::JumpLe(distance),
        15 => Fast::JumpG(distance),
        _ => Fast::General,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_form_fits_in_sixteen_bytes() {
        assert_eq!(size_of::<Fast>(), 16);
    }
}
