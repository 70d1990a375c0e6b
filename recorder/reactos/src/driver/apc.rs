//! The test driver's APCs.

use crate::{ReactOs, ex::pool, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status, program};
use guest::{Pointer, Read, Va, Write};
use machine::{Fault, Machine};

/// The NormalContext of the APCs that the driver queues.
const CONTEXT: u32 = 0xD;

/// A KAPC in OriginalApcEnvironment: 0 special, 1 normal, 2 user. None without pool.
pub(super) fn create(m: &mut Machine, thread: EThread, kind: u32) -> R<Option<KApc>> {
    let Some(at) = pool::allocate(m, pool::tag(b"DAPC"), KApc::EXTENT)? else { return Ok(None) };
    let (normal, mode) = match kind {
        0 => (Va(0), KERNEL_MODE),
        1 => (Ke::DriverApcNormalRoutine.at(), KERNEL_MODE),
        _ => (program::symbol(program::APC), USER_MODE),
    };
    let kernel = Ke::DriverApcKernelRoutine.at();
    let with = ke::apc::Init { kernel, rundown: Va(0), normal, mode, context: CONTEXT };
    ke::apc::init(m, KApc(at), thread, with)?;
    Ok(Some(KApc(at)))
}

/// DriverQueueApc(Thread, Kind): 0 a special kernel APC, 1 a normal kernel APC, 2 a user APC.
pub(crate) fn queue_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let (inserted, thread, apc) = (f.result() != 0, Va(f.local(0)?), Va(f.local(1)?));
        ob::dereference(f.m, thread)?;
        if !inserted {
            pool::free(f.m, apc)?;
        }
        return Ok(Flow::Return(if inserted { Status::SUCCESS } else { Status::UNSUCCESSFUL }.0));
    }
    let (handle, kind) = (f.arg(0)?, f.arg(1)?);
    let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
        Ok(body) => EThread(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let Some(apc) = create(f.m, thread, kind)? else {
        ob::dereference(f.m, thread.0)?;
        return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
    };
    f.set_local(0, thread.0.0)?;
    f.set_local(1, apc.0.0)?;
    f.call(Ke::KeInsertQueueApc.at(), &[apc.0.0, 0, 0, 0], 1)
}

/// DriverRemoveApc(Thread): takes back the first APC of the driver's that is queued to a thread, with
/// KeRemoveQueueApc, and frees it; STATUS_UNSUCCESSFUL when none is queued. The driver leaves the level
/// as KeRemoveQueueApc leaves it.
pub(crate) fn remove_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let (removed, thread, apc) = (f.result() != 0, Va(f.local(0)?), Va(f.local(1)?));
        ob::dereference(f.m, thread)?;
        if removed {
            pool::free(f.m, apc)?;
        }
        return Ok(Flow::Return(if removed { Status::SUCCESS } else { Status::UNSUCCESSFUL }.0));
    }
    let handle = f.arg(0)?;
    let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
        Ok(body) => EThread(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    f.set_local(0, thread.0.0)?;
    let state = thread.tcb().apc_state();
    for list in [state.kernel_list(), state.user_list()] {
        let mut link = f.m.get(list.flink())?;
        while link != list {
            let apc = ke::apc::of_link(link);
            if f.m.get(apc.kernel_routine())? == Ke::DriverApcKernelRoutine.at() {
                f.set_local(1, apc.0.0)?;
                return f.call(Ke::KeRemoveQueueApc.at(), &[apc.0.0], 1);
            }
            link = f.m.get(link.flink())?;
        }
    }
    ob::dereference(f.m, thread.0)?;
    Ok(Flow::Return(Status::UNSUCCESSFUL.0))
}

/// DriverApcNormalRoutine(NormalContext, SystemArgument1, SystemArgument2): counts, and notes whether it
/// got what was queued.
pub(crate) fn normal_routine(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let intact = f.arg(0)? == CONTEXT;
    let (ran, contexts) = (f.m.get(G.driver_apcs())?, f.m.get(G.driver_apc_contexts())?);
    f.m.set(G.driver_apcs(), ran.wrapping_add(1))?;
    f.m.set(G.driver_apc_contexts(), contexts.wrapping_add(u32::from(intact)))?;
    Ok(Flow::Return(0))
}

/// DriverApcCounts(*Ran, *Intact): how many of the driver's normal APC routines ran, and how many of
/// them got the NormalContext that was queued.
pub(crate) fn apc_counts(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (ran_at, intact_at) = (Va(f.arg(0)?), Va(f.arg(1)?));
    let (ran, intact) = (f.m.get(G.driver_apcs())?, f.m.get(G.driver_apc_contexts())?);
    f.m.store(ran_at, ran)?;
    f.m.store(intact_at, intact)?;
    Ok(Flow::Return(Status::SUCCESS.0))
}
