//! What the processor and the entries work with: trap frame, PCR and TSS (reactos.md 2.2, 2.9, 1.4).

use crate::layout::EThread;
use guest::{Va, guest_struct};

guest_struct! {
    /// KTRAP_FRAME.
    pub(crate) struct TrapFrame [0x8C] {
        0x00 debug_ebp: u32,
        0x04 debug_eip: u32,
        /// 0 for a system call, else the vector.
        0x08 debug_arg_mark: u32,
        0x0C debug_pointer: u32,
        0x10 temp_cs: u32,
        0x14 temp_eip: u32,
        0x18 dr0: u32,
        0x1C dr1: u32,
        0x20 dr2: u32,
        0x24 dr3: u32,
        0x28 dr6: u32,
        0x2C dr7: u32,
        0x30 gs: u16,
        0x34 es: u16,
        0x38 ds: u16,
        0x3C edx: u32,
        0x40 ecx: u32,
        0x44 eax: u32,
        0x48 previous_mode: u32,
        0x4C exception_list: u32,
        0x50 fs: u16,
        0x54 edi: u32,
        0x58 esi: u32,
        0x5C ebx: u32,
        0x60 ebp: u32,
        0x64 error_code: u32,
        0x68 eip: u32,
        0x6C cs: u32,
        0x70 eflags: u32,
        0x74 esp: u32,
        0x78 ss: u16,
        0x7C v86_es as "V86_Es": u32,
        0x80 v86_ds as "V86_Ds": u32,
        0x84 v86_fs as "V86_Fs": u32,
        0x88 v86_gs as "V86_Gs": u32,
    }
}

guest_struct! {
    /// What Ki386ContextSwitch leaves on the stack of the thread that it switches away from (5.2, steps
    /// 1, 2 and 7), from KernelStack up. The sheet gives it no name; this is NT's.
    pub(crate) struct SwitchFrame [0x18] {
        0x00 esp0: u32,
        0x04 edi: u32,
        0x08 esi: u32,
        0x0C ebx: u32,
        0x10 ebp: u32,
        0x14 eip: Va,
    }
}

guest_struct! {
    /// What the start stub pops before it takes what follows for a trap frame: K[6] to K[12] of 4.3. The
    /// sheet gives it no name.
    pub(crate) struct StartFrame [0x1C] {
        0x00 context_flags: u32,
        0x04 dr0: u32,
        0x08 dr1: u32,
        0x0C dr2: u32,
        0x10 dr3: u32,
        0x14 dr6: u32,
        0x18 dr7: u32,
    }
}

guest_struct! {
    /// What a system thread's first stack holds behind the switch frame (4.3), and for good: PsBeginThread
    /// never returns. The sheet gives it no name.
    pub(crate) struct SystemStart [0xC] {
        0x0 return_address: u32,
        0x4 start_routine: Va,
        0x8 start_context: u32,
    }
}

guest_struct! {
    /// What KiTrapProlog keeps of the thread below the frame that it makes (6.3).
    pub(crate) struct OldTrapFrame [0x4] {
        0x0 trap_frame: Va,
    }
}

guest_struct! {
    /// FX_SAVE_AREA (2.4): the processor's image, and what the kernel keeps behind it.
    pub(crate) struct FxSaveArea [0x210] {
        0x000 control_word: u16,
        0x002 status_word: u16,
        0x004 tag_word: u16,
        0x018 mxcsr as "MXCsr": u32,
        0x208 npx_saved_cpu: u32,
        0x20C cr0_npx_state: u32,
    }
}

/// FX_SAVE_AREA: it ends where a kernel stack does (2.4).
pub(crate) const FX_AREA: u32 = 0x210;
/// FX_SAVE_AREA.NpxSavedCpu.
pub(crate) const FX_SAVED_CPU: u32 = 0x208;
/// FX_SAVE_AREA.Cr0NpxState.
pub(crate) const FX_CR0: u32 = 0x20C;
/// Where a ring-3 entry's frame lies below the top of the stack: 6.1.
pub(crate) const USER_FRAME: u32 = 0x28C;
/// InitSize of a user thread's first stack (4.3).
pub(crate) const INIT_SIZE: u32 = 0x2D0;
/// Where K[6] lies below the top of the stack (4.3).
pub(crate) const START_WORDS: u32 = 0x2B8;
/// Where the first trap frame lies below the top of the stack (4.3).
pub(crate) const START_FRAME: u32 = 0x29C;
/// Where a system thread's first stack begins below the top (4.3).
pub(crate) const SYSTEM_START: u32 = 0x234;

/// KTHREAD.NpxState bits (2.4).
pub(crate) mod npx {
    pub(crate) const INVALID: u8 = 1;
    pub(crate) const VALID: u8 = 2;
    pub(crate) const DIRTY: u8 = 4;
}

guest_struct! {
    /// KPCR.
    pub(crate) struct Kpcr [0x1000] {
        0x000 exception_list as "Tib.ExceptionList": u32,
        0x018 tib_self as "Tib.Self": Va,
        0x01C this as "Self": Va,
        0x024 irql: u8,
        0x038 idt as "IDT": Va,
        0x03C gdt as "GDT": Va,
        0x040 tss as "TSS": Va,
        0x051 processor_number: u8,
        /// HalReserved[0]: written, never read.
        0x094 apc_request as "HalReserved[0]": u32,
        /// HalReserved[1].
        0x098 dpc_request as "HalReserved[1]": u32,
        0x124 current_thread: Option<EThread>,
        0x128 next_thread: Option<EThread>,
        0x12C idle_thread: Option<EThread>,
        /// PRCB.QuantumEnd; the sheet gives it no offset.
        0x130 quantum_end: u32,
        0x2A4 npx_thread: Option<EThread>,
    }
}

guest_struct! {
    /// KTSS, up to its I/O bitmap.
    pub(crate) packed struct Ktss [0x2069] {
        0x04 esp0: u32,
        0x08 ss0: u32,
        0x1C cr3 as "CR3": u32,
        0x20 eip: u32,
        0x24 eflags: u32,
        0x38 esp: u32,
        0x48 es: u32,
        0x4C cs: u32,
        0x50 ss: u32,
        0x54 ds: u32,
        0x58 fs: u32,
        0x5C gs: u32,
        0x60 ldt as "LDT": u32,
        0x66 io_map_base: u16,
    }
}
