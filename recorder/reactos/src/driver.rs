//! What a test driver does for a case, on the calling thread. These stand for a driver's own code, not
//! for anything of the kernel's.

use crate::{ReactOs, ex::pool, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status, program};
use guest::{Pointer, Va};
use machine::Fault;

/// The NormalContext of the user APCs that the driver queues.
const CONTEXT: u32 = 0xD;

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

/// DriverQueueApc(Thread, Kind): 0 a special kernel APC, 1 a normal kernel APC, 2 a user APC.
pub(crate) fn queue_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let (inserted, thread, apc) = (f.result() != 0, Va(f.local(0)?), Va(f.local(1)?));
        ob::dereference(f.m, thread)?;
        if !inserted {
            pool::free(f.m, apc)?;
        }
        return Ok(Flow::Return(if inserted { Status::SUCCESS } else { Status::UNSUCCESSFUL }.0));
    }
    let (handle, kind) = (f.arg(0)?, f.arg(1)?);
    let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
        Ok(body) => EThread(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let Some(at) = pool::allocate(f.m, pool::tag(b"DAPC"), KApc::EXTENT)? else {
        ob::dereference(f.m, thread.0)?;
        return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
    };
    let (normal, mode) = match kind {
        0 => (Va(0), KERNEL_MODE),
        1 => (Ke::DriverApcNormalRoutine.at(), KERNEL_MODE),
        _ => (program::symbol(program::APC), USER_MODE),
    };
    let kernel = Ke::DriverApcKernelRoutine.at();
    let with = ke::apc::Init { kernel, rundown: Va(0), normal, mode, context: CONTEXT };
    ke::apc::init(f.m, KApc(at), thread, with)?;
    f.set_local(0, thread.0.0)?;
    f.set_local(1, at.0)?;
    f.call(Ke::KeInsertQueueApc.at(), &[at.0, 0, 0, 0], 1)
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
