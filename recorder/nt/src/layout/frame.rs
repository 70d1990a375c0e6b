//! Frames on kernel stacks (nt52.md 2.2, 2.12) and the floating-point save area (2.4).

use guest::{Va, guest_struct};

guest_struct! {
    /// KTRAP_FRAME.
    pub(crate) struct KTrapFrame [0x8C] {
        0x00 dbg_ebp: u32,
        0x04 dbg_eip: u32,
        0x08 dbg_arg_mark: u32,
        0x0C dbg_arg_pointer: u32,
        0x10 temp_seg_cs: u32,
        0x14 temp_esp: u32,
        0x18 dr0: u32,
        0x1C dr1: u32,
        0x20 dr2: u32,
        0x24 dr3: u32,
        0x28 dr6: u32,
        0x2C dr7: u32,
        0x30 seg_gs: u32,
        0x34 seg_es: u32,
        0x38 seg_ds: u32,
        0x3C edx: u32,
        0x40 ecx: u32,
        0x44 eax: u32,
        0x48 previous_previous_mode: u32,
        0x4C exception_list: u32,
        0x50 seg_fs: u32,
        0x54 edi: u32,
        0x58 esi: u32,
        0x5C ebx: u32,
        0x60 ebp: u32,
        0x64 err_code: u32,
        0x68 eip: u32,
        0x6C seg_cs: u32,
        0x70 e_flags: u32,
        0x74 hardware_esp: u32,
        0x78 hardware_seg_ss: u32,
        0x7C v86_es: u32,
        0x80 v86_ds: u32,
        0x84 v86_fs: u32,
        0x88 v86_gs: u32,
    }
}
guest_struct! {
    /// KSWITCHFRAME.
    pub(crate) struct KSwitchFrame [0xC] {
        0x0 exception_list: u32,
        0x4 apc_bypass_disable: u32,
        0x8 ret_addr: Va,
    }
}
guest_struct! {
    /// What KiSwapContext pushes before it makes the switch frame below (5.1). The sheet gives it no name.
    pub(crate) struct SwapRegisters [0x10] {
        0x0 ebp: u32,
        0x4 edi: u32,
        0x8 esi: u32,
        0xC ebx: u32,
    }
}
guest_struct! {
    /// KSTART_FRAME.
    pub(crate) struct KStartFrame [0x10] {
        0x0 system_routine: Va,
        0x4 start_routine: Va,
        0x8 start_context: u32,
        0xC user_thread: u32,
    }
}
guest_struct! {
    /// What is left of KSTART_FRAME while the routine is at work that KiThreadStartup has called (5.3). The
    /// sheet gives it no name.
    pub(crate) struct StartLeft [0x4] {
        0x0 user_thread: u32,
    }
}
guest_struct! {
    /// What a stub keeps on the stack between raising the IRQL and lowering it again (2.2, 5.5): the
    /// argument of its KfLowerIrql.
    pub(crate) struct RaisedFrom [0x4] {
        0x0 old_irql: u32,
    }
}
guest_struct! {
    /// What HalpSoftwareInterrupt saves of its caller. The stub is ours: the sheet says when software
    /// interrupts are taken (1.6), and not from where.
    pub(crate) struct SavedVolatile [0xC] {
        0x0 edx: u32,
        0x4 ecx: u32,
        0x8 eax: u32,
    }
}
guest_struct! {
    /// FX_SAVE_AREA with an FXSAVE image.
    pub(crate) struct FxSaveArea [0x210] {
        0x000 control_word: u16,
        0x002 status_word: u16,
        0x004 tag_word: u16,
        0x006 error_opcode: u16,
        0x008 error_offset: u32,
        0x00C error_selector: u32,
        0x010 data_offset: u32,
        0x014 data_selector: u32,
        0x018 mxcsr as "MXCsr": u32,
        0x01C mxcsr_mask as "MXCsrMask": u32,
        0x208 npx_saved_cpu: u32,
        0x20C cr0_npx_state: u32,
    }
}

/// What DbgArgMark holds in every valid frame.
pub(crate) const DBG_ARG_MARK: u32 = 0xBADB_0D00;
/// EFLAGS bits that user mode may choose.
///
/// The sheet's mask is 003F4DD7. It lets VM through; virtual-8086 mode is left to the implementer there
/// (nt52.md 4.6) and out of this machine's scope, so VM is taken out of it here.
pub(crate) const EFLAGS_USER_SANITIZE: u32 = 0x003F_4DD7 & !0x2_0000;
/// KTHREAD.NpxState: the registers hold another thread's state; the values of CR0.MP and CR0.TS.
pub(crate) const NPX_STATE_NOT_LOADED: u8 = 0x0A;
/// KTHREAD.NpxState: the registers hold this thread's state.
pub(crate) const NPX_STATE_LOADED: u8 = 0;
/// DR7 bits that make a frame's debug registers live when any other is set.
pub(crate) const DR7_RESERVED_MASK: u32 = 0xDC00;

/// Selectors (nt52.md 1.2).
pub(crate) mod selector {
    pub(crate) const R0_CODE: u16 = 0x08;
    pub(crate) const R0_DATA: u16 = 0x10;
    pub(crate) const R3_CODE: u16 = 0x1B;
    pub(crate) const R3_DATA: u16 = 0x23;
    pub(crate) const TSS: u16 = 0x28;
    pub(crate) const R0_PCR: u16 = 0x30;
    pub(crate) const R3_TEB: u16 = 0x3B;
}
