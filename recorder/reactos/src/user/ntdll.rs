//! The executed code of ntdll and kernel32 (reactos.md 6, 7.6, 10.5).

use super::Us;
use crate::{layout::*, services::SERVICES};
use machine::image::{AssembleError, Code, Stubs, asm::*};
use std::sync::OnceLock;

/// ntdll's code.
pub(crate) fn ntdll() -> &'static Code {
    static CODE: OnceLock<Code> = OnceLock::new();
    CODE.get_or_init(|| assemble_ntdll().expect("ntdll assembles"))
}

/// kernel32's code.
pub(crate) fn kernel32() -> &'static Code {
    static CODE: OnceLock<Code> = OnceLock::new();
    CODE.get_or_init(|| assemble_kernel32().expect("kernel32 assembles"))
}

fn assemble_ntdll() -> Result<Code, AssembleError> {
    let mut s = Stubs::new(NTDLL);
    // The generated stubs: number, address of the first argument, int 2Eh.
    for service in SERVICES {
        s.place(service.name)?;
        s.asm.mov(eax, service.number as i32)?;
        if service.params == 0 {
            s.asm.xor(edx, edx)?;
        } else {
            s.asm.lea(edx, dword_ptr(esp + 4))?;
        }
        s.asm.int(0x2E)?;
        s.asm.ret_1(4 * service.params)?;
    }
    // An ordinary stdcall function of five parameters, entered with a return address of DEADBEEF.
    let test_alert = s.label("NtContinue");
    s.place("KiUserApcDispatcher")?;
    s.asm.push(ebp)?;
    s.asm.mov(ebp, esp)?;
    s.asm.push(dword_ptr(ebp + 0x14))?;
    s.asm.push(dword_ptr(ebp + 0x10))?;
    s.asm.push(dword_ptr(ebp + 0x0C))?;
    s.asm.call(dword_ptr(ebp + 0x08))?;
    s.asm.push(1)?;
    s.asm.push(dword_ptr(ebp + 0x18))?;
    s.asm.call(test_alert)?;
    s.asm.mov(esp, ebp)?;
    s.asm.pop(ebp)?;
    s.asm.ret_1(20)?;
    s.place("LdrInitializeThunk")?;
    s.asm.nop()?;
    s.asm.jmp(u64::from(Us::LdrpInit.at().0))?;
    s.finish()
}

/// A start routine of two parameters (10.1, 10.2): an exception frame, the call, and the way out with
/// what it returned. Executed code, because a thread whose SegCs is 8 gets here in ring 0.
fn start(s: &mut Stubs, name: &'static str, leave: Us) -> Result<(), AssembleError> {
    s.place(name)?;
    s.asm.push(ebp)?;
    s.asm.mov(ebp, esp)?;
    s.asm.push(Us::BaseExceptionHandler.at().0 as i32)?;
    s.asm.push(dword_ptr(0u32).fs())?;
    s.asm.mov(dword_ptr(0u32).fs(), esp)?;
    s.asm.push(dword_ptr(ebp + 0x0C))?;
    s.asm.call(dword_ptr(ebp + 0x08))?;
    s.asm.push(eax)?;
    s.asm.call(u64::from(leave.at().0))?;
    s.asm.int3()
}

fn assemble_kernel32() -> Result<Code, AssembleError> {
    let mut s = Stubs::new(KERNEL32);
    start(&mut s, "BaseProcessStart", Us::ExitProcess)?;
    start(&mut s, "ThreadStartup", Us::ExitThread)?;
    // The user stack is about to be freed: the rest runs at the end of TEB.StaticUnicodeBuffer.
    s.place("RtlRosExitUserThread")?;
    s.asm.mov(eax, dword_ptr(esp + 4))?;
    s.asm.mov(ecx, dword_ptr(0x18u32).fs())?;
    s.asm.lea(esp, dword_ptr(ecx + (STATIC_UNICODE_BUFFER + 0x20A - 4) as i32))?;
    s.asm.xor(ebp, ebp)?;
    s.asm.push(eax)?;
    s.asm.call(u64::from(Us::RtlRosExitUserThreadStage2.at().0))?;
    let spin = s.label("ExitSpin");
    s.place("ExitSpin")?;
    s.asm.jmp(spin)?;
    s.finish()
}
