//! KiSystemService and KiFastCallEntry: entry by INT 2E and by SYSENTER (nt52.md 6.2, 6.3, 6.5), and
//! the kernel's own way in.

use super::{frame, kthread, pcr, save_debug_registers};
use crate::global::USER_PROBE;
use crate::layout::{DBG_ARG_MARK, KTrapFrame, NPX_FRAME_LENGTH, SHARED, selector};
use contract::Status;
use guest::Pointer;
use machine::image::{AssembleError, Stubs, asm::*};

/// NtTerminateProcess's service number (nt52.md 1.7).
const TERMINATE_PROCESS: u32 = 0x10A;

/// Offset of KUSER_SHARED_DATA.SystemCallReturn.
const SYSTEM_CALL_RETURN: u32 = 0x304;
/// How far below the top of its kernel stack the return EIP of a thread from user mode lies.
const USER_EIP: u32 = NPX_FRAME_LENGTH + KTrapFrame::EXTENT - frame::EIP as u32;
const INTERRUPTS: u32 = 0x200;

/// KiFastCallEntry: what SYSENTER has not saved, as INT 2E would have pushed it. EDX is the user's ESP;
/// ECX is the caller's to lose.
fn fast_call_entry(s: &mut Stubs) -> Result<(), AssembleError> {
    let [common, misplaced, invalid] =
        ["KiSystemServiceFrame", "KiFastCallMisplaced", "KiTrap06"].map(|name| s.label(name));
    s.place("KiFastCallEntry")?;
    s.asm.mov(ecx, u32::from(selector::R3_DATA))?;
    s.asm.push(u32::from(selector::R0_PCR) as i32)?;
    s.asm.pop(fs)?;
    s.asm.mov(ds, ecx)?;
    s.asm.mov(es, ecx)?;
    s.asm.mov(ecx, dword_ptr(pcr::TSS).fs())?;
    s.asm.mov(esp, dword_ptr(ecx + pcr::TSS_ESP0))?;
    s.asm.push(u32::from(selector::R3_DATA) as i32)?;
    s.asm.push(edx)?;
    s.asm.pushfd()?;
    s.asm.or(dword_ptr(esp), INTERRUPTS)?;
    s.asm.push(u32::from(selector::R3_CODE) as i32)?;
    s.asm.push(dword_ptr(SHARED.0.0 + SYSTEM_CALL_RETURN))?;
    s.asm.push(2)?;
    s.asm.popfd()?;
    s.asm.mov(ecx, dword_ptr(pcr::CURRENT_THREAD).fs())?;
    s.asm.mov(ecx, dword_ptr(ecx + kthread::INITIAL_STACK))?;
    s.asm.sub(ecx, USER_EIP)?;
    s.asm.cmp(ecx, esp)?;
    s.asm.jne(misplaced)?;
    s.asm.add(edx, 8)?;
    s.asm.push(0)?;
    s.asm.push(ebp)?;
    s.asm.push(ebx)?;
    s.asm.push(esi)?;
    s.asm.push(edi)?;
    s.asm.push(u32::from(selector::R3_TEB) as i32)?;
    s.asm.jmp(common)?;

    // Not where an entry from user mode lies: an invalid opcode, met by the user at the return address.
    s.place("KiFastCallMisplaced")?;
    s.asm.push(u32::from(selector::R3_TEB) as i32)?;
    s.asm.pop(fs)?;
    s.asm.jmp(invalid)
}

pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let [bad_number, check_mode, copy, post, service] = [
        "KiInvalidSystemService",
        "KiSystemServiceAboveUser",
        "KiSystemServiceCopyArguments",
        "KiSystemServicePostCall",
        "KiSystemService",
    ]
    .map(|name| s.label(name));
    let exit = s.label("KiServiceExit");

    fast_call_entry(s)?;

    s.place("KiSystemService")?;
    s.asm.push(0)?;
    s.asm.push(ebp)?;
    s.asm.push(ebx)?;
    s.asm.push(esi)?;
    s.asm.push(edi)?;
    s.asm.push(fs)?;
    s.asm.mov(ebx, u32::from(selector::R0_PCR))?;
    s.asm.mov(fs, ebx)?;
    s.place("KiSystemServiceFrame")?;
    s.asm.push(dword_ptr(0).fs())?;
    s.asm.mov(dword_ptr(0).fs(), u32::MAX)?;
    s.asm.mov(esi, dword_ptr(pcr::CURRENT_THREAD).fs())?;
    s.asm.movzx(ebx, byte_ptr(esi + kthread::PREVIOUS_MODE))?;
    s.asm.push(ebx)?;
    s.asm.sub(esp, frame::PREVIOUS_MODE)?;
    s.asm.mov(ebp, esp)?;
    s.asm.mov(ebx, dword_ptr(ebp + frame::CS))?;
    s.asm.and(ebx, 1)?;
    s.asm.mov(byte_ptr(esi + kthread::PREVIOUS_MODE), bl)?;
    s.asm.mov(ebx, dword_ptr(esi + kthread::TRAP_FRAME))?;
    s.asm.mov(dword_ptr(ebp + frame::EDX), ebx)?;
    save_debug_registers(s, "KiSystemServiceDebugSaved")?;
    s.asm.mov(dword_ptr(esi + kthread::TRAP_FRAME), ebp)?;
    s.asm.mov(ebx, dword_ptr(ebp + frame::EBP))?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_EBP), ebx)?;
    s.asm.mov(ebx, dword_ptr(ebp + frame::EIP))?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_EIP), ebx)?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_ARG_MARK), DBG_ARG_MARK)?;
    s.asm.mov(dword_ptr(ebp + frame::DBG_ARG_POINTER), edx)?;
    s.asm.cld()?;
    s.asm.sti()?;

    // The table that bits 12 and 13 choose, and the index.
    s.asm.mov(edi, eax)?;
    s.asm.shr(edi, 8)?;
    s.asm.and(edi, 0x30)?;
    s.asm.add(edi, dword_ptr(esi + kthread::SERVICE_TABLE))?;
    s.asm.and(eax, 0xFFF)?;
    s.asm.cmp(eax, dword_ptr(edi + 8))?;
    s.asm.jae(bad_number)?;
    s.asm.inc(dword_ptr(pcr::SYSTEM_CALLS).fs())?;
    s.asm.mov(esi, edx)?;
    s.asm.mov(ebx, dword_ptr(edi + 12))?;
    s.asm.movzx(ecx, byte_ptr(ebx + eax))?;
    s.asm.mov(edi, dword_ptr(edi))?;
    s.asm.mov(ebx, dword_ptr(edi + eax * 4))?;
    s.asm.sub(esp, ecx)?;
    s.asm.shr(ecx, 2)?;
    s.asm.mov(edi, esp)?;
    s.asm.cmp(esi, USER_PROBE)?;
    s.asm.jae(check_mode)?;
    s.place("KiSystemServiceCopyArguments")?;
    s.asm.rep().movsd()?;
    s.asm.call(ebx)?;
    s.place("KiSystemServicePostCall")?;
    s.asm.mov(esp, ebp)?;
    s.asm.mov(ecx, dword_ptr(pcr::CURRENT_THREAD).fs())?;
    s.asm.mov(edx, dword_ptr(ebp + frame::EDX))?;
    s.asm.mov(dword_ptr(ecx + kthread::TRAP_FRAME), edx)?;
    s.asm.jmp(exit)?;

    s.place("KiSystemServiceAboveUser")?;
    s.asm.test(dword_ptr(ebp + frame::CS), 1)?;
    s.asm.je(copy)?;
    s.asm.mov(eax, Status::ACCESS_VIOLATION.0)?;
    s.asm.jmp(post)?;
    s.place("KiInvalidSystemService")?;
    s.asm.mov(eax, Status::INVALID_SYSTEM_SERVICE.0)?;
    s.asm.jmp(post)?;

    // A call from the kernel: PreviousMode becomes KernelMode for it.
    s.place("ZwTerminateProcess")?;
    s.asm.mov(eax, TERMINATE_PROCESS)?;
    s.asm.lea(edx, dword_ptr(esp + 4))?;
    s.asm.pushfd()?;
    s.asm.push(u32::from(selector::R0_CODE) as i32)?;
    s.asm.call(service)?;
    s.asm.ret_1(8)
}
