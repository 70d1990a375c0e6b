//! NtDuplicateObject (nt52.md 12.4).

use super::{CURRENT_PROCESS, CURRENT_THREAD};
use super::{handle, header, is_running_down, lookup, reference};
use crate::Nt;
use crate::error::{Res, split};
use crate::ke::thread::current;
use crate::layout::*;
use crate::mm::access::{previous_mode, probe_for_write, write};
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

const CLOSE_SOURCE: u32 = 1;
const SAME_ACCESS: u32 = 2;
const SAME_ATTRIBUTES: u32 = 4;

/// NtDuplicateObject(SourceProcess, SourceHandle, TargetProcess, TargetHandle, DesiredAccess,
/// HandleAttributes, Options). Local 0 is the status while the source is closed.
pub(crate) fn nt_duplicate_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.local(0)?));
    }
    let mut args = [0; 7];
    for (index, arg) in args.iter_mut().enumerate() {
        *arg = f.arg(index as u8)?;
    }
    let [source, source_handle, _, target_at, .., options] = args;
    let prepared = split(prepare(f.m, source, Va(target_at)))?;
    let source = match prepared {
        Ok(source) => source,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let status = match split(duplicate(f.m, source, args))? {
        Ok(()) => Status::SUCCESS,
        Err(status) => status,
    };
    if options & CLOSE_SOURCE == 0 || (source_handle as i32) < 0 {
        return Ok(Flow::Return(status.0));
    }
    f.set_local(0, status.0)?;
    f.call(Ke::ObpCloseHandleEntry.at(), &[source.va().0, source_handle], 1)
}

fn prepare(m: &mut Machine, source: u32, target_at: Va) -> Res<EProcess> {
    let mode = previous_mode(m)?;
    if !target_at.is_null() {
        probe_for_write(m, target_at, 4, 4)?;
        write(m, target_at, 0u32)?;
    }
    let (body, _) = lookup(m, source, access::PROCESS_DUP_HANDLE, Some(Kind::Process), mode)?;
    Ok(EProcess::at(body))
}

fn duplicate(m: &mut Machine, source: EProcess, args: [u32; 7]) -> Res<()> {
    let [_, source_handle, target, target_at, wanted, attributes, options] = args;
    let mode = previous_mode(m)?;
    if is_running_down(m, source)? {
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    let (body, granted, old_bits) = find(m, source, source_handle)?;
    let target = split(lookup(m, target, access::PROCESS_DUP_HANDLE, Some(Kind::Process), mode))?;
    let Ok((target, _)) = target else {
        // No target is only good for closing the source.
        return if options & CLOSE_SOURCE != 0 { Ok(()) } else { Err(Status::INVALID_PARAMETER.into()) };
    };
    let target = EProcess::at(target);
    if is_running_down(m, target)? {
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    let all = full_access(m.get(header(body).kind())?);
    let access = if options & SAME_ACCESS != 0 { granted } else { handle::grant(wanted, all) };
    let bits = if options & SAME_ATTRIBUTES != 0 { old_bits } else { attributes & attribute::INHERIT };
    let protect = options & SAME_ATTRIBUTES == 0 && attributes & 1 != 0;
    let access = access | if protect { attribute::PROTECT } else { 0 };
    let new = handle::open_by_pointer(m, target, body, access, bits)?;
    if target_at != 0 {
        write(m, Va(target_at), new)?;
    }
    Ok(())
}

/// The object of the source handle, the access that it grants, and its attribute bits.
fn find(m: &mut Machine, source: EProcess, handle: u32) -> Res<(Va, u32, u32)> {
    match handle {
        CURRENT_PROCESS => return Ok((source.va(), access::PROCESS_ALL_ACCESS, 0)),
        CURRENT_THREAD => return Ok((current(m)?.va(), access::THREAD_ALL_ACCESS, 0)),
        _ => {}
    }
    let invalid = || Status::INVALID_HANDLE.into();
    let Some(table) = m.get(source.object_table())? else { return Err(invalid()) };
    let entry = if (handle as i32) < 0 { None } else { handle::entry(m, table, handle)? };
    let Some(entry) = entry else { return Err(invalid()) };
    let granted = m.get(entry.granted_access())? & !attribute::PROTECT;
    let bits = m.get(entry.object())? & attribute::INHERIT;
    Ok((handle::object(m, entry)?, granted, bits))
}

/// What full access means for a type.
pub(crate) fn full_access(kind: Kind) -> u32 {
    match kind {
        Kind::Process => access::PROCESS_ALL_ACCESS,
        Kind::Thread => access::THREAD_ALL_ACCESS,
        Kind::Event => access::EVENT_ALL_ACCESS,
        Kind::Mutant => access::MUTANT_ALL_ACCESS,
        Kind::Semaphore => access::SEMAPHORE_ALL_ACCESS,
        Kind::Section => access::SECTION_ALL_ACCESS,
        Kind::DebugObject | Kind::Unknown(_) => access::DEBUG_ALL_ACCESS,
    }
}

/// Copies a process's inheritable handles into a new, empty table (nt52.md 3.1 step 15): the child
/// knows the objects by the same values, and the values between are free.
pub(crate) fn inherit(m: &mut Machine, parent: EProcess, table: HandleTable) -> Res<()> {
    let Some(from) = m.get(parent.object_table())? else { return Ok(()) };
    let mut gaps = Vec::new();
    for value in 4..m.get(from.next_never_used())? * 4 {
        if !value.is_multiple_of(4) || value.is_multiple_of(0x800) {
            continue;
        }
        let entry = handle::entry(m, from, value)?;
        let bits = match entry {
            Some(entry) => m.get(entry.object())? & attribute::INHERIT,
            None => 0,
        };
        let Some(entry) = entry.filter(|_| bits != 0) else {
            gaps.push(handle::insert(m, table, table.va(), 0, 0)?);
            continue;
        };
        let (body, granted) = (handle::object(m, entry)?, m.get(entry.granted_access())?);
        handle::insert(m, table, body, granted, bits)?;
        reference(m, body)?;
        let slot = header(body).handle_count();
        let count = m.get(slot)? + 1;
        m.set(slot, count)?;
    }
    for gap in gaps.into_iter().rev() {
        handle::remove(m, table, gap)?;
    }
    Ok(())
}
