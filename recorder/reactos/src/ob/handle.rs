//! Handle tables (reactos.md 11.1, 11.3, 4.8).

use crate::{ReactOs, ex::pool, ke, layout::*, lpc, ob, ob::object, user};
use contract::{Flow, Frame, Status};
use guest::{ListEntry, Pointer, Read, Va, Write};
use machine::{Fault, Machine};

fn of_link(link: ListEntry) -> HandleBlock {
    link.owner(HandleBlock::entry)
}

/// The entry of a handle value: its low two bits are ignored. None beyond the last block.
pub(crate) fn lookup(m: &mut impl Read, process: EProcess, value: u32) -> R<Option<HandleEntry>> {
    let Some(mut index) = (value >> 2).checked_sub(1) else { return Ok(None) };
    let head = process.handle_table();
    let mut link = m.get(head.flink())?;
    while link != head {
        if index < HANDLES {
            return Ok(Some(of_link(link).slot(index)));
        }
        index -= HANDLES;
        link = m.get(link.flink())?;
    }
    Ok(None)
}

/// The object of an entry; null when the entry is empty.
pub(crate) fn object_of(m: &mut impl Read, slot: HandleEntry) -> R<Va> {
    Ok(Va(m.get(slot.object())? & !7))
}

/// ObCreateHandle (4.8): HandleCount is raised and the lowest free slot taken.
///
/// It fails only when there is no pool for another block. HandleCount stays raised then, and the
/// table's lock stays held at DISPATCH_LEVEL: the next look at the level, at the latest in the exit of
/// the system call, is a bugcheck.
pub(crate) fn create(
    m: &mut Machine,
    process: EProcess,
    body: Va,
    access: u32,
    inherit: bool,
) -> R<Result<u32, Status>> {
    let object = object::header(body);
    let count = m.get(object.handle_count())?;
    m.set(object.handle_count(), count + 1)?;
    let head = process.handle_table();
    let mut first = 0;
    let mut link = m.get(head.flink())?;
    loop {
        if link == head {
            match add_block(m, process)? {
                Some(block) => link = block.entry(),
                None => {
                    m.set(process.handle_table_lock(), 1)?;
                    ke::irql::raise(m, irql::DISPATCH)?;
                    return Ok(Err(Status::INSUFFICIENT_RESOURCES));
                }
            }
        }
        let block = of_link(link);
        if m.get(block.allocation_count())? < HANDLES {
            for index in m.get(block.allocation_hint())?..HANDLES {
                let slot = block.slot(index);
                if m.get(slot.object())? == 0 {
                    m.set(slot.object(), body.0 | if inherit { HANDLE_INHERIT } else { 0 })?;
                    m.set(slot.access(), access)?;
                    let used = m.get(block.allocation_count())?;
                    m.set(block.allocation_count(), used + 1)?;
                    m.set(block.allocation_hint(), index + 1)?;
                    return Ok(Ok((first + index + 1) * 4));
                }
            }
        }
        first += HANDLES;
        link = m.get(link.flink())?;
    }
}

/// Appends an empty block to a table; none without pool.
pub(crate) fn add_block(m: &mut Machine, process: EProcess) -> R<Option<HandleBlock>> {
    let Some(at) = pool::allocate_zeroed(m, pool::tag(b"HTBL"), HandleBlock::EXTENT)? else {
        return Ok(None);
    };
    let block = HandleBlock(at);
    process.handle_table().push_back(m, block.entry())?;
    Ok(Some(block))
}

/// Takes a handle out of its table and drops what it held (11.3, the part that succeeds).
pub(crate) fn remove(m: &mut Machine, process: EProcess, slot: HandleEntry) -> R<()> {
    let body = object_of(m, slot)?;
    object::add_reference(m, body)?;
    let header = object::header(body);
    let count = m.get(header.handle_count())?;
    m.set(header.handle_count(), count - 1)?;
    m.set(slot.object(), 0)?;
    m.set(slot.access(), 0)?;
    let head = process.handle_table();
    let mut link = m.get(head.flink())?;
    while link != head {
        let block = of_link(link);
        let offset = slot.0.0.wrapping_sub(block.slot(0).0.0);
        if offset < HANDLES * 8 {
            let used = m.get(block.allocation_count())?;
            // Copied blocks never counted what they were copied with (3.4 row 6).
            m.set(block.allocation_count(), used.saturating_sub(1))?;
            let hint = m.get(block.allocation_hint())?;
            m.set(block.allocation_hint(), hint.min(offset / 8))?;
        }
        link = m.get(link.flink())?;
    }
    if object::type_of(m, body)? == Some(Type::Port) {
        lpc::close(m, body, count - 1)?;
    }
    ob::dereference(m, body)
}

/// Every occupied entry of a table, with its handle value.
pub(crate) fn entries(m: &mut impl Read, process: EProcess) -> R<Vec<(u32, HandleEntry)>> {
    let head = process.handle_table();
    let mut found = Vec::new();
    let mut first = 0;
    let mut link = m.get(head.flink())?;
    while link != head {
        for index in 0..HANDLES {
            let slot = of_link(link).slot(index);
            if m.get(slot.object())? != 0 {
                found.push(((first + index + 1) * 4, slot));
            }
        }
        first += HANDLES;
        link = m.get(link.flink())?;
    }
    Ok(found)
}

/// The lowest slot of a table that holds a handle.
fn first_entry(m: &mut Machine, process: EProcess) -> R<Option<HandleEntry>> {
    Ok(entries(m, process)?.first().map(|(_, slot)| *slot))
}

/// ObCloseAllHandles (9.6): the scan starts again after each; protection from close is ignored.
pub(crate) fn close_all(m: &mut Machine, process: EProcess) -> R<()> {
    while let Some(slot) = first_entry(m, process)? {
        remove(m, process, slot)?;
    }
    Ok(())
}

/// ObDeleteHandleTable: closes all, frees the blocks.
pub(crate) fn delete_table(m: &mut Machine, process: EProcess) -> R<()> {
    close_all(m, process)?;
    while let Some(link) = process.handle_table().pop_front(m)? {
        pool::free(m, of_link(link).0)?;
    }
    Ok(())
}

/// ObCreateHandleTable: inheritable handles are copied to the same places; the Inherit argument is
/// ignored (3.4 row 6).
pub(crate) fn create_table(m: &mut Machine, parent: Option<EProcess>, process: EProcess) -> R<()> {
    process.handle_table().init(m)?;
    let Some(parent) = parent else { return Ok(()) };
    let head = parent.handle_table();
    let mut link = m.get(head.flink())?;
    while link != head {
        // Without pool the copying stops, and nobody is told.
        let (from, Some(to)) = (of_link(link), add_block(m, process)?) else { return Ok(()) };
        for index in 0..HANDLES {
            let object = m.get(from.slot(index).object())?;
            if object & HANDLE_INHERIT != 0 {
                let access = m.get(from.slot(index).access())?;
                m.set(to.slot(index).object(), object)?;
                m.set(to.slot(index).access(), access)?;
                let header = object::header(Va(object & !7));
                let count = m.get(header.handle_count())?;
                m.set(header.handle_count(), count + 1)?;
            }
        }
        link = m.get(link.flink())?;
    }
    Ok(())
}

/// Closes a handle of a process: NtClose's outcome (11.3).
pub(crate) fn close(m: &mut Machine, process: EProcess, value: u32) -> R<Status> {
    let Some(slot) = lookup(m, process, value)? else { return Ok(Status::INVALID_HANDLE) };
    let object = m.get(slot.object())?;
    if object & HANDLE_PROTECT != 0 {
        return Ok(Status::HANDLE_NOT_CLOSABLE);
    }
    if object == 0 {
        return Ok(Status::UNSUCCESSFUL);
    }
    remove(m, process, slot)?;
    Ok(Status::SUCCESS)
}

/// NtClose(Handle). On any failure a process with an exception port gets an exception: the status is left
/// in the TEB, and the thread goes on in KiRaiseUserExceptionDispatcher.
pub(crate) fn nt_close(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let value = f.arg(0)?;
    let process = ke::process(f.m)?;
    let status = close(f.m, process, value)?;
    if !status.is_success() && !f.m.get(process.exception_port())?.is_null() {
        // KeRaiseUserException.
        let tcb = ke::current(f.m)?.tcb();
        let (teb, frame) = (Teb(f.m.get(tcb.teb())?), TrapFrame(f.m.get(tcb.trap_frame())?));
        f.m.set(teb.exception_code(), status.0)?;
        f.m.set(frame.eip(), user::Us::KiRaiseUserExceptionDispatcher.at().0)?;
    }
    Ok(Flow::Return(status.0))
}

/// ObCloseAllHandles(Process).
pub(crate) fn ob_close_all_handles(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let process: EProcess = f.arg_ptr(0)?;
    close_all(f.m, process)?;
    Ok(Flow::Return(0))
}
