//! Rounding: to the control word's precision, to the shorter formats, to whole numbers.

use super::exception::{INVALID, OVERFLOW, PRECISION, ROUNDED_UP, UNDERFLOW};
use super::{BIAS, Extended, Format, QUIET};

/// A result before rounding; not zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact {
    pub negative: bool,
    /// Biased by 16383, and with no bounds.
    pub exponent: i32,
    /// With the integer bit in bit 127.
    pub significand: u128,
    /// Something that is not zero was cut off.
    pub more: bool,
}

/// What an unmasked overflow takes off the exponent, and an unmasked underflow adds.
const WRAP: i32 = 0x6000;

/// The bits of precision that the control word asks for.
pub(crate) fn precision(control: u16) -> u32 {
    match control >> 8 & 3 {
        0 => 24,
        2 => 53,
        _ => 64,
    }
}

/// Whether RC adds one to the magnitude that is kept, when `rest` (relative to `half`) is cut off.
fn rounds_up(odd: bool, rest: u128, half: u128, more: bool, negative: bool, control: u16) -> bool {
    match control >> 10 & 3 {
        0 => rest > half || rest == half && (more || odd),
        1 => negative && (rest != 0 || more),
        2 => !negative && (rest != 0 || more),
        _ => false,
    }
}

/// Cuts `drop` low bits off, 1 to 127, and rounds. Gives also whether it was inexact and rounded up.
fn cut(significand: u128, more: bool, drop: u32, negative: bool, control: u16) -> (u128, bool, bool) {
    let (kept, rest) = (significand >> drop, significand & ((1 << drop) - 1));
    let up = rounds_up(kept & 1 != 0, rest, 1 << (drop - 1), more, negative, control);
    (kept + u128::from(up), rest != 0 || more, up)
}

/// Rounds `value / 2^drop` to an integer by the control word's RC. Gives also whether it was inexact
/// and whether it was rounded up.
pub(super) fn nearest(value: u64, drop: u32, negative: bool, control: u16) -> (u64, bool, bool) {
    if drop == 0 {
        return (value, false, false);
    }
    let (kept, inexact, up) = cut(value.into(), false, drop.min(100), negative, control);
    (kept as u64, inexact, up)
}

/// Whether an overflow gives infinity; the largest number otherwise.
fn to_infinity(negative: bool, control: u16) -> bool {
    match control >> 10 & 3 {
        0 => true,
        1 => negative,
        2 => !negative,
        _ => false,
    }
}

fn up_flag(inexact: bool, up: bool) -> u16 {
    let precision = if inexact { PRECISION } else { 0 };
    precision | if up { ROUNDED_UP } else { 0 }
}

/// Rounds to `precision` bits. Gives also the exceptions and C1.
pub(crate) fn round(exact: Exact, precision: u32, control: u16) -> (Extended, u16) {
    let Exact { negative, exponent, significand, more } = exact;
    let drop = 128 - precision;
    let number = |exponent: i32, kept: u128| Extended {
        negative,
        exponent: exponent as u16,
        mantissa: (kept << (64 - precision)) as u64,
    };
    let (kept, inexact, up) = cut(significand, more, drop, negative, control);
    let carried = kept >> precision != 0;
    let (kept, after) = if carried { (kept >> 1, exponent + 1) } else { (kept, exponent) };
    let flags = up_flag(inexact, up);
    if after >= 0x7FFF {
        if control & OVERFLOW == 0 {
            return match after - WRAP {
                low @ ..0x7FFF => (number(low, kept), OVERFLOW | flags),
                _ => (Extended::infinity(negative), OVERFLOW | PRECISION | ROUNDED_UP),
            };
        }
        let infinite = to_infinity(negative, control);
        let largest = number(0x7FFE, (1 << precision) - 1);
        let result = if infinite { Extended::infinity(negative) } else { largest };
        return (result, OVERFLOW | up_flag(true, infinite));
    }
    if after >= 1 {
        return (number(after, kept), flags);
    }
    if control & UNDERFLOW == 0 {
        return match after + WRAP {
            high @ 1.. => (number(high, kept), UNDERFLOW | flags),
            _ => (Extended::zero(negative), UNDERFLOW | PRECISION),
        };
    }
    let shift = (1 - exponent) as u32;
    let (shifted, lost) = match shift {
        0..128 => (significand >> shift, significand & ((1 << shift) - 1) != 0),
        _ => (0, true),
    };
    let (kept, inexact, up) = cut(shifted, more || lost, drop, negative, control);
    let normal = kept >> (precision - 1) != 0;
    let exceptions = if inexact { UNDERFLOW } else { 0 } | up_flag(inexact, up);
    (number(i32::from(normal), kept), exceptions)
}

/// Narrows a number, rounding by the control word. Gives also the exceptions and C1.
pub(crate) fn narrow(format: Format, number: Extended, control: u16) -> (u64, u16) {
    let sign = u64::from(number.negative) << (format.fraction + format.exponent);
    let top = format.top_exponent() << format.fraction;
    if number.is_unsupported() {
        return (narrow(format, Extended::INDEFINITE, control).0, INVALID);
    }
    if number.is_nan() {
        let signalling = number.mantissa & QUIET == 0;
        let fraction = (number.mantissa | QUIET) << 1 >> (64 - format.fraction);
        return (sign | top | fraction, if signalling { INVALID } else { 0 });
    }
    if number.exponent == 0x7FFF {
        return (sign | top, 0);
    }
    if number.mantissa == 0 {
        return (sign, 0);
    }
    let exponent = i32::from(number.exponent.max(1)) - BIAS + format.bias();
    let normal = 63 - format.fraction;
    let (rounded, inexact, up) = nearest(number.mantissa, normal, number.negative, control);
    let carried = rounded >> (format.fraction + 1) != 0;
    let up_flag = |up: bool| if up { ROUNDED_UP } else { 0 };
    if exponent + i32::from(carried) >= format.top_exponent() as i32 {
        let to_infinity = match control >> 10 & 3 {
            0 => true,
            1 => number.negative,
            2 => !number.negative,
            _ => false,
        };
        let largest = top - 1;
        let result = sign | if to_infinity { top } else { largest };
        return (result, OVERFLOW | PRECISION | up_flag(to_infinity));
    }
    if exponent + i32::from(carried) >= 1 {
        let precision = if inexact { PRECISION | up_flag(up) } else { 0 };
        // Adding lets a carry out of the fraction step the exponent.
        let magnitude = ((exponent as u64) << format.fraction) + (rounded - (1 << format.fraction));
        return (sign | magnitude, precision);
    }
    let extra = (1 - exponent) as u32;
    let (rounded, inexact, up) = nearest(number.mantissa, normal + extra, number.negative, control);
    let unmasked = control & UNDERFLOW == 0;
    let tiny = if inexact || unmasked { UNDERFLOW } else { 0 };
    (sign | rounded, tiny | if inexact { PRECISION | up_flag(up) } else { 0 })
}
