//! User memory as the kernel reaches it: probed, and with guard pages resolved first.

use super::{frames, frames::pte, vad};
use crate::error::{Error, Res};
use crate::global::USER_PROBE;
use crate::ke::thread::current;
use crate::layout::{KThread, PCR, Teb, USER};
use contract::Status;
use guest::{Fault, Peek, Pointer, Read, Scalar, Va, Write};
use machine::{Machine, PAGE};

/// PreviousMode of the current thread.
pub(crate) fn previous_mode(m: &mut Machine) -> Result<u32, Fault> {
    let thread: KThread = m.get(PCR.current_thread())?;
    Ok(m.get(thread.previous_mode())?.into())
}

/// What a fault in user space turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fixed {
    /// Nothing that memory management can mend.
    No,
    /// A guard page that was the current thread's stack's: the access can be tried again.
    Stack,
    /// The same, and the stack cannot grow any more.
    Overflow,
    /// Another guard page. It is an ordinary page now.
    Guard,
}

/// MmAccessFault for user space: a guard page at the bottom of the current thread's stack becomes part
/// of the stack and the page below it the guard, as far as the reservation goes. The reservation's last
/// page stays out of reach, so that running over its end faults. A guard page below TEB.DeallocationStack is
/// not the stack's, wherever its limit is. (Not the sheet's subject.)
pub(crate) fn resolve(m: &mut Machine, at: Va) -> Result<Fixed, Fault> {
    let cr3 = m.cpu.cr3;
    let entry = frames::get(m, cr3, at);
    if at.0 >= USER_PROBE || entry & pte::PRESENT != 0 || entry & pte::GUARD == 0 {
        return Ok(Fixed::No);
    }
    frames::set(m, cr3, at, entry & !pte::GUARD | pte::PRESENT)?;
    let thread = current(m)?;
    let teb = Teb::at(m.get(thread.tcb().teb())?);
    let mut peek = Peek { machine: m, cr3 };
    let limit = peek.get(teb.stack_limit()).unwrap_or(0);
    let bottom = peek.get(teb.deallocation_stack()).unwrap_or(0);
    let page = at.page();
    if teb.va().is_null() || page.add(PAGE).0 != limit || page.0 < bottom {
        return Ok(Fixed::Guard);
    }
    let _ = m.poke(cr3, teb.stack_limit().at, &page.0.to_le_bytes());
    if page.0 < bottom.saturating_add(2 * PAGE) || frames::get(m, cr3, page.sub(PAGE)) != 0 {
        return Ok(Fixed::Overflow);
    }
    vad::commit_guard(m, cr3, page.sub(PAGE))?;
    Ok(Fixed::Stack)
}

fn touch(m: &mut Machine, at: Va, len: u32) -> Result<(), Fault> {
    let mut page = at.page();
    while page.0 < at.0.saturating_add(len.max(1)) {
        resolve(m, page)?;
        page = page.add(PAGE);
    }
    Ok(())
}

/// What a guarded access makes of a page fault.
fn guarded<T>(result: Result<T, Fault>) -> Res<T> {
    result.map_err(|_| Error::Status(Status::ACCESS_VIOLATION))
}

/// ProbeForRead and the range part of ProbeForWrite, for callers from user mode.
pub(crate) fn probe(m: &mut Machine, at: Va, len: u32, align: u32) -> Res<()> {
    if previous_mode(m)? != USER {
        return Ok(());
    }
    if !at.0.is_multiple_of(align) {
        return Err(Status::DATATYPE_MISALIGNMENT.into());
    }
    match at.0.checked_add(len) {
        Some(end) if end <= USER_PROBE => Ok(()),
        _ => Err(Status::ACCESS_VIOLATION.into()),
    }
}

/// ProbeForWrite: the range, and that each of its pages can be written.
pub(crate) fn probe_for_write(m: &mut Machine, at: Va, len: u32, align: u32) -> Res<()> {
    probe(m, at, len, align)?;
    if previous_mode(m)? != USER {
        return Ok(());
    }
    touch(m, at, len)?;
    let mut place = at;
    while place.0 < at.0 + len {
        let byte: u8 = guarded(m.load(place))?;
        guarded(m.store(place, byte))?;
        place = place.page().add(PAGE);
    }
    Ok(())
}

/// Reads a value of the caller's, guarded and probed.
pub(crate) fn read<T: Scalar>(m: &mut Machine, at: Va) -> Res<T> {
    probe(m, at, T::SIZE, 1)?;
    touch(m, at, T::SIZE)?;
    guarded(m.load(at))
}

/// Writes a value of the caller's, guarded and probed.
pub(crate) fn write<T: Scalar>(m: &mut Machine, at: Va, value: T) -> Res<()> {
    probe(m, at, T::SIZE, 1)?;
    touch(m, at, T::SIZE)?;
    guarded(m.store(at, value))
}

/// Reads bytes of the caller's, guarded and probed.
pub(crate) fn read_bytes(m: &mut Machine, at: Va, len: u32) -> Res<Vec<u8>> {
    probe(m, at, len, 1)?;
    touch(m, at, len)?;
    let mut raw = vec![0; len as usize];
    guarded(m.bytes(at, &mut raw))?;
    Ok(raw)
}

/// Writes bytes of the caller's, guarded and probed.
pub(crate) fn write_bytes(m: &mut Machine, at: Va, bytes: &[u8]) -> Res<()> {
    probe(m, at, bytes.len() as u32, 1)?;
    touch(m, at, bytes.len() as u32)?;
    guarded(m.put(at, bytes))
}

/// Writes a value where the caller asked for one; nothing when the pointer is NULL.
pub(crate) fn write_optional(m: &mut Machine, at: u32, value: u32) -> Res<()> {
    if at == 0 { Ok(()) } else { write(m, Va(at), value) }
}
