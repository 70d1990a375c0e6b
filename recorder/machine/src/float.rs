//! Conversions between the x87's 80-bit numbers, the shorter formats, and integers.

/// Status-word bits of the exceptions, which are also the control word's masks.
pub(crate) mod exception {
    pub const INVALID: u16 = 1;
    pub const DENORMAL: u16 = 2;
    pub const OVERFLOW: u16 = 8;
    pub const UNDERFLOW: u16 = 0x10;
    pub const PRECISION: u16 = 0x20;
    pub const STACK: u16 = 0x40;
    /// Not an exception: C1, which says that a result was rounded up.
    pub const ROUNDED_UP: u16 = 0x200;
}

use exception::{DENORMAL, INVALID, OVERFLOW, PRECISION, ROUNDED_UP, UNDERFLOW};

/// An 80-bit number, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extended {
    pub negative: bool,
    /// Biased by 16383.
    pub exponent: u16,
    /// With its integer bit, which the shorter formats leave out.
    pub mantissa: u64,
}

const BIAS: i32 = 16383;
const INTEGER: u64 = 1 << 63;
const QUIET: u64 = 1 << 62;

impl Extended {
    pub const ZERO: Extended = Extended { negative: false, exponent: 0, mantissa: 0 };
    pub const ONE: Extended = Extended { negative: false, exponent: BIAS as u16, mantissa: INTEGER };
    /// What a masked invalid operation gives.
    pub const INDEFINITE: Extended = Extended { negative: true, exponent: 0x7FFF, mantissa: INTEGER | QUIET };

    pub fn from_bytes(raw: &[u8; 10]) -> Extended {
        let [m0, m1, m2, m3, m4, m5, m6, m7, e0, e1] = *raw;
        let top = u16::from_le_bytes([e0, e1]);
        Extended {
            negative: top & 0x8000 != 0,
            exponent: top & 0x7FFF,
            mantissa: u64::from_le_bytes([m0, m1, m2, m3, m4, m5, m6, m7]),
        }
    }

    pub fn to_bytes(self) -> [u8; 10] {
        let mut raw = [0; 10];
        raw[..8].copy_from_slice(&self.mantissa.to_le_bytes());
        let top = self.exponent | if self.negative { 0x8000 } else { 0 };
        raw[8..].copy_from_slice(&top.to_le_bytes());
        raw
    }

    fn is_nan(self) -> bool {
        self.exponent == 0x7FFF && self.mantissa & INTEGER != 0 && self.mantissa & !INTEGER != 0
    }

    /// A form that no processor since the 387 makes, and all of them refuse.
    fn is_unsupported(self) -> bool {
        self.exponent != 0 && self.mantissa & INTEGER == 0
    }

    pub fn from_integer(value: i64) -> Extended {
        let magnitude = value.unsigned_abs();
        if magnitude == 0 {
            return Extended::ZERO;
        }
        let zeros = magnitude.leading_zeros();
        let exponent = (BIAS + 63) as u16 - zeros as u16;
        Extended { negative: value < 0, exponent, mantissa: magnitude << zeros }
    }
}

/// A shorter format of IEEE 754.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// Bits of the fraction that are stored.
    fraction: u32,
    /// Bits of the exponent.
    exponent: u32,
}

pub(crate) const SINGLE: Format = Format { fraction: 23, exponent: 8 };
pub(crate) const DOUBLE: Format = Format { fraction: 52, exponent: 11 };

impl Format {
    fn bias(self) -> i32 {
        (1 << (self.exponent - 1)) - 1
    }
    fn top_exponent(self) -> u64 {
        (1 << self.exponent) - 1
    }
}

/// Widens a number. Also gives the exceptions, which the caller masks or raises.
pub(crate) fn widen(format: Format, raw: u64) -> (Extended, u16) {
    let fraction = raw & ((1 << format.fraction) - 1);
    let exponent = raw >> format.fraction & format.top_exponent();
    let negative = raw >> (format.fraction + format.exponent) & 1 != 0;
    let shifted = fraction << (63 - format.fraction);
    if exponent == format.top_exponent() {
        let signalling = fraction != 0 && shifted & QUIET == 0;
        let quieted = if signalling { QUIET } else { 0 };
        let number = Extended { negative, exponent: 0x7FFF, mantissa: INTEGER | shifted | quieted };
        return (number, if signalling { INVALID } else { 0 });
    }
    if exponent == 0 && fraction == 0 {
        return (Extended { negative, ..Extended::ZERO }, 0);
    }
    let rebias = BIAS - format.bias();
    if exponent == 0 {
        let zeros = shifted.leading_zeros();
        let exponent = (rebias + 1 - zeros as i32) as u16;
        return (Extended { negative, exponent, mantissa: shifted << zeros }, DENORMAL);
    }
    (Extended { negative, exponent: (exponent as i32 + rebias) as u16, mantissa: INTEGER | shifted }, 0)
}

/// Rounds `value / 2^drop` to an integer by the control word's RC. Gives also whether it was inexact
/// and whether it was rounded up.
fn round(value: u64, drop: u32, negative: bool, control: u16) -> (u64, bool, bool) {
    let wide = u128::from(value);
    let drop = drop.min(100);
    let (kept, rest) = (wide >> drop, wide & ((1 << drop) - 1));
    let half = if drop == 0 { 0 } else { 1u128 << (drop - 1) };
    let up = rest != 0
        && match control >> 10 & 3 {
            0 => rest > half || (rest == half && kept & 1 != 0),
            1 => negative,
            2 => !negative,
            _ => false,
        };
    (kept as u64 + u64::from(up), rest != 0, up)
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
    let (rounded, inexact, up) = round(number.mantissa, normal, number.negative, control);
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
    let (rounded, inexact, up) = round(number.mantissa, normal + extra, number.negative, control);
    let unmasked = control & UNDERFLOW == 0;
    let tiny = if inexact || unmasked { UNDERFLOW } else { 0 };
    (sign | rounded, tiny | if inexact { PRECISION | up_flag(up) } else { 0 })
}

/// Rounds a number to a signed integer of `bits` bits; what does not fit gives the most negative one.
pub(crate) fn to_integer(number: Extended, bits: u32, control: u16) -> (i64, u16) {
    let indefinite = (i64::MIN >> (64 - bits), INVALID);
    if number.mantissa == 0 && number.exponent == 0 {
        return (0, 0);
    }
    let exponent = i32::from(number.exponent.max(1)) - BIAS;
    if exponent > 63 || number.is_unsupported() {
        return indefinite;
    }
    let (rounded, inexact, up) = round(number.mantissa, (63 - exponent) as u32, number.negative, control);
    let limit = (1u64 << (bits - 1)) - u64::from(!number.negative);
    if rounded > limit {
        return indefinite;
    }
    let value = if number.negative { (rounded as i64).wrapping_neg() } else { rounded as i64 };
    let precision = if inexact { PRECISION } else { 0 } | if up { ROUNDED_UP } else { 0 };
    (value, precision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_and_narrowing_again_gives_the_same_bits() {
        for value in [0.0, -0.0, 1.0, -1.5, 1e300, 5e-324, 2.2e-308, f64::INFINITY, f64::MAX] {
            let (wide, _) = widen(DOUBLE, f64::to_bits(value));
            assert_eq!(Extended::from_bytes(&wide.to_bytes()), wide);
            assert_eq!(narrow(DOUBLE, wide, 0x37F), (value.to_bits(), 0), "{value}");
        }
    }

    #[test]
    fn narrowing_rounds_as_the_host_does() {
        for value in [1.1, -3.3e10, 1e-40, 1.4e-45, 7e-46, 1e39, 3.402_823_5e38, 1.175_494_35e-38] {
            let (wide, _) = widen(DOUBLE, f64::to_bits(value));
            let (raw, _) = narrow(SINGLE, wide, 0x37F);
            assert_eq!(raw as u32, (value as f32).to_bits(), "{value}");
        }
    }

    #[test]
    fn integers_round_by_the_control_word() {
        let number = |value: f64| widen(DOUBLE, value.to_bits()).0;
        assert_eq!(to_integer(number(2.5), 32, 0x37F), (2, PRECISION));
        assert_eq!(to_integer(number(3.5), 32, 0x37F), (4, PRECISION | ROUNDED_UP));
        assert_eq!(to_integer(number(-2.5), 32, 0x77F), (-3, PRECISION | ROUNDED_UP));
        assert_eq!(to_integer(number(-2.5), 32, 0xF7F), (-2, PRECISION));
        assert_eq!(to_integer(number(32767.0), 16, 0x37F), (32767, 0));
        assert_eq!(to_integer(number(32768.0), 16, 0x37F), (-32768, INVALID));
        assert_eq!(to_integer(number(-32768.0), 16, 0x37F), (-32768, 0));
        assert_eq!(to_integer(Extended::from_integer(i64::MIN), 64, 0x37F), (i64::MIN, 0));
    }
}
