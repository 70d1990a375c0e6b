//! Nonpaged pool (reactos.md 2.15): a freed block is poisoned, and used again only when nothing that
//! was never used is left, the longest free first.

use crate::{layout::*, mm::pages};
use contract::PoolFault;
use guest::{Pointer, Read, Va, Write};
use machine::{Machine, PAGE};

/// A pool tag: its four characters as they lie in memory.
pub(crate) const fn tag(name: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*name)
}
/// What the allocator writes for a block allocated without a tag.
pub(crate) const UNTAGGED: u32 = tag(b"None");
/// Fills freed memory. As a pointer it leads to a page that is never mapped.
pub(crate) const POISON: u8 = 0xDD;

const HEADER: u32 = PoolHeader::EXTENT;

/// Takes `size` bytes. None when an injected failure says so, or the pool is used up.
pub(crate) fn allocate(m: &mut Machine, tag: u32, size: u32) -> R<Option<Va>> {
    if injected_failure(m, tag)? {
        return Ok(None);
    }
    let size = size.next_multiple_of(16);
    let header = match grow(m, size)? {
        Some(header) => header,
        None => match oldest_free(m, size)? {
            Some(header) => header,
            None => return Ok(None),
        },
    };
    let serial = m.get(G.pool_next_serial())?;
    m.set(G.pool_next_serial(), serial + 1)?;
    m.set(header.tag(), tag)?;
    m.set(header.serial(), serial)?;
    m.set(header.allocated(), 1)?;
    Ok(Some(header.0.add(HEADER)))
}

/// As [`allocate`], zeroed.
pub(crate) fn allocate_zeroed(m: &mut Machine, tag: u32, size: u32) -> R<Option<Va>> {
    let block = allocate(m, tag, size)?;
    if let Some(at) = block {
        m.zero(at, size)?;
    }
    Ok(block)
}

/// Frees a block.
pub(crate) fn free(m: &mut Machine, at: Va) -> R<()> {
    let header = PoolHeader(at.sub(HEADER));
    let size = m.get(header.size())?;
    let order = m.get(G.pool_next_free())?;
    m.set(G.pool_next_free(), order + 1)?;
    m.set(header.allocated(), 0)?;
    m.set(header.freed(), order)?;
    m.put(at, &vec![POISON; size as usize])
}

/// The allocation that begins at `at`, while it lasts: its header.
pub(crate) fn header(m: &mut impl Read, at: Va) -> R<Option<PoolHeader>> {
    if at.0 < POOL.0 + HEADER || at.0 >= m.get(G.pool_end())?.0 {
        return Ok(None);
    }
    let header = PoolHeader(at.sub(HEADER));
    Ok((m.get(header.allocated())? == 1).then_some(header))
}

/// Every block, allocated or free, in the order of addresses.
pub(crate) fn blocks(m: &mut impl Read) -> R<Vec<PoolHeader>> {
    let end = m.get(G.pool_end())?.0;
    let mut found = Vec::new();
    let mut at = POOL.0;
    while at < end {
        let header = PoolHeader(Va(at));
        found.push(header);
        at += HEADER + m.get(header.size())?;
    }
    Ok(found)
}

/// Whether one of the recorder's slots fails this allocation: see [`PoolFault`].
///
/// Every allocation of the kernel's asks: objects (`THRT`, `PROC`, `EVNT`, `MTNT`, `SEMA`, `SECT`), handle
/// blocks (`HTBL`), thread ids (`CIDO`), APCs (`TAPC`, `KAPC`, and the LdrInit APC under `None`), wait
/// blocks (`WAIT`), what describes user memory (`MARE` a reservation, `MREG` a commitment: TEBs take one
/// of these each), and kernel stacks (`KSTK`), which are pages and no pool.
pub(crate) fn injected_failure(m: &mut Machine, tag: u32) -> R<bool> {
    for slot in 0..PoolFault::SLOTS {
        let at = G.pool_faults().at.add(slot * PoolFault::SIZE);
        let word = |index: u32| at.add(4 * index);
        let (wanted, skip, count, seen) = (
            m.load::<u32>(word(0))?,
            m.load::<u32>(word(1))?,
            m.load::<u32>(word(2))?,
            m.load::<u32>(word(3))?,
        );
        if wanted != 0 && wanted != tag {
            continue;
        }
        m.store(word(3), seen.wrapping_add(1))?;
        if skip > 0 {
            m.store(word(1), skip - 1)?;
        } else if count > 0 {
            m.store(word(2), count - 1)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// A block from the part of the pool that was never used.
fn grow(m: &mut Machine, size: u32) -> R<Option<PoolHeader>> {
    let at = m.get(G.pool_end())?;
    let end = at.add(HEADER + size);
    if end.0 > POOL.0 + POOL_SIZE {
        return Ok(None);
    }
    while m.get(G.pool_mapped())?.0 < end.0 {
        let mapped = m.get(G.pool_mapped())?;
        let Some(frame) = pages::allocate(m)? else { return Ok(None) };
        pages::map(m, m.cpu.cr3, mapped, frame, pages::pte::WRITABLE)?;
        m.set(G.pool_mapped(), mapped.add(PAGE))?;
    }
    m.set(G.pool_end(), end)?;
    let header = PoolHeader(at);
    m.set(header.size(), size)?;
    Ok(Some(header))
}

/// Of the free blocks that fit exactly, else of those that are large enough, the longest free.
fn oldest_free(m: &mut Machine, size: u32) -> R<Option<PoolHeader>> {
    let mut best: Option<(bool, u32, PoolHeader)> = None;
    for header in blocks(m)? {
        let room = m.get(header.size())?;
        if m.get(header.allocated())? == 0 && room >= size {
            let candidate = (room != size, m.get(header.freed())?, header);
            if best.is_none_or(|found| candidate < found) {
                best = Some(candidate);
            }
        }
    }
    Ok(best.map(|(_, _, header)| header))
}
