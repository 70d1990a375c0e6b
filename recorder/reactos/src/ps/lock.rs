//! The process lock (reactos.md 9.11).

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Write};
use machine::Fault;

/// PsLockProcess(Process, Timeout).
///
/// The two delays of ten microseconds are yields here: such a delay ends with the next tick, and the
/// clock of this machine ticks without moving. The timeout is never asked for.
pub(crate) fn ps_lock_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let process: EProcess = f.arg_ptr(0)?;
    let thread = ke::current(f.m)?;
    if f.stage == 0 {
        ke::critical::enter(f.m, thread)?;
    }
    if f.m.get(process.pcb().state())? == PROCESS_TERMINATED {
        ke::critical::leave(f.m, thread)?;
        return Ok(Flow::Return(Status::PROCESS_IS_TERMINATING.0));
    }
    let owner = f.m.get(process.lock_owner())?;
    if owner.is_none_or(|owner| owner == thread) {
        f.m.set(process.lock_owner(), Some(thread))?;
        let count = f.m.get(process.lock_count())?;
        if count == 0 {
            f.m.set(process.lock_event().signal_state(), 0)?;
        }
        f.m.set(process.lock_count(), count + 1)?;
        return Ok(Flow::Return(Status::SUCCESS.0));
    }
    match f.stage {
        0 => f.call(Ke::NtYieldExecution.at(), &[], 1),
        1 => f.call(Ke::NtYieldExecution.at(), &[], 2),
        _ => {
            let event = process.lock_event().0.0;
            f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, KERNEL_MODE, 0, 0], 3)
        }
    }
}

/// PsUnlockProcess(Process). After a lock that was refused the count underflows (9.5 step 5).
pub(crate) fn ps_unlock_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let process: EProcess = f.arg_ptr(0)?;
    if f.stage == 0 {
        let count = f.m.get(process.lock_count())?.wrapping_sub(1);
        f.m.set(process.lock_count(), count)?;
        if count == 0 {
            f.m.set(process.lock_owner(), None)?;
            return f.call(Ke::KeSetEvent.at(), &[process.lock_event().0.0, 0, 0], 1);
        }
    }
    let thread = ke::current(f.m)?;
    ke::critical::leave(f.m, thread)?;
    Ok(Flow::Return(0))
}
