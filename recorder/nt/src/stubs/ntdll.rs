//! ntdll's executed code: system call stubs, KiUserApcDispatcher, LdrInitializeThunk (nt52.md 5.8, 6.1).

use crate::global::NTDLL_CODE;
use crate::layout::SHARED_USER;
use crate::table::{SERVICES, User};
use machine::image::{AssembleError, Stubs, asm::*};

/// KUSER_SHARED_DATA.SystemCall.
const SYSTEM_CALL: u32 = 0x300;
/// Offset, on the stack of KiUserApcDispatcher, of its exception registration: behind the argument
/// block and the CONTEXT.
const REGISTRATION: i32 = 0x2DC;
/// The same, seen from the CONTEXT.
const BEHIND_CONTEXT: i32 = 0x2CC;

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let [nt_continue, test_alert, again] =
        ["NtContinue", "NtTestAlert", "KiUserApcDispatcherRaise"].map(|name| s.label(name));

    // The exception handler that KiUserApcDispatcher registers: an alert is tested when an APC routine
    // is unwound. It comes first, so that its address is known.
    s.place("KiUserApcUnwound")?;
    s.asm.call(test_alert)?;
    s.asm.mov(eax, 1)?;
    s.asm.ret()?;

    s.place("KiFastSystemCall")?;
    s.asm.mov(edx, esp)?;
    s.asm.sysenter()?;
    s.place("KiFastSystemCallRet")?;
    s.asm.ret()?;
    s.place("KiIntSystemCall")?;
    s.asm.lea(edx, dword_ptr(esp + 8))?;
    s.asm.int(0x2E)?;
    s.asm.ret()?;

    s.place("KiUserApcDispatcher")?;
    s.asm.lea(eax, dword_ptr(esp + REGISTRATION))?;
    s.asm.mov(ecx, dword_ptr(0).fs())?;
    s.asm.mov(edx, NTDLL_CODE.0)?;
    s.asm.mov(dword_ptr(eax), ecx)?;
    s.asm.mov(dword_ptr(eax + 4), edx)?;
    s.asm.mov(dword_ptr(0).fs(), eax)?;
    s.asm.pop(eax)?;
    s.asm.lea(edi, dword_ptr(esp + 0xC))?;
    s.asm.call(eax)?;
    s.asm.mov(ecx, dword_ptr(edi + BEHIND_CONTEXT))?;
    s.asm.mov(dword_ptr(0).fs(), ecx)?;
    s.asm.push(1)?;
    s.asm.push(edi)?;
    s.asm.call(nt_continue)?;
    s.asm.mov(esi, eax)?;
    s.place("KiUserApcDispatcherRaise")?;
    s.asm.push(esi)?;
    s.asm.call(u64::from(User::RtlRaiseStatus.at().0))?;
    s.asm.jmp(again)?;

    // LdrInitializeThunk's first argument becomes the address of the CONTEXT behind the others.
    s.place("LdrInitializeThunk")?;
    s.asm.lea(eax, dword_ptr(esp + 0x10))?;
    s.asm.mov(dword_ptr(esp + 4), eax)?;
    s.asm.xor(ebp, ebp)?;
    s.asm.jmp(u64::from(User::LdrpInitialize.at().0))?;

    // The kernel left the EIP of its caller in EAX.
    s.place("KiRaiseUserExceptionDispatcher")?;
    s.asm.push(eax)?;
    s.asm.jmp(u64::from(User::RtlRaiseUserException.at().0))?;

    for (name, number, routine) in SERVICES {
        s.place(name)?;
        s.asm.mov(eax, *number)?;
        s.asm.mov(edx, SHARED_USER.0 + SYSTEM_CALL)?;
        s.asm.call(dword_ptr(edx))?;
        s.asm.ret_1(u32::from(routine.info().params) * 4)?;
    }
    Ok(())
}
