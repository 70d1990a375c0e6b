//! Physical pages, page-table entries and kernel stacks.

use crate::{ex::pool, layout::*};
use guest::{Read, Va, Write};
use machine::{Machine, Pa};

/// Page-table entry bits.
pub(crate) mod pte {
    pub(crate) const PRESENT: u32 = 1;
    pub(crate) const WRITABLE: u32 = 2;
    pub(crate) const USER: u32 = 4;
    /// A bit that the processor ignores: the page belongs to this address space and is freed with it.
    pub(crate) const PRIVATE: u32 = 0x200;
}

/// Takes a zeroed physical page: its frame number. None when memory is used up.
pub(crate) fn allocate(m: &mut Machine) -> R<Option<u32>> {
    let start = m.get(G.page_hint())?;
    for step in 0..PHYSICAL_PAGES {
        let frame = (start + step) % PHYSICAL_PAGES;
        let at = PAGE_BITMAP.add(frame / 8);
        let byte: u8 = m.load(at)?;
        if byte & 1 << (frame % 8) == 0 {
            m.store(at, byte | 1 << (frame % 8))?;
            m.set(G.page_hint(), frame + 1)?;
            clear(m, frame);
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

fn clear(m: &mut Machine, frame: u32) {
    // A page that was never written reads as zeroes and stays unallocated in the host.
    if m.memory.page(frame).is_some_and(|page| page.iter().any(|byte| *byte != 0)) {
        m.memory.write(Pa(frame << 12), &[0; machine::PAGE as usize]);
    }
}

/// Gives a physical page back.
pub(crate) fn free(m: &mut Machine, frame: u32) -> R<()> {
    let at = PAGE_BITMAP.add(frame / 8);
    let byte: u8 = m.load(at)?;
    m.store(at, byte & !(1 << (frame % 8)))
}

/// The page-table entry of `at` in the address space `directory`; none without a page table.
pub(crate) fn entry(m: &Machine, directory: u32, at: Va) -> Option<Pa> {
    let upper = m.memory.read_u32(Pa((directory & !0xFFF) + (at.0 >> 22) * 4));
    (upper & pte::PRESENT != 0).then(|| Pa((upper & !0xFFF) + (at.0 >> 12 & 0x3FF) * 4))
}

/// Maps a frame at `at`, making the page table if it must. False when memory is used up.
pub(crate) fn map(m: &mut Machine, directory: u32, at: Va, frame: u32, bits: u32) -> R<bool> {
    let place = match entry(m, directory, at) {
        Some(place) => place,
        None => {
            let Some(table) = allocate(m)? else { return Ok(false) };
            let upper = Pa((directory & !0xFFF) + (at.0 >> 22) * 4);
            let user = if at.0 < KERNEL_BASE { pte::USER } else { 0 };
            m.memory.write_u32(upper, table << 12 | pte::PRESENT | pte::WRITABLE | user);
            Pa((table << 12) + (at.0 >> 12 & 0x3FF) * 4)
        }
    };
    m.memory.write_u32(place, frame << 12 | bits | pte::PRESENT);
    Ok(true)
}

/// Takes away the page at `at`; the frame that was there and its bits.
pub(crate) fn unmap(m: &mut Machine, directory: u32, at: Va) -> Option<(u32, u32)> {
    let place = entry(m, directory, at)?;
    let old = m.memory.read_u32(place);
    m.memory.write_u32(place, 0);
    (old & pte::PRESENT != 0).then_some((old >> 12, old & 0xFFF))
}

/// The tag under which a kernel stack can be made to fail; it is no pool.
const STACK_TAG: u32 = pool::tag(b"KSTK");

/// Maps a kernel stack of 3000h bytes from fresh pages: its top. None without address space or memory
/// (the sheet: a bugcheck).
pub(crate) fn create_stack(m: &mut Machine) -> R<Option<Va>> {
    if pool::injected_failure(m, STACK_TAG)? {
        return Ok(None);
    }
    let start = m.get(G.stack_hint())?;
    for step in 0..STACK_COUNT {
        let slot = (start + step) % STACK_COUNT;
        if m.load::<u8>(STACK_SLOTS.add(slot))? != 0 {
            continue;
        }
        m.store(STACK_SLOTS.add(slot), 1u8)?;
        m.set(G.stack_hint(), slot + 1)?;
        let top = STACKS.add((slot + 1) * STACK_SLOT);
        for page in 1..=STACK_SIZE / machine::PAGE {
            let Some(frame) = allocate(m)? else { return Ok(None) };
            map(m, m.cpu.cr3, top.sub(page * machine::PAGE), frame, pte::WRITABLE)?;
        }
        return Ok(Some(top));
    }
    Ok(None)
}

/// Frees a kernel stack by its top.
pub(crate) fn delete_stack(m: &mut Machine, top: Va) -> R<()> {
    for page in 1..=STACK_SIZE / machine::PAGE {
        if let Some((frame, _)) = unmap(m, m.cpu.cr3, top.sub(page * machine::PAGE)) {
            free(m, frame)?;
        }
    }
    m.store(STACK_SLOTS.add((top.0 - STACKS.0) / STACK_SLOT - 1), 0u8)
}
