//! The test driver's APCs.

use crate::{ReactOs, ex::pool, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status, program};
use guest::{ListEntry, Pointer, Read, Va, Write, guest_struct};
use machine::{Fault, Machine};

/// NormalContext and system arguments of the APCs that the driver queues.
const VALUES: [u32; 3] = [0xD, 0xE, 0xF];

guest_struct! {
    /// A KAPC of the driver's, and what is to be told when it runs.
    pub(crate) struct DriverApc [0x40] {
        0x00 apc: in KApc,
        /// The event that is set, referenced; or null.
        0x30 event: Va,
        /// Where in the process it runs in the three values are stored; or null.
        0x34 buffer: Va,
        /// In the list of normal APCs whose kernel routine ran and whose normal routine did not yet.
        0x38 link: in ListEntry,
    }
}

/// A KAPC in OriginalApcEnvironment: 0 special, 1 normal, 2 user. None without pool.
pub(super) fn create(m: &mut Machine, thread: EThread, kind: u32) -> R<Option<DriverApc>> {
    let Some(at) = pool::allocate_zeroed(m, pool::tag(b"DAPC"), DriverApc::EXTENT)? else {
        return Ok(None);
    };
    let (normal, mode) = match kind {
        0 => (Va(0), KERNEL_MODE),
        1 => (Ke::DriverApcNormalRoutine.at(), KERNEL_MODE),
        _ => (program::symbol(program::APC), USER_MODE),
    };
    let kernel = Ke::DriverApcKernelRoutine.at();
    let with = ke::apc::Init { kernel, rundown: Va(0), normal, mode, context: VALUES[0] };
    let made = DriverApc(at);
    ke::apc::init(m, made.apc(), thread, with)?;
    Ok(Some(made))
}

/// DriverQueueApc(Thread, Kind): an APC that tells nobody, with system arguments 0.
pub(crate) fn queue_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => queue(f, Va(0), Va(0), [0, 0]),
        _ => queued(f),
    }
}

/// DriverInsertApc(Thread, Kind, Event, Buffer): when a special kernel APC's kernel routine or a normal
/// kernel APC's normal routine runs, the event is set and the values that the routine received are stored
/// in the buffer; either can be 0.
pub(crate) fn insert_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return queued(f);
    }
    let (event, buffer) = (f.arg(2)?, Va(f.arg(3)?));
    let event = match event {
        0 => Va(0),
        handle => match ob::reference(f.m, handle, Some(Type::Event))? {
            Ok(body) => body,
            Err(status) => return Ok(Flow::Return(status.0)),
        },
    };
    queue(f, event, buffer, [VALUES[1], VALUES[2]])
}

/// Queues to the thread of argument 0 what argument 1 says.
fn queue(f: &mut Frame, event: Va, buffer: Va, arguments: [u32; 2]) -> Result<Flow, Fault> {
    let (handle, kind) = (f.arg(0)?, f.arg(1)?);
    let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
        Ok(body) => EThread(body),
        Err(status) => {
            release(f.m, event)?;
            return Ok(Flow::Return(status.0));
        }
    };
    let Some(apc) = create(f.m, thread, kind)? else {
        release(f.m, event)?;
        ob::dereference(f.m, thread.0)?;
        return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
    };
    f.m.set(apc.event(), event)?;
    f.m.set(apc.buffer(), buffer)?;
    f.set_local(0, thread.0.0)?;
    f.set_local(1, apc.0.0)?;
    f.call(Ke::KeInsertQueueApc.at(), &[apc.0.0, arguments[0], arguments[1], 0], 1)
}

fn queued(f: &mut Frame) -> Result<Flow, Fault> {
    let (inserted, thread, apc) = (f.result() != 0, Va(f.local(0)?), DriverApc(Va(f.local(1)?)));
    ob::dereference(f.m, thread)?;
    if !inserted {
        let event = f.m.get(apc.event())?;
        release(f.m, event)?;
        pool::free(f.m, apc.0)?;
    }
    Ok(Flow::Return(if inserted { Status::SUCCESS } else { Status::UNSUCCESSFUL }.0))
}

fn release(m: &mut Machine, event: Va) -> R<()> {
    if event.is_null() { Ok(()) } else { ob::dereference(m, event) }
}

/// DriverApcKernelRoutine(Apc, *Normal, *Context, *Argument1, *Argument2): a special APC runs here; a
/// normal one leaves its block to the normal routine; a user APC is the program's business.
pub(crate) fn kernel_routine(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let made = DriverApc(Va(f.arg(0)?));
    if f.stage != 0 {
        return finish(f, made);
    }
    let apc = made.apc();
    if f.m.get(apc.normal_routine())?.is_null() {
        let mut values = [0; 3];
        for (index, value) in values.iter_mut().enumerate() {
            let place = Va(f.arg(2 + index as u8)?);
            *value = f.m.load(place)?;
        }
        return tell(f, made, values);
    }
    if u32::from(f.m.get(apc.apc_mode())?) == USER_MODE {
        return finish(f, made);
    }
    G.driver_fired().push_back(f.m, made.link())?;
    Ok(Flow::Return(0))
}

/// DriverApcNormalRoutine(NormalContext, SystemArgument1, SystemArgument2): counts, and notes whether it
/// got what was queued.
pub(crate) fn normal_routine(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let made = DriverApc(Va(f.local(0)?));
        return finish(f, made);
    }
    let values = [f.arg(0)?, f.arg(1)?, f.arg(2)?];
    let intact = values[0] == VALUES[0];
    let (ran, contexts) = (f.m.get(G.driver_apcs())?, f.m.get(G.driver_apc_contexts())?);
    f.m.set(G.driver_apcs(), ran.wrapping_add(1))?;
    f.m.set(G.driver_apc_contexts(), contexts.wrapping_add(u32::from(intact)))?;
    // Its own block is the first of this thread's.
    let (head, current) = (G.driver_fired(), ke::current(f.m)?);
    let mut link = f.m.get(head.flink())?;
    while link != head {
        let made = link.owner(DriverApc::link);
        if f.m.get(made.apc().thread())? == current {
            link.unlink(f.m)?;
            f.set_local(0, made.0.0)?;
            return tell(f, made, values);
        }
        link = f.m.get(link.flink())?;
    }
    Ok(Flow::Return(0))
}

/// Stores what was received, and sets the event.
fn tell(f: &mut Frame, made: DriverApc, values: [u32; 3]) -> Result<Flow, Fault> {
    let (event, buffer) = (f.m.get(made.event())?, f.m.get(made.buffer())?);
    if !buffer.is_null() {
        for (index, value) in values.into_iter().enumerate() {
            f.m.store(buffer.add(4 * index as u32), value)?;
        }
    }
    if event.is_null() {
        return finish(f, made);
    }
    f.call(Ke::KeSetEvent.at(), &[event.0, 0, 0], 1)
}

fn finish(f: &mut Frame, made: DriverApc) -> Result<Flow, Fault> {
    let event = f.m.get(made.event())?;
    release(f.m, event)?;
    pool::free(f.m, made.0)?;
    Ok(Flow::Return(0))
}

/// DriverRemoveApc(Thread): takes back the first APC of the driver's that is queued to a thread, with
/// KeRemoveQueueApc, and frees it; STATUS_UNSUCCESSFUL when none is queued. The driver leaves the level
/// as KeRemoveQueueApc leaves it.
pub(crate) fn remove_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let (removed, thread, apc) = (f.result() != 0, Va(f.local(0)?), DriverApc(Va(f.local(1)?)));
        ob::dereference(f.m, thread)?;
        if removed {
            finish(f, apc)?;
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

/// DriverApcCounts(*Ran, *Intact): how many of the driver's normal APC routines ran, and how many of
/// them got the NormalContext that was queued.
pub(crate) fn apc_counts(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (ran_at, intact_at) = (Va(f.arg(0)?), Va(f.arg(1)?));
    let (ran, intact) = (f.m.get(G.driver_apcs())?, f.m.get(G.driver_apc_contexts())?);
    f.m.store(ran_at, ran)?;
    f.m.store(intact_at, intact)?;
    Ok(Flow::Return(Status::SUCCESS.0))
}
