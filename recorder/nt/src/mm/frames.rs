//! Page frames, page tables and kernel stacks.

use crate::ex::pool;
use crate::global::{DATA, FRAME_BITMAP, KernelData, PAGES, STACK_SLOT, STACK_SLOTS, STACKS};
use crate::layout::KERNEL_STACK_SIZE;
use guest::{Fault, Read, Va, Write};
use machine::{Machine, PAGE, Pa};

/// Page-table entry bits.
pub(crate) mod pte {
    pub(crate) const PRESENT: u32 = 1;
    pub(crate) const WRITABLE: u32 = 2;
    pub(crate) const USER: u32 = 4;
    /// Available to software: the frame belongs to an image or to the system, not to this process.
    pub(crate) const SHARED: u32 = 0x200;
    /// Available to software, in an entry that is not present: a committed guard page.
    pub(crate) const GUARD: u32 = 0x400;
    /// Available to software, in an entry that is not present: committed without access.
    pub(crate) const NO_ACCESS: u32 = 0x800;
    pub(crate) const FRAME: u32 = 0xFFFF_F000;
}

fn bitmap() -> Va {
    DATA.frame_bitmap().at
}

/// Takes a free frame and zeroes it. The search goes on where the last one ended, so that a frame is
/// used again as late as possible.
pub(crate) fn allocate(m: &mut Machine) -> Result<Option<u32>, Fault> {
    let start = m.get(DATA.frame_cursor())?;
    for step in 0..PAGES {
        let frame = (start + step) % PAGES;
        let at = bitmap().add(frame / 8);
        let byte: u8 = m.load(at)?;
        if byte & 1 << (frame % 8) == 0 {
            m.store(at, byte | 1 << (frame % 8))?;
            m.set(DATA.frame_cursor(), (frame + 1) % PAGES)?;
            if m.memory.page(frame).is_some() {
                m.memory.write(Pa(frame << 12), &[0; PAGE as usize]);
            }
            return Ok(Some(frame));
        }
    }
    Ok(None)
}

/// Gives a frame back.
pub(crate) fn free(m: &mut Machine, frame: u32) -> Result<(), Fault> {
    let at = bitmap().add(frame / 8);
    let byte: u8 = m.load(at)?;
    m.store(at, byte & !(1 << (frame % 8)))
}

/// How many frames are in use.
pub(crate) fn used(m: &mut impl Read) -> Result<u32, Fault> {
    let mut raw = vec![0; FRAME_BITMAP as usize];
    m.bytes(bitmap(), &mut raw)?;
    Ok(raw.iter().map(|byte| byte.count_ones()).sum())
}

/// Where the page-table entry of `at` lies, if its page table is there.
pub(crate) fn entry(m: &Machine, cr3: u32, at: Va) -> Option<Pa> {
    let upper = m.memory.read_u32(Pa((cr3 & pte::FRAME) + (at.0 >> 22) * 4));
    (upper & pte::PRESENT != 0).then(|| Pa((upper & pte::FRAME) + (at.0 >> 12 & 0x3FF) * 4))
}

/// The page-table entry of `at`; 0 when there is none.
pub(crate) fn get(m: &Machine, cr3: u32, at: Va) -> u32 {
    entry(m, cr3, at).map_or(0, |place| m.memory.read_u32(place))
}

/// Writes the page-table entry of `at`, making its page table when it is missing. False without
/// memory.
pub(crate) fn set(m: &mut Machine, cr3: u32, at: Va, value: u32) -> Result<bool, Fault> {
    let place = match entry(m, cr3, at) {
        Some(place) => place,
        None => {
            let Some(table) = allocate(m)? else { return Ok(false) };
            let upper = Pa((cr3 & pte::FRAME) + (at.0 >> 22) * 4);
            m.memory.write_u32(upper, table << 12 | pte::PRESENT | pte::WRITABLE | pte::USER);
            Pa((table << 12) + (at.0 >> 12 & 0x3FF) * 4)
        }
    };
    m.memory.write_u32(place, value);
    Ok(true)
}

/// MmCreateKernelStack (fails as pool with the tag `KStk` does): the address behind a new kernel stack's
/// highest byte. Slots are used in turn.
pub(crate) fn create_stack(m: &mut Machine) -> Result<Option<Va>, Fault> {
    if pool::is_refused(m, pool::tag(b"KStk"))? {
        return Ok(None);
    }
    let start = m.get(DATA.stack_cursor())?;
    for step in 0..STACK_SLOTS {
        let slot = (start + step) % STACK_SLOTS;
        let at = stack_bit(slot);
        let byte: u8 = m.load(at)?;
        if byte & 1 << (slot % 8) != 0 {
            continue;
        }
        let top = STACKS.add((slot + 1) * STACK_SLOT);
        let cr3 = m.cpu.cr3;
        for page in 1..=KERNEL_STACK_SIZE / PAGE {
            let Some(frame) = allocate(m)? else {
                unmap(m, top, page - 1)?;
                return Ok(None);
            };
            set(m, cr3, top.sub(page * PAGE), frame << 12 | pte::PRESENT | pte::WRITABLE)?;
        }
        m.store(at, byte | 1 << (slot % 8))?;
        m.set(DATA.stack_cursor(), (slot + 1) % STACK_SLOTS)?;
        return Ok(Some(top));
    }
    Ok(None)
}

fn unmap(m: &mut Machine, top: Va, pages: u32) -> Result<(), Fault> {
    let cr3 = m.cpu.cr3;
    for page in 1..=pages {
        let at = top.sub(page * PAGE);
        free(m, get(m, cr3, at) >> 12)?;
        set(m, cr3, at, 0)?;
    }
    Ok(())
}

/// MmDeleteKernelStack.
pub(crate) fn delete_stack(m: &mut Machine, top: Va) -> Result<(), Fault> {
    unmap(m, top, KERNEL_STACK_SIZE / PAGE)?;
    let slot = (top.0 - STACKS.0) / STACK_SLOT - 1;
    let byte: u8 = m.load(stack_bit(slot))?;
    m.store(stack_bit(slot), byte & !(1 << (slot % 8)))
}

fn stack_bit(slot: u32) -> Va {
    KernelData::stack_bitmap(DATA).at.add(slot / 8)
}

/// How many kernel stacks are in use.
pub(crate) fn stacks_used(m: &mut impl Read) -> Result<u32, Fault> {
    let raw: [u8; 32] = m.get(DATA.stack_bitmap())?;
    Ok(raw.iter().map(|byte| byte.count_ones()).sum())
}
