//! Sums, products, quotients, square roots and scaling.

use super::exception::{DENORMAL, INVALID, ZERO_DIVIDE};
use super::round::{Exact, precision, round};
use super::{BIAS, Extended};
use rustc_apfloat::ieee::Quad;
use rustc_apfloat::{Float, Round, Status, StatusAnd};

/// An operand, with what was lost when it was widened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub number: Extended,
    /// It was denormal in memory.
    pub denormal: bool,
}

impl From<Extended> for Operand {
    fn from(number: Extended) -> Operand {
        Operand { number, denormal: number.is_denormal() }
    }
}

/// A result with its exceptions and C1.
pub(crate) type Outcome = (Extended, u16);

/// The operations of two operands that share their forms. The reversed ones exchange theirs before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// What is not computed because an operand is a NaN or no number at all.
pub(super) fn refused(a: Extended, b: Extended) -> Option<Outcome> {
    if a.is_unsupported() || b.is_unsupported() {
        return Some((Extended::INDEFINITE, INVALID));
    }
    if !a.is_nan() && !b.is_nan() {
        return None;
    }
    let exceptions = if a.is_signalling() || b.is_signalling() { INVALID } else { 0 };
    let chosen = match (a.is_nan(), b.is_nan()) {
        (true, false) => a,
        (false, true) => b,
        // A quiet one before a signalling one; then the larger; then the positive.
        _ if a.is_signalling() != b.is_signalling() => {
            if a.is_signalling() {
                b
            } else {
                a
            }
        }
        _ if a.mantissa != b.mantissa => {
            if a.mantissa > b.mantissa {
                a
            } else {
                b
            }
        }
        _ => {
            if a.negative {
                b
            } else {
                a
            }
        }
    };
    Some((chosen.quieted(), exceptions))
}

/// Computes `a` and `b` by the control word.
pub(crate) fn binary(kind: Binary, a: Operand, b: Operand, control: u16) -> Outcome {
    let denormal = if a.denormal || b.denormal { DENORMAL } else { 0 };
    let (a, b) = (a.number, b.number);
    if let Some(outcome) = refused(a, b) {
        return outcome;
    }
    let b = if kind == Binary::Subtract { b.negated() } else { b };
    let negative = a.negative != b.negative;
    let invalid = (Extended::INDEFINITE, INVALID);
    let (value, exceptions) = match kind {
        Binary::Add | Binary::Subtract => match (a.is_infinite(), b.is_infinite()) {
            (true, true) if negative => return invalid,
            (true, _) => (a, 0),
            (_, true) => (b, 0),
            _ => sum(a, b, control),
        },
        Binary::Multiply => {
            let infinite = a.is_infinite() || b.is_infinite();
            match a.is_zero() || b.is_zero() {
                true if infinite => return invalid,
                true => (Extended::zero(negative), 0),
                false if infinite => (Extended::infinity(negative), 0),
                false => product(a, b, negative, control),
            }
        }
        Binary::Divide => match (a.is_infinite(), b.is_infinite()) {
            (true, true) => return invalid,
            (true, false) => (Extended::infinity(negative), 0),
            (false, true) => (Extended::zero(negative), 0),
            _ if a.is_zero() && b.is_zero() => return invalid,
            // A division by zero is not told of as one of a denormal besides.
            _ if b.is_zero() => return (Extended::infinity(negative), ZERO_DIVIDE),
            _ if a.is_zero() => (Extended::zero(negative), 0),
            _ => quotient(a, b, negative, control),
        },
    };
    (value, exceptions | denormal)
}

/// A significand as a number of the wide format, in [1, 2) and then divided by 2^down.
fn wide(negative: bool, mantissa: u64, down: i32) -> Quad {
    let fraction = u128::from(mantissa << 1) << 48;
    Quad::from_bits(u128::from(negative) << 127 | ((BIAS - down) as u128) << 112 | fraction)
}

/// What came of the wide format, cut off, with 2^0 standing for `exponent`. Not of zero.
fn exact(result: StatusAnd<Quad>, exponent: i32) -> Exact {
    let bits = result.value.to_bits();
    let fraction = bits & ((1 << 112) - 1);
    let field = (bits >> 112 & 0x7FFF) as i32;
    Exact {
        negative: bits >> 127 != 0,
        exponent: exponent + field - BIAS,
        significand: (fraction | 1 << 112) << 15,
        more: result.status.contains(Status::INEXACT),
    }
}

fn whole(number: Extended) -> Exact {
    let (exponent, mantissa) = number.normalised();
    let significand = u128::from(mantissa) << 64;
    Exact { negative: number.negative, exponent, significand, more: false }
}

fn sum(a: Extended, b: Extended, control: u16) -> Outcome {
    let down = control >> 10 & 3 == 1;
    let zero = (Extended::zero(down), 0);
    match (a.is_zero(), b.is_zero()) {
        (true, true) if a.negative == b.negative => return (a, 0),
        (true, true) => return zero,
        (true, false) => return round(whole(b), precision(control), control),
        (false, true) => return round(whole(a), precision(control), control),
        _ => {}
    }
    let ((a_exponent, a_mantissa), (b_exponent, b_mantissa)) = (a.normalised(), b.normalised());
    let top = a_exponent.max(b_exponent);
    // Further down than this it is only known to be there.
    let below = |exponent: i32| (top - exponent).min(300);
    let left = wide(a.negative, a_mantissa, below(a_exponent));
    let right = wide(b.negative, b_mantissa, below(b_exponent));
    let result = left.add_r(right, Round::TowardZero);
    if result.value.is_zero() {
        return zero;
    }
    round(exact(result, top), precision(control), control)
}

fn product(a: Extended, b: Extended, negative: bool, control: u16) -> Outcome {
    let ((a_exponent, a_mantissa), (b_exponent, b_mantissa)) = (a.normalised(), b.normalised());
    let result = wide(negative, a_mantissa, 0).mul_r(wide(false, b_mantissa, 0), Round::TowardZero);
    round(exact(result, a_exponent + b_exponent - BIAS), precision(control), control)
}

fn quotient(a: Extended, b: Extended, negative: bool, control: u16) -> Outcome {
    let ((a_exponent, a_mantissa), (b_exponent, b_mantissa)) = (a.normalised(), b.normalised());
    let result = wide(negative, a_mantissa, 0).div_r(wide(false, b_mantissa, 0), Round::TowardZero);
    round(exact(result, a_exponent - b_exponent + BIAS), precision(control), control)
}

/// FSQRT.
pub(crate) fn root(number: Extended, control: u16) -> Outcome {
    if let Some(outcome) = refused(number, number) {
        return outcome;
    }
    if number.is_zero() {
        return (number, 0);
    }
    if number.negative {
        return (Extended::INDEFINITE, INVALID);
    }
    if number.is_infinite() {
        return (number, 0);
    }
    let denormal = if number.is_denormal() { DENORMAL } else { 0 };
    let (exponent, mantissa) = number.normalised();
    // The radicand gets an even power of two.
    let power = exponent - BIAS;
    let shift = if power & 1 == 0 { 63 } else { 64 };
    let radicand = u128::from(mantissa) << shift;
    let root = radicand.isqrt();
    let rest = radicand - root * root;
    // The next bit says whether the rest is more than half; half exactly it never is.
    let significand = root << 64 | u128::from(rest > root) << 63;
    let exact = Exact { negative: false, exponent: power.div_euclid(2) + BIAS, significand, more: rest != 0 };
    let (value, exceptions) = round(exact, precision(control), control);
    (value, exceptions | denormal)
}

/// FSCALE: `a` times two to the power of `b` without its fraction.
pub(crate) fn scale(a: Extended, b: Extended, control: u16) -> Outcome {
    if let Some(outcome) = refused(a, b) {
        return outcome;
    }
    let denormal = if a.is_denormal() || b.is_denormal() { DENORMAL } else { 0 };
    let invalid = (Extended::INDEFINITE, INVALID);
    if b.is_infinite() {
        return match b.negative {
            true if a.is_infinite() => invalid,
            true => (Extended::zero(a.negative), denormal),
            false if a.is_zero() => invalid,
            false => (Extended::infinity(a.negative), denormal),
        };
    }
    if a.is_infinite() || a.is_zero() {
        return (a, denormal);
    }
    let power = i32::from(b.exponent) - BIAS;
    let by = match power {
        ..0 => 0,
        0..17 => (b.mantissa >> (63 - power)) as i32,
        _ => 1 << 17,
    };
    let by = if b.negative { -by } else { by };
    let mut exact = whole(a);
    exact.exponent += by;
    let (value, exceptions) = round(exact, 64, control);
    (value, exceptions | denormal)
}

/// FXTRACT: the exponent and the significand, each as a number.
pub(crate) fn extract(number: Extended) -> (Extended, Extended, u16) {
    if let Some((value, exceptions)) = refused(number, number) {
        return (value, value, exceptions);
    }
    if number.is_zero() {
        return (Extended::infinity(true), number, ZERO_DIVIDE);
    }
    if number.is_infinite() {
        return (Extended::infinity(false), number, 0);
    }
    let denormal = if number.is_denormal() { DENORMAL } else { 0 };
    let (exponent, mantissa) = number.normalised();
    let significand = Extended { negative: number.negative, exponent: BIAS as u16, mantissa };
    (Extended::from_integer((exponent - BIAS).into()), significand, denormal)
}

/// How two numbers compare; none when they do not. Gives also the exceptions: a quiet NaN is invalid
/// only where `quiet` does not allow it.
pub(crate) fn compare(a: Operand, b: Operand, quiet: bool) -> (Option<std::cmp::Ordering>, u16) {
    let denormal = if a.denormal || b.denormal { DENORMAL } else { 0 };
    let (a, b) = (a.number, b.number);
    if let Some((_, exceptions)) = refused(a, b) {
        return (None, if quiet { exceptions } else { INVALID });
    }
    // Pseudo-denormals are as large as normal numbers of the lowest exponent.
    let key = |number: Extended| {
        let exponent = if number.mantissa == 0 { 0 } else { number.exponent.max(1) };
        let magnitude = i128::from(exponent) << 64 | i128::from(number.mantissa);
        if number.negative { -magnitude } else { magnitude }
    };
    (Some(key(a).cmp(&key(b))), denormal)
}
