//! The x87 floating-point unit: its state, the images in which it is saved, and (`operate`) what its
//! instructions do to it. Transcendental instructions end the run: no kernel here uses one.

pub(crate) mod operate;

use crate::float::Extended;
use crate::float::exception::{INVALID, ROUNDED_UP, STACK};
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

/// TOP's place in the status word.
const TOP: u32 = 11;
const EXCEPTIONS: u16 = 0x3F;
/// ES and B: an exception that is not masked is pending.
const PENDING: u16 = 0x8080;

impl Fpu {
    /// The physical register that is ST(i) now.
    pub(crate) fn physical(&self, i: u8) -> usize {
        usize::from((self.status >> TOP) + u16::from(i)) & 7
    }

    pub(crate) fn rotate(&mut self, by: u16) {
        let top = (self.status >> TOP).wrapping_add(by) & 7;
        self.status = self.status & !(7 << TOP) | top << TOP;
    }

    pub(crate) fn is_empty(&self, i: u8) -> bool {
        self.tag >> (self.physical(i) * 2) & 3 == 3
    }

    pub(crate) fn st(&self, i: u8) -> Extended {
        Extended::from_bytes(&self.registers[self.physical(i)])
    }

    pub(crate) fn set_st(&mut self, i: u8, value: Extended) {
        let index = self.physical(i);
        self.registers[index] = value.to_bytes();
        self.tag &= !(3 << (index * 2));
        self.retag();
    }

    pub(crate) fn free(&mut self, i: u8) {
        self.tag |= 3 << (self.physical(i) * 2);
    }

    /// Makes the tags of all registers that are not empty say what the registers hold.
    fn retag(&mut self) {
        for (index, raw) in self.registers.iter().enumerate() {
            let shift = index * 2;
            if self.tag >> shift & 3 == 3 {
                continue;
            }
            let number = Extended::from_bytes(raw);
            let kind = match (number.exponent, number.mantissa) {
                (0, 0) => 1,
                (1..=0x7FFE, mantissa) if mantissa >> 63 != 0 => 0,
                _ => 2,
            };
            self.tag = self.tag & !(3 << shift) | kind << shift;
        }
    }

    /// Makes ES and B say whether an exception that is not masked is pending.
    pub(crate) fn settle(&mut self) {
        let pending = self.status & !self.control & EXCEPTIONS != 0;
        self.status = self.status & !PENDING | if pending { PENDING } else { 0 };
    }

    /// Whether the next instruction that waits raises #MF.
    pub(crate) fn is_pending(&self) -> bool {
        self.status & PENDING != 0
    }

    /// Notes exceptions (and C1); says whether all of them are masked.
    pub(crate) fn except(&mut self, exceptions: u16) -> bool {
        self.status |= exceptions;
        self.settle();
        exceptions & !self.control & EXCEPTIONS == 0
    }

    /// Pushes a number; onto a full stack, what a masked stack fault gives.
    pub(crate) fn push(&mut self, value: Extended) {
        self.status &= !ROUNDED_UP;
        if self.is_empty(7) {
            self.rotate(7);
            self.set_st(0, value);
        } else if self.except(INVALID | STACK | ROUNDED_UP) {
            self.rotate(7);
            self.set_st(0, Extended::INDEFINITE);
        }
    }

    pub(crate) fn pop(&mut self) {
        self.free(0);
        self.rotate(1);
    }

    /// FNINIT. The registers keep their bits and become empty.
    pub(crate) fn initialise(&mut self) {
        *self = Fpu { registers: self.registers, mxcsr: self.mxcsr, ..Fpu::default() };
    }

    /// FNCLEX.
    pub(crate) fn clear_exceptions(&mut self) {
        self.status &= 0x7F00;
    }

    /// The environment as FNSTENV stores it in protected mode, and its length: 28 bytes, or 14 with an
    /// operand size of 16 bits.
    pub(crate) fn environment(&self, short: bool) -> ([u8; 28], usize) {
        let mut raw = [0; 28];
        if short {
            let image = [
                self.control,
                self.status,
                self.tag,
                self.instruction as u16,
                self.selector as u16,
                self.operand as u16,
                self.operand_selector,
            ];
            for (place, value) in raw.chunks_exact_mut(2).zip(image) {
                place.copy_from_slice(&value.to_le_bytes());
            }
            return (raw, 14);
        }
        let word = |value: u16| 0xFFFF_0000 | u32::from(value);
        let image = [
            word(self.control),
            word(self.status),
            word(self.tag),
            self.instruction,
            self.selector,
            self.operand,
            word(self.operand_selector),
        ];
        for (place, value) in raw.chunks_exact_mut(4).zip(image) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        (raw, 28)
    }

    /// Takes the environment from FNSTENV's image of 28 or 14 bytes.
    pub(crate) fn set_environment(&mut self, raw: &[u8]) {
        let short = raw.len() == 14;
        let mut image = [0; 7];
        for (value, place) in image.iter_mut().zip(raw.chunks_exact(if short { 2 } else { 4 })) {
            *value = place.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        }
        self.control = defined_control(image[0] as u16);
        self.status = image[1] as u16;
        self.tag = image[2] as u16;
        self.instruction = image[3];
        self.selector = if short { image[4] } else { image[4] & 0x07FF_FFFF };
        self.operand = image[5];
        self.operand_selector = image[6] as u16;
        self.retag();
        self.settle();
    }

    /// The image of FNSAVE, and its length: the environment, and the registers from ST(0) on.
    pub(crate) fn save(&self, short: bool) -> ([u8; 108], usize) {
        let mut raw = [0; 108];
        let (environment, len) = self.environment(short);
        raw[..len].copy_from_slice(&environment[..len]);
        for i in 0..8 {
            let start = len + 10 * i;
            raw[start..start + 10].copy_from_slice(&self.registers[self.physical(i as u8)]);
        }
        (raw, len + 80)
    }

    /// Takes the state from FNSAVE's image of 108 or 94 bytes.
    pub(crate) fn restore(&mut self, raw: &[u8]) {
        let (environment, registers) = raw.split_at(raw.len() - 80);
        self.set_environment(environment);
        for (i, register) in registers.chunks_exact(10).enumerate() {
            let index = self.physical(i as u8);
            self.registers[index].copy_from_slice(register);
        }
        self.retag();
    }

    /// The part of FXSAVE's image that this processor has: 160 of its 512 bytes.
    pub(crate) fn fx_save(&self) -> [u8; FX_USED] {
        let mut raw = [0; FX_USED];
        let full = (0..8).filter(|index| self.tag >> (index * 2) & 3 != 3);
        raw[0..2].copy_from_slice(&self.control.to_le_bytes());
        raw[2..4].copy_from_slice(&self.status.to_le_bytes());
        raw[4] = full.fold(0, |bits, index| bits | 1 << index);
        raw[6..8].copy_from_slice(&((self.selector >> 16) as u16).to_le_bytes());
        raw[8..12].copy_from_slice(&self.instruction.to_le_bytes());
        raw[12..14].copy_from_slice(&(self.selector as u16).to_le_bytes());
        raw[16..20].copy_from_slice(&self.operand.to_le_bytes());
        raw[20..22].copy_from_slice(&self.operand_selector.to_le_bytes());
        raw[24..28].copy_from_slice(&self.mxcsr.to_le_bytes());
        raw[28..32].copy_from_slice(&MXCSR_DEFINED.to_le_bytes());
        for i in 0..8 {
            let start = 32 + 16 * i;
            raw[start..start + 10].copy_from_slice(&self.registers[self.physical(i as u8)]);
        }
        raw
    }

    /// Takes the state from FXSAVE's image; false, and nothing is changed, when MXCSR is not valid.
    pub(crate) fn fx_restore(&mut self, raw: &[u8; FX_USED]) -> bool {
        let word = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        let dword = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        if dword(24) & !MXCSR_DEFINED != 0 {
            return false;
        }
        self.control = defined_control(word(0));
        self.status = word(2);
        self.tag =
            (0..8).fold(0, |tag, index| if raw[4] >> index & 1 != 0 { tag } else { tag | 3 << (index * 2) });
        self.selector = u32::from(word(12)) | u32::from(word(6) & 0x7FF) << 16;
        self.instruction = dword(8);
        self.operand = dword(16);
        self.operand_selector = word(20);
        self.mxcsr = dword(24);
        for i in 0..8 {
            let start = 32 + 16 * i;
            let index = self.physical(i as u8);
            self.registers[index].copy_from_slice(&raw[start..start + 10]);
        }
        self.retag();
        self.settle();
        true
    }
}

/// A control word as the register holds it: bit 6 always reads as one.
pub(crate) fn defined_control(value: u16) -> u16 {
    value & 0x1F3F | 0x40
}

/// How much of FXSAVE's image is before the registers that this processor does not have.
pub(crate) const FX_USED: usize = 160;

/// The bits of MXCSR that may be set.
pub(crate) const MXCSR_DEFINED: u32 = 0xFFBF;
