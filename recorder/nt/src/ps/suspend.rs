//! Suspending and resuming by handle (nt52.md 8.7 to 8.9).

use super::terminate::force;
use crate::Nt;
use crate::error::{Error, Res, attempt, done, split};
use crate::ke::suspend;
use crate::ke::thread::current;
use crate::layout::*;
use crate::mm::access::{previous_mode, probe_for_write, write_optional};
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write, walk};
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

/// The threads of the process that a handle names, for suspending or resuming them all.
fn threads(m: &mut Machine, handle: u32) -> Res<Vec<EThread>> {
    let mode = previous_mode(m)?;
    let rights = access::PROCESS_SUSPEND_RESUME;
    let process = EProcess::at(ob::lookup(m, handle, rights, Some(Kind::Process), mode)?.0);
    if m.get(process.rundown_protect())? & 1 != 0 {
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    Ok(walk(m, process.thread_list_head(), EThread::thread_list_entry).unwrap_or_default())
}

/// NtSuspendProcess(ProcessHandle). The caller's own thread is suspended in its turn, which takes
/// effect when the whole list has been walked.
pub(crate) fn nt_suspend_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    for thread in attempt!(threads(f.m, handle)) {
        if let Err(Error::Fault(fault)) = ps_suspend_thread(f.m, thread) {
            return Err(fault);
        }
    }
    done(Status::SUCCESS)
}

/// NtResumeProcess(ProcessHandle).
pub(crate) fn nt_resume_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    for thread in attempt!(threads(f.m, handle)) {
        suspend::resume(f.m, thread.tcb())?;
    }
    done(Status::SUCCESS)
}

/// Whether a suspension worked, for those who go on anyway.
pub(crate) fn try_suspend(m: &mut Machine, thread: EThread) -> Result<bool, Fault> {
    Ok(split(ps_suspend_thread(m, thread))?.is_ok())
}
