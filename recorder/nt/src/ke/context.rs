//! Between CONTEXT and trap frame: KeContextFromKframes and KeContextToKframes (nt52.md 4.6, 5.8,
//! 6.4).

use super::float;
use crate::global::HIGHEST_USER;
use crate::layout::*;
use contract::context::{self, Context};
use guest::{Fault, Pointer, Read, Slot, Va, Write};
use machine::Machine;
use machine::registers::flags;

/// The privilege level that a CONTEXT's selectors get for user mode. That every conversion sets it, in FS
/// too, is of medium confidence (nt52.md 4.6).
const RPL_USER: u32 = 3;
const DR6_LEGAL: u32 = 0xE00F;
const DR7_LEGAL: u32 = 0xFFFF_0155;

/// What user mode may have of EFLAGS, with interrupts on.
pub(crate) fn sanitize_flags(eflags: u32) -> u32 {
    eflags & EFLAGS_USER_SANITIZE | flags::IF
}

/// A code selector for user mode: RPL 3, and the flat one instead of a null one.
pub(crate) fn user_code_selector(value: u32) -> u32 {
    match value & 0xFFFF | RPL_USER {
        ..8 => selector::R3_CODE.into(),
        given => given,
    }
}

/// The selectors with which flat user code runs.
pub(crate) fn canonical_selectors(m: &mut Machine, frame: KTrapFrame) -> Result<(), Fault> {
    m.set(frame.seg_cs(), selector::R3_CODE.into())?;
    m.set(frame.hardware_seg_ss(), selector::R3_DATA.into())?;
    m.set(frame.seg_ds(), selector::R3_DATA.into())?;
    m.set(frame.seg_es(), selector::R3_DATA.into())?;
    m.set(frame.seg_fs(), selector::R3_TEB.into())?;
    m.set(frame.seg_gs(), 0)
}

/// Writes a field of a CONTEXT.
fn put(raw: &mut [u8], slot: Slot<u32>, value: u32) {
    let at = slot.at.0 as usize;
    raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// The groups `wanted` of the current thread's CONTEXT, from a user-mode trap frame.
pub(crate) fn capture(m: &mut Machine, frame: KTrapFrame, wanted: u32) -> Result<Vec<u8>, Fault> {
    let thread = super::thread::current(m)?.tcb();
    let mut raw = vec![0; context::SIZE as usize];
    put(&mut raw, Context::at(Va(0)).context_flags(), wanted);
    fill(m, thread, frame, &mut raw)?;
    Ok(raw)
}

/// Fills the groups of a CONTEXT that its flags ask for.
pub(crate) fn fill(m: &mut Machine, thread: KThread, frame: KTrapFrame, raw: &mut [u8]) -> Result<(), Fault> {
    let layout = Context::at(Va(0));
    let wanted = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
    let has = |group: u32| wanted & group == group;
    if has(context::CONTROL) {
        put(raw, layout.ebp(), m.get(frame.ebp())?);
        put(raw, layout.eip(), m.get(frame.eip())?);
        put(raw, layout.seg_cs(), m.get(frame.seg_cs())? & 0xFFFF);
        put(raw, layout.e_flags(), m.get(frame.e_flags())?);
        put(raw, layout.esp(), m.get(frame.hardware_esp())?);
        put(raw, layout.seg_ss(), m.get(frame.hardware_seg_ss())? & 0xFFFF);
    }
    if has(context::SEGMENTS) {
        put(raw, layout.seg_ds(), m.get(frame.seg_ds())? & 0xFFFF);
        put(raw, layout.seg_es(), m.get(frame.seg_es())? & 0xFFFF);
        put(raw, layout.seg_fs(), m.get(frame.seg_fs())? & 0xFFFF);
        put(raw, layout.seg_gs(), m.get(frame.seg_gs())? & 0xFFFF);
    }
    if has(context::INTEGER) {
        put(raw, layout.edi(), m.get(frame.edi())?);
        put(raw, layout.esi(), m.get(frame.esi())?);
        put(raw, layout.ebx(), m.get(frame.ebx())?);
        put(raw, layout.edx(), m.get(frame.edx())?);
        put(raw, layout.ecx(), m.get(frame.ecx())?);
        put(raw, layout.eax(), m.get(frame.eax())?);
    }
    if has(context::DEBUG_REGISTERS) {
        // The frame's slots are meaningless unless the thread uses debug registers.
        let live = m.get(thread.debug_active())? != 0;
        for (to, from) in [
            (layout.dr0(), frame.dr0()),
            (layout.dr1(), frame.dr1()),
            (layout.dr2(), frame.dr2()),
            (layout.dr3(), frame.dr3()),
            (layout.dr6(), frame.dr6()),
            (layout.dr7(), frame.dr7()),
        ] {
            put(raw, to, if live { m.get(from)? } else { 0 });
        }
    }
    if has(context::FLOATING_POINT) || has(context::EXTENDED_REGISTERS) {
        float::fill(m, thread, raw, has(context::FLOATING_POINT), has(context::EXTENDED_REGISTERS))?;
    }
    Ok(())
}

/// Writes the groups that a CONTEXT says it has into a thread's user-mode trap frame.
pub(crate) fn apply(m: &mut Machine, thread: KThread, frame: KTrapFrame, raw: &[u8]) -> Result<(), Fault> {
    let layout = Context::at(Va(0));
    let given = |slot: Slot<u32>| {
        let at = slot.at.0 as usize;
        u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
    };
    let groups = given(layout.context_flags());
    let has = |group: u32| groups & group == group;
    if has(context::CONTROL) {
        let iopl = if m.get(thread.iopl())? != 0 { flags::IOPL } else { 0 };
        m.set(frame.e_flags(), sanitize_flags(given(layout.e_flags())) | iopl)?;
        m.set(frame.ebp(), given(layout.ebp()))?;
        m.set(frame.eip(), given(layout.eip()))?;
        m.set(frame.seg_cs(), user_code_selector(given(layout.seg_cs())))?;
        m.set(frame.hardware_seg_ss(), given(layout.seg_ss()) & 0xFFFF | RPL_USER)?;
        m.set(frame.hardware_esp(), given(layout.esp()))?;
    }
    if has(context::INTEGER) {
        m.set(frame.edi(), given(layout.edi()))?;
        m.set(frame.esi(), given(layout.esi()))?;
        m.set(frame.ebx(), given(layout.ebx()))?;
        m.set(frame.edx(), given(layout.edx()))?;
        m.set(frame.ecx(), given(layout.ecx()))?;
        m.set(frame.eax(), given(layout.eax()))?;
    }
    if has(context::SEGMENTS) {
        m.set(frame.seg_ds(), given(layout.seg_ds()) & 0xFFFF | RPL_USER)?;
        m.set(frame.seg_es(), given(layout.seg_es()) & 0xFFFF | RPL_USER)?;
        m.set(frame.seg_fs(), given(layout.seg_fs()) & 0xFFFF | RPL_USER)?;
        let flat = m.get(frame.seg_cs())? == selector::R3_CODE.into();
        m.set(frame.seg_gs(), if flat { 0 } else { given(layout.seg_gs()) & 0xFFFF })?;
    }
    if has(context::DEBUG_REGISTERS) {
        debug_registers(m, thread, frame, raw)?;
    }
    if has(context::FLOATING_POINT) || has(context::EXTENDED_REGISTERS) {
        float::apply(m, thread, raw, has(context::FLOATING_POINT), has(context::EXTENDED_REGISTERS))?;
    }
    Ok(())
}

/// Debug registers from user mode: no address above user space, no illegal bit; and the mask of those
/// in use.
fn debug_registers(m: &mut Machine, thread: KThread, frame: KTrapFrame, raw: &[u8]) -> Result<(), Fault> {
    let layout = Context::at(Va(0));
    let mut active = 0;
    for (bit, from, to, legal) in [
        (0, layout.dr0(), frame.dr0(), None),
        (1, layout.dr1(), frame.dr1(), None),
        (2, layout.dr2(), frame.dr2(), None),
        (3, layout.dr3(), frame.dr3(), None),
        (6, layout.dr6(), frame.dr6(), Some(DR6_LEGAL)),
        (7, layout.dr7(), frame.dr7(), Some(DR7_LEGAL)),
    ] {
        let at = from.at.0 as usize;
        let given = u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let value = match legal {
            Some(bits) => given & bits,
            None if given > HIGHEST_USER => 0,
            None => given,
        };
        m.set(to, value)?;
        active |= u8::from(value != 0) << bit;
    }
    m.set(thread.debug_active(), active)
}
