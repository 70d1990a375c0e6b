//! Arithmetic and logic, exchanges, conversions, and the flags as operands.

use crate::flags::{STATUS, add, logic, of_result, sub};
use crate::op::{Address, Alu, Condition, Decimal, Flag, Place, Unary, Value, Width};
use crate::registers::flags::{AF, CF, DF, OF, PF, SF, ZF};
use crate::{Access, Machine, Reg, Trap};

impl Machine {
    #[inline]
    pub(super) fn set_flags(&mut self, mask: u32, flags: u32) {
        self.cpu.eflags = self.cpu.eflags & !mask | flags & mask;
    }

    #[inline]
    pub(super) fn alu(&mut self, alu: Alu, width: Width, place: &Place, value: &Value) -> Result<(), Trap> {
        let b = self.read_value(width, value)?;
        if alu == Alu::Cmp {
            let a = self.read_place(width, place)?;
            self.set_flags(STATUS, sub(width, a, b, false).1);
            return Ok(());
        }
        let target = self.target(width, place)?;
        let a = self.value_of(target, width);
        let carry = self.cpu.flag(CF);
        let (result, flags) = match alu {
            Alu::Add => add(width, a, b, false),
            Alu::Adc => add(width, a, b, carry),
            Alu::Sub | Alu::Cmp => sub(width, a, b, false),
            Alu::Sbb => sub(width, a, b, carry),
            Alu::And => logic(width, a & b),
            Alu::Or => logic(width, a | b),
            Alu::Xor => logic(width, a ^ b),
        };
        self.set(target, width, result);
        self.set_flags(STATUS, flags);
        Ok(())
    }

    #[inline]
    pub(super) fn test(&mut self, width: Width, place: &Place, value: &Value) -> Result<(), Trap> {
        let b = self.read_value(width, value)?;
        let a = self.read_place(width, place)?;
        self.set_flags(STATUS, of_result(width, a & b));
        Ok(())
    }

    #[inline]
    pub(super) fn unary(&mut self, unary: Unary, width: Width, place: &Place) -> Result<(), Trap> {
        let target = self.target(width, place)?;
        let a = self.value_of(target, width);
        let ((result, flags), mask) = match unary {
            Unary::Inc => (add(width, a, 1, false), STATUS & !CF),
            Unary::Dec => (sub(width, a, 1, false), STATUS & !CF),
            Unary::Neg => (sub(width, 0, a, false), STATUS),
            Unary::Not => ((!a, 0), 0),
        };
        self.set(target, width, result);
        self.set_flags(mask, flags);
        Ok(())
    }

    /// Whether a condition holds.
    #[inline]
    pub(super) fn meets(&self, condition: Condition) -> bool {
        let less = self.cpu.flag(SF) != self.cpu.flag(OF);
        let base = match condition.0 >> 1 {
            0 => self.cpu.flag(OF),
            1 => self.cpu.flag(CF),
            2 => self.cpu.flag(ZF),
            3 => self.cpu.flag(CF | ZF),
            4 => self.cpu.flag(SF),
            5 => self.cpu.flag(PF),
            6 => less,
            _ => less || self.cpu.flag(ZF),
        };
        base != (condition.0 & 1 != 0)
    }

    pub(super) fn exchange(&mut self, width: Width, a: &Place, b: &Place) -> Result<(), Trap> {
        let (left, right) = (self.target(width, a)?, self.target(width, b)?);
        let (x, y) = (self.value_of(left, width), self.value_of(right, width));
        self.set(left, width, y);
        self.set(right, width, x);
        Ok(())
    }

    pub(super) fn exchange_add(&mut self, width: Width, place: &Place, source: &Place) -> Result<(), Trap> {
        let (target, source) = (self.target(width, place)?, self.target(width, source)?);
        let a = self.value_of(target, width);
        let (sum, flags) = add(width, a, self.value_of(source, width), false);
        // In this order: when both are one register, it holds the sum.
        self.set(source, width, a);
        self.set(target, width, sum);
        self.set_flags(STATUS, flags);
        Ok(())
    }

    pub(super) fn compare_exchange(
        &mut self,
        width: Width,
        place: &Place,
        source: &Place,
    ) -> Result<(), Trap> {
        let (target, source) = (self.target(width, place)?, self.target(width, source)?);
        let old = self.value_of(target, width);
        let (_, flags) = sub(width, self.register(width, Reg::Eax), old, false);
        if flags & ZF != 0 {
            let new = self.value_of(source, width);
            self.set(target, width, new);
        } else {
            // The destination is written either way, which makes its page dirty.
            self.set(target, width, old);
            self.set_register(width, Reg::Eax, old);
        }
        self.set_flags(STATUS, flags);
        Ok(())
    }

    pub(super) fn compare_exchange8(&mut self, address: &Address) -> Result<(), Trap> {
        let pair = |high, low| u64::from(high) << 32 | u64::from(low);
        let span = self.operand(address, 8, Access::Write)?;
        let mut raw = [0; 8];
        self.get_bytes(span, &mut raw);
        let old = u64::from_le_bytes(raw);
        let equal = old == pair(self.cpu.reg(Reg::Edx), self.cpu.reg(Reg::Eax));
        let new = if equal { pair(self.cpu.reg(Reg::Ecx), self.cpu.reg(Reg::Ebx)) } else { old };
        self.put_bytes(span, &new.to_le_bytes());
        if !equal {
            self.cpu.set_reg(Reg::Eax, old as u32);
            self.cpu.set_reg(Reg::Edx, (old >> 32) as u32);
        }
        self.set_flags(ZF, if equal { ZF } else { 0 });
        Ok(())
    }

    pub(super) fn byte_swap(&mut self, width: Width, reg: Reg) {
        // Of 16 bits the result is undefined; processors give zero.
        let swapped = if width == Width::Dword { self.cpu.reg(reg).swap_bytes() } else { 0 };
        self.set_register(width, reg, swapped);
    }

    pub(super) fn convert_accumulator(&mut self, to: Width) {
        let from = if to == Width::Word { Width::Byte } else { Width::Word };
        let value = from.extend(self.register(from, Reg::Eax));
        self.set_register(to, Reg::Eax, value);
    }

    pub(super) fn convert_pair(&mut self, width: Width) {
        let negative = self.cpu.reg(Reg::Eax) & width.sign() != 0;
        self.set_register(width, Reg::Edx, if negative { u32::MAX } else { 0 });
    }

    pub(super) fn decimal(&mut self, decimal: Decimal) -> Result<(), Trap> {
        let ax = self.register(Width::Word, Reg::Eax);
        let (al, ah) = (ax & 0xFF, ax >> 8);
        let (carry, adjust) = (self.cpu.flag(CF), self.cpu.flag(AF));
        let low = al & 0xF > 9 || adjust;
        let high = al > 0x99 || carry;
        let (six, sixty) = (if low { 6 } else { 0 }, if high { 0x60 } else { 0 });
        let both = |set: bool| if set { CF | AF } else { 0 };
        let digits = |result: u32| of_result(Width::Byte, result) | if high { CF } else { 0 };
        let (result, flags, mask) = match decimal {
            Decimal::Aaa => {
                let sum = if low { ax.wrapping_add(0x106) } else { ax };
                (sum & 0xFF0F, both(low), CF | AF)
            }
            Decimal::Aas => {
                let difference = if low { ax.wrapping_sub(0x106) } else { ax };
                (difference & 0xFF0F, both(low), CF | AF)
            }
            Decimal::Aad(base) => {
                let sum = (al + ah * u32::from(base)) & 0xFF;
                (sum, of_result(Width::Byte, sum), STATUS)
            }
            Decimal::Aam(0) => return Err(Trap::Divide),
            Decimal::Aam(base) => {
                let (quotient, rest) = (al / u32::from(base), al % u32::from(base));
                (quotient << 8 | rest, of_result(Width::Byte, rest), STATUS)
            }
            Decimal::Daa => {
                let sum = al + six + sixty;
                (ah << 8 | sum & 0xFF, digits(sum) | if low { AF } else { 0 }, STATUS)
            }
            Decimal::Das => {
                let sum = al.wrapping_sub(six + sixty);
                // The first subtraction may borrow even where the second is not made.
                let borrow = if low && al < 6 { CF } else { 0 };
                (ah << 8 | sum & 0xFF, digits(sum) | borrow | if low { AF } else { 0 }, STATUS)
            }
        };
        self.set_register(Width::Word, Reg::Eax, result);
        self.set_flags(mask, flags);
        Ok(())
    }

    pub(super) fn flag_operation(&mut self, flag: Flag) {
        match flag {
            Flag::Clc => self.cpu.eflags &= !CF,
            Flag::Stc => self.cpu.eflags |= CF,
            Flag::Cmc => self.cpu.eflags ^= CF,
            Flag::Cld => self.cpu.eflags &= !DF,
            Flag::Std => self.cpu.eflags |= DF,
            // These need a right, and are done where rights are checked.
            Flag::Cli | Flag::Sti | Flag::Clts => {}
        }
    }

    pub(super) fn lahf(&mut self) {
        let flags = self.cpu.eflags & 0xFF;
        self.cpu.set_reg(Reg::Eax, self.cpu.reg(Reg::Eax) & !0xFF00 | flags << 8);
    }

    pub(super) fn sahf(&mut self) {
        self.set_flags(SF | ZF | AF | PF | CF, self.cpu.reg(Reg::Eax) >> 8);
    }

    /// SALC, which is in no old manual: AL becomes 0 or FF by CF.
    pub(super) fn salc(&mut self) {
        let value = if self.cpu.flag(CF) { 0xFF } else { 0 };
        self.set_register(Width::Byte, Reg::Eax, value);
    }

    pub(super) fn xlat(&mut self, address: &Address) -> Result<(), Trap> {
        let offset = self.offset(address).wrapping_add(self.register(Width::Byte, Reg::Eax));
        let offset = if address.word { offset & 0xFFFF } else { offset };
        let value = self.load(address.seg, offset, Width::Byte)?;
        self.set_register(Width::Byte, Reg::Eax, value);
        Ok(())
    }
}
