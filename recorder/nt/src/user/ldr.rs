//! The loader's part of a thread's start and of a process's end (nt52.md 11.1, 11.3, 11.4).

use super::{peb, service};
use crate::Nt;
use crate::global::NTDLL_DATA;
use crate::table::User;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Va, Write, guest_struct};

guest_struct! {
    /// ntdll's variables in each process.
    pub(crate) struct LdrData [0x1000] {
        0x00 process_initialized: u32,
        0x04 shutdown_in_progress: u32,
        0x10 peb_lock: in super::lock::CriticalSection,
        0x28 loader_lock: in super::lock::CriticalSection,
        0x40 ldr_data: u32,
    }
}

/// ntdll's variables.
pub(crate) fn data() -> LdrData {
    LdrData::at(NTDLL_DATA)
}

/// LdrpProcessInitialized.
const NOBODY: u32 = 0;
const IN_PROGRESS: u32 = 1;
const DONE: u32 = 2;
/// How long a thread sleeps between two looks at it: 30 ms, relative.
const POLL: i64 = -300_000;

/// LdrpInitialize(Context, NtDllBase, SystemArgument2). Locals 0 and 1 hold the polling interval.
pub(crate) fn ldrp_initialize(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 | 1 => match f.m.get(data().process_initialized())? {
            NOBODY => {
                f.m.set(data().process_initialized(), IN_PROGRESS)?;
                f.call(User::LdrpInitializeProcess.at(), &[], 2)
            }
            IN_PROGRESS => {
                let interval = f.block(0, 2);
                f.m.store(interval, POLL)?;
                service(nt, f, "NtDelayExecution", &[0, interval.0], 1)
            }
            // Thread initialisation: no DLL here has TLS or an entry point.
            _ => service(nt, f, "NtTestAlert", &[], 3),
        },
        2 => {
            f.m.set(data().process_initialized(), DONE)?;
            service(nt, f, "NtTestAlert", &[], 3)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// LdrpInitializeProcess(): the loader's data, which PEB.Ldr points to from now on.
pub(crate) fn ldrp_initialize_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let peb = peb(f.m)?;
    if f.m.get(peb.ldr())? == 0 {
        f.m.set(peb.ldr(), data().ldr_data().at.0)?;
    }
    Ok(Flow::Return(0))
}

/// LdrShutdownThread(): DLL_THREAD_DETACH under the loader's lock. No DLL here wants to hear of it.
pub(crate) fn ldr_shutdown_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    with_loader_lock(f)
}

/// LdrShutdownProcess(): DLL_PROCESS_DETACH under the loader's lock, once.
pub(crate) fn ldr_shutdown_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        if f.m.get(data().shutdown_in_progress())? != 0 {
            return Ok(Flow::Return(0));
        }
        f.m.set(data().shutdown_in_progress(), 1)?;
    }
    with_loader_lock(f)
}

fn with_loader_lock(f: &mut Frame) -> Result<Flow, Fault> {
    let lock: Va = data().loader_lock().va();
    match f.stage {
        0 => f.call(User::RtlEnterCriticalSection.at(), &[lock.0], 1),
        1 => f.call(User::RtlLeaveCriticalSection.at(), &[lock.0], 2),
        _ => Ok(Flow::Return(0)),
    }
}
