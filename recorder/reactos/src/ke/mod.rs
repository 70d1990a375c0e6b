//! The kernel proper: levels, waits, APCs, traps.

pub(crate) mod alert;
pub(crate) mod apc;
pub(crate) mod attach;
pub(crate) mod bugcheck;
pub(crate) mod critical;
pub(crate) mod deliver;
pub(crate) mod dispatch;
pub(crate) mod event;
pub(crate) mod fpu;
pub(crate) mod gdt;
pub(crate) mod interrupt;
pub(crate) mod irql;
pub(crate) mod mutant;
pub(crate) mod timer;
pub(crate) mod trap;
pub(crate) mod wait;
pub(crate) mod wake;

use crate::layout::*;
use guest::{Read, Va};
use machine::Machine;

/// KeGetCurrentThread, as an ETHREAD.
pub(crate) fn current(m: &mut impl Read) -> R<EThread> {
    Ok(m.get(PCR.current_thread())?.unwrap_or(EThread(Va(0))))
}

/// PsGetCurrentProcess: the process whose address space the current thread is in.
pub(crate) fn process(m: &mut Machine) -> R<EProcess> {
    let thread = current(m)?;
    let process = m.get(thread.tcb().apc_state().process())?;
    Ok(EProcess(process.map_or(Va(0), |process| process.0)))
}

/// KTHREAD.PreviousMode of the current thread.
pub(crate) fn previous_mode(m: &mut Machine) -> R<u32> {
    let thread = current(m)?;
    Ok(u32::from(m.get(thread.tcb().previous_mode())?))
}
