//! Ending oneself (reactos.md 9.5, 9.6).

use crate::{ReactOs, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::Fault;

const LAST: u8 = 0;
const OLD_IRQL: u8 = 1;

/// PsTerminateCurrentThread(ExitStatus) (9.5); the numbers are its steps. Step 7 has nobody to call:
/// there is no win32k.
pub(crate) fn ps_terminate_current_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    let tcb = thread.tcb();
    let process = f.m.get(thread.threads_process())?.unwrap_or(EProcess(Va(0)));
    match f.stage {
        // 1.
        0 => f.call(Ke::KfLowerIrql.at(), &[u32::from(irql::PASSIVE)], 1),
        1 => {
            // 2.
            if f.m.get(tcb.apc_state_index())? == 1 {
                let attached = f.m.get(tcb.apc_state().process())?.map_or(0, |process| process.0.0);
                let code = stop::INVALID_PROCESS_ATTACH_ATTEMPT;
                return f.call(Ke::KeBugCheckEx.at(), &[code, process.0.0, attached, 1, thread.0.0], 15);
            }
            // 3.
            ke::timer::cancel(f.m, tcb.timer())?;
            // 4.
            let (old, status) = (ke::irql::raise(f.m, irql::DISPATCH)?, f.arg(0)?);
            f.m.set(thread.has_terminated(), 1)?;
            f.m.set(thread.exit_status(), status)?;
            let now = f.m.get(SHARED.system_time())?;
            f.m.set(thread.exit_time(), now)?;
            if f.m.get(PCR.npx_thread())? == Some(thread) {
                f.m.set(PCR.npx_thread(), None)?;
            }
            f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 2)
        }
        // 5.
        2 => f.call(Ke::PsLockProcess.at(), &[process.0.0, 0], 3),
        3 => {
            // Whatever the lock said, the entry is unlinked and the lock given back.
            thread.thread_list_entry().unlink(f.m)?;
            let last = process.thread_list_head().is_empty(f.m)?;
            f.set_local(LAST, u32::from(last))?;
            f.call(Ke::PsUnlockProcess.at(), &[process.0.0], 4)
        }
        // 6.
        4 => f.call(Ke::PspRunCreateThreadNotifyRoutines.at(), &[thread.0.0, 0], 5),
        5 => {
            // 8.
            if !f.m.get(tcb.teb())?.is_null() {
                return f.call(Ke::PsFreeTeb.at(), &[thread.0.0], 6);
            }
            abandon(f, thread)
        }
        // 9, once for each mutant.
        6 => abandon(f, thread),
        7 => {
            // 11.
            if f.local(LAST)? != 0 {
                let status = f.arg(0)?;
                f.m.set(process.last_thread_exit_status(), status)?;
                return f.call(Ke::PspRunCreateProcessNotifyRoutines.at(), &[process.0.0, 0], 8);
            }
            leave(f)
        }
        8 => {
            let status = f.arg(0)?;
            f.call(Ke::PiTerminateProcess.at(), &[process.0.0, status], 9)
        }
        9 => leave(f),
        // Coming back.
        _ => f.call(Ke::KeBugCheck.at(), &[stop::GENERIC], 15),
    }
}

/// Step 9 while there are mutants, then step 10: the thread is signaled, before the process and before
/// its handles are closed.
fn abandon(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    let tcb = thread.tcb();
    let head = tcb.mutant_list_head();
    if !head.is_empty(f.m)? {
        let mutant = f.m.get(head.flink())?.owner(KMutant::mutant_list_entry);
        return f.call(Ke::KeReleaseMutant.at(), &[mutant.0.0, 1, 1, 0], 6);
    }
    let old = ke::irql::raise(f.m, irql::DISPATCH)?;
    f.m.set(tcb.header().signal_state(), 1)?;
    ke::wake::object(f.m, tcb.header(), 0)?;
    f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 7)
}

/// Step 12: the reaper's queue, and away for good.
fn leave(f: &mut Frame) -> Result<Flow, Fault> {
    let old = ke::irql::raise(f.m, irql::DISPATCH)?;
    f.set_local(OLD_IRQL, u32::from(old))?;
    f.call(Ke::PsDispatchThreadNoLock.at(), &[5], 10)
}

/// PiTerminateProcess(Process, ExitStatus) (9.6). The status is unused.
pub(crate) fn pi_terminate_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let process: EProcess = f.arg_ptr(0)?;
    match f.stage {
        0 => {
            ob::object::add_reference(f.m, process.0)?;
            // A 32-bit exchange on a byte: ThreadSeed, DisableBoost and a pad byte take part.
            let place = process.pcb().state().at;
            let old: u32 = f.m.load(place)?;
            f.m.store(place, u32::from(PROCESS_TERMINATED))?;
            if old == u32::from(PROCESS_TERMINATED) {
                ob::dereference(f.m, process.0)?;
                return Ok(Flow::Return(Status::SUCCESS.0));
            }
            f.call(Ke::ObCloseAllHandles.at(), &[process.0.0], 1)
        }
        1 => {
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            let header = process.pcb().header();
            f.m.set(header.signal_state(), 1)?;
            ke::wake::object(f.m, header, 0)?;
            f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 2)
        }
        _ => {
            ob::dereference(f.m, process.0)?;
            Ok(Flow::Return(Status::SUCCESS.0))
        }
    }
}

/// PsTerminateSystemThread(ExitStatus): no check that the caller is one.
pub(crate) fn ps_terminate_system_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let status = f.arg(0)?;
    f.call(Ke::PsTerminateCurrentThread.at(), &[status], 1)
}
