//! What a test driver does for a case, on the calling thread. These stand for a driver's own code, not
//! for anything of the kernel's.

pub(crate) mod apc;
pub(crate) mod attach;
pub(crate) mod notify;

use crate::{ReactOs, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::Va;
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
