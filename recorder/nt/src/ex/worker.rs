//! The system worker: the reaper of exited threads, and the deleter of processes and threads whose
//! last reference is gone (nt52.md 9.11). It runs above all user threads, so that what it does is done
//! by the time that anybody looks.

use crate::Nt;
use crate::global::DATA;
use crate::ke::{sync, thread};
use crate::layout::*;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// Wakes the worker.
pub(crate) fn wake(m: &mut Machine) -> Result<(), Fault> {
    sync::set_event(m, DATA.worker_event(), 0)?;
    Ok(())
}

/// Puts a thread that ends on the reaper's list.
pub(crate) fn push_reaper(m: &mut Machine, thread: EThread) -> Result<(), Fault> {
    let first = m.get(DATA.ki_reaper_list())?;
    m.set(thread.reaper_link(), first)?;
    m.set(DATA.ki_reaper_list(), Some(thread))?;
    wake(m)
}

/// PspReaper and ObpProcessRemoveObjectQueue: ExpWorkerThread(Context). Local 0 is the object that is
/// being deleted.
pub(crate) fn exp_worker_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 2 {
        let body = Va(f.local(0)?);
        ob::free(f.m, body)?;
    }
    while let Some(dead) = f.m.get(DATA.ki_reaper_list())? {
        let next = f.m.get(dead.reaper_link())?;
        f.m.set(DATA.ki_reaper_list(), next)?;
        thread::uninit(f.m, dead.tcb())?;
        ob::dereference(f.m, dead.va())?;
    }
    let body = f.m.get(DATA.obp_remove_list())?;
    if body.is_null() {
        let event = DATA.worker_event().va().0;
        return f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, KERNEL, 0, 0], 1);
    }
    let header = ob::header(body);
    let next = f.m.get(header.remove_link())?;
    f.m.set(DATA.obp_remove_list(), next)?;
    f.set_local(0, body.0)?;
    let delete = match f.m.get(header.kind())? {
        Kind::Process => Ke::PspProcessDelete,
        _ => Ke::PspThreadDelete,
    };
    f.call(delete.at(), &[body.0], 2)
}

/// The routine of the thread that cases aim at: it waits for ever, in kernel mode, not alertable.
pub(crate) fn idle_system_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let event = DATA.system_thread_event().va().0;
            f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, KERNEL, 0, 0], 1)
        }
        _ => Ok(Flow::Return(0)),
    }
}
