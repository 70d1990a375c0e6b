//! The x87's 80-bit numbers: their kinds, the shorter formats, integers and arithmetic.
//!
//! Sums, products and quotients come from `rustc_apfloat`, in a wider format and cut off there with a
//! mark of what was lost ([`arithmetic`]). What no library gives is ours: the control word's precision,
//! C1, and the answers to exceptions that are not masked ([`round`]).

pub(crate) mod arithmetic;
pub(crate) mod integer;
pub(crate) mod remainder;
pub(crate) mod round;

/// Status-word bits of the exceptions, which are also the control word's masks.
pub(crate) mod exception {
    pub const INVALID: u16 = 1;
    pub const DENORMAL: u16 = 2;
    pub const ZERO_DIVIDE: u16 = 4;
    pub const OVERFLOW: u16 = 8;
    pub const UNDERFLOW: u16 = 0x10;
    pub const PRECISION: u16 = 0x20;
    pub const STACK: u16 = 0x40;
    /// Not an exception: C1, which says that a result was rounded up.
    pub const ROUNDED_UP: u16 = 0x200;
}

pub(crate) use round::narrow;

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

    pub fn is_zero(self) -> bool {
        self.exponent == 0 && self.mantissa == 0
    }

    pub fn is_infinite(self) -> bool {
        self.exponent == 0x7FFF && self.mantissa == INTEGER
    }

    /// Smaller than the smallest normal number. With its integer bit set, which the processor never
    /// leaves so, it is as large as one, and still counts.
    pub fn is_denormal(self) -> bool {
        self.exponent == 0 && self.mantissa != 0
    }

    pub fn is_signalling(self) -> bool {
        self.is_nan() && self.mantissa & QUIET == 0
    }

    /// A NaN made quiet; another number as it is.
    pub fn quieted(self) -> Extended {
        Extended { mantissa: self.mantissa | if self.is_nan() { QUIET } else { 0 }, ..self }
    }

    pub fn infinity(negative: bool) -> Extended {
        Extended { negative, exponent: 0x7FFF, mantissa: INTEGER }
    }

    pub fn zero(negative: bool) -> Extended {
        Extended { negative, ..Extended::ZERO }
    }

    pub fn negated(self) -> Extended {
        Extended { negative: !self.negative, ..self }
    }

    /// The exponent and mantissa of a finite number that is not zero, with the integer bit set and the
    /// exponent as low as that takes.
    fn normalised(self) -> (i32, u64) {
        let zeros = self.mantissa.leading_zeros();
        (i32::from(self.exponent.max(1)) - zeros as i32, self.mantissa << zeros)
    }

    pub fn is_nan(self) -> bool {
        self.exponent == 0x7FFF && self.mantissa & INTEGER != 0 && self.mantissa & !INTEGER != 0
    }

    /// A form that no processor since the 387 makes, and all of them refuse.
    pub fn is_unsupported(self) -> bool {
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

/// Widens a number, and says whether it was denormal in its format. A signalling NaN stays one.
pub(crate) fn widen(format: Format, raw: u64) -> (Extended, bool) {
    let fraction = raw & ((1 << format.fraction) - 1);
    let exponent = raw >> format.fraction & format.top_exponent();
    let negative = raw >> (format.fraction + format.exponent) & 1 != 0;
    let shifted = fraction << (63 - format.fraction);
    if exponent == format.top_exponent() {
        return (Extended { negative, exponent: 0x7FFF, mantissa: INTEGER | shifted }, false);
    }
    if exponent == 0 && fraction == 0 {
        return (Extended::zero(negative), false);
    }
    let rebias = BIAS - format.bias();
    if exponent == 0 {
        let zeros = shifted.leading_zeros();
        let exponent = (rebias + 1 - zeros as i32) as u16;
        return (Extended { negative, exponent, mantissa: shifted << zeros }, true);
    }
    (Extended { negative, exponent: (exponent as i32 + rebias) as u16, mantissa: INTEGER | shifted }, false)
}

#[cfg(test)]
mod tests {
    use super::exception::{INVALID, PRECISION, ROUNDED_UP};
    use super::integer::to_integer;
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
