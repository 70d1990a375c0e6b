//! Arithmetic with its flags, as pure functions: each returns the result and the status flags.

use crate::op::{Shift, Width};
use crate::registers::flags::{AF, CF, OF, PF, SF, ZF};

/// The flags that arithmetic sets.
pub(crate) const STATUS: u32 = CF | PF | AF | ZF | SF | OF;

/// SF, ZF and PF of a result.
pub(crate) fn of_result(width: Width, result: u32) -> u32 {
    let zero = if result & width.mask() == 0 { ZF } else { 0 };
    let sign = if result & width.sign() != 0 { SF } else { 0 };
    let parity = if (result as u8).count_ones() & 1 == 0 { PF } else { 0 };
    zero | sign | parity
}

fn bit(mask: u32, set: bool) -> u32 {
    if set { mask } else { 0 }
}

pub(crate) fn add(width: Width, a: u32, b: u32, carry: bool) -> (u32, u32) {
    let wide = u64::from(a) + u64::from(b) + u64::from(carry);
    let result = wide as u32 & width.mask();
    let flags = of_result(width, result)
        | bit(CF, wide >> width.bits() != 0)
        | (a ^ b ^ result) & AF
        | bit(OF, (a ^ result) & (b ^ result) & width.sign() != 0);
    (result, flags)
}

pub(crate) fn sub(width: Width, a: u32, b: u32, borrow: bool) -> (u32, u32) {
    let result = a.wrapping_sub(b).wrapping_sub(u32::from(borrow)) & width.mask();
    let flags = of_result(width, result)
        | bit(CF, u64::from(a) < u64::from(b) + u64::from(borrow))
        | (a ^ b ^ result) & AF
        | bit(OF, (a ^ b) & (a ^ result) & width.sign() != 0);
    (result, flags)
}

/// AND, OR and XOR, given their result.
pub(crate) fn logic(width: Width, result: u32) -> (u32, u32) {
    (result, of_result(width, result))
}

/// A shift or rotation by `count`, already masked to five bits and not zero. Returns the result, the
/// flags, and the mask of the flags that change.
pub(crate) fn shift(shift: Shift, width: Width, a: u32, count: u32, carry: bool) -> (u32, u32, u32) {
    let bits = width.bits();
    let top = |value: u32| value & width.sign() != 0;
    let wide = u64::from(a);
    let rotated = |result: u32, carry: bool, overflow: bool| {
        (result & width.mask(), bit(CF, carry) | bit(OF, overflow), CF | OF)
    };
    let shifted = |result: u32, carry: bool, overflow: bool| {
        let result = result & width.mask();
        (result, of_result(width, result) | bit(CF, carry) | bit(OF, overflow), STATUS)
    };
    match shift {
        Shift::Rol => {
            let count = count % bits;
            let result = (wide << count | wide >> (bits - count)) as u32 & width.mask();
            rotated(result, result & 1 != 0, top(result) ^ (result & 1 != 0))
        }
        Shift::Ror => {
            let count = count % bits;
            let result = (wide >> count | wide << (bits - count)) as u32 & width.mask();
            rotated(result, top(result), top(result) ^ top(result << 1))
        }
        Shift::Rcl => {
            let count = count % (bits + 1);
            let ring = wide | u64::from(carry) << bits;
            let turned = ring << count | ring >> (bits + 1 - count);
            let carry = turned >> bits & 1 != 0;
            rotated(turned as u32, carry, top(turned as u32) ^ carry)
        }
        Shift::Rcr => {
            let count = count % (bits + 1);
            let ring = wide | u64::from(carry) << bits;
            let turned = ring >> count | ring << (bits + 1 - count);
            let result = turned as u32;
            rotated(result, turned >> bits & 1 != 0, top(result) ^ top(result << 1))
        }
        Shift::Shl => {
            let moved = wide << count;
            let carry = moved >> bits & 1 != 0;
            shifted(moved as u32, carry, top(moved as u32) ^ carry)
        }
        Shift::Shr => shifted((wide >> count) as u32, wide >> (count - 1) & 1 != 0, top(a)),
        Shift::Sar => {
            let signed = i64::from(width.extend(a) as i32);
            shifted((signed >> count) as u32, signed >> (count - 1) & 1 != 0, false)
        }
    }
}

/// SHLD and SHRD by `count`, already masked to five bits and not zero.
pub(crate) fn shift_double(left: bool, width: Width, a: u32, b: u32, count: u32) -> (u32, u32) {
    let bits = width.bits();
    // A count above 16 is undefined for words; the source's bits are used again there.
    let (result, carry) = if left {
        let ring = u64::from(a) << bits | u64::from(b);
        let ring = if bits == 16 { ring << 16 | u64::from(a) } else { ring };
        let total = if bits == 16 { 48 } else { 64 };
        ((u128::from(ring) << count >> (total - bits)) as u32, ring >> (total - count) & 1 != 0)
    } else {
        let ring = u64::from(b) << bits | u64::from(a);
        let ring = if bits == 16 { ring | u64::from(a) << 32 } else { ring };
        ((ring >> count) as u32, ring >> (count - 1) & 1 != 0)
    };
    let result = result & width.mask();
    let overflow = (a ^ result) & width.sign() != 0;
    (result, of_result(width, result) | bit(CF, carry) | bit(OF, overflow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Width::{Byte, Dword, Word};

    fn show((result, flags): (u32, u32)) -> String {
        let names = [(OF, "OF"), (SF, "SF"), (ZF, "ZF"), (AF, "AF"), (PF, "PF"), (CF, "CF")];
        let set = names.iter().filter(|(mask, _)| flags & mask != 0).map(|(_, name)| format!(" {name}"));
        format!("{result:X}{}", set.collect::<String>())
    }

    #[test]
    fn addition() {
        assert_eq!(show(add(Byte, 0x7F, 0x01, false)), "80 OF SF AF");
        assert_eq!(show(add(Byte, 0xFF, 0x01, false)), "0 ZF AF PF CF");
        assert_eq!(show(add(Byte, 0xFF, 0xFF, true)), "FF SF AF PF CF");
        assert_eq!(show(add(Byte, 0x80, 0x80, false)), "0 OF ZF PF CF");
        assert_eq!(show(add(Word, 0x7FFF, 0x0000, true)), "8000 OF SF AF PF");
        assert_eq!(show(add(Dword, 0xFFFF_FFFF, 0, true)), "0 ZF AF PF CF");
        assert_eq!(show(add(Dword, 0xFFFF_FFFF, 0xFFFF_FFFF, true)), "FFFFFFFF SF AF PF CF");
    }

    #[test]
    fn subtraction() {
        assert_eq!(show(sub(Byte, 0x00, 0x01, false)), "FF SF AF PF CF");
        assert_eq!(show(sub(Byte, 0x80, 0x01, false)), "7F OF AF");
        assert_eq!(show(sub(Byte, 0x05, 0x05, false)), "0 ZF PF");
        assert_eq!(show(sub(Byte, 0x05, 0x04, true)), "0 ZF PF");
        assert_eq!(show(sub(Byte, 0x00, 0xFF, true)), "0 ZF AF PF CF");
        assert_eq!(show(sub(Dword, 0x7FFF_FFFF, 0xFFFF_FFFF, false)), "80000000 OF SF PF CF");
    }

    #[test]
    fn shifts_and_rotations() {
        let run = |op, width, a, count, carry| {
            let (result, flags, _) = shift(op, width, a, count, carry);
            show((result, flags))
        };
        assert_eq!(run(Shift::Shl, Byte, 0x81, 1, false), "2 OF CF");
        assert_eq!(run(Shift::Shl, Byte, 0x01, 8, false), "0 OF ZF PF CF");
        assert_eq!(run(Shift::Shl, Byte, 0xFF, 9, false), "0 ZF PF");
        assert_eq!(run(Shift::Shr, Byte, 0x81, 1, false), "40 OF CF");
        assert_eq!(run(Shift::Sar, Byte, 0x81, 1, false), "C0 SF PF CF");
        assert_eq!(run(Shift::Sar, Byte, 0x80, 31, false), "FF SF PF CF");
        assert_eq!(run(Shift::Rol, Byte, 0x81, 1, false), "3 OF CF");
        assert_eq!(run(Shift::Rol, Byte, 0x81, 8, false), "81 CF");
        assert_eq!(run(Shift::Ror, Byte, 0x01, 1, false), "80 OF CF");
        assert_eq!(run(Shift::Rcl, Byte, 0x80, 1, false), "0 OF CF");
        assert_eq!(run(Shift::Rcl, Byte, 0x80, 9, true), "80 CF");
        assert_eq!(run(Shift::Rcr, Byte, 0x01, 1, true), "80 OF CF");
        assert_eq!(run(Shift::Rcr, Dword, 0x8000_0001, 31, true), "7");
        assert_eq!(run(Shift::Shl, Dword, 0x4000_0000, 1, false), "80000000 OF SF PF");
    }

    #[test]
    fn double_shifts() {
        assert_eq!(show(shift_double(true, Dword, 0x8000_0001, 0xC000_0000, 1)), "3 OF PF CF");
        assert_eq!(show(shift_double(false, Dword, 0x0000_0001, 0x0000_0001, 1)), "80000000 OF SF PF CF");
        assert_eq!(show(shift_double(true, Word, 0x1234, 0xABCD, 4)), "234A CF");
        assert_eq!(show(shift_double(false, Word, 0x1234, 0xABCD, 4)), "D123 OF SF");
    }
}
