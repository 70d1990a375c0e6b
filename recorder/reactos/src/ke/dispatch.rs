//! Who runs: ready lists, dispatching and quantum ends (reactos.md 1.7, 4.7, 5.1).

use crate::{ReactOs, ke, layout::*, routines::Ke, stubs};
use contract::{Flow, Frame};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// Appends a thread to its priority's ready list.
fn make_ready(m: &mut Machine, thread: EThread) -> R<()> {
    let priority = m.get(thread.tcb().priority())? as u32 & 31;
    G.ready(priority).push_back(m, thread.ready_link())?;
    let mask = m.get(G.priority_list_mask())?;
    m.set(G.priority_list_mask(), mask | 1 << priority)
}

/// PsUnblockThread (4.7): ready at the tail of its list, and no preemption whatever its priority.
pub(crate) fn unblock(m: &mut Machine, thread: EThread, status: Option<u32>, increment: i8) -> R<()> {
    let tcb = thread.tcb();
    match m.get(tcb.state())? {
        ThreadState::Terminated1 | ThreadState::Terminated2 | ThreadState::Ready | ThreadState::Running => {
            return Ok(());
        }
        _ => {}
    }
    let base = m.get(tcb.base_priority())?;
    if m.get(tcb.priority())? < 16 && base < 14 {
        if m.get(tcb.priority_decrement())? == 0 && m.get(tcb.disable_boost())? == 0 {
            m.set(tcb.priority(), base + increment)?;
            m.set(tcb.priority_decrement(), increment)?;
        }
    } else {
        reset_quantum(m, thread)?;
    }
    if let Some(status) = status {
        m.set(tcb.wait_status(), status)?;
    }
    m.set(tcb.state(), ThreadState::Ready)?;
    make_ready(m, thread)
}

/// KeSetPriorityThread(Thread, Priority): the base priority follows. A change dispatches (5.1), so that
/// the best thread has the processor afterwards; the sheet says no more, and a change of a thread that is
/// neither ready nor running has nothing to dispatch for.
pub(crate) fn set_priority(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let (thread, priority) = (f.arg_ptr::<EThread>(0)?, (f.arg(1)? & 31) as i8);
    let tcb = thread.tcb();
    f.m.set(tcb.base_priority(), priority)?;
    f.m.set(tcb.priority_decrement(), 0)?;
    let state = f.m.get(tcb.state())?;
    if state == ThreadState::Ready {
        let old = f.m.get(tcb.priority())? as u32 & 31;
        thread.ready_link().unlink(f.m)?;
        if G.ready(old).is_empty(f.m)? {
            let mask = f.m.get(G.priority_list_mask())?;
            f.m.set(G.priority_list_mask(), mask & !(1 << old))?;
        }
    }
    f.m.set(tcb.priority(), priority)?;
    if state == ThreadState::Ready {
        make_ready(f.m, thread)?;
    }
    match state {
        ThreadState::Ready | ThreadState::Running => {
            f.call(Ke::PsDispatchThread.at(), &[u32::from(READY)], 1)
        }
        _ => Ok(Flow::Return(0)),
    }
}

fn reset_quantum(m: &mut Machine, thread: EThread) -> R<()> {
    let quantum = match m.get(thread.threads_process())? {
        Some(process) => m.get(process.pcb().thread_quantum())?,
        None => QUANTUM,
    };
    m.set(thread.tcb().quantum(), quantum)
}

/// The first thread of the highest ready list, taken out of it (5.1 step 2): PriorityListMask says which
/// that is. One processor: every affinity matches it.
fn take_ready(m: &mut Machine) -> R<Option<EThread>> {
    let mask = m.get(G.priority_list_mask())?;
    let Some(priority) = mask.checked_ilog2() else { return Ok(None) };
    let list = G.ready(priority);
    let Some(link) = list.pop_front(m)? else { return Ok(None) };
    if list.is_empty(m)? {
        m.set(G.priority_list_mask(), mask & !(1 << priority))?;
    }
    Ok(Some(link.owner(EThread::ready_link)))
}

/// PsDispatchThreadNoLock(NewState) (5.1), at DISPATCH_LEVEL.
pub(crate) fn dispatch_no_lock(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let state = <ThreadState as guest::Scalar>::decode(&[f.arg(0)? as u8]);
    let current = ke::current(f.m)?;
    f.m.set(current.tcb().state(), state)?;
    match state {
        ThreadState::Ready => make_ready(f.m, current)?,
        ThreadState::Terminated1 => {
            G.threads_to_reap().push_back(f.m, current.termination_port_list())?;
            let waiting = f.m.get(G.nr_threads_awaiting_reaping())?;
            f.m.set(G.nr_threads_awaiting_reaping(), waiting + 1)?;
        }
        _ => {}
    }
    let Some(next) = take_ready(f.m)? else {
        return f.call(Ke::KeBugCheck.at(), &[stop::GENERIC], 1);
    };
    f.m.set(next.tcb().state(), ThreadState::Running)?;
    if next == current {
        return Ok(Flow::Return(0));
    }
    f.call(stubs::kernel().symbol("Ki386ContextSwitch"), &[next.0.0, current.0.0], 1)
}

/// PsDispatchThread(NewState).
pub(crate) fn dispatch(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            f.set_local(0, u32::from(old))?;
            let state = f.arg(0)?;
            f.call(Ke::PsDispatchThreadNoLock.at(), &[state], 1)
        }
        1 => {
            let old = f.local(0)?;
            f.call(Ke::KfLowerIrql.at(), &[old], 2)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// NtYieldExecution.
pub(crate) fn nt_yield(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => f.call(Ke::PsDispatchThread.at(), &[u32::from(READY)], 1),
        _ => Ok(Flow::Return(0)),
    }
}

/// THREAD_STATE_READY as an argument.
const READY: u8 = 1;

/// KiQuantumEnd (5.1).
pub(crate) fn quantum_end(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let thread = ke::current(f.m)?;
    let tcb = thread.tcb();
    if f.m.get(tcb.quantum())? <= 0 {
        reset_quantum(f.m, thread)?;
        let (priority, base) = (f.m.get(tcb.priority())?, f.m.get(tcb.base_priority())?);
        if priority < 16 {
            let lower = priority - f.m.get(tcb.priority_decrement())? - 1;
            f.m.set(tcb.priority(), lower.max(base))?;
            f.m.set(tcb.priority_decrement(), 0)?;
        }
    }
    f.call(Ke::PsDispatchThread.at(), &[u32::from(READY)], 1)
}

/// KiDispatchInterrupt: DPCs, which here are the timers' only, then the quantum's end (1.6 step 4).
pub(crate) fn dispatch_interrupt(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        if f.m.get(G.timer_dpc())? != 0 {
            f.m.set(G.timer_dpc(), 0)?;
            ke::timer::expire(f.m)?;
        }
        if f.m.get(PCR.quantum_end())? != 0 {
            f.m.set(PCR.quantum_end(), 0)?;
            return f.call(Ke::KiQuantumEnd.at(), &[], 1);
        }
    }
    Ok(Flow::Return(0))
}
