//! What a test driver does for a case, on the calling thread. These stand for a driver's own code, not
//! for anything of the kernel's.

pub(crate) mod apc;
pub(crate) mod attach;
pub(crate) mod notify;

use crate::{ReactOs, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Va};
use machine::Fault;

/// DriverEnterCriticalRegion().
pub(crate) fn enter_critical_region(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    ke::critical::enter(f.m, thread)?;
    Ok(Flow::Return(Status::SUCCESS.0))
}

/// DriverLeaveCriticalRegion().
pub(crate) fn leave_critical_region(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    ke::critical::leave(f.m, thread)?;
    Ok(Flow::Return(Status::SUCCESS.0))
}

/// DriverLeaveAndReadEvent(Event): KeLeaveCriticalRegion, and at once KeReadStateEvent, whose result is
/// returned.
pub(crate) fn leave_and_read_event(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    let event = match ob::reference(f.m, handle, Some(Type::Event))? {
        Ok(body) => body,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let thread = ke::current(f.m)?;
    ke::critical::leave(f.m, thread)?;
    let state = f.m.get(Header(event).signal_state())?;
    ob::dereference(f.m, event)?;
    Ok(Flow::Return(state as u32))
}

/// DriverSetPriority(Thread, Priority): base priority and priority.
pub(crate) fn set_priority(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let thread = Va(f.local(0)?);
        ob::dereference(f.m, thread)?;
        return Ok(Flow::Return(Status::SUCCESS.0));
    }
    let (handle, priority) = (f.arg(0)?, f.arg(1)?);
    let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
        Ok(body) => body,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    f.set_local(0, thread.0)?;
    f.call(Ke::KeSetPriorityThread.at(), &[thread.0, priority], 1)
}

/// DriverWait(Object, Mode, Alertable): KeWaitForSingleObject without a timeout.
pub(crate) fn wait(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let (status, body) = (f.result(), Va(f.local(0)?));
        ob::dereference(f.m, body)?;
        return Ok(Flow::Return(status));
    }
    let (handle, mode, alertable) = (f.arg(0)?, f.arg(1)?, f.arg(2)? & 0xFF);
    let body = match ob::reference(f.m, handle, None)? {
        Ok(body) => body,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    if !ob::services::waitable(ob::object::type_of(f.m, body)?) {
        ob::dereference(f.m, body)?;
        return Ok(Flow::Return(Status::HANDLE_NOT_WAITABLE.0));
    }
    f.set_local(0, body.0)?;
    f.call(Ke::KeWaitForSingleObject.at(), &[body.0, reason::USER_REQUEST, mode, alertable, 0], 1)
}
