//! The ROM that Bochs runs instead of a BIOS: from the reset vector into the [monitor](super::monitor),
//! and the tables that it needs.

use super::layout::{CR0, CR4, DIRECTORY, EPT, FIELDS, MSR_BITMAP, ROM, ROM_SIZE, STACK};
use super::monitor;
use machine::image::AssembleError;
use machine::image::asm::*;

/// Where the 32-bit part starts, its tables, and the 16-bit part with the ROM's descriptors.
pub(super) const CODE: u32 = ROM + 0x1000;
pub(super) const CONTROLS: u32 = ROM + 0x3000;
pub(super) const FIELD_TABLE: u32 = ROM + 0x3800;
const START: u32 = ROM + 0xF000;
const DESCRIPTORS: u32 = ROM + 0xF800;
pub(super) const LENGTH_OF_TAPE: u32 = ROM + 0xFC00;
const RESET_VECTOR: u32 = ROM + 0xFFF0;

const CODE_SELECTOR: u32 = 8;
pub(super) const DATA_SELECTOR: u32 = 16;
const TASK_SELECTOR: u32 = 24;

/// A control of the control structure: its field, what is wanted, and the model-specific register that
/// says what must and may be set (0: nothing does).
pub(super) type Control = (u32, u32, u32);

const HLT_EXITING: u32 = 1 << 7;
const IO_EXITING: u32 = 1 << 24;
const USE_MSR_BITMAPS: u32 = 1 << 28;
const SECONDARY: u32 = 1 << 31;
const NESTED_PAGES: u32 = 2;
const UNRESTRICTED: u32 = 0x80;
const TIMER: u32 = 1 << 6;

/// The controls and the monitor's own state, to which the guest comes back.
pub(super) fn controls(back: u32) -> Vec<Control> {
    let pages = EPT | 6 | 3 << 3 | 1 << 6;
    vec![
        (0x4000, TIMER, 0x48D),
        (0x4002, HLT_EXITING | IO_EXITING | USE_MSR_BITMAPS | SECONDARY, 0x48E),
        (0x401E, NESTED_PAGES | UNRESTRICTED, 0x48B),
        (0x400C, 4, 0x48F),
        (0x4012, 4, 0x490),
        (0x4004, 0, 0),
        (0x4006, 0, 0),
        (0x4008, 0, 0),
        (0x400A, 0, 0),
        (0x400E, 0, 0),
        (0x4010, 0, 0),
        (0x4014, 0, 0),
        (0x2004, MSR_BITMAP, 0),
        (0x2005, 0, 0),
        (0x201A, pages, 0),
        (0x201B, 0, 0),
        (0x2800, u32::MAX, 0),
        (0x2801, u32::MAX, 0),
        (0x2802, 0, 0),
        (0x2803, 0, 0),
        // The guest sees these bits as it wants them: CR0.NE, which must be set, and CR4.VMXE.
        (0x6000, 0x20, 0),
        (0x6002, 0x2000, 0),
        (0x0C00, DATA_SELECTOR, 0),
        (0x0C02, CODE_SELECTOR, 0),
        (0x0C04, DATA_SELECTOR, 0),
        (0x0C06, DATA_SELECTOR, 0),
        (0x0C08, DATA_SELECTOR, 0),
        (0x0C0A, DATA_SELECTOR, 0),
        (0x0C0C, TASK_SELECTOR, 0),
        (0x4C00, 0, 0),
        (0x6C00, CR0, 0),
        (0x6C02, DIRECTORY, 0),
        (0x6C04, CR4, 0),
        (0x6C06, 0, 0),
        (0x6C08, 0, 0),
        (0x6C0A, 0, 0),
        (0x6C0C, DESCRIPTORS, 0),
        (0x6C0E, 0, 0),
        (0x6C10, 0, 0),
        (0x6C12, 0, 0),
        (0x6C14, STACK, 0),
        (0x6C16, back, 0),
    ]
}

/// The ROM's bytes, for a tape of so many bytes.
///
/// # Errors
/// A fault of this file.
pub fn image(tape: u32) -> Result<Vec<u8>, AssembleError> {
    let mut rom = vec![0; ROM_SIZE as usize];
    let mut put = |at: u32, bytes: &[u8]| {
        let at = (at - ROM) as usize;
        rom[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let (monitor, back) = monitor::assemble()?;
    assert!(CODE as usize + monitor.len() <= CONTROLS as usize, "the monitor has outgrown its place");
    put(CODE, &monitor);
    for (index, (field, value, register)) in controls(back).iter().enumerate() {
        for (part, word) in [field, value, register].into_iter().enumerate() {
            put(CONTROLS + index as u32 * 12 + part as u32 * 4, &word.to_le_bytes());
        }
    }
    for (index, field) in FIELDS.iter().enumerate() {
        put(FIELD_TABLE + index as u32 * 4, &field.to_le_bytes());
    }
    // Null, code, data, a task, all flat; and where they are.
    let descriptors = [0, 0x00CF_9B00_0000_FFFFu64, 0x00CF_9300_0000_FFFF, 0x0000_8B00_0000_0067];
    for (index, descriptor) in descriptors.iter().enumerate() {
        put(DESCRIPTORS + index as u32 * 8, &descriptor.to_le_bytes());
    }
    put(DESCRIPTORS + 0x40, &0x1Fu16.to_le_bytes());
    put(DESCRIPTORS + 0x42, &DESCRIPTORS.to_le_bytes());
    put(LENGTH_OF_TAPE, &tape.to_le_bytes());
    put(START, &start()?);
    let mut first = CodeAssembler::new(16)?;
    first.jmp(u64::from(START & 0xFFFF))?;
    put(RESET_VECTOR, &first.assemble(u64::from(RESET_VECTOR & 0xFFFF))?);
    Ok(rom)
}

/// From the reset vector to protected mode.
fn start() -> Result<Vec<u8>, AssembleError> {
    let mut a = CodeAssembler::new(16)?;
    a.cli()?;
    a.lgdt(fword_ptr((DESCRIPTORS + 0x40) & 0xFFFF).cs())?;
    a.mov(eax, cr0)?;
    a.or(al, 1)?;
    a.mov(cr0, eax)?;
    let mut code = a.assemble(u64::from(START & 0xFFFF))?;
    // A far jump with a 32-bit offset.
    code.extend([0x66, 0xEA]);
    code.extend(CODE.to_le_bytes());
    code.extend((CODE_SELECTOR as u16).to_le_bytes());
    Ok(code)
}
