//! NtDebugActiveProcess (nt52.md 10.7). Its steps 4 to 9 block nowhere, so that no thread can appear
//! between the enumeration of step 5 and the setting of the port in step 6: its retry has nothing to
//! retry.

use super::{event, message, port};
use crate::Nt;
use crate::error::{Error, Res, attempt, done};
use crate::ex::rundown;
use crate::global::{DATA, NTDLL};
use crate::ke::sync;
use crate::ke::thread::{current, current_process};
use crate::layout::*;
use crate::mm::access::previous_mode;
use crate::mm::process::set_flags;
use crate::ob;
use crate::ps::suspend::try_suspend;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Write, walk};
use machine::Machine;

/// NtDebugActiveProcess(ProcessHandle, DebugHandle).
pub(crate) fn nt_debug_active_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (process, debug) = (f.arg(0)?, f.arg(1)?);
    attempt!(attach(f.m, process, debug));
    done(Status::SUCCESS)
}

fn attach(m: &mut Machine, process: u32, debug: u32) -> Res<()> {
    let mode = previous_mode(m)?;
    let rights = access::PROCESS_SUSPEND_RESUME;
    let process = EProcess::at(ob::lookup(m, process, rights, Some(Kind::Process), mode)?.0);
    if process == current_process(m)? || process == m.get(DATA.ps_initial_system_process())? {
        return Err(Status::ACCESS_DENIED.into());
    }
    let rights = access::DEBUG_ADD_REMOVE_PROCESS;
    let object = DebugObject::at(ob::lookup(m, debug, rights, Some(Kind::DebugObject), mode)?.0);
    if m.get(process.rundown_protect())? & 1 != 0 {
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    let posted = match post_fake_messages(m, process, object) {
        Ok(()) => set_port(m, process, object),
        Err(error) => Err(error),
    };
    if let Err(Error::Fault(fault)) = posted {
        return Err(fault.into());
    }
    settle(m, object, posted.is_ok())?;
    if posted.is_ok() {
        port::mark_peb(m, process)?;
    }
    posted
}

/// Step 5: an event for each thread, and the modules for the first.
fn post_fake_messages(m: &mut Machine, process: EProcess, object: DebugObject) -> Res<()> {
    let mut first = None;
    for thread in walk(m, process.thread_list_head(), EThread::thread_list_entry).unwrap_or_default() {
        if m.get(ob::header(thread.va()).pointer_count())? == 0 {
            continue;
        }
        let system = m.get(thread.cross_thread_flags())? & cross::SYSTEM != 0;
        let mut flags = debug_event::PROTECT_FAILED;
        if rundown::acquire(m, thread.rundown_protect())? {
            flags = debug_event::RELEASE;
            if !system && try_suspend(m, thread)? {
                flags |= debug_event::SUSPEND;
            }
        }
        let live = flags & debug_event::RELEASE != 0;
        let is_first = first.is_none() && live && !system && m.get(thread.granted_access())? != 0;
        let words = if is_first {
            message::create_process(m, process)?
        } else {
            message::create_thread(m.get(thread.start_address())?)
        };
        if let Err(error) = event::queue_synthetic(m, object, (process, thread), flags, &words) {
            if flags & debug_event::SUSPEND != 0 {
                crate::ke::suspend::resume(m, thread.tcb())?;
            }
            if live {
                rundown::release(m, thread.rundown_protect())?;
            }
            return Err(error);
        }
        if is_first {
            first = Some(thread);
        }
    }
    let Some(first) = first else { return Err(Status::UNSUCCESSFUL.into()) };
    // The loader's list, once the process has one: the program's own image is its first entry, and is
    // not told again.
    if !has_loader_list(m, process)? {
        return Ok(());
    }
    for base in [NTDLL, crate::global::KERNEL32] {
        event::queue_synthetic(m, object, (process, first), 0, &message::load_dll(base.0, 0))?;
    }
    Ok(())
}

/// Whether the loader has run in the process, so that PEB.Ldr leads to a list.
fn has_loader_list(m: &mut Machine, process: EProcess) -> Result<bool, Fault> {
    let peb = Peb::at(m.get(process.peb())?);
    if peb.va().is_null() {
        return Ok(false);
    }
    let cr3 = m.get(process.pcb().directory_table_base())?;
    let mut raw = [0; 4];
    // A PEB that cannot be read leads nowhere.
    Ok(m.peek(cr3, peb.ldr().at, &mut raw).is_ok() && raw != [0; 4])
}

/// Steps 6 and 7.
fn set_port(m: &mut Machine, process: EProcess, object: DebugObject) -> Res<()> {
    if m.get(process.debug_port())?.is_some() {
        return Err(Status::PORT_ALREADY_SET.into());
    }
    if m.get(object.flags())? & debug_object::DEBUGGER_INACTIVE != 0 {
        return Err(Status::DEBUGGER_INACTIVE.into());
    }
    m.set(process.debug_port(), Some(object))?;
    let bits = process_flags::CREATE_REPORTED | process_flags::NO_DEBUG_INHERIT;
    set_flags(m, process.flags(), bits)?;
    ob::reference(m, object.va())?;
    Ok(())
}

/// The flag of a thread that could not be protected: its end is not told. Of medium confidence (nt52.md
/// 10.7).
const UNPROTECTED: u32 = cross::SKIP_TERMINATION_MSG;

/// Step 8: the events that this thread has made are kept or dropped.
fn settle(m: &mut Machine, object: DebugObject, success: bool) -> Result<(), Fault> {
    let own = current(m)?;
    let mut first_kept = true;
    for found in event::all(m, object)? {
        let flags = m.get(found.flags())?;
        if flags & debug_event::INACTIVE == 0 || m.get(found.backout_thread())? != Some(own) {
            continue;
        }
        let thread = m.get(found.thread())?;
        let system = m.get(thread.cross_thread_flags())? & cross::SYSTEM != 0;
        let mut keep = success && !system && m.get(thread.granted_access())? != 0;
        if keep && flags & debug_event::PROTECT_FAILED != 0 {
            set_flags(m, thread.cross_thread_flags(), UNPROTECTED)?;
            keep = false;
        }
        if flags & debug_event::RELEASE != 0 {
            m.set(found.flags(), flags & !debug_event::RELEASE)?;
            rundown::release(m, thread.rundown_protect())?;
        }
        if !keep {
            found.event_list().unlink(m)?;
            event::wake(m, found)?;
            continue;
        }
        set_flags(m, thread.cross_thread_flags(), cross::SKIP_CREATION_MSG)?;
        m.set(found.backout_thread(), None)?;
        if std::mem::take(&mut first_kept) {
            let flags = m.get(found.flags())?;
            m.set(found.flags(), flags & !debug_event::INACTIVE)?;
            sync::set_event(m, object.events_present(), 0)?;
        }
    }
    Ok(())
}
