//! kernel32's start thunks (nt52.md 11.2).

use crate::table::User;
use machine::image::{AssembleError, Stubs, asm::*};

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("BaseProcessStartThunk")?;
    s.asm.xor(ebp, ebp)?;
    s.asm.push(eax)?;
    s.asm.push(0)?;
    s.asm.jmp(u64::from(User::BaseProcessStart.at().0))?;
    s.place("BaseThreadStartThunk")?;
    s.asm.xor(ebp, ebp)?;
    s.asm.push(ebx)?;
    s.asm.push(eax)?;
    s.asm.push(0)?;
    s.asm.jmp(u64::from(User::BaseThreadStart.at().0))
}
