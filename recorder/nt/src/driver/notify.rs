//! Create and exit notify routines (nt52.md 3.1 step 26, 4.2 step 17, 9.6 step 8, 9.8 step 2), and the
//! driver's, which count.

use crate::Nt;
use crate::error::{attempt, done};
use crate::global::DATA;
use crate::mm::access;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Read, Slot, Va, Write};
use machine::Machine;

/// Routines that can be registered of each kind. The sheet is silent; documented drivers were told of
/// this limit.
const MOST: u32 = 8;

/// About what a routine is told (the door's numbers).
pub(crate) const PROCESSES: u32 = 0;
pub(crate) const THREADS: u32 = 1;

fn registered(kind: u32) -> Slot<u32> {
    if kind == PROCESSES { DATA.process_notify_routines() } else { DATA.thread_notify_routines() }
}

/// Whether a routine is registered, so that it has to be called.
pub(crate) fn is_wanted(m: &mut Machine, kind: u32) -> Result<bool, Fault> {
    Ok(m.get(registered(kind))? != 0)
}

/// PspCallNotifyRoutines(Kind, Id, OtherId, Create): every routine of a kind in the order in which they
/// were registered. All that can be registered is the driver's own. Local 0 counts.
pub(crate) fn psp_call_notify_routines(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (kind, next) = (f.arg(0)?, f.local(0)?);
    if next == f.m.get(registered(kind))? {
        return Ok(Flow::Return(0));
    }
    f.set_local(0, next + 1)?;
    let routine = if kind == PROCESSES { Ke::DriverProcessNotify } else { Ke::DriverThreadNotify };
    let args = [f.arg(1)?, f.arg(2)?, f.arg(3)?];
    f.call(routine.at(), &args, 1)
}

fn count(f: &mut Frame, began: Slot<u32>, ended: Slot<u32>) -> Result<Flow, Fault> {
    let slot = if f.arg(2)? & 0xFF != 0 { began } else { ended };
    let told = f.m.get(slot)? + 1;
    f.m.set(slot, told)?;
    Ok(Flow::Return(0))
}

/// DriverProcessNotify(ParentId, ProcessId, Create).
pub(crate) fn driver_process_notify(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    count(f, DATA.processes_began(), DATA.processes_ended())
}

/// DriverThreadNotify(ProcessId, ThreadId, Create).
pub(crate) fn driver_thread_notify(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    count(f, DATA.threads_began(), DATA.threads_ended())
}

/// DriverSetNotifyRoutine(Kind): PsSetCreateProcessNotifyRoutine or PsSetCreateThreadNotifyRoutine with
/// a routine that counts.
pub(crate) fn driver_set_notify_routine(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let slot = registered(f.arg(0)?);
    let now = f.m.get(slot)?;
    if now == MOST {
        return done(Status::INSUFFICIENT_RESOURCES);
    }
    f.m.set(slot, now + 1)?;
    done(Status::SUCCESS)
}

/// DriverNotifications(Kind, OUT Began, OUT Ended): what the routines were told so far.
pub(crate) fn driver_notifications(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (began, ended) = match f.arg(0)? {
        PROCESSES => (DATA.processes_began(), DATA.processes_ended()),
        _ => (DATA.threads_began(), DATA.threads_ended()),
    };
    let (began, ended) = (f.m.get(began)?, f.m.get(ended)?);
    let (began_at, ended_at) = (Va(f.arg(1)?), Va(f.arg(2)?));
    attempt!(access::write(f.m, began_at, began));
    attempt!(access::write(f.m, ended_at, ended));
    done(Status::SUCCESS)
}
