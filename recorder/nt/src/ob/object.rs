//! Objects: creation, references, deletion. An object whose last reference goes is deleted at once
//! when that does nothing but free memory; processes and threads are deleted by the system worker,
//! which the field does for references dropped at raised IRQL.

use crate::error::Res;
use crate::ex::{pool, worker};
use crate::global::DATA;
use crate::ke::sync;
use crate::layout::*;
use contract::{ObjectId, ObjectKind, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// Size and pool tag of each type's bodies.
fn shape(kind: Kind) -> (u32, u32) {
    match kind {
        Kind::Process => (EProcess::EXTENT, pool::tag(b"Proc")),
        Kind::Thread => (EThread::EXTENT, pool::tag(b"Thre")),
        Kind::Event => (DispatcherHeader::EXTENT, pool::tag(b"Even")),
        Kind::Mutant => (KMutant::EXTENT, pool::tag(b"Muta")),
        Kind::Semaphore => (KSemaphore::EXTENT, pool::tag(b"Sema")),
        Kind::Section => (Section::EXTENT, pool::tag(b"Sect")),
        Kind::DebugObject | Kind::Unknown(_) => (DebugObject::EXTENT, pool::tag(b"DbgO")),
    }
}

/// What an object is called outside.
pub(crate) fn object_kind(kind: Kind) -> Option<ObjectKind> {
    Some(match kind {
        Kind::Process => ObjectKind::Process,
        Kind::Thread => ObjectKind::Thread,
        Kind::Event => ObjectKind::Event,
        Kind::Mutant => ObjectKind::Mutant,
        Kind::Semaphore => ObjectKind::Semaphore,
        Kind::Section => ObjectKind::Section,
        Kind::DebugObject => ObjectKind::DebugObject,
        Kind::Unknown(_) => return None,
    })
}

/// ObCreateObject: a zeroed body with one reference.
pub(crate) fn create(m: &mut Machine, kind: Kind) -> Res<Va> {
    let (size, tag) = shape(kind);
    let Some(block) = pool::allocate(m, ObjectHeader::EXTENT + size, tag)? else {
        return Err(Status::INSUFFICIENT_RESOURCES.into());
    };
    let header = ObjectHeader::at(block);
    m.set(header.pointer_count(), 1)?;
    m.set(header.kind(), kind)?;
    Ok(block.add(ObjectHeader::EXTENT))
}

/// The header of an object.
pub(crate) fn header(body: Va) -> ObjectHeader {
    ObjectHeader::at(body.sub(ObjectHeader::EXTENT))
}

/// The object's identity.
pub(crate) fn id(m: &mut impl Read, body: Va) -> Option<ObjectId> {
    let block = pool::header(header(body).va());
    let serial = m.get(block.serial()).ok()?;
    Some(ObjectId { at: body, serial })
}

/// Whether an object is still there.
pub(crate) fn exists(m: &mut impl Read, id: ObjectId) -> bool {
    let block = pool::header(header(id.at).va());
    m.get(block.state()) == Ok(pool::IN_USE) && m.get(block.serial()) == Ok(id.serial)
}

/// ObReferenceObject.
pub(crate) fn reference(m: &mut Machine, body: Va) -> Result<(), Fault> {
    let slot = header(body).pointer_count();
    let count = m.get(slot)?;
    m.set(slot, count + 1)
}

/// ObReferenceObjectSafe: not when the object is on its way out.
pub(crate) fn reference_safe(m: &mut Machine, body: Va) -> Result<bool, Fault> {
    if m.get(header(body).pointer_count())? == 0 {
        return Ok(false);
    }
    reference(m, body)?;
    Ok(true)
}

/// ObDereferenceObject.
pub(crate) fn dereference(m: &mut Machine, body: Va) -> Result<(), Fault> {
    let header = header(body);
    let count = m.get(header.pointer_count())? - 1;
    m.set(header.pointer_count(), count)?;
    if count != 0 {
        return Ok(());
    }
    match m.get(header.kind())? {
        Kind::Process | Kind::Thread => {
            let first = m.get(DATA.obp_remove_list())?;
            m.set(header.remove_link(), first)?;
            m.set(DATA.obp_remove_list(), body)?;
            worker::wake(m)
        }
        kind => {
            // A mutant that goes while it is owned leaves its owner's list first.
            let mutant = KMutant::at(body);
            if kind == Kind::Mutant && m.get(mutant.owner_thread())?.is_some() {
                sync::release_mutant(m, mutant, true)?;
            }
            free(m, body)
        }
    }
}

/// Gives a deleted object's memory back.
pub(crate) fn free(m: &mut Machine, body: Va) -> Result<(), Fault> {
    pool::free(m, header(body).va())
}
