//! ExitThread and ExitProcess (nt52.md 11.3, 11.4).

use super::{csr, ldr, service, teb};
use crate::Nt;
use crate::ob::{CURRENT_PROCESS, CURRENT_THREAD};
use crate::table::User;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Write};

/// ThreadAmILastThread.
const AM_I_LAST_THREAD: u32 = 0xC;

/// ExitThread(dwExitCode). Local 0 is whether the caller is the last thread.
pub(crate) fn exit_thread(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let code = f.arg(0)?;
    let stage = f.stage;
    match stage {
        0 => {
            let at = f.local_at(0);
            let args = [CURRENT_THREAD, AM_I_LAST_THREAD, at.0, 4, 0];
            service(nt, f, "NtQueryInformationThread", &args, 1)
        }
        1 if f.result() == 0 && f.local(0)? != 0 => f.call(User::ExitProcess.at(), &[code], 4),
        1 => f.call(User::LdrShutdownThread.at(), &[], 2),
        2 => {
            let teb = teb(f.m);
            f.m.set(teb.free_stack_on_termination(), 1)?;
            service(nt, f, "NtTerminateThread", &[0, code], 3)
        }
        // It has become the last thread meanwhile (medium confidence, nt52.md 11.3).
        3 if f.result() == Status::CANT_TERMINATE_SELF.0 => f.call(User::ExitProcess.at(), &[code], 4),
        _ => Ok(Flow::Return(f.result())),
    }
}

/// ExitProcess(uExitCode). The process ends whatever CSRSS says. Its locals are the message.
pub(crate) fn exit_process(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let code = f.arg(0)?;
    let lock = ldr::data().peb_lock().va();
    let stage = f.stage;
    match stage {
        0 => f.call(User::RtlEnterCriticalSection.at(), &[lock.0], 1),
        1 => service(nt, f, "NtTerminateProcess", &[0, code], 2),
        2 => f.call(User::LdrShutdownProcess.at(), &[], 3),
        3 => csr::tell(f, 0, csr::Api::BasepExitProcess, [code, 0], 4),
        4 => service(nt, f, "NtTerminateProcess", &[CURRENT_PROCESS, code], 5),
        _ => Ok(Flow::Return(f.result())),
    }
}
