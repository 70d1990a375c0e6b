//! The pool: blocks with a tag and a serial number, reused as late as possible.
//!
//! There is one pool, non-paged. A block is 16-byte header and body, a multiple of 8 bytes. Memory
//! never used before comes first; then freed blocks, the one freed first of those that are large
//! enough, undivided. A freed block is filled with [`POISON`], so that a use after free shows.

use crate::global::{DATA, POOL, POOL_FAULTS, POOL_SIZE};
use crate::layout::PoolHeader;
use contract::PoolFault;
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

/// What a freed block holds.
pub(crate) const POISON: u8 = 0xEE;
/// PoolHeader.State of a block in use; of a free one it is the next free block, or [`LAST`].
pub(crate) const IN_USE: u32 = 1;
const LAST: u32 = 0;

/// A pool tag from its characters in memory order.
pub(crate) const fn tag(name: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*name)
}

/// ExAllocatePoolWithTag: zeroed memory, or none. Zeroing is this pool's own.
pub(crate) fn allocate(m: &mut Machine, size: u32, tag: u32) -> Result<Option<Va>, Fault> {
    if is_refused(m, tag)? {
        return Ok(None);
    }
    let size = size.next_multiple_of(8);
    let Some(header) = take(m, size)? else { return Ok(None) };
    let serial = m.get(DATA.pool_serial())? + 1;
    m.set(DATA.pool_serial(), serial)?;
    m.set(header.tag(), tag)?;
    m.set(header.serial(), serial)?;
    m.set(header.state(), IN_USE)?;
    let body = header.va().add(PoolHeader::EXTENT);
    let whole = m.get(header.size())?;
    m.zero(body, whole)?;
    Ok(Some(body))
}

fn take(m: &mut Machine, size: u32) -> Result<Option<PoolHeader>, Fault> {
    let next = m.get(DATA.pool_next())?;
    if next + PoolHeader::EXTENT + size <= POOL.0 + POOL_SIZE {
        m.set(DATA.pool_next(), next + PoolHeader::EXTENT + size)?;
        let header = PoolHeader::at(Va(next));
        m.set(header.size(), size)?;
        return Ok(Some(header));
    }
    let mut before = LAST;
    let mut at = m.get(DATA.pool_free_first())?;
    while at != LAST {
        let header = PoolHeader::at(Va(at));
        let after = m.get(header.state())?;
        if m.get(header.size())? >= size {
            match before {
                LAST => m.set(DATA.pool_free_first(), after)?,
                before => m.set(PoolHeader::at(Va(before)).state(), after)?,
            }
            if after == LAST {
                m.set(DATA.pool_free_last(), before)?;
            }
            return Ok(Some(header));
        }
        (before, at) = (at, after);
    }
    Ok(None)
}

/// Whether the recorder wants this allocation to fail (see [`PoolFault`]). Page frames and kernel stacks
/// ask too, under tags of their own.
pub(crate) fn is_refused(m: &mut Machine, tag: u32) -> Result<bool, Fault> {
    let mut fail = false;
    for slot in 0..PoolFault::SLOTS {
        let at = POOL_FAULTS.add(slot * PoolFault::SIZE);
        let [wanted, skip, count, seen]: [u32; 4] =
            [m.load(at)?, m.load(at.add(4))?, m.load(at.add(8))?, m.load(at.add(12))?];
        if wanted != 0 && wanted != tag || skip == 0 && count == 0 {
            continue;
        }
        m.store(at.add(12), seen + 1)?;
        if skip > 0 {
            m.store(at.add(4), skip - 1)?;
        } else {
            m.store(at.add(8), count - 1)?;
            fail = true;
        }
    }
    Ok(fail)
}

/// ExFreePool.
pub(crate) fn free(m: &mut Machine, body: Va) -> Result<(), Fault> {
    let header = header(body);
    debug_assert_eq!(m.get(header.state())?, IN_USE, "{body} is freed twice");
    let size = m.get(header.size())?;
    m.put(body, &vec![POISON; size as usize])?;
    m.set(header.state(), LAST)?;
    match m.get(DATA.pool_free_last())? {
        LAST => m.set(DATA.pool_free_first(), header.va().0)?,
        last => m.set(PoolHeader::at(Va(last)).state(), header.va().0)?,
    }
    m.set(DATA.pool_free_last(), header.va().0)
}

/// The header of the block whose body is at `body`.
pub(crate) fn header(body: Va) -> PoolHeader {
    PoolHeader::at(body.sub(PoolHeader::EXTENT))
}

/// Every block of the pool, in the order of their addresses.
pub(crate) fn blocks(m: &mut impl Read) -> Result<Vec<PoolHeader>, Fault> {
    let end = m.get(DATA.pool_next())?;
    let mut at = POOL;
    let mut found = Vec::new();
    while at.0 < end {
        let header = PoolHeader::at(at);
        found.push(header);
        at = at.add(PoolHeader::EXTENT + m.get(header.size())?);
    }
    Ok(found)
}
