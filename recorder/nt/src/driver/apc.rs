//! The driver's APCs: queued, counted when they run, and taken back (nt52.md 7.3, 7.5, 7.6).
//!
//! An APC of the driver is a pool block: the KAPC, and behind it what is to happen when it runs. All
//! of them hang in one list, so that one can be found by its thread. A special kernel APC runs when its
//! kernel routine does, a normal one when its normal routine does; of a user APC the driver sees no
//! more than the kernel routine.

use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::ex::pool;
use crate::global::DATA;
use crate::ke::thread::current;
use crate::ke::{apc, sync};
use crate::layout::*;
use crate::mm::access;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status, program};
use guest::{Fault, ListEntry, Pointer, Read, Va, Write, guest_struct, walk};
use machine::Machine;

guest_struct! {
    /// An APC of the driver.
    pub(crate) struct DriverApc [0x48] {
        0x00 apc: in KApc,
        0x30 links: in ListEntry,
        // The event that is set when the APC runs, with a reference; none if null.
        0x38 event: Va,
        // Where in user space the arguments that arrive are stored; nowhere if 0.
        0x3C buffer: u32,
        // The kernel routine of a normal kernel APC has run, its normal routine has not.
        0x40 running: u32,
    }
}

/// NormalContext and the system arguments of every APC.
const CONTEXT: u32 = 0xD;
const ARGUMENTS: (u32, u32) = (0xE, 0xF);

/// What an APC is (the door's numbers).
const SPECIAL: u32 = 0;
const NORMAL: u32 = 1;

fn all(m: &mut Machine) -> Vec<DriverApc> {
    walk(m, DATA.driver_apcs(), DriverApc::links).unwrap_or_default()
}

/// A new APC for a thread, not queued yet; none without pool.
fn create(m: &mut Machine, thread: KThread, kind: u32) -> Result<Option<DriverApc>, Fault> {
    let Some(at) = pool::allocate(m, DriverApc::EXTENT, pool::tag(b"Drvr"))? else { return Ok(None) };
    let (normal, mode) = match kind {
        SPECIAL => (Va(0), KERNEL),
        NORMAL => (Ke::DriverNormalApc.at(), KERNEL),
        _ => (program::symbol(program::APC), USER),
    };
    let with = apc::Init {
        environment: apc::ORIGINAL,
        kernel: Ke::DriverKernelRoutine.at(),
        rundown: Ke::DriverRundown.at(),
        normal,
        mode,
        context: CONTEXT,
    };
    let new = DriverApc::at(at);
    apc::init(m, new.apc(), thread, with)?;
    let list: ListEntry = DATA.driver_apcs();
    list.push_back(m, new.links())?;
    Ok(Some(new))
}

fn destroy(m: &mut Machine, it: DriverApc) -> Result<(), Fault> {
    it.links().unlink(m)?;
    let event = m.get(it.event())?;
    if !event.is_null() {
        ob::dereference(m, event)?;
    }
    pool::free(m, it.va())
}

/// Queues an APC to a thread; it is gone again when it cannot be queued.
pub(super) fn queue(m: &mut Machine, thread: KThread, kind: u32, event: Va, buffer: u32) -> Res<()> {
    let Some(new) = create(m, thread, kind)? else { return Err(Status::INSUFFICIENT_RESOURCES.into()) };
    if !event.is_null() {
        ob::reference(m, event)?;
        m.set(new.event(), event)?;
    }
    m.set(new.buffer(), buffer)?;
    if !apc::insert(m, new.apc(), ARGUMENTS, 0)? {
        destroy(m, new)?;
        return Err(Status::UNSUCCESSFUL.into());
    }
    Ok(())
}

fn target(m: &mut Machine, handle: u32) -> Res<KThread> {
    Ok(KThread::at(ob::lookup(m, handle, 0, Some(Kind::Thread), KERNEL)?.0))
}

/// DriverQueueApc(Thread, Kind): 0 special kernel, 1 normal kernel, 2 user.
pub(crate) fn driver_queue_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, kind) = (f.arg(0)?, f.arg(1)?);
    let thread = attempt!(target(f.m, handle));
    attempt!(queue(f.m, thread, kind, Va(0), 0));
    done(Status::SUCCESS)
}

/// DriverInsertApc(Thread, Kind, Event, Buffer): as DriverQueueApc. When the APC runs, the event is set,
/// and the three values that its routine received are stored at Buffer in the process it runs in.
pub(crate) fn driver_insert_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, kind, event, buffer) = (f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?);
    let thread = attempt!(target(f.m, handle));
    let event = match event {
        0 => Va(0),
        handle => attempt!(ob::lookup(f.m, handle, 0, Some(Kind::Event), KERNEL)).0,
    };
    attempt!(queue(f.m, thread, kind, event, buffer));
    done(Status::SUCCESS)
}

/// Does what an APC was queued for, and drops it.
fn run(m: &mut Machine, it: DriverApc, received: [u32; 3]) -> Result<(), Fault> {
    let (event, buffer) = (m.get(it.event())?, m.get(it.buffer())?);
    if buffer != 0 {
        let raw: Vec<u8> = received.iter().flat_map(|word| word.to_le_bytes()).collect();
        access::resolve(m, Va(buffer).page())?;
        // A driver would guard this; a buffer that is not there gets nothing.
        let _ = m.put(Va(buffer), &raw);
    }
    if !event.is_null() {
        sync::set_event(m, DispatcherHeader::at(event), 0)?;
    }
    destroy(m, it)
}

/// DriverKernelRoutine(Apc, NormalRoutine, NormalContext, SystemArgument1, SystemArgument2).
pub(crate) fn driver_kernel_routine(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let it = f.arg_ptr::<DriverApc>(0)?;
    let (normal, mode) = (f.m.get(it.apc().normal_routine())?, f.m.get(it.apc().apc_mode())?);
    if !normal.is_null() && u32::from(mode) == KERNEL {
        f.m.set(it.running(), 1)?;
        return Ok(Flow::Return(0));
    }
    let mut received = [0; 3];
    for (index, value) in received.iter_mut().enumerate() {
        let at = Va(f.arg(2 + index as u8)?);
        *value = f.m.load(at)?;
    }
    run(f.m, it, received)?;
    Ok(Flow::Return(0))
}

/// DriverNormalApc(NormalContext, SystemArgument1, SystemArgument2), at PASSIVE_LEVEL. Only one normal
/// kernel APC of a thread is in progress at a time, so that it is known by its thread.
pub(crate) fn driver_normal_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let received = [f.arg(0)?, f.arg(1)?, f.arg(2)?];
    let ran = f.m.get(DATA.driver_apcs_ran())? + 1;
    f.m.set(DATA.driver_apcs_ran(), ran)?;
    if received[0] == CONTEXT {
        let intact = f.m.get(DATA.driver_apcs_intact())? + 1;
        f.m.set(DATA.driver_apcs_intact(), intact)?;
    }
    let thread = current(f.m)?.tcb();
    for it in all(f.m) {
        if f.m.get(it.apc().thread())? == thread && f.m.get(it.running())? != 0 {
            run(f.m, it, received)?;
            break;
        }
    }
    Ok(Flow::Return(0))
}

/// DriverRundown(Apc): the thread has ended before the APC ran.
pub(crate) fn driver_rundown(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let it = f.arg_ptr::<DriverApc>(0)?;
    destroy(f.m, it)?;
    Ok(Flow::Return(0))
}

/// DriverApcCounts(OUT Ran, OUT Intact): normal kernel APC routines that ran, and those of them that got
/// the NormalContext which they were queued with.
pub(crate) fn driver_apc_counts(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (ran, intact) = (f.m.get(DATA.driver_apcs_ran())?, f.m.get(DATA.driver_apcs_intact())?);
    let (ran_at, intact_at) = (Va(f.arg(0)?), Va(f.arg(1)?));
    attempt!(access::write(f.m, ran_at, ran));
    attempt!(access::write(f.m, intact_at, intact));
    done(Status::SUCCESS)
}

/// DriverRemoveApc(Thread): KeRemoveQueueApc on the first of the driver's APCs that is queued to the
/// thread. STATUS_UNSUCCESSFUL when there is none.
pub(crate) fn driver_remove_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    let thread = attempt!(target(f.m, handle));
    for it in all(f.m) {
        if f.m.get(it.apc().thread())? == thread && apc::remove(f.m, it.apc())? {
            destroy(f.m, it)?;
            return done(Status::SUCCESS);
        }
    }
    done(Status::UNSUCCESSFUL)
}
