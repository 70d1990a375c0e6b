//! Suspending and resuming (reactos.md 8.6).

use crate::{ReactOs, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::Fault;

const OLD: u8 = 0;
const STATUS: u8 = 1;

/// PsSuspendThread(Thread, *Previous): the count has no limit and wraps.
pub(crate) fn ps_suspend_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread: EThread = f.arg_ptr(0)?;
    let tcb = thread.tcb();
    match f.stage {
        0 => acquire(f),
        1 => {
            let old = old_count(f, tcb)?;
            f.m.set(tcb.suspend_count(), old.wrapping_add(1))?;
            let apc = tcb.suspend_apc();
            if f.m.get(apc.inserted())? == 0 {
                return f.call(Ke::KeInsertQueueApc.at(), &[apc.0.0, 0, 0, 0], 2);
            }
            release(f)
        }
        2 => {
            if f.result() == 0 {
                let count = f.m.get(tcb.suspend_count())?;
                f.m.set(tcb.suspend_count(), count.wrapping_sub(1))?;
                f.set_local(STATUS, Status::THREAD_IS_TERMINATING.0)?;
            }
            release(f)
        }
        _ => finish(f),
    }
}

/// PsResumeThread(Thread, *Previous).
pub(crate) fn ps_resume_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread: EThread = f.arg_ptr(0)?;
    let tcb = thread.tcb();
    match f.stage {
        0 => acquire(f),
        1 => {
            let old = old_count(f, tcb)?;
            if old > 0 {
                f.m.set(tcb.suspend_count(), old - 1)?;
                if old == 1 {
                    let semaphore = tcb.suspend_semaphore().0.0;
                    return f.call(Ke::KeReleaseSemaphore.at(), &[semaphore, 0, 1, 0], 2);
                }
            }
            release(f)
        }
        2 => release(f),
        _ => finish(f),
    }
}

/// SuspendMutex, one for the whole system.
fn acquire(f: &mut Frame) -> Result<Flow, Fault> {
    f.call(Ke::ExAcquireFastMutex.at(), &[G.suspend_mutex().0.0], 1)
}

fn release(f: &mut Frame) -> Result<Flow, Fault> {
    f.call(Ke::ExReleaseFastMutex.at(), &[G.suspend_mutex().0.0], 3)
}

/// The count under the lock, kept to be reported.
fn old_count(f: &mut Frame, tcb: KThread) -> R<u8> {
    let old = f.m.get(tcb.suspend_count())?;
    f.set_local(OLD, u32::from(old))?;
    Ok(old)
}

/// Reports the old count, if that is wanted.
fn finish(f: &mut Frame) -> Result<Flow, Fault> {
    let (place, old, status) = (f.arg(1)?, f.local(OLD)?, f.local(STATUS)?);
    if place != 0 {
        f.m.store(Va(place), old)?;
    }
    Ok(Flow::Return(status))
}

/// PiSuspendThreadNormalRoutine: waits while the count is not 0, as a UserMode alertable wait whose
/// status is ignored. With a user APC queued the wait never blocks, and the thread spins here (8.6
/// consequence 4).
pub(crate) fn normal_routine(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let tcb = ke::current(f.m)?.tcb();
    if f.m.get(tcb.suspend_count())? == 0 {
        return Ok(Flow::Return(0));
    }
    let semaphore = tcb.suspend_semaphore().0.0;
    f.call(Ke::KeWaitForSingleObject.at(), &[semaphore, reason::EXECUTIVE, USER_MODE, 1, 0], 1)
}

/// NtSuspendThread(ThreadHandle, *PreviousCount).
pub(crate) fn nt_suspend_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    service(f, Ke::PsSuspendThread)
}

/// NtResumeThread(ThreadHandle, *PreviousCount).
pub(crate) fn nt_resume_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    service(f, Ke::PsResumeThread)
}

/// The previous count goes unprobed to the pointer.
fn service(f: &mut Frame, routine: Ke) -> Result<Flow, Fault> {
    if f.stage == 0 {
        let handle = f.arg(0)?;
        return match ob::reference(f.m, handle, Some(Type::Thread))? {
            Ok(thread) => {
                f.set_local(0, thread.0)?;
                let count = f.local_at(1).0;
                f.call(routine.at(), &[thread.0, count], 1)
            }
            Err(status) => Ok(Flow::Return(status.0)),
        };
    }
    let (status, thread, place) = (f.result(), Va(f.local(0)?), f.arg(1)?);
    ob::dereference(f.m, thread)?;
    if status == Status::SUCCESS.0 && place != 0 {
        let count = f.local(1)?;
        f.m.store(Va(place), count)?;
    }
    Ok(Flow::Return(status))
}
