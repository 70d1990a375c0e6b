//! The services that change and write memory. Not the sheet's subject but for 12.5: on an exited
//! process they fail with STATUS_PROCESS_IS_TERMINATING.

use super::access::{previous_mode, read, read_bytes, write};
use super::{vad, vad::protection};
use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::global::{HIGHEST_USER, LOWEST_USER, USER_PROBE};
use crate::layout::{EProcess, Kind, access};
use crate::ob;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va};
use machine::{Machine, PAGE};

const COMMIT: u32 = 0x1000;
const RESERVE: u32 = 0x2000;
const DECOMMIT: u32 = 0x4000;
const RELEASE: u32 = 0x8000;
const TOP_DOWN: u32 = 0x10_0000;
/// The most bytes that are copied between processes at once.
const LONGEST: u32 = 0x1_0000;

/// The process that a handle names, if its memory can be changed.
fn target(m: &mut Machine, handle: u32, wanted: u32) -> Res<EProcess> {
    let mode = previous_mode(m)?;
    let process = EProcess::at(ob::lookup(m, handle, wanted, Some(Kind::Process), mode)?.0);
    if m.get(process.rundown_protect())? & 1 != 0 {
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    Ok(process)
}

fn is_protection(protect: u32) -> bool {
    matches!(
        protect & !protection::GUARD,
        protection::NOACCESS
            | protection::READONLY
            | protection::READWRITE
            | protection::EXECUTE
            | protection::EXECUTE_READ
            | protection::EXECUTE_READWRITE
    )
}

/// NtAllocateVirtualMemory(ProcessHandle, BaseAddress, ZeroBits, RegionSize, AllocationType, Protect).
pub(crate) fn nt_allocate_virtual_memory(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let mut args = [0; 6];
    for (index, arg) in args.iter_mut().enumerate() {
        *arg = f.arg(index as u8)?;
    }
    attempt!(allocate(f.m, args));
    done(Status::SUCCESS)
}

fn allocate(m: &mut Machine, [handle, base_at, _, size_at, how, protect]: [u32; 6]) -> Res<()> {
    let (base, size): (u32, u32) = (read(m, Va(base_at))?, read(m, Va(size_at))?);
    let bad = Status::INVALID_PARAMETER.into();
    if how & (COMMIT | RESERVE) == 0 || how & !(COMMIT | RESERVE | TOP_DOWN) != 0 || size == 0 {
        return Err(bad);
    }
    if !is_protection(protect) || size > HIGHEST_USER || base > HIGHEST_USER - size {
        return Err(bad);
    }
    let process = target(m, handle, access::PROCESS_VM_OPERATION)?;
    let (start, end);
    if base == 0 || how & RESERVE != 0 {
        let (low, whole) = match base {
            0 => {
                let whole = size.next_multiple_of(PAGE);
                let top = (how & TOP_DOWN != 0).then_some(crate::global::PEB.0 & !0xFFFF);
                let Some(low) = vad::place(m, process, whole, 0x1_0000, top)? else {
                    return Err(Status::NO_MEMORY.into());
                };
                (low, whole)
            }
            _ => {
                let low = base & !0xFFFF;
                (low, (base + size).next_multiple_of(PAGE) - low)
            }
        };
        if low < LOWEST_USER || !vad::is_free(m, process, low, low + whole)? {
            return Err(bad);
        }
        if !vad::insert(m, process, low, whole, vad::kind::PRIVATE, protect)? {
            return Err(Status::INSUFFICIENT_RESOURCES.into());
        }
        (start, end) = (low, low + whole);
    } else {
        (start, end) = (base & !(PAGE - 1), (base + size).next_multiple_of(PAGE));
        let Some(found) = vad::find(m, process, start)? else { return Err(bad) };
        if m.get(found.end())? < end || m.get(found.kind())? != vad::kind::PRIVATE {
            return Err(bad);
        }
    }
    if how & COMMIT != 0 && !vad::commit(m, process, start, end - start, protect)? {
        if how & RESERVE != 0
            && let Some(found) = vad::find(m, process, start)?
        {
            vad::remove(m, process, found)?;
        }
        return Err(Status::NO_MEMORY.into());
    }
    write(m, Va(base_at), start)?;
    write(m, Va(size_at), end - start)
}

/// NtFreeVirtualMemory(ProcessHandle, BaseAddress, RegionSize, FreeType).
pub(crate) fn nt_free_virtual_memory(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, base_at, size_at, how) = (f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?);
    attempt!(free(f.m, handle, Va(base_at), Va(size_at), how));
    done(Status::SUCCESS)
}

fn free(m: &mut Machine, handle: u32, base_at: Va, size_at: Va, how: u32) -> Res<()> {
    let (base, size): (u32, u32) = (read(m, base_at)?, read(m, size_at)?);
    let process = target(m, handle, access::PROCESS_VM_OPERATION)?;
    let bad = Status::INVALID_PARAMETER.into();
    let Some(found) = vad::find(m, process, base)? else { return Err(bad) };
    let (start, end) = (m.get(found.start())?, m.get(found.end())?);
    if m.get(found.kind())? != vad::kind::PRIVATE {
        return Err(bad);
    }
    let (from, to) = match size {
        0 => (start, end),
        size => (base & !(PAGE - 1), base.saturating_add(size).saturating_add(PAGE - 1) & !(PAGE - 1)),
    };
    if size == 0 && base & !(PAGE - 1) != start || to > end {
        return Err(bad);
    }
    match how {
        // Part of a reservation cannot be released here: nobody does.
        RELEASE if (from, to) == (start, end) => vad::remove(m, process, found)?,
        DECOMMIT => vad::decommit(m, process, from, to - from)?,
        _ => return Err(bad),
    }
    write(m, base_at, from)?;
    write(m, size_at, to - from)
}

/// Frees the stack whose reservation begins at `base`, as PspExitThread does for a thread that asked
/// for it (nt52.md 9.6 step 24). A region that is not there is ignored.
pub(crate) fn release(m: &mut Machine, process: EProcess, base: u32) -> Result<(), Fault> {
    match vad::find(m, process, base)? {
        Some(found) if m.get(found.start())? == base && m.get(found.kind())? == vad::kind::PRIVATE => {
            vad::remove(m, process, found)
        }
        _ => Ok(()),
    }
}

/// NtReadVirtualMemory(ProcessHandle, BaseAddress, Buffer, Length, BytesRead).
pub(crate) fn nt_read_virtual_memory(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, base, buffer, len, read) = (f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?, f.arg(4)?);
    let outside = |at: u32| at.checked_add(len).is_none_or(|end| end > USER_PROBE);
    if outside(base) || outside(buffer) || len > LONGEST {
        return done(Status::ACCESS_VIOLATION);
    }
    let process = attempt!(target(f.m, handle, access::PROCESS_VM_READ));
    let cr3 = f.m.get(process.pcb().directory_table_base())?;
    let mut bytes = vec![0; len as usize];
    if f.m.peek(cr3, Va(base), &mut bytes).is_err() {
        return done(Status::PARTIAL_COPY);
    }
    attempt!(super::access::write_bytes(f.m, Va(buffer), &bytes));
    attempt!(super::access::write_optional(f.m, read, len));
    done(Status::SUCCESS)
}

/// NtWriteVirtualMemory(ProcessHandle, BaseAddress, Buffer, Length, BytesWritten), for what Win32's
/// CreateProcess writes into the new process.
pub(crate) fn nt_write_virtual_memory(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, base, buffer, len, written) = (f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?, f.arg(4)?);
    let outside = base.checked_add(len).is_none_or(|end| end > USER_PROBE);
    if outside || len > LONGEST {
        return done(Status::ACCESS_VIOLATION);
    }
    let process = attempt!(target(f.m, handle, access::PROCESS_VM_WRITE));
    let bytes = attempt!(read_bytes(f.m, Va(buffer), len));
    let cr3 = f.m.get(process.pcb().directory_table_base())?;
    if f.m.poke(cr3, Va(base), &bytes).is_err() {
        return done(Status::ACCESS_VIOLATION);
    }
    attempt!(super::access::write_optional(f.m, written, len));
    done(Status::SUCCESS)
}
