//! Critical sections: ntdll's PEB lock and loader lock. A thread that is killed inside one never
//! leaves it (nt52.md 11.4).

use super::{service, teb};
use crate::Nt;
use crate::layout::access;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Va, Write, guest_struct};

guest_struct! {
    /// RTL_CRITICAL_SECTION, as far as it is used: zeroes are a free one.
    pub(crate) struct CriticalSection [0x18] {
        0x08 recursion_count: u32,
        0x0C owning_thread: u32,
        0x10 lock_semaphore: u32,
    }
}

fn section(f: &mut Frame) -> Result<CriticalSection, Fault> {
    Ok(CriticalSection::at(Va(f.arg(0)?)))
}

/// RtlEnterCriticalSection(CriticalSection).
pub(crate) fn rtl_enter_critical_section(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let section = section(f)?;
    let teb = teb(f.m);
    let own = f.m.get(teb.unique_thread())?;
    let owner = f.m.get(section.owning_thread())?;
    if owner == 0 || owner == own {
        f.m.set(section.owning_thread(), own)?;
        let count = f.m.get(section.recursion_count())? + 1;
        f.m.set(section.recursion_count(), count)?;
        return Ok(Flow::Return(0));
    }
    match f.m.get(section.lock_semaphore())? {
        0 => {
            let args = [section.lock_semaphore().at.0, access::EVENT_ALL_ACCESS, 0, 1, 0];
            service(nt, f, "NtCreateEvent", &args, 1)
        }
        event => service(nt, f, "NtWaitForSingleObject", &[event, 0, 0], 2),
    }
}

/// RtlLeaveCriticalSection(CriticalSection).
pub(crate) fn rtl_leave_critical_section(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let section = section(f)?;
    let count = f.m.get(section.recursion_count())? - 1;
    f.m.set(section.recursion_count(), count)?;
    if count != 0 {
        return Ok(Flow::Return(0));
    }
    f.m.set(section.owning_thread(), 0)?;
    match f.m.get(section.lock_semaphore())? {
        0 => Ok(Flow::Return(0)),
        event => service(nt, f, "NtSetEvent", &[event, 0], 1),
    }
}
