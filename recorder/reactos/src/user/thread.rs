//! How threads leave, in user mode (reactos.md 10.4, 10.5).

use super::{Us, create::service, kernel32};
use crate::{ReactOs, layout::*, lpc::csrss::kind};
use contract::{Flow, Frame, Status};
use guest::{Read, Va};
use machine::{Fault, Machine, Seg};

const CURRENT_PROCESS: u32 = 0xFFFF_FFFF;
const CURRENT_THREAD: u32 = 0xFFFF_FFFE;
const THREAD_AM_I_LAST: u32 = 12;
const RELEASE: u32 = 0x8000;

/// The current TEB, as FS finds it.
pub(super) fn teb(m: &Machine) -> Teb {
    Teb(Va(m.cpu.seg(Seg::Fs).base))
}

/// ExitProcess(ExitCode) (10.4): the DLLs, the message to CSRSS, whose reply is ignored, and the end.
pub(crate) fn exit_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => f.call(Us::LdrShutdownProcess.at(), &[], 1),
        1 => f.call(Us::CsrClientCallServer.at(), &[kind::TERMINATE_PROCESS, 0], 2),
        2 => {
            let code = f.arg(0)?;
            f.call(service("NtTerminateProcess"), &[CURRENT_PROCESS, code], 3)
        }
        _ => Ok(Flow::Jump(kernel32().symbol("ExitSpin"))),
    }
}

/// ExitThread(ExitCode) (10.5): the last thread ends the process.
pub(crate) fn exit_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let last = f.local_at(0).0;
            let args = [CURRENT_THREAD, THREAD_AM_I_LAST, last, 4, 0];
            f.call(service("NtQueryInformationThread"), &args, 1)
        }
        1 => {
            if Status(f.result()).is_success() && f.local(0)? != 0 {
                let code = f.arg(0)?;
                return f.call(Us::ExitProcess.at(), &[code], 3);
            }
            f.call(Us::LdrShutdownThread.at(), &[], 2)
        }
        2 => {
            let code = f.arg(0)?;
            f.call(kernel32().symbol("RtlRosExitUserThread"), &[code], 3)
        }
        _ => Ok(Flow::Jump(kernel32().symbol("ExitSpin"))),
    }
}

/// The second stage of RtlRosExitUserThread, on the TEB: frees the user stack and ends the thread.
pub(crate) fn exit_user_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let stack = f.m.get(teb(f.m).deallocation_stack())?;
            f.set_local(0, stack.0)?;
            f.set_local(1, 0)?;
            let (base, size) = (f.local_at(0).0, f.local_at(1).0);
            f.call(service("NtFreeVirtualMemory"), &[CURRENT_PROCESS, base, size, RELEASE], 1)
        }
        1 => {
            let code = f.arg(0)?;
            f.call(service("NtTerminateThread"), &[CURRENT_THREAD, code], 2)
        }
        _ => Ok(Flow::Jump(kernel32().symbol("ExitSpin"))),
    }
}
