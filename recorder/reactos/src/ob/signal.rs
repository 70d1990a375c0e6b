//! NtSignalAndWaitForSingleObject (reactos.md 8.4).

use crate::{ReactOs, ke, layout::*, ob, ob::services::waitable, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::Va;
use machine::Fault;

const SIGNALED: u8 = 0;
const WAITED: u8 = 1;

/// NtSignalAndWaitForSingleObject(SignalObject, WaitObject, Alertable, *Time): signals first, with
/// Wait=TRUE, so that nobody comes between. What is no event, mutant or semaphore cannot be signaled. The
/// time is used unprobed. Both handles are looked up before anything is signaled, and the object that is
/// waited for must be one of 8.4's (the sheet does not say when these are looked at).
pub(crate) fn nt_signal_and_wait_for_single_object(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => begin(f),
        1 => {
            let (object, alertable, time) = (f.local(WAITED)?, f.arg(2)? & 0xFF, f.arg(3)?);
            let mode = ke::previous_mode(f.m)?;
            let args = [object, reason::USER_REQUEST, mode, alertable, time];
            f.call(Ke::KeWaitForSingleObject.at(), &args, 2)
        }
        _ => {
            let status = f.result();
            release(f, Status(status))
        }
    }
}

fn begin(f: &mut Frame) -> Result<Flow, Fault> {
    let (signal, wait) = (f.arg(0)?, f.arg(1)?);
    let signaled = match ob::reference(f.m, signal, None)? {
        Ok(body) => body,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let waited = match ob::reference(f.m, wait, None)? {
        Ok(body) => body,
        Err(status) => {
            ob::dereference(f.m, signaled)?;
            return Ok(Flow::Return(status.0));
        }
    };
    f.set_local(SIGNALED, signaled.0)?;
    f.set_local(WAITED, waited.0)?;
    if !waitable(ob::object::type_of(f.m, waited)?) {
        return release(f, Status::HANDLE_NOT_WAITABLE);
    }
    let object = signaled.0;
    match ob::object::type_of(f.m, signaled)? {
        Some(Type::Event) => f.call(Ke::KeSetEvent.at(), &[object, 1, 1], 1),
        Some(Type::Mutant) => f.call(Ke::KeReleaseMutant.at(), &[object, 1, 0, 1], 1),
        Some(Type::Semaphore) => f.call(Ke::KeReleaseSemaphore.at(), &[object, 1, 1, 1], 1),
        _ => release(f, Status::OBJECT_TYPE_MISMATCH),
    }
}

fn release(f: &mut Frame, status: Status) -> Result<Flow, Fault> {
    let (signaled, waited) = (Va(f.local(SIGNALED)?), Va(f.local(WAITED)?));
    ob::dereference(f.m, signaled)?;
    ob::dereference(f.m, waited)?;
    Ok(Flow::Return(status.0))
}
