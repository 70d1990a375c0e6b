//! Attaching to another process, with the list damage of that time (reactos.md 7.4).

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame};
use guest::{ListEntry, Pointer, Read, Write};
use machine::{Fault, Machine};

/// KiMoveApcState(Old, New): copies the state, then sets the list heads anew with the roles swapped. The
/// old heads get what the new ones hold, and the first and last entry are led to the *old* head; so after
/// a detach the entries are linked to the saved head, while the live one points at them and never gets
/// empty.
///
/// The sheet says that a round trip with empty queues works, and not by which accident: an empty list is
/// made an empty list here.
fn move_state(m: &mut Machine, old: KApcState, new: KApcState) -> R<()> {
    let lists = [(old.kernel_list(), new.kernel_list()), (old.user_list(), new.user_list())];
    let empty = [lists[0].0.is_empty(m)?, lists[1].0.is_empty(m)?];
    let raw: [u8; 0x18] = m.load(old.0)?;
    m.store(new.0, raw)?;
    for ((old, new), empty) in lists.into_iter().zip(empty) {
        if empty {
            new.init(m)?;
            continue;
        }
        let (first, last): (ListEntry, ListEntry) = (m.get(new.flink())?, m.get(new.blink())?);
        m.set(old.flink(), first)?;
        m.set(old.blink(), last)?;
        m.set(first.blink(), old)?;
        m.set(last.flink(), old)?;
    }
    Ok(())
}

/// Makes a process's address space the current one.
fn load_directory(m: &mut Machine, process: KProcess) -> R<()> {
    m.cpu.cr3 = m.get(process.directory_table_base())?;
    Ok(())
}

/// KeAttachProcess(Process): nothing at all while any attachment is active, or when the process is the
/// current one. Nobody calls it inside a DPC here, where it would be bugcheck 5.
pub(crate) fn ke_attach_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let process = KProcess::at(f.arg_ptr::<EProcess>(0)?.0);
    let tcb = ke::current(f.m)?.tcb();
    let (live, saved) = (tcb.apc_state(), tcb.saved_apc_state());
    let nothing = f.m.get(tcb.apc_state_index())? != 0 || f.m.get(live.process())? == Some(process);
    if f.stage != 0 || nothing {
        return Ok(Flow::Return(0));
    }
    let old = ke::irql::raise(f.m, irql::DISPATCH)?;
    move_state(f.m, live, saved)?;
    live.kernel_list().init(f.m)?;
    live.user_list().init(f.m)?;
    for flag in [live.kernel_apc_in_progress(), live.kernel_apc_pending(), live.user_apc_pending()] {
        f.m.set(flag, 0)?;
    }
    f.m.set(live.process(), Some(process))?;
    f.m.set(tcb.apc_state_original(), saved)?;
    f.m.set(tcb.apc_state_attached(), live)?;
    f.m.set(tcb.apc_state_index(), 1)?;
    load_directory(f.m, process)?;
    f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 1)
}

/// KeDetachProcess(): bugcheck 6 when nothing is attached.
pub(crate) fn ke_detach_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let tcb = ke::current(f.m)?.tcb();
    if f.m.get(tcb.apc_state_index())? == 0 {
        return f.call(Ke::KeBugCheck.at(), &[stop::INVALID_PROCESS_DETACH_ATTEMPT], 1);
    }
    let (live, saved) = (tcb.apc_state(), tcb.saved_apc_state());
    let old = ke::irql::raise(f.m, irql::DISPATCH)?;
    move_state(f.m, saved, live)?;
    f.m.set(tcb.apc_state_original(), live)?;
    f.m.set(tcb.apc_state_attached(), saved)?;
    f.m.set(tcb.apc_state_index(), 0)?;
    if let Some(process) = f.m.get(live.process())? {
        load_directory(f.m, process)?;
    }
    f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 1)
}
