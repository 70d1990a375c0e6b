//! kernel32's thin calls: SleepEx, TerminateProcess, TerminateThread (nt52.md 11.5).

use super::{service, teb};
use crate::Nt;
use contract::{Flow, Frame, Status};
use guest::{Fault, Write};

/// INFINITE.
const INFINITE: u32 = u32::MAX;
/// Units of 100 ns in a millisecond.
const MILLISECOND: i64 = 10_000;
const ERROR_ACCESS_DENIED: u32 = 5;
const ERROR_INVALID_HANDLE: u32 = 6;
const ERROR_GEN_FAILURE: u32 = 31;
/// ERROR_MR_MID_NOT_FOUND: what a status without a Win32 error becomes.
const ERROR_UNKNOWN: u32 = 317;

/// SleepEx(dwMilliseconds, bAlertable): WAIT_IO_COMPLETION when an APC ended it, else 0. The sheet is
/// silent on alerts; SleepEx is documented to end for time and APCs alone, so that it goes on after one.
/// Locals 0 and 1 hold the interval.
pub(crate) fn sleep_ex(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (milliseconds, alertable) = (f.arg(0)?, f.arg(1)?);
    match f.stage {
        0 => {}
        _ if f.result() == Status::ALERTED.0 => {}
        _ if f.result() == Status::USER_APC.0 => return Ok(Flow::Return(Status::USER_APC.0)),
        _ => return Ok(Flow::Return(0)),
    }
    let interval = match milliseconds {
        INFINITE => i64::MIN,
        milliseconds => -(i64::from(milliseconds) * MILLISECOND),
    };
    let at = f.block(0, 2);
    f.m.store(at, interval)?;
    service(nt, f, "NtDelayExecution", &[u32::from(alertable != 0), at.0], 1)
}

/// RtlNtStatusToDosError for what the two services below return.
fn error(status: Status) -> u32 {
    match status {
        Status::ACCESS_DENIED | Status::PROCESS_IS_TERMINATING | Status::THREAD_IS_TERMINATING => {
            ERROR_ACCESS_DENIED
        }
        Status::UNSUCCESSFUL => ERROR_GEN_FAILURE,
        Status::INVALID_HANDLE | Status::OBJECT_TYPE_MISMATCH => ERROR_INVALID_HANDLE,
        _ => ERROR_UNKNOWN,
    }
}

fn terminate(nt: &Nt, f: &mut Frame, name: &str) -> Result<Flow, Fault> {
    let (handle, code) = (f.arg(0)?, f.arg(1)?);
    let last_error = match f.stage {
        0 if handle != 0 => return service(nt, f, name, &[handle, code], 1),
        0 => ERROR_INVALID_HANDLE,
        _ if Status(f.result()).is_success() => return Ok(Flow::Return(1)),
        _ => error(Status(f.result())),
    };
    let teb = teb(f.m);
    f.m.set(teb.last_error_value(), last_error)?;
    Ok(Flow::Return(0))
}

/// TerminateProcess(hProcess, uExitCode).
pub(crate) fn terminate_process(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    terminate(nt, f, "NtTerminateProcess")
}

/// TerminateThread(hThread, dwExitCode).
pub(crate) fn terminate_thread(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    terminate(nt, f, "NtTerminateThread")
}
