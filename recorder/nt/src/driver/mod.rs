//! The test driver's door: what a driver could do in the context of a thread, as system services
//! behind the documented ones.

pub(crate) mod apc;
pub(crate) mod attach;
pub(crate) mod notify;
pub(crate) mod thread;

use crate::Nt;
use crate::error::done;
use crate::ke::region;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::Fault;

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

/// DriverEnterGuardedRegion(). Returning to user mode inside the region is what no driver would do: a user
/// APC that becomes pending there is tried again and again at the exit, and not delivered (nt52.md 5.5, 7.5).
pub(crate) fn driver_enter_guarded_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => f.call(Ke::KeEnterGuardedRegion.at(), &[], 1),
        _ => done(Status::SUCCESS),
    }
}

/// DriverLeaveGuardedRegion().
pub(crate) fn driver_leave_guarded_region(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => f.call(Ke::KeLeaveGuardedRegion.at(), &[], 1),
        _ => done(Status::SUCCESS),
    }
}

/// NtInvalidSystemService(): what a service number without a service leads to.
pub(crate) fn nt_invalid_system_service(_: &Nt, _: &mut Frame) -> Result<Flow, Fault> {
    done(Status::INVALID_SYSTEM_SERVICE)
}
