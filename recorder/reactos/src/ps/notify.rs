//! Notify routines (reactos.md 3.4 row 17, 9.5 steps 6 and 11, 12.1 items 24 and 25): up to eight of each
//! kind. That of threads is never called for a creation.

use crate::{ReactOs, layout::*};
use contract::{Flow, Frame};
use guest::{Read, Va, Write};
use machine::{Fault, Machine};

/// How many routines of a kind there can be.
const MAXIMUM: u32 = 8;

/// Which list of routines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// PsSetCreateProcessNotifyRoutine's.
    Process,
    /// PsSetCreateThreadNotifyRoutine's.
    Thread,
}

fn slot(kind: Kind, index: u32) -> guest::Slot<Va> {
    let first = match kind {
        Kind::Process => G.process_notify(),
        Kind::Thread => G.thread_notify(),
    };
    guest::Slot::new(first.at.add(4 * index))
}

/// Registers a routine. False when all eight places are taken.
pub(crate) fn register(m: &mut Machine, kind: Kind, routine: Va) -> R<bool> {
    for index in 0..MAXIMUM {
        if m.get(slot(kind, index))?.is_null() {
            m.set(slot(kind, index), routine)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Calls the registered routines from the first to the last with the same three arguments; local 0
/// counts them.
fn run(f: &mut Frame, kind: Kind, args: [u32; 3]) -> Result<Flow, Fault> {
    for index in f.local(0)?..MAXIMUM {
        let routine = f.m.get(slot(kind, index))?;
        if !routine.is_null() {
            f.set_local(0, index + 1)?;
            return f.call(routine, &args, 1);
        }
    }
    Ok(Flow::Return(0))
}

/// PspRunCreateProcessNotifyRoutines(Process, Create): the parent's id, the process's, Create.
pub(crate) fn run_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (process, create) = (f.arg_ptr::<EProcess>(0)?, f.arg(1)?);
    let ids = (f.m.get(process.inherited_from())?, f.m.get(process.unique_process_id())?);
    run(f, Kind::Process, [ids.0, ids.1, create])
}

/// PspRunCreateThreadNotifyRoutines(Thread, Create): the process's id, the thread's, Create.
pub(crate) fn run_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (thread, create) = (f.arg_ptr::<EThread>(0)?, f.arg(1)?);
    let ids = (f.m.get(thread.unique_process())?, f.m.get(thread.unique_thread())?);
    run(f, Kind::Thread, [ids.0, ids.1, create])
}
