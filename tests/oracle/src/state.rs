//! The state from which an instruction starts and in which it ends, on either side.

use crate::{CONSTANT, CONSTANT_SIZE, DATA, DATA_SIZE, decode, entry};
use iced_x86::Instruction;

/// The flags that are set before an instruction and compared after it: the status flags and DF, NT,
/// AC and ID. TF is set on either side, IF cannot be changed, and RF is the step's own.
pub const FLAGS: u32 = 0x0024_4CD5;

/// The x87 state, as FXSAVE stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X87 {
    /// The control word.
    pub control: u16,
    /// The status word.
    pub status: u16,
    /// One bit a physical register: it is not empty.
    pub full: u8,
    /// The opcode of the last instruction, 11 bits.
    pub opcode: u16,
    /// The offset of the last instruction.
    pub instruction: u32,
    /// The offset of the last operand.
    pub operand: u32,
    /// ST(0) to ST(7), 80 bits each.
    pub st: [[u8; 10]; 8],
}

impl Default for X87 {
    fn default() -> Self {
        X87 { control: 0x37F, status: 0, full: 0, opcode: 0, instruction: 0, operand: 0, st: [[0; 10]; 8] }
    }
}

/// The bytes that an instruction can reach: the data pages, then the constant page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// All of them zero.
    pub fn zeroed() -> Bytes {
        Bytes(vec![0; (DATA_SIZE + CONSTANT_SIZE) as usize])
    }
    /// The address of the byte at an index.
    pub fn address(index: usize) -> u32 {
        let index = index as u32;
        if index < DATA_SIZE { DATA + index } else { CONSTANT + index - DATA_SIZE }
    }
    /// The index of the byte at an address.
    pub fn index(address: u32) -> Option<usize> {
        let data = address.wrapping_sub(DATA);
        let constant = address.wrapping_sub(CONSTANT);
        if data < DATA_SIZE {
            Some(data as usize)
        } else {
            (constant < CONSTANT_SIZE).then(|| (constant + DATA_SIZE) as usize)
        }
    }
    /// Puts bytes at an address, those that fall on what is there.
    pub fn put(&mut self, address: u32, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(index) = Bytes::index(address.wrapping_add(at as u32)) {
                self.0[index] = *byte;
            }
        }
    }
}

/// Everything an instruction in ring 3 can read or change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub regs: [u32; 8],
    /// The instruction pointer: an offset in CS.
    pub eip: u32,
    /// The flags of [`FLAGS`].
    pub eflags: u32,
    /// The selectors of ES, CS, SS, DS, FS, GS, in the order of their encodings.
    pub selectors: [u16; 6],
    /// The x87 state; none where it is not looked at.
    pub x87: Option<X87>,
    /// Memory.
    pub bytes: Bytes,
}

/// How an instruction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was executed.
    Done,
    /// It raised an exception.
    Fault {
        /// The exception's vector.
        vector: u8,
        /// Its error code; 0 for those that have none.
        error: u32,
        /// CR2 for a page fault; 0 for the others.
        address: u32,
    },
}

/// An instruction with the state to execute it from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The instruction's bytes, and those behind it.
    pub code: Vec<u8>,
    /// How many of them are the instruction.
    pub len: usize,
    /// Where it starts from.
    pub start: State,
}

impl Case {
    /// Whether the code segment is of 32 bits; one that is not there counts as such.
    pub fn is_wide(&self) -> bool {
        entry(self.start.selectors[1]).is_none_or(|entry| entry.wide)
    }

    /// The instruction, as [`decode`] has it.
    pub fn instruction(&self) -> Instruction {
        decode(&self.code, self.is_wide())
    }
}
