//! The test driver attaches to a process and detaches again, in one call: a thread that went back to
//! user mode in between would find another stack.

use super::apc;
use crate::{ReactOs, ke, layout::*, ob, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::Va;
use machine::Fault;

/// A normal kernel APC is queued before the attach and still queued at the detach.
const QUEUE_BEFORE: u32 = 1;
/// A normal kernel APC is queued to the original environment while attached.
const QUEUE_WHILE: u32 = 2;
/// The thread ends itself while attached.
const END: u32 = 3;

// Stages.
const ATTACH: u8 = 1;
const ATTACHED: u8 = 2;
const DETACH: u8 = 3;
const DETACHED: u8 = 4;

/// DriverAttach(Process, Deed): KeAttachProcess and KeDetachProcess, and in between nothing (0), or what
/// the constants above say. APCs are kept queued by a critical region around it all.
pub(crate) fn attach(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, deed) = (f.arg(0)?, f.arg(1)?);
    let thread = ke::current(f.m)?;
    match f.stage {
        0 => {
            let process = match ob::reference(f.m, handle, Some(Type::Process))? {
                Ok(body) => body,
                Err(status) => return Ok(Flow::Return(status.0)),
            };
            f.set_local(0, process.0)?;
            ke::critical::enter(f.m, thread)?;
            if deed == QUEUE_BEFORE {
                return queue(f, thread, ATTACH);
            }
            f.call(Ke::KeAttachProcess.at(), &[process.0], ATTACHED)
        }
        ATTACH => {
            let process = f.local(0)?;
            f.call(Ke::KeAttachProcess.at(), &[process], ATTACHED)
        }
        ATTACHED => match deed {
            QUEUE_WHILE => queue(f, thread, DETACH),
            END => f.call(Ke::PsTerminateSystemThread.at(), &[Status::SUCCESS.0], DETACH),
            _ => f.call(Ke::KeDetachProcess.at(), &[], DETACHED),
        },
        DETACH => f.call(Ke::KeDetachProcess.at(), &[], DETACHED),
        _ => {
            let process = Va(f.local(0)?);
            ke::critical::leave(f.m, thread)?;
            ob::dereference(f.m, process)?;
            Ok(Flow::Return(Status::SUCCESS.0))
        }
    }
}

fn queue(f: &mut Frame, thread: EThread, stage: u8) -> Result<Flow, Fault> {
    let apc = apc::create(f.m, thread, 1)?.map_or(0, |apc| apc.0.0);
    f.call(Ke::KeInsertQueueApc.at(), &[apc, 0, 0, 0], stage)
}
