//! Services on events, mutants, semaphores and the section (nt52.md 8.13).

use super::{check_attributes, create, dereference, grant, header, lookup, open_by_pointer};
use crate::Nt;
use crate::error::{Res, attempt, done, split};
use crate::global::DATA;
use crate::ke::sync;
use crate::ke::thread::{current, current_process};
use crate::layout::*;
use crate::mm::access::{previous_mode, probe_for_write, read, write, write_optional};
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// ObInsertObject for the caller's process: the handle takes the creation reference's place.
pub(crate) fn insert_object(m: &mut Machine, body: Va, wanted: u32, handle_at: Va) -> Res<()> {
    let kind = m.get(header(body).kind())?;
    let granted = grant(wanted, super::full_access(kind));
    let process = current_process(m)?;
    let opened = split(open_by_pointer(m, process, body, granted, 0))?;
    dereference(m, body)?;
    write(m, handle_at, opened?)
}

/// NtCreateEvent(EventHandle, DesiredAccess, ObjectAttributes, EventType, InitialState).
pub(crate) fn nt_create_event(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (at, wanted, kind, state) = (Va(f.arg(0)?), f.arg(1)?, f.arg(3)?, f.arg(4)? & 0xFF != 0);
    attempt!(probe_for_write(f.m, at, 4, 4));
    let kind = match kind {
        0 => KObject::EventNotification,
        1 => KObject::EventSynchronization,
        _ => return done(Status::INVALID_PARAMETER),
    };
    let attributes_at = f.arg(2)?;
    attempt!(check_attributes(f.m, attributes_at));
    let body = attempt!(create(f.m, Kind::Event));
    sync::init_event(f.m, DispatcherHeader::at(body), kind, state)?;
    attempt!(insert_object(f.m, body, wanted, at));
    done(Status::SUCCESS)
}

/// The event that a handle names.
fn event(m: &mut Machine, handle: u32) -> Res<DispatcherHeader> {
    let mode = previous_mode(m)?;
    let (body, _) = lookup(m, handle, access::EVENT_MODIFY_STATE, Some(Kind::Event), mode)?;
    Ok(DispatcherHeader::at(body))
}

/// Probes an optional place for a previous state.
fn probe_optional(m: &mut Machine, at: u32) -> Res<()> {
    if at == 0 { Ok(()) } else { probe_for_write(m, Va(at), 4, 4) }
}

/// NtSetEvent(EventHandle, PreviousState).
pub(crate) fn nt_set_event(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, previous_at) = (f.arg(0)?, f.arg(1)?);
    attempt!(probe_optional(f.m, previous_at));
    let event = attempt!(event(f.m, handle));
    let old = sync::set_event(f.m, event, 1)?;
    attempt!(write_optional(f.m, previous_at, old as u32));
    done(Status::SUCCESS)
}

/// NtResetEvent(EventHandle, PreviousState).
pub(crate) fn nt_reset_event(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, previous_at) = (f.arg(0)?, f.arg(1)?);
    attempt!(probe_optional(f.m, previous_at));
    let event = attempt!(event(f.m, handle));
    let old = f.m.get(event.signal_state())?;
    f.m.set(event.signal_state(), 0)?;
    attempt!(write_optional(f.m, previous_at, old as u32));
    done(Status::SUCCESS)
}

/// NtCreateMutant(MutantHandle, DesiredAccess, ObjectAttributes, InitialOwner).
pub(crate) fn nt_create_mutant(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (at, wanted, owned) = (Va(f.arg(0)?), f.arg(1)?, f.arg(3)? & 0xFF != 0);
    attempt!(probe_for_write(f.m, at, 4, 4));
    let attributes_at = f.arg(2)?;
    attempt!(check_attributes(f.m, attributes_at));
    let body = attempt!(create(f.m, Kind::Mutant));
    let owner = current(f.m)?.tcb();
    sync::init_mutant(f.m, KMutant::at(body), owned.then_some(owner))?;
    attempt!(insert_object(f.m, body, wanted, at));
    done(Status::SUCCESS)
}

/// NtReleaseMutant(MutantHandle, PreviousCount). An abandoned mutant has no owner, so that its release
/// fails too.
pub(crate) fn nt_release_mutant(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, previous_at) = (f.arg(0)?, f.arg(1)?);
    attempt!(probe_optional(f.m, previous_at));
    let mode = previous_mode(f.m)?;
    let (body, _) = attempt!(lookup(f.m, handle, 0, Some(Kind::Mutant), mode));
    let mutant = KMutant::at(body);
    let thread = current(f.m)?.tcb();
    if f.m.get(mutant.owner_thread())? != Some(thread) {
        return done(Status::MUTANT_NOT_OWNED);
    }
    let old = sync::release_mutant(f.m, mutant, false)?;
    attempt!(write_optional(f.m, previous_at, old as u32));
    done(Status::SUCCESS)
}

/// NtCreateSemaphore(SemaphoreHandle, DesiredAccess, ObjectAttributes, InitialCount, MaximumCount).
pub(crate) fn nt_create_semaphore(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (at, wanted) = (Va(f.arg(0)?), f.arg(1)?);
    let (count, limit) = (f.arg(3)? as i32, f.arg(4)? as i32);
    attempt!(probe_for_write(f.m, at, 4, 4));
    if limit <= 0 || count < 0 || count > limit {
        return done(Status::INVALID_PARAMETER);
    }
    let attributes_at = f.arg(2)?;
    attempt!(check_attributes(f.m, attributes_at));
    let body = attempt!(create(f.m, Kind::Semaphore));
    sync::init_semaphore(f.m, KSemaphore::at(body), count, limit)?;
    attempt!(insert_object(f.m, body, wanted, at));
    done(Status::SUCCESS)
}

/// NtReleaseSemaphore(SemaphoreHandle, ReleaseCount, PreviousCount).
pub(crate) fn nt_release_semaphore(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, by, previous_at) = (f.arg(0)?, f.arg(1)? as i32, f.arg(2)?);
    attempt!(probe_optional(f.m, previous_at));
    if by <= 0 {
        return done(Status::INVALID_PARAMETER);
    }
    let mode = previous_mode(f.m)?;
    let wanted = access::SEMAPHORE_MODIFY_STATE;
    let (body, _) = attempt!(lookup(f.m, handle, wanted, Some(Kind::Semaphore), mode));
    match sync::release_semaphore(f.m, KSemaphore::at(body), 1, by)? {
        None => done(Status::SEMAPHORE_LIMIT_EXCEEDED),
        Some(old) => {
            attempt!(write_optional(f.m, previous_at, old as u32));
            done(Status::SUCCESS)
        }
    }
}

/// Signals an object through a handle that grants `granted`, as its own service would.
pub(crate) fn signal(m: &mut Machine, body: Va, granted: u32) -> Res<()> {
    let may = |right: u32| if granted & right == right { Ok(()) } else { Err(Status::ACCESS_DENIED) };
    match m.get(header(body).kind())? {
        Kind::Event => {
            may(access::EVENT_MODIFY_STATE)?;
            sync::set_event(m, DispatcherHeader::at(body), 1)?;
        }
        Kind::Semaphore => {
            may(access::SEMAPHORE_MODIFY_STATE)?;
            if sync::release_semaphore(m, KSemaphore::at(body), 1, 1)?.is_none() {
                return Err(Status::SEMAPHORE_LIMIT_EXCEEDED.into());
            }
        }
        Kind::Mutant => {
            let thread = current(m)?.tcb();
            if m.get(KMutant::at(body).owner_thread())? != Some(thread) {
                return Err(Status::MUTANT_NOT_OWNED.into());
            }
            sync::release_mutant(m, KMutant::at(body), false)?;
        }
        _ => return Err(Status::OBJECT_TYPE_MISMATCH.into()),
    }
    Ok(())
}

/// NtOpenSection(SectionHandle, DesiredAccess, ObjectAttributes). There is one image in this world, and
/// so one section; the name is not looked at, and the CreateProcess of this kernel32 gives none.
pub(crate) fn nt_open_section(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (at, wanted) = (Va(f.arg(0)?), f.arg(1)?);
    attempt!(probe_for_write(f.m, at, 4, 4));
    let attributes_at = f.arg(2)?;
    attempt!(check_attributes(f.m, attributes_at));
    let section = f.m.get(DATA.program_section())?;
    super::reference(f.m, section.va())?;
    attempt!(insert_object(f.m, section.va(), wanted, at));
    done(Status::SUCCESS)
}

/// Captures an optional interval of the caller's: whether it is there, and the interval.
pub(crate) fn capture_timeout(m: &mut Machine, at: u32) -> Res<Option<i64>> {
    if at == 0 { Ok(None) } else { read(m, Va(at)).map(Some) }
}
