//! The regions of a user address space, and the pages in them.

use super::{frames, frames::pte};
use crate::ex::pool;
use crate::global::{HIGHEST_USER, LOWEST_USER};
use crate::layout::{EProcess, Vad};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::{Machine, PAGE};

/// What a region is.
pub(crate) mod kind {
    pub(crate) const PRIVATE: u32 = 0;
    pub(crate) const IMAGE: u32 = 1;
}

/// Page protections (PAGE_…).
pub(crate) mod protection {
    pub(crate) const NOACCESS: u32 = 0x01;
    pub(crate) const READONLY: u32 = 0x02;
    pub(crate) const READWRITE: u32 = 0x04;
    pub(crate) const EXECUTE: u32 = 0x10;
    pub(crate) const EXECUTE_READ: u32 = 0x20;
    pub(crate) const EXECUTE_READWRITE: u32 = 0x40;
    pub(crate) const GUARD: u32 = 0x100;
}

/// The regions of a process, by address.
pub(crate) fn all(m: &mut Machine, process: EProcess) -> Result<Vec<Vad>, Fault> {
    let mut found = Vec::new();
    let mut at = m.get(process.vad_root())?;
    while !at.is_null() {
        found.push(Vad::at(at));
        at = m.get(Vad::at(at).next())?;
    }
    Ok(found)
}

/// The region that holds `at`.
pub(crate) fn find(m: &mut Machine, process: EProcess, at: u32) -> Result<Option<Vad>, Fault> {
    for vad in all(m, process)? {
        if (m.get(vad.start())?..m.get(vad.end())?).contains(&at) {
            return Ok(Some(vad));
        }
    }
    Ok(None)
}

/// Whether `start..end` meets no region.
pub(crate) fn is_free(m: &mut Machine, process: EProcess, start: u32, end: u32) -> Result<bool, Fault> {
    for vad in all(m, process)? {
        if m.get(vad.start())? < end && start < m.get(vad.end())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A free place of `size` bytes: the lowest, or the highest below `top`.
pub(crate) fn place(
    m: &mut Machine,
    process: EProcess,
    size: u32,
    align: u32,
    top: Option<u32>,
) -> Result<Option<u32>, Fault> {
    let mut at = match top {
        None => LOWEST_USER,
        Some(top) => (top - size) & !(align - 1),
    };
    while at >= LOWEST_USER && at.checked_add(size).is_some_and(|end| end <= HIGHEST_USER + 1) {
        if is_free(m, process, at, at + size)? {
            return Ok(Some(at));
        }
        at = match top {
            None => at + align,
            Some(_) => at - align,
        };
    }
    Ok(None)
}

/// Notes a region. False without pool.
pub(crate) fn insert(
    m: &mut Machine,
    process: EProcess,
    start: u32,
    size: u32,
    what: u32,
    protect: u32,
) -> Result<bool, Fault> {
    let Some(at) = pool::allocate(m, Vad::EXTENT, pool::tag(b"Vad "))? else { return Ok(false) };
    let vad = Vad::at(at);
    m.set(vad.start(), start)?;
    m.set(vad.end(), start + size)?;
    m.set(vad.kind(), what)?;
    m.set(vad.protect(), protect)?;
    let mut link = process.vad_root();
    loop {
        let next = m.get(link)?;
        if next.is_null() || m.get(Vad::at(next).start())? > start {
            m.set(vad.next(), next)?;
            m.set(link, at)?;
            return Ok(true);
        }
        link = Vad::at(next).next();
    }
}

/// Gives a region back with its pages.
pub(crate) fn remove(m: &mut Machine, process: EProcess, vad: Vad) -> Result<(), Fault> {
    let (start, end) = (m.get(vad.start())?, m.get(vad.end())?);
    decommit(m, process, start, end - start)?;
    let mut link = process.vad_root();
    while m.get(link)? != vad.va() {
        link = Vad::at(m.get(link)?).next();
    }
    let next = m.get(vad.next())?;
    m.set(link, next)?;
    pool::free(m, vad.va())
}

/// Entry bits for a protection.
fn bits(protect: u32) -> u32 {
    let writable = match protect & 0xFF {
        protection::READWRITE | protection::EXECUTE_READWRITE => pte::WRITABLE,
        _ => 0,
    };
    let state = if protect & protection::GUARD != 0 {
        pte::GUARD
    } else if protect & protection::NOACCESS != 0 {
        pte::NO_ACCESS
    } else {
        pte::PRESENT
    };
    pte::USER | writable | state
}

/// Commits pages that are not committed yet, and protects all. False without memory (or when pool with
/// the tag `MmCm` is to fail); what was
/// committed by then stays.
pub(crate) fn commit(
    m: &mut Machine,
    process: EProcess,
    start: u32,
    size: u32,
    protect: u32,
) -> Result<bool, Fault> {
    if pool::is_refused(m, pool::tag(b"MmCm"))? {
        return Ok(false);
    }
    let cr3 = m.get(process.pcb().directory_table_base())?;
    for page in (start..start + size).step_by(PAGE as usize) {
        let old = frames::get(m, cr3, Va(page));
        let frame = match old & pte::FRAME {
            0 => match frames::allocate(m)? {
                Some(frame) => frame << 12,
                None => return Ok(false),
            },
            frame => frame,
        };
        if !frames::set(m, cr3, Va(page), frame | bits(protect) | old & pte::SHARED)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Commits one page as a guard page, when there is memory.
pub(crate) fn commit_guard(m: &mut Machine, cr3: u32, page: Va) -> Result<(), Fault> {
    if let Some(frame) = frames::allocate(m)? {
        frames::set(m, cr3, page, frame << 12 | bits(protection::READWRITE | protection::GUARD))?;
    }
    Ok(())
}

/// Takes pages out, and gives those that belong to the process back.
pub(crate) fn decommit(m: &mut Machine, process: EProcess, start: u32, size: u32) -> Result<(), Fault> {
    let cr3 = m.get(process.pcb().directory_table_base())?;
    for page in (start..start + size).step_by(PAGE as usize) {
        let old = frames::get(m, cr3, Va(page));
        if old == 0 {
            continue;
        }
        frames::set(m, cr3, Va(page), 0)?;
        if old & pte::SHARED == 0 {
            frames::free(m, old >> 12)?;
        }
    }
    Ok(())
}
