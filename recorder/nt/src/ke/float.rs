//! Floating point: the FX_SAVE_AREA on the kernel stack, and its two forms in a CONTEXT
//! (nt52.md 2.4, 5.8). The registers themselves change hands at #NM, in executed code.

use crate::layout::*;
use contract::context;
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;
use machine::registers::control;
use machine::x87::Fpu;

/// Bytes of an FXSAVE image that are copied: the rest of FxSaveArea is the kernel's.
const FXSAVE: usize = 0x200;
/// Bytes of an FNSAVE image.
const FNSAVE: usize = 0x6C;
/// MXCSR bits that exist.
const MXCSR_MASK: u32 = 0xFFBF;

/// KiFlushNPXState: the thread's save area holds what the registers hold, if they are its own.
fn flush(m: &mut Machine, thread: KThread) -> Result<Va, Fault> {
    let area = KThread::npx_area(m.get(thread.initial_stack())?);
    if m.get(PCR.npx_thread())? == Some(thread) {
        let image = fxsave(&m.cpu.fpu);
        m.put(area, &image)?;
    }
    Ok(area)
}

/// What FXSAVE stores.
fn fxsave(fpu: &Fpu) -> Vec<u8> {
    let mut raw = vec![0; FXSAVE];
    let top = usize::from(fpu.status >> 11 & 7);
    raw[0..2].copy_from_slice(&fpu.control.to_le_bytes());
    raw[2..4].copy_from_slice(&fpu.status.to_le_bytes());
    raw[4] = (0..8).filter(|index| fpu.tag >> (index * 2) & 3 != 3).fold(0, |tags, index| tags | 1 << index);
    raw[6..8].copy_from_slice(&((fpu.selector >> 16 & 0x7FF) as u16).to_le_bytes());
    raw[8..12].copy_from_slice(&fpu.instruction.to_le_bytes());
    raw[12..14].copy_from_slice(&(fpu.selector as u16).to_le_bytes());
    raw[16..20].copy_from_slice(&fpu.operand.to_le_bytes());
    raw[20..22].copy_from_slice(&fpu.operand_selector.to_le_bytes());
    raw[24..28].copy_from_slice(&fpu.mxcsr.to_le_bytes());
    raw[28..32].copy_from_slice(&MXCSR_MASK.to_le_bytes());
    for index in 0..8 {
        let at = 0x20 + 16 * index;
        raw[at..at + 10].copy_from_slice(&fpu.registers[(top + index) & 7]);
    }
    raw
}

fn word(raw: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([raw[at], raw[at + 1]])
}

/// The full tag of a register: 0 valid, 1 zero, 2 special.
fn tag(number: &[u8]) -> u16 {
    let exponent = word(number, 8) & 0x7FFF;
    let mantissa = u64::from_le_bytes(number[..8].try_into().expect("eight bytes"));
    match (exponent, mantissa) {
        (0, 0) => 1,
        (1..=0x7FFE, mantissa) if mantissa >> 63 != 0 => 0,
        _ => 2,
    }
}

/// The FNSAVE image that says what an FXSAVE image says.
fn to_fnsave(fx: &[u8]) -> Vec<u8> {
    let mut raw = vec![0; FNSAVE];
    let mut put = |at: usize, value: u32| raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let status = word(fx, 2);
    let top = usize::from(status >> 11 & 7);
    let mut tags = 0;
    for physical in 0..8 {
        let at = 0x20 + 16 * ((physical + 8 - top) & 7);
        let kind = if fx[4] & 1 << physical == 0 { 3 } else { tag(&fx[at..at + 10]) };
        tags |= kind << (physical * 2);
    }
    put(0, 0xFFFF_0000 | u32::from(word(fx, 0)));
    put(4, 0xFFFF_0000 | u32::from(status));
    put(8, 0xFFFF_0000 | u32::from(tags));
    put(12, u32::from(word(fx, 8)) | u32::from(word(fx, 10)) << 16);
    put(16, u32::from(word(fx, 12)) | u32::from(word(fx, 6)) << 16);
    put(20, u32::from(word(fx, 16)) | u32::from(word(fx, 18)) << 16);
    put(24, 0xFFFF_0000 | u32::from(word(fx, 20)));
    for index in 0..8 {
        raw[28 + 10 * index..38 + 10 * index].copy_from_slice(&fx[0x20 + 16 * index..0x2A + 16 * index]);
    }
    raw
}

/// Puts an FNSAVE image into an FXSAVE image.
fn from_fnsave(fx: &mut [u8], fn_: &[u8]) {
    let tags = word(fn_, 8);
    fx[0..2].copy_from_slice(&fn_[0..2]);
    fx[2..4].copy_from_slice(&fn_[4..6]);
    fx[4] = (0..8).filter(|index| tags >> (index * 2) & 3 != 3).fold(0, |bits, index| bits | 1 << index);
    fx[5] = 0;
    fx[6..8].copy_from_slice(&(word(fn_, 18) & 0x7FF).to_le_bytes());
    fx[8..12].copy_from_slice(&fn_[12..16]);
    fx[12..14].copy_from_slice(&fn_[16..18]);
    fx[16..20].copy_from_slice(&fn_[20..24]);
    fx[20..22].copy_from_slice(&fn_[24..26]);
    for index in 0..8 {
        fx[0x20 + 16 * index..0x2A + 16 * index].copy_from_slice(&fn_[28 + 10 * index..38 + 10 * index]);
    }
}

/// Fills the floating-point groups of a CONTEXT.
pub(crate) fn fill(
    m: &mut Machine,
    thread: KThread,
    raw: &mut [u8],
    float: bool,
    extended: bool,
) -> Result<(), Fault> {
    let area = flush(m, thread)?;
    let mut fx = vec![0; FXSAVE];
    m.bytes(area, &mut fx)?;
    if float {
        let at = context::FLOAT_SAVE as usize;
        raw[at..at + FNSAVE].copy_from_slice(&to_fnsave(&fx));
        let npx: u32 = m.get(FxSaveArea::at(area).cr0_npx_state())?;
        raw[at + FNSAVE..at + FNSAVE + 4].copy_from_slice(&npx.to_le_bytes());
    }
    if extended {
        let at = context::EXTENDED as usize;
        raw[at..at + FXSAVE].copy_from_slice(&fx);
    }
    Ok(())
}

/// Takes the floating-point groups of a CONTEXT over. The extended registers come first, so that
/// FloatSave wins where both are given. The thread's next floating-point instruction loads them.
pub(crate) fn apply(
    m: &mut Machine,
    thread: KThread,
    raw: &[u8],
    float: bool,
    extended: bool,
) -> Result<(), Fault> {
    let area = flush(m, thread)?;
    let mut fx = vec![0; FXSAVE];
    m.bytes(area, &mut fx)?;
    if extended {
        let at = context::EXTENDED as usize;
        fx.copy_from_slice(&raw[at..at + FXSAVE]);
        let mxcsr = u32::from_le_bytes([fx[24], fx[25], fx[26], fx[27]]) & MXCSR_MASK;
        fx[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    }
    if float {
        let at = context::FLOAT_SAVE as usize;
        from_fnsave(&mut fx, &raw[at..at + FNSAVE]);
    }
    m.put(area, &fx)?;
    m.set(thread.npx_state(), NPX_STATE_NOT_LOADED)?;
    if m.get(PCR.npx_thread())? == Some(thread) {
        m.set(PCR.npx_thread(), None)?;
    }
    if m.get(PCR.current_thread())? == thread {
        m.cpu.cr0 |= control::MP | control::TS;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_images_of_the_same_state_agree() {
        let mut fpu = Fpu { control: 0x17F, status: 6 << 11, ..Fpu::default() };
        fpu.registers[6] = [0, 0, 0, 0, 0, 0, 0, 0x80, 0xFF, 0x3F];
        // R6 holds 1.0, R7 zero; the others are empty.
        fpu.tag = 0x4FFF;
        let fx = fxsave(&fpu);
        let image = to_fnsave(&fx);
        assert_eq!((word(&image, 0), word(&image, 4), word(&image, 8)), (0x17F, 6 << 11, 0x4FFF));
        assert_eq!(image[28..38], fpu.registers[6]);
        let mut back = vec![0; FXSAVE];
        back[24..32].copy_from_slice(&fx[24..32]);
        from_fnsave(&mut back, &image);
        assert_eq!(back, fx);
    }
}
