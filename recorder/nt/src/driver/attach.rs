//! A driver that attaches to a process (nt52.md 8.12).

use super::apc;
use crate::Nt;
use crate::error::{attempt, split};
use crate::ke::thread::current;
use crate::ke::{attach, bugcheck, region};
use crate::layout::*;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Va};

/// What the driver does besides (the door's numbers): it queues a normal kernel APC to its own thread
/// before it attaches, or while it is attached; or it ends the thread while it is attached.
const APC_BEFORE: u32 = 1;
const APC_MEANWHILE: u32 = 2;
const EXIT: u32 = 3;

/// DriverAttach(Process, Deed): KeStackAttachProcess and KeUnstackDetachProcess inside a critical
/// region. Local 0 is what it returns: the status of queueing the APC, where it queues one; 1 to 6 hold the
/// KAPC_STATE.
pub(crate) fn driver_attach(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?;
    match f.stage {
        0 => {
            let (handle, deed) = (f.arg(0)?, f.arg(1)?);
            let (body, _) = attempt!(ob::lookup(f.m, handle, 0, Some(Kind::Process), KERNEL));
            region::enter_critical(f.m)?;
            if deed == APC_BEFORE {
                queue(f, thread)?;
            }
            let state = ApcState::at(f.block(1, attach::STATE_WORDS));
            attach::attach(f.m, EProcess::at(body).pcb(), state)?;
            match deed {
                APC_MEANWHILE => queue(f, thread)?,
                EXIT => {
                    let args = [thread.va().0, Status::SUCCESS.0, 1];
                    return f.call(Ke::PspTerminateThreadByPointer.at(), &args, 1);
                }
                _ => {}
            }
            if !attach::detach(f.m, state)? {
                return bugcheck::stop(f, bugcheck::INVALID_PROCESS_DETACH_ATTEMPT, [0; 4]);
            }
            f.call(Ke::KeLeaveCriticalRegion.at(), &[], 1)
        }
        _ => Ok(Flow::Return(f.local(0)?)),
    }
}

/// Queues the APC. Without memory for it the thread detaches and leaves the region all the same.
fn queue(f: &mut Frame, thread: EThread) -> Result<(), Fault> {
    if let Err(status) = split(apc::queue(f.m, thread.tcb(), 1, Va(0), 0))? {
        f.set_local(0, status.0)?;
    }
    Ok(())
}
