//! What the driver does with threads, events and privileges.

use crate::Nt;
use crate::error::{attempt, done};
use crate::global::DATA;
use crate::ke::ready;
use crate::ke::thread::current_process;
use crate::layout::*;
use crate::ob;
use crate::ps::token::Token;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Write};

/// DriverSetPriority(Thread, Priority): base priority and priority. STATUS_INVALID_PARAMETER above 31.
pub(crate) fn driver_set_priority(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, priority) = (f.arg(0)?, f.arg(1)?);
    if priority == 0 || priority > 31 {
        return done(Status::INVALID_PARAMETER);
    }
    let (body, _) = attempt!(ob::lookup(f.m, handle, 0, Some(Kind::Thread), KERNEL));
    let thread = EThread::at(body).tcb();
    f.m.set(thread.base_priority(), priority as i8)?;
    ready::set_priority(f.m, thread, priority as i8)?;
    done(Status::SUCCESS)
}

/// DriverLeaveAndReadEvent(Event): KeLeaveCriticalRegion, and KeReadStateEvent right after it, whose
/// result it returns.
pub(crate) fn driver_leave_and_read_event(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        return f.call(Ke::KeLeaveCriticalRegion.at(), &[], 1);
    }
    let handle = f.arg(0)?;
    let (body, _) = attempt!(ob::lookup(f.m, handle, 0, Some(Kind::Event), KERNEL));
    let state = f.m.get(DispatcherHeader::at(body).signal_state())?;
    Ok(Flow::Return(state as u32))
}

/// DriverSetKernelDebugger(State, Answers): KdDebuggerEnabled (bit 0 enabled, bit 1 present), and up to
/// four characters with which the debugger answers prompts, the low byte first.
pub(crate) fn driver_set_kernel_debugger(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (state, answers) = (f.arg(0)? as u8 & 3, f.arg(1)?);
    f.m.set(SHARED.kd_debugger_enabled(), state)?;
    f.m.set(DATA.kd_answers(), answers)?;
    done(Status::SUCCESS)
}

/// DriverSetPrivilege(Enabled): SeDebugPrivilege in the token of the caller's process.
pub(crate) fn driver_set_privilege(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let enabled = f.arg(0)? & 0xFF;
    let process = current_process(f.m)?;
    let token = Token::at(f.m.get(process.token())?);
    f.m.set(token.debug_privilege(), enabled)?;
    done(Status::SUCCESS)
}
