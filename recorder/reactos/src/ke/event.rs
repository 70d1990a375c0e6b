//! Events and semaphores.

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// KeInitializeEvent.
pub(crate) fn init(m: &mut Machine, event: Header, notification: bool, state: bool) -> R<()> {
    let code = if notification { kind::NOTIFICATION_EVENT } else { kind::SYNCHRONIZATION_EVENT };
    init_header(m, event, code, 4, i32::from(state))
}

/// A dispatcher header as KeInitializeDispatcherHeader makes it.
pub(crate) fn init_header(m: &mut Machine, object: Header, code: u8, size: u8, state: i32) -> R<()> {
    m.set(object.kind(), code)?;
    m.set(object.absolute(), 0)?;
    m.set(object.inserted(), 0)?;
    m.set(object.size(), size)?;
    m.set(object.signal_state(), state)?;
    object.wait_list_head().init(m)
}

/// KeInitializeSemaphore.
pub(crate) fn init_semaphore(m: &mut Machine, semaphore: KSemaphore, count: i32, limit: i32) -> R<()> {
    init_header(m, semaphore.header(), kind::SEMAPHORE, 5, count)?;
    m.set(semaphore.limit(), limit)
}

/// KeSetEvent under the lock: the previous state.
pub(crate) fn set(m: &mut Machine, event: Header, increment: i8) -> R<i32> {
    let old = m.get(event.signal_state())?;
    m.set(event.signal_state(), 1)?;
    ke::wake::object(m, event, increment)?;
    Ok(old)
}

/// The end of a routine that signals something: the dispatcher lock is released; or, with Wait=TRUE,
/// kept for the wait that follows at once, which finds the caller's level in WaitIrql (8.1 step 2a).
pub(crate) fn unlock(f: &mut Frame, old_irql: u8, wait: bool) -> Result<Flow, Fault> {
    if wait {
        let tcb = ke::current(f.m)?.tcb();
        f.m.set(tcb.wait_next(), 1)?;
        f.m.set(tcb.wait_irql(), old_irql)?;
        return Ok(Flow::Return(f.local(0)?));
    }
    f.call(Ke::KfLowerIrql.at(), &[u32::from(old_irql)], 1)
}

/// KeSetEvent(Event, Increment, Wait).
pub(crate) fn ke_set_event(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        let (event, increment) = (f.arg_ptr::<Header>(0)?, f.arg(1)? as i8);
        let old_irql = ke::irql::raise(f.m, irql::DISPATCH)?;
        let old = set(f.m, event, increment)?;
        f.set_local(0, old as u32)?;
        let wait = f.arg(2)? & 0xFF != 0;
        return unlock(f, old_irql, wait);
    }
    Ok(Flow::Return(f.local(0)?))
}

/// KeReleaseSemaphore(Semaphore, Increment, Adjustment, Wait). Waiters are looked for only when the
/// count was 0 (8.6). Over the limit it raises an exception with the dispatcher lock held (8.3):
/// nobody handles that.
pub(crate) fn ke_release_semaphore(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let (semaphore, adjustment) = (f.arg_ptr::<KSemaphore>(0)?, f.arg(2)? as i32);
            let old_irql = ke::irql::raise(f.m, irql::DISPATCH)?;
            let old = f.m.get(semaphore.header().signal_state())?;
            let limit = f.m.get(semaphore.limit())?;
            let over = old.checked_add(adjustment).is_none_or(|new| new > limit);
            if over {
                let status = contract::Status::SEMAPHORE_LIMIT_EXCEEDED.0;
                return f.call(Ke::ExRaiseStatus.at(), &[status], 2);
            }
            f.m.set(semaphore.header().signal_state(), old + adjustment)?;
            if old == 0 {
                // Whatever the caller passed, a waiter is unblocked with the increment 1 (8.6).
                ke::wake::object(f.m, semaphore.header(), 1)?;
            }
            f.set_local(0, old as u32)?;
            let wait = f.arg(3)? & 0xFF != 0;
            unlock(f, old_irql, wait)
        }
        _ => Ok(Flow::Return(f.local(0)?)),
    }
}
