//! Instructions as data: what lowering makes of bytes, and what execution matches on.
//!
//! Operands are lowered once, so that an operation is one case of one `match` whatever the form of
//! its operands was.

use crate::{Reg, Seg};

/// The size of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Width {
    Byte = 1,
    Word = 2,
    Dword = 4,
}

impl Width {
    pub const fn bytes(self) -> u32 {
        self as u32
    }
    pub const fn bits(self) -> u32 {
        self as u32 * 8
    }
    /// The bits of a value of this width.
    pub const fn mask(self) -> u32 {
        u32::MAX >> (32 - self.bits())
    }
    /// The most significant bit.
    pub const fn sign(self) -> u32 {
        1 << (self.bits() - 1)
    }
    /// Sign-extends a value of this width.
    pub const fn extend(self, value: u32) -> u32 {
        let unused = 32 - self.bits();
        ((value << unused) as i32 >> unused) as u32
    }
}

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Address {
    pub seg: Seg,
    pub base: Option<Reg>,
    pub index: Option<Reg>,
    /// The index is shifted left by this.
    pub shift: u8,
    /// The offset wraps at 64 KiB, and only the registers' low halves count.
    pub word: bool,
    pub displacement: u32,
}

/// An operand that can be written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    /// The register's low bits, as many as the operation is wide.
    Reg(Reg),
    /// AH, CH, DH or BH.
    High(Reg),
    Mem(Address),
}

/// An operand that is only read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Place(Place),
    Imm(u32),
}

/// The eight operations that share their forms, by their encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Alu {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Cmp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unary {
    Inc,
    Dec,
    Not,
    Neg,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shift {
    Rol,
    Ror,
    Rcl,
    Rcr,
    Shl,
    Shr,
    Sar,
}

/// What BT and its relatives do to the bit after copying it to CF.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bit {
    Test,
    Set,
    Reset,
    Complement,
}

/// AAA and its relatives; two take a base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decimal {
    Aaa,
    Aas,
    Aad(u8),
    Aam(u8),
    Daa,
    Das,
}

/// A condition by its encoding: the low bit inverts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Condition(pub u8);

/// What else than the counter LOOP looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loop {
    Always,
    Equal,
    NotEqual,
    /// JCXZ: not a loop, but with the same operands.
    CounterZero,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Repeat {
    Once,
    /// REP and REPE.
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Text {
    Movs,
    Cmps,
    Stos,
    Lods,
    Scas,
    Ins,
    Outs,
}

/// A string instruction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StringOp {
    pub text: Text,
    pub width: Width,
    pub repeat: Repeat,
    /// The source's segment; the destination's is always ES.
    pub seg: Seg,
    /// ESI, EDI and ECX are used as SI, DI and CX.
    pub word: bool,
}

/// Where a far jump or call leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Far {
    Direct { selector: u16, offset: u32 },
    Indirect(Address),
}

/// Instructions that change one flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flag {
    Clc,
    Stc,
    Cmc,
    Cld,
    Std,
    Cli,
    Sti,
    Clts,
}

/// LAR, LSL, VERR and VERW ask about a selector and answer in ZF.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ask {
    Rights(Width, Reg),
    Limit(Width, Reg),
    Readable,
    Writable,
}

/// System registers that are stored and loaded as selectors or words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Word {
    Ldtr,
    Tr,
    Msw,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TableRegister {
    Gdtr,
    Idtr,
}

/// A floating-point number in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Float {
    Single,
    Double,
    Extended,
}

/// Where an x87 operation's other operand is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FpuSource {
    Register(u8),
    Real(Float, Address),
    /// An integer of so many bytes.
    Integer(u8, Address),
}

/// The x87 operations that share their forms, by their encoding but for the comparisons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arithmetic {
    Add,
    Multiply,
    Subtract,
    SubtractReversed,
    Divide,
    DivideReversed,
}

/// The numbers that have an instruction of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Constant {
    One,
    Log2Of10,
    Log2OfE,
    Pi,
    Log10Of2,
    LogEOf2,
    Zero,
}

/// Instructions of the x87 unit, and those that move its state. `short`: with an operand size of 16
/// bits, which makes a smaller image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FpuOp {
    Wait,
    Init,
    ClearExceptions,
    StoreControl(Address),
    LoadControl(Address),
    StoreStatus(Place),
    StoreEnvironment {
        to: Address,
        short: bool,
    },
    LoadEnvironment {
        from: Address,
        short: bool,
    },
    Save {
        to: Address,
        short: bool,
    },
    Restore {
        from: Address,
        short: bool,
    },
    Load(Float, Address),
    Store {
        float: Float,
        to: Address,
        pop: bool,
    },
    LoadInteger {
        bytes: u8,
        from: Address,
    },
    StoreInteger {
        bytes: u8,
        to: Address,
        pop: bool,
    },
    LoadDecimal(Address),
    StoreDecimal(Address),
    LoadRegister(u8),
    StoreRegister {
        to: u8,
        pop: bool,
    },
    LoadConstant(Constant),
    Exchange(u8),
    Free {
        i: u8,
        pop: bool,
    },
    /// FCHS, or FABS.
    Sign {
        change: bool,
    },
    IncrementTop,
    DecrementTop,
    Nop,
    /// FNENI, FNDISI and FNSETPM, which do nothing since the 387, without waiting.
    OldNop,
    /// FSTPNCE.
    StoreAnything(u8),
    Arithmetic {
        kind: Arithmetic,
        to: u8,
        source: FpuSource,
        pop: bool,
    },
    /// FCOM, or FUCOM (`quiet`).
    Compare {
        source: FpuSource,
        quiet: bool,
        pops: u8,
    },
    /// FCOMI, or FUCOMI (`quiet`).
    CompareFlags {
        i: u8,
        quiet: bool,
        pop: bool,
    },
    /// FTST.
    Test,
    Examine,
    MoveIf(Condition, u8),
    Root,
    RoundToInteger,
    Scale,
    Extract,
    /// FPREM, or FPREM1 (`nearest`).
    Remainder {
        nearest: bool,
    },
    FxSave(Address),
    FxRestore(Address),
    LoadMxcsr(Address),
    StoreMxcsr(Address),
    /// One that this machine knows of and does not do, by its mnemonic.
    Unsupported(u16),
}

/// An instruction, ready to be executed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Alu(Alu, Width, Place, Value),
    Test(Width, Place, Value),
    Unary(Unary, Width, Place),
    Mov(Width, Place, Value),
    /// MOVZX and MOVSX.
    Extend {
        signed: bool,
        to: Width,
        reg: Reg,
        from: Width,
        source: Place,
    },
    Lea(Width, Reg, Address),
    Shift(Shift, Width, Place, Value),
    /// SHLD and SHRD.
    ShiftDouble {
        left: bool,
        width: Width,
        place: Place,
        source: Reg,
        count: Value,
    },
    Bit(Bit, Width, Place, Value),
    BitScan {
        reverse: bool,
        width: Width,
        reg: Reg,
        source: Place,
    },
    Multiply {
        signed: bool,
        width: Width,
        source: Place,
    },
    MultiplyInto(Width, Reg, Place, Value),
    Divide {
        signed: bool,
        width: Width,
        source: Place,
    },
    Exchange(Width, Place, Place),
    ExchangeAdd(Width, Place, Place),
    CompareExchange(Width, Place, Place),
    CompareExchange8(Address),
    ByteSwap(Width, Reg),
    Set(Condition, Place),
    MovIf(Condition, Width, Reg, Place),
    /// CBW and CWDE, to this width.
    ConvertAccumulator(Width),
    /// CWD and CDQ, from this width.
    ConvertPair(Width),
    Decimal(Decimal),
    Flag(Flag),
    Lahf,
    Sahf,
    Salc,
    Xlat(Address),
    Nop,

    Push(Width, Value),
    Pop(Width, Place),
    PushSegment(Width, Seg),
    PopSegment(Width, Seg),
    PushAll(Width),
    PopAll(Width),
    PushFlags(Width),
    PopFlags(Width),
    Enter(Width, u16, u8),
    Leave(Width),

    /// Near branches carry their distance from the next instruction.
    Jump(Width, u32),
    JumpTo(Width, Place),
    JumpIf(Condition, Width, u32),
    Loop {
        kind: Loop,
        counter: Width,
        width: Width,
        distance: u32,
    },
    Call(Width, u32),
    CallTo(Width, Place),
    Return(Width, u16),
    JumpFar(Width, Far),
    CallFar(Width, Far),
    ReturnFar(Width, u16),
    InterruptReturn(Width),
    Interrupt(u8),
    /// INT1, which needs no right to its gate.
    DebugTrap,
    /// INTO.
    InterruptOnOverflow,
    Bound(Width, Reg, Address),
    SysEnter,
    SysExit,

    String(StringOp),

    StoreSegment(Width, Place, Seg),
    LoadSegment(Seg, Place),
    LoadPointer(Width, Seg, Reg, Address),
    StoreTable(TableRegister, Address),
    LoadTable(TableRegister, Width, Address),
    StoreWord(Word, Width, Place),
    LoadWord(Word, Place),
    Ask(Ask, Place),
    AdjustRpl(Place, Reg),
    StoreControl(Reg, u8),
    LoadControl(u8, Reg),
    StoreDebug(Reg, u8),
    LoadDebug(u8, Reg),
    In(Width, Value),
    Out(Width, Value),
    Halt,
    InvalidatePage(Address),
    /// INVD and WBINVD: there is no cache to lose.
    Privileged,
    CpuId,
    ReadTime,
    ReadMsr,
    WriteMsr,

    /// With the low eleven bits of its opcode.
    Fpu(FpuOp, u16),

    /// Not an instruction: #UD.
    Undefined,
    /// Longer than 15 bytes: #GP.
    TooLong,
}
