//! What becomes of a thread or process when its last reference goes (reactos.md 9.9).

use crate::{layout::*, mm, ob, ps};
use guest::{Read, Va, Write};
use machine::Machine;

/// PiDeleteThread. A thread that never got as far as having a process (4.2 step 3) is in no list: its
/// null links fault.
pub(crate) fn thread(m: &mut Machine, thread: EThread) -> R<()> {
    let process = m.get(thread.threads_process())?;
    m.set(thread.threads_process(), None)?;
    let id = m.get(thread.unique_thread())?;
    if id != 0 {
        ps::cid::delete(m, id)?;
    }
    // KeReleaseThread.
    let tcb = thread.tcb();
    tcb.thread_list_entry().unlink(m)?;
    let top = m.get(tcb.stack_base())?;
    if !top.is_null() {
        mm::pages::delete_stack(m, top)?;
        for slot in [tcb.initial_stack(), tcb.stack_base(), tcb.kernel_stack(), tcb.stack_limit()] {
            m.set(slot, Va(0))?;
        }
    }
    ob::dereference(m, process.map_or(Va(0), |process| process.0))
}

/// PiDeleteProcess, as one step; it never concerns the current process, which its current thread
/// references.
pub(crate) fn process(m: &mut Machine, process: EProcess) -> R<()> {
    process.process_list_entry().unlink(m)?;
    ob::handle::delete_table(m, process)?;
    mm::space::delete(m, process)
}
