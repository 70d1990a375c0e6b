//! BaseProcessStart and BaseThreadStart (nt52.md 11.2). Their exception filters are not needed: the
//! kernel goes straight to an exception's second chance (10.12).

use super::{service, teb};
use crate::Nt;
use crate::ob::CURRENT_THREAD;
use crate::table::User;
use contract::{Flow, Frame};
use guest::{Fault, Read, Va};

/// ThreadQuerySetWin32StartAddress.
const WIN32_START_ADDRESS: u32 = 9;
/// NtTib.Version of an NT thread, as MmCreateTeb writes it (3.2).
const TIB_VERSION: u32 = 0x1E00;

/// BaseProcessStart(lpStartAddress). Local 0 is what NtSetInformationThread reads.
pub(crate) fn base_process_start(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let start = f.arg(0)?;
    match f.stage {
        0 => {
            f.set_local(0, start)?;
            let at = f.local_at(0);
            let args = [CURRENT_THREAD, WIN32_START_ADDRESS, at.0, 4];
            service(nt, f, "NtSetInformationThread", &args, 1)
        }
        1 => f.call(Va(start), &[], 2),
        2 => exit_thread(f),
        _ => Ok(Flow::Return(0)),
    }
}

/// BaseThreadStart(lpStartAddress, lpParameter). The sheet has nothing to happen when CSRSS does not take
/// the thread: it starts all the same.
pub(crate) fn base_thread_start(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (start, parameter) = (f.arg(0)?, f.arg(1)?);
    match f.stage {
        0 => {
            let teb = teb(f.m);
            match f.m.get(teb.version())? {
                TIB_VERSION => f.call(User::CsrNewThread.at(), &[], 1),
                _ => f.call(Va(start), &[parameter], 2),
            }
        }
        1 => f.call(Va(start), &[parameter], 2),
        2 => exit_thread(f),
        _ => Ok(Flow::Return(0)),
    }
}

/// ExitThread with what the start routine returned.
fn exit_thread(f: &mut Frame) -> Result<Flow, Fault> {
    f.call(User::ExitThread.at(), &[f.result()], 3)
}
