//! The x87 floating-point unit: its state, and the instructions that kernels use to move it.

use serde::{Deserialize, Serialize};

/// The x87 state as FNSAVE stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fpu {
    /// Control word.
    pub control: u16,
    /// Status word; TOP in bits 11 to 13.
    pub status: u16,
    /// Tag word, two bits a physical register (3: empty).
    pub tag: u16,
    /// Offset of the last instruction.
    pub instruction: u32,
    /// Selector of the last instruction (bits 0 to 15) and its opcode (bits 16 to 26).
    pub selector: u32,
    /// Offset of the last operand.
    pub operand: u32,
    /// Selector of the last operand.
    pub operand_selector: u16,
    /// The physical registers R0 to R7, 80 bits each, little-endian.
    pub registers: [[u8; 10]; 8],
    /// MXCSR.
    pub mxcsr: u32,
}

impl Default for Fpu {
    fn default() -> Self {
        Fpu {
            control: 0x37F,
            status: 0,
            tag: 0xFFFF,
            instruction: 0,
            selector: 0,
            operand: 0,
            operand_selector: 0,
            registers: [[0; 10]; 8],
            mxcsr: 0x1F80,
        }
    }
}
