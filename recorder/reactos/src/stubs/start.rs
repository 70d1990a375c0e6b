//! Where a thread begins (reactos.md 4.3, 5.3, 5.6.1).

use crate::routines::Ke;
use machine::image::{AssembleError, Stubs, asm::*};

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let exit = s.label("KeReturnFromSystemCallWithHook");
    s.place("PsBeginThreadWithContextInternal")?;
    debug_registers(s, "PsBeginThreadNoDebug", "PsBeginThreadReady")?;
    s.asm.xor(eax, eax)?;
    s.asm.jmp(exit)?;
    stale(s)?;
    // System threads: the frame holds 0, StartRoutine, StartContext.
    s.place("PsBeginThread")?;
    s.asm.push(ebp)?;
    s.asm.mov(ebp, esp)?;
    s.asm.call(u64::from(Ke::PiBeforeBeginThread.at().0))?;
    s.asm.mov(eax, dword_ptr(ebp + 8))?;
    s.asm.push(dword_ptr(ebp + 0xC))?;
    s.asm.call(eax)?;
    // The routine was stdcall: this removes the argument once more, which harms nothing.
    s.asm.add(esp, 4)?;
    s.asm.push(eax)?;
    s.asm.call(u64::from(Ke::PsTerminateSystemThread.at().0))?;
    s.asm.push(0)?;
    s.asm.call(u64::from(Ke::KeBugCheck.at().0))?;
    let spin = s.label("PsBeginThreadSpin");
    s.place("PsBeginThreadSpin")?;
    s.asm.jmp(spin)
}

/// 5.3 steps 1 to 3. EBX holds the ContextFlags afterwards, ESP is behind the debug registers.
fn debug_registers(s: &mut Stubs, none: &'static str, done: &'static str) -> Result<(), AssembleError> {
    let (no_debug, ready) = (s.label(none), s.label(done));
    s.asm.call(u64::from(Ke::PiBeforeBeginThread.at().0))?;
    s.asm.pop(ebx)?;
    s.asm.test(ebx, 0x10)?;
    s.asm.je(no_debug)?;
    for register in [dr0, dr1, dr2, dr3, dr6, dr7] {
        s.asm.pop(eax)?;
        s.asm.mov(register, eax)?;
    }
    s.asm.jmp(ready)?;
    s.place(none)?;
    s.asm.add(esp, 24)?;
    s.place(done)
}

/// The stub of the MSVC6 port, which still skips the FLOATING_SAVE_AREA of the layout before
/// November 2004 (5.6.1). An FPU is always present here.
fn stale(s: &mut Stubs) -> Result<(), AssembleError> {
    let (exit, skip) = (s.label("KeReturnFromSystemCallWithHook"), s.label("PsBeginThreadStaleSkip"));
    s.place("PsBeginThreadWithContextInternalMsvc6")?;
    debug_registers(s, "PsBeginThreadStaleNoDebug", "PsBeginThreadStaleReady")?;
    s.asm.test(ebx, 8)?;
    s.asm.je(skip)?;
    s.asm.frstor(ptr(esp))?;
    s.place("PsBeginThreadStaleSkip")?;
    s.asm.add(esp, 0x70)?;
    s.asm.xor(eax, eax)?;
    s.asm.jmp(exit)
}
