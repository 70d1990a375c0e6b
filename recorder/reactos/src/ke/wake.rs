//! Signal states, and waking who waits (reactos.md 8.1, 8.3).

use crate::{ke, layout::*};
use contract::Status;
use guest::{Read, Write};
use machine::Machine;

/// Whether a wait of `thread` on the object would be satisfied now.
pub(crate) fn is_signaled(m: &mut Machine, object: Header, thread: EThread) -> R<bool> {
    let state = m.get(object.signal_state())?;
    if m.get(object.kind())? == kind::MUTEX {
        let owner = m.get(KMutant(object.0).owner_thread())?;
        return Ok(state == 1 || state < 1 && owner == Some(thread));
    }
    Ok(state > 0)
}

/// What satisfying a wait does to the object; whether it was an abandoned mutant.
pub(crate) fn side_effects(m: &mut Machine, object: Header, thread: EThread) -> R<bool> {
    let state = m.get(object.signal_state())?;
    match m.get(object.kind())? {
        kind::SYNCHRONIZATION_EVENT | kind::SYNCHRONIZATION_TIMER => m.set(object.signal_state(), 0)?,
        kind::SEMAPHORE => m.set(object.signal_state(), state - 1)?,
        kind::MUTEX => {
            m.set(object.signal_state(), state - 1)?;
            let mutant = KMutant(object.0);
            if state - 1 == 0 {
                m.set(mutant.owner_thread(), Some(thread))?;
                thread.tcb().mutant_list_head().push_back(m, mutant.mutant_list_entry())?;
                let abandoned = m.get(mutant.abandoned())? != 0;
                m.set(mutant.abandoned(), 0)?;
                return Ok(abandoned);
            }
        }
        _ => {}
    }
    Ok(false)
}

/// Takes every wait block of a thread out of its object's list. Whether it had any.
pub(crate) fn unlink_blocks(m: &mut Machine, thread: EThread) -> R<bool> {
    let mut block = m.get(thread.tcb().wait_block_list())?;
    let had = block.is_some();
    while let Some(this) = block {
        this.wait_list_entry().unlink(m)?;
        block = m.get(this.next_wait_block())?;
    }
    m.set(thread.tcb().wait_block_list(), None)?;
    Ok(had)
}

/// KiAbortWaitThread.
pub(crate) fn abort(m: &mut Machine, thread: EThread, status: Status) -> R<()> {
    if unlink_blocks(m, thread)? {
        ke::dispatch::unblock(m, thread, Some(status.0), 0)?;
    }
    Ok(())
}

/// Whether every object that a WaitAll waiter waits for, except its timer, is signaled.
fn all_signaled(m: &mut Machine, thread: EThread) -> R<bool> {
    let mut block = m.get(thread.tcb().wait_block_list())?;
    while let Some(this) = block {
        let object = m.get(this.object())?;
        if u32::from(m.get(this.wait_type())?) == WAIT_ALL && !is_signaled(m, object, thread)? {
            return Ok(false);
        }
        block = m.get(this.next_wait_block())?;
    }
    Ok(true)
}

/// Satisfies the wait that a block belongs to and makes the thread ready.
fn satisfy(m: &mut Machine, block: KWaitBlock, increment: i8) -> R<()> {
    let thread = m.get(block.thread())?;
    let mut status = u32::from(m.get(block.wait_key())?);
    let mut abandoned = false;
    if u32::from(m.get(block.wait_type())?) == WAIT_ALL {
        // As when nothing has to be waited for: 0, whichever object was the last (8.1 step 2c).
        status = 0;
        let mut next = m.get(thread.tcb().wait_block_list())?;
        while let Some(this) = next {
            if u32::from(m.get(this.wait_type())?) == WAIT_ALL {
                let object = m.get(this.object())?;
                abandoned |= side_effects(m, object, thread)?;
            }
            next = m.get(this.next_wait_block())?;
        }
    } else {
        let object = m.get(block.object())?;
        abandoned = side_effects(m, object, thread)?;
    }
    if abandoned {
        status += Status::ABANDONED.0;
    }
    unlink_blocks(m, thread)?;
    ke::dispatch::unblock(m, thread, Some(status), increment)
}

/// KiDispatcherObjectWake: notification objects, processes and threads wake all who can be satisfied;
/// synchronization objects and mutants the first; semaphores while they count.
pub(crate) fn object(m: &mut Machine, object: Header, increment: i8) -> R<()> {
    let one = matches!(
        m.get(object.kind())?,
        kind::SYNCHRONIZATION_EVENT | kind::SYNCHRONIZATION_TIMER | kind::MUTEX
    );
    'scan: loop {
        let head = object.wait_list_head();
        let mut link = m.get(head.flink())?;
        while link != head {
            let block = KWaitBlock(link.0);
            link = m.get(link.flink())?;
            let thread = m.get(block.thread())?;
            if !is_signaled(m, object, thread)? {
                continue;
            }
            if u32::from(m.get(block.wait_type())?) == WAIT_ALL && !all_signaled(m, thread)? {
                continue;
            }
            satisfy(m, block, increment)?;
            if one {
                return Ok(());
            }
            // Satisfying may have taken more than one block out of this list.
            continue 'scan;
        }
        return Ok(());
    }
}
