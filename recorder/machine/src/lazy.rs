//! The status flags while blocks run: two words from which each flag can be read, instead of six bits
//! that most instructions would set for nobody.
//!
//! `result` gives ZF, SF and PF. `carries` holds in bit 31 CF, in bit 30 CF XOR OF, and in bit 3 AF: the
//! places where an addition's or subtraction's vector of carries has them by itself. For flags that
//! no result has, such as ZF with SF, bit 0 of `carries` inverts SF and bits 8 to 15 take part in PF.
//! Outside of blocks there is only EFLAGS.

use crate::flags::STATUS;
use crate::registers::flags::{AF, CF, OF, PF, SF, ZF};

/// The bits of a vector of carries that mean something.
const CARRIES: u32 = 0xC000_0008;

/// Status flags that may be ahead of EFLAGS.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lazy {
    result: u32,
    carries: u32,
    /// Whether these are the flags, and not EFLAGS.
    ahead: bool,
}

impl Lazy {
    /// Writes the flags to EFLAGS, which then has them.
    #[inline(always)]
    pub fn settle(&mut self, eflags: &mut u32) {
        if self.ahead {
            *eflags = *eflags & !STATUS | self.status();
            self.ahead = false;
        }
    }

    /// Sees to it that the flags are here.
    #[inline(always)]
    pub fn take(&mut self, eflags: u32) {
        if !self.ahead {
            *self = Lazy::new(eflags);
        }
    }

    fn new(eflags: u32) -> Lazy {
        let bit = |mask: u32| u32::from(eflags & mask != 0);
        Lazy {
            result: if eflags & ZF != 0 { 0 } else { 0x100 },
            carries: bit(CF) << 31 | (bit(CF) ^ bit(OF)) << 30 | bit(AF) << 3 | bit(SF) | (1 - bit(PF)) << 8,
            ahead: true,
        }
    }

    fn status(&self) -> u32 {
        let bit = |mask: u32, set: bool| if set { mask } else { 0 };
        bit(CF, self.carry())
            | bit(PF, self.parity())
            | bit(AF, self.carries & 8 != 0)
            | bit(ZF, self.zero())
            | bit(SF, self.sign())
            | bit(OF, self.overflow())
    }

    #[inline(always)]
    pub fn zero(&self) -> bool {
        self.result == 0
    }
    #[inline(always)]
    pub fn carry(&self) -> bool {
        self.carries >> 31 != 0
    }
    #[inline(always)]
    pub fn sign(&self) -> bool {
        (self.result >> 31 ^ self.carries) & 1 != 0
    }
    #[inline(always)]
    pub fn overflow(&self) -> bool {
        (self.carries >> 31 ^ self.carries >> 30) & 1 != 0
    }
    /// Less, as signed numbers.
    #[inline(always)]
    pub fn less(&self) -> bool {
        self.sign() != self.overflow()
    }
    #[inline(always)]
    pub fn parity(&self) -> bool {
        ((self.result ^ self.carries >> 8) as u8).count_ones() & 1 == 0
    }

    #[inline(always)]
    fn set(&mut self, result: u32, carries: u32) -> u32 {
        *self = Lazy { result, carries, ahead: true };
        result
    }

    /// The sum of two doublewords.
    #[inline(always)]
    pub fn add(&mut self, a: u32, b: u32) -> u32 {
        let result = a.wrapping_add(b);
        self.set(result, (a & b | (a | b) & !result) & CARRIES)
    }
    /// The difference of two doublewords.
    #[inline(always)]
    pub fn sub(&mut self, a: u32, b: u32) -> u32 {
        let result = a.wrapping_sub(b);
        self.set(result, (!a & b | !(a ^ b) & result) & CARRIES)
    }
    /// What AND, OR and XOR leave.
    #[inline(always)]
    pub fn logic(&mut self, result: u32) -> u32 {
        self.set(result, 0)
    }
    /// What TEST leaves of bytes.
    #[inline(always)]
    pub fn logic_of(&mut self, result: i8) {
        self.set(result as u32, 0);
    }

    /// INC and DEC keep CF, which must be here.
    #[inline(always)]
    fn step(&mut self, result: u32, overflow: bool, adjust: bool) -> u32 {
        let carry = self.carries >> 31;
        self.set(result, carry << 31 | (carry ^ u32::from(overflow)) << 30 | u32::from(adjust) << 3)
    }
    #[inline(always)]
    pub fn inc(&mut self, eflags: u32, a: u32) -> u32 {
        self.take(eflags);
        let result = a.wrapping_add(1);
        self.step(result, result == 0x8000_0000, result & 0xF == 0)
    }
    #[inline(always)]
    pub fn dec(&mut self, eflags: u32, a: u32) -> u32 {
        self.take(eflags);
        let result = a.wrapping_sub(1);
        self.step(result, result == 0x7FFF_FFFF, result & 0xF == 0xF)
    }

    /// A shift that gave `result`, with its CF and OF.
    #[inline(always)]
    fn shifted(&mut self, result: u32, carry: u32, overflow: u32) -> u32 {
        self.set(result, carry << 31 | (carry ^ overflow) << 30)
    }
    /// SHL by 1 to 31.
    #[inline(always)]
    pub fn shl(&mut self, a: u32, count: u8) -> u32 {
        let (result, carry) = (a << (count & 31), a >> ((32 - count) & 31) & 1);
        self.shifted(result, carry, result >> 31 ^ carry)
    }
    /// SHR by 1 to 31.
    #[inline(always)]
    pub fn shr(&mut self, a: u32, count: u8) -> u32 {
        let (result, carry) = (a >> (count & 31), a >> ((count - 1) & 31) & 1);
        self.shifted(result, carry, a >> 31)
    }
    /// SAR by 1 to 31.
    #[inline(always)]
    pub fn sar(&mut self, a: u32, count: u8) -> u32 {
        let (result, carry) = ((a as i32 >> (count & 31)) as u32, a >> ((count - 1) & 31) & 1);
        self.shifted(result, carry, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags;
    use crate::op::{Shift, Width::Dword};
    use proptest::prelude::*;

    fn edge() -> impl Strategy<Value = u32> {
        let edges = proptest::sample::select(vec![0, 1, 0xF, 0x10, 0x7FFF_FFFF, 0x8000_0000, u32::MAX]);
        prop_oneof![edges, any::<u32>()]
    }

    fn settled(mut lazy: Lazy, eflags: u32) -> u32 {
        let mut eflags = eflags;
        lazy.settle(&mut eflags);
        eflags
    }

    #[test]
    fn every_combination_of_flags_goes_in_and_comes_out() {
        for eflags in 0..0x1000 {
            let mut lazy = Lazy::default();
            lazy.take(eflags);
            assert_eq!(settled(lazy, eflags ^ STATUS), eflags);
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_reference_computes(a in edge(), b in edge(), count in 1u8..32, eflags in 0u32..0x1000) {
            let lazy = |run: &mut dyn FnMut(&mut Lazy) -> u32| {
                let mut lazy = Lazy::default();
                (run(&mut lazy), settled(lazy, eflags) & STATUS)
            };
            prop_assert_eq!(lazy(&mut |l| l.add(a, b)), flags::add(Dword, a, b, false));
            prop_assert_eq!(lazy(&mut |l| l.sub(a, b)), flags::sub(Dword, a, b, false));
            prop_assert_eq!(lazy(&mut |l| l.logic(a)), flags::logic(Dword, a));
            let kept = |(result, new): (u32, u32)| (result, new & !CF | eflags & CF);
            prop_assert_eq!(lazy(&mut |l| l.inc(eflags, a)), kept(flags::add(Dword, a, 1, false)));
            prop_assert_eq!(lazy(&mut |l| l.dec(eflags, a)), kept(flags::sub(Dword, a, 1, false)));
            let shift = |kind| {
                let (result, new, _) = flags::shift(kind, Dword, a, count.into(), false);
                (result, new)
            };
            prop_assert_eq!(lazy(&mut |l| l.shl(a, count)), shift(Shift::Shl));
            prop_assert_eq!(lazy(&mut |l| l.shr(a, count)), shift(Shift::Shr));
            prop_assert_eq!(lazy(&mut |l| l.sar(a, count)), shift(Shift::Sar));
        }
    }
}
