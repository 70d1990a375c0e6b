//! The idle thread (reactos.md 4.10), and where a stopped system rests.

use crate::{layout::G, routines::Ke};
use machine::image::{AssembleError, Stubs, asm::*};

/// Pending DPCs run in the lowering inside NtYieldExecution. The last look at the ready lists is with
/// interrupts off: STI keeps them off for one instruction more, so nothing can become ready between
/// the look and the halt and then be slept through.
pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let (again, busy) = (s.label("PsIdleLoop"), s.label("PsIdleBusy"));
    s.place("PsIdleThreadMain")?;
    s.asm.xor(ebp, ebp)?;
    s.place("PsIdleLoop")?;
    s.asm.call(u64::from(Ke::NtYieldExecution.at().0))?;
    s.asm.cli()?;
    s.asm.mov(eax, G.priority_list_mask().at.0 as i32)?;
    s.asm.cmp(dword_ptr(eax), 0)?;
    s.asm.jne(busy)?;
    s.asm.sti()?;
    s.asm.hlt()?;
    s.asm.jmp(again)?;
    s.place("PsIdleBusy")?;
    s.asm.sti()?;
    s.asm.jmp(again)?;
    let halt = s.label("KiBugCheckHalt");
    s.place("KiBugCheckHalt")?;
    s.asm.cli()?;
    s.asm.hlt()?;
    s.asm.jmp(halt)
}
