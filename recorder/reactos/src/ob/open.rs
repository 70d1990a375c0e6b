//! Opening processes and threads by id (reactos.md 11.5). There are no names.

use crate::{ReactOs, ke, layout::*, ob::handle, ps};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::Fault;

/// NtOpenProcess(*Handle, DesiredAccess, ObjectAttributes, ClientId): nothing is probed, a NULL
/// client id faults, the thread id is ignored, and the handle is never inheritable.
pub(crate) fn nt_open_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (place, access, client) = (Va(f.arg(0)?), f.arg(1)?, Va(f.arg(3)?));
    let id: u32 = f.m.load(client)?;
    let head = G.process_list_head();
    let mut link = f.m.get(head.flink())?;
    while link != head {
        let process = link.owner(EProcess::process_list_entry);
        if f.m.get(process.unique_process_id())? == id {
            if f.m.get(process.pcb().state())? == PROCESS_TERMINATED {
                return Ok(Flow::Return(Status::PROCESS_IS_TERMINATING.0));
            }
            let own = ke::process(f.m)?;
            let value = handle::create(f.m, own, process.0, access, false)?;
            f.m.store(place, value)?;
            return Ok(Flow::Return(Status::SUCCESS.0));
        }
        link = f.m.get(link.flink())?;
    }
    Ok(Flow::Return(Status::UNSUCCESSFUL.0))
}

/// NtOpenThread(*Handle, DesiredAccess, ObjectAttributes, ClientId): the process id is ignored; a
/// terminated thread can be opened while it exists.
pub(crate) fn nt_open_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (place, access, attributes, client) = (Va(f.arg(0)?), f.arg(1)?, Va(f.arg(2)?), Va(f.arg(3)?));
    if place.is_null() || attributes.is_null() {
        return Ok(Flow::Return(Status::INVALID_PARAMETER.0));
    }
    let id: u32 = f.m.load(client.add(4))?;
    let name: u32 = f.m.load(attributes.add(8))?;
    if id != 0 && name != 0 {
        return Ok(Flow::Return(Status::INVALID_PARAMETER_MIX.0));
    }
    let Some(cid) = ps::cid::find(f.m, id)? else {
        return Ok(Flow::Return(Status::INVALID_PARAMETER.0));
    };
    let thread = f.m.get(cid.object())?;
    let own = ke::process(f.m)?;
    let value = handle::create(f.m, own, thread, access, false)?;
    f.m.store(place, value)?;
    Ok(Flow::Return(Status::SUCCESS.0))
}
