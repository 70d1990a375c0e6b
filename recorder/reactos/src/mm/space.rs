//! User address spaces: directories, memory areas, and copying between processes.

use super::pages::{self, pte};
use crate::{ex::pool, layout::*};
use contract::Status;
use guest::{Pointer, Read, Va, Write};
use machine::{Access, Machine, PAGE, Pa};

/// The tag of what describes a reserved range. The sheet names none.
pub(crate) const AREA_TAG: u32 = pool::tag(b"MARE");
/// The tag of what describes a committed range.
pub(crate) const REGION_TAG: u32 = pool::tag(b"MREG");

/// Makes a page directory with the kernel half shared (MmCopyMmInfo, 3.4 row 7).
pub(crate) fn create_directory(m: &mut Machine) -> R<Option<u32>> {
    let Some(frame) = pages::allocate(m)? else { return Ok(None) };
    let directory = frame << 12;
    for index in KERNEL_BASE >> 22..1024 {
        let value = m.memory.read_u32(Pa((m.cpu.cr3 & !0xFFF) + index * 4));
        m.memory.write_u32(Pa(directory + index * 4), value);
    }
    m.memory.write_u32(Pa(directory + (SELF_MAP >> 22) * 4), directory | pte::PRESENT | pte::WRITABLE);
    Ok(Some(directory))
}

/// Frees the user half and the directory (MmReleaseMmInfo, 9.9).
pub(crate) fn delete(m: &mut Machine, process: EProcess) -> R<()> {
    let directory = m.get(process.pcb().directory_table_base())?;
    for index in 0..KERNEL_BASE >> 22 {
        let upper = m.memory.read_u32(Pa(directory + index * 4));
        if upper & pte::PRESENT == 0 {
            continue;
        }
        for slot in 0..1024 {
            let lower = m.memory.read_u32(Pa((upper & !0xFFF) + slot * 4));
            if lower & (pte::PRESENT | pte::PRIVATE) == pte::PRESENT | pte::PRIVATE {
                pages::free(m, lower >> 12)?;
            }
        }
        pages::free(m, upper >> 12)?;
    }
    while let Some(link) = process.memory_areas().pop_front(m)? {
        pool::free(m, link.va())?;
    }
    while let Some(link) = process.memory_regions().pop_front(m)? {
        pool::free(m, link.va())?;
    }
    pages::free(m, directory >> 12)
}

/// The memory area that holds an address.
pub(crate) fn area(m: &mut Machine, process: EProcess, at: Va) -> R<Option<MemoryArea>> {
    let head = process.memory_areas();
    let mut link = m.get(head.flink())?;
    while link != head {
        let area = MemoryArea::at(link.va());
        let base = m.get(area.base())?;
        if base.0 <= at.0 && at.0 - base.0 < m.get(area.length())? {
            return Ok(Some(area));
        }
        link = m.get(link.flink())?;
    }
    Ok(None)
}

/// Reserves a range; at `base`, or where there is room when that is null. False without pool.
pub(crate) fn reserve(m: &mut Machine, process: EProcess, base: Va, length: u32, fixed: bool) -> R<bool> {
    let Some(at) = pool::allocate(m, AREA_TAG, MemoryArea::EXTENT)? else { return Ok(false) };
    let area = MemoryArea::at(at);
    m.set(area.base(), base)?;
    m.set(area.length(), length)?;
    m.set(area.fixed(), u32::from(fixed))?;
    process.memory_areas().push_back(m, area.link())?;
    Ok(true)
}

/// Room for `length` bytes: from the bottom up, or from the top down.
pub(crate) fn find_gap(m: &mut Machine, process: EProcess, length: u32, top_down: bool) -> R<Option<Va>> {
    let length = length.next_multiple_of(GRANULARITY);
    let highest = USER_PROBE.saturating_sub(length) & !(GRANULARITY - 1);
    let steps = highest / GRANULARITY;
    for step in 0..steps {
        let base = if top_down { highest - step * GRANULARITY } else { (step + 1) * GRANULARITY };
        if is_free(m, process, base, length)? {
            return Ok(Some(Va(base)));
        }
    }
    Ok(None)
}

/// Whether no memory area overlaps the range.
pub(crate) fn is_free(m: &mut Machine, process: EProcess, base: u32, length: u32) -> R<bool> {
    let head = process.memory_areas();
    let mut link = m.get(head.flink())?;
    while link != head {
        let area = MemoryArea::at(link.va());
        let start = m.get(area.base())?.0;
        if base < start.wrapping_add(m.get(area.length())?) && start < base + length {
            return Ok(false);
        }
        link = m.get(link.flink())?;
    }
    Ok(true)
}

/// Commits a range page by page. What is committed already stays as it is.
pub(crate) fn commit(m: &mut Machine, process: EProcess, base: Va, length: u32, bits: u32) -> R<Status> {
    let Some(at) = pool::allocate(m, REGION_TAG, MemoryRegion::EXTENT)? else {
        return Ok(Status::INSUFFICIENT_RESOURCES);
    };
    let region = MemoryRegion::at(at);
    m.set(region.base(), base)?;
    m.set(region.length(), length)?;
    process.memory_regions().push_back(m, region.link())?;
    let directory = m.get(process.pcb().directory_table_base())?;
    for page in 0..length.div_ceil(PAGE) {
        let at = base.add(page * PAGE);
        let present =
            pages::entry(m, directory, at).is_some_and(|place| m.memory.read_u32(place) & pte::PRESENT != 0);
        if present {
            continue;
        }
        let Some(frame) = pages::allocate(m)? else { return Ok(Status::NO_MEMORY) };
        if !pages::map(m, directory, at, frame, bits | pte::USER | pte::PRIVATE)? {
            return Ok(Status::NO_MEMORY);
        }
    }
    Ok(Status::SUCCESS)
}

/// Takes the committed pages of a range away, and the regions that lie within it.
pub(crate) fn decommit(m: &mut Machine, process: EProcess, base: Va, length: u32) -> R<()> {
    let directory = m.get(process.pcb().directory_table_base())?;
    for page in 0..length.div_ceil(PAGE) {
        if let Some((frame, bits)) = pages::unmap(m, directory, base.add(page * PAGE))
            && bits & pte::PRIVATE != 0
        {
            pages::free(m, frame)?;
        }
    }
    let head = process.memory_regions();
    let mut link = m.get(head.flink())?;
    while link != head {
        let region = MemoryRegion::at(link.va());
        let next = m.get(link.flink())?;
        let start = m.get(region.base())?.0;
        if start >= base.0 && start + m.get(region.length())? <= base.0 + length {
            link.unlink(m)?;
            pool::free(m, link.va())?;
        }
        link = next;
    }
    Ok(())
}

/// Whether nothing of an area is committed any more.
pub(crate) fn is_empty(m: &mut Machine, process: EProcess, area: MemoryArea) -> R<bool> {
    let directory = m.get(process.pcb().directory_table_base())?;
    let (base, length) = (m.get(area.base())?, m.get(area.length())?);
    Ok((0..length / PAGE).all(|page| {
        pages::entry(m, directory, base.add(page * PAGE))
            .is_none_or(|place| m.memory.read_u32(place) & pte::PRESENT == 0)
    }))
}

/// Removes an area: its pages, its regions and itself.
pub(crate) fn release(m: &mut Machine, process: EProcess, area: MemoryArea) -> R<()> {
    let (base, length) = (m.get(area.base())?, m.get(area.length())?);
    decommit(m, process, base, length)?;
    area.link().unlink(m)?;
    pool::free(m, area.va())
}

/// Maps a frame that every process shares, readable in ring 3.
pub(crate) fn map_shared(m: &mut Machine, process: EProcess, at: Va, frame: u32) -> R<bool> {
    let directory = m.get(process.pcb().directory_table_base())?;
    pages::map(m, directory, at, frame, pte::USER)
}

/// Writes into another address space with the rights of its program. False when a page is missing or
/// protected; what precedes it is written then.
pub(crate) fn write_to(m: &mut Machine, process: EProcess, at: Va, bytes: &[u8]) -> R<bool> {
    let directory = m.get(process.pcb().directory_table_base())?;
    let mut done = 0;
    while done < bytes.len() {
        let at = at.add(done as u32);
        let part = ((PAGE - at.offset()) as usize).min(bytes.len() - done);
        let writable = pages::entry(m, directory, at).is_some_and(|place| {
            m.memory.read_u32(place) & (pte::PRESENT | pte::WRITABLE) == pte::PRESENT | pte::WRITABLE
        });
        match m.probe(directory, at, Access::Write) {
            Ok(to) if writable => m.memory.write(to, &bytes[done..done + part]),
            _ => return Ok(false),
        }
        done += part;
    }
    Ok(true)
}

/// Reads from another address space. None when a page is missing.
pub(crate) fn read_from(m: &mut Machine, process: EProcess, at: Va, length: u32) -> R<Option<Vec<u8>>> {
    let directory = m.get(process.pcb().directory_table_base())?;
    let mut out = vec![0; length as usize];
    Ok(m.peek(directory, at, &mut out).is_ok().then_some(out))
}
