//! Critical and guarded regions (nt52.md 7.8).

use super::ready;
use super::thread::current;
use crate::Nt;
use crate::layout::*;
use crate::table::Ke;
use contract::{Flow, Frame};
use guest::{Fault, Read, Write};
use machine::Machine;

/// KeEnterCriticalRegion.
pub(crate) fn enter_critical(m: &mut Machine) -> Result<(), Fault> {
    let thread = current(m)?.tcb();
    let count = m.get(thread.kernel_apc_disable())?.wrapping_sub(1);
    m.set(thread.kernel_apc_disable(), count)
}

/// KeEnterCriticalRegion().
pub(crate) fn ke_enter_critical_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    enter_critical(f.m)?;
    Ok(Flow::Return(0))
}

/// KeLeaveCriticalRegion().
pub(crate) fn ke_leave_critical_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?.tcb();
    let count = f.m.get(thread.kernel_apc_disable())?.wrapping_add(1);
    f.m.set(thread.kernel_apc_disable(), count)?;
    let deliverable = count == 0
        && !thread.apc_state().kernel_list().is_empty(f.m)?
        && f.m.get(thread.special_apc_disable())? == 0;
    if deliverable { Ok(Flow::Jump(Ke::KiCheckForKernelApcDelivery.at())) } else { Ok(Flow::Return(0)) }
}

/// KeEnterGuardedRegion().
pub(crate) fn ke_enter_guarded_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?.tcb();
    let count = f.m.get(thread.special_apc_disable())?.wrapping_sub(1);
    f.m.set(thread.special_apc_disable(), count)?;
    Ok(Flow::Return(0))
}

/// KeLeaveGuardedRegion().
pub(crate) fn ke_leave_guarded_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?.tcb();
    let count = f.m.get(thread.special_apc_disable())?.wrapping_add(1);
    f.m.set(thread.special_apc_disable(), count)?;
    let deliverable = count == 0 && !thread.apc_state().kernel_list().is_empty(f.m)?;
    if deliverable { Ok(Flow::Jump(Ke::KiCheckForKernelApcDelivery.at())) } else { Ok(Flow::Return(0)) }
}

/// Makes a kernel APC be delivered as soon as the IRQL allows.
pub(crate) fn request_delivery(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    m.set(thread.apc_state().kernel_apc_pending(), 1)?;
    ready::request(m, APC_LEVEL)
}
