//! Exceptions of user mode (nt52.md 10.12). Without a debugger that handles it, an exception goes from
//! its first chance straight to its second, as the sheet allows: no frame-based handler is searched.

use super::bugcheck;
use crate::Nt;
use crate::layout::*;
use crate::table::Ke;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::{Machine, Reg};

/// An EXCEPTION_RECORD to be made.
pub(crate) struct Record {
    pub(crate) code: u32,
    pub(crate) address: u32,
    pub(crate) information: Vec<u32>,
}

/// Writes an EXCEPTION_RECORD.
pub(crate) fn write(m: &mut Machine, at: Va, record: &Record) -> Result<(), Fault> {
    let to = ExceptionRecord::at(at);
    m.zero(at, ExceptionRecord::EXTENT)?;
    m.set(to.code(), record.code)?;
    m.set(to.address(), record.address)?;
    m.set(to.number_parameters(), record.information.len() as u32)?;
    for (index, value) in record.information.iter().enumerate() {
        m.store(to.information0().at.add(4 * index as u32), *value)?;
    }
    Ok(())
}

/// Calls KiDispatchException for the first chance, with the record on the stack below the routine's
/// locals; goes on at `stage`.
pub(crate) fn raise(f: &mut Frame, frame: KTrapFrame, record: &Record, stage: u8) -> Result<Flow, Fault> {
    dispatch(f, frame, record, true, stage)
}

/// The same for the second chance.
pub(crate) fn raise_second(
    f: &mut Frame,
    frame: KTrapFrame,
    record: &Record,
    stage: u8,
) -> Result<Flow, Fault> {
    dispatch(f, frame, record, false, stage)
}

fn dispatch(
    f: &mut Frame,
    frame: KTrapFrame,
    record: &Record,
    first: bool,
    stage: u8,
) -> Result<Flow, Fault> {
    let at = Va(f.m.cpu.esp()).sub(ExceptionRecord::EXTENT);
    write(f.m, at, record)?;
    f.m.cpu.set_reg(Reg::Esp, at.0);
    f.call(Ke::KiDispatchException.at(), &[at.0, frame.va().0, first.into()], stage)
}

/// KiDispatchException(ExceptionRecord, TrapFrame, FirstChance), for an exception in user mode. It
/// returns when a debugger has handled the exception.
pub(crate) fn ki_dispatch_exception(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let record = f.arg_ptr::<ExceptionRecord>(0)?;
    let forward = Ke::DbgkForwardException.at();
    let stage = f.stage;
    match stage {
        0 if f.arg(2)? != 0 => f.call(forward, &[record.va().0, 1, 0], 1),
        1 if f.result() != 0 => Ok(Flow::Return(1)),
        0 | 1 => f.call(forward, &[record.va().0, 1, 1], 2),
        2 if f.result() != 0 => Ok(Flow::Return(1)),
        2 => {
            let code = f.m.get(record.code())?;
            f.call(nt.code.kernel.symbol("ZwTerminateProcess"), &[u32::MAX, code], 3)
        }
        _ => {
            let (code, address) = (f.m.get(record.code())?, f.m.get(record.address())?);
            let information = [f.m.get(record.information0())?, f.m.get(record.information1())?];
            let [first, second] = information;
            bugcheck::stop(f, bugcheck::KMODE_EXCEPTION_NOT_HANDLED, [code, address, first, second])
        }
    }
}
