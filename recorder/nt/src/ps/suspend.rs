//! Suspending and resuming by handle (nt52.md 8.7 to 8.9).

use super::terminate::{force, next_thread};
use crate::Nt;
use crate::error::{Res, attempt, done, split};
use crate::ex::rundown;
use crate::ke::suspend;
use crate::ke::thread::current;
use crate::layout::*;
use crate::mm::access::{previous_mode, probe_for_write, write_optional};
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// The thread of a suspend or resume service, when its arguments are good.
fn target(m: &mut Machine, handle: u32, previous_at: u32) -> Res<EThread> {
    if previous_at != 0 {
        probe_for_write(m, Va(previous_at), 4, 4)?;
    }
    let mode = previous_mode(m)?;
    let rights = access::THREAD_SUSPEND_RESUME;
    Ok(EThread::at(ob::lookup(m, handle, rights, Some(Kind::Thread), mode)?.0))
}

/// PsSuspendThread: the previous count.
pub(crate) fn ps_suspend_thread(m: &mut Machine, thread: EThread) -> Res<u32> {
    if thread == current(m)? {
        return suspend::suspend(m, thread.tcb());
    }
    // The thread's rundown protection is taken and given back within this one step.
    if m.get(thread.rundown_protect())? & 1 != 0
        || m.get(thread.cross_thread_flags())? & cross::TERMINATED != 0
    {
        return Err(Status::THREAD_IS_TERMINATING.into());
    }
    let old = suspend::suspend(m, thread.tcb())?;
    if m.get(thread.cross_thread_flags())? & cross::TERMINATED != 0 {
        force(m, thread)?;
        return Err(Status::THREAD_IS_TERMINATING.into());
    }
    Ok(old)
}

/// PsSuspendThread(Thread, PreviousCount). The caller's own suspension takes effect as it returns.
pub(crate) fn native_ps_suspend_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (thread, at) = (f.arg_ptr::<EThread>(0)?, Va(f.arg(1)?));
    let old = attempt!(ps_suspend_thread(f.m, thread));
    f.m.store(at, old)?;
    done(Status::SUCCESS)
}

/// NtSuspendThread(ThreadHandle, PreviousSuspendCount). Local 0 is the count, 1 the thread.
pub(crate) fn nt_suspend_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, previous_at) = (f.arg(0)?, f.arg(1)?);
    if f.stage == 0 {
        let thread = attempt!(target(f.m, handle, previous_at));
        ob::reference(f.m, thread.va())?;
        f.set_local(1, thread.va().0)?;
        let at = f.local_at(0);
        return f.call(Ke::PsSuspendThread.at(), &[thread.va().0, at.0], 1);
    }
    let (status, thread, old) = (Status(f.result()), Va(f.local(1)?), f.local(0)?);
    ob::dereference(f.m, thread)?;
    if status.is_success() {
        attempt!(write_optional(f.m, previous_at, old));
    }
    done(status)
}

/// NtResumeThread(ThreadHandle, PreviousSuspendCount).
pub(crate) fn nt_resume_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, previous_at) = (f.arg(0)?, f.arg(1)?);
    let thread = attempt!(target(f.m, handle, previous_at));
    let old = suspend::resume(f.m, thread.tcb())?;
    attempt!(write_optional(f.m, previous_at, old));
    done(Status::SUCCESS)
}

/// NtAlertResumeThread(ThreadHandle, PreviousSuspendCount).
pub(crate) fn nt_alert_resume_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, previous_at) = (f.arg(0)?, f.arg(1)?);
    let thread = attempt!(target(f.m, handle, previous_at));
    crate::ke::apc::alert(f.m, thread.tcb(), KERNEL)?;
    let old = suspend::resume(f.m, thread.tcb())?;
    attempt!(write_optional(f.m, previous_at, old));
    done(Status::SUCCESS)
}

/// The process that a handle names, for suspending or resuming its threads: referenced, and with its
/// rundown protection.
fn whole(m: &mut Machine, handle: u32) -> Res<EProcess> {
    let mode = previous_mode(m)?;
    let rights = access::PROCESS_SUSPEND_RESUME;
    let body = ob::reference_by_handle(m, handle, rights, Kind::Process, mode)?;
    let process = EProcess::at(body);
    if !rundown::acquire(m, process.rundown_protect())? {
        ob::dereference(m, body)?;
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    Ok(process)
}

fn let_go(m: &mut Machine, process: EProcess) -> Result<(), Fault> {
    rundown::release(m, process.rundown_protect())?;
    ob::dereference(m, process.va())
}

/// NtSuspendProcess(ProcessHandle). A caller that is among the threads stops in its turn; the walk goes on
/// when it has been resumed. Local 0 is the process, 1 the thread, 2 a count that nobody asks for.
pub(crate) fn nt_suspend_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        let handle = f.arg(0)?;
        let process = attempt!(whole(f.m, handle));
        f.set_local(0, process.va().0)?;
    }
    let process = f.local_ptr::<EProcess>(0)?;
    let previous = match f.local(1)? {
        0 => None,
        at => Some(EThread::at(Va(at))),
    };
    let Some(thread) = next_thread(f.m, process, previous)? else {
        let_go(f.m, process)?;
        return done(Status::SUCCESS);
    };
    f.set_local(1, thread.va().0)?;
    let count = f.local_at(2).0;
    f.call(Ke::PsSuspendThread.at(), &[thread.va().0, count], 1)
}

/// NtResumeProcess(ProcessHandle).
pub(crate) fn nt_resume_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    let process = attempt!(whole(f.m, handle));
    let mut thread = next_thread(f.m, process, None)?;
    while let Some(found) = thread {
        suspend::resume(f.m, found.tcb())?;
        thread = next_thread(f.m, process, thread)?;
    }
    let_go(f.m, process)?;
    done(Status::SUCCESS)
}

/// Whether a suspension worked, for those who go on anyway.
pub(crate) fn try_suspend(m: &mut Machine, thread: EThread) -> Result<bool, Fault> {
    Ok(split(ps_suspend_thread(m, thread))?.is_ok())
}
