//! Deleting processes and threads (nt52.md 4.3, 9.10). The system worker calls these.

use super::{cid, token};
use crate::Nt;
use crate::ke::{attach, bugcheck, thread as kthread};
use crate::layout::*;
use crate::mm::process as memory;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Write};

/// PspThreadDelete(Thread).
pub(crate) fn psp_thread_delete(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = f.arg_ptr::<EThread>(0)?;
    kthread::uninit(f.m, thread.tcb())?;
    let id = f.m.get(thread.unique_thread())?;
    // A thread whose creation failed for want of an id has none.
    if id != 0 && !cid::destroy(f.m, id)? {
        return bugcheck::stop(f, bugcheck::CID_HANDLE_DELETION, [0; 4]);
    }
    let Some(process) = f.m.get(thread.threads_process())? else { return Ok(Flow::Return(0)) };
    if !f.m.get(thread.thread_list_entry().flink())?.va().is_null() {
        thread.thread_list_entry().unlink(f.m)?;
    }
    ob::dereference(f.m, process.va())?;
    Ok(Flow::Return(0))
}

/// PspProcessDelete(Process). Local 0 is whether the worker is attached, 1 to 6
/// hold the KAPC_STATE.
pub(crate) fn psp_process_delete(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let process = f.arg_ptr::<EProcess>(0)?;
    match f.stage {
        0 => {
            process.active_process_links().unlink(f.m)?;
            let count = f.m.get(process.pcb().stack_count())? + 1;
            f.m.set(process.pcb().stack_count(), count)?;
            if let Some(debug) = f.m.get(process.debug_port())? {
                ob::dereference(f.m, debug.va())?;
            }
            let section = f.m.get(process.section_object())?;
            if !section.is_null() {
                ob::dereference(f.m, section)?;
            }
            if f.m.get(process.object_table())?.is_none() {
                return leave(f, process);
            }
            if has_address_space(f, process)? {
                attach(f, process)?;
            }
            f.call(Ke::ObKillProcess.at(), &[process.va().0], 1)
        }
        1 => match detach(f)? {
            false => bugcheck::stop(f, bugcheck::INVALID_PROCESS_DETACH_ATTEMPT, [0; 4]),
            true => leave(f, process),
        },
        _ => {
            if !detach(f)? {
                return bugcheck::stop(f, bugcheck::INVALID_PROCESS_DETACH_ATTEMPT, [0; 4]);
            }
            memory::delete(f.m, process)?;
            free_id(f, process)
        }
    }
}

fn has_address_space(f: &mut Frame, process: EProcess) -> Result<bool, Fault> {
    Ok(f.m.get(process.flags())? & process_flags::HAS_ADDRESS_SPACE != 0)
}

fn state(f: &Frame) -> ApcState {
    ApcState::at(f.block(1, attach::STATE_WORDS))
}

fn attach(f: &mut Frame, process: EProcess) -> Result<(), Fault> {
    f.set_local(0, 1)?;
    let state = state(f);
    attach::attach(f.m, process.pcb(), state)
}

/// Detaches, if the worker is attached. False when it may not.
fn detach(f: &mut Frame) -> Result<bool, Fault> {
    if f.local(0)? == 0 {
        return Ok(true);
    }
    f.set_local(0, 0)?;
    let state = state(f);
    attach::detach(f.m, state)
}

/// The address space, if the process got as far as having one.
fn leave(f: &mut Frame, process: EProcess) -> Result<Flow, Fault> {
    if !has_address_space(f, process)? {
        return free_id(f, process);
    }
    attach(f, process)?;
    f.call(Ke::PspExitProcess.at(), &[0, process.va().0], 2)
}

fn free_id(f: &mut Frame, process: EProcess) -> Result<Flow, Fault> {
    let id = f.m.get(process.unique_process_id())?;
    if id != 0 && !cid::destroy(f.m, id)? {
        return bugcheck::stop(f, bugcheck::CID_HANDLE_DELETION, [1, 0, 0, 0]);
    }
    token::drop(f.m, process)?;
    Ok(Flow::Return(0))
}
