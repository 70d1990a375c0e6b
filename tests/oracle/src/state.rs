//! The state from which an instruction starts and in which it ends, on either side.

/// Where the instruction lies: one page, readable and executable.
pub const CODE: u32 = 0x1000_0000;
/// Where its data lies: two pages, readable and writable. The page behind them is not mapped.
pub const DATA: u32 = 0x1000_1000;
/// Bytes of data.
pub const DATA_SIZE: u32 = 0x2000;
/// The flags that an instruction may change in ring 3 and that are compared.
pub const STATUS_FLAGS: u32 = 0xCD5;

/// General registers in the order of their encodings, EIP, EFLAGS, and the data pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub regs: [u32; 8],
    /// The instruction pointer.
    pub eip: u32,
    /// The status flags, DF included.
    pub eflags: u32,
    /// The bytes from [`DATA`] on.
    pub data: Vec<u8>,
}

/// How an instruction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was executed.
    Done,
    /// It raised #DE.
    Divide,
    /// It raised #UD.
    Undefined,
    /// It raised #SS: the one fault of memory that Linux reports apart.
    Stack,
    /// It raised #PF, #GP, #OF or #BR.
    Violation,
    /// It was INT3.
    Breakpoint,
}
