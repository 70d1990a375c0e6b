//! Waiting (nt52.md 8.2, 8.11, 8.13).

use super::thread::current;
use super::{ready, sync, timer};
use crate::Nt;
use crate::layout::*;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, ListEntry, Pointer, Read, Va, Write};
use machine::Machine;

/// Stages of the three wait routines: back from the switch, and back from delivering APCs.
const SWITCHED: u8 = 1;
const DELIVERED: u8 = 2;
/// Locals of the three wait routines: the due time in 0 and 1, and in 2 what kind it is.
const KIND: u8 = 2;
const FOREVER: u32 = 0;
const TIMED: u32 = 1;
/// The interval was zero: test only, or yield.
const ZERO: u32 = 2;

/// What is waited for, and how.
struct Wait {
    objects: Vec<DispatcherHeader>,
    all: bool,
    reason: u32,
    mode: u32,
    alertable: bool,
    /// Where the wait blocks lie.
    blocks: Va,
    /// Nothing is waited for but time.
    delay: bool,
}

/// KeWaitForSingleObject(Object, WaitReason, WaitMode, Alertable, Timeout).
pub(crate) fn ke_wait_for_single_object(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?.tcb();
    let wait = Wait {
        objects: vec![f.arg_ptr(0)?],
        all: false,
        reason: f.arg(1)?,
        mode: f.arg(2)?,
        alertable: f.arg(3)? & 0xFF != 0,
        blocks: thread.wait_block().va(),
        delay: false,
    };
    let timeout = f.arg(4)?;
    run(f, &wait, timeout)
}

/// KeWaitForMultipleObjects(Count, Object[], WaitType, WaitReason, WaitMode, Alertable, Timeout,
/// WaitBlockArray). Up to three objects use the thread's own wait blocks.
pub(crate) fn ke_wait_for_multiple_objects(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (count, array) = (f.arg(0)?, Va(f.arg(1)?));
    let objects: Result<Vec<DispatcherHeader>, Fault> =
        (0..count).map(|index| f.m.load(array.add(4 * index))).collect();
    let thread = current(f.m)?.tcb();
    let wait = Wait {
        objects: objects?,
        all: f.arg(2)? == WAIT_ALL,
        reason: f.arg(3)?,
        mode: f.arg(4)?,
        alertable: f.arg(5)? & 0xFF != 0,
        blocks: if count > 3 { Va(f.arg(7)?) } else { thread.wait_block().va() },
        delay: false,
    };
    let timeout = f.arg(6)?;
    run(f, &wait, timeout)
}

/// KeDelayExecutionThread(WaitMode, Alertable, Interval).
pub(crate) fn ke_delay_execution_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let wait = Wait {
        objects: Vec::new(),
        all: false,
        reason: reason::DELAY_EXECUTION,
        mode: f.arg(0)?,
        alertable: f.arg(1)? & 0xFF != 0,
        blocks: Va(0),
        delay: true,
    };
    let interval = f.arg(2)?;
    run(f, &wait, interval)
}

fn run(f: &mut Frame, wait: &Wait, timeout: u32) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let kind = match timeout {
                0 => FOREVER,
                at => {
                    let interval: i64 = f.m.load(Va(at))?;
                    let due = timer::due_time(f.m, interval)?;
                    let at = f.block(0, 2);
                    f.m.store(at, due)?;
                    if interval == 0 { ZERO } else { TIMED }
                }
            };
            f.set_local(KIND, kind)?;
        }
        SWITCHED => match f.result() {
            status if status == Status::KERNEL_APC.0 => {}
            status if wait.delay && status == Status::TIMEOUT.0 => return Ok(Flow::Return(0)),
            status => return Ok(Flow::Return(status)),
        },
        _ => f.m.set(PCR.irql(), PASSIVE_LEVEL)?,
    }
    begin(f, wait)
}

/// The check made on entry and after each restart; then the thread blocks.
fn begin(f: &mut Frame, wait: &Wait) -> Result<Flow, Fault> {
    let (kind, due_at) = (f.local(KIND)?, f.block(0, 2));
    let m = &mut *f.m;
    let thread = current(m)?.tcb();
    let irql = m.get(PCR.irql())?;
    let pending = m.get(thread.apc_state().kernel_apc_pending())? != 0;
    if pending && m.get(thread.special_apc_disable())? == 0 && irql < APC_LEVEL {
        m.set(PCR.irql(), APC_LEVEL)?;
        return f.call(Ke::KiDeliverApc.at(), &[KERNEL, 0, 0], DELIVERED);
    }
    if let Some(status) = try_satisfy(m, wait, thread)? {
        return Ok(Flow::Return(status));
    }
    if let Some(status) = alerted(m, thread, wait.mode, wait.alertable)? {
        return Ok(Flow::Return(status.0));
    }
    let due: u64 = m.load(due_at)?;
    if kind != FOREVER && due <= timer::interrupt_time(m)? {
        return Ok(Flow::Return(match wait.delay {
            false => Status::TIMEOUT.0,
            true if kind == ZERO && wait.mode == USER && !wait.alertable => yielded(m)?,
            true => 0,
        }));
    }
    block(m, wait, thread, irql, (kind != FOREVER).then_some(due))?;
    f.call(Ke::KiSwapThread.at(), &[], SWITCHED)
}

/// What a thread gets that gives the processor up for nothing.
fn yielded(m: &mut Machine) -> Result<u32, Fault> {
    let other = ready::stand_by_another(m)?;
    Ok(if other { Status::SUCCESS.0 } else { Status::NO_YIELD_PERFORMED.0 })
}

/// NtYieldExecution().
pub(crate) fn nt_yield_execution(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(yielded(f.m)?))
}

/// Satisfies the wait if the objects allow it: the wait status.
fn try_satisfy(m: &mut Machine, wait: &Wait, thread: KThread) -> Result<Option<u32>, Fault> {
    let mut ready = Vec::new();
    for (index, object) in wait.objects.iter().enumerate() {
        if sync::is_satisfiable(m, *object, thread)? {
            let state = m.get(object.signal_state())?;
            if m.get(object.kind())? == KObject::Mutant && state == i32::MIN {
                return Ok(Some(Status::MUTANT_LIMIT_EXCEEDED.0));
            }
            ready.push((index as u32, *object));
            if !wait.all {
                break;
            }
        }
    }
    if ready.is_empty() || wait.all && ready.len() < wait.objects.len() {
        return Ok(None);
    }
    let mut abandoned = false;
    for (_, object) in &ready {
        abandoned |= sync::satisfy(m, *object, thread)?;
    }
    let index = if wait.all { 0 } else { ready[0].0 };
    Ok(Some(index + if abandoned { Status::ABANDONED.0 } else { 0 }))
}

/// Whether an alert or a user APC ends the wait before it begins.
fn alerted(m: &mut Machine, thread: KThread, mode: u32, alertable: bool) -> Result<Option<Status>, Fault> {
    let state = thread.apc_state();
    if !alertable {
        let pending = mode == USER && m.get(state.user_apc_pending())? != 0;
        return Ok(pending.then_some(Status::USER_APC));
    }
    let own = if mode == USER { thread.alerted_user() } else { thread.alerted_kernel() };
    if m.get(own)? != 0 {
        m.set(own, 0)?;
        return Ok(Some(Status::ALERTED));
    }
    if mode == USER && !state.user_list().is_empty(m)? {
        m.set(state.user_apc_pending(), 1)?;
        return Ok(Some(Status::USER_APC));
    }
    if m.get(thread.alerted_kernel())? != 0 {
        m.set(thread.alerted_kernel(), 0)?;
        return Ok(Some(Status::ALERTED));
    }
    Ok(None)
}

fn block(m: &mut Machine, wait: &Wait, thread: KThread, irql: u8, due: Option<u64>) -> Result<(), Fault> {
    let mut blocks: Vec<KWaitBlock> = Vec::new();
    for (index, object) in wait.objects.iter().enumerate() {
        let block = KWaitBlock::at(wait.blocks.add(index as u32 * KWaitBlock::EXTENT));
        m.set(block.thread(), thread)?;
        m.set(block.object(), *object)?;
        m.set(block.wait_key(), index as u16)?;
        m.set(block.wait_type(), if wait.all { WAIT_ALL } else { WAIT_ANY } as u8)?;
        let list: ListEntry = object.wait_list_head();
        list.push_back(m, block.wait_list_entry())?;
        blocks.push(block);
    }
    if let Some(due) = due {
        blocks.push(thread.timer_wait_block());
        timer::insert(m, thread.timer(), due)?;
    }
    for (index, block) in blocks.iter().enumerate() {
        m.set(block.next_wait_block(), Some(blocks[(index + 1) % blocks.len()]))?;
    }
    m.set(thread.wait_block_list(), blocks.first().copied())?;
    m.set(thread.wait_irql(), irql)?;
    m.set(thread.wait_mode(), wait.mode as u8)?;
    m.set(thread.wait_reason(), wait.reason as u8)?;
    m.set(thread.alertable(), wait.alertable.into())?;
    m.set(thread.wait_status(), 0)?;
    let ticks = m.get(SHARED.tick_count())?;
    m.set(thread.wait_time(), ticks)?;
    m.set(thread.state(), State::Waiting)?;
    m.set(PCR.irql(), DISPATCH_LEVEL)
}

/// KiSwapThread(): the current thread has blocked or ended. The switch comes back when it is chosen again.
pub(crate) fn ki_swap_thread(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let old = current(f.m)?.tcb();
            let irql = f.m.get(old.wait_irql())?;
            let new = ready::select(f.m)?;
            if new == old {
                return leave(f);
            }
            f.call(nt.code.kernel.symbol("KiSwapContext"), &[old.va().0, irql.into()], 1)
        }
        1 if f.result() != 0 => {
            f.m.set(PCR.irql(), APC_LEVEL)?;
            f.call(Ke::KiDeliverApc.at(), &[KERNEL, 0, 0], 2)
        }
        _ => leave(f),
    }
}

fn leave(f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?.tcb();
    let irql = f.m.get(thread.wait_irql())?;
    f.m.set(PCR.irql(), irql)?;
    Ok(Flow::Return(f.m.get(thread.wait_status())?))
}
