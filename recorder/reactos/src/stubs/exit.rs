//! Back from the kernel: the exits of system calls (reactos.md 5.4, 7.7).

use super::{offset, pcr, restore};
use crate::routines::Ke;
use machine::image::{AssembleError, Stubs, asm::*};

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let tail = s.label("KiExitRestore");
    s.place("KeReturnFromSystemCallWithHook")?;
    // The value before the push: the frame. The hook removes it, as all native routines do.
    s.asm.push(esp)?;
    s.asm.call(u64::from(Ke::KiAfterSystemCallHook.at().0))?;
    s.place("KeReturnFromSystemCall")?;
    s.asm.mov(esi, pcr(offset::PCR_CURRENT_THREAD))?;
    s.asm.mov(ebx, dword_ptr(esp + 0x3C))?;
    s.asm.mov(dword_ptr(esi + offset::THREAD_TRAP_FRAME), ebx)?;
    s.place("KiExitRestore")?;
    s.asm.add(esp, 0x30)?;
    restore(s)?;
    // Frame in ECX, previous frame in EDX; the call of the hook loses EDX, so KTHREAD.TrapFrame becomes
    // what happens to be there: 0 here.
    s.place("KeRosTrapReturn")?;
    s.asm.mov(esp, ecx)?;
    s.asm.mov(ebp, esp)?;
    s.asm.push(esp)?;
    s.asm.call(u64::from(Ke::KiAfterSystemCallHook.at().0))?;
    s.asm.xor(edx, edx)?;
    s.asm.mov(esi, pcr(offset::PCR_CURRENT_THREAD))?;
    s.asm.mov(dword_ptr(esi + offset::THREAD_TRAP_FRAME), edx)?;
    s.asm.jmp(tail)
}
