//! TEBs (reactos.md 4.5, 9.5 step 8).

use crate::{ReactOs, layout::*, mm, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Pointer, Read, Slot, Va, Write};
use machine::{Fault, Machine, PAGE};

/// PsDefaultThreadLocaleId: US English.
const LOCALE: u32 = 0x409;
const RESERVE_TOP_DOWN: u32 = 0x10_2000;
const COMMIT: u32 = 0x1000;
const DECOMMIT: u32 = 0x4000;
const READ_WRITE: u32 = 4;

/// Takes the next page of the TEB block (4.5 steps 1 to 3).
pub(crate) fn allocate(m: &mut Machine, process: EProcess) -> R<Result<Va, (Status, bool)>> {
    let (block, last) = (m.get(process.teb_block())?, m.get(process.teb_last_allocated())?);
    if block.is_null() || block == last {
        m.set(process.teb_block(), Va(0))?;
        match mm::services::allocate(m, process, Va(0), GRANULARITY, RESERVE_TOP_DOWN, READ_WRITE)? {
            Ok((base, size)) => {
                m.set(process.teb_block(), base)?;
                m.set(process.teb_last_allocated(), base.add(size))?;
            }
            // The lock is released before this failure is reported ...
            Err(status) => return Ok(Err((status, true))),
        }
    }
    let base = m.get(process.teb_last_allocated())?.sub(PAGE);
    match mm::services::allocate(m, process, base, PAGE, COMMIT, READ_WRITE)? {
        Ok(_) => {}
        // ... and not before this one.
        Err(status) => return Ok(Err((status, false))),
    }
    m.set(process.teb_last_allocated(), base)?;
    Ok(Ok(base))
}

/// Fills a TEB and writes it into its process (4.5 steps 4 and 5). False when it cannot be written.
pub(crate) fn fill(
    m: &mut Machine,
    process: EProcess,
    thread: EThread,
    base: Va,
    initial: Option<InitialTeb>,
) -> R<bool> {
    let mut raw = vec![0; Teb::EXTENT as usize];
    let mut set = |slot: Slot<u32>, value: u32| {
        let at = slot.at.0 as usize;
        raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
    };
    // The accessors at address 0 give the offsets.
    let teb = Teb(Va(0));
    let word = |slot: Slot<Va>| Slot::<u32>::new(slot.at);
    set(word(teb.this()), base.0);
    set(word(teb.peb()), m.get(process.peb())?.0);
    if let Some(initial) = initial {
        let (fixed_base, fixed_limit) = (m.get(initial.stack_base())?, m.get(initial.stack_limit())?);
        let (stack, limit, whole) = if !fixed_base.is_null() && !fixed_limit.is_null() {
            (fixed_base, fixed_limit, fixed_limit)
        } else {
            (
                m.get(initial.stack_commit())?,
                m.get(initial.stack_commit_max())?,
                m.get(initial.stack_reserved())?,
            )
        };
        set(word(teb.stack_base()), stack.0);
        set(word(teb.stack_limit()), limit.0);
        set(word(teb.deallocation_stack()), whole.0);
    }
    set(teb.unique_process(), m.get(thread.unique_process())?);
    set(teb.unique_thread(), m.get(thread.unique_thread())?);
    set(teb.current_locale(), LOCALE);
    set(teb.exception_list(), u32::MAX);
    mm::space::write_to(m, process, base, &raw)
}

/// PsCreateTeb(ProcessHandle, *TebBase, Thread, InitialTeb) (4.5). The memory is taken in the thread's
/// process; System's lock was never initialised, and acquiring it faults (12.1 40b).
pub(crate) fn ps_create_teb(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread: EThread = f.arg_ptr(2)?;
    let process = f.m.get(thread.threads_process())?.unwrap_or(EProcess(Va(0)));
    match f.stage {
        0 => f.call(Ke::ExAcquireFastMutex.at(), &[process.teb_lock().0.0], 1),
        1 => match allocate(f.m, process)? {
            Ok(base) => {
                f.set_local(0, base.0)?;
                f.call(Ke::ExReleaseFastMutex.at(), &[process.teb_lock().0.0], 2)
            }
            Err((status, true)) => {
                f.set_local(1, status.0)?;
                f.call(Ke::ExReleaseFastMutex.at(), &[process.teb_lock().0.0], 2)
            }
            // The lock stays held, and the critical region entered.
            Err((status, false)) => Ok(Flow::Return(status.0)),
        },
        _ => {
            let (base, status) = (Va(f.local(0)?), f.local(1)?);
            if status != 0 {
                return Ok(Flow::Return(status));
            }
            let initial = f.arg(3)?;
            let initial = if initial == 0 { None } else { Some(InitialTeb(Va(initial))) };
            if !fill(f.m, process, thread, base, initial)? {
                return Ok(Flow::Return(Status::ACCESS_VIOLATION.0));
            }
            let place = Va(f.arg(1)?);
            f.m.store(place, base)?;
            Ok(Flow::Return(Status::SUCCESS.0))
        }
    }
}

/// PsFreeTeb(Thread): the exit's step 8. The page is decommitted and never used again; a block that
/// is used up and empty is released.
pub(crate) fn ps_free_teb(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread: EThread = f.arg_ptr(0)?;
    let process = f.m.get(thread.threads_process())?.unwrap_or(EProcess(Va(0)));
    match f.stage {
        0 => f.call(Ke::ExAcquireFastMutex.at(), &[process.teb_lock().0.0], 1),
        1 => {
            let teb = f.m.get(thread.tcb().teb())?;
            mm::services::free(f.m, process, teb, PAGE, DECOMMIT)?;
            let block = Va(teb.0 & !(GRANULARITY - 1));
            let (current, last) = (f.m.get(process.teb_block())?, f.m.get(process.teb_last_allocated())?);
            if (block != current || current == last)
                && let Some(area) = mm::space::area(f.m, process, block)?
                && mm::space::is_empty(f.m, process, area)?
            {
                mm::space::release(f.m, process, area)?;
            }
            f.m.set(thread.tcb().teb(), Va(0))?;
            f.call(Ke::ExReleaseFastMutex.at(), &[process.teb_lock().0.0], 2)
        }
        _ => Ok(Flow::Return(0)),
    }
}
