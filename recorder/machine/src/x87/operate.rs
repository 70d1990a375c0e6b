//! What the x87's instructions do to its registers and its status word.
//!
//! An exception is noted in the status word and nothing else happens, if it is not masked and comes
//! from the operands; the instruction is then as if it had not been executed, its pops included. Of a
//! result that was rounded, every answer is stored: unmasked overflow and underflow store it with
//! another exponent.

use super::Fpu;
use crate::float::arithmetic::{self, Binary, Operand, Outcome};
use crate::float::exception::{DENORMAL, INVALID, ROUNDED_UP, STACK, ZERO_DIVIDE};
use crate::float::remainder::{Quotient, remainder};
use crate::float::{Extended, integer};
use crate::op::{Arithmetic, Constant};
use std::cmp::Ordering;

const C0: u16 = 0x100;
const C2: u16 = 0x400;
const C3: u16 = 0x4000;
/// What the operands raise, before anything is computed.
const BEFORE: u16 = INVALID | DENORMAL | ZERO_DIVIDE;

/// The other operand of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Register(u8),
    Memory(Operand),
}

impl Fpu {
    fn begin(&mut self) {
        self.status &= !ROUNDED_UP;
    }

    /// Notes exceptions; says whether those that come from the operands are all masked.
    fn goes_on(&mut self, exceptions: u16) -> bool {
        let goes_on = exceptions & BEFORE & !self.control == 0;
        self.except(if goes_on { exceptions } else { exceptions & BEFORE });
        goes_on
    }

    /// Notes a stack underflow; says whether it is masked.
    fn underflow(&mut self) -> bool {
        self.except(INVALID | STACK)
    }

    fn finish(&mut self, to: u8, (value, exceptions): Outcome, pop: bool) {
        if self.goes_on(exceptions) {
            self.set_st(to, value);
            if pop {
                self.pop();
            }
        }
    }

    fn is_there(&self, source: Source) -> bool {
        match source {
            Source::Register(i) => !self.is_empty(i),
            Source::Memory(_) => true,
        }
    }

    fn value(&self, source: Source) -> Operand {
        match source {
            Source::Register(i) => self.st(i).into(),
            Source::Memory(operand) => operand,
        }
    }

    /// FADD and its relatives: ST(`to`) and the source give ST(`to`).
    pub(crate) fn arithmetic(&mut self, kind: Arithmetic, to: u8, source: Source, pop: bool) {
        self.begin();
        if self.is_empty(to) || !self.is_there(source) {
            if self.underflow() {
                self.finish(to, (Extended::INDEFINITE, 0), pop);
            }
            return;
        }
        let (a, b) = (self.st(to).into(), self.value(source));
        let (kind, a, b) = match kind {
            Arithmetic::Add => (Binary::Add, a, b),
            Arithmetic::Multiply => (Binary::Multiply, a, b),
            Arithmetic::Subtract => (Binary::Subtract, a, b),
            Arithmetic::SubtractReversed => (Binary::Subtract, b, a),
            Arithmetic::Divide => (Binary::Divide, a, b),
            Arithmetic::DivideReversed => (Binary::Divide, b, a),
        };
        let outcome = arithmetic::binary(kind, a, b, self.control);
        self.finish(to, outcome, pop);
    }

    /// The instructions that replace ST(0) by a function of it.
    fn unary(&mut self, function: impl Fn(Extended, u16) -> Outcome) {
        self.begin();
        if !self.is_empty(0) {
            let outcome = function(self.st(0), self.control);
            self.finish(0, outcome, false);
        } else if self.underflow() {
            self.set_st(0, Extended::INDEFINITE);
        }
    }

    /// FSQRT.
    pub(crate) fn root(&mut self) {
        self.unary(arithmetic::root);
    }

    /// FABS and FCHS, which look at nothing but the sign.
    pub(crate) fn sign(&mut self, change: bool) {
        self.unary(|value, _| (Extended { negative: change && !value.negative, ..value }, 0));
    }

    /// FRNDINT.
    pub(crate) fn round_to_integer(&mut self) {
        self.unary(|value, control| {
            if value.is_unsupported() {
                return (Extended::INDEFINITE, INVALID);
            }
            if value.is_nan() {
                return (value.quieted(), if value.is_signalling() { INVALID } else { 0 });
            }
            let denormal = if value.is_denormal() { DENORMAL } else { 0 };
            let (value, exceptions) = integer::to_integral(value, control);
            (value, exceptions | denormal)
        });
    }

    /// FSCALE.
    pub(crate) fn scale(&mut self) {
        self.pair(arithmetic::scale);
    }

    /// The instructions that replace ST(0) by a function of ST(0) and ST(1).
    fn pair(&mut self, function: impl Fn(Extended, Extended, u16) -> Outcome) {
        self.begin();
        if !self.is_empty(0) && !self.is_empty(1) {
            let outcome = function(self.st(0), self.st(1), self.control);
            self.finish(0, outcome, false);
        } else if self.underflow() {
            self.set_st(0, Extended::INDEFINITE);
        }
    }

    /// FPREM and FPREM1.
    pub(crate) fn remainder(&mut self, nearest: bool) {
        self.begin();
        self.status &= !C2;
        if self.is_empty(0) || self.is_empty(1) {
            if self.underflow() {
                self.set_st(0, Extended::INDEFINITE);
            }
            return;
        }
        let (outcome, quotient) = remainder(self.st(0), self.st(1), nearest, self.control);
        if !self.goes_on(outcome.1) {
            return;
        }
        self.set_st(0, outcome.0);
        if quotient != Quotient::Nothing {
            self.status &= !(C0 | C3 | ROUNDED_UP);
        }
        self.status |= match quotient {
            Quotient::Nothing => 0,
            Quotient::Partial => C2,
            Quotient::Bits(quotient) => {
                let bit = |n: u32, flag: u16| if quotient >> n & 1 != 0 { flag } else { 0 };
                bit(2, C0) | bit(1, C3) | bit(0, ROUNDED_UP)
            }
        };
    }

    /// FXTRACT: the exponent replaces ST(0), and the significand is pushed.
    pub(crate) fn extract(&mut self) {
        self.begin();
        if self.is_empty(0) {
            if self.underflow() {
                self.set_st(0, Extended::INDEFINITE);
                self.rotate(7);
                self.set_st(0, Extended::INDEFINITE);
            }
            return;
        }
        if !self.is_empty(7) {
            if self.except(INVALID | STACK | ROUNDED_UP) {
                self.set_st(0, Extended::INDEFINITE);
                self.rotate(7);
                self.set_st(0, Extended::INDEFINITE);
            }
            return;
        }
        let (exponent, significand, exceptions) = arithmetic::extract(self.st(0));
        if self.goes_on(exceptions) {
            self.set_st(0, exponent);
            self.rotate(7);
            self.set_st(0, significand);
        }
    }

    /// FCOM and its relatives. Gives how the two compare (none: they do not), and whether what follows
    /// from the instruction's pops does.
    fn comparison(&mut self, source: Source, quiet: bool) -> (Option<Ordering>, bool) {
        if self.is_empty(0) || !self.is_there(source) {
            self.begin();
            return (None, self.underflow());
        }
        let (order, exceptions) = arithmetic::compare(self.st(0).into(), self.value(source), quiet);
        (order, self.goes_on(exceptions))
    }

    /// FCOM, FUCOM and FTST, which answer in C0, C2 and C3, also when they raise an exception.
    pub(crate) fn compare(&mut self, source: Source, quiet: bool, pops: u8) {
        self.begin();
        let (order, goes_on) = self.comparison(source, quiet);
        self.status &= !(C0 | C2 | C3);
        self.status |= match order {
            Some(Ordering::Less) => C0,
            Some(Ordering::Equal) => C3,
            Some(Ordering::Greater) => 0,
            None => C0 | C2 | C3,
        };
        for _ in 0..if goes_on { pops } else { 0 } {
            self.pop();
        }
    }

    /// FCOMI and FUCOMI. Gives CF, PF and ZF.
    pub(crate) fn compare_flags(&mut self, i: u8, quiet: bool, pop: bool) -> u32 {
        use crate::registers::flags::{CF, PF, ZF};
        let (order, goes_on) = self.comparison(Source::Register(i), quiet);
        if pop && goes_on {
            self.pop();
        }
        match order {
            Some(Ordering::Less) => CF,
            Some(Ordering::Equal) => ZF,
            Some(Ordering::Greater) => 0,
            None => CF | PF | ZF,
        }
    }

    /// FXAM.
    pub(crate) fn examine(&mut self) {
        let value = self.st(0);
        let class = if self.is_empty(0) {
            C3 | C0
        } else if value.is_unsupported() {
            0
        } else if value.is_nan() {
            C0
        } else if value.is_infinite() {
            C2 | C0
        } else if value.is_zero() {
            C3
        } else if value.is_denormal() {
            C3 | C2
        } else {
            C2
        };
        let sign = if value.negative { ROUNDED_UP } else { 0 };
        self.status = self.status & !(C0 | C2 | C3 | ROUNDED_UP) | class | sign;
    }

    /// FCMOVcc: the check of the stack comes whether the condition is met or not.
    pub(crate) fn move_if(&mut self, met: bool, i: u8) {
        if self.is_empty(0) || self.is_empty(i) {
            self.begin();
            if self.underflow() {
                self.set_st(0, Extended::INDEFINITE);
            }
        } else if met {
            self.set_st(0, self.st(i));
        }
    }

    /// FLD of a number that was widened.
    pub(crate) fn load(&mut self, operand: Operand) {
        self.begin();
        if !self.is_empty(7) {
            return self.push(operand.number);
        }
        let number = operand.number;
        if operand.denormal {
            // Nothing stops it: as a number of 80 bits it is normal.
            self.except(DENORMAL);
        }
        if !number.is_signalling() || self.goes_on(INVALID) {
            self.push(number.quieted());
        }
    }

    /// FLD ST(i).
    pub(crate) fn load_register(&mut self, i: u8) {
        self.begin();
        if !self.is_empty(i) {
            self.push(self.st(i));
        } else if self.underflow() {
            self.rotate(7);
            self.set_st(0, Extended::INDEFINITE);
        }
    }

    /// FLD1 and its relatives. All but two of the constants depend on how they are rounded.
    pub(crate) fn load_constant(&mut self, constant: Constant) {
        let rounding = self.control >> 10 & 3;
        // The last digit where it is rounded down, and whether the nearest is one more.
        let (exponent, mantissa, nearest_is_up) = match constant {
            Constant::Zero => return self.push(Extended::ZERO),
            Constant::One => return self.push(Extended::ONE),
            Constant::Log2Of10 => (0x4000, 0xD49A_784B_CD1B_8AFE, false),
            Constant::Log2OfE => (0x3FFF, 0xB8AA_3B29_5C17_F0BB, true),
            Constant::Pi => (0x4000, 0xC90F_DAA2_2168_C234, true),
            Constant::Log10Of2 => (0x3FFD, 0x9A20_9A84_FBCF_F798, true),
            Constant::LogEOf2 => (0x3FFE, 0xB172_17F7_D1CF_79AB, true),
        };
        let up = rounding == 2 || rounding == 0 && nearest_is_up;
        self.push(Extended { negative: false, exponent, mantissa: mantissa + u64::from(up) });
    }

    /// FST and FSTP to a register.
    pub(crate) fn store_register(&mut self, to: u8, pop: bool) {
        self.begin();
        let empty = self.is_empty(0);
        let value = if empty { Extended::INDEFINITE } else { self.st(0) };
        if empty && !self.underflow() {
            return;
        }
        self.set_st(to, value);
        if pop {
            self.pop();
        }
    }

    /// FSTPNCE, which stores nothing if ST(0) is empty, and raises nothing.
    pub(crate) fn store_anything(&mut self, to: u8) {
        self.begin();
        if !self.is_empty(0) {
            self.set_st(to, self.st(0));
        }
        self.pop();
    }

    /// FXCH.
    pub(crate) fn exchange(&mut self, i: u8) {
        self.begin();
        let number = |empty, value| if empty { Extended::INDEFINITE } else { value };
        let empty = [self.is_empty(0), self.is_empty(i)];
        let (a, b) = (number(empty[0], self.st(0)), number(empty[1], self.st(i)));
        if empty == [false; 2] || self.underflow() {
            self.set_st(0, b);
            self.set_st(i, a);
        }
    }

    /// FFREE, and FFREEP, which pops besides.
    pub(crate) fn release(&mut self, i: u8, pop: bool) {
        self.begin();
        self.free(i);
        if pop {
            self.pop();
        }
    }

    /// FINCSTP and FDECSTP.
    pub(crate) fn turn(&mut self, by: u16) {
        self.begin();
        self.rotate(by);
    }
}
