//! The x87 instructions: when they may be executed, and what they move to and from memory.

use super::Done;
use crate::float::arithmetic::Operand;
use crate::float::exception::{INVALID, OVERFLOW, ROUNDED_UP, STACK, UNDERFLOW};
use crate::float::integer::{from_decimal, to_decimal, to_integer};
use crate::float::{DOUBLE, Extended, SINGLE, narrow, widen};
use crate::op::{Address, Float, FpuOp, FpuSource, Width};
use crate::registers::control::{EM, MP, NE, OSFXSR, TS};
use crate::trap::Exit;
use crate::x87::operate::Source;
use crate::x87::{FX_USED, MXCSR_DEFINED, defined_control};
use crate::{Access, Machine, Seg, Trap};

/// What a store would leave in memory, at most ten bytes, and the exceptions that it raises.
type Image = ([u8; 10], u16);

impl Machine {
    pub(super) fn fpu(&mut self, op: &FpuOp, opcode: u16) -> Done {
        self.require_fpu(op)?;
        self.require_quiet(op)?;
        self.fpu_state(op, opcode)
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
                | OldNop
                | StoreControl(_)
                | StoreStatus(_)
                | StoreEnvironment { .. }
                | Save { .. }
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

    fn fpu_state(&mut self, op: &FpuOp, opcode: u16) -> Done {
        match op {
            FpuOp::Wait | FpuOp::OldNop => {}
            FpuOp::Init => self.cpu.fpu.initialise(),
            FpuOp::ClearExceptions => self.cpu.fpu.clear_exceptions(),
            FpuOp::StoreControl(to) => self.store_fpu(to, &self.cpu.fpu.control.to_le_bytes())?,
            FpuOp::LoadControl(from) => {
                let raw = self.load_fpu(from)?;
                self.cpu.fpu.control = defined_control(u16::from_le_bytes(raw));
                self.cpu.fpu.settle();
            }
            FpuOp::StoreStatus(to) => self.write_place(Width::Word, to, self.cpu.fpu.status.into())?,
            FpuOp::StoreEnvironment { to, short } => {
                let (raw, len) = self.cpu.fpu.environment(*short);
                self.store_fpu(to, &raw[..len])?;
                self.cpu.fpu.control |= 0x3F;
                self.cpu.fpu.settle();
            }
            FpuOp::LoadEnvironment { from, short: false } => {
                let raw: [u8; 28] = self.load_fpu(from)?;
                self.cpu.fpu.set_environment(&raw);
            }
            FpuOp::LoadEnvironment { from, short: true } => {
                let raw: [u8; 14] = self.load_fpu(from)?;
                self.cpu.fpu.set_environment(&raw);
            }
            FpuOp::Save { to, short } => {
                let (raw, len) = self.cpu.fpu.save(*short);
                self.store_fpu(to, &raw[..len])?;
                self.cpu.fpu.initialise();
            }
            FpuOp::Restore { from, short: false } => {
                let raw: [u8; 108] = self.load_fpu(from)?;
                self.cpu.fpu.restore(&raw);
            }
            FpuOp::Restore { from, short: true } => {
                let raw: [u8; 94] = self.load_fpu(from)?;
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
            _ => self.fpu_number(op, opcode)?,
        }
        Ok(())
    }

    /// The instructions that move and compute numbers; these leave their address in the environment.
    fn fpu_number(&mut self, op: &FpuOp, opcode: u16) -> Result<(), Trap> {
        let here = self.transient.here;
        let operand = match op {
            FpuOp::Load(_, at)
            | FpuOp::LoadInteger { from: at, .. }
            | FpuOp::Store { to: at, .. }
            | FpuOp::StoreInteger { to: at, .. }
            | FpuOp::LoadDecimal(at)
            | FpuOp::StoreDecimal(at)
            | FpuOp::Arithmetic { source: FpuSource::Real(_, at) | FpuSource::Integer(_, at), .. }
            | FpuOp::Compare { source: FpuSource::Real(_, at) | FpuSource::Integer(_, at), .. } => {
                Some((self.offset(at), self.cpu.seg(at.seg).selector))
            }
            _ => None,
        };
        match op {
            FpuOp::Load(Float::Extended, from) => {
                let number = Extended::from_bytes(&self.load_fpu(from)?);
                self.cpu.fpu.push(number);
            }
            FpuOp::Load(float, from) => {
                let operand = self.real(*float, from)?;
                self.cpu.fpu.load(operand);
            }
            FpuOp::LoadInteger { bytes, from } => {
                let number = self.integer(*bytes, from)?;
                self.cpu.fpu.push(number);
            }
            FpuOp::LoadDecimal(from) => {
                let number = from_decimal(&self.load_fpu(from)?);
                self.cpu.fpu.push(number);
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
            }
            FpuOp::StoreInteger { bytes, to, pop } => {
                let image = |number, control| {
                    let (value, exceptions) = to_integer(number, u32::from(*bytes) * 8, control);
                    image((value as u64, exceptions))
                };
                self.store_number(to, usize::from(*bytes), *pop, image)?;
            }
            FpuOp::StoreDecimal(to) => self.store_number(to, 10, true, to_decimal)?,
            FpuOp::Arithmetic { kind, to, source, pop } => {
                let source = self.source(source)?;
                self.cpu.fpu.arithmetic(*kind, *to, source, *pop);
            }
            FpuOp::Compare { source, quiet, pops } => {
                let source = self.source(source)?;
                self.cpu.fpu.compare(source, *quiet, *pops);
            }
            other => self.fpu_registers(other),
        }
        let fpu = &mut self.cpu.fpu;
        fpu.instruction = here;
        fpu.selector = u32::from(self.cpu.segments[Seg::Cs as usize].selector) | u32::from(opcode) << 16;
        if let Some((offset, selector)) = operand {
            fpu.operand = offset;
            fpu.operand_selector = selector;
        }
        Ok(())
    }

    fn fpu_registers(&mut self, op: &FpuOp) {
        use crate::registers::flags::{AF, CF, OF, PF, SF, ZF};
        if let FpuOp::MoveIf(condition, i) = op {
            let met = self.meets(*condition);
            return self.cpu.fpu.move_if(met, *i);
        }
        if let FpuOp::CompareFlags { i, quiet, pop } = op {
            let flags = self.cpu.fpu.compare_flags(*i, *quiet, *pop);
            self.set_flags(CF | PF | AF | ZF | SF | OF, flags);
            return;
        }
        let fpu = &mut self.cpu.fpu;
        match op {
            FpuOp::LoadConstant(constant) => fpu.load_constant(*constant),
            FpuOp::LoadRegister(i) => fpu.load_register(*i),
            FpuOp::StoreRegister { to, pop } => fpu.store_register(*to, *pop),
            FpuOp::StoreAnything(to) => fpu.store_anything(*to),
            FpuOp::Exchange(i) => fpu.exchange(*i),
            FpuOp::Free { i, pop } => fpu.release(*i, *pop),
            FpuOp::Sign { change } => fpu.sign(*change),
            FpuOp::IncrementTop => fpu.turn(1),
            FpuOp::DecrementTop => fpu.turn(7),
            FpuOp::Test => fpu.compare(Source::Memory(Extended::ZERO.into()), false, 0),
            FpuOp::Examine => fpu.examine(),
            FpuOp::Root => fpu.root(),
            FpuOp::RoundToInteger => fpu.round_to_integer(),
            FpuOp::Scale => fpu.scale(),
            FpuOp::Extract => fpu.extract(),
            FpuOp::Remainder { nearest } => fpu.remainder(*nearest),
            // All others are done by the callers.
            _ => {}
        }
    }

    fn source(&mut self, source: &FpuSource) -> Result<Source, Trap> {
        Ok(match source {
            FpuSource::Register(i) => Source::Register(*i),
            FpuSource::Real(float, from) => Source::Memory(self.real(*float, from)?),
            FpuSource::Integer(bytes, from) => Source::Memory(self.integer(*bytes, from)?.into()),
        })
    }

    fn real(&mut self, float: Float, from: &Address) -> Result<Operand, Trap> {
        let (number, denormal) = match float {
            Float::Single => widen(SINGLE, u32::from_le_bytes(self.load_fpu(from)?).into()),
            _ => widen(DOUBLE, u64::from_le_bytes(self.load_fpu(from)?)),
        };
        Ok(Operand { number, denormal })
    }

    fn integer(&mut self, bytes: u8, from: &Address) -> Result<Extended, Trap> {
        Ok(Extended::from_integer(match bytes {
            2 => i64::from(i16::from_le_bytes(self.load_fpu(from)?)),
            4 => i64::from(i32::from_le_bytes(self.load_fpu(from)?)),
            _ => i64::from_le_bytes(self.load_fpu(from)?),
        }))
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
        let stopping = exceptions & (INVALID | OVERFLOW | UNDERFLOW) & !control;
        self.cpu.fpu.status &= !ROUNDED_UP;
        // An inexact result is stored even if that is reported; the others are not, and what would
        // have been rounded is not told of.
        self.cpu.fpu.except(if stopping == 0 {
            exceptions
        } else {
            stopping | exceptions & (INVALID | STACK)
        });
        if stopping == 0 {
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
