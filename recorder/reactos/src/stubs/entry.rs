//! int 2Eh (reactos.md 6.1, 6.2).

use super::{kernel_segments, offset, pcr, push_from_eax};
use crate::{layout::*, routines::Ke, services};
use contract::Status;
use machine::image::{AssembleError, Stubs, asm::*};

/// The entry: through a trap gate, so interrupts stay as they are.
pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("interrupt_handler2e")?;
    // Error code, and the registers from the top of the frame down.
    s.asm.push(0)?;
    s.asm.push(ebp)?;
    s.asm.push(ebx)?;
    s.asm.push(esi)?;
    s.asm.push(edi)?;
    s.asm.push(fs)?;
    s.asm.mov(bx, i32::from(selector::PCR))?;
    s.asm.mov(fs, bx)?;
    s.asm.push(pcr(offset::PCR_EXCEPTION_LIST))?;
    s.asm.mov(pcr(offset::PCR_EXCEPTION_LIST), -1)?;
    s.asm.mov(esi, pcr(offset::PCR_CURRENT_THREAD))?;
    s.asm.xor(ebx, ebx)?;
    s.asm.mov(bl, byte_ptr(esi + offset::THREAD_PREVIOUS_MODE).ss())?;
    s.asm.push(ebx)?;
    // The caller's CS, 24h above the slot just pushed, decides the new previous mode.
    s.asm.cmp(word_ptr(esp + 0x24), i32::from(selector::KERNEL_CS))?;
    s.asm.setne(bl)?;
    s.asm.mov(byte_ptr(esi + offset::THREAD_PREVIOUS_MODE).ss(), bl)?;
    push_from_eax(s)?;
    // Dr7 to Dr0, TempEip, TempCs, DebugPointer, DebugArgMark.
    for _ in 0..10 {
        s.asm.push(0)?;
    }
    // DebugEip, DebugEbp: with EBP at the frame, a link of the EBP chain.
    s.asm.push(dword_ptr(esp + (0x68 - 0x08)))?;
    s.asm.push(ebp)?;
    kernel_segments(s)?;
    s.asm.mov(ebx, dword_ptr(esi + offset::THREAD_TRAP_FRAME))?;
    s.asm.mov(dword_ptr(esp + 0x3C), ebx)?;
    s.asm.mov(dword_ptr(esi + offset::THREAD_TRAP_FRAME), esp)?;
    s.asm.mov(ebp, esp)?;
    dispatch(s)
}

/// Finds the service, copies its arguments and calls it.
fn dispatch(s: &mut Stubs) -> Result<(), AssembleError> {
    let (shadow, invalid) = (s.label("KiShadowService"), s.label("KiInvalidService"));
    let back = s.label("KeReturnFromSystemCallWithHook");
    let hook = s.label("KiSystemCallHook");
    s.asm.cmp(eax, 0xFFF)?;
    s.asm.ja(shadow)?;
    // One too many passes: number 235 is accepted.
    s.asm.cmp(eax, services::COUNT as i32)?;
    s.asm.ja(invalid)?;
    s.asm.mov(ecx, (SERVICE_TABLE.0 + 4 * services::COUNT) as i32)?;
    s.asm.movzx(ecx, byte_ptr(ecx + eax))?;
    s.asm.sub(esp, ecx)?;
    s.asm.mov(esi, edx)?;
    s.asm.mov(edi, esp)?;
    s.asm.cld()?;
    s.asm.rep().movsb()?;
    s.asm.push(eax)?;
    s.asm.call(hook)?;
    s.asm.mov(eax, dword_ptr(ebp + 0x44))?;
    s.asm.mov(ecx, SERVICE_TABLE.0 as i32)?;
    s.asm.call(dword_ptr(ecx + eax * 4))?;
    s.asm.mov(dword_ptr(ebp + 0x44), eax)?;
    s.asm.mov(esp, ebp)?;
    s.asm.jmp(back)?;
    // Table 1: with no win32k loaded its limit and its tables are 0, so 1000h passes the test, and the
    // read of the argument count at address 0 faults.
    s.place("KiShadowService")?;
    s.asm.sub(eax, 0x1000)?;
    s.asm.cmp(eax, 0)?;
    s.asm.ja(invalid)?;
    s.asm.push(eax)?;
    s.asm.call(u64::from(Ke::KiServiceCheck.at().0))?;
    s.asm.xor(eax, eax)?;
    s.asm.movzx(ecx, byte_ptr(eax))?;
    s.place("KiInvalidService")?;
    s.asm.mov(dword_ptr(ebp + 0x44), Status::INVALID_SYSTEM_SERVICE.0 as i32)?;
    let without = s.label("KeReturnFromSystemCall");
    s.asm.mov(esp, ebp)?;
    s.asm.jmp(without)?;
    s.place("KiSystemCallHook")?;
    s.asm.ret_1(4)
}
