//! The loader (reactos.md 10.3 to 10.5).
//!
//! Left out with what they need: normalised parameters, NLS tables, the heap, compatibility settings,
//! relocations, and TLS blocks, for the program's image has no TLS directory and so no callbacks either.

pub(crate) mod attach;
pub(crate) mod lock;
pub(crate) mod modules;

use super::{Us, create::service, thread::teb};
use crate::{ReactOs, layout::*};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::{Fault, Machine};

const CURRENT_PROCESS: u32 = 0xFFFF_FFFF;
/// "MZ".
const DOS_SIGNATURE: u16 = 0x5A4D;

/// The PEB of the process that runs.
fn peb(m: &mut Machine) -> R<Peb> {
    let at = m.get(teb(m).peb())?;
    Ok(Peb(at))
}

// Stages of LdrpInit.
const STARTED: u8 = 1;
const LOCKED: u8 = 2;
const ATTACHED: u8 = 3;
const UNLOCKED: u8 = 4;
const ENDED: u8 = 5;

/// What LdrInitializeThunk jumps to: stdcall with four parameters, of which three were pushed. The first
/// thread makes the process ready (10.3 step 1); every thread, this one too, attaches to the DLLs under
/// the loader lock (step 2). Nothing guards step 1: a second thread that gets here before it is done does
/// it again.
pub(crate) fn ldrp_init(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let peb = peb(f.m)?;
    match f.stage {
        0 => {
            let data = f.m.get(peb.ldr())?;
            if !data.is_null() && f.m.get(PebLdrData(data).initialized())? != 0 {
                return lock(f, peb);
            }
            let base = f.m.get(peb.image_base_address())?;
            if base.0 <= 0x1000 || f.m.load::<u16>(base)? != DOS_SIGNATURE {
                return end(f, Status::UNSUCCESSFUL);
            }
            prepare(f.m, peb)?;
            f.call(Us::LdrPEStartup.at(), &[], STARTED)
        }
        STARTED => {
            let status = Status(f.result());
            if !status.is_success() {
                return end(f, status);
            }
            f.m.set(peb.ldr_data().initialized(), 1)?;
            lock(f, peb)
        }
        LOCKED => f.call(Us::LdrpAttachThread.at(), &[], ATTACHED),
        ATTACHED => {
            let lock = f.m.get(peb.loader_lock())?;
            f.call(Us::RtlLeaveCriticalSection.at(), &[lock.0], UNLOCKED)
        }
        _ => Ok(Flow::Return(0)),
    }
}

fn lock(f: &mut Frame, peb: Peb) -> Result<Flow, Fault> {
    let lock = f.m.get(peb.loader_lock())?;
    f.call(Us::RtlEnterCriticalSection.at(), &[lock.0], LOCKED)
}

fn end(f: &mut Frame, status: Status) -> Result<Flow, Fault> {
    f.call(service("NtTerminateProcess"), &[CURRENT_PROCESS, status.0], ENDED)
}

/// The fields of the PEB and the modules' entries, up to the first call of a DLL.
fn prepare(m: &mut Machine, peb: Peb) -> R<()> {
    const TLS_SLOTS: u32 = 64;
    m.set(peb.number_of_processors(), 1)?;
    for (slot, section) in
        [(peb.fast_peb_lock(), peb.fast_peb_lock_itself()), (peb.loader_lock(), peb.loader_lock_itself())]
    {
        lock::init(m, section)?;
        m.set(slot, section.0)?;
    }
    m.set(peb.tls_bitmap_itself().size(), TLS_SLOTS)?;
    m.set(peb.tls_bitmap_itself().buffer(), peb.tls_bits().at)?;
    m.set(peb.tls_bitmap(), peb.tls_bitmap_itself().0)?;
    let data = peb.ldr_data();
    m.set(data.length(), 0x24)?;
    m.set(data.initialized(), 0)?;
    modules::list(m, peb)?;
    m.set(peb.ldr(), data.0)
}

/// LdrShutdownProcess(): LdrpDetachProcess for every module, without the loader lock, while the other
/// threads run (10.4 step 1).
pub(crate) fn shutdown_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => f.call(Us::LdrpDetachProcess.at(), &[1], 1),
        _ => Ok(Flow::Return(0)),
    }
}

/// LdrShutdownThread(): under the loader lock (10.5 step 2).
pub(crate) fn shutdown_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let peb = peb(f.m)?;
    let lock: Va = f.m.get(peb.loader_lock())?;
    match f.stage {
        _ if lock.is_null() => Ok(Flow::Return(0)),
        0 => f.call(Us::RtlEnterCriticalSection.at(), &[lock.0], 1),
        1 => f.call(Us::LdrpDetachThread.at(), &[], 2),
        2 => f.call(Us::RtlLeaveCriticalSection.at(), &[lock.0], 3),
        _ => Ok(Flow::Return(0)),
    }
}
