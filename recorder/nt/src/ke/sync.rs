//! Dispatcher objects: signaling them, satisfying waiters, ending waits (nt52.md 8.11, 8.13).

use super::{ready, timer};
use crate::Nt;
use crate::layout::*;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Write};
use machine::Machine;

/// Fills a dispatcher header; `size` is in bytes.
pub(crate) fn init_header(
    m: &mut Machine,
    header: DispatcherHeader,
    kind: KObject,
    size: u32,
    signal_state: i32,
) -> Result<(), Fault> {
    m.set(header.kind(), kind)?;
    m.set(header.absolute(), 0)?;
    m.set(header.size(), (size / 4) as u8)?;
    m.set(header.inserted(), 0)?;
    m.set(header.signal_state(), signal_state)?;
    header.wait_list_head().init(m)
}

/// KeInitializeEvent.
pub(crate) fn init_event(
    m: &mut Machine,
    event: DispatcherHeader,
    kind: KObject,
    signaled: bool,
) -> Result<(), Fault> {
    init_header(m, event, kind, DispatcherHeader::EXTENT, signaled.into())
}

/// KeInitializeSemaphore.
pub(crate) fn init_semaphore(
    m: &mut Machine,
    semaphore: KSemaphore,
    count: i32,
    limit: i32,
) -> Result<(), Fault> {
    init_header(m, semaphore.header(), KObject::Semaphore, KSemaphore::EXTENT, count)?;
    m.set(semaphore.limit(), limit)
}

/// KeInitializeMutant.
pub(crate) fn init_mutant(m: &mut Machine, mutant: KMutant, owner: Option<KThread>) -> Result<(), Fault> {
    init_header(m, mutant.header(), KObject::Mutant, KMutant::EXTENT, owner.is_none().into())?;
    m.set(mutant.owner_thread(), owner)?;
    m.set(mutant.abandoned(), 0)?;
    m.set(mutant.apc_disable(), 0)?;
    match owner {
        Some(owner) => owner.mutant_list_head().push_back(m, mutant.mutant_list_entry()),
        None => Ok(()),
    }
}

/// Whether a wait of `thread` for the object would be let through now.
pub(crate) fn is_satisfiable(
    m: &mut Machine,
    header: DispatcherHeader,
    thread: KThread,
) -> Result<bool, Fault> {
    if m.get(header.signal_state())? > 0 {
        return Ok(true);
    }
    let mutant = KMutant::at(header.va());
    Ok(m.get(header.kind())? == KObject::Mutant && m.get(mutant.owner_thread())? == Some(thread))
}

/// Lets one waiter through. Whether that was an abandoned mutant.
pub(crate) fn satisfy(m: &mut Machine, header: DispatcherHeader, thread: KThread) -> Result<bool, Fault> {
    match m.get(header.kind())? {
        KObject::EventSynchronization | KObject::TimerSynchronization => {
            m.set(header.signal_state(), 0)?;
        }
        KObject::Semaphore => {
            let state = m.get(header.signal_state())? - 1;
            m.set(header.signal_state(), state)?;
        }
        KObject::Mutant => return own(m, KMutant::at(header.va()), thread),
        _ => {}
    }
    Ok(false)
}

fn own(m: &mut Machine, mutant: KMutant, thread: KThread) -> Result<bool, Fault> {
    let state = m.get(mutant.header().signal_state())?.wrapping_sub(1);
    m.set(mutant.header().signal_state(), state)?;
    if state != 0 {
        return Ok(false);
    }
    m.set(mutant.owner_thread(), Some(thread))?;
    let disable = m.get(thread.kernel_apc_disable())? - i16::from(m.get(mutant.apc_disable())?);
    m.set(thread.kernel_apc_disable(), disable)?;
    thread.mutant_list_head().push_back(m, mutant.mutant_list_entry())?;
    let abandoned = m.get(mutant.abandoned())? != 0;
    m.set(mutant.abandoned(), 0)?;
    Ok(abandoned)
}

/// KiWaitTest: wakes waiters while the object is signaled.
pub(crate) fn wait_test(m: &mut Machine, header: DispatcherHeader, increment: u32) -> Result<(), Fault> {
    let list = header.wait_list_head();
    while m.get(header.signal_state())? > 0 {
        let first = m.get(list.flink())?;
        if first == list {
            break;
        }
        let block = KWaitBlock::at(first.va());
        let thread = m.get(block.thread())?;
        let status = if u32::from(m.get(block.wait_type())?) == WAIT_ANY {
            let abandoned = satisfy(m, header, thread)?;
            let base = if abandoned { Status::ABANDONED.0 } else { 0 };
            base + u32::from(m.get(block.wait_key())?)
        } else {
            Status::KERNEL_APC.0
        };
        unwait(m, thread, status, increment)?;
    }
    Ok(())
}

/// KiUnwaitThread.
pub(crate) fn unwait(m: &mut Machine, thread: KThread, status: u32, increment: u32) -> Result<(), Fault> {
    let old = m.get(thread.wait_status())?;
    m.set(thread.wait_status(), old | status)?;
    let first = m.get(thread.wait_block_list())?;
    let mut block = first;
    while let Some(at) = block {
        // The timer's block stays linked to the thread's timer for good.
        if at != thread.timer_wait_block() {
            at.wait_list_entry().unlink(m)?;
        }
        block = m.get(at.next_wait_block())?.filter(|next| Some(*next) != first);
    }
    timer::cancel(m, thread.timer())?;
    m.set(thread.adjust_increment(), increment as u8)?;
    m.set(thread.adjust_reason(), 1)?;
    ready::ready_thread(m, thread)
}

/// KeSetEvent: the old state.
pub(crate) fn set_event(m: &mut Machine, event: DispatcherHeader, increment: u32) -> Result<i32, Fault> {
    let old = m.get(event.signal_state())?;
    m.set(event.signal_state(), 1)?;
    if old == 0 {
        wait_test(m, event, increment)?;
    }
    Ok(old)
}

/// KeReleaseSemaphore: the old count, or none when the limit would be exceeded.
pub(crate) fn release_semaphore(
    m: &mut Machine,
    semaphore: KSemaphore,
    increment: u32,
    by: i32,
) -> Result<Option<i32>, Fault> {
    let header = semaphore.header();
    let old = m.get(header.signal_state())?;
    match old.checked_add(by) {
        Some(new) if new <= m.get(semaphore.limit())? && by > 0 => {
            m.set(header.signal_state(), new)?;
            wait_test(m, header, increment)?;
            Ok(Some(old))
        }
        _ => Ok(None),
    }
}

/// KeReleaseMutant: the old state. `abandon` is what a thread's end does to the mutants it owns.
pub(crate) fn release_mutant(m: &mut Machine, mutant: KMutant, abandon: bool) -> Result<i32, Fault> {
    let header = mutant.header();
    let old = m.get(header.signal_state())?;
    let new = if abandon { 1 } else { old.wrapping_add(1) };
    if abandon {
        m.set(mutant.abandoned(), 1)?;
    }
    m.set(header.signal_state(), new)?;
    if new == 1 {
        if m.get(mutant.owner_thread())?.is_some() {
            mutant.mutant_list_entry().unlink(m)?;
        }
        m.set(mutant.owner_thread(), None)?;
        wait_test(m, header, 1)?;
    }
    Ok(old)
}

/// KeSetProcess(Process, Increment): the process's object is signaled.
pub(crate) fn ke_set_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (process, increment) = (f.arg_ptr::<KProcess>(0)?, f.arg(1)?);
    f.m.set(process.header().signal_state(), 1)?;
    wait_test(f.m, process.header(), increment)?;
    Ok(Flow::Return(0))
}
