//! The wait services (nt52.md 8.13).

use super::{capture_timeout, dereference, lookup, reference};
use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::ex::pool;
use crate::global::DATA;
use crate::layout::*;
use crate::mm::access::{previous_mode, read, read_bytes};
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// MAXIMUM_WAIT_OBJECTS.
const MAXIMUM: u32 = 64;

/// What is waited on for an object: itself, or for a type without a dispatcher header an event that
/// is always signaled.
pub(crate) fn waitable(m: &mut Machine, body: Va) -> Result<Va, Fault> {
    Ok(match m.get(super::header(body).kind())? {
        Kind::Section => DATA.default_object().va(),
        _ => body,
    })
}

/// Waits on an object of the caller's, with a reference for as long. Locals 0 and 1 hold the timeout, 2
/// the object; [`end`] follows at stage 1.
fn begin(f: &mut Frame, body: Va, mode: u32, alertable: u32, timeout: Option<i64>) -> Result<Flow, Fault> {
    reference(f.m, body)?;
    f.set_local(2, body.0)?;
    let at = f.block(0, 2);
    f.m.store(at, timeout.unwrap_or(0))?;
    let object = waitable(f.m, body)?;
    let timeout = if timeout.is_some() { at.0 } else { 0 };
    let args = [object.0, reason::USER_REQUEST, mode, alertable, timeout];
    f.call(Ke::KeWaitForSingleObject.at(), &args, 1)
}

/// Back from a wait: drops the reference on the object that a local holds, and returns the wait's status.
fn end(f: &mut Frame, local: u8) -> Result<Flow, Fault> {
    let (status, body) = (f.result(), Va(f.local(local)?));
    dereference(f.m, body)?;
    Ok(Flow::Return(status))
}

/// NtWaitForSingleObject(Handle, Alertable, Timeout). Locals 0 and 1 hold the timeout, 2 the object.
pub(crate) fn nt_wait_for_single_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return end(f, 2);
    }
    let (handle, alertable, timeout_at) = (f.arg(0)?, f.arg(1)? & 0xFF, f.arg(2)?);
    let timeout = attempt!(capture_timeout(f.m, timeout_at));
    let mode = previous_mode(f.m)?;
    let (body, _) = attempt!(lookup(f.m, handle, access::SYNCHRONIZE, None, mode));
    begin(f, body, mode, alertable, timeout)
}

/// NtDelayExecution(Alertable, Interval). Locals 0 and 1 hold the interval.
pub(crate) fn nt_delay_execution(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let (alertable, interval_at) = (f.arg(0)? & 0xFF, f.arg(1)?);
    let interval: i64 = attempt!(read(f.m, Va(interval_at)));
    let at = f.block(0, 2);
    f.m.store(at, interval)?;
    let mode = previous_mode(f.m)?;
    f.call(Ke::KeDelayExecutionThread.at(), &[mode, alertable, at.0], 1)
}

/// NtWaitForMultipleObjects(Count, Handles, WaitType, Alertable, Timeout). Locals 0 and 1 hold the
/// timeout, 2 a pool block: the referenced objects, what is waited on for them, the wait blocks.
pub(crate) fn nt_wait_for_multiple_objects(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (count, handles, kind, alertable, timeout_at) =
        (f.arg(0)?, Va(f.arg(1)?), f.arg(2)?, f.arg(3)? & 0xFF, f.arg(4)?);
    if f.stage != 0 {
        let (status, block) = (f.result(), Va(f.local(2)?));
        for index in 0..count {
            let body = f.m.load(block.add(4 * index))?;
            dereference(f.m, body)?;
        }
        pool::free(f.m, block)?;
        return Ok(Flow::Return(status));
    }
    if count == 0 || count > MAXIMUM {
        return done(Status::INVALID_PARAMETER_1);
    }
    if kind > 1 {
        return done(Status::INVALID_PARAMETER_3);
    }
    let timeout = attempt!(capture_timeout(f.m, timeout_at));
    let objects = attempt!(capture(f.m, count, handles, kind == WAIT_ALL));
    let size = count * (8 + KWaitBlock::EXTENT);
    let Some(block) = pool::allocate(f.m, size, pool::tag(b"Wait"))? else {
        return done(Status::INSUFFICIENT_RESOURCES);
    };
    for (index, body) in objects.into_iter().enumerate() {
        let at = block.add(4 * index as u32);
        reference(f.m, body)?;
        f.m.store(at, body)?;
        let object = waitable(f.m, body)?;
        f.m.store(at.add(4 * count), object)?;
    }
    f.set_local(2, block.0)?;
    let at = f.block(0, 2);
    f.m.store(at, timeout.unwrap_or(0))?;
    let timeout = if timeout.is_some() { at.0 } else { 0 };
    let mode = previous_mode(f.m)?;
    let (array, blocks) = (block.add(4 * count), block.add(8 * count));
    let args = [count, array.0, kind, reason::USER_REQUEST, mode, alertable, timeout, blocks.0];
    f.call(Ke::KeWaitForMultipleObjects.at(), &args, 1)
}

/// The objects that the caller's handles name.
fn capture(m: &mut Machine, count: u32, handles: Va, all: bool) -> Res<Vec<Va>> {
    let raw = read_bytes(m, handles, 4 * count)?;
    let mode = previous_mode(m)?;
    let mut found: Vec<Va> = Vec::new();
    for word in raw.chunks_exact(4) {
        let handle = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let (body, _) = lookup(m, handle, access::SYNCHRONIZE, None, mode)?;
        found.push(body);
    }
    // Only now: a handle that is no good is told before one that is there twice.
    let twice = (1..found.len()).any(|index| found[..index].contains(&found[index]));
    if all && twice {
        return Err(Status::INVALID_PARAMETER_MIX.into());
    }
    Ok(found)
}

/// NtSignalAndWaitForSingleObject(SignalHandle, WaitHandle, Alertable, Timeout). The sheet has its number
/// alone: the object to signal is an event, a mutant or a semaphore, with the rights and the failures of
/// the services that signal it, and the wait is that of NtWaitForSingleObject. Locals as there.
pub(crate) fn nt_signal_and_wait_for_single_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return end(f, 2);
    }
    let (signal, handle, alertable, timeout_at) = (f.arg(0)?, f.arg(1)?, f.arg(2)? & 0xFF, f.arg(3)?);
    let timeout = attempt!(capture_timeout(f.m, timeout_at));
    let mode = previous_mode(f.m)?;
    let (signaled, granted) = attempt!(lookup(f.m, signal, 0, None, mode));
    let (body, _) = attempt!(lookup(f.m, handle, access::SYNCHRONIZE, None, mode));
    attempt!(super::signal(f.m, signaled, granted));
    begin(f, body, mode, alertable, timeout)
}

/// DriverWait(Object, Mode, Alertable), the test driver's door: KeWaitForSingleObject without a
/// timeout. Local 0 is the object.
pub(crate) fn driver_wait(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return end(f, 0);
    }
    let (handle, mode, alertable) = (f.arg(0)?, f.arg(1)? & 1, f.arg(2)? & 0xFF);
    let (body, _) = attempt!(lookup(f.m, handle, 0, None, KERNEL));
    reference(f.m, body)?;
    f.set_local(0, body.0)?;
    let object = waitable(f.m, body)?;
    f.call(Ke::KeWaitForSingleObject.at(), &[object.0, reason::EXECUTIVE, mode, alertable, 0], 1)
}

/// Makes the event that stands for objects without a dispatcher header.
pub(crate) fn init_default_object(m: &mut Machine) -> Result<(), Fault> {
    crate::ke::sync::init_event(m, DATA.default_object(), KObject::EventNotification, true)
}
