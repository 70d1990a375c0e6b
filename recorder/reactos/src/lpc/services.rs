//! NtConnectPort, NtRequestWaitReplyPort and NtRegisterThreadTerminatePort. The sheet numbers only the
//! last; the other two have the free numbers at their places in the alphabet.

use crate::{ReactOs, ex::pool, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Pointer, Read, Va, Write};
use machine::Fault;

/// Where the type and the first argument of a request lie, and the status of its reply: behind the header
/// of the message.
pub(crate) const REQUEST_TYPE: u32 = 0x18;
/// See [`REQUEST_TYPE`].
pub(crate) const REQUEST_ARGUMENT: u32 = 0x1C;
/// See [`REQUEST_TYPE`].
pub(crate) const REPLY_STATUS: u32 = 0x18;

const PORT: u8 = 0;
const HANDLE: u8 = 1;
const SERVER: u8 = 2;

/// NtConnectPort(*PortHandle, …): a port to CSRSS, with a server thread of its own. The thread's handle
/// appears in the caller's table for a moment, as PsCreateSystemThread's do (4.10).
pub(crate) fn nt_connect_port(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let own = ke::process(f.m)?;
    match f.stage {
        0 => {
            let client = f.m.get(own.unique_process_id())?;
            let Some(port) = super::create(f.m, client)? else {
                return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
            };
            f.set_local(PORT, port.0.0)?;
            match ob::handle::create(f.m, own, port.0, 0x1F_0001, false)? {
                Ok(handle) => f.set_local(HANDLE, handle)?,
                Err(status) => {
                    ob::dereference(f.m, port.0)?;
                    return Ok(Flow::Return(status.0));
                }
            }
            // The creation's reference becomes the server's.
            let (server, main) = (f.local_at(SERVER).0, Ke::CsrClientThreadMain.at().0);
            f.call(Ke::PsCreateSystemThread.at(), &[server, 0x1F_03FF, 0, 0, 0, main, port.0.0], 1)
        }
        _ => {
            let status = Status(f.result());
            let (port, handle, server) = (Va(f.local(PORT)?), f.local(HANDLE)?, f.local(SERVER)?);
            if !status.is_success() {
                ob::dereference(f.m, port)?;
                ob::handle::close(f.m, own, handle)?;
                return Ok(Flow::Return(status.0));
            }
            ob::handle::close(f.m, own, server)?;
            let place = Va(f.arg(0)?);
            f.m.store(place, handle)?;
            Ok(Flow::Return(Status::SUCCESS.0))
        }
    }
}

const MESSAGE: u8 = 1;

/// NtRequestWaitReplyPort(PortHandle, *Request, *Reply): waits for the answer in UserMode, so that an end
/// can break it off. Request and reply are used unprobed.
pub(crate) fn nt_request_wait_reply_port(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let (handle, request) = (f.arg(0)?, Va(f.arg(1)?));
            let (kind, argument) =
                (f.m.load(request.add(REQUEST_TYPE))?, f.m.load(request.add(REQUEST_ARGUMENT))?);
            let port = match ob::reference(f.m, handle, Some(Type::Port))? {
                Ok(body) => KPort(body),
                Err(status) => return Ok(Flow::Return(status.0)),
            };
            f.set_local(PORT, port.0.0)?;
            let Some(message) = super::send(f.m, port, kind, argument)? else {
                ob::dereference(f.m, port.0)?;
                return Ok(Flow::Return(Status::NO_MEMORY.0));
            };
            f.set_local(MESSAGE, message.0.0)?;
            let answer = ke::current(f.m)?.lpc_reply_semaphore().0.0;
            f.call(Ke::KeWaitForSingleObject.at(), &[answer, reason::LPC_REPLY, USER_MODE, 0, 0], 1)
        }
        _ => {
            let (status, port, message) = (f.result(), Va(f.local(PORT)?), LpcMessage(Va(f.local(MESSAGE)?)));
            ob::dereference(f.m, port)?;
            let answer = settle(f, message)?;
            if let Some(answer) = answer {
                let reply = Va(f.arg(2)?);
                f.m.store(reply.add(REPLY_STATUS), answer)?;
            }
            Ok(Flow::Return(status))
        }
    }
}

/// The sender is done with a message: its answer if it was answered; else whoever answers frees it.
pub(crate) fn settle(f: &mut Frame, message: LpcMessage) -> R<Option<u32>> {
    if f.m.get(message.replied())? == 0 {
        f.m.set(message.abandoned(), 1)?;
        return Ok(None);
    }
    let answer = f.m.get(message.status())?;
    pool::free(f.m, message.0)?;
    Ok(Some(answer))
}

/// NtRegisterThreadTerminatePort(PortHandle): an untagged request on the caller's list, which nobody looks
/// at when the thread ends (9.5); the reaper takes the list's head for its own link, so the request and its
/// reference on the port are lost.
pub(crate) fn nt_register_thread_terminate_port(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    let port = match ob::reference(f.m, handle, Some(Type::Port))? {
        Ok(body) => body,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let Some(at) = pool::allocate_zeroed(f.m, pool::UNTAGGED, TerminationPort::EXTENT)? else {
        ob::dereference(f.m, port)?;
        return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
    };
    let request = TerminationPort(at);
    f.m.set(request.port(), port)?;
    let thread = ke::current(f.m)?;
    thread.termination_port_list().push_back(f.m, request.link())?;
    Ok(Flow::Return(Status::SUCCESS.0))
}
