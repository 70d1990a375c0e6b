//! Queuing APCs (reactos.md 7.1, 7.2, 7.3, 7.9).

use crate::{ReactOs, ex::pool, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{ListEntry, Pointer, Read, Va, Write};
use machine::{Fault, Machine};

/// What KeInitializeApc takes besides the APC and the thread.
pub(crate) struct Init {
    /// The kernel routine.
    pub(crate) kernel: Va,
    /// The rundown routine, or null. Nothing at that time ever calls one.
    pub(crate) rundown: Va,
    /// The normal routine, or null for a special kernel APC.
    pub(crate) normal: Va,
    /// The mode of the normal routine.
    pub(crate) mode: u32,
    /// The normal routine's context.
    pub(crate) context: u32,
}

/// KeInitializeApc with OriginalApcEnvironment (7.1): without a normal routine the context is dropped.
pub(crate) fn init(m: &mut Machine, apc: KApc, thread: EThread, with: Init) -> R<()> {
    m.zero(apc.0, KApc::EXTENT)?;
    m.set(apc.kind(), APC_TYPE)?;
    m.set(apc.size(), KApc::EXTENT as u16)?;
    m.set(apc.thread(), thread)?;
    m.set(apc.kernel_routine(), with.kernel)?;
    m.set(apc.rundown_routine(), with.rundown)?;
    m.set(apc.normal_routine(), with.normal)?;
    if !with.normal.is_null() {
        m.set(apc.apc_mode(), with.mode as u8)?;
        m.set(apc.normal_context(), with.context)?;
    }
    Ok(())
}

/// KeInsertQueueApc under the dispatcher lock (7.2 steps 1 to 7).
pub(crate) fn insert(m: &mut Machine, apc: KApc, argument1: u32, argument2: u32) -> R<bool> {
    let thread = m.get(apc.thread())?;
    let tcb = thread.tcb();
    if m.get(tcb.apc_queueable())? == 0 {
        return Ok(false);
    }
    m.set(apc.system_argument1(), argument1)?;
    m.set(apc.system_argument2(), argument2)?;
    if m.get(apc.inserted())? != 0 {
        return Ok(false);
    }
    let state = match m.get(apc.apc_state_index())? {
        0 => m.get(tcb.apc_state_original())?,
        _ => m.get(tcb.apc_state_attached())?,
    };
    let user = u32::from(m.get(apc.apc_mode())?) != KERNEL_MODE;
    let list = if user { state.user_list() } else { state.kernel_list() };
    // A special kernel APC should go before the normal ones; the loop that looks for its place tests
    // the new APC and not the queued ones, and ends at the tail (step 4b).
    list.push_back(m, apc.apc_list_entry())?;
    m.set(apc.inserted(), 1)?;
    let blocked = m.get(tcb.state())? == ThreadState::Blocked;
    if user {
        let by_user = u32::from(m.get(tcb.wait_mode())?) == USER_MODE;
        if blocked && by_user && m.get(tcb.alertable())? != 0 {
            m.set(tcb.apc_state().user_apc_pending(), 1)?;
            ke::wake::abort(m, thread, Status::USER_APC)?;
        }
    } else {
        m.set(tcb.apc_state().kernel_apc_pending(), 1)?;
        if m.get(tcb.state())? == ThreadState::Running {
            m.set(PCR.apc_request(), 1)?;
        } else if blocked && m.get(tcb.wait_irql())? < irql::APC && m.get(apc.normal_routine())?.is_null() {
            ke::wake::abort(m, thread, Status::KERNEL_APC)?;
        }
    }
    Ok(true)
}

/// KeInsertQueueApc(Apc, SystemArgument1, SystemArgument2, Increment): a kernel APC queued to oneself
/// may be delivered by the release of the lock.
pub(crate) fn ke_insert_queue_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        let (apc, first, second) = (f.arg_ptr::<KApc>(0)?, f.arg(1)?, f.arg(2)?);
        let old = ke::irql::raise(f.m, irql::DISPATCH)?;
        let inserted = insert(f.m, apc, first, second)?;
        f.set_local(0, u32::from(inserted))?;
        return f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 1);
    }
    Ok(Flow::Return(f.local(0)?))
}

/// KeRemoveQueueApc(Apc): whether it was queued (7.3). The second lock overwrites the level that the
/// first one saved, so it comes back at DISPATCH_LEVEL, whatever the caller's level was.
pub(crate) fn ke_remove_queue_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let apc: KApc = f.arg_ptr(0)?;
    ke::irql::raise(f.m, irql::DISPATCH)?;
    if f.m.get(apc.inserted())? == 0 {
        return Ok(Flow::Return(0));
    }
    let tcb = f.m.get(apc.thread())?.tcb();
    let state = match f.m.get(apc.apc_state_index())? {
        0 => f.m.get(tcb.apc_state_original())?,
        _ => f.m.get(tcb.apc_state_attached())?,
    };
    apc.apc_list_entry().unlink(f.m)?;
    f.m.set(apc.inserted(), 0)?;
    let (list, pending) = if u32::from(f.m.get(apc.apc_mode())?) == KERNEL_MODE {
        (state.kernel_list(), state.kernel_apc_pending())
    } else {
        (state.user_list(), state.user_apc_pending())
    };
    if list.is_empty(f.m)? {
        f.m.set(pending, 0)?;
    }
    Ok(Flow::Return(1))
}

/// The APC of a link in an APC list.
pub(crate) fn of_link(link: ListEntry) -> KApc {
    link.owner(KApc::apc_list_entry)
}

/// A kernel routine that frees its KAPC: of the LdrInit APC, of the terminate APC, of
/// NtQueueApcThread's APC and of the test driver's.
pub(crate) fn free_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let apc = Va(f.arg(0)?);
    pool::free(f.m, apc)?;
    Ok(Flow::Return(0))
}

/// A rundown routine that frees its KAPC. Nobody calls it.
pub(crate) fn free_apc_rundown(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let apc = Va(f.arg(0)?);
    pool::free(f.m, apc)?;
    Ok(Flow::Return(0))
}

/// A kernel routine that does nothing.
pub(crate) fn no_operation(_: &ReactOs, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(0))
}

/// NtQueueApcThread(ThreadHandle, ApcRoutine, Context, Argument1, Argument2) (7.9).
///
/// For a user thread that has ended the sheet is of two minds: 7.9 and item 16 speak of success, but 9.5
/// step 8 clears the Teb before the thread is signaled, and without a Teb the service refuses. The steps
/// are taken at their word; KeInsertQueueApc itself still accepts such a thread.
pub(crate) fn nt_queue_apc_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let (inserted, thread) = (f.result() != 0, Va(f.local(0)?));
        ob::dereference(f.m, thread)?;
        // The KAPC leaks when it was not inserted.
        return Ok(Flow::Return(if inserted { Status::SUCCESS } else { Status::UNSUCCESSFUL }.0));
    }
    let (handle, routine, context) = (f.arg(0)?, Va(f.arg(1)?), f.arg(2)?);
    let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
        Ok(body) => EThread(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    if f.m.get(thread.tcb().teb())?.is_null() {
        ob::dereference(f.m, thread.0)?;
        return Ok(Flow::Return(Status::INVALID_HANDLE.0));
    }
    let Some(at) = pool::allocate(f.m, pool::tag(b"KAPC"), KApc::EXTENT)? else {
        ob::dereference(f.m, thread.0)?;
        return Ok(Flow::Return(Status::NO_MEMORY.0));
    };
    let kernel = Ke::NtQueueApcRoutine.at();
    init(f.m, KApc(at), thread, Init { kernel, rundown: Va(0), normal: routine, mode: USER_MODE, context })?;
    f.set_local(0, thread.0.0)?;
    let (first, second) = (f.arg(3)?, f.arg(4)?);
    f.call(Ke::KeInsertQueueApc.at(), &[at.0, first, second, 0], 1)
}
