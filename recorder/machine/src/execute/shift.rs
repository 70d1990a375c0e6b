//! Shifts, rotations, and single bits.

use crate::flags::{STATUS, shift, shift_double};
use crate::op::{Bit, Place, Shift, Value, Width};
use crate::registers::flags::{CF, ZF};
use crate::{Machine, Reg, Trap};

impl Machine {
    pub(super) fn shift(
        &mut self,
        kind: Shift,
        width: Width,
        place: &Place,
        count: &Value,
    ) -> Result<(), Trap> {
        let count = self.read_value(Width::Byte, count)? & 0x1F;
        let target = self.target(width, place)?;
        if count == 0 {
            return Ok(());
        }
        let (result, flags, mask) =
            shift(kind, width, self.value_of(target, width), count, self.cpu.flag(CF));
        self.set(target, width, result);
        self.set_flags(mask, flags);
        Ok(())
    }

    pub(super) fn shift_double(
        &mut self,
        left: bool,
        width: Width,
        place: &Place,
        source: Reg,
        count: &Value,
    ) -> Result<(), Trap> {
        let count = self.read_value(Width::Byte, count)? & 0x1F;
        let target = self.target(width, place)?;
        if count == 0 {
            return Ok(());
        }
        let (a, b) = (self.value_of(target, width), self.register(width, source));
        let (result, flags) = shift_double(left, width, a, b, count);
        self.set(target, width, result);
        self.set_flags(STATUS, flags);
        Ok(())
    }

    pub(super) fn bit(&mut self, bit: Bit, width: Width, place: &Place, index: &Value) -> Result<(), Trap> {
        let raw = self.read_value(width, index)?;
        let mut place = *place;
        if let (Place::Mem(address), Value::Place(_)) = (&mut place, index) {
            // An index in a register reaches beyond the operand, in both directions.
            let units = width.extend(raw) as i32 >> width.bits().trailing_zeros();
            let distance = (units as u32).wrapping_mul(width.bytes());
            address.displacement = address.displacement.wrapping_add(distance);
        }
        let mask = 1 << (raw & (width.bits() - 1));
        let old = if bit == Bit::Test {
            self.read_place(width, &place)?
        } else {
            let target = self.target(width, &place)?;
            let old = self.value_of(target, width);
            let new = match bit {
                Bit::Test => old,
                Bit::Set => old | mask,
                Bit::Reset => old & !mask,
                Bit::Complement => old ^ mask,
            };
            self.set(target, width, new);
            old
        };
        self.set_flags(CF, if old & mask != 0 { CF } else { 0 });
        Ok(())
    }

    pub(super) fn bit_scan(
        &mut self,
        reverse: bool,
        width: Width,
        reg: Reg,
        source: &Place,
    ) -> Result<(), Trap> {
        let value = self.read_place(width, source)?;
        if value == 0 {
            // The destination is undefined by the manual; processors leave it alone.
            self.set_flags(ZF, ZF);
        } else {
            let index = if reverse { 31 - value.leading_zeros() } else { value.trailing_zeros() };
            self.set_register(width, reg, index);
            self.set_flags(ZF, 0);
        }
        Ok(())
    }
}
