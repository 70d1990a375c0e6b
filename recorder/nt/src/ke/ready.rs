//! Which thread runs next (nt52.md 8.11).

use crate::layout::*;
use contract::Status;
use guest::{Fault, ListEntry, Read, Write};
use machine::Machine;

/// KTHREAD.AdjustReason after an unwait.
const ADJUST_UNWAIT: u8 = 1;
/// The lowest real-time priority.
const LOW_REALTIME: i8 = 16;
/// What a clock tick takes off a quantum.
const CLOCK_QUANTUM: i8 = 3;

/// HalRequestSoftwareInterrupt: taken when the IRQL falls below `level`.
pub(crate) fn request(m: &mut Machine, level: u8) -> Result<(), Fault> {
    let irr = m.get(PCR.irr())?;
    m.set(PCR.irr(), irr | 1 << level)
}

/// KiReadyThread, and KiDeferredReadyThread at once as there is one processor.
pub(crate) fn ready_thread(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    adjust(m, thread)?;
    let preempted = m.get(thread.preempted())? != 0;
    m.set(thread.preempted(), 0)?;
    let priority = m.get(thread.priority())?;
    let current = m.get(PCR.current_thread())?;
    let idle = current == m.get(PCR.idle_thread())?;
    match m.get(PCR.next_thread())? {
        Some(next) => {
            if priority <= m.get(next.priority())? {
                return queue(m, thread, preempted);
            }
            standby(m, thread)?;
            m.set(next.preempted(), 1)?;
            ready_thread(m, next)
        }
        None if idle => standby(m, thread),
        None if priority > m.get(current.priority())? => {
            if m.get(current.state())? == State::Running {
                m.set(current.preempted(), 1)?;
            }
            standby(m, thread)
        }
        None => queue(m, thread, preempted),
    }
}

fn standby(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    m.set(thread.state(), State::Standby)?;
    m.set(PCR.next_thread(), Some(thread))?;
    request(m, DISPATCH_LEVEL)
}

/// Puts a thread into its ready queue: at the tail, or at the head when it was preempted.
fn queue(m: &mut Machine, thread: KThread, head: bool) -> Result<(), Fault> {
    m.set(thread.state(), State::Ready)?;
    let priority = m.get(thread.priority())? as u32;
    let list = PCR.ready(priority);
    match head {
        true => list.push_front(m, thread.wait_list_entry())?,
        false => list.push_back(m, thread.wait_list_entry())?,
    }
    let summary = m.get(PCR.ready_summary())?;
    m.set(PCR.ready_summary(), summary | 1 << priority)
}

/// Takes the first thread of the highest ready queue at or above a priority.
fn take(m: &mut Machine, least: u32) -> Result<Option<KThread>, Fault> {
    let summary = m.get(PCR.ready_summary())? & u32::MAX << least;
    if summary == 0 {
        return Ok(None);
    }
    let priority = 31 - summary.leading_zeros();
    let list: ListEntry = PCR.ready(priority);
    let Some(entry) = list.pop_front(m)? else { return Ok(None) };
    if list.is_empty(m)? {
        let all = m.get(PCR.ready_summary())?;
        m.set(PCR.ready_summary(), all & !(1 << priority))?;
    }
    Ok(Some(entry.owner(KThread::wait_list_entry)))
}

/// KeSetPriorityThread: a ready thread changes its queue, one that gets ahead of the running thread
/// preempts it, and the running thread gives way to a ready one that is ahead of it now.
pub(crate) fn set_priority(m: &mut Machine, thread: KThread, priority: i8) -> Result<(), Fault> {
    let old = m.get(thread.priority())?;
    let reset = m.get(thread.quantum_reset())?;
    m.set(thread.quantum(), reset)?;
    m.set(thread.priority_decrement(), 0)?;
    m.set(thread.priority(), priority)?;
    match m.get(thread.state())? {
        State::Ready => {
            let list: ListEntry = PCR.ready(old as u32);
            thread.wait_list_entry().unlink(m)?;
            if list.is_empty(m)? {
                let all = m.get(PCR.ready_summary())?;
                m.set(PCR.ready_summary(), all & !(1 << old))?;
            }
            ready_thread(m, thread)
        }
        State::Running if priority < old && m.get(PCR.next_thread())?.is_none() => {
            match take(m, priority as u32 + 1)? {
                Some(next) => standby(m, next),
                None => Ok(()),
            }
        }
        // A thread in standby has been chosen; it will have run before anybody can tell.
        _ => Ok(()),
    }
}

/// The thread that takes the processor over from one that gives it up: NextThread, the highest ready
/// thread, or the idle thread. It is current and Running afterwards.
pub(crate) fn select(m: &mut Machine) -> Result<KThread, Fault> {
    let thread = match m.get(PCR.next_thread())? {
        Some(next) => next,
        None => match take(m, 0)? {
            Some(ready) => ready,
            None => m.get(PCR.idle_thread())?,
        },
    };
    m.set(PCR.next_thread(), None)?;
    m.set(thread.state(), State::Running)?;
    m.set(PCR.current_thread(), thread)?;
    Ok(thread)
}

/// KiUnwaitThread's priority adjustment, made when the thread becomes ready.
fn adjust(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    let reason = m.get(thread.adjust_reason())?;
    let increment = m.get(thread.adjust_increment())?;
    m.set(thread.adjust_reason(), 0)?;
    m.set(thread.adjust_increment(), 0)?;
    if reason != ADJUST_UNWAIT {
        return Ok(());
    }
    let reset = m.get(thread.quantum_reset())?;
    let (priority, base) = (m.get(thread.priority())?, m.get(thread.base_priority())?);
    if priority >= LOW_REALTIME || base >= 14 {
        return m.set(thread.quantum(), reset);
    }
    let decrement = m.get(thread.priority_decrement())?;
    let mut priority = priority;
    if decrement == 0 && increment != 0 {
        m.set(thread.quantum(), reset)?;
    }
    if m.get(thread.wait_status())? != Status::KERNEL_APC.0 {
        let quantum = m.get(thread.quantum())? - 1;
        m.set(thread.quantum(), quantum)?;
        if quantum <= 0 {
            m.set(thread.quantum(), reset)?;
            priority = decayed(priority, base, decrement);
            m.set(thread.priority_decrement(), 0)?;
        }
    }
    let disabled = m.get(thread.thread_flags())? & 2 != 0;
    if !disabled && decrement == 0 {
        priority = priority.max((base + increment as i8).min(15));
    }
    m.set(thread.priority(), priority)
}

fn decayed(priority: i8, base: i8, decrement: i8) -> i8 {
    (priority - 1 - decrement).max(base)
}

/// A clock tick of the running thread. The idle thread has no quantum.
pub(crate) fn tick(m: &mut Machine) -> Result<(), Fault> {
    let thread = m.get(PCR.current_thread())?;
    if thread == m.get(PCR.idle_thread())? {
        return Ok(());
    }
    let quantum = m.get(thread.quantum())?.saturating_sub(CLOCK_QUANTUM);
    m.set(thread.quantum(), quantum)?;
    if quantum <= 0 {
        m.set(PCR.quantum_end(), 1)?;
        request(m, DISPATCH_LEVEL)?;
    }
    Ok(())
}

/// KiQuantumEnd: whoever is ready at the decayed priority or above gets the processor.
pub(crate) fn quantum_end(m: &mut Machine) -> Result<(), Fault> {
    m.set(PCR.quantum_end(), 0)?;
    let thread = m.get(PCR.current_thread())?;
    if m.get(thread.quantum())? > 0 || thread == m.get(PCR.idle_thread())? {
        return Ok(());
    }
    let reset = m.get(thread.quantum_reset())?;
    m.set(thread.quantum(), reset)?;
    let mut priority = m.get(thread.priority())?;
    if priority < LOW_REALTIME {
        let (base, decrement) = (m.get(thread.base_priority())?, m.get(thread.priority_decrement())?);
        priority = decayed(priority, base, decrement);
        m.set(thread.priority(), priority)?;
        m.set(thread.priority_decrement(), 0)?;
    }
    if m.get(PCR.next_thread())?.is_none()
        && let Some(next) = take(m, priority as u32)?
    {
        m.set(thread.preempted(), 0)?;
        standby(m, next)?;
    }
    Ok(())
}

/// The current thread goes to its ready queue, for NextThread: what switching at DISPATCH_LEVEL does
/// with the outgoing thread. Nothing when no thread stands by.
pub(crate) fn give_way(m: &mut Machine) -> Result<Option<(KThread, KThread)>, Fault> {
    if m.get(PCR.next_thread())?.is_none() {
        return Ok(None);
    }
    let old = m.get(PCR.current_thread())?;
    let new = select(m)?;
    if old != m.get(PCR.idle_thread())? {
        let head = m.get(old.preempted())? != 0;
        m.set(old.preempted(), 0)?;
        queue(m, old, head)?;
    } else {
        m.set(old.state(), State::Standby)?;
    }
    Ok(Some((old, new)))
}

/// Puts a ready thread in Standby for NtYieldExecution; false when there is none.
pub(crate) fn stand_by_another(m: &mut Machine) -> Result<bool, Fault> {
    if m.get(PCR.next_thread())?.is_some() {
        return Ok(true);
    }
    match take(m, 1)? {
        Some(next) => {
            standby(m, next)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Makes the ready queues.
pub(crate) fn init(m: &mut Machine) -> Result<(), Fault> {
    for priority in 0..32 {
        PCR.ready(priority).init(m)?;
    }
    PCR.wait_list_head().init(m)?;
    Ok(())
}
