//! Ending others (reactos.md 9.1 to 9.4.1).

use crate::{ReactOs, RemoteTermination, ex::pool, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Pointer, Read, Va, Write};
use machine::Fault;

/// NtTerminateProcess(ProcessHandle, ExitStatus) (9.1).
pub(crate) fn nt_terminate_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let (handle, status) = (f.arg(0)?, f.arg(1)?);
            // NULL is looked up like any other value: STATUS_INVALID_HANDLE.
            let process = match ob::reference(f.m, handle, Some(Type::Process))? {
                Ok(body) => EProcess(body),
                Err(status) => return Ok(Flow::Return(status.0)),
            };
            f.set_local(0, process.0.0)?;
            f.m.set(process.exit_status(), status)?;
            f.call(Ke::PiTerminateProcessThreads.at(), &[process.0.0, status], 1)
        }
        1 => {
            let process: EProcess = f.local_ptr(0)?;
            let thread = ke::current(f.m)?;
            let own = f.m.get(thread.threads_process())? == Some(process);
            ob::dereference(f.m, process.0)?;
            if own {
                let status = f.arg(1)?;
                return f.call(Ke::PsTerminateCurrentThread.at(), &[status], 2);
            }
            Ok(Flow::Return(Status::SUCCESS.0))
        }
        _ => Ok(Flow::Return(Status::SUCCESS.0)),
    }
}

/// NtTerminateThread(ThreadHandle, ExitStatus) (9.2): no refusal for the last thread.
pub(crate) fn nt_terminate_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let (handle, status) = (f.arg(0)?, f.arg(1)?);
            let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
                Ok(body) => EThread(body),
                Err(status) => return Ok(Flow::Return(status.0)),
            };
            if thread == ke::current(f.m)? {
                ob::dereference(f.m, thread.0)?;
                return f.call(Ke::PsTerminateCurrentThread.at(), &[status], 2);
            }
            f.set_local(0, thread.0.0)?;
            f.call(Ke::PsTerminateOtherThread.at(), &[thread.0.0, status], 1)
        }
        _ => {
            let thread = Va(f.local(0)?);
            ob::dereference(f.m, thread)?;
            Ok(Flow::Return(Status::SUCCESS.0))
        }
    }
}

/// PiTerminateProcessThreads(Process, ExitStatus) (9.3): each thread that is not the current one and
/// not marked yet, starting over from the head after each.
pub(crate) fn pi_terminate_process_threads(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 | 1 => {
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            f.set_local(1, u32::from(old))?;
            let (process, current) = (f.arg_ptr::<EProcess>(0)?, ke::current(f.m)?);
            let head = process.thread_list_head();
            let mut link = f.m.get(head.flink())?;
            while link != head {
                let thread = link.owner(EThread::thread_list_entry);
                if thread != current && f.m.get(thread.has_terminated())? == 0 {
                    f.set_local(0, thread.0.0)?;
                    return f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 2);
                }
                link = f.m.get(link.flink())?;
            }
            f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 3)
        }
        2 => {
            let (thread, status) = (f.local(0)?, f.arg(1)?);
            f.call(Ke::PsTerminateOtherThread.at(), &[thread, status], 1)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// PsTerminateOtherThread(Thread, ExitStatus) (9.4, 9.4.1 steps 1 to 4).
pub(crate) fn ps_terminate_other_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread: EThread = f.arg_ptr(0)?;
    match f.stage {
        0 => {
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            let marked = f.m.get(thread.has_terminated())? != 0;
            if !marked {
                f.m.set(thread.has_terminated(), 1)?;
            }
            f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], if marked { 4 } else { 1 })
        }
        1 => {
            let status = f.arg(1)?;
            f.m.set(thread.exit_status(), status)?;
            // The allocation is not checked.
            let at = pool::allocate(f.m, pool::tag(b"TAPC"), KApc::EXTENT)?.unwrap_or(Va(0));
            let with = ke::apc::Init {
                kernel: Ke::PiTerminateThreadKernelRoutine.at(),
                rundown: Ke::PiTerminateThreadRundownRoutine.at(),
                normal: Ke::PiTerminateThreadNormalRoutine.at(),
                mode: KERNEL_MODE,
                context: 0,
            };
            ke::apc::init(f.m, KApc(at), thread, with)?;
            f.call(Ke::KeInsertQueueApc.at(), &[at.0, 0, 0, 0], 2)
        }
        2 => {
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            let tcb = thread.tcb();
            let blocked = f.m.get(tcb.state())? == ThreadState::Blocked;
            // A UserMode wait ends, alertable or not; a KernelMode wait is left alone.
            if blocked && u32::from(f.m.get(tcb.wait_mode())?) == USER_MODE {
                ke::wake::abort(f.m, thread, Status::THREAD_IS_TERMINATING)?;
            }
            f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 4)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// PiTerminateThreadNormalRoutine: at REF a thread that somebody else marked is not ended by it.
pub(crate) fn normal_routine(kernel: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let thread = ke::current(f.m)?;
    let marked = f.m.get(thread.has_terminated())? != 0;
    if marked && kernel.variant.remote_termination() == RemoteTermination::Marks {
        return Ok(Flow::Return(0));
    }
    let status = f.m.get(thread.exit_status())?;
    f.call(Ke::PsTerminateCurrentThread.at(), &[status], 1)
}
