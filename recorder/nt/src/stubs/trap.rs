//! Trap and interrupt entries (nt52.md 1.3, 2.2, 6.4), and the lazy loading of floating-point
//! registers at #NM (2.4).

use super::{frame, kthread, pcr, save_debug_registers};
use crate::layout::{CLOCK_LEVEL, DBG_ARG_MARK, NPX_FRAME_LENGTH, NPX_STATE_NOT_LOADED, selector};
use crate::table::Ke;
use machine::image::{AssembleError, Stubs, asm::*};

/// The traps: vector, entry, and whether the processor pushes an error code.
pub(crate) const TRAPS: &[(u8, &str, bool)] = &[
    (0x00, "KiTrap00", false),
    (0x01, "KiTrap01", false),
    (0x03, "KiTrap03", false),
    (0x04, "KiTrap04", false),
    (0x05, "KiTrap05", false),
    (0x06, "KiTrap06", false),
    (0x08, "KiTrap08", true),
    (0x0A, "KiTrap0A", true),
    (0x0B, "KiTrap0B", true),
    (0x0C, "KiTrap0C", true),
    (0x0D, "KiTrap0D", true),
    (0x0E, "KiTrap0E", true),
    (0x10, "KiTrap10", false),
    (0x11, "KiTrap11", true),
    (0x13, "KiTrap13", false),
];

/// The entry of the clock's vector.
pub(crate) const CLOCK: &str = "HalpClockInterrupt";
/// The place in the clock interrupt's way out to which a switch away from interrupted code returns.
pub(super) const INTERRUPT_RETURN: &str = "KiInterruptReturn";

/// Builds the rest of a whole trap frame, when EBP has been pushed below the error code, and loads the
/// kernel's segments. Afterwards EBP is the frame, EDI what EBP was, ESI the current thread; interrupts
/// are as the gate left them.
fn build_frame(s: &mut Stubs, saved: &'static str) -> Result<(), AssembleError> {
    s.asm.push(ebx)?;
    s.asm.push(esi)?;
    s.asm.push(edi)?;
    s.asm.push(fs)?;
    s.asm.mov(ebx, u32::from(selector::R0_PCR))?;
    s.asm.mov(fs, ebx)?;
    s.asm.push(dword_ptr(0).fs())?;
    s.asm.mov(dword_ptr(0).fs(), u32::MAX)?;
    s.asm.mov(esi, dword_ptr(pcr::CURRENT_THREAD).fs())?;
    // By way of SS: user mode may have left anything in DS.
    s.asm.movzx(ebx, byte_ptr(esi + kthread::PREVIOUS_MODE).ss())?;
    s.asm.push(ebx)?;
    s.asm.push(eax)?;
    s.asm.push(ecx)?;
    s.asm.push(edx)?;
    s.asm.push(ds)?;
    s.asm.push(es)?;
    s.asm.push(gs)?;
    s.asm.mov(ebx, u32::from(selector::R3_DATA))?;
    s.asm.mov(ds, ebx)?;
    s.asm.mov(es, ebx)?;
    s.asm.xor(ebx, ebx)?;
    s.asm.mov(gs, ebx)?;
    s.asm.sub(esp, frame::GS)?;
    s.asm.mov(edi, ebp)?;
    s.asm.mov(ebp, esp)?;
    s.asm.cld()?;
    save_debug_registers(s, saved)?;
    s.asm.mov(ebx, dword_ptr(ebp + frame::EBP))?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_EBP), ebx)?;
    s.asm.mov(ebx, dword_ptr(ebp + frame::EIP))?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_EIP), ebx)?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_ARG_MARK), DBG_ARG_MARK)?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_ARG_POINTER), edx)
}

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let [common, exit] = ["KiTrapCommon", "KiServiceExit2"].map(|name| s.label(name));
    for (vector, name, has_code) in TRAPS {
        s.place(name)?;
        if !has_code {
            s.asm.push(0)?;
        }
        // The vector travels above the error code's place until the frame is built.
        s.asm.push(i32::from(*vector))?;
        s.asm.jmp(common)?;
    }
    trap_common(s, exit)?;
    device_not_available(s, exit)?;
    clock(s, exit)
}

/// The vector lies where EBP belongs in the frame, and is exchanged for it.
fn trap_common(s: &mut Stubs, exit: CodeLabel) -> Result<(), AssembleError> {
    s.place("KiTrapCommon")?;
    s.asm.xchg(dword_ptr(esp), ebp)?;
    build_frame(s, "KiTrapDebugSaved")?;
    s.asm.mov(ecx, cr2)?;
    let masked = s.label("KiTrapMasked");
    s.asm.test(dword_ptr(ebp + frame::EFLAGS), 0x200)?;
    s.asm.je(masked)?;
    s.asm.sti()?;
    s.place("KiTrapMasked")?;
    s.asm.push(ecx)?;
    s.asm.push(edi)?;
    s.asm.push(ebp)?;
    s.asm.call(u64::from(Ke::KiTrapDispatch.at().0))?;
    s.asm.mov(ebp, eax)?;
    s.asm.mov(esp, ebp)?;
    s.asm.jmp(exit)
}

/// KiTrap07: the registers' owner is changed for the current thread.
fn device_not_available(s: &mut Stubs, exit: CodeLabel) -> Result<(), AssembleError> {
    let load = s.label("KiTrap07Load");
    s.place("KiTrap07")?;
    s.asm.push(0)?;
    s.asm.push(ebp)?;
    build_frame(s, "KiTrap07DebugSaved")?;
    s.asm.clts()?;
    s.asm.mov(eax, dword_ptr(pcr::NPX_THREAD).fs())?;
    s.asm.test(eax, eax)?;
    s.asm.je(load)?;
    s.asm.mov(ebx, dword_ptr(eax + kthread::INITIAL_STACK))?;
    s.asm.fxsave(ptr(ebx - NPX))?;
    s.asm.mov(byte_ptr(eax + kthread::NPX_STATE), NOT_LOADED)?;
    s.place("KiTrap07Load")?;
    s.asm.mov(ebx, dword_ptr(esi + kthread::INITIAL_STACK))?;
    s.asm.fxrstor(ptr(ebx - NPX))?;
    s.asm.mov(dword_ptr(pcr::NPX_THREAD).fs(), esi)?;
    s.asm.mov(byte_ptr(esi + kthread::NPX_STATE), 0)?;
    s.asm.jmp(exit)
}

const NPX: i32 = NPX_FRAME_LENGTH as i32;
const NOT_LOADED: u32 = NPX_STATE_NOT_LOADED as u32;

/// The clock: its work with interrupts disabled, then what software interrupts it has brought.
fn clock(s: &mut Stubs, exit: CodeLabel) -> Result<(), AssembleError> {
    s.place(CLOCK)?;
    s.asm.push(0)?;
    s.asm.push(ebp)?;
    build_frame(s, "KiInterruptDebugSaved")?;
    s.asm.push(i32::from(CLOCK_LEVEL))?;
    s.asm.call(u64::from(Ke::KfRaiseIrql.at().0))?;
    s.asm.push(eax)?;
    s.asm.push(ebp)?;
    s.asm.call(u64::from(Ke::KeUpdateSystemTime.at().0))?;
    s.asm.call(u64::from(Ke::KfLowerIrql.at().0))?;
    s.asm.push(ebp)?;
    s.asm.call(u64::from(Ke::HalpSoftwareInterrupts.at().0))?;
    s.place(INTERRUPT_RETURN)?;
    s.asm.jmp(exit)?;

    // Where a routine returns to that has made a software interrupt possible: its result and its
    // caller's registers stay as they are.
    s.place("HalpSoftwareInterrupt")?;
    s.asm.push(ebp)?;
    s.asm.mov(ebp, esp)?;
    s.asm.push(eax)?;
    s.asm.push(ecx)?;
    s.asm.push(edx)?;
    s.asm.push(0)?;
    s.asm.call(u64::from(Ke::HalpSoftwareInterrupts.at().0))?;
    s.asm.pop(edx)?;
    s.asm.pop(ecx)?;
    s.asm.pop(eax)?;
    s.asm.pop(ebp)?;
    s.asm.ret()
}
