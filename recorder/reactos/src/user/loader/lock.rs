//! Critical sections, of which the loader lock is one. The sheet names the lock and its holders; how a
//! critical section waits is the documented way: a count, an owner, and an event that the first thread
//! makes that has to wait or to wake.

use crate::{
    ReactOs,
    layout::*,
    user::{create::service, thread::teb},
};
use contract::{Flow, Frame, Status};
use guest::{Read, Write};
use machine::{Fault, Machine};

const EVENT_ALL_ACCESS: u32 = 0x1F_0003;
const SYNCHRONIZATION: u32 = 1;

// Stages.
const MADE: u8 = 1;
const CLOSED: u8 = 2;
const DONE: u8 = 3;

/// RtlInitializeCriticalSection: nobody's.
pub(super) fn init(m: &mut Machine, section: CriticalSection) -> R<()> {
    m.set(section.lock_count(), -1)?;
    m.set(section.recursion_count(), 0)?;
    m.set(section.owning_thread(), 0)?;
    m.set(section.lock_semaphore(), 0)
}

fn me(m: &mut Machine) -> R<u32> {
    let teb = teb(m);
    m.get(teb.unique_thread())
}

fn take(f: &mut Frame, section: CriticalSection) -> Result<Flow, Fault> {
    let me = me(f.m)?;
    f.m.set(section.owning_thread(), me)?;
    f.m.set(section.recursion_count(), 1)?;
    Ok(Flow::Return(0))
}

/// RtlEnterCriticalSection(Section).
pub(crate) fn enter(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let section: CriticalSection = f.arg_ptr(0)?;
    match f.stage {
        0 => {
            let count = f.m.get(section.lock_count())?.wrapping_add(1);
            f.m.set(section.lock_count(), count)?;
            if count == 0 {
                return take(f, section);
            }
            if f.m.get(section.owning_thread())? == me(f.m)? {
                let depth = f.m.get(section.recursion_count())?;
                f.m.set(section.recursion_count(), depth + 1)?;
                return Ok(Flow::Return(0));
            }
            with_event(f, section, wait)
        }
        MADE => made(f, section, wait),
        CLOSED => wait(f, section),
        // The wait of a thread that was marked to end is broken off once; without an event there is
        // nothing to wait for.
        _ => match Status(f.result()) {
            Status::SUCCESS | Status::INVALID_HANDLE => take(f, section),
            _ => wait(f, section),
        },
    }
}

/// RtlLeaveCriticalSection(Section): wakes one thread if any waits.
pub(crate) fn leave(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let section: CriticalSection = f.arg_ptr(0)?;
    match f.stage {
        0 => {
            let (depth, count) =
                (f.m.get(section.recursion_count())? - 1, f.m.get(section.lock_count())? - 1);
            f.m.set(section.recursion_count(), depth)?;
            f.m.set(section.lock_count(), count)?;
            if depth > 0 {
                return Ok(Flow::Return(0));
            }
            f.m.set(section.owning_thread(), 0)?;
            if count < 0 {
                return Ok(Flow::Return(0));
            }
            with_event(f, section, wake)
        }
        MADE => made(f, section, wake),
        CLOSED => wake(f, section),
        _ => Ok(Flow::Return(0)),
    }
}

type Then = fn(&mut Frame, CriticalSection) -> Result<Flow, Fault>;

/// Goes on once the section has its event.
fn with_event(f: &mut Frame, section: CriticalSection, then: Then) -> Result<Flow, Fault> {
    if f.m.get(section.lock_semaphore())? != 0 {
        return then(f, section);
    }
    let place = f.local_at(0).0;
    f.call(service("NtCreateEvent"), &[place, EVENT_ALL_ACCESS, 0, SYNCHRONIZATION, 0], MADE)
}

/// The event is there; of two that were made at a time one is closed again.
fn made(f: &mut Frame, section: CriticalSection, then: Then) -> Result<Flow, Fault> {
    let handle = f.local(0)?;
    if f.m.get(section.lock_semaphore())? != 0 {
        return f.call(service("NtClose"), &[handle], CLOSED);
    }
    f.m.set(section.lock_semaphore(), handle)?;
    then(f, section)
}

fn wait(f: &mut Frame, section: CriticalSection) -> Result<Flow, Fault> {
    let event = f.m.get(section.lock_semaphore())?;
    f.call(service("NtWaitForSingleObject"), &[event, 0, 0], DONE)
}

fn wake(f: &mut Frame, section: CriticalSection) -> Result<Flow, Fault> {
    let event = f.m.get(section.lock_semaphore())?;
    f.call(service("NtSetEvent"), &[event, 0], DONE)
}
