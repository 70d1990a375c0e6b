//! The table of process and thread ids (nt52.md 12.3, 12.6).

use crate::error::Res;
use crate::global::DATA;
use crate::layout::*;
use crate::ob;
use guest::{Fault, Pointer, Read, Va};
use machine::Machine;

/// A new id for a process or thread.
pub(crate) fn create(m: &mut Machine, body: Va) -> Res<u32> {
    let table = m.get(DATA.psp_cid_table())?;
    ob::insert(m, table, body, 0, 0)
}

/// Frees an id. False when there was none.
pub(crate) fn destroy(m: &mut Machine, id: u32) -> Result<bool, Fault> {
    let table = m.get(DATA.psp_cid_table())?;
    if ob::entry(m, table, id)?.is_none() {
        return Ok(false);
    }
    ob::remove(m, table, id)?;
    Ok(true)
}

fn find(m: &mut Machine, id: u32, kind: Kind) -> Result<Option<Va>, Fault> {
    let table = m.get(DATA.psp_cid_table())?;
    let Some(entry) = ob::entry(m, table, id)? else { return Ok(None) };
    let body = ob::object(m, entry)?;
    let header = ob::header(body);
    // An object whose last reference is gone keeps its id until it is deleted, and cannot be had.
    let there = m.get(header.kind())? == kind && m.get(header.pointer_count())? != 0;
    Ok(there.then_some(body))
}

/// PsLookupProcessByProcessId, without the reference.
pub(crate) fn process(m: &mut Machine, id: u32) -> Result<Option<EProcess>, Fault> {
    Ok(find(m, id, Kind::Process)?.map(EProcess::at))
}

/// PsLookupThreadByThreadId, without the reference.
pub(crate) fn thread(m: &mut Machine, id: u32) -> Result<Option<EThread>, Fault> {
    Ok(find(m, id, Kind::Thread)?.map(EThread::at))
}
