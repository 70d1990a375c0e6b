//! Debug messages (reactos.md 4.6).

use crate::{ReactOs, ke, layout::*, lpc, ob, routines::Ke};
use contract::{Flow, Frame};
use guest::{Read, Va};
use machine::Fault;

/// DbgkCreateThread(StartAddress): looks at the debug port of the *calling* thread's process, and blocks
/// the caller until the message is answered. Neither the wait's result nor the answer is looked at.
/// Without pool for the message there is nothing to wait for.
pub(crate) fn create_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    if f.stage != 0 {
        let message = LpcMessage(Va(f.local(0)?));
        lpc::services::settle(f, message)?;
        return Ok(Flow::Return(0));
    }
    let process = f.m.get(thread.threads_process())?.unwrap_or(EProcess(Va(0)));
    let port = f.m.get(process.debug_port())?;
    if port.is_null() {
        return Ok(Flow::Return(0));
    }
    let start = f.arg(0)?;
    let Some(message) = lpc::send(f.m, KPort(port), lpc::csrss::kind::DEBUG_CREATE_THREAD, start)? else {
        return Ok(Flow::Return(0));
    };
    f.set_local(0, message.0.0)?;
    let answer = thread.lpc_reply_semaphore().0.0;
    f.call(Ke::KeWaitForSingleObject.at(), &[answer, reason::USER_REQUEST, USER_MODE, 0, 0], 1)
}

/// The ports that NtCreateProcess takes (3.4 row 10): referenced, and never released (9.9).
pub(crate) fn reference_port(f: &mut Frame, handle: u32) -> Result<Result<Va, contract::Status>, Fault> {
    if handle == 0 {
        return Ok(Ok(Va(0)));
    }
    ob::reference(f.m, handle, Some(Type::Port))
}
