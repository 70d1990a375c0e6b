//! Timers and time. The clock device is the machine's `clock`; an interrupt copies it to
//! KUSER_SHARED_DATA, and due timers expire at DISPATCH_LEVEL, as their DPC would.

use super::sync;
use crate::global::DATA;
use crate::layout::*;
use guest::{Fault, ListEntry, Pointer, Read, Write, walk};
use machine::Machine;

/// Units of 100 ns in a tick of TickCount.
const TICK: u64 = 100_000;

/// KeQueryInterruptTime.
pub(crate) fn interrupt_time(m: &mut Machine) -> Result<u64, Fault> {
    m.get(SHARED.interrupt_time())
}

/// KeQuerySystemTime.
pub(crate) fn system_time(m: &mut impl Read) -> Result<u64, Fault> {
    m.get(SHARED.system_time())
}

/// Takes the world's time over.
pub(crate) fn update(m: &mut Machine) -> Result<(), Fault> {
    let now = m.clock;
    let system = m.get(DATA.boot_time())? + now;
    m.set(SHARED.interrupt_time(), now)?;
    m.set(SHARED.interrupt_time_high2(), (now >> 32) as u32)?;
    m.set(SHARED.system_time(), system)?;
    m.set(SHARED.system_time_high2(), (system >> 32) as u32)?;
    let ticks = now / TICK;
    m.set(SHARED.tick_count(), ticks as u32)?;
    m.set(SHARED.tick_count_high(), (ticks >> 32) as u32)?;
    m.set(SHARED.tick_count_high2(), (ticks >> 32) as u32)?;
    m.set(SHARED.tick_count_low(), ticks as u32)
}

/// The interrupt time at which an interval ends: negative is relative, positive an absolute system
/// time.
pub(crate) fn due_time(m: &mut Machine, interval: i64) -> Result<u64, Fault> {
    let now = interrupt_time(m)?;
    if interval <= 0 {
        return Ok(now.wrapping_add(interval.unsigned_abs()));
    }
    let ahead = (interval as u64).saturating_sub(system_time(m)?);
    Ok(now.wrapping_add(ahead))
}

/// Starts a timer: it stands in the list before those that are due later.
pub(crate) fn insert(m: &mut Machine, timer: KTimer, due: u64) -> Result<(), Fault> {
    m.set(timer.due_time(), due)?;
    m.set(timer.header().signal_state(), 0)?;
    m.set(timer.header().inserted(), 1)?;
    let head: ListEntry = DATA.ki_timer_list_head();
    let mut at = m.get(head.flink())?;
    while at != head && m.get(at.owner(KTimer::timer_list_entry).due_time())? <= due {
        at = m.get(at.flink())?;
    }
    at.push_back(m, timer.timer_list_entry())
}

/// KeCancelTimer.
pub(crate) fn cancel(m: &mut Machine, timer: KTimer) -> Result<(), Fault> {
    if m.get(timer.header().inserted())? != 0 {
        m.set(timer.header().inserted(), 0)?;
        timer.timer_list_entry().unlink(m)?;
    }
    Ok(())
}

/// Whether a timer is due.
pub(crate) fn is_due(m: &mut Machine) -> Result<bool, Fault> {
    let head: ListEntry = DATA.ki_timer_list_head();
    let first = m.get(head.flink())?;
    let now = interrupt_time(m)?;
    Ok(first != head && m.get(first.owner(KTimer::timer_list_entry).due_time())? <= now)
}

/// KiTimerExpiration.
pub(crate) fn expire(m: &mut Machine) -> Result<(), Fault> {
    while is_due(m)? {
        let head: ListEntry = DATA.ki_timer_list_head();
        let timer = m.get(head.flink())?.owner(KTimer::timer_list_entry);
        cancel(m, timer)?;
        m.set(timer.header().signal_state(), 1)?;
        // Every timer here is a thread's own, with that thread's block linked to it for good.
        let block = KWaitBlock::at(m.get(timer.header().wait_list_head().flink())?.va());
        let (thread, key) = (m.get(block.thread())?, m.get(block.wait_key())?);
        sync::unwait(m, thread, key.into(), 0)?;
    }
    Ok(())
}

/// How many timers run.
pub(crate) fn running(m: &mut impl Read) -> u32 {
    walk(m, DATA.ki_timer_list_head(), KTimer::timer_list_entry).map_or(0, |timers| timers.len() as u32)
}
