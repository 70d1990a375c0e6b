//! Exceptions in user mode (reactos.md 10.1), simplified: the innermost registered frame handles the
//! exception, and the only frames there are belong to the start routines.

use super::{Us, create::service, thread::teb};
use crate::ReactOs;
use contract::{Flow, Frame};
use guest::{Read, Va};
use machine::Fault;

const CURRENT_PROCESS: u32 = 0xFFFF_FFFF;

/// KiUserExceptionDispatcher(Record, Context). Without any frame (in the loader, before the start
/// routine) the process ends with the exception's code.
pub(crate) fn dispatcher(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (record, context) = (f.arg(0)?, f.arg(1)?);
    let frame = f.m.get(teb(f.m).exception_list())?;
    if f.stage == 0 && frame != u32::MAX {
        let handler: Va = f.m.load(Va(frame).add(4))?;
        return f.call(handler, &[record, frame, context], 1);
    }
    let code: u32 = f.m.load(Va(record))?;
    f.call(service("NtTerminateProcess"), &[CURRENT_PROCESS, code], 2)
}

/// The frame handler of BaseProcessStart, and of ThreadStartup: no filter is set, so ExitProcess with
/// the exception's code.
pub(crate) fn base_handler(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let record = Va(f.arg(0)?);
    let code: u32 = f.m.load(record)?;
    f.call(Us::ExitProcess.at(), &[code], 1)
}
