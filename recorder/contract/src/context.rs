//! CONTEXT, the register set that programs hand to a kernel and get from it (nt52.md 2.3,
//! reactos.md 2.3: the two agree).

use guest::guest_struct;

/// CONTEXT_i386.
pub const I386: u32 = 0x1_0000;
/// EBP, EIP, CS, EFLAGS, ESP and SS.
pub const CONTROL: u32 = 0x1_0001;
/// EDI, ESI, EBX, EDX, ECX and EAX.
pub const INTEGER: u32 = 0x1_0002;
/// DS, ES, FS and GS.
pub const SEGMENTS: u32 = 0x1_0004;
/// The FNSAVE image in FloatSave.
pub const FLOATING_POINT: u32 = 0x1_0008;
/// DR0 to DR3, DR6 and DR7.
pub const DEBUG_REGISTERS: u32 = 0x1_0010;
/// The FXSAVE image in ExtendedRegisters.
pub const EXTENDED_REGISTERS: u32 = 0x1_0020;
/// CONTROL, INTEGER and SEGMENTS.
pub const FULL: u32 = 0x1_0007;

guest_struct! {
    /// CONTEXT.
    pub struct Context [0x2CC] {
        0x000 context_flags: u32,
        0x004 dr0: u32,
        0x008 dr1: u32,
        0x00C dr2: u32,
        0x010 dr3: u32,
        0x014 dr6: u32,
        0x018 dr7: u32,
        0x01C float_control: u32,
        0x020 float_status: u32,
        0x024 float_tag: u32,
        0x028 float_error_offset: u32,
        0x02C float_error_selector: u32,
        0x030 float_data_offset: u32,
        0x034 float_data_selector: u32,
        0x088 cr0_npx_state: u32,
        0x08C seg_gs: u32,
        0x090 seg_fs: u32,
        0x094 seg_es: u32,
        0x098 seg_ds: u32,
        0x09C edi: u32,
        0x0A0 esi: u32,
        0x0A4 ebx: u32,
        0x0A8 edx: u32,
        0x0AC ecx: u32,
        0x0B0 eax: u32,
        0x0B4 ebp: u32,
        0x0B8 eip: u32,
        0x0BC seg_cs: u32,
        0x0C0 e_flags: u32,
        0x0C4 esp: u32,
        0x0C8 seg_ss: u32,
    }
}

/// Offset of FloatSave: 70h bytes, of which the first 6Ch are the FNSAVE image.
pub const FLOAT_SAVE: u32 = 0x1C;
/// Offset of ExtendedRegisters: 200h bytes, the FXSAVE image.
pub const EXTENDED: u32 = 0xCC;
/// Bytes in a CONTEXT.
pub const SIZE: u32 = 0x2CC;
