//! The x87 instructions that move numbers and state. Arithmetic ends the run: no kernel here does any.

use super::Done;
use crate::float::exception::{INVALID, OVERFLOW, ROUNDED_UP, STACK, UNDERFLOW};
use crate::float::{DOUBLE, Extended, SINGLE, narrow, to_integer, widen};
use crate::op::{Address, Float, FpuOp, Width};
use crate::registers::control::{EM, MP, NE, OSFXSR, TS};
use crate::trap::Exit;
use crate::x87::{FX_USED, MXCSR_DEFINED, defined_control};
use crate::{Access, Machine, Seg, Trap};

/// What a store would leave in memory, at most ten bytes, and the exceptions that it raises.
type Image = ([u8; 10], u16);

impl Machine {
    pub(super) fn fpu(&mut self, op: &FpuOp) -> Done {
        self.require_fpu(op)?;
        self.require_quiet(op)?;
        self.fpu_state(op)
    }

    /// #NM and its relatives.
    fn require_fpu(&self, op: &FpuOp) -> Result<(), Trap> {
        let cr0 = self.cpu.cr0;
        let blocked = match op {
            FpuOp::Wait => cr0 & (MP | TS) == MP | TS,
            FpuOp::LoadMxcsr(_) | FpuOp::StoreMxcsr(_) => {
                if cr0 & EM != 0 || self.cpu.cr4 & OSFXSR == 0 {
                    return Err(Trap::Undefined);
                }
                cr0 & TS != 0
            }
            _ => cr0 & (EM | TS) != 0,
        };
        if blocked { Err(Trap::DeviceNotAvailable) } else { Ok(()) }
    }

    /// #MF, which an instruction that waits raises for an exception of an earlier one.
    fn require_quiet(&self, op: &FpuOp) -> Done {
        use FpuOp::*;
        let waits = !matches!(
            op,
            Init | ClearExceptions
                | StoreControl(_)
                | StoreStatus(_)
                | StoreEnvironment(_)
                | Save(_)
                | FxSave(_)
                | FxRestore(_)
                | LoadMxcsr(_)
                | StoreMxcsr(_)
        );
        if !waits || !self.cpu.fpu.is_pending() {
            return Ok(());
        }
        if self.cpu.cr0 & NE == 0 {
            return Err(Exit::unsupported("an x87 exception reported by an external interrupt"));
        }
        Err(Trap::MathFault.into())
    }

    fn fpu_state(&mut self, op: &FpuOp) -> Done {
        match op {
            FpuOp::Wait | FpuOp::Nop => {}
            FpuOp::Init => self.cpu.fpu.initialise(),
            FpuOp::ClearExceptions => self.cpu.fpu.clear_exceptions(),
            FpuOp::StoreControl(to) => self.store_fpu(to, &self.cpu.fpu.control.to_le_bytes())?,
            FpuOp::LoadControl(from) => {
                let raw = self.load_fpu(from)?;
                self.cpu.fpu.control = defined_control(u16::from_le_bytes(raw));
                self.cpu.fpu.settle();
            }
            FpuOp::StoreStatus(to) => self.write_place(Width::Word, to, self.cpu.fpu.status.into())?,
            FpuOp::StoreEnvironment(to) => {
                self.store_fpu(to, &self.cpu.fpu.environment())?;
                self.cpu.fpu.control |= 0x3F;
                self.cpu.fpu.settle();
            }
            FpuOp::LoadEnvironment(from) => {
                let raw = self.load_fpu(from)?;
                self.cpu.fpu.set_environment(&raw);
            }
            FpuOp::Save(to) => {
                self.store_fpu(to, &self.cpu.fpu.save())?;
                self.cpu.fpu.initialise();
            }
            FpuOp::Restore(from) => {
                let raw = self.load_fpu(from)?;
                self.cpu.fpu.restore(&raw);
            }
            FpuOp::FxSave(to) => {
                self.require_aligned(to)?;
                let span = self.operand(to, 512, Access::Write)?;
                self.put_bytes(span, &self.cpu.fpu.fx_save());
            }
            FpuOp::FxRestore(from) => {
                self.require_aligned(from)?;
                let span = self.operand(from, 512, Access::Read)?;
                let mut raw = [0; FX_USED];
                self.get_bytes(span, &mut raw);
                if !self.cpu.fpu.fx_restore(&raw) {
                    return Err(Trap::General(0).into());
                }
            }
            FpuOp::LoadMxcsr(from) => {
                let value = u32::from_le_bytes(self.load_fpu(from)?);
                if value & !MXCSR_DEFINED != 0 {
                    return Err(Trap::General(0).into());
                }
                self.cpu.fpu.mxcsr = value;
            }
            FpuOp::StoreMxcsr(to) => self.store_fpu(to, &self.cpu.fpu.mxcsr.to_le_bytes())?,
            FpuOp::Unsupported(mnemonic) => {
                let name = crate::lower::name(*mnemonic).to_uppercase();
                return Err(Exit::unsupported(format!("the x87 instruction {name}")));
            }
            _ => self.fpu_number(op)?,
        }
        Ok(())
    }

    /// The instructions that move numbers; these leave their address in the environment.
    fn fpu_number(&mut self, op: &FpuOp) -> Result<(), Trap> {
        let here = self.transient.here;
        let mut operand = None;
        match op {
            FpuOp::Load(float, from) => {
                self.load_number(*float, from)?;
                operand = Some(from);
            }
            FpuOp::LoadInteger { bytes, from } => {
                let value = match bytes {
                    2 => i64::from(i16::from_le_bytes(self.load_fpu(from)?)),
                    4 => i64::from(i32::from_le_bytes(self.load_fpu(from)?)),
                    _ => i64::from_le_bytes(self.load_fpu(from)?),
                };
                self.cpu.fpu.push(Extended::from_integer(value));
                operand = Some(from);
            }
            FpuOp::Store { float, to, pop } => {
                let image = |number, control| match float {
                    Float::Single => image(narrow(SINGLE, number, control)),
                    Float::Double => image(narrow(DOUBLE, number, control)),
                    Float::Extended => (number.to_bytes(), 0),
                };
                let len = match float {
                    Float::Single => 4,
                    Float::Double => 8,
                    Float::Extended => 10,
                };
                self.store_number(to, len, *pop, image)?;
                operand = Some(to);
            }
            FpuOp::StoreInteger { bytes, to, pop } => {
                let image = |number, control| {
                    let (value, exceptions) = to_integer(number, u32::from(*bytes) * 8, control);
                    image((value as u64, exceptions))
                };
                self.store_number(to, usize::from(*bytes), *pop, image)?;
                operand = Some(to);
            }
            other => self.fpu_registers(other),
        }
        let fpu = &mut self.cpu.fpu;
        fpu.instruction = here;
        fpu.selector = self.cpu.segments[Seg::Cs as usize].selector.into();
        if let Some(address) = operand {
            let offset = self.offset(address);
            self.cpu.fpu.operand = offset;
            self.cpu.fpu.operand_selector = self.cpu.seg(address.seg).selector;
        }
        Ok(())
    }

    fn fpu_registers(&mut self, op: &FpuOp) {
        let fpu = &mut self.cpu.fpu;
        match op {
            FpuOp::LoadOne => fpu.push(Extended::ONE),
            FpuOp::LoadZero => fpu.push(Extended::ZERO),
            FpuOp::LoadRegister(i) => {
                let empty = fpu.is_empty(*i);
                let value = if empty { Extended::INDEFINITE } else { fpu.st(*i) };
                if !empty || fpu.except(INVALID | STACK) {
                    fpu.push(value);
                }
            }
            FpuOp::StoreRegister { to, pop } => {
                fpu.status &= !ROUNDED_UP;
                let empty = fpu.is_empty(0);
                let value = if empty { Extended::INDEFINITE } else { fpu.st(0) };
                if empty && !fpu.except(INVALID | STACK) {
                    return;
                }
                fpu.set_st(*to, value);
                if *pop {
                    fpu.pop();
                }
            }
            FpuOp::Exchange(i) => {
                fpu.status &= !ROUNDED_UP;
                let number = |empty, value| if empty { Extended::INDEFINITE } else { value };
                let empty = [fpu.is_empty(0), fpu.is_empty(*i)];
                let (a, b) = (number(empty[0], fpu.st(0)), number(empty[1], fpu.st(*i)));
                if empty == [false; 2] || fpu.except(INVALID | STACK) {
                    fpu.set_st(0, b);
                    fpu.set_st(*i, a);
                }
            }
            FpuOp::Free(i) => fpu.free(*i),
            FpuOp::ChangeSign | FpuOp::Absolute => {
                fpu.status &= !ROUNDED_UP;
                let mut value = fpu.st(0);
                value.negative = *op == FpuOp::ChangeSign && !value.negative;
                if !fpu.is_empty(0) {
                    fpu.set_st(0, value);
                } else if fpu.except(INVALID | STACK) {
                    fpu.set_st(0, Extended::INDEFINITE);
                }
            }
            FpuOp::IncrementTop => fpu.rotate(1),
            FpuOp::DecrementTop => fpu.rotate(7),
            // All others are done by the callers.
            _ => {}
        }
    }

    fn load_number(&mut self, float: Float, from: &Address) -> Result<(), Trap> {
        let (number, exceptions) = match float {
            Float::Single => widen(SINGLE, u32::from_le_bytes(self.load_fpu(from)?).into()),
            Float::Double => widen(DOUBLE, u64::from_le_bytes(self.load_fpu(from)?)),
            Float::Extended => (Extended::from_bytes(&self.load_fpu(from)?), 0),
        };
        if self.cpu.fpu.is_empty(7) && exceptions != 0 && !self.cpu.fpu.except(exceptions) {
            return Ok(());
        }
        self.cpu.fpu.push(number);
        Ok(())
    }

    fn store_number(
        &mut self,
        to: &Address,
        len: usize,
        pop: bool,
        image: impl Fn(Extended, u16) -> Image,
    ) -> Result<(), Trap> {
        let span = self.operand(to, len as u32, Access::Write)?;
        let control = self.cpu.fpu.control;
        let empty = self.cpu.fpu.is_empty(0);
        let number = if empty { Extended::INDEFINITE } else { self.cpu.fpu.st(0) };
        let (raw, exceptions) = image(number, control);
        let exceptions = if empty { INVALID | STACK } else { exceptions };
        self.cpu.fpu.status &= !ROUNDED_UP;
        self.cpu.fpu.except(exceptions);
        // An inexact result is stored even if that is reported; the others are not.
        let stopped = exceptions & (INVALID | OVERFLOW | UNDERFLOW) & !control != 0;
        if !stopped {
            self.put_bytes(span, &raw[..len]);
            if pop {
                self.cpu.fpu.pop();
            }
        }
        Ok(())
    }

    fn load_fpu<const N: usize>(&mut self, from: &Address) -> Result<[u8; N], Trap> {
        let span = self.operand(from, N as u32, Access::Read)?;
        let mut raw = [0; N];
        self.get_bytes(span, &mut raw);
        Ok(raw)
    }

    fn store_fpu(&mut self, to: &Address, bytes: &[u8]) -> Result<(), Trap> {
        let span = self.operand(to, bytes.len() as u32, Access::Write)?;
        self.put_bytes(span, bytes);
        Ok(())
    }

    fn require_aligned(&self, address: &Address) -> Result<(), Trap> {
        let at = self.cpu.seg(address.seg).base.wrapping_add(self.offset(address));
        if at & 15 == 0 { Ok(()) } else { Err(Trap::General(0)) }
    }
}

fn image((value, exceptions): (u64, u16)) -> Image {
    let mut raw = [0; 10];
    raw[..8].copy_from_slice(&value.to_le_bytes());
    (raw, exceptions)
}
