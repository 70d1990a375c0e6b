//! NtDuplicateObject (reactos.md 11.4).

use crate::{ReactOs, ke, layout::*, ob, ob::handle, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Write};
use machine::{Fault, Machine, Va};

const CLOSE_SOURCE: u32 = 1;
const SAME_ACCESS: u32 = 2;
const OBJ_INHERIT: u32 = 2;
const THREAD_ALL_ACCESS: u32 = 0x1F_03FF;

/// NtDuplicateObject(SourceProcess, SourceHandle, TargetProcess, *TargetHandle, DesiredAccess,
/// Attributes, Options).
///
/// The process handles are referenced without a type: an object of another type is taken for a
/// process, and what happens then happens to whatever lies at the offset of its handle table.
pub(crate) fn nt_duplicate(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (source, value, target) = (f.arg(0)?, f.arg(1)?, f.arg(2)?);
    let (place, access, attributes, options) = (Va(f.arg(3)?), f.arg(4)?, f.arg(5)?, f.arg(6)?);
    let source = match ob::reference(f.m, source, None)? {
        Ok(body) => EProcess(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let target = match ob::reference(f.m, target, None)? {
        Ok(body) => EProcess(body),
        Err(status) => {
            ob::dereference(f.m, source.0)?;
            return Ok(Flow::Return(status.0));
        }
    };
    let status = match duplicate(f.m, source, value, target, place, (access, attributes, options))? {
        Ok(status) => status,
        Err(code) => return f.call(Ke::KeBugCheck.at(), &[code], 1),
    };
    ob::dereference(f.m, source.0)?;
    ob::dereference(f.m, target.0)?;
    Ok(Flow::Return(status.0))
}

/// The status; or, when the table of the caller is locked for good already (4.8), the bugcheck that
/// its next user ends in.
fn duplicate(
    m: &mut Machine,
    source: EProcess,
    value: u32,
    target: EProcess,
    place: Va,
    how: (u32, u32, u32),
) -> R<Result<Status, u32>> {
    let (access, attributes, options) = how;
    let (body, granted) = if value == 0xFFFF_FFFE {
        // The caller's thread, not one of the source process.
        (ke::current(m)?.0, THREAD_ALL_ACCESS)
    } else {
        let Some(slot) = handle::lookup(m, source, value)? else { return Ok(Ok(Status::INVALID_HANDLE)) };
        (handle::object_of(m, slot)?, m.get(slot.access())?)
    };
    // An empty slot is not looked for: the null object's header is read (and faults).
    ob::object::add_reference(m, body)?;
    let access = if options & SAME_ACCESS != 0 { granted } else { access };
    // The result is ignored: without pool the handle is NULL, and the status success (11.4).
    let new = handle::create(m, target, body, access, attributes & OBJ_INHERIT != 0)?.unwrap_or(0);
    ob::dereference(m, body)?;
    if options & CLOSE_SOURCE != 0 {
        // The value is closed in the current process, whatever the source was.
        let process = ke::process(m)?;
        if m.get(process.handle_table_lock())? != 0 {
            return Ok(Err(stop::GENERIC));
        }
        handle::close(m, process, value)?;
    }
    m.store(place, new)?;
    Ok(Ok(Status::SUCCESS))
}
