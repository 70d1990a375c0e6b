//! Where the system stops.

use crate::{ReactOs, layout::*, routines::Ke, stubs};
use contract::{Flow, Frame, Status};
use guest::{Read, Write};
use machine::{Fault, Machine};

/// KeBugCheck(Code).
pub(crate) fn bug_check(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let code = f.arg(0)?;
    f.call(Ke::KeBugCheckEx.at(), &[code, 0, 0, 0, 0], 1)
}

/// KeBugCheckEx(Code, P1, P2, P3, P4): the first one is kept; the processor halts for good.
pub(crate) fn bug_check_ex(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.m.get(G.bugcheck_active())? == 0 {
        f.m.set(G.bugcheck_active(), 1)?;
        let slots = [G.bugcheck_code(), G.bugcheck_1(), G.bugcheck_2(), G.bugcheck_3(), G.bugcheck_4()];
        for (index, slot) in slots.into_iter().enumerate() {
            let value = f.arg(index as u8)?;
            f.m.set(slot, value)?;
        }
    }
    Ok(Flow::Jump(stubs::kernel().symbol("KiBugCheckHalt")))
}

/// ExRaiseStatus(Status) outside any guard: nobody handles it, bugcheck 0x1E (6.3).
pub(crate) fn raise_status(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (status, from) = (f.arg(0)?, f.m.load(machine::Va(f.m.cpu.reg(machine::Reg::Ebp)).add(4))?);
    f.call(Ke::KeBugCheckEx.at(), &[stop::KMODE_EXCEPTION_NOT_HANDLED, status, from, 0, 0], 1)
}

/// What stopped the system, if it has: the code and its parameters.
pub(crate) fn stopped(m: &mut impl Read) -> R<Option<[u32; 5]>> {
    if m.get(G.bugcheck_active())? == 0 {
        return Ok(None);
    }
    Ok(Some([
        m.get(G.bugcheck_code())?,
        m.get(G.bugcheck_1())?,
        m.get(G.bugcheck_2())?,
        m.get(G.bugcheck_3())?,
        m.get(G.bugcheck_4())?,
    ]))
}

/// A guarded step of a routine (4.9.1): a fault becomes the status of its exception.
pub(crate) fn guarded<T>(
    m: &mut Machine,
    step: impl FnOnce(&mut Machine) -> Result<T, Guarded>,
) -> Result<T, Status> {
    step(m).map_err(|guarded| match guarded {
        Guarded::Fault => Status::ACCESS_VIOLATION,
        Guarded::Status(status) => status,
    })
}

/// What ends a guarded block: an access, or a status raised on purpose.
pub(crate) enum Guarded {
    /// A page fault.
    Fault,
    /// ExRaiseStatus.
    Status(Status),
}

impl From<Fault> for Guarded {
    fn from(_: Fault) -> Self {
        Guarded::Fault
    }
}

/// ProbeForRead: alignment first, then the range (4.9.1 step 2). The memory is not touched.
pub(crate) fn probe_read(at: machine::Va, size: u32, alignment: u32) -> Result<(), Guarded> {
    if at.0 & (alignment - 1) != 0 {
        return Err(Guarded::Status(Status::DATATYPE_MISALIGNMENT));
    }
    match at.0.checked_add(size - 1) {
        // "Last byte beyond 7FFF0000": the byte at the limit itself passes.
        Some(last) if last <= USER_PROBE => Ok(()),
        _ => Err(Guarded::Status(Status::ACCESS_VIOLATION)),
    }
}

/// ProbeForWrite: as [`probe_read`], then one byte is rewritten at the start and in each further page.
pub(crate) fn probe_write(
    m: &mut Machine,
    at: machine::Va,
    size: u32,
    alignment: u32,
) -> Result<(), Guarded> {
    probe_read(at, size, alignment)?;
    let mut place = at;
    while place.0 < at.0 + size {
        let byte: u8 = m.load(place)?;
        m.store(place, byte)?;
        place = place.page().add(machine::PAGE);
    }
    Ok(())
}
