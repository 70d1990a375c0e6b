//! The clock interrupt and software interrupts (nt52.md 1.6, 8.11).

use super::{ready, timer};
use crate::Nt;
use crate::layout::*;
use crate::table::Ke;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Write};
use machine::registers::flags;
use machine::{Machine, Reg};

/// KeUpdateSystemTime(TrapFrame), with interrupts disabled: time is taken over, the running thread is
/// charged a tick, and timers that are due are left to the DISPATCH interrupt.
pub(crate) fn ke_update_system_time(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let m = &mut *f.m;
    let count = m.get(PCR.interrupt_count())?.wrapping_add(1);
    m.set(PCR.interrupt_count(), count)?;
    timer::update(m)?;
    if timer::is_due(m)? {
        m.set(PCR.timer_request(), 1)?;
        ready::request(m, DISPATCH_LEVEL)?;
    }
    ready::tick(m)?;
    Ok(Flow::Return(0))
}

/// The software interrupt that the present IRQL lets through.
fn pending(m: &mut Machine) -> Result<Option<u8>, Fault> {
    let (irql, irr) = (m.get(PCR.irql())?, m.get(PCR.irr())?);
    let due = |level: u8| irql < level && irr & 1 << level != 0;
    Ok([DISPATCH_LEVEL, APC_LEVEL].into_iter().find(|level| due(*level)))
}

/// Locals of HalpSoftwareInterrupts.
const WAS_ENABLED: u8 = 0;
const OLD_IRQL: u8 = 1;

/// HalpSoftwareInterrupts(TrapFrame): takes the software interrupts that are pending, the DISPATCH
/// interrupt first, with interrupts enabled in their handlers.
pub(crate) fn halp_software_interrupts(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage == 0 {
        f.set_local(WAS_ENABLED, f.m.cpu.eflags & flags::IF)?;
    } else {
        let irql = f.local(OLD_IRQL)?;
        f.m.set(PCR.irql(), irql as u8)?;
    }
    let Some(level) = pending(f.m)? else {
        let enabled = f.local(WAS_ENABLED)?;
        f.m.cpu.eflags = f.m.cpu.eflags & !flags::IF | enabled;
        return Ok(Flow::Return(0));
    };
    let (irql, irr) = (f.m.get(PCR.irql())?, f.m.get(PCR.irr())?);
    f.set_local(OLD_IRQL, irql.into())?;
    f.m.set(PCR.irr(), irr & !(1 << level))?;
    f.m.set(PCR.irql(), level)?;
    f.m.cpu.eflags |= flags::IF;
    if level == DISPATCH_LEVEL {
        return f.call(Ke::KiDispatchInterrupt.at(), &[], 1);
    }
    let frame = f.arg(0)?;
    f.call(Ke::KiDeliverApc.at(), &[KERNEL, 0, frame], 2)
}

/// KiDispatchInterrupt(): timers, the quantum's end, and the switch to NextThread.
pub(crate) fn ki_dispatch_interrupt(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    if f.m.get(PCR.timer_request())? != 0 {
        f.m.set(PCR.timer_request(), 0)?;
        timer::expire(f.m)?;
    }
    if f.m.get(PCR.quantum_end())? != 0 {
        ready::quantum_end(f.m)?;
    }
    match ready::give_way(f.m)? {
        Some((old, _)) => {
            let swap = nt.code.kernel.symbol("KiSwapContext");
            f.call(swap, &[old.va().0, APC_LEVEL.into()], 1)
        }
        None => Ok(Flow::Return(0)),
    }
}

/// KfRaiseIrql(NewIrql): the old IRQL.
pub(crate) fn kf_raise_irql(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let new = f.arg(0)?;
    let old = f.m.get(PCR.irql())?;
    f.m.set(PCR.irql(), new as u8)?;
    Ok(Flow::Return(old.into()))
}

/// KfLowerIrql(NewIrql). What becomes deliverable is taken as it returns.
pub(crate) fn kf_lower_irql(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let new = f.arg(0)?;
    f.m.set(PCR.irql(), new as u8)?;
    Ok(Flow::Return(0))
}

/// What lowering the IRQL or leaving the dispatcher does: a routine that returns while a software
/// interrupt can be taken returns through it (KiExitDispatcher, nt52.md 8.11). The stack is as if the
/// interrupt had come right behind the routine's return.
pub(crate) fn on_return(nt: &Nt, f: &mut Frame, value: u32) -> Result<Flow, Fault> {
    let cpu = &f.m.cpu;
    if cpu.cpl() != 0 || !cpu.flag(flags::IF) || pending(f.m)?.is_none() {
        return Ok(Flow::Return(value));
    }
    let ebp = guest::Va(f.m.cpu.reg(Reg::Ebp));
    let (saved, back): (u32, u32) = (f.m.load(ebp)?, f.m.load(ebp.add(4))?);
    let esp = ebp.add(4 + 4 * u32::from(f.info().params));
    f.m.store(esp, back)?;
    f.m.cpu.set_reg(Reg::Ebp, saved);
    f.m.cpu.set_reg(Reg::Esp, esp.0);
    f.m.cpu.set_reg(Reg::Eax, value);
    f.m.cpu.eip = nt.code.kernel.symbol("HalpSoftwareInterrupt").0;
    Ok(Flow::Direct)
}
