//! CSRSS, as far as it reacts to the life of processes (reactos.md 10.6).
//!
//! It stands here as kernel code on system threads, one for each client: its consoles, its own process and
//! its server side of LPC are left out. What it knows of a process lies in one pool block each.

use crate::{ReactOs, ex::pool, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Pointer, Read, Va, Write};
use machine::{Fault, Machine};

/// Types of messages.
pub(crate) mod kind {
    /// CSRSS_CREATE_PROCESS.
    pub(crate) const CREATE_PROCESS: u32 = 0;
    /// CSRSS_TERMINATE_PROCESS.
    pub(crate) const TERMINATE_PROCESS: u32 = 1;
    /// DBG_EVENT_CREATE_THREAD, of a debug port; no message of a client's.
    pub(crate) const DEBUG_CREATE_THREAD: u32 = 0x1_0001;
}

/// The tag of what is kept of a process. The sheet names none.
const DATA_TAG: u32 = pool::tag(b"CSRP");
/// The ShutdownLevel that a new process gets.
const SHUTDOWN_LEVEL: u32 = 0x280;

fn find(m: &mut Machine, id: u32) -> R<Option<CsrProcessData>> {
    let head = G.csr_processes();
    let mut link = m.get(head.flink())?;
    while link != head {
        let data = link.owner(CsrProcessData::link);
        if m.get(data.id())? == id {
            return Ok(Some(data));
        }
        link = m.get(link.flink())?;
    }
    Ok(None)
}

/// CsrCreateProcess: data for a new process.
fn create_process(m: &mut Machine, id: u32) -> R<Status> {
    let Some(at) = pool::allocate_zeroed(m, DATA_TAG, CsrProcessData::EXTENT)? else {
        return Ok(Status::NO_MEMORY);
    };
    let data = CsrProcessData(at);
    m.set(data.id(), id)?;
    m.set(data.shutdown_level(), SHUTDOWN_LEVEL)?;
    G.csr_processes().push_back(m, data.link())?;
    Ok(Status::SUCCESS)
}

/// CsrTerminateProcess: an answer, and no other action.
fn terminate_process(m: &mut Machine, id: u32) -> R<Status> {
    Ok(if find(m, id)?.is_some() { Status::SUCCESS } else { Status::INVALID_PARAMETER })
}

/// CsrFreeProcessData: the real cleaning up, when the client's port is closed.
fn free_process_data(m: &mut Machine, id: u32) -> R<()> {
    if let Some(data) = find(m, id)? {
        data.link().unlink(m)?;
        pool::free(m, data.0)?;
    }
    Ok(())
}

/// CsrClientThreadMain(Port): a client's thread. It answers messages, and ends when the port is closed.
pub(crate) fn client_thread_main(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let port = KPort(Va(f.arg(0)?));
    if f.stage == 1 {
        if let Some(link) = port.queue().pop_front(f.m)? {
            return answer(f, port, link.owner(LpcMessage::link));
        }
        if f.m.get(port.closed())? != 0 {
            let client = f.m.get(port.client())?;
            free_process_data(f.m, client)?;
            ob::dereference(f.m, port.0)?;
            return Ok(Flow::Return(Status::SUCCESS.0));
        }
    }
    if f.stage == 2 {
        let sender = Va(f.local(0)?);
        ob::dereference(f.m, sender)?;
    }
    let semaphore = port.semaphore().0.0;
    f.call(Ke::KeWaitForSingleObject.at(), &[semaphore, reason::LPC_RECEIVE, KERNEL_MODE, 0, 0], 1)
}

fn answer(f: &mut Frame, port: KPort, message: LpcMessage) -> Result<Flow, Fault> {
    let (kind, argument) = (f.m.get(message.kind())?, f.m.get(message.argument())?);
    let client = f.m.get(port.client())?;
    let status = match kind {
        kind::CREATE_PROCESS => create_process(f.m, argument)?,
        kind::TERMINATE_PROCESS => terminate_process(f.m, client)?,
        kind::DEBUG_CREATE_THREAD => Status::SUCCESS,
        _ => Status::NOT_IMPLEMENTED,
    };
    let sender = f.m.get(message.sender())?;
    f.set_local(0, sender.0.0)?;
    if f.m.get(message.abandoned())? != 0 {
        pool::free(f.m, message.0)?;
    } else {
        f.m.set(message.status(), status.0)?;
        f.m.set(message.replied(), 1)?;
    }
    f.call(Ke::KeReleaseSemaphore.at(), &[sender.lpc_reply_semaphore().0.0, 0, 1, 0], 2)
}
