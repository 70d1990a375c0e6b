//! Opening processes and threads by id (reactos.md 11.5). No object has a name.

use crate::{ReactOs, ke, layout::*, ob::handle, ps};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::{Fault, Machine};

/// What looking up a name ends with here; known only in this place.
const OBJECT_NAME_NOT_FOUND: Status = Status(0xC000_0034);

/// Whether OBJECT_ATTRIBUTES come with an ObjectName that has a buffer.
fn is_named(m: &mut Machine, attributes: Va) -> R<bool> {
    if attributes.is_null() {
        return Ok(false);
    }
    let name: Va = m.load(attributes.add(8))?;
    Ok(!name.is_null() && m.load::<u32>(name.add(4))? != 0)
}

/// NtOpenProcess(*Handle, DesiredAccess, ObjectAttributes, ClientId): a name goes before the id, and
/// leads nowhere; nothing is probed, a NULL client id faults, the thread id is ignored, the access is
/// neither mapped nor checked, and the handle is never inheritable.
pub(crate) fn nt_open_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (place, access, attributes, client) = (Va(f.arg(0)?), f.arg(1)?, Va(f.arg(2)?), Va(f.arg(3)?));
    if is_named(f.m, attributes)? {
        return Ok(Flow::Return(OBJECT_NAME_NOT_FOUND.0));
    }
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
            return insert(f.m, own, process.0, access, place);
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
    insert(f.m, own, thread, access, place)
}

/// ObCreateHandle, straight through the caller's pointer; NULL there when it fails.
fn insert(m: &mut Machine, own: EProcess, body: Va, access: u32, place: Va) -> Result<Flow, Fault> {
    let made = handle::create(m, own, body, access, false)?;
    m.store(place, made.unwrap_or(0))?;
    Ok(Flow::Return(made.err().unwrap_or(Status::SUCCESS).0))
}
