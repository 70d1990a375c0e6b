//! Asking processes and threads to end (nt52.md 9.1, 9.2, 9.3, 9.5, 9.15), and the exit APC (9.4).

use super::create::EXIT_APC;
use super::critical;
use crate::Nt;
use crate::error::{attempt, done};
use crate::ex::{pool, rundown};
use crate::ke::thread::{current, current_process};
use crate::ke::{apc, suspend};
use crate::layout::*;
use crate::mm::access::previous_mode;
use crate::mm::process::set_flags;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write, walk};
use machine::Machine;

/// ShortTime: 100 ms, relative.
pub(crate) const SHORT_TIME: i64 = -1_000_000;

/// PsGetNextProcessThread: the thread after `previous` in the process's list, referenced; `previous` is
/// dereferenced.
pub(crate) fn next_thread(
    m: &mut Machine,
    process: EProcess,
    previous: Option<EThread>,
) -> Result<Option<EThread>, Fault> {
    let threads = walk(m, process.thread_list_head(), EThread::thread_list_entry).unwrap_or_default();
    let start = match previous {
        Some(previous) => threads.iter().position(|thread| *thread == previous).map_or(0, |at| at + 1),
        None => 0,
    };
    let mut found = None;
    for thread in &threads[start..] {
        if ob::reference_safe(m, thread.va())? {
            found = Some(*thread);
            break;
        }
    }
    if let Some(previous) = previous {
        ob::dereference(m, previous.va())?;
    }
    Ok(found)
}

/// Locals of NtTerminateProcess.
const PROCESS: u8 = 0;
const SPECIFIED: u8 = 1;
const STATUS: u8 = 2;
const THREAD: u8 = 3;

/// NtTerminateProcess(ProcessHandle, ExitStatus).
pub(crate) fn nt_terminate_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let process = f.local_ptr::<EProcess>(PROCESS)?;
    match f.stage {
        0 => {
            let handle = f.arg(0)?;
            f.set_local(SPECIFIED, (handle != 0).into())?;
            let handle = if handle == 0 { ob::CURRENT_PROCESS } else { handle };
            let mode = previous_mode(f.m)?;
            let rights = access::PROCESS_TERMINATE;
            let body = attempt!(ob::reference_by_handle(f.m, handle, rights, Kind::Process, mode));
            f.set_local(PROCESS, body.0)?;
            let process = EProcess::at(body);
            if f.m.get(process.flags())? & process_flags::BREAK_ON_TERMINATION != 0 {
                let name = process.image_file_name().at;
                let args = [critical::terminating_process().0, body.0, name.0];
                return f.call(Ke::PspCatchCriticalBreak.at(), &args, 1);
            }
            protect(f, process)
        }
        1 => protect(f, process),
        // Back from terminating one thread.
        2 => next(f, process),
        // Back from DbgkClearProcessDebugObject.
        3 => clear_handles(f, process),
        _ => {
            ob::dereference(f.m, process.va())?;
            done(Status::SUCCESS)
        }
    }
}

/// Steps 4 to 6, and the beginning of the walk.
fn protect(f: &mut Frame, process: EProcess) -> Result<Flow, Fault> {
    if !rundown::acquire(f.m, process.rundown_protect())? {
        ob::dereference(f.m, process.va())?;
        return done(Status::PROCESS_IS_TERMINATING);
    }
    if f.local(SPECIFIED)? != 0 {
        set_flags(f.m, process.flags(), process_flags::PROCESS_DELETE)?;
    }
    f.set_local(STATUS, Status::NOTHING_TO_TERMINATE.0)?;
    next(f, process)
}

/// Step 7: the next thread that is not the caller.
fn next(f: &mut Frame, process: EProcess) -> Result<Flow, Fault> {
    let own = current(f.m)?;
    loop {
        let previous = match f.local(THREAD)? {
            0 => None,
            at => Some(EThread::at(Va(at))),
        };
        let Some(thread) = next_thread(f.m, process, previous)? else { return walked(f, process) };
        f.set_local(THREAD, thread.va().0)?;
        f.set_local(STATUS, Status::SUCCESS.0)?;
        if thread != own {
            let status = f.arg(1)?;
            return f.call(Ke::PspTerminateThreadByPointer.at(), &[thread.va().0, status, 0], 2);
        }
    }
}

/// Steps 8 and 9.
fn walked(f: &mut Frame, process: EProcess) -> Result<Flow, Fault> {
    rundown::release(f.m, process.rundown_protect())?;
    let (specified, status) = (f.local(SPECIFIED)? != 0, f.arg(1)?);
    if process == current_process(f.m)? {
        if specified {
            ob::dereference(f.m, process.va())?;
            let own = current(f.m)?;
            return f.call(Ke::PspTerminateThreadByPointer.at(), &[own.va().0, status, 1], 4);
        }
    } else if status == Status::DBG_TERMINATE_PROCESS.0 {
        return f.call(Ke::DbgkClearProcessDebugObject.at(), &[process.va().0, 0], 3);
    }
    clear_handles(f, process)
}

/// Steps 10 and 11.
fn clear_handles(f: &mut Frame, process: EProcess) -> Result<Flow, Fault> {
    let met_none = f.local(STATUS)? == Status::NOTHING_TO_TERMINATE.0;
    let debugged = f.m.get(process.debug_port())?.is_some();
    if met_none || f.local(SPECIFIED)? != 0 && debugged {
        return f.call(Ke::ObClearProcessHandleTable.at(), &[process.va().0], 4);
    }
    ob::dereference(f.m, process.va())?;
    Ok(Flow::Return(f.local(STATUS)?))
}

/// PspTerminateProcess(Process, ExitStatus): every thread, the caller too, by APC (nt52.md 9.15, medium
/// confidence).
/// Local 0 is the thread, 1 whether there was one.
pub(crate) fn psp_terminate_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (process, status) = (f.arg_ptr::<EProcess>(0)?, f.arg(1)?);
    match f.stage {
        0 if f.m.get(process.flags())? & process_flags::BREAK_ON_TERMINATION != 0 => {
            let name = process.image_file_name().at;
            let args = [critical::terminating_process().0, process.va().0, name.0];
            return f.call(Ke::PspCatchCriticalBreak.at(), &args, 1);
        }
        3 => return done(Status::SUCCESS),
        0 | 1 => {
            set_flags(f.m, process.flags(), process_flags::PROCESS_DELETE)?;
        }
        _ => {}
    }
    let previous = match f.local(0)? {
        0 => None,
        at => Some(EThread::at(Va(at))),
    };
    if let Some(thread) = next_thread(f.m, process, previous)? {
        f.set_local(0, thread.va().0)?;
        f.set_local(1, 1)?;
        return f.call(Ke::PspTerminateThreadByPointer.at(), &[thread.va().0, status, 0], 2);
    }
    if f.local(1)? == 0 || f.m.get(process.debug_port())?.is_some() {
        return f.call(Ke::ObClearProcessHandleTable.at(), &[process.va().0], 3);
    }
    done(Status::SUCCESS)
}

/// NtTerminateThread(ThreadHandle, ExitStatus). Local 0 is the thread.
pub(crate) fn nt_terminate_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let terminate = Ke::PspTerminateThreadByPointer.at();
    if f.stage != 0 {
        let (status, body) = (f.result(), Va(f.local(0)?));
        ob::dereference(f.m, body)?;
        return Ok(Flow::Return(status));
    }
    let (handle, status) = (f.arg(0)?, f.arg(1)?);
    let own = current(f.m)?;
    if handle == 0 {
        let process = current_process(f.m)?;
        if f.m.get(process.active_threads())? == 1 {
            return done(Status::CANT_TERMINATE_SELF);
        }
        return f.call(terminate, &[own.va().0, status, 1], 1);
    }
    if handle == ob::CURRENT_THREAD {
        return f.call(terminate, &[own.va().0, status, 1], 1);
    }
    let mode = previous_mode(f.m)?;
    let rights = access::THREAD_TERMINATE;
    let body = attempt!(ob::reference_by_handle(f.m, handle, rights, Kind::Thread, mode));
    if body == own.va() {
        ob::dereference(f.m, body)?;
        return f.call(terminate, &[own.va().0, status, 1], 1);
    }
    f.set_local(0, body.0)?;
    f.call(terminate, &[body.0, status, 0], 1)
}

/// PspTerminateThreadByPointer(Thread, ExitStatus, DirectTerminate). Local 0 is the KAPC, 1 and 2 the
/// retry delay.
pub(crate) fn psp_terminate_thread_by_pointer(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (thread, status) = (f.arg_ptr::<EThread>(0)?, f.arg(1)?);
    match f.stage {
        0 => {
            if f.m.get(thread.cross_thread_flags())? & cross::BREAK_ON_TERMINATION != 0 {
                let name = match f.m.get(thread.threads_process())? {
                    Some(process) => process.image_file_name().at.0,
                    None => 0,
                };
                let args = [critical::terminating_thread().0, thread.va().0, name];
                return f.call(Ke::PspCatchCriticalBreak.at(), &args, 1);
            }
            begin(f, thread, status)
        }
        1 => begin(f, thread, status),
        // The delay is over.
        2 => allocate(f, thread, status),
        // Back from KeInsertQueueApc.
        3 => {
            if f.result() == 0 {
                let apc = Va(f.local(0)?);
                pool::free(f.m, apc)?;
                return done(Status::UNSUCCESSFUL);
            }
            f.call(Ke::KeForceResumeThread.at(), &[thread.va().0], 4)
        }
        _ => done(Status::SUCCESS),
    }
}

/// Steps 2 and 3.
fn begin(f: &mut Frame, thread: EThread, status: u32) -> Result<Flow, Fault> {
    if f.arg(2)? & 0xFF != 0 && thread == current(f.m)? {
        set_flags(f.m, thread.cross_thread_flags(), cross::TERMINATED)?;
        return f.call(Ke::PspExitThread.at(), &[status], 4);
    }
    if f.m.get(thread.cross_thread_flags())? & cross::SYSTEM != 0 {
        return done(Status::ACCESS_DENIED);
    }
    allocate(f, thread, status)
}

/// Steps 4 to 8.
fn allocate(f: &mut Frame, thread: EThread, status: u32) -> Result<Flow, Fault> {
    let Some(at) = pool::allocate(f.m, KApc::EXTENT, EXIT_APC)? else {
        let interval = f.block(1, 2);
        f.m.store(interval, SHORT_TIME)?;
        return f.call(Ke::KeDelayExecutionThread.at(), &[KERNEL, 0, interval.0], 2);
    };
    let old = set_flags(f.m, thread.cross_thread_flags(), cross::TERMINATED)?;
    if old & cross::TERMINATED != 0 {
        pool::free(f.m, at)?;
        return done(Status::SUCCESS);
    }
    f.set_local(0, at.0)?;
    apc::init(f.m, KApc::at(at), thread.tcb(), exit_apc(KERNEL, status))?;
    f.call(Ke::KeInsertQueueApc.at(), &[at.0, at.0, 0, 2], 3)
}

fn exit_apc(mode: u32, status: u32) -> apc::Init {
    apc::Init {
        environment: apc::ORIGINAL,
        kernel: Ke::PsExitSpecialApc.at(),
        rundown: Ke::PspExitApcRundown.at(),
        normal: Ke::PspExitNormalApc.at(),
        mode,
        context: status,
    }
}

/// PsExitSpecialApc(Apc, NormalRoutine, NormalContext, SystemArgument1, SystemArgument2): stages B and
/// G. The kernel pass does nothing; the user pass ends the thread. Local 0 is the status.
pub(crate) fn ps_exit_special_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let (apc, context, second) = (f.arg(0)?, Va(f.arg(2)?), Va(f.arg(4)?));
            if f.m.load::<u32>(second)? == 0 {
                return Ok(Flow::Return(0));
            }
            let status = f.m.load(context)?;
            f.set_local(0, status)?;
            f.call(Ke::PspExitApcRundown.at(), &[apc], 1)
        }
        1 => {
            let status = f.local(0)?;
            f.call(Ke::PspExitThread.at(), &[status], 2)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// PspExitApcRundown(Apc).
pub(crate) fn psp_exit_apc_rundown(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let apc = Va(f.arg(0)?);
    pool::free(f.m, apc)?;
    Ok(Flow::Return(0))
}

/// PspExitNormalApc(NormalContext, SystemArgument1, SystemArgument2): stage C, the same KAPC again as a
/// user APC.
pub(crate) fn psp_exit_normal_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (status, at, second) = (f.arg(0)?, f.arg(1)?, f.arg(2)?);
    let thread = current(f.m)?.tcb();
    match f.stage {
        0 => {
            apc::init(f.m, KApc::at(Va(at)), thread, exit_apc(USER, status))?;
            f.call(Ke::KeInsertQueueApc.at(), &[at, at, second | 1, 2], 1)
        }
        1 if f.result() == 0 => f.call(Ke::PspExitApcRundown.at(), &[at], 2),
        _ => {
            f.m.set(thread.apc_state().user_apc_pending(), 1)?;
            Ok(Flow::Return(0))
        }
    }
}

/// Undoes a suspension of a thread that has been told to end.
pub(crate) fn force(m: &mut Machine, thread: EThread) -> Result<(), Fault> {
    suspend::force_resume(m, thread.tcb())?;
    Ok(())
}
