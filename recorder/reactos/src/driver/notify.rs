//! The test driver's notify routines.

use crate::{ReactOs, layout::*, ps::notify, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Slot, Va, Write};
use machine::{Fault, Machine};

/// Which count: processes (0) or threads (2), that began (0) or ended (1).
fn count(threads: bool, ended: bool) -> Slot<u32> {
    let index = 2 * u32::from(threads) + u32::from(ended);
    Slot::new(G.driver_notifications().at.add(4 * index))
}

/// DriverSetNotifyRoutine(Kind): registers a routine that counts, for processes (0) or threads (1).
pub(crate) fn set_notify_routine(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (kind, routine) = match f.arg(0)? {
        0 => (notify::Kind::Process, Ke::DriverProcessNotify),
        _ => (notify::Kind::Thread, Ke::DriverThreadNotify),
    };
    let registered = notify::register(f.m, kind, routine.at())?;
    Ok(Flow::Return(if registered { Status::SUCCESS } else { Status::INSUFFICIENT_RESOURCES }.0))
}

/// DriverNotifications(Kind, *Began, *Ended): what the routine of that kind was told since boot.
pub(crate) fn notifications(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let threads = f.arg(0)? != 0;
    for (index, ended) in [false, true].into_iter().enumerate() {
        let (place, told) = (Va(f.arg(1 + index as u8)?), f.m.get(count(threads, ended))?);
        f.m.store(place, told)?;
    }
    Ok(Flow::Return(Status::SUCCESS.0))
}

/// DriverProcessNotify(ParentId, ProcessId, Create).
pub(crate) fn process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let create = f.arg(2)? & 0xFF != 0;
    told(f.m, count(false, !create))
}

/// DriverThreadNotify(ProcessId, ThreadId, Create).
pub(crate) fn thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let create = f.arg(2)? & 0xFF != 0;
    told(f.m, count(true, !create))
}

fn told(m: &mut Machine, place: Slot<u32>) -> Result<Flow, Fault> {
    let times = m.get(place)?;
    m.set(place, times.wrapping_add(1))?;
    Ok(Flow::Return(0))
}
