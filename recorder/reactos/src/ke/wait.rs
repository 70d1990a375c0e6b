//! Waiting (reactos.md 8.1, 8.2, 8.5).

use crate::{ReactOs, ke, layout::*, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::Fault;

const OLD_IRQL: u8 = 0;
/// PsBlockThread stores here.
const BLOCK_STATUS: u8 = 1;
const RESULT: u8 = 2;
const CANCEL: u8 = 3;

/// The wait key of the timer's block.
const TIMEOUT_KEY: u16 = 0x102;
/// The most objects with the thread's own wait blocks.
const THREAD_WAIT_OBJECTS: u32 = 3;

/// KeWaitForSingleObject(Object, Reason, Mode, Alertable, Timeout): WaitAny of one.
pub(crate) fn single(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let (reason, mode, alertable, timeout) = (f.arg(1)?, f.arg(2)?, f.arg(3)?, f.arg(4)?);
    let objects = f.arg_at(0).0;
    f.call(Ke::KeWaitForMultipleObjects.at(), &[1, objects, WAIT_ANY, reason, mode, alertable, timeout, 0], 1)
}

/// KeWaitForMultipleObjects(Count, Objects, Type, Reason, Mode, Alertable, Timeout, Blocks) (8.1).
pub(crate) fn multiple(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let (count, timeout, blocks) = (f.arg(0)?, Va(f.arg(6)?), f.arg(7)?);
            if count > if blocks == 0 { THREAD_WAIT_OBJECTS } else { 64 } {
                return Ok(Flow::Return(Status::UNSUCCESSFUL.0));
            }
            if !timeout.is_null() {
                let due: i64 = f.m.load(timeout)?;
                if due != 0 {
                    let thread = ke::current(f.m)?;
                    ke::timer::set(f.m, thread.tcb().timer(), due)?;
                }
            }
            attempt(f)
        }
        1 => {
            // Back from PsBlockThread: the lock is taken again.
            ke::irql::raise(f.m, irql::DISPATCH)?;
            let status = f.local(BLOCK_STATUS)?;
            if status == Status::KERNEL_APC.0 {
                let tcb = ke::current(f.m)?.tcb();
                let old = f.local(OLD_IRQL)? as u8;
                f.m.set(tcb.wait_next(), 1)?;
                f.m.set(tcb.wait_irql(), old)?;
                return attempt(f);
            }
            leave(f, status, true)
        }
        _ => {
            if f.local(CANCEL)? != 0 && f.arg(6)? != 0 {
                let thread = ke::current(f.m)?;
                ke::timer::cancel(f.m, thread.tcb().timer())?;
            }
            Ok(Flow::Return(f.local(RESULT)?))
        }
    }
}

/// Releases the lock and returns `status`; the timer is cancelled on the way, or left running.
fn leave(f: &mut Frame, status: u32, cancel: bool) -> Result<Flow, Fault> {
    f.set_local(RESULT, status)?;
    f.set_local(CANCEL, u32::from(cancel))?;
    let old = f.local(OLD_IRQL)?;
    f.call(Ke::KfLowerIrql.at(), &[old], 2)
}

/// One round of the loop: satisfied, refused, or blocked.
fn attempt(f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    let tcb = thread.tcb();
    // a. The lock.
    if f.m.get(tcb.wait_next())? != 0 {
        f.m.set(tcb.wait_next(), 0)?;
        let old = f.m.get(tcb.wait_irql())?;
        f.set_local(OLD_IRQL, u32::from(old))?;
    } else {
        let old = ke::irql::raise(f.m, irql::DISPATCH)?;
        f.set_local(OLD_IRQL, u32::from(old))?;
    }
    let (count, objects, kind) = (f.arg(0)?, Va(f.arg(1)?), f.arg(2)?);
    let (reason, mode, alertable) = (f.arg(3)?, f.arg(4)?, f.arg(5)? & 0xFF != 0);
    let (timeout, blocks) = (Va(f.arg(6)?), f.arg(7)?);
    // b. Alerts and user APCs, before the objects are looked at. Alerted[mode]: a UserMode wait looks
    // at the flag that nobody sets (7.8).
    let state = tcb.apc_state();
    if alertable {
        let flag = if mode == KERNEL_MODE { tcb.alerted() } else { tcb.alerted_user() };
        if f.m.get(flag)? != 0 {
            f.m.set(flag, 0)?;
            return leave(f, Status::ALERTED.0, false);
        }
        if mode != KERNEL_MODE && !state.user_list().is_empty(f.m)? {
            f.m.set(state.user_apc_pending(), 1)?;
            return leave(f, Status::USER_APC.0, false);
        }
    } else if mode != KERNEL_MODE && f.m.get(state.user_apc_pending())? != 0 {
        return leave(f, Status::USER_APC.0, false);
    }
    // c. Objects that are signaled.
    let mut all = true;
    for index in 0..count {
        let object: Header = f.m.load(objects.add(4 * index))?;
        let signaled = ke::wake::is_signaled(f.m, object, thread)?;
        all &= signaled;
        if kind == WAIT_ANY && signaled {
            let abandoned = ke::wake::side_effects(f.m, object, thread)?;
            let base = if abandoned { Status::ABANDONED.0 } else { 0 };
            return leave(f, base + index, true);
        }
    }
    if kind != WAIT_ANY && all {
        let mut abandoned = false;
        for index in 0..count {
            let object: Header = f.m.load(objects.add(4 * index))?;
            abandoned |= ke::wake::side_effects(f.m, object, thread)?;
        }
        return leave(f, if abandoned { Status::ABANDONED.0 } else { 0 }, true);
    }
    // d. No time to wait, or none left.
    if !timeout.is_null() {
        let now = f.m.load::<i64>(timeout)? == 0;
        if now || f.m.get(tcb.timer().header().signal_state())? > 0 {
            return leave(f, Status::TIMEOUT.0, false);
        }
    }
    // e. The wait blocks.
    f.m.set(tcb.wait_status(), Status::UNSUCCESSFUL.0)?;
    let first = if blocks == 0 { tcb.wait_block().0 } else { Va(blocks) };
    let mut previous: Option<KWaitBlock> = None;
    for index in 0..=count {
        let (block, object, key, how) = if index < count {
            let object: Header = f.m.load(objects.add(4 * index))?;
            (KWaitBlock(first.add(0x18 * index)), object, index as u16, kind)
        } else if timeout.is_null() {
            break;
        } else {
            (tcb.block(3), tcb.timer().header(), TIMEOUT_KEY, WAIT_ANY)
        };
        f.m.set(block.thread(), thread)?;
        f.m.set(block.object(), object)?;
        f.m.set(block.wait_key(), key)?;
        f.m.set(block.wait_type(), how as u16)?;
        f.m.set(block.next_wait_block(), None)?;
        match previous {
            Some(previous) => f.m.set(previous.next_wait_block(), Some(block))?,
            None => f.m.set(tcb.wait_block_list(), Some(block))?,
        }
        object.wait_list_head().push_back(f.m, block.wait_list_entry())?;
        previous = Some(block);
    }
    // f. Sleep.
    let (status, old) = (f.local_at(BLOCK_STATUS).0, f.local(OLD_IRQL)?);
    f.call(Ke::PsBlockThread.at(), &[status, u32::from(alertable), mode, old, reason], 1)
}

/// PsBlockThread(Status, Alertable, WaitMode, WaitIrql, WaitReason) (8.2).
pub(crate) fn block(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    let tcb = thread.tcb();
    match f.stage {
        0 => {
            if f.m.get(tcb.apc_state().kernel_apc_pending())? != 0 {
                ke::wake::unlink_blocks(f.m, thread)?;
                return f.call(Ke::PsDispatchThreadNoLock.at(), &[1], 1);
            }
            let (alertable, mode, reason) = (f.arg(1)? as u8, f.arg(2)? as u8, f.arg(4)? as u8);
            f.m.set(tcb.alertable(), alertable)?;
            f.m.set(tcb.wait_mode(), mode)?;
            f.m.set(tcb.wait_reason(), reason)?;
            f.call(Ke::PsDispatchThreadNoLock.at(), &[7], 2)
        }
        stage @ (1 | 2) => {
            let status = if stage == 1 { Status::KERNEL_APC.0 } else { f.m.get(tcb.wait_status())? };
            let (place, level) = (Va(f.arg(0)?), f.arg(3)?);
            f.m.store(place, status)?;
            f.call(Ke::KfLowerIrql.at(), &[level], 3)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// KeDelayExecutionThread(WaitMode, Alertable, Interval) (8.5).
pub(crate) fn delay(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let (mode, alertable, interval) = (f.arg(0)?, f.arg(1)?, Va(f.arg(2)?));
    let due: i64 = f.m.load(interval)?;
    let timer = ke::current(f.m)?.tcb().timer();
    ke::timer::set(f.m, timer, due)?;
    f.call(Ke::KeWaitForSingleObject.at(), &[timer.0.0, reason::DELAY, mode, alertable, 0], 1)
}
