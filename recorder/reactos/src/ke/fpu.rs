//! The FPU changes hands lazily: CR0.TS is set by a switch, and the first FPU instruction traps
//! (reactos.md 2.4, 4.3, 5.2, 5.5). The processor of this machine has FXSR, so save areas are FXSAVE
//! images.

use crate::{ReactOs, ke, layout::*, routines::Ke, stubs};
use contract::{Flow, Frame, context};
use guest::{Read, Va, Write};
use machine::{Fault, Machine, registers::control};

/// A clean state as FXRSTOR loads it: control word 37Fh, MXCSR 1F80h, every register empty.
pub(crate) const CLEAN: Va = Va(GLOBALS.0 + 0xC00);
/// The MXCSR bits that can be set.
const MXCSR_MASK: u32 = 0xFFBF;

/// Writes the clean state at boot.
pub(crate) fn init(m: &mut Machine) -> R<()> {
    m.zero(CLEAN, 0x200)?;
    m.store(CLEAN, 0x37Fu16)?;
    m.store(CLEAN.add(0x18), 0x1F80u32)
}

/// The save area of a thread.
pub(crate) fn area(m: &mut Machine, thread: EThread) -> R<Va> {
    Ok(m.get(thread.tcb().initial_stack())?.sub(FX_AREA))
}

/// KiContextToFxSaveArea(Area, Context): whether the context held anything (4.3).
pub(crate) fn context_to_area(m: &mut Machine, area: Va, from: context::Context) -> R<bool> {
    let flags = m.get(from.context_flags())?;
    let floating = flags & context::FLOATING_POINT == context::FLOATING_POINT;
    let extended = flags & context::EXTENDED_REGISTERS == context::EXTENDED_REGISTERS;
    if floating {
        let (control, status) = (m.get(from.float_control())?, m.get(from.float_status())?);
        let tags = m.get(from.float_tag())?;
        let (error, data) = (m.get(from.float_error_selector())?, m.get(from.float_data_selector())?);
        // One bit a register: not empty.
        let abridged = (0..8).filter(|index| tags >> (2 * index) & 3 != 3).map(|index| 1u16 << index).sum();
        m.store(area, control as u16)?;
        m.store(area.add(2), status as u16)?;
        m.store::<u16>(area.add(4), abridged)?;
        // The opcode is the high half of the error selector's doubleword.
        m.store(area.add(6), (error >> 16) as u16)?;
        let (error_offset, data_offset) =
            (m.get(from.float_error_offset())?, m.get(from.float_data_offset())?);
        let words = [error_offset, u32::from(error as u16), data_offset, u32::from(data as u16)];
        for (place, value) in [8, 0xC, 0x10, 0x14].into_iter().zip(words) {
            m.store(area.add(place), value)?;
        }
        for index in 0..8 {
            let register: [u8; 10] = m.load(from.0.add(context::FLOAT_SAVE + 0x1C + 10 * index))?;
            m.store(area.add(0x20 + 16 * index), register)?;
        }
        let cr0 = m.get(from.cr0_npx_state())?;
        m.store(area.add(FX_SAVED_CPU), 0u32)?;
        m.store(area.add(FX_CR0), cr0)?;
        // A fresh area: FXRSTOR would load an MXCSR of 0, all unmasked; 5.6 step 6 finds 1F80h there.
        if !extended && m.load::<u32>(area.add(0x18))? == 0 {
            m.store(area.add(0x18), 0x1F80u32)?;
        }
    }
    if extended {
        let at = from.0.add(context::EXTENDED);
        let mxcsr: u32 = m.load(at.add(0x18))?;
        m.store(area.add(0x18), mxcsr & MXCSR_MASK)?;
        let mut xmm = [0; 128];
        m.bytes(at.add(0xA0), &mut xmm)?;
        m.put(area.add(0xA0), &xmm)?;
        if !floating {
            let mut x87 = [0; 0xA0];
            m.bytes(at, &mut x87)?;
            m.put(area, &x87[..0x18])?;
            m.put(area.add(0x20), &x87[0x20..])?;
        }
    }
    Ok(floating || extended)
}

/// KiHandleFpuFault(): #NM. The FPU becomes the current thread's: the owner's state is saved into the
/// owner's area, and this thread's is loaded, or a clean one if it has none.
pub(crate) fn handle_fault(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    let code = stubs::kernel();
    match f.stage {
        0 => {
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            f.set_local(0, u32::from(old))?;
            f.m.cpu.cr0 &= !control::TS;
            match f.m.get(PCR.npx_thread())? {
                Some(owner) if owner == thread => f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 3),
                Some(owner) => {
                    f.set_local(1, owner.0.0)?;
                    let area = area(f.m, owner)?;
                    f.call(code.symbol("KiFxSave"), &[area.0], 1)
                }
                None => load(f, thread),
            }
        }
        1 => {
            let owner: EThread = f.local_ptr(1)?;
            f.m.set(owner.tcb().npx_state(), npx::VALID)?;
            load(f, thread)
        }
        2 => {
            f.m.set(PCR.npx_thread(), Some(thread))?;
            f.m.set(thread.tcb().npx_state(), npx::VALID | npx::DIRTY)?;
            let old = f.local(0)?;
            f.call(Ke::KfLowerIrql.at(), &[old], 3)
        }
        _ => Ok(Flow::Return(0)),
    }
}

fn load(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    let valid = f.m.get(thread.tcb().npx_state())? & npx::VALID != 0;
    let from = if valid { area(f.m, thread)? } else { CLEAN };
    f.call(stubs::kernel().symbol("KiFxRestore"), &[from.0], 2)
}
