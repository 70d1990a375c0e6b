//! Thread ids: a counter and a list (reactos.md 2.8, 4.2 step 3).

use crate::{ex::pool, layout::*};
use guest::{Pointer, Read, Write};
use machine::Machine;

/// PsCreateCidHandle: a new id for a thread. None without pool; the counter has not moved then, since the
/// record is allocated before it is numbered (the sheet leaves the order open).
pub(crate) fn create(m: &mut Machine, thread: EThread) -> R<Option<u32>> {
    let id = m.get(G.cid_counter())? + 1;
    let Some(at) = pool::allocate_zeroed(m, pool::tag(b"CIDO"), CidObject::EXTENT)? else { return Ok(None) };
    m.set(G.cid_counter(), id)?;
    let cid = CidObject(at);
    m.set(cid.ref_count(), 1)?;
    m.set(cid.handle(), id)?;
    m.set(cid.object(), thread.0)?;
    G.cid_head().push_back(m, cid.entry())?;
    Ok(Some(id))
}

/// The record of an id, while it is valid.
pub(crate) fn find(m: &mut Machine, id: u32) -> R<Option<CidObject>> {
    let head = G.cid_head();
    let mut link = m.get(head.flink())?;
    while link != head {
        let cid = link.owner(CidObject::entry);
        if m.get(cid.handle())? == id {
            return Ok(Some(cid));
        }
        link = m.get(link.flink())?;
    }
    Ok(None)
}

/// PsDeleteCidHandle: an id that is not valid (any more) is no failure that anybody sees.
pub(crate) fn delete(m: &mut Machine, id: u32) -> R<()> {
    if let Some(cid) = find(m, id)? {
        cid.entry().unlink(m)?;
        pool::free(m, cid.0)?;
    }
    Ok(())
}
