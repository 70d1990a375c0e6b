//! Multiplication and division.

use crate::op::{Place, Value, Width};
use crate::registers::flags::{CF, OF};
use crate::{Machine, Reg, Trap};

impl Machine {
    /// The accumulator of twice the width: AX, DX:AX or EDX:EAX.
    fn double_accumulator(&self, width: Width) -> u64 {
        match width {
            Width::Byte => u64::from(self.register(Width::Word, Reg::Eax)),
            _ => {
                let (high, low) = (self.register(width, Reg::Edx), self.register(width, Reg::Eax));
                u64::from(high) << width.bits() | u64::from(low)
            }
        }
    }

    fn set_double_accumulator(&mut self, width: Width, low: u32, high: u32) {
        match width {
            Width::Byte => self.set_register(Width::Word, Reg::Eax, (high & 0xFF) << 8 | low & 0xFF),
            _ => {
                self.set_register(width, Reg::Eax, low);
                self.set_register(width, Reg::Edx, high);
            }
        }
    }

    pub(super) fn multiply(&mut self, signed: bool, width: Width, source: &Place) -> Result<(), Trap> {
        let b = self.read_place(width, source)?;
        let a = self.register(width, Reg::Eax);
        let (product, fits) = if signed {
            let product = signed_product(width, a, b);
            (product as u64, is_extended(width, product))
        } else {
            let product = u64::from(a) * u64::from(b);
            (product, product >> width.bits() == 0)
        };
        self.set_double_accumulator(width, product as u32, (product >> width.bits()) as u32);
        self.set_flags(CF | OF, if fits { 0 } else { CF | OF });
        Ok(())
    }

    pub(super) fn multiply_into(&mut self, width: Width, reg: Reg, a: &Place, b: &Value) -> Result<(), Trap> {
        let (a, b) = (self.read_place(width, a)?, self.read_value(width, b)?);
        let product = signed_product(width, a, b);
        self.set_register(width, reg, product as u32);
        self.set_flags(CF | OF, if is_extended(width, product) { 0 } else { CF | OF });
        Ok(())
    }

    pub(super) fn divide(&mut self, signed: bool, width: Width, source: &Place) -> Result<(), Trap> {
        let divisor = self.read_place(width, source)?;
        let dividend = self.double_accumulator(width);
        if divisor == 0 {
            return Err(Trap::Divide);
        }
        let (quotient, rest) = if signed {
            let unused = 64 - 2 * width.bits();
            let dividend = ((dividend << unused) as i64) >> unused;
            let divisor = i64::from(width.extend(divisor) as i32);
            // Only the most negative dividend by -1 overflows here.
            let quotient = dividend.checked_div(divisor).ok_or(Trap::Divide)?;
            if !is_extended(width, quotient) {
                return Err(Trap::Divide);
            }
            (quotient as u32, (dividend % divisor) as u32)
        } else {
            let quotient = dividend / u64::from(divisor);
            if quotient >> width.bits() != 0 {
                return Err(Trap::Divide);
            }
            (quotient as u32, (dividend % u64::from(divisor)) as u32)
        };
        self.set_double_accumulator(width, quotient, rest);
        Ok(())
    }
}

fn signed_product(width: Width, a: u32, b: u32) -> i64 {
    i64::from(width.extend(a) as i32) * i64::from(width.extend(b) as i32)
}

/// Whether a value is its own low half, sign-extended.
fn is_extended(width: Width, value: i64) -> bool {
    i64::from(width.extend(value as u32) as i32) == value
}
