//! Closing handles: NtClose, and the sweeps of ObKillProcess and ObClearProcessHandleTable
//! (nt52.md 9.9, 12.2).

use super::handle::{self, CURRENT_PROCESS, CURRENT_THREAD};
use super::object::{dereference, header};
use crate::Nt;
use crate::ex::rundown;
use crate::ke::thread::{current, current_process};
use crate::ke::{attach, bugcheck, region};
use crate::layout::*;
use crate::mm::access::previous_mode;
use crate::mm::process::set_flags;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Slot, Va, Write};
use machine::Machine;

/// NtClose(Handle).
pub(crate) fn nt_close(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let handle = f.arg(0)?;
    let mode = previous_mode(f.m)?;
    let process = current_process(f.m)?;
    let entry = match f.m.get(process.object_table())? {
        Some(table) if (handle as i32) >= 0 => handle::entry(f.m, table, handle)?,
        _ => None,
    };
    let Some(entry) = entry else { return not_a_handle(nt, f, handle, mode) };
    let protected = f.m.get(entry.granted_access())? & attribute::PROTECT != 0;
    if protected && mode == KERNEL {
        return bugcheck::stop(f, bugcheck::INVALID_KERNEL_HANDLE, [handle, 0, 0, 0]);
    }
    if protected {
        return complain(nt, f, Status::HANDLE_NOT_CLOSABLE);
    }
    f.call(Ke::ObpCloseHandleEntry.at(), &[process.va().0, handle], 1)
}

fn not_a_handle(nt: &Nt, f: &mut Frame, handle: u32, mode: u32) -> Result<Flow, Fault> {
    if mode == USER && !matches!(handle, 0 | CURRENT_PROCESS | CURRENT_THREAD) {
        return complain(nt, f, Status::INVALID_HANDLE);
    }
    Ok(Flow::Return(Status::INVALID_HANDLE.0))
}

/// The status, or for a debugged process that is not attached to another the exception.
fn complain(nt: &Nt, f: &mut Frame, status: Status) -> Result<Flow, Fault> {
    let thread = current(f.m)?;
    let process = current_process(f.m)?;
    let attached = f.m.get(thread.tcb().apc_state_index())? != 0;
    if f.m.get(process.debug_port())?.is_none() || attached {
        return Ok(Flow::Return(status.0));
    }
    let old = match f.m.get(thread.tcb().trap_frame())? {
        Some(frame) => {
            let old = f.m.get(frame.eip())?;
            let dispatcher = nt.code.ntdll.symbol("KiRaiseUserExceptionDispatcher");
            let teb = Teb::at(f.m.get(thread.tcb().teb())?);
            if crate::mm::access::write(f.m, teb.exception_code().at, status.0).is_err() {
                return Ok(Flow::Return(status.0));
            }
            f.m.set(frame.eip(), dispatcher.0)?;
            old
        }
        None => return Ok(Flow::Return(status.0)),
    };
    Ok(Flow::Return(old))
}

/// ObpCloseHandleEntry(Process, Handle): the entry goes, the type's close procedure is told, and the
/// handle's reference is dropped.
pub(crate) fn obp_close_handle_entry(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let body = Va(f.local(0)?);
        dereference(f.m, body)?;
        return Ok(Flow::Return(Status::SUCCESS.0));
    }
    let (process, handle) = (f.arg_ptr::<EProcess>(0)?, f.arg(1)?);
    let m = &mut *f.m;
    let invalid = Flow::Return(Status::INVALID_HANDLE.0);
    let Some(table) = m.get(process.object_table())? else { return Ok(invalid) };
    let Some(entry) = handle::entry(m, table, handle)? else { return Ok(invalid) };
    let body = handle::object(m, entry)?;
    handle::remove(m, table, handle)?;
    let header = header(body);
    let count = m.get(header.handle_count())?;
    m.set(header.handle_count(), count - 1)?;
    if m.get(header.kind())? == Kind::DebugObject {
        f.set_local(0, body.0)?;
        return f.call(Ke::DbgkpCloseObject.at(), &[body.0, count], 1);
    }
    dereference(m, body)?;
    Ok(Flow::Return(Status::SUCCESS.0))
}

/// ExSweepHandleTable(Process): closes every handle, ascending, whether protected or not. Local 0 is
/// the handle below which all are closed.
pub(crate) fn ex_sweep_handle_table(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let process = f.arg_ptr::<EProcess>(0)?;
    let Some(table) = f.m.get(process.object_table())? else { return Ok(Flow::Return(0)) };
    let from = f.local(0)?;
    let next = handle::handles(f.m, table)?.into_iter().find(|handle| *handle >= from);
    match next {
        Some(handle) => {
            f.set_local(0, handle + 4)?;
            f.call(Ke::ObpCloseHandleEntry.at(), &[process.va().0, handle], 1)
        }
        None => Ok(Flow::Return(0)),
    }
}

/// Whether a handle of a process is there and protected from close.
pub(crate) fn is_protected(m: &mut Machine, process: EProcess, handle: u32) -> Result<bool, Fault> {
    let Some(table) = m.get(process.object_table())? else { return Ok(false) };
    match handle::entry(m, table, handle)? {
        Some(entry) => Ok(m.get(entry.granted_access())? & attribute::PROTECT != 0),
        None => Ok(false),
    }
}

fn rundown_of(process: EProcess) -> Slot<u32> {
    process.rundown_protect()
}

/// ObKillProcess(Process): waits until nobody uses the process from outside, and closes its handles, with
/// hard errors disabled for the thread. Local 0 says whether they were before.
pub(crate) fn ob_kill_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let process = f.arg_ptr::<EProcess>(0)?;
    match f.stage {
        0 => f.call(Ke::ExWaitForRundownProtectionRelease.at(), &[rundown_of(process).at.0], 1),
        1 => {
            rundown::completed(f.m, rundown_of(process))?;
            if f.m.get(process.object_table())?.is_none() {
                return Ok(Flow::Return(0));
            }
            let flags = current(f.m)?.cross_thread_flags();
            let old = set_flags(f.m, flags, cross::HARD_ERRORS_DISABLED)?;
            f.set_local(0, old & cross::HARD_ERRORS_DISABLED)?;
            region::enter_critical(f.m)?;
            f.call(Ke::ExSweepHandleTable.at(), &[process.va().0], 2)
        }
        2 => f.call(Ke::KeLeaveCriticalRegion.at(), &[], 3),
        _ => {
            let (flags, old) = (current(f.m)?.cross_thread_flags(), f.local(0)?);
            let now = f.m.get(flags)?;
            f.m.set(flags, now & !cross::HARD_ERRORS_DISABLED | old)?;
            if let Some(table) = f.m.get(process.object_table())? {
                f.m.set(process.object_table(), None)?;
                handle::destroy_table(f.m, table)?;
            }
            Ok(Flow::Return(0))
        }
    }
}

/// ObClearProcessHandleTable(Process): the table is emptied and stays. The locals hold the KAPC_STATE.
pub(crate) fn ob_clear_process_handle_table(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let process = f.arg_ptr::<EProcess>(0)?;
    match f.stage {
        0 => {
            if !rundown::acquire(f.m, rundown_of(process))? {
                return Ok(Flow::Return(0));
            }
            if f.m.get(process.object_table())?.is_none() {
                rundown::release(f.m, rundown_of(process))?;
                return Ok(Flow::Return(0));
            }
            let state = ApcState::at(f.block(0, attach::STATE_WORDS));
            attach::attach(f.m, process.pcb(), state)?;
            region::enter_critical(f.m)?;
            f.call(Ke::ExSweepHandleTable.at(), &[process.va().0], 1)
        }
        1 => f.call(Ke::KeLeaveCriticalRegion.at(), &[], 2),
        _ => {
            let state = ApcState::at(f.block(0, attach::STATE_WORDS));
            if !attach::detach(f.m, state)? {
                return bugcheck::stop(f, bugcheck::INVALID_PROCESS_DETACH_ATTEMPT, [0; 4]);
            }
            rundown::release(f.m, rundown_of(process))?;
            Ok(Flow::Return(0))
        }
    }
}

/// How many handles a process has.
pub(crate) fn handle_count(m: &mut impl Read, process: EProcess) -> Result<u32, Fault> {
    match m.get(process.object_table())? {
        Some(table) => m.get(table.handle_count()),
        None => Ok(0),
    }
}

/// Whether a process has exited so far that its handles are gone or going.
pub(crate) fn is_running_down(m: &mut Machine, process: EProcess) -> Result<bool, Fault> {
    Ok(m.get(rundown_of(process))? & 1 != 0 || m.get(process.object_table())?.is_none())
}
