//! The services of a debugger (nt52.md 10.2, 10.8 to 10.10).

use super::{event, message, port};
use crate::Nt;
use crate::error::{Res, attempt, done, split};
use crate::ke::{sync, timer};
use crate::layout::*;
use crate::mm::access::{previous_mode, probe_for_write, read, write_bytes};
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// NtCreateDebugObject(DebugObjectHandle, DesiredAccess, ObjectAttributes, Flags).
pub(crate) fn nt_create_debug_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (at, wanted, flags) = (Va(f.arg(0)?), f.arg(1)?, f.arg(3)?);
    attempt!(probe_for_write(f.m, at, 4, 4));
    if flags & !1 != 0 {
        return done(Status::INVALID_PARAMETER);
    }
    let attributes_at = f.arg(2)?;
    attempt!(ob::check_attributes(f.m, attributes_at));
    let object = DebugObject::at(attempt!(ob::create(f.m, Kind::DebugObject)));
    sync::init_event(f.m, object.events_present(), KObject::EventNotification, false)?;
    object.event_list().init(f.m)?;
    let kill = if flags & 1 != 0 { debug_object::KILL_PROCESS_ON_EXIT } else { 0 };
    f.m.set(object.flags(), kill)?;
    attempt!(ob::insert_object(f.m, object.va(), wanted, at));
    done(Status::SUCCESS)
}

/// The debug object that a handle names.
fn object(m: &mut Machine, handle: u32, rights: u32) -> Res<DebugObject> {
    let mode = previous_mode(m)?;
    Ok(DebugObject::at(ob::lookup(m, handle, rights, Some(Kind::DebugObject), mode)?.0))
}

/// Locals of NtWaitForDebugEvent: the timeout in 0 and 1, the object, when a relative timeout began.
const OBJECT: u8 = 2;
const BEGUN: (u8, u8) = (3, 2);

/// NtWaitForDebugEvent(DebugHandle, Alertable, Timeout, StateChange).
pub(crate) fn nt_wait_for_debug_event(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let timeout_at = f.arg(2)?;
    let own_timeout = f.block(0, 2);
    if f.stage == 0 {
        let (handle, state_at) = (f.arg(0)?, Va(f.arg(3)?));
        let timeout = attempt!(ob::capture_timeout(f.m, timeout_at));
        attempt!(probe_for_write(f.m, state_at, 0x60, 4));
        let object = attempt!(object(f.m, handle, access::DEBUG_WAIT_STATE_CHANGE));
        ob::reference(f.m, object.va())?;
        f.set_local(OBJECT, object.va().0)?;
        f.m.store(own_timeout, timeout.unwrap_or(0))?;
        let now = timer::interrupt_time(f.m)?;
        let at = f.block(BEGUN.0, BEGUN.1);
        f.m.store(at, now)?;
        return wait(f, object);
    }
    let object = f.local_ptr::<DebugObject>(OBJECT)?;
    if f.result() != 0 {
        return leave(f, object, Status(f.result()));
    }
    if f.m.get(object.flags())? & debug_object::DEBUGGER_INACTIVE != 0 {
        return leave(f, object, Status::DEBUGGER_INACTIVE);
    }
    let Some(found) = next(f.m, object)? else {
        f.m.set(object.events_present().signal_state(), 0)?;
        if timeout_at != 0 && expired(f)? {
            return leave(f, object, Status::TIMEOUT);
        }
        return wait(f, object);
    };
    let flags = f.m.get(found.flags())?;
    f.m.set(found.flags(), flags | debug_event::READ)?;
    let state_at = Va(f.arg(3)?);
    let told = split(tell(f.m, found, state_at))?;
    leave(f, object, told.err().unwrap_or(Status::SUCCESS))
}

fn tell(m: &mut Machine, found: DebugEvent, at: Va) -> Res<()> {
    let raw = message::state_change(m, found)?;
    write_bytes(m, at, &raw)
}

fn wait(f: &mut Frame, object: DebugObject) -> Result<Flow, Fault> {
    let mode = previous_mode(f.m)?;
    let (alertable, timeout_at) = (f.arg(1)? & 0xFF, f.arg(2)?);
    let timeout = if timeout_at == 0 { 0 } else { f.block(0, 2).0 };
    let event = object.events_present().va().0;
    f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, mode, alertable, timeout], 1)
}

fn leave(f: &mut Frame, object: DebugObject, status: Status) -> Result<Flow, Fault> {
    ob::dereference(f.m, object.va())?;
    done(status)
}

/// Takes what has passed off a relative timeout; whether nothing is left.
fn expired(f: &mut Frame) -> Result<bool, Fault> {
    let (at, begun_at) = (f.block(0, 2), f.block(BEGUN.0, BEGUN.1));
    let timeout: i64 = f.m.load(at)?;
    let begun: u64 = f.m.load(begun_at)?;
    let now = timer::interrupt_time(f.m)?;
    if timeout > 0 {
        return Ok(timer::due_time(f.m, timeout)? <= now);
    }
    let left = timeout.saturating_add((now - begun) as i64);
    f.m.store(at, left)?;
    f.m.store(begun_at, now)?;
    Ok(left >= 0)
}

/// The first event that may be delivered: none of its process comes before it in the list. One that
/// is held back by that becomes inactive.
fn next(m: &mut Machine, object: DebugObject) -> Result<Option<DebugEvent>, Fault> {
    let events = event::all(m, object)?;
    for (index, candidate) in events.iter().enumerate() {
        let flags = m.get(candidate.flags())?;
        if flags & (debug_event::READ | debug_event::INACTIVE) != 0 {
            continue;
        }
        let process = m.get(candidate.process())?;
        let mut held = false;
        for earlier in &events[..index] {
            held |= m.get(earlier.process())? == process;
        }
        if !held {
            return Ok(Some(*candidate));
        }
        m.set(candidate.flags(), flags | debug_event::INACTIVE)?;
    }
    Ok(None)
}

/// NtDebugContinue(DebugHandle, ClientId, ContinueStatus). The status is handed back to who reported and
/// no more, DBG_TERMINATE_THREAD and DBG_TERMINATE_PROCESS too (nt52.md 10.9, medium confidence).
pub(crate) fn nt_debug_continue(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, ids_at, status) = (f.arg(0)?, Va(f.arg(1)?), f.arg(2)?);
    let ids: (u32, u32) = (attempt!(read(f.m, ids_at)), attempt!(read(f.m, ids_at.add(4))));
    let legal = [
        Status::DBG_CONTINUE,
        Status::DBG_EXCEPTION_HANDLED,
        Status::DBG_EXCEPTION_NOT_HANDLED,
        Status::DBG_TERMINATE_THREAD,
        Status::DBG_TERMINATE_PROCESS,
    ];
    if !legal.contains(&Status(status)) {
        return done(Status::INVALID_PARAMETER);
    }
    let object = attempt!(object(f.m, handle, access::DEBUG_WAIT_STATE_CHANGE));
    let mut found = None;
    for candidate in event::all(f.m, object)? {
        let m = &mut *f.m;
        let process = m.get(candidate.process())?;
        let flags = m.get(candidate.flags())?;
        match found {
            None => {
                let own = (m.get(candidate.unique_process())?, m.get(candidate.unique_thread())?);
                if own == ids && flags & debug_event::READ != 0 {
                    candidate.event_list().unlink(m)?;
                    found = Some((candidate, process));
                }
            }
            // The next event of the process may be delivered now.
            Some((_, of)) if of == process => {
                m.set(candidate.flags(), flags & !debug_event::INACTIVE)?;
                sync::set_event(m, object.events_present(), 0)?;
                break;
            }
            Some(_) => {}
        }
    }
    let Some((event, _)) = found else { return done(Status::INVALID_PARAMETER) };
    f.m.set(event.api_msg().returned_status(), status)?;
    f.m.set(event.status(), Status::SUCCESS.0)?;
    event::wake(f.m, event)?;
    done(Status::SUCCESS)
}

/// NtRemoveProcessDebug(ProcessHandle, DebugHandle).
pub(crate) fn nt_remove_process_debug(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (process, debug) = (f.arg(0)?, f.arg(1)?);
    let mode = previous_mode(f.m)?;
    let rights = access::PROCESS_SUSPEND_RESUME;
    let (body, _) = attempt!(ob::lookup(f.m, process, rights, Some(Kind::Process), mode));
    let object = attempt!(object(f.m, debug, access::DEBUG_ADD_REMOVE_PROCESS));
    done(port::clear(f.m, EProcess::at(body), Some(object))?)
}

/// NtSetInformationDebugObject(DebugHandle, Class, Information, Length, ReturnLength).
pub(crate) fn nt_set_information_debug_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, class, at, length) = (f.arg(0)?, f.arg(1)?, Va(f.arg(2)?), f.arg(3)?);
    if class != 1 {
        return done(Status::INVALID_PARAMETER);
    }
    if length != 4 {
        return done(Status::INFO_LENGTH_MISMATCH);
    }
    let kill: u32 = attempt!(read(f.m, at));
    let object = attempt!(object(f.m, handle, access::DEBUG_SET_INFORMATION));
    let old = f.m.get(object.flags())? & !debug_object::KILL_PROCESS_ON_EXIT;
    let bit = if kill != 0 { debug_object::KILL_PROCESS_ON_EXIT } else { 0 };
    f.m.set(object.flags(), old | bit)?;
    done(Status::SUCCESS)
}
