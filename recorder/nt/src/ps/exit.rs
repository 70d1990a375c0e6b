//! PspExitThread and PspExitProcess: a thread's end, in the thread (nt52.md 9.6 to 9.8, 9.14).
//!
//! Steps 7, 16 to 18, 20 to 22, 26, 30, 31, 34 and 42 concern subsystems that this machine does not
//! have (power, WMI, LPC, win32k, I/O, NT timers, registry, audit, VDM, jobs): nobody could see them.

use super::critical;
use crate::Nt;
use crate::driver::notify;
use crate::ex::pool;
use crate::ke::bugcheck;
use crate::ke::thread::current;
use crate::ke::{apc, region, suspend, sync, timer};
use crate::layout::*;
use crate::mm::process::{clean, delete_teb, set_flags};
use crate::mm::services::release;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, ListEntry, Peek, Pointer, Read, Va, Write, walk};
use machine::Machine;

/// Locals of PspExitThread: whether this is the last thread, the thread last waited for, the flushed
/// APCs that are still to be run down.
const LAST: u8 = 0;
const WAITED: u8 = 1;
const FLUSHED: u8 = 2;

/// PspExitThread(ExitStatus). Entered at PASSIVE_LEVEL or APC_LEVEL; does not return.
pub(crate) fn psp_exit_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?;
    let Some(process) = f.m.get(thread.threads_process())? else { return Ok(Flow::Return(0)) };
    match f.stage {
        0 => enter(f, thread, process),
        // Step 3 is done.
        1 => begin(f, thread),
        // Step 6 is done.
        2 if notify::is_wanted(f.m, notify::THREADS)? => {
            let ids = [f.m.get(thread.unique_process())?, f.m.get(thread.unique_thread())?];
            f.call(Ke::PspCallNotifyRoutines.at(), &[notify::THREADS, ids[0], ids[1], 0], 10)
        }
        // Step 8 is done.
        2 | 10 => count(f, thread, process),
        // Step 10, back from waiting for one of the others.
        3 => wait_for_others(f, thread, process),
        // Step 13 is done.
        4 => after_debugger(f, thread, process),
        // Steps 14, 15 and 23 are done.
        11 => last_of_critical(f, thread, process),
        12 => abandon(f, thread),
        13 => grant_wishes(f, thread, process),
        // Step 24 is done.
        5 => record(f, thread, process),
        // Step 29 is done.
        6 => f.call(Ke::ObKillProcess.at(), &[process.va().0], 7),
        7 => {
            drop_section(f.m, process)?;
            close_queues(f, thread)
        }
        // Step 38 is done.
        8 => {
            let flushed = apc::flush(f.m, thread.tcb(), USER)?;
            f.set_local(FLUSHED, flushed.map_or(0, |apc| apc.va().0))?;
            run_down(f, thread, process)
        }
        // Step 40, back from one rundown routine.
        9 => run_down(f, thread, process),
        // Step 44 is done: who waited for the process may have run.
        14 => f.call(Ke::KeTerminateThread.at(), &[0], 15),
        _ => Ok(Flow::Return(0)),
    }
}

/// Steps 1 to 3.
fn enter(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let index = f.m.get(thread.tcb().apc_state_index())?;
    if index != 0 {
        let at = f.m.get(thread.tcb().apc_state().process())?;
        let what = [process.va().0, at.va().0, index.into(), thread.va().0];
        return bugcheck::stop(f, bugcheck::INVALID_PROCESS_ATTACH_ATTEMPT, what);
    }
    f.call(Ke::KfLowerIrql.at(), &[PASSIVE_LEVEL.into()], 1)
}

/// Steps 4 to 6.
fn begin(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    if f.m.get(thread.same_thread_passive_flags())? & 1 != 0 {
        return bugcheck::stop(f, bugcheck::ACTIVE_EX_WORKER_THREAD_TERMINATION, [thread.va().0, 0, 0, 0]);
    }
    let disabled = f.m.get(thread.tcb().combined_apc_disable())?;
    if disabled != 0 {
        return bugcheck::stop(f, bugcheck::KERNEL_APC_PENDING_DURING_EXIT, [0, disabled, 0, 1]);
    }
    let at = thread.rundown_protect().at;
    f.call(Ke::ExWaitForRundownProtectionRelease.at(), &[at.0], 2)
}

/// Steps 9 to 11.
fn count(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let status = f.arg(0)?;
    let terminating = status == Status::THREAD_IS_TERMINATING.0;
    let left = f.m.get(process.active_threads())? - 1;
    f.m.set(process.active_threads(), left)?;
    if left != 0 {
        if !terminating {
            f.m.set(process.last_thread_exit_status(), status)?;
        }
        return report(f, thread, process);
    }
    f.set_local(LAST, 1)?;
    set_flags(f.m, process.flags(), process_flags::PROCESS_DELETE)?;
    if !terminating {
        f.m.set(process.exit_status(), status)?;
    } else if f.m.get(process.exit_status())? == Status::PENDING.0 {
        let last = f.m.get(process.last_thread_exit_status())?;
        f.m.set(process.exit_status(), last)?;
    }
    wait_for_others(f, thread, process)
}

/// The rest of step 10: the next of the others that has not been signaled yet.
fn wait_for_others(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let threads = walk(f.m, process.thread_list_head(), EThread::thread_list_entry).unwrap_or_default();
    let mut next = None;
    for other in threads {
        let signaled = f.m.get(other.tcb().header().signal_state())? != 0;
        if other != thread && !signaled && ob::reference_safe(f.m, other.va())? {
            next = Some(other);
            break;
        }
    }
    let waited = f.local(WAITED)?;
    f.set_local(WAITED, next.map_or(0, |other| other.va().0))?;
    if waited != 0 {
        ob::dereference(f.m, Va(waited))?;
    }
    match next {
        Some(other) => {
            let args = [other.va().0, reason::EXECUTIVE, KERNEL, 0, 0];
            f.call(Ke::KeWaitForSingleObject.at(), &args, 3)
        }
        None => report(f, thread, process),
    }
}

/// Step 13.
fn report(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let system = f.m.get(thread.cross_thread_flags())? & cross::SYSTEM != 0;
    if system || f.m.get(process.debug_port())?.is_none() {
        return after_debugger(f, thread, process);
    }
    let status = f.arg(0)?;
    match f.local(LAST)? {
        0 => f.call(Ke::DbgkExitThread.at(), &[status], 4),
        _ => {
            let status = f.m.get(process.exit_status())?;
            f.call(Ke::DbgkExitProcess.at(), &[status], 4)
        }
    }
}

/// Step 14.
fn after_debugger(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let flags = f.m.get(thread.cross_thread_flags())?;
    if critical::debugger_enabled(f.m)? && flags & cross::BREAK_ON_TERMINATION != 0 {
        let message = crate::global::DATA.message_thread_exited().at;
        let args = [message.0, thread.va().0, process.image_file_name().at.0];
        return f.call(Ke::PspCatchCriticalBreak.at(), &args, 11);
    }
    last_of_critical(f, thread, process)
}

/// Step 15.
fn last_of_critical(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let critical = f.m.get(process.flags())? & process_flags::BREAK_ON_TERMINATION != 0;
    if f.local(LAST)? == 0 || !critical {
        return abandon(f, thread);
    }
    if critical::debugger_enabled(f.m)? {
        let message = crate::global::DATA.message_process_exited().at;
        let args = [message.0, process.va().0, process.image_file_name().at.0];
        return f.call(Ke::PspCatchCriticalBreak.at(), &args, 12);
    }
    bugcheck::stop(f, bugcheck::CRITICAL_PROCESS_DIED, [process.va().0, 0, 0, 0])
}

/// Steps 19 to 23.
fn abandon(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    if f.m.get(thread.tcb().enable_stack_swap())? == 0 {
        return bugcheck::stop(f, bugcheck::KERNEL_STACK_LOCKED_AT_EXIT, [0; 4]);
    }
    f.call(Ke::KeRundownThread.at(), &[], 13)
}

/// Step 24, and that its user accesses are guarded, are of medium confidence.
fn grant_wishes(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let teb = Teb::at(f.m.get(thread.tcb().teb())?);
    let dead = f.m.get(thread.cross_thread_flags())? & cross::DEADTHREAD != 0;
    if teb.va().is_null() || dead {
        return record(f, thread, process);
    }
    let (free, stack, debug) = teb_wishes(f.m, teb);
    if free {
        release(f.m, process, stack)?;
    }
    // As user mode closes: a protected handle stays.
    if debug == 0 || ob::is_protected(f.m, process, debug)? {
        return record(f, thread, process);
    }
    f.call(Ke::ObpCloseHandleEntry.at(), &[process.va().0, debug], 5)
}

/// KeRundownThread(). Who waits for a mutant of the thread's may run as it returns.
pub(crate) fn ke_rundown_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?;
    if let Some(mutant) = abandon_mutants(f.m, thread.tcb())? {
        let what = [thread.va().0, mutant.va().0, 0, 0];
        return bugcheck::stop(f, bugcheck::THREAD_TERMINATE_HELD_MUTEX, what);
    }
    Ok(Flow::Return(0))
}

/// KeRundownThread: a mutant that must not be held, if there is one.
fn abandon_mutants(m: &mut Machine, thread: KThread) -> Result<Option<KMutant>, Fault> {
    let list: ListEntry = thread.mutant_list_head();
    loop {
        let first = m.get(list.flink())?;
        if first == list {
            return Ok(None);
        }
        let mutant = first.owner(KMutant::mutant_list_entry);
        if m.get(mutant.apc_disable())? != 0 {
            return Ok(Some(mutant));
        }
        sync::release_mutant(m, mutant, true)?;
    }
}

/// What a thread left in its TEB for its end: whether its stack is to be freed, the stack, and a
/// debug object's handle. Nothing when the TEB cannot be read.
fn teb_wishes(m: &Machine, teb: Teb) -> (bool, u32, u32) {
    let mut peek = Peek::new(m);
    let free = peek.get(teb.free_stack_on_termination()).unwrap_or(0) != 0;
    let stack = peek.get(teb.deallocation_stack()).unwrap_or(0);
    (free, stack, peek.get(teb.debug_object_handle()).unwrap_or(0))
}

/// Steps 25 to 29.
fn record(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    let m = &mut *f.m;
    let teb = m.get(thread.tcb().teb())?;
    if !teb.is_null() {
        delete_teb(m, process, teb)?;
        m.set(thread.tcb().teb(), Va(0))?;
        m.set(PCR.used_self(), Va(0))?;
    }
    let status = f.arg(0)?;
    let now = timer::system_time(f.m)?;
    f.m.set(thread.exit_status(), status)?;
    f.m.set(thread.exit_time(), now)?;
    if f.local(LAST)? == 0 {
        return close_queues(f, thread);
    }
    f.m.set(process.exit_time(), now)?;
    f.call(Ke::PspExitProcess.at(), &[1, process.va().0], 6)
}

/// Step 33.
fn drop_section(m: &mut Machine, process: EProcess) -> Result<(), Fault> {
    let section = m.get(process.section_object())?;
    if !section.is_null() {
        m.set(process.section_object(), Va(0))?;
        ob::dereference(m, section)?;
    }
    Ok(())
}

/// Steps 35 to 38.
fn close_queues(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    region::enter_critical(f.m)?;
    f.m.set(thread.tcb().apc_queueable(), 0)?;
    suspend::force_resume(f.m, thread.tcb())?;
    f.call(Ke::KeLeaveCriticalRegion.at(), &[], 8)
}

/// Steps 40 to 45.
fn run_down(f: &mut Frame, thread: EThread, process: EProcess) -> Result<Flow, Fault> {
    loop {
        let at = f.local(FLUSHED)?;
        if at == 0 {
            break;
        }
        let apc = KApc::at(Va(at));
        let entry = apc.apc_list_entry();
        let next = f.m.get(entry.flink())?;
        entry.unlink(f.m)?;
        let next = if next == entry { 0 } else { next.owner(KApc::apc_list_entry).va().0 };
        f.set_local(FLUSHED, next)?;
        let rundown = f.m.get(apc.rundown_routine())?;
        if !rundown.is_null() {
            return f.call(rundown, &[at], 9);
        }
        pool::free(f.m, apc.va())?;
    }
    let last = f.local(LAST)? != 0;
    if last {
        clean(f.m, process)?;
    }
    let left = apc::flush(f.m, thread.tcb(), KERNEL)?;
    let disabled = f.m.get(thread.tcb().combined_apc_disable())?;
    if left.is_some() || disabled != 0 {
        let irql = f.m.get(PCR.irql())?;
        let what = [left.map_or(0, |apc| apc.apc_list_entry().va().0), disabled, irql.into(), 0];
        return bugcheck::stop(f, bugcheck::KERNEL_APC_PENDING_DURING_EXIT, what);
    }
    if last {
        return f.call(Ke::KeSetProcess.at(), &[process.va().0, 0], 14);
    }
    f.call(Ke::KeTerminateThread.at(), &[0], 15)
}

/// PspExitProcess(LastThread, Process). Its effects here: the process is marked, and the memory of one
/// that never ran a thread goes.
pub(crate) fn psp_exit_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (last, process) = (f.arg(0)? & 0xFF != 0, f.arg_ptr::<EProcess>(1)?);
    if f.stage == 0 {
        set_flags(f.m, process.flags(), process_flags::PROCESS_EXITING)?;
        if last && notify::is_wanted(f.m, notify::PROCESSES)? {
            let ids = [f.m.get(process.inherited_from())?, f.m.get(process.unique_process_id())?];
            return f.call(Ke::PspCallNotifyRoutines.at(), &[notify::PROCESSES, ids[0], ids[1], 0], 1);
        }
    }
    f.m.set(process.security_port(), 1)?;
    if !last {
        clean(f.m, process)?;
    }
    Ok(Flow::Return(0))
}
