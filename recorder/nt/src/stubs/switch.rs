//! KiSwapContext (nt52.md 5.1).

use super::{VM, kthread, pcr};
use crate::layout::NPX_FRAME_LENGTH;
use crate::table::Ke;
use machine::image::{AssembleError, Stubs, asm::*};

const NPX: i32 = NPX_FRAME_LENGTH as i32;
/// CR0.MP, EM and TS.
const CR0_NPX: i32 = 0xE;
/// FX_SAVE_AREA.Cr0NpxState.
const CR0_NPX_STATE: i32 = 0x20C;
/// KPROCESS.DirectoryTableBase and IopmOffset.
const DIRECTORY_TABLE_BASE: i32 = 0x18;
const IOPM_OFFSET: i32 = 0x30;
/// GDT offsets of the TEB descriptor's base.
const TEB_BASE_LOW: i32 = 0x3A;
const TEB_BASE_MIDDLE: i32 = 0x3C;
const TEB_BASE_HIGH: i32 = 0x3F;
/// KTSS.IoMapBase.
const IO_MAP_BASE: i32 = 0x66;
/// EFlags of the trap frame at InitialStack - 29C.
const FRAME_FLAGS: i32 = -0x29C + 0x70;
const ATTEMPTED_SWITCH_FROM_DPC: i32 = 0xB8;

/// KiSwapContext(OldThread, WaitIrql), stdcall; the incoming thread is KPRCB.CurrentThread. EAX tells
/// the caller, by then that thread, whether it must deliver kernel APCs.
pub(super) fn assemble(s: &mut Stubs) -> Result<(), AssembleError> {
    let inner = s.label("KiSwapContextInternal");
    s.place("KiSwapContext")?;
    s.asm.mov(eax, dword_ptr(esp + 4))?;
    s.asm.mov(ecx, dword_ptr(esp + 8))?;
    s.asm.push(ebx)?;
    s.asm.push(esi)?;
    s.asm.push(edi)?;
    s.asm.push(ebp)?;
    s.asm.mov(ebx, eax)?;
    s.asm.mov(esi, dword_ptr(pcr::CURRENT_THREAD).fs())?;
    s.asm.call(inner)?;
    s.asm.pop(ebp)?;
    s.asm.pop(edi)?;
    s.asm.pop(esi)?;
    s.asm.pop(ebx)?;
    s.asm.ret_1(8)?;
    internal(s)
}

/// EBX is the outgoing thread, ESI the incoming one, ECX the wait IRQL.
fn internal(s: &mut Stubs) -> Result<(), AssembleError> {
    let [same_cr0, same_process, v86, no_dpc, none, now] =
        ["KiSwapSameCr0", "KiSwapSameProcess", "KiSwapV86", "KiSwapNoDpc", "KiSwapNoApc", "KiSwapDeliver"]
            .map(|name| s.label(name));
    s.place("KiSwapContextInternal")?;
    s.asm.push(ecx)?;
    s.asm.push(dword_ptr(0).fs())?;
    s.asm.inc(dword_ptr(pcr::CONTEXT_SWITCHES).fs())?;
    s.asm.cli()?;
    s.asm.mov(dword_ptr(ebx + kthread::KERNEL_STACK), esp)?;
    s.asm.mov(edi, dword_ptr(esi + kthread::INITIAL_STACK))?;
    s.asm.movzx(edx, byte_ptr(esi + kthread::NPX_STATE))?;
    s.asm.or(edx, dword_ptr(edi - NPX + CR0_NPX_STATE))?;
    s.asm.mov(eax, cr0)?;
    s.asm.mov(ecx, eax)?;
    s.asm.and(ecx, !CR0_NPX)?;
    s.asm.or(ecx, edx)?;
    s.asm.cmp(ecx, eax)?;
    s.asm.je(same_cr0)?;
    s.asm.mov(cr0, ecx)?;
    s.place("KiSwapSameCr0")?;
    s.asm.mov(esp, dword_ptr(esi + kthread::KERNEL_STACK))?;
    s.asm.sti()?;
    s.asm.mov(eax, dword_ptr(esi + kthread::PROCESS))?;
    s.asm.cmp(eax, dword_ptr(ebx + kthread::PROCESS))?;
    s.asm.je(same_process)?;
    s.asm.mov(ecx, dword_ptr(eax + DIRECTORY_TABLE_BASE))?;
    s.asm.mov(cr3, ecx)?;
    s.place("KiSwapSameProcess")?;
    s.asm.xor(ecx, ecx)?;
    s.asm.mov(gs, ecx)?;
    s.asm.mov(ecx, dword_ptr(esi + kthread::TEB))?;
    s.asm.mov(dword_ptr(pcr::TEB).fs(), ecx)?;
    s.asm.mov(edx, dword_ptr(pcr::GDT).fs())?;
    s.asm.mov(word_ptr(edx + TEB_BASE_LOW), cx)?;
    s.asm.shr(ecx, 16)?;
    s.asm.mov(byte_ptr(edx + TEB_BASE_MIDDLE), cl)?;
    s.asm.mov(byte_ptr(edx + TEB_BASE_HIGH), ch)?;
    s.asm.mov(edx, dword_ptr(pcr::TSS).fs())?;
    s.asm.lea(ecx, dword_ptr(edi - NPX))?;
    s.asm.test(dword_ptr(edi + FRAME_FLAGS), VM)?;
    s.asm.jne(v86)?;
    s.asm.sub(ecx, 0x10)?;
    s.place("KiSwapV86")?;
    s.asm.mov(dword_ptr(edx + pcr::TSS_ESP0), ecx)?;
    s.asm.movzx(ecx, word_ptr(eax + IOPM_OFFSET))?;
    s.asm.mov(word_ptr(edx + IO_MAP_BASE), cx)?;
    s.asm.inc(dword_ptr(esi + kthread::SWITCHES))?;
    s.asm.pop(ecx)?;
    s.asm.mov(dword_ptr(0).fs(), ecx)?;
    s.asm.pop(ecx)?;
    s.asm.cmp(byte_ptr(pcr::DPC_ROUTINE_ACTIVE).fs(), 0)?;
    s.asm.je(no_dpc)?;
    s.asm.push(0)?;
    s.asm.push(dword_ptr(ebx + kthread::INITIAL_STACK))?;
    s.asm.push(esi)?;
    s.asm.push(ebx)?;
    s.asm.push(ATTEMPTED_SWITCH_FROM_DPC)?;
    s.asm.call(u64::from(Ke::KeBugCheckEx.at().0))?;
    s.place("KiSwapNoDpc")?;
    s.asm.cmp(byte_ptr(esi + kthread::KERNEL_APC_PENDING), 0)?;
    s.asm.je(none)?;
    s.asm.cmp(word_ptr(esi + kthread::SPECIAL_APC_DISABLE), 0)?;
    s.asm.jne(none)?;
    s.asm.test(ecx, ecx)?;
    s.asm.je(now)?;
    s.asm.or(dword_ptr(pcr::IRR).fs(), 2)?;
    s.place("KiSwapNoApc")?;
    s.asm.xor(eax, eax)?;
    s.asm.ret()?;
    s.place("KiSwapDeliver")?;
    s.asm.mov(eax, 1)?;
    s.asm.ret()
}
