//! IRQL: one byte, raised and lowered in software only (reactos.md 1.6).
//!
//! A native stage runs as a whole, so what C code does between taking a lock and releasing it needs no
//! lock here. What is left of a lock is the lowering at its release: an APC delivery point and a
//! chance to be preempted, and so a call of [`lower`].

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// The current level.
pub(crate) fn current(m: &mut Machine) -> R<u8> {
    m.get(PCR.irql())
}

/// KfRaiseIrql without its check, which is made where a level above the new one can arise: in the exit
/// hook and behind an APC's normal routine. The old level.
pub(crate) fn raise(m: &mut Machine, level: u8) -> R<u8> {
    let old = current(m)?;
    m.set(PCR.irql(), level)?;
    Ok(old)
}

/// KfLowerIrql(NewIrql) (1.6). Step 2 has nothing to replay: an interrupt here is never deferred.
pub(crate) fn lower(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let new = f.arg(0)? as u8;
    if f.stage == 0 {
        if new > current(f.m)? {
            return f.call(Ke::KeBugCheck.at(), &[stop::GENERIC], 3);
        }
        if new >= irql::DISPATCH {
            f.m.set(PCR.irql(), new)?;
            return Ok(Flow::Return(0));
        }
        f.m.set(PCR.irql(), irql::DISPATCH)?;
        if f.m.get(PCR.dpc_request())? != 0 {
            f.m.set(PCR.dpc_request(), 0)?;
            return f.call(Ke::KiDispatchInterrupt.at(), &[], 1);
        }
    }
    if f.stage <= 1 {
        f.m.set(PCR.irql(), irql::APC)?;
        if new == irql::APC {
            return Ok(Flow::Return(0));
        }
        let thread = ke::current(f.m)?;
        if !thread.0.is_null() && f.m.get(thread.tcb().apc_state().kernel_apc_pending())? != 0 {
            return f.call(Ke::KiDeliverApc.at(), &[KERNEL_MODE, 0, 0], 2);
        }
    }
    f.m.set(PCR.irql(), irql::PASSIVE)?;
    Ok(Flow::Return(0))
}
