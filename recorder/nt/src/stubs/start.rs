//! KiThreadStartup (nt52.md 5.2), the idle loop, and where the system stops.

use super::pcr;
use crate::table::Ke;
use machine::image::{AssembleError, Stubs, asm::*};

const NO_USER_MODE_CONTEXT: i32 = 0x0E;

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let [exit, user, idle, halt] =
        ["KiServiceExit2", "KiThreadStartupUser", "KiIdleLoop", "KiBugCheckHalt"].map(|name| s.label(name));

    s.place("KiThreadStartup")?;
    s.asm.xor(ebx, ebx)?;
    s.asm.xor(esi, esi)?;
    s.asm.xor(edi, edi)?;
    s.asm.xor(ebp, ebp)?;
    s.asm.push(1)?;
    s.asm.call(u64::from(Ke::KfLowerIrql.at().0))?;
    s.asm.pop(eax)?;
    s.asm.call(eax)?;
    s.asm.pop(ecx)?;
    s.asm.test(ecx, ecx)?;
    s.asm.jne(user)?;
    for _ in 0..4 {
        s.asm.push(0)?;
    }
    s.asm.push(NO_USER_MODE_CONTEXT)?;
    s.asm.call(u64::from(Ke::KeBugCheckEx.at().0))?;
    s.place("KiThreadStartupUser")?;
    s.asm.mov(ebp, esp)?;
    s.asm.jmp(exit)?;

    // Whatever becomes ready is switched to from the clock interrupt; the loop only takes what came
    // before it halted.
    s.place("KiIdleLoop")?;
    s.asm.push(0)?;
    s.asm.call(u64::from(Ke::HalpSoftwareInterrupts.at().0))?;
    s.asm.cli()?;
    s.asm.test(dword_ptr(pcr::IRR).fs(), 6)?;
    s.asm.sti()?;
    s.asm.jne(idle)?;
    s.asm.hlt()?;
    s.asm.jmp(idle)?;

    s.place("KiBugCheckHalt")?;
    s.asm.cli()?;
    s.asm.hlt()?;
    s.asm.jmp(halt)
}
