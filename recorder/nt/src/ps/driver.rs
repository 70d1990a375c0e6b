//! The test driver's door: what a driver could do in the context of a thread, as system services
//! behind the documented ones.

use crate::Nt;
use crate::error::{attempt, done};
use crate::ex::pool;
use crate::ke::{apc, region};
use crate::layout::*;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status, program};
use guest::{Fault, Pointer, Va};

/// The context of a user APC that the driver queues.
const CONTEXT: u32 = 0xD;

/// DriverEnterCriticalRegion().
pub(crate) fn driver_enter_critical_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    region::enter_critical(f.m)?;
    done(Status::SUCCESS)
}

/// DriverLeaveCriticalRegion().
pub(crate) fn driver_leave_critical_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => f.call(Ke::KeLeaveCriticalRegion.at(), &[], 1),
        _ => done(Status::SUCCESS),
    }
}

/// DriverQueueApc(Thread, Kind): 0 special kernel, 1 normal kernel, 2 user.
pub(crate) fn driver_queue_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let (handle, kind) = (f.arg(0)?, f.arg(1)?);
    let (body, _) = attempt!(ob::lookup(f.m, handle, 0, Some(Kind::Thread), KERNEL));
    let Some(at) = pool::allocate(f.m, KApc::EXTENT, pool::tag(b"Drvr"))? else {
        return done(Status::INSUFFICIENT_RESOURCES);
    };
    let (normal, mode) = match kind {
        0 => (Va(0), KERNEL),
        1 => (Ke::DriverNormalApc.at(), KERNEL),
        _ => (program::symbol(program::APC), USER),
    };
    let with = apc::Init {
        environment: apc::ORIGINAL,
        kernel: Ke::PspQueueApcSpecialApc.at(),
        rundown: Va(0),
        normal,
        mode,
        context: if kind == 0 { 0 } else { CONTEXT },
    };
    apc::init(f.m, KApc::at(at), KThread::at(body), with)?;
    if apc::insert(f.m, KApc::at(at), (0, 0), 0)? {
        return done(Status::SUCCESS);
    }
    pool::free(f.m, at)?;
    done(Status::UNSUCCESSFUL)
}

/// DriverNormalApc(NormalContext, SystemArgument1, SystemArgument2).
pub(crate) fn driver_normal_apc(_: &Nt, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(0))
}

/// NtInvalidSystemService(): what a service number without a service leads to.
pub(crate) fn nt_invalid_system_service(_: &Nt, _: &mut Frame) -> Result<Flow, Fault> {
    done(Status::INVALID_SYSTEM_SERVICE)
}
