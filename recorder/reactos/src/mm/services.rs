//! The memory services that starting and ending threads needs. What the sheet does not say of them
//! is plain: reserve, commit, decommit, release, and copying between processes.

use super::{pages::pte, space};
use crate::{ReactOs, layout::*, ob};
use contract::{Flow, Frame, Status};
use guest::{Read, Write};
use machine::{Fault, Machine, PAGE, Va};

const COMMIT: u32 = 0x1000;
const RESERVE: u32 = 0x2000;
const DECOMMIT: u32 = 0x4000;
const RELEASE: u32 = 0x8000;
const TOP_DOWN: u32 = 0x10_0000;

// Statuses of the memory manager, known only here.
const CONFLICTING_ADDRESSES: Status = Status(0xC000_0018);
const UNABLE_TO_FREE_VM: Status = Status(0xC000_001A);
const UNABLE_TO_DELETE_SECTION: Status = Status(0xC000_001B);
const MEMORY_NOT_ALLOCATED: Status = Status(0xC000_00A0);

/// The protections that let a program write: PAGE_READWRITE, WRITECOPY and their executable forms.
fn writable(protect: u32) -> u32 {
    if protect & 0xCC != 0 { pte::WRITABLE } else { 0 }
}

/// What NtAllocateVirtualMemory does, for the kernel's own use too.
pub(crate) fn allocate(
    m: &mut Machine,
    process: EProcess,
    base: Va,
    size: u32,
    kind: u32,
    protect: u32,
) -> R<Result<(Va, u32), Status>> {
    let end = base.0.wrapping_add(size).wrapping_add(PAGE - 1) & !(PAGE - 1);
    let mut start = base.page();
    let mut length = end.wrapping_sub(start.0);
    if size == 0
        || length == 0
        || kind & (COMMIT | RESERVE) == 0
        || start.0.checked_add(length).is_none_or(|end| end > USER_PROBE)
    {
        return Ok(Err(Status::INVALID_PARAMETER));
    }
    let known = if base.is_null() { None } else { space::area(m, process, start)? };
    if kind & RESERVE != 0 || base.is_null() {
        if base.is_null() {
            match space::find_gap(m, process, length, kind & TOP_DOWN != 0)? {
                Some(at) => start = at,
                None => return Ok(Err(Status::NO_MEMORY)),
            }
        } else {
            start = Va(start.0 & !(GRANULARITY - 1));
            length = end - start.0;
            if !space::is_free(m, process, start.0, length)? {
                return Ok(Err(CONFLICTING_ADDRESSES));
            }
        }
        if !space::reserve(m, process, start, length, false)? {
            return Ok(Err(Status::NO_MEMORY));
        }
    } else if known.is_none() {
        return Ok(Err(CONFLICTING_ADDRESSES));
    }
    if kind & COMMIT != 0 {
        let status = space::commit(m, process, start, length, writable(protect))?;
        if !status.is_success() {
            if kind & RESERVE != 0
                && let Some(area) = space::area(m, process, start)?
            {
                space::release(m, process, area)?;
            }
            return Ok(Err(status));
        }
    }
    Ok(Ok((start, length)))
}

/// What NtFreeVirtualMemory does, for the kernel's own use too.
pub(crate) fn free(m: &mut Machine, process: EProcess, base: Va, size: u32, kind: u32) -> R<Status> {
    let Some(area) = space::area(m, process, base)? else { return Ok(MEMORY_NOT_ALLOCATED) };
    if m.get(area.fixed())? != 0 {
        return Ok(UNABLE_TO_DELETE_SECTION);
    }
    match kind {
        RELEASE if m.get(area.base())? == base.page() => space::release(m, process, area)?,
        RELEASE => return Ok(UNABLE_TO_FREE_VM),
        DECOMMIT => {
            let length = if size == 0 { m.get(area.length())? } else { base.offset() + size };
            space::decommit(m, process, base.page(), length.next_multiple_of(PAGE))?;
        }
        _ => return Ok(Status::INVALID_PARAMETER),
    }
    Ok(Status::SUCCESS)
}

/// NtAllocateVirtualMemory(ProcessHandle, *BaseAddress, ZeroBits, *RegionSize, Type, Protect).
pub(crate) fn nt_allocate(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, base_at, size_at) = (f.arg(0)?, Va(f.arg(1)?), Va(f.arg(3)?));
    let (kind, protect) = (f.arg(4)?, f.arg(5)?);
    let process = match ob::reference(f.m, handle, Some(Type::Process))? {
        Ok(body) => EProcess(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let (base, size) = (f.m.load(base_at)?, f.m.load(size_at)?);
    let outcome = allocate(f.m, process, base, size, kind, protect)?;
    ob::dereference(f.m, process.0)?;
    match outcome {
        Ok((base, size)) => {
            f.m.store(base_at, base)?;
            f.m.store(size_at, size)?;
            Ok(Flow::Return(Status::SUCCESS.0))
        }
        Err(status) => Ok(Flow::Return(status.0)),
    }
}

/// NtFreeVirtualMemory(ProcessHandle, *BaseAddress, *RegionSize, FreeType).
pub(crate) fn nt_free(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, base_at, size_at, kind) = (f.arg(0)?, Va(f.arg(1)?), Va(f.arg(2)?), f.arg(3)?);
    let process = match ob::reference(f.m, handle, Some(Type::Process))? {
        Ok(body) => EProcess(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let (base, size) = (f.m.load(base_at)?, f.m.load(size_at)?);
    let status = free(f.m, process, base, size, kind)?;
    ob::dereference(f.m, process.0)?;
    Ok(Flow::Return(status.0))
}

/// NtReadVirtualMemory and NtWriteVirtualMemory(ProcessHandle, Address, Buffer, Size, *Done).
/// The caller's buffer is used unprobed; the kernel copies without attaching to the other process.
pub(crate) fn nt_read(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    copy(f, false)
}

/// See [`nt_read`].
pub(crate) fn nt_write(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    copy(f, true)
}

fn copy(f: &mut Frame, write: bool) -> Result<Flow, Fault> {
    let (handle, address, buffer, size) = (f.arg(0)?, Va(f.arg(1)?), Va(f.arg(2)?), f.arg(3)?);
    let done_at = Va(f.arg(4)?);
    let process = match ob::reference(f.m, handle, Some(Type::Process))? {
        Ok(body) => EProcess(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let mut good = size <= 0x10_0000 && address.0.checked_add(size).is_some_and(|end| end <= USER_PROBE);
    if good && write {
        let mut bytes = vec![0; size as usize];
        f.m.bytes(buffer, &mut bytes)?;
        good = space::write_to(f.m, process, address, &bytes)?;
    } else if good {
        match space::read_from(f.m, process, address, size)? {
            Some(bytes) => f.m.put(buffer, &bytes)?,
            None => good = false,
        }
    }
    ob::dereference(f.m, process.0)?;
    if good && !done_at.is_null() {
        f.m.store(done_at, size)?;
    }
    Ok(Flow::Return(if good { Status::SUCCESS } else { Status::ACCESS_VIOLATION }.0))
}
