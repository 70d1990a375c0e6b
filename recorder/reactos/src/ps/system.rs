//! PsCreateSystemThread (reactos.md 4.10).

use crate::{Creation, ReactOs, ke, layout::*, ob, ps, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Va, Write};
use machine::Fault;

const THREAD: u8 = 0;

/// PsCreateSystemThread(*ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, *ClientId,
/// StartRoutine, StartContext): always in the System process, whatever ProcessHandle says; its handle is
/// made in the current one, at REF before the thread is initialised, in the article's form when it is
/// ready already.
pub(crate) fn ps_create_system_thread(kernel: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let last = kernel.variant.creation() == Creation::HandleLast;
    match f.stage {
        0 => {
            let (place, access, attributes) = (f.arg(0)?, f.arg(1)?, f.arg(2)?);
            let thread = f.local_at(THREAD).0;
            f.call(Ke::PsInitializeThread.at(), &[0, thread, place, access, attributes], 1)
        }
        1 => {
            let status = f.result();
            if status != Status::SUCCESS.0 {
                return Ok(Flow::Return(status));
            }
            start(f, last)
        }
        _ => finish(f, last),
    }
}

/// The id in the article's form, the first stack, the client id, and ready.
fn start(f: &mut Frame, last: bool) -> Result<Flow, Fault> {
    let thread: EThread = f.local_ptr(THREAD)?;
    if last {
        if let Err(status) = ps::thread::number(f.m, thread)? {
            return Ok(Flow::Return(status.0));
        }
        // Until the handle exists nothing else keeps the object, as in NtCreateThread.
        ob::object::add_reference(f.m, thread.0)?;
    }
    let (client, routine, context) = (Va(f.arg(4)?), Va(f.arg(5)?), f.arg(6)?);
    f.m.set(thread.start_address(), routine)?;
    ps::start::system(f.m, thread, routine, context)?;
    if !client.is_null() {
        ps::create_thread::store_client(f.m, thread, client)?;
    }
    let old = ke::irql::raise(f.m, irql::DISPATCH)?;
    ke::dispatch::unblock(f.m, thread, None, 0)?;
    f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 2)
}

/// In the article's form the handle, straight into *ThreadHandle.
fn finish(f: &mut Frame, last: bool) -> Result<Flow, Fault> {
    if !last {
        return Ok(Flow::Return(Status::SUCCESS.0));
    }
    let (thread, place, access) = (f.local_ptr::<EThread>(THREAD)?, Va(f.arg(0)?), f.arg(1)?);
    let own = ke::process(f.m)?;
    let access = ob::access::map_generic(Type::Thread, access);
    let made = ob::handle::create(f.m, own, thread.0, access, false)?;
    ob::dereference(f.m, thread.0)?;
    f.m.store(place, made.unwrap_or(0))?;
    Ok(Flow::Return(made.err().unwrap_or(Status::SUCCESS).0))
}
