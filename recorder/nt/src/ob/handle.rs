//! Handle tables: of processes, and of process and thread ids (nt52.md 2.16, 12.1, 12.6).

use super::object::header;
use crate::error::Res;
use crate::ex::pool;
use crate::ke::thread::{current, current_process};
use crate::layout::*;
use contract::Status;
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// Entries in a page; entry 0 of each is reserved.
const PER_PAGE: u32 = 512;
/// Pages of a table.
const TABLE_PAGES: u32 = 32;

/// ExCreateHandleTable. `strict_fifo`: freed values are used again as late as possible.
pub(crate) fn create_table(m: &mut Machine, owner: Va, strict_fifo: bool) -> Res<HandleTable> {
    let Some(at) = pool::allocate(m, HandleTable::EXTENT, pool::tag(b"Obtb"))? else {
        return Err(Status::INSUFFICIENT_RESOURCES.into());
    };
    let table = HandleTable::at(at);
    m.set(table.owner(), owner)?;
    m.set(table.strict_fifo(), strict_fifo.into())?;
    m.set(table.next_never_used(), 1)?;
    Ok(table)
}

/// ExDestroyHandleTable.
pub(crate) fn destroy_table(m: &mut Machine, table: HandleTable) -> Result<(), Fault> {
    for index in 0..TABLE_PAGES {
        let page: Va = m.load(table.pages().at.add(4 * index))?;
        if !page.is_null() {
            pool::free(m, page)?;
        }
    }
    pool::free(m, table.va())
}

/// The entry of an index, if its page is there.
fn entry_at(m: &mut impl Read, table: HandleTable, index: u32) -> Result<Option<HandleEntry>, Fault> {
    if index.is_multiple_of(PER_PAGE) || index >= TABLE_PAGES * PER_PAGE {
        return Ok(None);
    }
    let page: Va = m.load(table.pages().at.add(4 * (index / PER_PAGE)))?;
    Ok((!page.is_null()).then(|| HandleEntry::at(page.add(index % PER_PAGE * 8))))
}

/// ExCreateHandle: the new value. Which one, and when it is used again, is of medium confidence (nt52.md
/// 12.6): for handles the value freed last; for ids the one freed first, and not before the pages that the
/// table has are used up. (How late "as late as possible" is, the sheet does not say; that a table grows
/// while it has free entries is taken to be no part of it.)
pub(crate) fn insert(m: &mut Machine, table: HandleTable, object: Va, granted: u32, bits: u32) -> Res<u32> {
    let none = || Status::INSUFFICIENT_RESOURCES.into();
    let never_used = m.get(table.next_never_used())?;
    let fresh_first = m.get(table.strict_fifo())? != 0 && !never_used.is_multiple_of(PER_PAGE);
    let free = if fresh_first { 0 } else { m.get(table.first_free())? };
    let index = match free {
        0 => {
            let mut index = never_used;
            if index.is_multiple_of(PER_PAGE) {
                index += 1;
            }
            if index >= TABLE_PAGES * PER_PAGE {
                return Err(none());
            }
            let place = table.pages().at.add(4 * (index / PER_PAGE));
            if m.load::<Va>(place)?.is_null() {
                let Some(page) = pool::allocate(m, PER_PAGE * 8, pool::tag(b"Obtb"))? else {
                    return Err(none());
                };
                m.store(place, page)?;
            }
            m.set(table.next_never_used(), index + 1)?;
            index
        }
        index => {
            if let Some(entry) = entry_at(m, table, index)? {
                let next = m.get(entry.granted_access())?;
                m.set(table.first_free(), next)?;
                if next == 0 {
                    m.set(table.last_free(), 0)?;
                }
            }
            index
        }
    };
    let Some(entry) = entry_at(m, table, index)? else { return Err(none()) };
    m.set(entry.object(), object.0 | attribute::UNLOCKED | bits)?;
    m.set(entry.granted_access(), granted)?;
    let count = m.get(table.handle_count())? + 1;
    m.set(table.handle_count(), count)?;
    Ok(index * 4)
}

/// ExDestroyHandle.
pub(crate) fn remove(m: &mut Machine, table: HandleTable, handle: u32) -> Result<(), Fault> {
    let index = handle / 4;
    let Some(entry) = entry_at(m, table, index)? else { return Ok(()) };
    let fifo = m.get(table.strict_fifo())? != 0;
    m.set(entry.object(), 0)?;
    let first = m.get(table.first_free())?;
    m.set(entry.granted_access(), if fifo { 0 } else { first })?;
    match m.get(table.last_free())? {
        last if last != 0 && fifo => {
            if let Some(entry) = entry_at(m, table, last)? {
                m.set(entry.granted_access(), index)?;
            }
            m.set(table.last_free(), index)?;
        }
        last => {
            m.set(table.first_free(), index)?;
            if last == 0 {
                m.set(table.last_free(), index)?;
            }
        }
    }
    let count = m.get(table.handle_count())? - 1;
    m.set(table.handle_count(), count)
}

/// ExMapHandleToPointer: the live entry of a handle. The low two bits are ignored.
pub(crate) fn entry(
    m: &mut impl Read,
    table: HandleTable,
    handle: u32,
) -> Result<Option<HandleEntry>, Fault> {
    match entry_at(m, table, handle / 4)? {
        Some(entry) if m.get(entry.object())? & !attribute::ALL != 0 => Ok(Some(entry)),
        _ => Ok(None),
    }
}

/// Every live handle, ascending.
pub(crate) fn handles(m: &mut impl Read, table: HandleTable) -> Result<Vec<u32>, Fault> {
    let end = m.get(table.next_never_used())?;
    let mut found = Vec::new();
    for index in 0..end {
        if entry(m, table, index * 4)?.is_some() {
            found.push(index * 4);
        }
    }
    Ok(found)
}

/// The object of an entry.
pub(crate) fn object(m: &mut impl Read, entry: HandleEntry) -> Result<Va, Fault> {
    Ok(Va(m.get(entry.object())? & !attribute::ALL))
}

/// ObReferenceObjectByHandle's checks in their order (nt52.md 12.1), without the reference: the
/// object and the access that the handle grants. A routine that keeps the object across a call takes
/// a reference itself.
pub(crate) fn lookup(
    m: &mut Machine,
    handle: u32,
    wanted: u32,
    kind: Option<Kind>,
    mode: u32,
) -> Res<(Va, u32)> {
    if (handle as i32) < 0 {
        return lookup_pseudo(m, handle, wanted, kind, mode);
    }
    let process = current_process(m)?;
    let invalid = || Status::INVALID_HANDLE.into();
    let Some(table) = m.get(process.object_table())? else { return Err(invalid()) };
    let Some(entry) = entry(m, table, handle)? else { return Err(invalid()) };
    let body = object(m, entry)?;
    if kind.is_some() && kind != Some(m.get(header(body).kind())?) {
        return Err(Status::OBJECT_TYPE_MISMATCH.into());
    }
    let granted = m.get(entry.granted_access())? & !attribute::PROTECT;
    if mode == USER && wanted & !granted != 0 {
        return Err(Status::ACCESS_DENIED.into());
    }
    Ok((body, granted))
}

/// NtCurrentProcess and NtCurrentThread. There is no kernel handle table: nobody here makes a kernel
/// handle, so that every other negative value is invalid for both modes.
fn lookup_pseudo(m: &mut Machine, handle: u32, wanted: u32, kind: Option<Kind>, mode: u32) -> Res<(Va, u32)> {
    let (own, body, granted) = match handle {
        CURRENT_PROCESS => {
            let process = current_process(m)?;
            (Kind::Process, process.va(), m.get(process.granted_access())?)
        }
        CURRENT_THREAD => {
            let thread = current(m)?;
            (Kind::Thread, thread.va(), m.get(thread.granted_access())?)
        }
        _ => return Err(Status::INVALID_HANDLE.into()),
    };
    if kind.is_some_and(|kind| kind != own) {
        return Err(Status::OBJECT_TYPE_MISMATCH.into());
    }
    if mode == USER && wanted & !granted != 0 {
        return Err(Status::ACCESS_DENIED.into());
    }
    Ok((body, granted))
}

/// NtCurrentProcess().
pub(crate) const CURRENT_PROCESS: u32 = 0xFFFF_FFFF;
/// NtCurrentThread().
pub(crate) const CURRENT_THREAD: u32 = 0xFFFF_FFFE;

/// [`lookup`], and the reference.
pub(crate) fn reference_by_handle(
    m: &mut Machine,
    handle: u32,
    wanted: u32,
    kind: Kind,
    mode: u32,
) -> Res<Va> {
    let (body, _) = lookup(m, handle, wanted, Some(kind), mode)?;
    super::object::reference(m, body)?;
    Ok(body)
}

/// Makes a handle to an object in a process, with a reference of its own.
pub(crate) fn open_by_pointer(
    m: &mut Machine,
    process: EProcess,
    body: Va,
    granted: u32,
    bits: u32,
) -> Res<u32> {
    let Some(table) = m.get(process.object_table())? else {
        return Err(Status::PROCESS_IS_TERMINATING.into());
    };
    let handle = insert(m, table, body, granted, bits)?;
    super::object::reference(m, body)?;
    let slot = header(body).handle_count();
    let count = m.get(slot)? + 1;
    m.set(slot, count)?;
    Ok(handle)
}

/// What a request for access comes to when nothing restricts it: generic rights and MAXIMUM_ALLOWED
/// become the type's full access. Everybody may do everything here: there are no security descriptors.
pub(crate) fn grant(wanted: u32, all: u32) -> u32 {
    const GENERIC: u32 = 0xF000_0000;
    if wanted & (GENERIC | access::MAXIMUM_ALLOWED) != 0 { all } else { wanted }
}
