//! Attaching to another process (nt52.md 8.12), also from one that the thread is attached to.

use super::ready;
use super::thread::current;
use crate::layout::*;
use guest::{Fault, ListEntry, Pointer, Read, Va, Write};
use machine::Machine;

fn move_list(m: &mut Machine, from: ListEntry, to: ListEntry) -> Result<(), Fault> {
    to.init(m)?;
    while let Some(entry) = from.pop_front(m)? {
        to.push_back(m, entry)?;
    }
    Ok(())
}

fn move_state(m: &mut Machine, from: ApcState, to: ApcState) -> Result<(), Fault> {
    move_list(m, from.kernel_list(), to.kernel_list())?;
    move_list(m, from.user_list(), to.user_list())?;
    let process = m.get(from.process())?;
    m.set(to.process(), process)?;
    for (from, to) in [
        (from.kernel_apc_in_progress(), to.kernel_apc_in_progress()),
        (from.kernel_apc_pending(), to.kernel_apc_pending()),
        (from.user_apc_pending(), to.user_apc_pending()),
    ] {
        let value = m.get(from)?;
        m.set(to, value)?;
        m.set(from, 0)?;
    }
    Ok(())
}

/// Doublewords of the KAPC_STATE that a caller keeps on its stack while it is attached.
pub(crate) const STATE_WORDS: u8 = 6;
const _: () = assert!(STATE_WORDS as u32 * 4 > ApcState::EXTENT);

/// The process of a caller's KAPC_STATE that says what detaching has to do: nothing, as the thread was
/// there already; or to take SavedApcState back. Any other process is that of the state in it.
const STAY: KProcess = KProcess(Va(1));
const SAVED: KProcess = KProcess(Va(0));

/// KeStackAttachProcess. `state` is the caller's.
pub(crate) fn attach(m: &mut Machine, process: KProcess, state: ApcState) -> Result<(), Fault> {
    let thread = current(m)?.tcb();
    if m.get(thread.apc_state().process())? == process {
        return m.set(state.process(), STAY);
    }
    if m.get(thread.apc_state_index())? != 0 {
        move_state(m, thread.apc_state(), state)?;
    } else {
        move_state(m, thread.apc_state(), thread.saved_apc_state())?;
        m.set(state.process(), SAVED)?;
        m.set(thread.apc_state_index(), 1)?;
        m.set(thread.apc_state_pointer0(), thread.saved_apc_state())?;
        m.set(thread.apc_state_pointer1(), thread.apc_state())?;
    }
    m.set(thread.apc_state().process(), process)?;
    m.cpu.cr3 = m.get(process.directory_table_base())?;
    Ok(())
}

/// KeUnstackDetachProcess. False when APCs are still in the environment that is left: a bugcheck 06.
pub(crate) fn detach(m: &mut Machine, from: ApcState) -> Result<bool, Fault> {
    let to = m.get(from.process())?;
    if to == STAY {
        return Ok(true);
    }
    let thread = current(m)?.tcb();
    let (state, saved) = (thread.apc_state(), thread.saved_apc_state());
    let left = !state.kernel_list().is_empty(m)? || !state.user_list().is_empty(m)?;
    if left || m.get(state.kernel_apc_in_progress())? != 0 {
        return Ok(false);
    }
    if to == SAVED {
        move_state(m, saved, state)?;
        m.set(thread.apc_state_index(), 0)?;
        m.set(thread.apc_state_pointer0(), state)?;
        m.set(thread.apc_state_pointer1(), saved)?;
    } else {
        move_state(m, from, state)?;
    }
    let process = m.get(state.process())?;
    m.cpu.cr3 = m.get(process.directory_table_base())?;
    if !state.kernel_list().is_empty(m)? {
        m.set(state.kernel_apc_pending(), 1)?;
        ready::request(m, APC_LEVEL)?;
    }
    Ok(true)
}
