//! Integers and decimal integers.

use super::exception::{INVALID, PRECISION, ROUNDED_UP};
use super::round::nearest;
use super::{BIAS, Extended};

/// The magnitude rounded to an integer by the control word; none when it does not fit into 64 bits.
/// Gives also the precision exception and C1.
fn magnitude(number: Extended, control: u16) -> Option<(u64, u16)> {
    if number.mantissa == 0 && number.exponent == 0 {
        return Some((0, 0));
    }
    let exponent = i32::from(number.exponent.max(1)) - BIAS;
    if exponent > 63 || number.is_unsupported() {
        return None;
    }
    let (rounded, inexact, up) = nearest(number.mantissa, (63 - exponent) as u32, number.negative, control);
    let exceptions = if inexact { PRECISION } else { 0 } | if up { ROUNDED_UP } else { 0 };
    Some((rounded, exceptions))
}

/// Rounds a number to a signed integer of `bits` bits; what does not fit gives the most negative one.
pub(crate) fn to_integer(number: Extended, bits: u32, control: u16) -> (i64, u16) {
    let indefinite = (i64::MIN >> (64 - bits), INVALID);
    let Some((rounded, exceptions)) = magnitude(number, control) else {
        return indefinite;
    };
    let limit = (1u64 << (bits - 1)) - u64::from(!number.negative);
    if rounded > limit {
        return indefinite;
    }
    let value = if number.negative { (rounded as i64).wrapping_neg() } else { rounded as i64 };
    (value, exceptions)
}

/// Rounds a number to an integer that stays a number: FRNDINT.
pub(crate) fn to_integral(number: Extended, control: u16) -> (Extended, u16) {
    if i32::from(number.exponent) - BIAS >= 63 || number.is_zero() {
        return (number, 0);
    }
    let Some((rounded, exceptions)) = magnitude(number, control) else {
        return (number, 0);
    };
    let whole = match rounded {
        0 => Extended::ZERO,
        _ => {
            let zeros = rounded.leading_zeros() as u16;
            Extended { negative: false, exponent: BIAS as u16 + 63 - zeros, mantissa: rounded << zeros }
        }
    };
    (Extended { negative: number.negative, ..whole }, exceptions)
}

/// What a masked invalid FBSTP stores.
const INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF];

/// Eighteen decimal digits, two a byte, and a sign.
pub(crate) fn to_decimal(number: Extended, control: u16) -> ([u8; 10], u16) {
    let (mut rest, exceptions) = match magnitude(number, control) {
        Some((rounded, exceptions)) if rounded < 1_000_000_000_000_000_000 => (rounded, exceptions),
        _ => return (INDEFINITE, INVALID),
    };
    let mut raw = [0; 10];
    for byte in &mut raw[..9] {
        *byte = ((rest % 10) | ((rest / 10 % 10) << 4)) as u8;
        rest /= 100;
    }
    raw[9] = if number.negative { 0x80 } else { 0 };
    (raw, exceptions)
}

/// The number that eighteen digits make. A digit above nine counts as what it is.
pub(crate) fn from_decimal(raw: &[u8; 10]) -> Extended {
    let digits = raw[..9].iter().rev();
    let value = digits.fold(0u64, |value, byte| {
        value.wrapping_mul(100).wrapping_add(u64::from(byte >> 4) * 10 + u64::from(byte & 15))
    });
    Extended { negative: raw[9] & 0x80 != 0, ..Extended::from_integer(value as i64) }
}
