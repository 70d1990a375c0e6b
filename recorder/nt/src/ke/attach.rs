//! Attaching to another process (nt52.md 8.12). Not nested: nobody here attaches twice.

use super::ready;
use super::thread::current;
use crate::layout::*;
use guest::{Fault, ListEntry, Read, Write};
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

/// KeStackAttachProcess. False, and nothing done, when the thread is there already.
pub(crate) fn attach(m: &mut Machine, process: KProcess) -> Result<bool, Fault> {
    let thread = current(m)?.tcb();
    if m.get(thread.apc_state().process())? == process {
        return Ok(false);
    }
    move_state(m, thread.apc_state(), thread.saved_apc_state())?;
    m.set(thread.apc_state().process(), process)?;
    m.set(thread.apc_state_index(), 1)?;
    m.set(thread.apc_state_pointer0(), thread.saved_apc_state())?;
    m.set(thread.apc_state_pointer1(), thread.apc_state())?;
    m.cpu.cr3 = m.get(process.directory_table_base())?;
    Ok(true)
}

/// KeUnstackDetachProcess. False when APCs are still in the environment that is left: a bugcheck 06.
pub(crate) fn detach(m: &mut Machine) -> Result<bool, Fault> {
    let thread = current(m)?.tcb();
    let (state, saved) = (thread.apc_state(), thread.saved_apc_state());
    let left = !state.kernel_list().is_empty(m)? || !state.user_list().is_empty(m)?;
    if left || m.get(state.kernel_apc_in_progress())? != 0 {
        return Ok(false);
    }
    move_state(m, saved, state)?;
    m.set(thread.apc_state_index(), 0)?;
    m.set(thread.apc_state_pointer0(), state)?;
    m.set(thread.apc_state_pointer1(), saved)?;
    let process = m.get(state.process())?;
    m.cpu.cr3 = m.get(process.directory_table_base())?;
    if !state.kernel_list().is_empty(m)? {
        m.set(state.kernel_apc_pending(), 1)?;
        ready::request(m, APC_LEVEL)?;
    }
    Ok(true)
}
