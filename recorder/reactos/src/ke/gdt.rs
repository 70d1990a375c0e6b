//! The two changes that are made to the GDT while the system runs (reactos.md 1.3).

use crate::{ReactOs, layout::GDT};
use contract::{Flow, Frame};
use guest::Write;
use machine::Fault;

/// KeSetBaseGdtSelector(Entry, Base): descriptor bytes 2, 3, 4 and 7 only.
pub(crate) fn set_base(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (entry, base) = (f.arg(0)? & 0xFFFC, f.arg(1)?);
    let at = GDT.add(entry);
    f.m.store(at.add(2), base as u16)?;
    f.m.store(at.add(4), (base >> 16) as u8)?;
    f.m.store(at.add(7), (base >> 24) as u8)?;
    Ok(Flow::Return(0))
}

/// KeSetGdtSelector(Entry, Value1, Value2).
pub(crate) fn set(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (entry, low, high) = (f.arg(0)? & 0xFFFC, f.arg(1)?, f.arg(2)?);
    f.m.store(GDT.add(entry), low)?;
    f.m.store(GDT.add(entry + 4), high)?;
    Ok(Flow::Return(0))
}
