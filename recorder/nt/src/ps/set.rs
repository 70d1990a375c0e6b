//! NtSetInformationProcess and NtSetInformationThread (nt52.md 9.12, 12.5).

use super::query::class;
use super::token;
use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::ex::rundown;
use crate::ke::thread::current_process;
use crate::layout::*;
use crate::mm::access::{previous_mode, read};
use crate::ob;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Slot, Va, Write};
use machine::Machine;

/// Sets or clears a flag.
fn set_flag(m: &mut Machine, slot: Slot<u32>, bit: u32, on: bool) -> Result<(), Fault> {
    let old = m.get(slot)?;
    m.set(slot, if on { old | bit } else { old & !bit })
}

/// What it takes to make a process or a thread critical, for callers from user mode. The sheet does not
/// say whether the handle or the privilege is looked at first: the handle is.
fn check_debug_privilege(m: &mut Machine) -> Res<()> {
    let process = current_process(m)?;
    if previous_mode(m)? == USER && !token::holds_debug_privilege(m, process)? {
        return Err(Status::PRIVILEGE_NOT_HELD.into());
    }
    Ok(())
}

/// NtSetInformationProcess(ProcessHandle, Class, Information, Length).
pub(crate) fn nt_set_information_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, class, at, length) = (f.arg(0)?, f.arg(1)?, Va(f.arg(2)?), f.arg(3)?);
    attempt!(set_process(f.m, handle, class, at, length));
    done(Status::SUCCESS)
}

fn set_process(m: &mut Machine, handle: u32, class: u32, at: Va, length: u32) -> Res<()> {
    let known =
        [class::PROCESS_BREAK_ON_TERMINATION, class::PROCESS_DEBUG_FLAGS, class::PROCESS_AFFINITY_MASK];
    if !known.contains(&class) {
        return Err(Status::INVALID_INFO_CLASS.into());
    }
    if length != 4 {
        return Err(Status::INFO_LENGTH_MISMATCH.into());
    }
    let value: u32 = read(m, at)?;
    let mode = previous_mode(m)?;
    let rights = access::PROCESS_SET_INFORMATION;
    let process = EProcess::at(ob::lookup(m, handle, rights, Some(Kind::Process), mode)?.0);
    match class {
        class::PROCESS_BREAK_ON_TERMINATION => {
            check_debug_privilege(m)?;
            set_flag(m, process.flags(), process_flags::BREAK_ON_TERMINATION, value != 0)?;
        }
        class::PROCESS_DEBUG_FLAGS if value > 1 => return Err(Status::INVALID_PARAMETER.into()),
        class::PROCESS_DEBUG_FLAGS => {
            set_flag(m, process.flags(), process_flags::NO_DEBUG_INHERIT, value == 0)?;
        }
        _ => {
            if value != 1 {
                return Err(Status::INVALID_PARAMETER.into());
            }
            if !rundown::acquire(m, process.rundown_protect())? {
                return Err(Status::PROCESS_IS_TERMINATING.into());
            }
            m.set(process.pcb().affinity(), value)?;
            rundown::release(m, process.rundown_protect())?;
        }
    }
    Ok(())
}

/// NtSetInformationThread(ThreadHandle, Class, Information, Length).
pub(crate) fn nt_set_information_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, class, at, length) = (f.arg(0)?, f.arg(1)?, Va(f.arg(2)?), f.arg(3)?);
    attempt!(set_thread(f.m, handle, class, at, length));
    done(Status::SUCCESS)
}

fn set_thread(m: &mut Machine, handle: u32, class: u32, at: Va, length: u32) -> Res<()> {
    let wanted = match class {
        class::THREAD_WIN32_START_ADDRESS
        | class::THREAD_ZERO_TLS_CELL
        | class::THREAD_BREAK_ON_TERMINATION => 4,
        // Of medium confidence (nt52.md 12.5).
        class::THREAD_HIDE_FROM_DEBUGGER => 0,
        _ => return Err(Status::INVALID_INFO_CLASS.into()),
    };
    if length != wanted {
        return Err(Status::INFO_LENGTH_MISMATCH.into());
    }
    let value: u32 = if wanted == 0 { 0 } else { read(m, at)? };
    let mode = previous_mode(m)?;
    let rights = access::THREAD_SET_INFORMATION;
    let thread = EThread::at(ob::lookup(m, handle, rights, Some(Kind::Thread), mode)?.0);
    match class {
        class::THREAD_WIN32_START_ADDRESS => m.set(thread.win32_start_address(), value)?,
        class::THREAD_BREAK_ON_TERMINATION => {
            check_debug_privilege(m)?;
            set_flag(m, thread.cross_thread_flags(), cross::BREAK_ON_TERMINATION, value != 0)?;
        }
        class::THREAD_HIDE_FROM_DEBUGGER => {
            set_flag(m, thread.cross_thread_flags(), cross::HIDEFROMDBG, true)?;
        }
        // No thread of these programs has TLS slots of its own to zero.
        _ => {}
    }
    Ok(())
}
