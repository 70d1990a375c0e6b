//! What assembly does: the kernel's executed code.

mod entry;
mod exit;
mod idle;
mod start;
mod switch;
mod trap;

use crate::layout::*;
pub(crate) use trap::{IRQS, TRAPS};

use machine::image::{AssembleError, Code, Stubs, asm::*};
use std::sync::OnceLock;

/// The kernel's code, assembled for [`KERNEL_CODE`].
pub(crate) fn kernel() -> &'static Code {
    static CODE: OnceLock<Code> = OnceLock::new();
    CODE.get_or_init(|| assemble().expect("the kernel's stubs assemble"))
}

fn assemble() -> Result<Code, AssembleError> {
    let mut s = Stubs::new(KERNEL_CODE);
    entry::assemble(&mut s)?;
    exit::assemble(&mut s)?;
    switch::assemble(&mut s)?;
    start::assemble(&mut s)?;
    trap::assemble(&mut s)?;
    idle::assemble(&mut s)?;
    s.finish()
}

/// A field of the PCR, by its constant address: a one-processor kernel does not go through FS. The
/// override is for code that runs while DS is the program's, whose limit ends below.
pub(crate) fn pcr(offset: u32) -> AsmMemoryOperand {
    dword_ptr(KPCR.0 + offset).ss()
}

/// Offsets that are wired into the code (2.7).
pub(crate) mod offset {
    pub(crate) const PCR_EXCEPTION_LIST: u32 = 0x00;
    pub(crate) const PCR_CURRENT_THREAD: u32 = 0x124;
    pub(crate) const PCR_NPX_THREAD: u32 = 0x2A4;
    pub(crate) const TSS_ESP0: u32 = 0x04;
    pub(crate) const TSS_IO_MAP_BASE: u32 = 0x66;
    pub(crate) const THREAD_TEB: i32 = 0x20;
    pub(crate) const THREAD_KERNEL_STACK: i32 = 0x28;
    pub(crate) const THREAD_PROCESS: i32 = 0x44;
    pub(crate) const THREAD_TRAP_FRAME: i32 = 0x128;
    pub(crate) const THREAD_PREVIOUS_MODE: i32 = 0x137;
    pub(crate) const PROCESS_DIRECTORY: i32 = 0x18;
    pub(crate) const PROCESS_LDT: i32 = 0x20;
    pub(crate) const PROCESS_IOPM: i32 = 0x30;
}

/// Pushes a frame's Eax down to its Gs.
pub(crate) fn push_from_eax(s: &mut Stubs) -> Result<(), AssembleError> {
    s.asm.push(eax)?;
    s.asm.push(ecx)?;
    s.asm.push(edx)?;
    s.asm.push(ds)?;
    s.asm.push(es)?;
    s.asm.push(gs)
}

/// Pops a frame's Gs up to its Eax.
pub(crate) fn pop_to_eax(s: &mut Stubs) -> Result<(), AssembleError> {
    s.asm.pop(gs)?;
    s.asm.pop(es)?;
    s.asm.pop(ds)?;
    s.asm.pop(edx)?;
    s.asm.pop(ecx)?;
    s.asm.pop(eax)
}

/// Pops a frame's Fs up to its Ebp, drops its error code, and returns.
pub(crate) fn leave_from_fs(s: &mut Stubs) -> Result<(), AssembleError> {
    s.asm.pop(fs)?;
    s.asm.pop(edi)?;
    s.asm.pop(esi)?;
    s.asm.pop(ebx)?;
    s.asm.pop(ebp)?;
    s.asm.add(esp, 4)?;
    s.asm.iretd()
}

/// Pops what every exit pops from GS up, and returns: the tail of 5.4 from its fourth step. ESP points
/// to the frame's Gs, ESI to the thread.
pub(crate) fn restore(s: &mut Stubs) -> Result<(), AssembleError> {
    pop_to_eax(s)?;
    s.asm.pop(ebx)?;
    s.asm.mov(byte_ptr(esi + offset::THREAD_PREVIOUS_MODE).ss(), bl)?;
    s.asm.pop(ebx)?;
    s.asm.mov(pcr(offset::PCR_EXCEPTION_LIST), ebx)?;
    leave_from_fs(s)
}

/// Loads the kernel's data selectors; uses up BX.
pub(crate) fn kernel_segments(s: &mut Stubs) -> Result<(), AssembleError> {
    s.asm.mov(bx, i32::from(selector::KERNEL_DS))?;
    s.asm.mov(ds, bx)?;
    s.asm.mov(es, bx)?;
    s.asm.mov(gs, bx)
}
