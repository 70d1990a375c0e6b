//! Services on waitable objects: events, mutants, semaphores and waits (reactos.md 8.4, 9.7).
//!
//! Where the sheet is silent on a service's parameters, pointers are used unprobed, as its services of
//! that time mostly do.

use crate::{ReactOs, ex::pool, ke, layout::*, ob, ob::handle, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Pointer, Read, Va, Write};
use machine::{Fault, Machine};

const OBJ_INHERIT: u32 = 2;

/// Whether OBJECT_ATTRIBUTES ask for an inheritable handle.
pub(crate) fn inherits(m: &mut Machine, attributes: Va) -> R<bool> {
    Ok(!attributes.is_null() && m.load::<u32>(attributes.add(0xC))? & OBJ_INHERIT != 0)
}

/// Creates an object and a handle to it; `make` initialises the body.
fn create(
    f: &mut Frame,
    kind: Type,
    size: u32,
    make: impl FnOnce(&mut Machine, Va) -> R<()>,
) -> Result<Flow, Fault> {
    let (place, access, attributes) = (Va(f.arg(0)?), f.arg(1)?, Va(f.arg(2)?));
    let inherit = inherits(f.m, attributes)?;
    let Some(body) = ob::object::create(f.m, kind, size, inherit)? else {
        return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
    };
    make(f.m, body)?;
    let process = ke::process(f.m)?;
    let made = handle::create(f.m, process, body, access, inherit)?;
    ob::dereference(f.m, body)?;
    f.m.store(place, made.unwrap_or(0))?;
    Ok(Flow::Return(made.err().unwrap_or(Status::SUCCESS).0))
}

/// NtCreateEvent(*Handle, Access, Attributes, EventType, InitialState): type 0 is a notification event.
pub(crate) fn nt_create_event(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (kind, state) = (f.arg(3)?, f.arg(4)? & 0xFF != 0);
    create(f, Type::Event, Header::EXTENT, |m, body| ke::event::init(m, Header(body), kind == 0, state))
}

/// NtCreateMutant(*Handle, Access, Attributes, InitialOwner).
pub(crate) fn nt_create_mutant(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let owned = f.arg(3)? & 0xFF != 0;
    create(f, Type::Mutant, KMutant::EXTENT, |m, body| {
        let owner = if owned { Some(ke::current(m)?) } else { None };
        ke::mutant::init(m, KMutant(body), owner)
    })
}

/// NtCreateSemaphore(*Handle, Access, Attributes, InitialCount, MaximumCount).
pub(crate) fn nt_create_semaphore(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (count, limit) = (f.arg(3)? as i32, f.arg(4)? as i32);
    if limit <= 0 || count < 0 || count > limit {
        return Ok(Flow::Return(Status::INVALID_PARAMETER.0));
    }
    create(f, Type::Semaphore, KSemaphore::EXTENT, |m, body| {
        ke::event::init_semaphore(m, KSemaphore(body), count, limit)
    })
}

/// References argument 0 as an object of the type, keeps it in local 0 and calls on.
fn with_object(
    f: &mut Frame,
    kind: Type,
    then: impl FnOnce(&mut Frame, Va) -> Result<Flow, Fault>,
) -> Result<Flow, Fault> {
    let value = f.arg(0)?;
    match ob::reference(f.m, value, Some(kind))? {
        Ok(body) => {
            f.set_local(0, body.0)?;
            then(f, body)
        }
        Err(status) => Ok(Flow::Return(status.0)),
    }
}

/// Drops the reference of [`with_object`], stores the previous state through `place`, returns.
fn finish(f: &mut Frame, place: u32, previous: u32) -> Result<Flow, Fault> {
    let body = Va(f.local(0)?);
    ob::dereference(f.m, body)?;
    if place != 0 {
        f.m.store(Va(place), previous)?;
    }
    Ok(Flow::Return(Status::SUCCESS.0))
}

/// NtSetEvent(Handle, *Previous).
pub(crate) fn nt_set_event(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        return with_object(f, Type::Event, |f, event| f.call(Ke::KeSetEvent.at(), &[event.0, 1, 0], 1));
    }
    let (place, previous) = (f.arg(1)?, f.result());
    finish(f, place, previous)
}

/// NtResetEvent(Handle, *Previous).
pub(crate) fn nt_reset_event(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    with_object(f, Type::Event, |f, event| {
        let event = Header(event);
        let previous = f.m.get(event.signal_state())?;
        f.m.set(event.signal_state(), 0)?;
        let place = f.arg(1)?;
        finish(f, place, previous as u32)
    })
}

/// NtReleaseMutant(Handle, *Previous): the previous count is always reported as 0; releasing what
/// another thread owns is bugcheck 0x11 (9.7).
pub(crate) fn nt_release_mutant(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        return with_object(f, Type::Mutant, |f, mutant| {
            f.call(Ke::KeReleaseMutant.at(), &[mutant.0, 1, 0, 0], 1)
        });
    }
    let place = f.arg(1)?;
    finish(f, place, 0)
}

/// NtReleaseSemaphore(Handle, Count, *Previous). The sheet knows the exception of KeReleaseSemaphore alone,
/// and a program that could stop the system with it nowhere (12, item 87 has it come from the kernel's own
/// units): here the count and the limit are tested first, and the status returned.
pub(crate) fn nt_release_semaphore(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        return with_object(f, Type::Semaphore, |f, body| {
            let (semaphore, count) = (KSemaphore(body), f.arg(1)? as i32);
            let old = f.m.get(semaphore.header().signal_state())?;
            let limit = f.m.get(semaphore.limit())?;
            let refused = if count <= 0 {
                Some(Status::INVALID_PARAMETER)
            } else if old.checked_add(count).is_none_or(|new| new > limit) {
                Some(Status::SEMAPHORE_LIMIT_EXCEEDED)
            } else {
                None
            };
            if let Some(status) = refused {
                ob::dereference(f.m, body)?;
                return Ok(Flow::Return(status.0));
            }
            f.call(Ke::KeReleaseSemaphore.at(), &[body.0, 1, count as u32, 0], 1)
        });
    }
    let (place, previous) = (f.arg(2)?, f.result());
    finish(f, place, previous)
}

/// NtDelayExecution(Alertable, *Interval): the interval is copied safely.
pub(crate) fn nt_delay_execution(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let (alertable, interval) = (f.arg(0)?, Va(f.arg(1)?));
    let Ok(due) = f.m.load::<i64>(interval) else { return Ok(Flow::Return(Status::ACCESS_VIOLATION.0)) };
    let copy = f.block(0, 2);
    f.m.store(copy, due)?;
    let mode = ke::previous_mode(f.m)?;
    f.call(Ke::KeDelayExecutionThread.at(), &[mode, alertable & 0xFF, copy.0], 1)
}

/// Whether an object of that type can be waited for (8.4).
pub(crate) fn waitable(kind: Option<Type>) -> bool {
    matches!(kind, Some(Type::Event | Type::Mutant | Type::Semaphore | Type::Process | Type::Thread))
}

/// Copies a timeout into locals 1 and 2: its address there, or 0 for none.
fn timeout(f: &mut Frame, at: u32) -> R<Result<u32, Status>> {
    if at == 0 {
        return Ok(Ok(0));
    }
    let Ok(value) = f.m.load::<i64>(Va(at)) else { return Ok(Err(Status::ACCESS_VIOLATION)) };
    let copy = f.block(1, 2);
    f.m.store(copy, value)?;
    Ok(Ok(copy.0))
}

/// NtWaitForSingleObject(Handle, Alertable, *Timeout) (8.4).
pub(crate) fn nt_wait_for_single_object(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let (status, body) = (f.result(), Va(f.local(0)?));
        ob::dereference(f.m, body)?;
        return Ok(Flow::Return(status));
    }
    let (value, alertable, at) = (f.arg(0)?, f.arg(1)? & 0xFF, f.arg(2)?);
    let timeout = match timeout(f, at)? {
        Ok(timeout) => timeout,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let body = match ob::reference(f.m, value, None)? {
        Ok(body) => body,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    if !waitable(ob::object::type_of(f.m, body)?) {
        ob::dereference(f.m, body)?;
        return Ok(Flow::Return(Status::HANDLE_NOT_WAITABLE.0));
    }
    f.set_local(0, body.0)?;
    let mode = ke::previous_mode(f.m)?;
    f.call(Ke::KeWaitForSingleObject.at(), &[body.0, reason::USER_REQUEST, mode, alertable, timeout], 1)
}

const OBJECTS: u8 = 4;

/// NtWaitForMultipleObjects(Count, Handles, WaitType, Alertable, *Timeout) (8.4). The handle array is
/// read unprotected. The wait blocks for more than three objects come from the pool: 64 of them are
/// more than a native frame holds.
pub(crate) fn nt_wait_for_multiple_objects(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let count = f.arg(0)?;
    if f.stage != 0 {
        let (status, blocks) = (f.result(), f.local(3)?);
        release_all(f, count)?;
        if blocks != 0 {
            pool::free(f.m, Va(blocks))?;
        }
        return Ok(Flow::Return(status));
    }
    let (handles, kind, alertable, at) = (Va(f.arg(1)?), f.arg(2)?, f.arg(3)? & 0xFF, f.arg(4)?);
    if count > 64 {
        return Ok(Flow::Return(Status::UNSUCCESSFUL.0));
    }
    if count == 0 {
        return Ok(Flow::Return(Status::INVALID_PARAMETER.0));
    }
    let timeout = match timeout(f, at)? {
        Ok(timeout) => timeout,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let array = f.block(OBJECTS, 64);
    for index in 0..count {
        let value: u32 = f.m.load(handles.add(4 * index))?;
        let refused = match ob::reference(f.m, value, None)? {
            Ok(body) => {
                f.m.store(array.add(4 * index), body)?;
                if waitable(ob::object::type_of(f.m, body)?) {
                    None
                } else {
                    ob::dereference(f.m, body)?;
                    Some(Status::HANDLE_NOT_WAITABLE)
                }
            }
            Err(status) => Some(status),
        };
        if let Some(status) = refused {
            release_all(f, index)?;
            return Ok(Flow::Return(status.0));
        }
    }
    let mut blocks = 0;
    if count > 3 {
        match pool::allocate(f.m, pool::tag(b"WAIT"), 0x18 * count)? {
            Some(at) => blocks = at.0,
            None => {
                release_all(f, count)?;
                return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
            }
        }
    }
    f.set_local(3, blocks)?;
    let mode = ke::previous_mode(f.m)?;
    let args = [count, array.0, kind, reason::USER_REQUEST, mode, alertable, timeout, blocks];
    f.call(Ke::KeWaitForMultipleObjects.at(), &args, 1)
}

fn release_all(f: &mut Frame, count: u32) -> R<()> {
    for index in 0..count {
        let body: Va = f.m.load(f.block(OBJECTS, 64).add(4 * index))?;
        ob::dereference(f.m, body)?;
    }
    Ok(())
}
