//! APC objects and queues (nt52.md 7.2 to 7.4, 7.7, 7.9).

use super::{ready, sync};
use crate::layout::*;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, ListEntry, Read, Va, Write};
use machine::Machine;

/// KAPC_ENVIRONMENT values.
pub(crate) const ORIGINAL: u8 = 0;
const CURRENT: u8 = 2;
const INSERT: u8 = 3;

/// The arguments of KeInitializeApc.
pub(crate) struct Init {
    pub(crate) environment: u8,
    pub(crate) kernel: Va,
    pub(crate) rundown: Va,
    pub(crate) normal: Va,
    pub(crate) mode: u32,
    pub(crate) context: u32,
}

/// KeInitializeApc.
pub(crate) fn init(m: &mut Machine, apc: KApc, thread: KThread, with: Init) -> Result<(), Fault> {
    m.set(apc.kind(), 0x12)?;
    m.set(apc.size(), 0x30)?;
    let index = match with.environment {
        CURRENT => m.get(thread.apc_state_index())?,
        other => other,
    };
    m.set(apc.apc_state_index(), index)?;
    m.set(apc.thread(), thread)?;
    m.set(apc.kernel_routine(), with.kernel)?;
    m.set(apc.rundown_routine(), with.rundown)?;
    m.set(apc.normal_routine(), with.normal)?;
    let special = with.normal.is_null();
    m.set(apc.apc_mode(), if special { KERNEL } else { with.mode } as u8)?;
    m.set(apc.normal_context(), if special { 0 } else { with.context })?;
    m.set(apc.inserted(), 0)
}

/// KeInsertQueueApc.
pub(crate) fn insert(
    m: &mut Machine,
    apc: KApc,
    arguments: (u32, u32),
    increment: u32,
) -> Result<bool, Fault> {
    let thread = m.get(apc.thread())?;
    if m.get(thread.apc_queueable())? == 0 || m.get(apc.inserted())? != 0 {
        return Ok(false);
    }
    m.set(apc.system_argument1(), arguments.0)?;
    m.set(apc.system_argument2(), arguments.1)?;
    m.set(apc.inserted(), 1)?;
    queue(m, apc, increment)?;
    Ok(true)
}

/// KeInsertQueueApc(Apc, SystemArgument1, SystemArgument2, Increment).
pub(crate) fn ke_insert_queue_apc(_: &crate::Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (apc, arguments, increment) = (f.arg_ptr(0)?, (f.arg(1)?, f.arg(2)?), f.arg(3)?);
    Ok(Flow::Return(insert(f.m, apc, arguments, increment)?.into()))
}

/// KiInsertQueueApc.
pub(crate) fn queue(m: &mut Machine, apc: KApc, increment: u32) -> Result<(), Fault> {
    let thread = m.get(apc.thread())?;
    if m.get(apc.apc_state_index())? == INSERT {
        let index = m.get(thread.apc_state_index())?;
        m.set(apc.apc_state_index(), index)?;
    }
    let index = m.get(apc.apc_state_index())?;
    let state = m.get(thread.apc_state_pointer(index))?;
    let user = u32::from(m.get(apc.apc_mode())?) == USER;
    let special = m.get(apc.normal_routine())?.is_null();
    place(m, apc, thread, state, user, special)?;
    if index != m.get(thread.apc_state_index())? {
        return Ok(());
    }
    let own = m.get(PCR.current_thread())? == thread;
    let guarded = m.get(thread.special_apc_disable())? != 0;
    let waiting = m.get(thread.state())? == State::Waiting;
    if user {
        let by_user = u32::from(m.get(thread.wait_mode())?) == USER;
        let pending = m.get(thread.apc_state().user_apc_pending())? != 0;
        if !own && waiting && by_user && (m.get(thread.alertable())? != 0 || pending) {
            m.set(thread.apc_state().user_apc_pending(), 1)?;
            sync::unwait(m, thread, Status::USER_APC.0, increment)?;
        }
        return Ok(());
    }
    m.set(thread.apc_state().kernel_apc_pending(), 1)?;
    if own {
        return if guarded { Ok(()) } else { ready::request(m, APC_LEVEL) };
    }
    let enabled =
        m.get(thread.kernel_apc_disable())? == 0 && m.get(thread.apc_state().kernel_apc_in_progress())? == 0;
    if waiting && m.get(thread.wait_irql())? == 0 && !guarded && (special || enabled) {
        sync::unwait(m, thread, Status::KERNEL_APC.0, increment)?;
    }
    Ok(())
}

/// Step 3 of KiInsertQueueApc: where in its list an APC goes.
fn place(
    m: &mut Machine,
    apc: KApc,
    thread: KThread,
    state: ApcState,
    user: bool,
    special: bool,
) -> Result<(), Fault> {
    let list = if user { state.user_list() } else { state.kernel_list() };
    if user && m.get(apc.kernel_routine())? == Ke::PsExitSpecialApc.at() {
        m.set(thread.apc_state().user_apc_pending(), 1)?;
        return list.push_front(m, apc.apc_list_entry());
    }
    if !special {
        return list.push_back(m, apc.apc_list_entry());
    }
    let mut at = m.get(list.flink())?;
    while at != list && m.get(at.owner(KApc::apc_list_entry).normal_routine())?.is_null() {
        at = m.get(at.flink())?;
    }
    at.push_back(m, apc.apc_list_entry())
}

/// KeRemoveQueueApc: whether the APC was queued.
pub(crate) fn remove(m: &mut Machine, apc: KApc) -> Result<bool, Fault> {
    if m.get(apc.inserted())? == 0 {
        return Ok(false);
    }
    m.set(apc.inserted(), 0)?;
    apc.apc_list_entry().unlink(m)?;
    let (thread, index) = (m.get(apc.thread())?, m.get(apc.apc_state_index())?);
    let state = m.get(thread.apc_state_pointer(index))?;
    let user = u32::from(m.get(apc.apc_mode())?) == USER;
    let list = if user { state.user_list() } else { state.kernel_list() };
    if list.is_empty(m)? {
        m.set(if user { state.user_apc_pending() } else { state.kernel_apc_pending() }, 0)?;
    }
    Ok(true)
}

/// KeFlushQueueApc: the first of the detached APCs, which stay linked to each other in a ring.
pub(crate) fn flush(m: &mut Machine, thread: KThread, mode: u32) -> Result<Option<KApc>, Fault> {
    let state = thread.apc_state();
    let list: ListEntry = if mode == USER { state.user_list() } else { state.kernel_list() };
    let first = m.get(list.flink())?;
    if first == list {
        return Ok(None);
    }
    list.unlink(m)?;
    list.init(m)?;
    let mut at = first;
    loop {
        m.set(at.owner(KApc::apc_list_entry).inserted(), 0)?;
        at = m.get(at.flink())?;
        if at == first {
            return Ok(Some(first.owner(KApc::apc_list_entry)));
        }
    }
}

/// KeTestAlertThread.
pub(crate) fn test_alert(m: &mut Machine, mode: u32) -> Result<bool, Fault> {
    let thread = super::thread::current(m)?.tcb();
    let slot = if mode == USER { thread.alerted_user() } else { thread.alerted_kernel() };
    let old = m.get(slot)? != 0;
    if old {
        m.set(slot, 0)?;
    } else if mode == USER && !thread.apc_state().user_list().is_empty(m)? {
        m.set(thread.apc_state().user_apc_pending(), 1)?;
    }
    Ok(old)
}

/// KeAlertThread: the old alert flag.
pub(crate) fn alert(m: &mut Machine, thread: KThread, mode: u32) -> Result<bool, Fault> {
    let slot = if mode == USER { thread.alerted_user() } else { thread.alerted_kernel() };
    let old = m.get(slot)? != 0;
    if !old {
        let waits = m.get(thread.state())? == State::Waiting && m.get(thread.alertable())? != 0;
        if waits && mode <= u32::from(m.get(thread.wait_mode())?) {
            sync::unwait(m, thread, Status::ALERTED.0, 2)?;
        } else {
            m.set(slot, 1)?;
        }
    }
    Ok(old)
}
