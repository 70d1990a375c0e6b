//! Objects: creation, references, deletion (reactos.md 2.8, 9.9, 11.2).
//!
//! A deletion runs as a whole where the reference is dropped. The sheet has work items for a drop above
//! PASSIVE_LEVEL and for a caller that is attached elsewhere; neither case arises here.

use crate::{ex::pool, ke, layout::*, ob::handle, ps};
use contract::Status;
use guest::{Pointer, Read, Va, Write};
use machine::Machine;

/// The header of an object.
pub(crate) fn header(body: Va) -> ObjectHeader {
    ObjectHeader(body.sub(ObjectHeader::EXTENT))
}

/// The type of an object; none if it is no type of ours.
pub(crate) fn type_of(m: &mut impl Read, body: Va) -> R<Option<Type>> {
    let kind = m.get(header(body).object_type())?;
    Ok(Type::ALL.into_iter().find(|known| G.object_type(*known) == kind))
}

/// ObCreateObject: one zeroed allocation, RefCount 1, HandleCount 0. None without pool.
pub(crate) fn create(m: &mut Machine, kind: Type, size: u32, inherit: bool) -> R<Option<Va>> {
    let Some(block) = pool::allocate_zeroed(m, kind.tag(), ObjectHeader::EXTENT + size)? else {
        return Ok(None);
    };
    let object = ObjectHeader(block);
    object.entry().init(m)?;
    m.set(object.ref_count(), 1)?;
    m.set(object.object_type(), G.object_type(kind))?;
    m.set(object.inherit(), u8::from(inherit))?;
    Ok(Some(block.add(ObjectHeader::EXTENT)))
}

/// ObReferenceObject.
pub(crate) fn add_reference(m: &mut Machine, body: Va) -> R<()> {
    let slot = header(body).ref_count();
    let count = m.get(slot)?;
    m.set(slot, count + 1)
}

/// ObReferenceObjectByPointer: refused while the object is being deleted (9.9).
pub(crate) fn reference_pointer(m: &mut Machine, body: Va) -> R<Result<(), Status>> {
    if m.get(header(body).close_in_process())? != 0 {
        return Ok(Err(match type_of(m, body)? {
            Some(Type::Process) => Status::PROCESS_IS_TERMINATING,
            Some(Type::Thread) => Status::THREAD_IS_TERMINATING,
            _ => Status::UNSUCCESSFUL,
        }));
    }
    add_reference(m, body)?;
    Ok(Ok(()))
}

/// ObReferenceObjectByHandle (11.2). The access asked for is not a parameter: the check can never
/// fail. An object of another type keeps the reference.
pub(crate) fn reference(m: &mut Machine, value: u32, kind: Option<Type>) -> R<Result<Va, Status>> {
    let pseudo = match value {
        0xFFFF_FFFF => Some((Type::Process, ke::process(m)?.0)),
        0xFFFF_FFFE => Some((Type::Thread, ke::current(m)?.0)),
        _ => None,
    };
    if let Some((own, body)) = pseudo {
        if kind.is_some_and(|kind| kind != own) {
            return Ok(Err(Status::OBJECT_TYPE_MISMATCH));
        }
        add_reference(m, body)?;
        return Ok(Ok(body));
    }
    let process = ke::process(m)?;
    let Some(slot) = handle::lookup(m, process, value)? else { return Ok(Err(Status::INVALID_HANDLE)) };
    let body = handle::object_of(m, slot)?;
    if body.is_null() {
        return Ok(Err(Status::INVALID_HANDLE));
    }
    add_reference(m, body)?;
    if kind.is_some() && type_of(m, body)? != kind {
        return Ok(Err(Status::OBJECT_TYPE_MISMATCH));
    }
    Ok(Ok(body))
}

/// ObDereferenceObject: deletes the object when nothing holds it any more.
pub(crate) fn dereference(m: &mut Machine, body: Va) -> R<()> {
    let object = header(body);
    let count = m.get(object.ref_count())? - 1;
    m.set(object.ref_count(), count)?;
    let unheld = count == 0 && m.get(object.handle_count())? == 0;
    if unheld && m.get(object.permanent())? == 0 {
        delete(m, body)?;
    }
    Ok(())
}

fn delete(m: &mut Machine, body: Va) -> R<()> {
    m.set(header(body).close_in_process(), 1)?;
    match type_of(m, body)? {
        Some(Type::Thread) => ps::delete::thread(m, EThread(body))?,
        Some(Type::Process) => ps::delete::process(m, EProcess(body))?,
        Some(Type::Mutant) => {
            // An owned mutant leaves its owner's list, or that would lead into freed memory.
            let mutant = KMutant(body);
            if m.get(mutant.owner_thread())?.is_some() {
                mutant.mutant_list_entry().unlink(m)?;
            }
        }
        _ => {}
    }
    pool::free(m, header(body).0)
}
