//! Suspending and resuming (nt52.md 8.3 to 8.6).

use super::thread::current;
use super::{apc, sync};
use crate::Nt;
use crate::error::Res;
use crate::layout::*;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Write};
use machine::Machine;

/// MAXIMUM_SUSPEND_COUNT.
const MAXIMUM: u8 = 127;

/// KeSuspendThread: the previous count.
pub(crate) fn suspend(m: &mut Machine, thread: KThread) -> Res<u32> {
    let old = m.get(thread.suspend_count())?;
    if old == MAXIMUM {
        return Err(Status::SUSPEND_COUNT_EXCEEDED.into());
    }
    if m.get(thread.apc_queueable())? == 0 {
        return Ok(old.into());
    }
    m.set(thread.suspend_count(), old + 1)?;
    if old == 0 && m.get(thread.freeze_count())? == 0 {
        stop(m, thread)?;
    }
    Ok(old.into())
}

/// Queues the suspend APC; if it is still queued, undoes the resume that came before it could run.
fn stop(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    let suspend = thread.suspend_apc();
    if m.get(suspend.inserted())? == 0 {
        m.set(suspend.inserted(), 1)?;
        return apc::queue(m, suspend, 0);
    }
    let header = thread.suspend_semaphore().header();
    let state = m.get(header.signal_state())? - 1;
    m.set(header.signal_state(), state)
}

/// Lets a suspended thread go on.
fn signal(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    let header = thread.suspend_semaphore().header();
    let state = m.get(header.signal_state())? + 1;
    m.set(header.signal_state(), state)?;
    sync::wait_test(m, header, 0)
}

/// KeResumeThread: the previous count.
pub(crate) fn resume(m: &mut Machine, thread: KThread) -> Result<u32, Fault> {
    let old = m.get(thread.suspend_count())?;
    if old != 0 {
        m.set(thread.suspend_count(), old - 1)?;
        if old == 1 && m.get(thread.freeze_count())? == 0 {
            signal(m, thread)?;
        }
    }
    Ok(old.into())
}

/// KeForceResumeThread: the previous suspend and freeze counts together.
pub(crate) fn force_resume(m: &mut Machine, thread: KThread) -> Result<u32, Fault> {
    let sum = u32::from(m.get(thread.suspend_count())?) + u32::from(m.get(thread.freeze_count())?);
    if sum != 0 {
        m.set(thread.suspend_count(), 0)?;
        m.set(thread.freeze_count(), 0)?;
        signal(m, thread)?;
    }
    Ok(sum)
}

/// KeSuspendThread(Thread).
pub(crate) fn ke_suspend_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = f.arg_ptr(0)?;
    let old = crate::error::attempt!(suspend(f.m, thread));
    Ok(Flow::Return(old))
}

/// KeForceResumeThread(Thread).
pub(crate) fn ke_force_resume_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = f.arg_ptr(0)?;
    Ok(Flow::Return(force_resume(f.m, thread)?))
}

/// KiSuspendNop(Apc, NormalRoutine, NormalContext, SystemArgument1, SystemArgument2).
pub(crate) fn ki_suspend_nop(_: &Nt, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(0))
}

/// KiSuspendRundown(Apc).
pub(crate) fn ki_suspend_rundown(_: &Nt, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(0))
}

/// KiSuspendThread(NormalContext, SystemArgument1, SystemArgument2).
pub(crate) fn ki_suspend_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let semaphore = current(f.m)?.tcb().suspend_semaphore().va().0;
            f.call(Ke::KeWaitForSingleObject.at(), &[semaphore, reason::SUSPENDED, KERNEL, 0, 0], 1)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// KeFreezeAllThreads, once the current thread is not frozen itself: the critical region is entered
/// and every other thread of the process is stopped.
pub(crate) fn freeze_others(m: &mut Machine, process: KProcess) -> Result<(), Fault> {
    super::region::enter_critical(m)?;
    let own = current(m)?.tcb();
    for thread in others(m, process, own)? {
        if m.get(thread.apc_queueable())? == 0 {
            continue;
        }
        let count = m.get(thread.freeze_count())?;
        m.set(thread.freeze_count(), count + 1)?;
        if count == 0 && m.get(thread.suspend_count())? == 0 {
            stop(m, thread)?;
        }
    }
    Ok(())
}

/// KeThawAllThreads but for leaving the critical region, which the caller does.
pub(crate) fn thaw_others(m: &mut Machine, process: KProcess) -> Result<(), Fault> {
    let own = current(m)?.tcb();
    for thread in others(m, process, own)? {
        let count = m.get(thread.freeze_count())?;
        if count == 0 {
            continue;
        }
        m.set(thread.freeze_count(), count - 1)?;
        if count == 1 && m.get(thread.suspend_count())? == 0 {
            signal(m, thread)?;
        }
    }
    Ok(())
}

fn others(m: &mut Machine, process: KProcess, own: KThread) -> Result<Vec<KThread>, Fault> {
    let threads = guest::walk(m, process.thread_list_head(), KThread::thread_list_entry);
    let mut threads = threads.unwrap_or_default();
    threads.retain(|thread| *thread != own);
    Ok(threads)
}
