//! Rundown protection (nt52.md 9.13).

use crate::Nt;
use crate::ke::sync;
use crate::layout::{DispatcherHeader, KERNEL, KObject, reason};
use crate::table::Ke;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Slot, Va, Write, guest_struct};
use machine::Machine;

/// EX_RUNDOWN_ACTIVE.
const ACTIVE: u32 = 1;

guest_struct! {
    /// EX_RUNDOWN_WAIT_BLOCK.
    struct WaitBlock [0x14] {
        0x00 count: u32,
        0x04 wake_event: in DispatcherHeader,
    }
}

/// ExAcquireRundownProtection.
pub(crate) fn acquire(m: &mut Machine, at: Slot<u32>) -> Result<bool, Fault> {
    let value = m.get(at)?;
    if value & ACTIVE != 0 {
        return Ok(false);
    }
    m.set(at, value + 2)?;
    Ok(true)
}

/// ExReleaseRundownProtection.
pub(crate) fn release(m: &mut Machine, at: Slot<u32>) -> Result<(), Fault> {
    let value = m.get(at)?;
    if value & ACTIVE == 0 {
        return m.set(at, value - 2);
    }
    let block = WaitBlock::at(Va(value & !ACTIVE));
    let count = m.get(block.count())? - 1;
    m.set(block.count(), count)?;
    if count == 0 {
        sync::set_event(m, block.wake_event(), 0)?;
    }
    Ok(())
}

/// ExRundownCompleted.
pub(crate) fn completed(m: &mut Machine, at: Slot<u32>) -> Result<(), Fault> {
    m.set(at, ACTIVE)
}

/// ExWaitForRundownProtectionRelease(RundownRef). Locals 0 to 4 hold the wait block.
pub(crate) fn wait_for_release(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let at = Slot::new(Va(f.arg(0)?));
    match f.m.get(at)? {
        0 | ACTIVE => {
            f.m.set(at, ACTIVE)?;
            Ok(Flow::Return(0))
        }
        held => {
            let block = WaitBlock::at(f.block(0, 5));
            f.m.set(block.count(), held / 2)?;
            sync::init_event(f.m, block.wake_event(), KObject::EventSynchronization, false)?;
            f.m.set(at, block.va().0 | ACTIVE)?;
            let event = block.wake_event().va().0;
            f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, KERNEL, 0, 0], 1)
        }
    }
}
