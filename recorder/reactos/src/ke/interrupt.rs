//! Hardware interrupts: the clock is the only one (reactos.md 1.5, 1.7, 6.3).

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// The clock as it was at boot: 2005-01-17 01:30 UTC in units of 100 ns since 1601.
pub(crate) const BOOT_TIME: u64 = 127_503_630_000_000_000;

/// KiInterruptDispatch(Vector, Frame): raises to the device's level, runs its service routine, and
/// lowers with HalEndSystemInterrupt, which is KfLowerIrql here: DPCs, the end of a quantum and kernel
/// APCs happen there, with IF as it is (6.3). Nothing but the clock is connected to any line.
pub(crate) fn dispatch(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let old = ke::irql::raise(f.m, irql::CLOCK)?;
            tick(f.m)?;
            f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 1)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// KeUpdateSystemTime and KeUpdateRunTime: the clock is read from its device, the running thread pays
/// its tick (1.7).
fn tick(m: &mut Machine) -> R<()> {
    let now = m.clock;
    let moved = m.get(SHARED.interrupt_time())? != now;
    m.set(SHARED.interrupt_time(), now)?;
    m.set(SHARED.interrupt_time_high2(), (now >> 32) as u32)?;
    m.set(SHARED.system_time(), BOOT_TIME + now)?;
    m.set(SHARED.system_time_high2(), ((BOOT_TIME + now) >> 32) as u32)?;
    m.set(SHARED.tick_count_low(), (now / 100_000) as u32)?;
    let tcb = ke::current(m)?.tcb();
    let quantum = m.get(tcb.quantum())?.wrapping_sub(TICK);
    m.set(tcb.quantum(), quantum)?;
    if quantum <= 0 {
        m.set(PCR.quantum_end(), 1)?;
        m.set(PCR.dpc_request(), 1)?;
    }
    // An interrupt that only hands the processor on is no tick of the clock: a timer that is due at once
    // waits for the next 10 ms like any other (8.5).
    if moved && ke::timer::any_due(m)? {
        m.set(G.timer_dpc(), 1)?;
        m.set(PCR.dpc_request(), 1)?;
    }
    Ok(())
}
