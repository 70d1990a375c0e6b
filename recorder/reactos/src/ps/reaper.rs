//! System threads: the reaper (reactos.md 9.9), and the one that cases aim at.

use crate::{ReactOs, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame};
use guest::{Read, Write};
use machine::Fault;

/// PsReaperThreadMain(Context): waits for the event, and drops the creation reference of every thread
/// in the queue.
pub(crate) fn reaper_main(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 1 {
        return f.call(Ke::PsReapThreads.at(), &[], 2);
    }
    let event = G.reaper_event().0.0;
    f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, KERNEL_MODE, 0, 0], 1)
}

/// PsReapThreads().
pub(crate) fn reap_threads(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let Some(link) = G.threads_to_reap().pop_front(f.m)? else { return Ok(Flow::Return(0)) };
    let waiting = f.m.get(G.nr_threads_awaiting_reaping())?;
    f.m.set(G.nr_threads_awaiting_reaping(), waiting - 1)?;
    let thread = link.owner(EThread::termination_port_list);
    ob::dereference(f.m, thread.0)?;
    // The lock is released between two threads.
    f.call(Ke::KfLowerIrql.at(), &[u32::from(irql::PASSIVE)], 1)
}

/// PiWakeupReaperThread(), at DISPATCH_LEVEL in the epilogue of a switch.
pub(crate) fn wakeup_reaper(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    ke::event::set(f.m, G.reaper_event(), 0)?;
    Ok(Flow::Return(0))
}

/// The start routine of the system thread that cases aim at: a wait for good.
pub(crate) fn system_thread_main(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let event = G.never_event().0.0;
    f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, KERNEL_MODE, 0, 0], 1)
}
