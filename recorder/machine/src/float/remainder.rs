//! FPREM and FPREM1: remainders, taken a part at a time when the operands lie far apart.

use super::Extended;
use super::arithmetic::{Outcome, refused};
use super::exception::{DENORMAL, INVALID};
use super::round::{Exact, round};

/// What is known of the quotient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quotient {
    /// Nothing was divided.
    Nothing,
    /// The remainder is only a partial one.
    Partial,
    /// The low 64 bits.
    Bits(u64),
}

/// The remainder of `a / b`, the quotient cut off or (FPREM1) rounded to the nearest. Gives also the
/// quotient's low bits.
pub(crate) fn remainder(a: Extended, b: Extended, nearest: bool, control: u16) -> (Outcome, Quotient) {
    if let Some(outcome) = refused(a, b) {
        return (outcome, Quotient::Nothing);
    }
    if a.is_infinite() || b.is_zero() {
        return ((Extended::INDEFINITE, INVALID), Quotient::Nothing);
    }
    let denormal = if a.is_denormal() || b.is_denormal() { DENORMAL } else { 0 };
    if a.is_zero() || b.is_infinite() {
        let (value, exceptions) = if a.is_zero() { (a, 0) } else { exact(a, a.normalised(), control) };
        return ((value, exceptions | denormal), Quotient::Bits(0));
    }
    let ((a_exponent, a_mantissa), (b_exponent, b_mantissa)) = (a.normalised(), b.normalised());
    let distance = a_exponent - b_exponent;
    if distance < -1 || distance < 0 && !nearest {
        let (value, exceptions) = exact(a, (a_exponent, a_mantissa), control);
        return ((value, exceptions | denormal), Quotient::Bits(0));
    }
    if distance >= 64 {
        // As many bits of the quotient as are multiples of 32 away from the end.
        let bits = 32 + distance % 32;
        let (rest, _) = divide(a_mantissa, b_mantissa, bits);
        let (value, exceptions) = rounded(a.negative, rest, b_exponent + distance - bits, control);
        return ((value, exceptions | denormal), Quotient::Partial);
    }
    let (mut rest, mut quotient) = match distance {
        -1 => (u128::from(a_mantissa), 0),
        _ => {
            let (rest, quotient) = divide(a_mantissa, b_mantissa, distance);
            (rest << 1, quotient)
        }
    };
    // Both are doubled, so that half of the divisor is a whole number, and so is an operand below it.
    let mut negative = a.negative;
    let divisor = u128::from(b_mantissa) << 1;
    let half = u128::from(b_mantissa);
    if nearest && (rest > half || rest == half && quotient & 1 != 0) {
        rest = divisor - rest;
        quotient += 1;
        negative = !negative;
    }
    if rest == 0 {
        return ((Extended::zero(a.negative), denormal), Quotient::Bits(quotient));
    }
    let (value, exceptions) = rounded(negative, rest, b_exponent - 1, control);
    ((value, exceptions | denormal), Quotient::Bits(quotient))
}

/// Long division of `a * 2^bits` by `b`: the remainder and the quotient's low 64 bits.
fn divide(a: u64, b: u64, bits: i32) -> (u128, u64) {
    let (mut rest, mut quotient) = (u128::from(a), 0u64);
    for step in 0..=bits {
        if step > 0 {
            rest <<= 1;
        }
        quotient <<= 1;
        if rest >= u128::from(b) {
            rest -= u128::from(b);
            quotient |= 1;
        }
    }
    (rest, quotient)
}

/// `rest * 2^(exponent - bias - 63)`, which needs no rounding but may underflow.
fn rounded(negative: bool, rest: u128, exponent: i32, control: u16) -> Outcome {
    if rest == 0 {
        return (Extended::zero(negative), 0);
    }
    let zeros = rest.leading_zeros() as i32;
    let exact = Exact { negative, exponent: exponent + 64 - zeros, significand: rest << zeros, more: false };
    round(exact, 64, control)
}

fn exact(a: Extended, (exponent, mantissa): (i32, u64), control: u16) -> Outcome {
    rounded(a.negative, mantissa.into(), exponent, control)
}
