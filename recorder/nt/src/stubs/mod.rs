//! What is assembly in the field: executed code of the kernel, of ntdll and of kernel32.

mod base;
mod entry;
mod exit;
mod ntdll;
mod start;
mod switch;
mod trap;

pub(crate) use trap::{CLOCK, TRAPS};

use crate::global::{KERNEL_CODE, KERNEL32_CODE, NTDLL_CODE};
use machine::Va;
use machine::image::{AssembleError, Code as Piece, Stubs};
use trap::INTERRUPT_RETURN;

/// The three pieces of assembled code.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) kernel: Piece,
    pub(crate) ntdll: Piece,
    pub(crate) kernel32: Piece,
    /// Where an interrupt's way out begins, which every look at the threads asks for.
    pub(crate) interrupt_return: Va,
}

impl Code {
    /// Assembles everything.
    pub(crate) fn assemble() -> Result<Code, AssembleError> {
        let mut kernel = Stubs::new(KERNEL_CODE);
        entry::assemble(&mut kernel)?;
        exit::assemble(&mut kernel)?;
        trap::assemble(&mut kernel)?;
        switch::assemble(&mut kernel)?;
        start::assemble(&mut kernel)?;
        let mut dll = Stubs::new(NTDLL_CODE);
        ntdll::assemble(&mut dll)?;
        let ntdll = dll.finish()?;
        let mut dll = Stubs::new(KERNEL32_CODE);
        base::assemble(&mut dll)?;
        let kernel = kernel.finish()?;
        let interrupt_return = kernel.symbol(INTERRUPT_RETURN);
        Ok(Code { kernel, ntdll, kernel32: dll.finish()?, interrupt_return })
    }
}

/// A KPCR field, as code in ring 0 reaches it.
pub(crate) mod pcr {
    pub(crate) const CONTEXT_SWITCHES: i32 = 0x10;
    pub(crate) const TEB: i32 = 0x18;
    pub(crate) const IRR: i32 = 0x28;
    pub(crate) const GDT: i32 = 0x3C;
    pub(crate) const TSS: i32 = 0x40;
    /// Of the KTSS: Esp0.
    pub(crate) const TSS_ESP0: i32 = 4;
    pub(crate) const CURRENT_THREAD: i32 = 0x124;
    pub(crate) const KERNEL_DR: [i32; 6] = [0x418, 0x41C, 0x420, 0x424, 0x428, 0x42C];
    pub(crate) const NPX_THREAD: i32 = 0x640;
    pub(crate) const SYSTEM_CALLS: i32 = 0x6B8;
    pub(crate) const DPC_ROUTINE_ACTIVE: i32 = 0xA7A;
}

/// KTHREAD offsets.
pub(crate) mod kthread {
    pub(crate) const DEBUG_ACTIVE: i32 = 0x3;
    pub(crate) const INITIAL_STACK: i32 = 0x18;
    pub(crate) const KERNEL_STACK: i32 = 0x20;
    pub(crate) const PROCESS: i32 = 0x38;
    pub(crate) const KERNEL_APC_PENDING: i32 = 0x3D;
    pub(crate) const USER_APC_PENDING: i32 = 0x3E;
    pub(crate) const SWITCHES: i32 = 0x48;
    pub(crate) const NPX_STATE: i32 = 0x4D;
    pub(crate) const ALERTED_KERNEL: i32 = 0x5E;
    pub(crate) const SPECIAL_APC_DISABLE: i32 = 0x72;
    pub(crate) const TEB: i32 = 0x74;
    pub(crate) const PREVIOUS_MODE: i32 = 0xD7;
    pub(crate) const TRAP_FRAME: i32 = 0x110;
    pub(crate) const SERVICE_TABLE: i32 = 0x118;
}

/// KTRAP_FRAME offsets.
pub(crate) mod frame {
    pub(crate) const DBG_EBP: i32 = 0x00;
    pub(crate) const DBG_EIP: i32 = 0x04;
    pub(crate) const DBG_ARG_MARK: i32 = 0x08;
    pub(crate) const DBG_ARG_POINTER: i32 = 0x0C;
    pub(crate) const DR: [i32; 6] = [0x18, 0x1C, 0x20, 0x24, 0x28, 0x2C];
    pub(crate) const DR7: i32 = 0x2C;
    pub(crate) const GS: i32 = 0x30;
    pub(crate) const ES: i32 = 0x34;
    pub(crate) const DS: i32 = 0x38;
    pub(crate) const EDX: i32 = 0x3C;
    pub(crate) const EAX: i32 = 0x44;
    pub(crate) const PREVIOUS_MODE: i32 = 0x48;
    pub(crate) const EXCEPTION_LIST: i32 = 0x4C;
    pub(crate) const FS: i32 = 0x50;
    pub(crate) const EDI: i32 = 0x54;
    pub(crate) const EBP: i32 = 0x60;
    pub(crate) const EIP: i32 = 0x68;
    pub(crate) const CS: i32 = 0x6C;
    pub(crate) const EFLAGS: i32 = 0x70;
    /// CS and EFLAGS, seen from EIP.
    pub(crate) const EIP_TO_CS: i32 = CS - EIP;
    pub(crate) const EIP_TO_EFLAGS: i32 = EFLAGS - EIP;
}

/// EFLAGS.VM.
pub(crate) const VM: u32 = 0x2_0000;

/// Saves live debug registers in the frame at EBP and loads the kernel's (nt52.md 6.4). ESI is the
/// thread; EBX is lost.
pub(crate) fn save_debug_registers(s: &mut Stubs, skip: &'static str) -> Result<(), AssembleError> {
    use machine::image::asm::*;
    let done = s.label(skip);
    s.asm.mov(dword_ptr(ebp + frame::DR7), 0)?;
    s.asm.cmp(byte_ptr(esi + kthread::DEBUG_ACTIVE), 0)?;
    s.asm.je(done)?;
    s.asm.test(dword_ptr(ebp + frame::CS), 1)?;
    s.asm.je(done)?;
    for (register, at) in [dr0, dr1, dr2, dr3, dr6, dr7].into_iter().zip(frame::DR) {
        s.asm.mov(ebx, register)?;
        s.asm.mov(dword_ptr(ebp + at), ebx)?;
    }
    s.asm.xor(ebx, ebx)?;
    s.asm.mov(dr7, ebx)?;
    for (register, at) in [dr0, dr1, dr2, dr3, dr6, dr7].into_iter().zip(pcr::KERNEL_DR) {
        s.asm.mov(ebx, dword_ptr(at).fs())?;
        s.asm.mov(register, ebx)?;
    }
    s.place(skip)
}
