//! Ki386ContextSwitch (reactos.md 5.2) and the FPU's moves.

use super::{offset, pcr};
use crate::{layout::*, routines::Ke};
use machine::{
    image::{AssembleError, Stubs, asm::*},
    registers::control,
};

/// Ki386ContextSwitch(New, Old), cdecl; the numbers are 5.2's.
pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let (has_ldt, ldt_done) = (s.label("KiSwitchLdt"), s.label("KiSwitchLdtDone"));
    let (owner, nothing_to_reap) = (s.label("KiSwitchFpuOwner"), s.label("KiSwitchNoReap"));
    s.place("Ki386ContextSwitch")?;
    // 1, 2.
    s.asm.push(ebp)?;
    s.asm.mov(ebp, esp)?;
    s.asm.push(ebx)?;
    s.asm.push(esi)?;
    s.asm.push(edi)?;
    s.asm.cli()?;
    // 3.
    s.asm.mov(ebx, dword_ptr(ebp + 8))?;
    s.asm.push(dword_ptr(ebx + offset::THREAD_TEB))?;
    s.asm.push(i32::from(selector::TEB))?;
    s.asm.call(u64::from(Ke::KeSetBaseGdtSelector.at().0))?;
    // 4.
    s.asm.mov(eax, i32::from(selector::PCR))?;
    s.asm.mov(fs, ax)?;
    s.asm.mov(pcr(offset::PCR_CURRENT_THREAD), ebx)?;
    // 5.
    s.asm.mov(edi, dword_ptr(ebx + offset::THREAD_PROCESS))?;
    s.asm.xor(eax, eax)?;
    s.asm.test(word_ptr(edi + offset::PROCESS_LDT), 0xFFFFu32 as i32)?;
    s.asm.jne(has_ldt)?;
    s.asm.lldt(ax)?;
    s.place("KiSwitchLdtDone")?;
    // 6.
    s.asm.mov(eax, dword_ptr(edi + offset::PROCESS_IOPM))?;
    // 7.
    s.asm.mov(esi, TSS.0 as i32)?;
    s.asm.push(dword_ptr(esi + offset::TSS_ESP0 as i32))?;
    // 8.
    s.asm.mov(ecx, dword_ptr(ebp + 0xC))?;
    s.asm.mov(dword_ptr(ecx + offset::THREAD_KERNEL_STACK), esp)?;
    s.asm.mov(esp, dword_ptr(ebx + offset::THREAD_KERNEL_STACK))?;
    // 9.
    s.asm.mov(word_ptr(esi + offset::TSS_IO_MAP_BASE as i32), ax)?;
    // 10.
    s.asm.mov(eax, dword_ptr(edi + offset::PROCESS_DIRECTORY))?;
    s.asm.mov(cr3, eax)?;
    // 11.
    s.asm.pop(dword_ptr(esi + offset::TSS_ESP0 as i32))?;
    // 12.
    s.asm.cmp(pcr(offset::PCR_NPX_THREAD), ebx)?;
    s.asm.je(owner)?;
    s.asm.mov(eax, cr0)?;
    s.asm.or(eax, control::TS as i32)?;
    s.asm.mov(cr0, eax)?;
    s.place("KiSwitchFpuOwner")?;
    // 13, 14.
    s.asm.sti()?;
    s.asm.call(u64::from(Ke::KeReleaseDispatcherDatabaseLockFromDpcLevel.at().0))?;
    // 15.
    s.asm.mov(eax, G.nr_threads_awaiting_reaping().at.0 as i32)?;
    s.asm.cmp(dword_ptr(eax), 0)?;
    s.asm.je(nothing_to_reap)?;
    s.asm.call(u64::from(Ke::PiWakeupReaperThread.at().0))?;
    s.place("KiSwitchNoReap")?;
    // 16.
    s.asm.pop(edi)?;
    s.asm.pop(esi)?;
    s.asm.pop(ebx)?;
    s.asm.pop(ebp)?;
    s.asm.ret()?;
    // A process with an LDT: GDT entry 48h is programmed with it and loaded.
    s.place("KiSwitchLdt")?;
    s.asm.push(dword_ptr(edi + offset::PROCESS_LDT + 4))?;
    s.asm.push(dword_ptr(edi + offset::PROCESS_LDT))?;
    s.asm.push(i32::from(selector::LDT))?;
    s.asm.call(u64::from(Ke::KeSetGdtSelector.at().0))?;
    s.asm.mov(eax, i32::from(selector::LDT))?;
    s.asm.lldt(ax)?;
    s.asm.jmp(ldt_done)?;
    fpu(s)
}

/// The instructions that C cannot spell, stdcall with the save area.
fn fpu(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("KiFxSave")?;
    s.asm.mov(eax, dword_ptr(esp + 4))?;
    s.asm.fxsave(ptr(eax))?;
    s.asm.ret_1(4)?;
    s.place("KiFxRestore")?;
    s.asm.mov(eax, dword_ptr(esp + 4))?;
    s.asm.fxrstor(ptr(eax))?;
    s.asm.ret_1(4)
}
