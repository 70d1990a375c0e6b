//! Win32 functions over one service each (reactos.md 8.5, 9.2, 10.5).

use super::{create::service, thread::teb};
use crate::{ReactOs, layout::*};
use contract::{Flow, Frame, Status};
use guest::Write;
use machine::{Fault, Machine};

const ERROR_INVALID_HANDLE: u32 = 6;
/// INFINITE.
const INFINITE: u32 = u32::MAX;
/// 100 ns units in a millisecond.
const MILLISECOND: i64 = 10_000;

/// SetLastError.
fn set_last_error(m: &mut Machine, error: u32) -> R<()> {
    let teb = teb(m);
    m.set(teb.last_error_value(), error)
}

/// RtlNtStatusToDosError, for the statuses that the functions here can meet.
fn dos_error(status: Status) -> u32 {
    const ERROR_INVALID_FUNCTION: u32 = 1;
    const ERROR_ACCESS_DENIED: u32 = 5;
    const ERROR_NOT_ENOUGH_MEMORY: u32 = 8;
    const ERROR_GEN_FAILURE: u32 = 31;
    const ERROR_INVALID_PARAMETER: u32 = 87;
    const ERROR_MR_MID_NOT_FOUND: u32 = 317;
    match status {
        Status::INVALID_HANDLE | Status::OBJECT_TYPE_MISMATCH => ERROR_INVALID_HANDLE,
        Status::ACCESS_DENIED | Status::PROCESS_IS_TERMINATING | Status::THREAD_IS_TERMINATING => {
            ERROR_ACCESS_DENIED
        }
        Status::NO_MEMORY | Status::INSUFFICIENT_RESOURCES => ERROR_NOT_ENOUGH_MEMORY,
        Status::INVALID_PARAMETER => ERROR_INVALID_PARAMETER,
        Status::UNSUCCESSFUL => ERROR_GEN_FAILURE,
        Status::NOT_IMPLEMENTED => ERROR_INVALID_FUNCTION,
        _ => ERROR_MR_MID_NOT_FOUND,
    }
}

/// What a BOOL function makes of a status.
fn succeeded(f: &mut Frame) -> Result<Flow, Fault> {
    let status = Status(f.result());
    if status.is_success() {
        return Ok(Flow::Return(1));
    }
    set_last_error(f.m, dos_error(status))?;
    Ok(Flow::Return(0))
}

/// SleepEx(Milliseconds, Alertable) (8.5): 0 for every status of success, STATUS_USER_APC among them, and
/// -1 for an error. INFINITE is the longest interval there is.
pub(crate) fn sleep_ex(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let status = Status(f.result());
        if status.is_success() {
            return Ok(Flow::Return(0));
        }
        set_last_error(f.m, dos_error(status))?;
        return Ok(Flow::Return(u32::MAX));
    }
    let (milliseconds, alertable) = (f.arg(0)?, f.arg(1)?);
    let interval = match milliseconds {
        INFINITE => i64::MIN,
        milliseconds => -(i64::from(milliseconds) * MILLISECOND),
    };
    let place = f.block(0, 2);
    f.m.store(place, interval)?;
    f.call(service("NtDelayExecution"), &[alertable, place.0], 1)
}

/// TerminateProcess(Process, ExitCode): NtTerminateProcess and nothing else, no detach and no message to
/// CSRSS.
pub(crate) fn terminate_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return succeeded(f);
    }
    let (process, code) = (f.arg(0)?, f.arg(1)?);
    f.call(service("NtTerminateProcess"), &[process, code], 1)
}

/// TerminateThread(Thread, ExitCode): a NULL handle is refused before the service is asked.
pub(crate) fn terminate_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return succeeded(f);
    }
    let (thread, code) = (f.arg(0)?, f.arg(1)?);
    if thread == 0 {
        set_last_error(f.m, ERROR_INVALID_HANDLE)?;
        return Ok(Flow::Return(0));
    }
    f.call(service("NtTerminateThread"), &[thread, code], 1)
}
