//! The loader (reactos.md 10.3). There are no DLLs with entry points, no TLS and no heap: what is left
//! is the check of the image and the mark that the process is initialised. With nothing to call under
//! it, the loader lock is not taken.

use super::create::service;
use crate::{ReactOs, layout::*};
use contract::{Flow, Frame, Status};
use guest::{Read, Write};
use machine::Fault;

const CURRENT_PROCESS: u32 = 0xFFFF_FFFF;

/// What LdrInitializeThunk jumps to: stdcall with four parameters, of which three were pushed.
pub(crate) fn ldrp_init(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let peb = Peb(PEB_BASE);
    if f.stage == 0 {
        let data = f.m.get(peb.ldr())?;
        let initialized = !data.is_null() && f.m.load::<u8>(data.add(4))? != 0;
        if !initialized {
            if f.m.get(peb.image_base_address())?.0 <= 0x1000 {
                let args = [CURRENT_PROCESS, Status::UNSUCCESSFUL.0];
                return f.call(service("NtTerminateProcess"), &args, 1);
            }
            f.m.set(peb.number_of_processors(), 1)?;
            f.m.set(peb.ldr_length(), 0x24)?;
            f.m.set(peb.ldr(), peb.ldr_length().at)?;
            f.m.set(peb.ldr_initialized(), 1)?;
        }
    }
    Ok(Flow::Return(0))
}

/// LdrShutdownProcess and LdrShutdownThread: there is nobody to tell.
pub(crate) fn shutdown(_: &ReactOs, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(0))
}
