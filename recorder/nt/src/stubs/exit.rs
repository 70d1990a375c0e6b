//! KiServiceExit and KiServiceExit2: the ways out of the kernel, with the user APC check
//! (nt52.md 5.5, 6.6).

use super::{VM, frame, kthread, pcr};
use crate::global::DATA;
use crate::layout::{DR7_RESERVED_MASK, selector};
use crate::table::Ke;
use machine::image::{AssembleError, Stubs, asm::*};

const APC_LEVEL: u32 = 1;
const USER: i32 = 1;
/// EFLAGS.TF and EFLAGS.IF.
const TRAP: u32 = 0x100;
const INTERRUPTS: u32 = 0x200;

/// Delivers user APCs until none is pending. With interrupts disabled, and so again behind it.
/// `volatile`: EAX is the service's status, which the frame keeps meanwhile.
fn user_apcs(s: &mut Stubs, names: [&'static str; 3], volatile: bool) -> Result<(), AssembleError> {
    let [check, to_user, done] = names.map(|name| s.label(name));
    s.place(names[0])?;
    s.asm.cli()?;
    s.asm.test(dword_ptr(ebp + frame::EFLAGS), VM)?;
    s.asm.jne(to_user)?;
    s.asm.test(dword_ptr(ebp + frame::CS), 1)?;
    s.asm.je(done)?;
    s.place(names[1])?;
    s.asm.mov(ebx, dword_ptr(pcr::CURRENT_THREAD).fs())?;
    s.asm.mov(byte_ptr(ebx + kthread::ALERTED_KERNEL), 0)?;
    s.asm.cmp(byte_ptr(ebx + kthread::USER_APC_PENDING), 0)?;
    s.asm.je(done)?;
    if volatile {
        s.asm.mov(dword_ptr(ebp + frame::EAX), eax)?;
        s.asm.mov(dword_ptr(ebp + frame::FS), u32::from(selector::R3_TEB))?;
        s.asm.mov(dword_ptr(ebp + frame::DS), u32::from(selector::R3_DATA))?;
        s.asm.mov(dword_ptr(ebp + frame::ES), u32::from(selector::R3_DATA))?;
        s.asm.mov(dword_ptr(ebp + frame::GS), 0)?;
    }
    s.asm.push(APC_LEVEL)?;
    s.asm.call(u64::from(Ke::KfRaiseIrql.at().0))?;
    s.asm.push(eax)?;
    s.asm.sti()?;
    s.asm.push(ebp)?;
    s.asm.push(0)?;
    s.asm.push(USER)?;
    s.asm.call(u64::from(Ke::KiDeliverApc.at().0))?;
    // The old IRQL is on the stack, as KfLowerIrql's argument.
    s.asm.call(u64::from(Ke::KfLowerIrql.at().0))?;
    if volatile {
        s.asm.mov(eax, dword_ptr(ebp + frame::EAX))?;
    }
    s.asm.jmp(check)?;
    s.place(names[2])
}

/// Restores KPCR.ExceptionList and PreviousMode, and live debug registers.
fn restore_processor(s: &mut Stubs, names: [&'static str; 1]) -> Result<(), AssembleError> {
    let done = s.label(names[0]);
    s.asm.mov(edx, dword_ptr(ebp + frame::EXCEPTION_LIST))?;
    s.asm.mov(dword_ptr(0).fs(), edx)?;
    s.asm.mov(ecx, dword_ptr(ebp + frame::PREVIOUS_MODE))?;
    s.asm.mov(esi, dword_ptr(pcr::CURRENT_THREAD).fs())?;
    s.asm.mov(byte_ptr(esi + kthread::PREVIOUS_MODE), cl)?;
    s.asm.test(dword_ptr(ebp + frame::DR7), !DR7_RESERVED_MASK)?;
    s.asm.je(done)?;
    s.asm.test(dword_ptr(ebp + frame::CS), 1)?;
    s.asm.je(done)?;
    s.asm.xor(ebx, ebx)?;
    s.asm.mov(dr7, ebx)?;
    for (register, at) in [dr0, dr1, dr2, dr3, dr6, dr7].into_iter().zip(frame::DR) {
        s.asm.mov(ebx, dword_ptr(ebp + at))?;
        s.asm.mov(register, ebx)?;
    }
    s.place(names[0])
}

/// Pops what every way out restores, and the error code: ESP is at the frame's EDI before, and at its EIP
/// afterwards.
fn pop_preserved(s: &mut Stubs) -> Result<(), AssembleError> {
    s.asm.pop(edi)?;
    s.asm.pop(esi)?;
    s.asm.pop(ebx)?;
    s.asm.pop(ebp)?;
    s.asm.add(esp, 4)
}

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let [to_kernel, iret, plain] =
        ["KiServiceExitToKernel", "KiReturnToUser", "KiExit2Kernel"].map(|name| s.label(name));

    user_apcs(s, ["KiServiceExit", "KiServiceExitUser", "KiServiceExitDone"], true)?;
    restore_processor(s, ["KiServiceExitRegisters"])?;
    s.asm.test(dword_ptr(ebp + frame::CS), 1)?;
    s.asm.je(to_kernel)?;
    s.asm.lea(esp, dword_ptr(ebp + frame::FS))?;
    s.place("KiRestoreForUser")?;
    s.asm.pop(fs)?;
    s.asm.lea(esp, dword_ptr(ebp + frame::EDI))?;
    pop_preserved(s)?;
    // SYSEXIT can return to flat code only, and would step once too often.
    s.asm.cmp(dword_ptr(esp + frame::EIP_TO_CS), i32::from(selector::R3_CODE))?;
    s.asm.jne(iret)?;
    s.asm.cmp(dword_ptr(DATA.ki_fast_system_call_disable().at.0), 0)?;
    s.asm.jne(iret)?;
    s.asm.test(dword_ptr(esp + frame::EIP_TO_EFLAGS), TRAP)?;
    s.asm.jne(iret)?;
    s.asm.pop(edx)?;
    s.asm.add(esp, 4)?;
    s.asm.and(dword_ptr(esp), !INTERRUPTS)?;
    s.asm.popfd()?;
    s.asm.pop(ecx)?;
    s.asm.sti()?;
    s.asm.sysexit()?;

    user_apcs(s, ["KiServiceExit2", "KiServiceExit2User", "KiServiceExit2Done"], false)?;
    restore_processor(s, ["KiServiceExit2Registers"])?;
    s.asm.test(dword_ptr(ebp + frame::CS), 1)?;
    s.asm.je(plain)?;
    s.asm.lea(esp, dword_ptr(ebp + frame::GS))?;
    s.asm.pop(gs)?;
    s.asm.pop(es)?;
    s.asm.pop(ds)?;
    s.asm.pop(edx)?;
    s.asm.pop(ecx)?;
    s.asm.pop(eax)?;
    s.asm.lea(esp, dword_ptr(ebp + frame::FS))?;
    s.asm.pop(fs)?;
    pop_preserved(s)?;
    s.place("KiReturnToUser")?;
    s.asm.iretd()?;

    // Back to interrupted kernel code; the segment registers are the kernel's on both sides.
    s.place("KiExit2Kernel")?;
    s.asm.lea(esp, dword_ptr(ebp + frame::EDX))?;
    s.asm.pop(edx)?;
    s.asm.pop(ecx)?;
    s.asm.pop(eax)?;
    s.asm.lea(esp, dword_ptr(ebp + frame::EDI))?;
    pop_preserved(s)?;
    s.asm.iretd()?;

    // Back to a Zw routine: its CALL, selector and flags lie where an interrupt's would.
    s.place("KiServiceExitToKernel")?;
    s.asm.lea(esp, dword_ptr(ebp + frame::EDI))?;
    pop_preserved(s)?;
    s.asm.pop(edx)?;
    s.asm.add(esp, 4)?;
    s.asm.popfd()?;
    s.asm.jmp(edx)
}
