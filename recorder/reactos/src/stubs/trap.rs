//! Exceptions and interrupts (reactos.md 1.5, 2.2, 6.3).

use super::{kernel_segments, leave_from_fs, offset, pcr, pop_to_eax, push_from_eax, restore};
use crate::{layout::*, routines::Ke};
use machine::image::{AssembleError, Stubs, asm::*};

/// Names of the exception entries, by vector; 20 stands for all others.
pub(crate) const TRAPS: [&str; 21] = [
    "KiTrap0",
    "KiTrap1",
    "KiTrap2",
    "KiTrap3",
    "KiTrap4",
    "KiTrap5",
    "KiTrap6",
    "KiTrap7",
    "KiTrap8",
    "KiTrap9",
    "KiTrap10",
    "KiTrap11",
    "KiTrap12",
    "KiTrap13",
    "KiTrap14",
    "KiTrap15",
    "KiTrap16",
    "KiTrap17",
    "KiTrap18",
    "KiTrap19",
    "KiTrapUnknown",
];
/// Names of the interrupt entries, by line.
pub(crate) const IRQS: [&str; 16] = [
    "KiIrq0", "KiIrq1", "KiIrq2", "KiIrq3", "KiIrq4", "KiIrq5", "KiIrq6", "KiIrq7", "KiIrq8", "KiIrq9",
    "KiIrq10", "KiIrq11", "KiIrq12", "KiIrq13", "KiIrq14", "KiIrq15",
];

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let (prolog, irq) = (s.label("KiTrapProlog"), s.label("KiInterrupt"));
    for (vector, name) in TRAPS.into_iter().enumerate() {
        s.place(name)?;
        if vector == 8 {
            // The double-fault task has a stack of its own.
            s.asm.push(stop::GENERIC as i32)?;
            s.asm.call(u64::from(Ke::KeBugCheck.at().0))?;
            continue;
        }
        // The processor pushed an error code for these.
        if !matches!(vector, 10..=14 | 17) {
            s.asm.push(0)?;
        }
        s.asm.push(ebp)?;
        s.asm.push(ebx)?;
        s.asm.push(esi)?;
        s.asm.mov(esi, vector as i32)?;
        s.asm.jmp(prolog)?;
    }
    for (line, name) in IRQS.into_iter().enumerate() {
        s.place(name)?;
        s.asm.push(0)?;
        s.asm.push(ebp)?;
        s.asm.push(ebx)?;
        s.asm.push(esi)?;
        s.asm.mov(esi, line as i32 + i32::from(CLOCK_VECTOR))?;
        s.asm.jmp(irq)?;
    }
    trap(s)?;
    interrupt(s)
}

/// Pushes the frame from Edi down to ExceptionList and the previous mode, leaving the thread in EDI.
fn upper(s: &mut Stubs) -> Result<(), AssembleError> {
    s.asm.push(edi)?;
    s.asm.push(fs)?;
    s.asm.mov(bx, i32::from(selector::PCR))?;
    s.asm.mov(fs, bx)?;
    s.asm.push(pcr(offset::PCR_EXCEPTION_LIST))?;
    s.asm.mov(edi, pcr(offset::PCR_CURRENT_THREAD))?;
    s.asm.xor(ebx, ebx)?;
    s.asm.mov(bl, byte_ptr(edi + offset::THREAD_PREVIOUS_MODE).ss())?;
    s.asm.push(ebx)
}

/// Pushes the frame from Eax down to its start; the vector is in ESI.
fn lower(s: &mut Stubs) -> Result<(), AssembleError> {
    push_from_eax(s)?;
    for register in [dr7, dr6, dr3, dr2, dr1, dr0] {
        s.asm.mov(eax, register)?;
        s.asm.push(eax)?;
    }
    s.asm.push(0)?;
    s.asm.push(0)?;
    s.asm.mov(eax, cr2)?;
    s.asm.push(eax)?;
    s.asm.push(esi)?;
    s.asm.push(dword_ptr(esp + (0x68 - 0x08)))?;
    s.asm.push(ebp)?;
    kernel_segments(s)?;
    s.asm.mov(ebp, esp)
}

/// KiTrapProlog: the old trap frame is kept on the stack, the previous mode set anew.
fn trap(s: &mut Stubs) -> Result<(), AssembleError> {
    let no_interrupts = s.label("KiTrapNoInterrupts");
    s.place("KiTrapProlog")?;
    upper(s)?;
    s.asm.cmp(word_ptr(esp + 0x24), i32::from(selector::KERNEL_CS))?;
    s.asm.setne(bl)?;
    s.asm.mov(byte_ptr(edi + offset::THREAD_PREVIOUS_MODE).ss(), bl)?;
    lower(s)?;
    s.asm.push(dword_ptr(edi + offset::THREAD_TRAP_FRAME))?;
    s.asm.mov(dword_ptr(edi + offset::THREAD_TRAP_FRAME), ebp)?;
    // #PF comes through an interrupt gate; interrupts are enabled again if they were.
    s.asm.test(dword_ptr(ebp + 0x70), 0x200)?;
    s.asm.je(no_interrupts)?;
    s.asm.sti()?;
    s.place("KiTrapNoInterrupts")?;
    s.asm.push(ebp)?;
    s.asm.push(esi)?;
    s.asm.call(u64::from(Ke::KiTrapHandler.at().0))?;
    s.asm.mov(esi, pcr(offset::PCR_CURRENT_THREAD))?;
    s.asm.pop(dword_ptr(esi + offset::THREAD_TRAP_FRAME))?;
    s.asm.mov(esp, ebp)?;
    s.asm.add(esp, 0x30)?;
    restore(s)
}

/// A hardware interrupt: the same frame, but neither KTHREAD.TrapFrame nor the previous mode nor the
/// exception list is touched, and no user APC is looked for on the way out.
fn interrupt(s: &mut Stubs) -> Result<(), AssembleError> {
    s.place("KiInterrupt")?;
    upper(s)?;
    lower(s)?;
    s.asm.push(ebp)?;
    s.asm.push(esi)?;
    s.asm.call(u64::from(Ke::KiInterruptDispatch.at().0))?;
    // A switch on the way has enabled interrupts. With them off here, interrupts that come one upon
    // the other cannot pile up frames.
    s.asm.cli()?;
    s.asm.mov(esp, ebp)?;
    s.asm.add(esp, 0x30)?;
    pop_to_eax(s)?;
    s.asm.add(esp, 8)?;
    leave_from_fs(s)
}
