//! Fast mutexes: a critical region and an event, and no change of IRQL (reactos.md 1.6).

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// ExInitializeFastMutex.
pub(crate) fn init(m: &mut Machine, mutex: FastMutex) -> R<()> {
    m.set(mutex.count(), 1)?;
    m.set(mutex.owner(), None)?;
    m.set(mutex.contention(), 0)?;
    ke::event::init(m, mutex.event(), false, false)
}

/// ExAcquireFastMutex(Mutex) (1.6). An event that was never initialised (System's TebLock, 12.1 40b)
/// faults when the wait block is linked to it.
pub(crate) fn acquire(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let mutex: FastMutex = f.arg_ptr(0)?;
    let thread = ke::current(f.m)?;
    if f.stage == 0 {
        ke::critical::enter(f.m, thread)?;
    }
    if f.m.get(mutex.count())? > 0 {
        f.m.set(mutex.count(), 0)?;
        f.m.set(mutex.owner(), Some(thread))?;
        return Ok(Flow::Return(0));
    }
    let waiting = f.m.get(mutex.contention())?;
    f.m.set(mutex.contention(), waiting + 1)?;
    f.call(Ke::KeWaitForSingleObject.at(), &[mutex.event().0.0, reason::EXECUTIVE, KERNEL_MODE, 0, 0], 1)
}

/// ExReleaseFastMutex(Mutex).
pub(crate) fn release(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let mutex: FastMutex = f.arg_ptr(0)?;
    if f.stage == 0 {
        f.m.set(mutex.count(), 1)?;
        f.m.set(mutex.owner(), None)?;
        let waiting = f.m.get(mutex.contention())?;
        if waiting > 0 {
            f.m.set(mutex.contention(), waiting - 1)?;
            return f.call(Ke::KeSetEvent.at(), &[mutex.event().0.0, 0, 0], 1);
        }
    }
    let thread = ke::current(f.m)?;
    ke::critical::leave(f.m, thread)?;
    Ok(Flow::Return(0))
}
