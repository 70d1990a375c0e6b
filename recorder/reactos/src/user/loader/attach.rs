//! Which DLLs are told what, and in which order (reactos.md 10.3, 10.4, 10.5).

use super::{
    modules::{FIXED, flag},
    peb,
};
use crate::{ReactOs, layout::*};
use contract::{Flow, Frame, Status};
use guest::{ListEntry, Read, Va, Write};
use machine::Fault;

const DLL_PROCESS_DETACH: u32 = 0;
const DLL_PROCESS_ATTACH: u32 = 1;
const DLL_THREAD_ATTACH: u32 = 2;
const DLL_THREAD_DETACH: u32 = 3;

/// The link that the walk has reached.
const PLACE: u8 = 0;

/// The next module in initialisation order, or from its end; none behind the last. The walk's place is a
/// local, so that a module may be left between two stages.
fn next(f: &mut Frame, backwards: bool) -> R<Option<LdrModule>> {
    let peb = peb(f.m)?;
    let data = f.m.get(peb.ldr())?;
    if data.is_null() {
        return Ok(None);
    }
    let head = PebLdrData(data).initialization_order();
    let place = f.local(PLACE)?;
    let place = if place == 0 { head } else { ListEntry(Va(place)) };
    let link = f.m.get(if backwards { place.blink() } else { place.flink() })?;
    f.set_local(PLACE, link.0.0)?;
    Ok((link != head).then(|| link.owner(LdrModule::initialization_link)))
}

/// Calls a module's entry point.
fn call(f: &mut Frame, module: LdrModule, reason: u32, reserved: u32) -> Result<Flow, Fault> {
    let (entry, base) = (f.m.get(module.entry_point())?, f.m.get(module.base())?);
    f.call(entry, &[base.0, reason, reserved], 1)
}

/// LdrPEStartup(), as far as it calls DLLs: DLL_PROCESS_ATTACH in initialisation order; every DLL is
/// linked to the program, so Reserved is 1. FALSE ends the process with STATUS_DLL_INIT_FAILED.
pub(crate) fn process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let module = ListEntry(Va(f.local(PLACE)?)).owner(LdrModule::initialization_link);
        if f.result() & 0xFF == 0 {
            return Ok(Flow::Return(Status::DLL_INIT_FAILED.0));
        }
        let flags = f.m.get(module.flags())?;
        f.m.set(module.flags(), flags | flag::PROCESS_ATTACH_CALLED)?;
    }
    while let Some(module) = next(f, false)? {
        let flags = f.m.get(module.flags())?;
        f.m.set(module.flags(), flags | flag::ENTRY_PROCESSED)?;
        if !f.m.get(module.entry_point())?.is_null() {
            return call(f, module, DLL_PROCESS_ATTACH, 1);
        }
    }
    Ok(Flow::Return(Status::SUCCESS.0))
}

/// Whether a module is told of threads.
fn hears_of_threads(f: &mut Frame, module: LdrModule) -> R<bool> {
    let flags = f.m.get(module.flags())?;
    let deaf = flag::DONT_CALL_FOR_THREAD | flag::UNLOAD_IN_PROGRESS;
    let has_entry = !f.m.get(module.entry_point())?.is_null();
    Ok(flags & flag::PROCESS_ATTACH_CALLED != 0 && flags & deaf == 0 && has_entry)
}

/// LdrpAttachThread(): DLL_THREAD_ATTACH in initialisation order. The first thread's DLLs hear of it
/// right after their DLL_PROCESS_ATTACH.
pub(crate) fn thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    while let Some(module) = next(f, false)? {
        if hears_of_threads(f, module)? {
            return call(f, module, DLL_THREAD_ATTACH, 0);
        }
    }
    Ok(Flow::Return(0))
}

/// LdrpDetachThread, the part of LdrShutdownThread under the lock: DLL_THREAD_DETACH in reverse order.
pub(crate) fn detach_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    while let Some(module) = next(f, true)? {
        if hears_of_threads(f, module)? {
            return call(f, module, DLL_THREAD_DETACH, 0);
        }
    }
    Ok(Flow::Return(0))
}

/// LdrpDetachProcess(All): DLL_PROCESS_DETACH in reverse initialisation order to modules whose LoadCount
/// is not above 0 and whose entry was processed; Reserved is 1 for the fixed ones. A module hears it
/// once: its mark is taken away (the sheet does not say how a second detach is prevented).
pub(crate) fn detach_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    while let Some(module) = next(f, true)? {
        let (flags, count) = (f.m.get(module.flags())?, f.m.get(module.load_count())?);
        if count > 0 || flags & flag::ENTRY_PROCESSED == 0 {
            continue;
        }
        f.m.set(module.flags(), flags & !flag::ENTRY_PROCESSED)?;
        if !f.m.get(module.entry_point())?.is_null() {
            return call(f, module, DLL_PROCESS_DETACH, u32::from(count == FIXED));
        }
    }
    Ok(Flow::Return(0))
}
