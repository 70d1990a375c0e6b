//! EPROCESS.DebugPort: inheriting and clearing it, and closing the debug object (nt52.md 10.6, 10.10).

use super::event;
use crate::Nt;
use crate::error::done;
use crate::global::DATA;
use crate::ke::sync;
use crate::layout::*;
use crate::mm::process::{put, set_flags};
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write, walk};
use machine::Machine;

/// Inherits the parent's debug object, unless the parent's children are not to be debugged. That the
/// parent's flag decides, and not the child's, is of medium confidence (nt52.md 10.6).
pub(crate) fn inherit(m: &mut Machine, parent: EProcess, child: EProcess) -> Result<(), Fault> {
    let Some(port) = m.get(parent.debug_port())? else { return Ok(()) };
    let no_inherit = m.get(parent.flags())? & process_flags::NO_DEBUG_INHERIT != 0;
    if no_inherit || m.get(port.flags())? & debug_object::DEBUGGER_INACTIVE != 0 {
        return Ok(());
    }
    ob::reference(m, port.va())?;
    m.set(child.debug_port(), Some(port))
}

/// DbgkpMarkProcessPeb: PEB.BeingDebugged mirrors the port, unless the process runs down.
pub(crate) fn mark_peb(m: &mut Machine, process: EProcess) -> Result<(), Fault> {
    let peb = m.get(process.peb())?;
    if m.get(process.rundown_protect())? & 1 != 0 || peb.is_null() {
        return Ok(());
    }
    let debugged = m.get(process.debug_port())?.is_some();
    let cr3 = m.get(process.pcb().directory_table_base())?;
    let _ = put(m, cr3, Peb::at(peb).being_debugged(), u8::from(debugged));
    Ok(())
}

/// DbgkClearProcessDebugObject: `source` is the object that must be the one, or none for any.
pub(crate) fn clear(
    m: &mut Machine,
    process: EProcess,
    source: Option<DebugObject>,
) -> Result<Status, Fault> {
    let Some(port) = m.get(process.debug_port())? else { return Ok(Status::PORT_NOT_SET) };
    if source.is_some_and(|source| source != port) {
        return Ok(Status::PORT_NOT_SET);
    }
    m.set(process.debug_port(), None)?;
    mark_peb(m, process)?;
    for found in event::all(m, port)? {
        if m.get(found.process())? == process {
            found.event_list().unlink(m)?;
            m.set(found.status(), Status::DEBUGGER_INACTIVE.0)?;
            event::wake(m, found)?;
        }
    }
    ob::dereference(m, port.va())?;
    Ok(Status::SUCCESS)
}

/// DbgkClearProcessDebugObject(Process, SourceDebugObject).
pub(crate) fn dbgk_clear_process_debug_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (process, source) = (f.arg_ptr::<EProcess>(0)?, f.arg(1)?);
    let source = (source != 0).then_some(DebugObject::at(Va(source)));
    done(clear(f.m, process, source)?)
}

/// DbgkpCloseObject(DebugObject, HandleCount): nothing unless the handle was the last. Local 0 is the
/// process that is being terminated. Events stay in the object's list until every process has been
/// seen to: nobody can take them from there, as the object is inactive.
pub(crate) fn dbgkp_close_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (object, count) = (f.arg_ptr::<DebugObject>(0)?, f.arg(1)?);
    if count > 1 {
        return Ok(Flow::Return(0));
    }
    if f.stage == 0 {
        set_flags(f.m, object.flags(), debug_object::DEBUGGER_INACTIVE)?;
        sync::set_event(f.m, object.events_present(), 1)?;
    } else {
        let killed = Va(f.local(0)?);
        ob::dereference(f.m, killed)?;
    }
    let processes = walk(f.m, DATA.ps_active_process_head(), EProcess::active_process_links);
    for process in processes.unwrap_or_default() {
        if f.m.get(process.debug_port())? != Some(object) {
            continue;
        }
        f.m.set(process.debug_port(), None)?;
        mark_peb(f.m, process)?;
        ob::dereference(f.m, object.va())?;
        let kill = f.m.get(object.flags())? & debug_object::KILL_PROCESS_ON_EXIT != 0;
        if kill && ob::reference_safe(f.m, process.va())? {
            f.set_local(0, process.va().0)?;
            let status = Status::DEBUGGER_INACTIVE.0;
            return f.call(Ke::PspTerminateProcess.at(), &[process.va().0, status], 1);
        }
    }
    for found in event::all(f.m, object)? {
        found.event_list().unlink(f.m)?;
        f.m.set(found.status(), Status::DEBUGGER_INACTIVE.0)?;
        event::wake(f.m, found)?;
    }
    Ok(Flow::Return(0))
}
