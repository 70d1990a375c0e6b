//! Critical regions: no normal kernel APCs (reactos.md 7.11).

use crate::layout::*;
use guest::{Read, Write};
use machine::Machine;

/// KeEnterCriticalRegion.
pub(crate) fn enter(m: &mut Machine, thread: EThread) -> R<()> {
    let slot = thread.tcb().kernel_apc_disable();
    let value = m.get(slot)?;
    m.set(slot, value.wrapping_sub(1))
}

/// KeLeaveCriticalRegion: what is queued becomes pending, and waits for the next lowering or system
/// call exit; the interrupt that is requested does nothing.
pub(crate) fn leave(m: &mut Machine, thread: EThread) -> R<()> {
    let tcb = thread.tcb();
    let value = m.get(tcb.kernel_apc_disable())?.wrapping_add(1);
    m.set(tcb.kernel_apc_disable(), value)?;
    if value == 0 && !tcb.apc_state().kernel_list().is_empty(m)? {
        m.set(tcb.apc_state().kernel_apc_pending(), 1)?;
        m.set(PCR.apc_request(), 1)?;
    }
    Ok(())
}
