//! The user side: ntdll's and kernel32's C code, which runs in ring 3 on the caller's stack
//! (nt52.md 3.3 to 3.5, 11).

pub(crate) mod create_process;
pub(crate) mod create_thread;
pub(crate) mod csr;
pub(crate) mod exit;
pub(crate) mod ldr;
pub(crate) mod lock;
pub(crate) mod raise;
pub(crate) mod start;
pub(crate) mod win32;

use crate::Nt;
use crate::layout::{Peb, Teb};
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Va};
use machine::{Machine, Seg};

/// Calls a system service through ntdll's stub.
pub(crate) fn service(nt: &Nt, f: &Frame, name: &str, args: &[u32], stage: u8) -> Result<Flow, Fault> {
    f.call(nt.code.ntdll.symbol(name), args, stage)
}

/// NtCurrentTeb().
pub(crate) fn teb(m: &Machine) -> Teb {
    Teb::at(Va(m.cpu.seg(Seg::Fs).base))
}

/// The PEB of the current process.
pub(crate) fn peb(m: &mut Machine) -> Result<Peb, Fault> {
    let teb = teb(m);
    Ok(Peb::at(m.get(teb.peb())?))
}
