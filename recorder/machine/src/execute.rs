//! Execution: one exhaustive `match` over the operations, which are found in files by family.
//!
//! When an operation runs, EIP already points behind it. An operation that fails has changed nothing
//! else: it reads everything, computes, has its writes allowed, and only then writes. Whoever runs it
//! puts EIP back.

mod alu;
mod control;
mod far;
mod fpu;
mod multiply;
mod ports;
mod privileged;
mod protection;
mod shift;
mod stack;
mod string;

use crate::op::{Flag, Op};
use crate::trap::{Exit, Source};
use crate::{Machine, Trap};

/// The outcome of an operation.
pub(crate) type Done = Result<(), Exit>;

impl Machine {
    /// Executes an operation that lies at offset `here`.
    #[inline]
    pub(crate) fn execute(&mut self, op: &Op, here: u32) -> Done {
        match op {
            Op::Alu(alu, width, place, value) => self.alu(*alu, *width, place, value)?,
            Op::Test(width, place, value) => self.test(*width, place, value)?,
            Op::Unary(unary, width, place) => self.unary(*unary, *width, place)?,
            Op::Mov(width, place, value) => {
                let value = self.read_value(*width, value)?;
                self.write_place(*width, place, value)?;
            }
            Op::Extend { signed, to, reg, from, source } => {
                let value = self.read_place(*from, source)?;
                self.set_register(*to, *reg, if *signed { from.extend(value) } else { value });
            }
            Op::Lea(width, reg, address) => self.set_register(*width, *reg, self.offset(address)),
            Op::Shift(shift, width, place, count) => self.shift(*shift, *width, place, count)?,
            Op::ShiftDouble { left, width, place, source, count } => {
                self.shift_double(*left, *width, place, *source, count)?;
            }
            Op::Bit(bit, width, place, index) => self.bit(*bit, *width, place, index)?,
            Op::BitScan { reverse, width, reg, source } => self.bit_scan(*reverse, *width, *reg, source)?,
            Op::Multiply { signed, width, source } => self.multiply(*signed, *width, source)?,
            Op::MultiplyInto(width, reg, a, b) => self.multiply_into(*width, *reg, a, b)?,
            Op::Divide { signed, width, source } => self.divide(*signed, *width, source)?,
            Op::Exchange(width, a, b) => self.exchange(*width, a, b)?,
            Op::ExchangeAdd(width, place, source) => self.exchange_add(*width, place, source)?,
            Op::CompareExchange(width, place, source) => self.compare_exchange(*width, place, source)?,
            Op::CompareExchange8(address) => self.compare_exchange8(address)?,
            Op::ByteSwap(width, reg) => self.byte_swap(*width, *reg),
            Op::Set(condition, place) => {
                let met = u32::from(self.meets(*condition));
                self.write_place(crate::op::Width::Byte, place, met)?;
            }
            Op::MovIf(condition, width, reg, source) => {
                let value = self.read_place(*width, source)?;
                if self.meets(*condition) {
                    self.set_register(*width, *reg, value);
                }
            }
            Op::ConvertAccumulator(width) => self.convert_accumulator(*width),
            Op::ConvertPair(width) => self.convert_pair(*width),
            Op::Decimal(decimal) => self.decimal(*decimal)?,
            Op::Flag(Flag::Cli) => self.clear_interrupt_flag()?,
            Op::Flag(Flag::Sti) => self.set_interrupt_flag()?,
            Op::Flag(Flag::Clts) => self.clear_task_switched()?,
            Op::Flag(flag) => self.flag_operation(*flag),
            Op::Lahf => self.lahf(),
            Op::Sahf => self.sahf(),
            Op::Salc => self.salc(),
            Op::Xlat(address) => self.xlat(address)?,
            Op::Nop => {}

            Op::Push(width, value) => {
                let value = self.read_value(*width, value)?;
                self.push(*width, value)?;
            }
            Op::Pop(width, place) => self.pop_place(*width, place)?,
            Op::PushSegment(width, seg) => self.push(*width, self.cpu.seg(*seg).selector.into())?,
            Op::PopSegment(width, seg) => self.pop_segment(*width, *seg)?,
            Op::PushAll(width) => self.push_all(*width)?,
            Op::PopAll(width) => self.pop_all(*width)?,
            Op::PushFlags(width) => self.push_flags(*width)?,
            Op::PopFlags(width) => self.pop_flags(*width)?,
            Op::Enter(width, size, level) => self.enter(*width, *size, *level)?,
            Op::Leave(width) => self.leave(*width)?,

            Op::Jump(width, distance) => self.branch(*width, *distance)?,
            Op::JumpTo(width, place) => {
                let target = self.read_place(*width, place)?;
                self.jump(*width, target)?;
            }
            Op::JumpIf(condition, width, distance) => {
                if self.meets(*condition) {
                    self.branch(*width, *distance)?;
                }
            }
            Op::Loop { kind, counter, width, distance } => {
                self.repeat_loop(*kind, *counter, *width, *distance)?
            }
            Op::Call(width, distance) => self.call(*width, self.cpu.eip.wrapping_add(*distance))?,
            Op::CallTo(width, place) => {
                let target = self.read_place(*width, place)?;
                self.call(*width, target)?;
            }
            Op::Return(width, extra) => self.near_return(*width, *extra)?,
            Op::JumpFar(width, far) => self.jump_far(*width, far)?,
            Op::CallFar(width, far) => self.call_far(*width, far)?,
            Op::ReturnFar(width, extra) => self.return_far(*width, *extra)?,
            Op::InterruptReturn(width) => self.interrupt_return(*width)?,
            Op::Interrupt(vector) => self.interrupt(*vector, None, Source::Program)?,
            Op::DebugTrap => self.interrupt(1, None, Source::Event)?,
            Op::InterruptOnOverflow => {
                if self.cpu.flag(crate::registers::flags::OF) {
                    self.interrupt(4, None, Source::Program)?;
                }
            }
            Op::Bound(width, reg, address) => self.bound(*width, *reg, address)?,
            Op::SysEnter => self.sysenter()?,
            Op::SysExit => self.sysexit()?,

            Op::String(string) => self.string(string, here)?,

            Op::StoreSegment(width, place, seg) => {
                self.write_place(*width, place, self.cpu.seg(*seg).selector.into())?;
            }
            Op::LoadSegment(seg, place) => self.mov_segment(*seg, place)?,
            Op::LoadPointer(width, seg, reg, address) => self.load_pointer(*width, *seg, *reg, address)?,
            Op::StoreTable(table, address) => self.store_table(*table, address)?,
            Op::LoadTable(table, width, address) => self.load_table(*table, *width, address)?,
            Op::StoreWord(word, width, place) => self.store_word(*word, *width, place)?,
            Op::LoadWord(word, place) => self.load_word(*word, place)?,
            Op::Ask(ask, place) => self.ask(*ask, place)?,
            Op::AdjustRpl(place, reg) => self.adjust_rpl(place, *reg)?,
            Op::StoreControl(reg, index) => self.store_control(*reg, *index)?,
            Op::LoadControl(index, reg) => self.load_control(*index, *reg)?,
            Op::StoreDebug(reg, index) => self.store_debug(*reg, *index)?,
            Op::LoadDebug(index, reg) => self.load_debug(*index, *reg)?,
            Op::In(width, port) => self.input(*width, port)?,
            Op::Out(width, port) => self.output(*width, port)?,
            Op::Halt => self.halt()?,
            Op::InvalidatePage(_) | Op::Privileged => self.require_ring_0()?,
            Op::CpuId => self.cpuid(),
            Op::ReadTime => self.read_time()?,
            Op::ReadMsr => self.read_msr()?,
            Op::WriteMsr => self.write_msr()?,

            Op::Fpu(op, opcode) => self.fpu(op, *opcode)?,

            Op::Undefined => return Err(Trap::Undefined.into()),
            Op::TooLong => return Err(Trap::General(0).into()),
        }
        Ok(())
    }
}
