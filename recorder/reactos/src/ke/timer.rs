//! Timers: a list in the order of due times (reactos.md 2.8, 8.5).

use crate::{ke, layout::*};
use guest::{ListEntry, Read, Va, Write};
use machine::Machine;

/// KeInitializeTimerEx with a notification timer.
pub(crate) fn init(m: &mut Machine, timer: KTimer) -> R<()> {
    m.zero(timer.0, 0x28)?;
    m.set(timer.header().kind(), kind::NOTIFICATION_TIMER)?;
    m.set(timer.header().size(), 10)?;
    timer.header().wait_list_head().init(m)
}

fn link(timer: KTimer) -> ListEntry {
    timer.timer_list_entry()
}

/// KeSetTimer: not signaled, due after -`due` or at the absolute time `due`. A timer that is due
/// already fires at the next timer DPC all the same (8.5).
pub(crate) fn set(m: &mut Machine, timer: KTimer, due: i64) -> R<()> {
    cancel(m, timer)?;
    m.set(timer.header().signal_state(), 0)?;
    m.set(timer.header().absolute(), u8::from(due >= 0))?;
    let at = if due < 0 {
        m.get(SHARED.interrupt_time())?.saturating_add(due.unsigned_abs())
    } else {
        // In interrupt time, as the list is kept; the system time is never set.
        (due as u64).saturating_sub(ke::interrupt::BOOT_TIME)
    };
    m.set(timer.due_time(), at)?;
    let head = G.timer_list_head();
    let mut place = m.get(head.flink())?;
    while place != head && m.get(place.owner(link).due_time())? <= at {
        place = m.get(place.flink())?;
    }
    // Before `place`, so behind every timer that is due at the same time.
    place.push_back(m, timer.timer_list_entry())
}

/// KeCancelTimer: whether it was set.
pub(crate) fn cancel(m: &mut Machine, timer: KTimer) -> R<bool> {
    let entry = timer.timer_list_entry();
    if m.get(entry.flink())?.0.is_null() {
        return Ok(false);
    }
    entry.unlink(m)?;
    m.set(entry.flink(), ListEntry(Va(0)))?;
    Ok(true)
}

fn first_due(m: &mut Machine) -> R<Option<KTimer>> {
    let head = G.timer_list_head();
    let first = m.get(head.flink())?;
    if first == head {
        return Ok(None);
    }
    let timer = first.owner(link);
    let due = m.get(timer.due_time())? <= m.get(SHARED.interrupt_time())?;
    Ok(due.then_some(timer))
}

/// Whether a timer's time has come.
pub(crate) fn any_due(m: &mut Machine) -> R<bool> {
    Ok(first_due(m)?.is_some())
}

/// The timer DPC: signals every timer whose time has come and wakes its waiters.
pub(crate) fn expire(m: &mut Machine) -> R<()> {
    while let Some(timer) = first_due(m)? {
        cancel(m, timer)?;
        m.set(timer.header().signal_state(), 1)?;
        ke::wake::object(m, timer.header(), 0)?;
    }
    Ok(())
}
