//! A process's address space: made with the kernel's half, filled with the program, the system DLLs,
//! the PEB and TEBs, emptied when the process has exited, and given back.

use super::{frames, frames::pte, vad};
use crate::error::Res;
use crate::global::{
    DATA, HIGHEST_USER, KERNEL32, KERNEL32_SIZE, NTDLL, NTDLL_DATA, NTDLL_SIZE, PEB, SHARED_PAGES,
};
use crate::layout::{EProcess, InitialTeb, Peb, SHARED_USER, Section, Teb, process_flags};
use contract::Status;
use guest::{Fault, Pointer, Read, Scalar, Slot, Va, Write};
use machine::{Machine, PAGE, Pa};

/// The page-directory entry that maps the page tables themselves (C0000000).
pub(crate) const SELF_MAP: u32 = 0x300;

/// MmCreateProcessAddressSpace: a page directory with the kernel's half.
pub(crate) fn create(m: &mut Machine, process: EProcess) -> Res<()> {
    let system = m.get(DATA.ps_initial_system_process())?;
    let model = m.get(system.pcb().directory_table_base())?;
    let Some(frame) = frames::allocate(m)? else { return Err(Status::INSUFFICIENT_RESOURCES.into()) };
    let base = frame << 12;
    for index in 0x200..0x400 {
        let entry = match index {
            SELF_MAP => base | pte::PRESENT | pte::WRITABLE,
            _ => m.memory.read_u32(Pa(model + index * 4)),
        };
        m.memory.write_u32(Pa(base + index * 4), entry);
    }
    m.set(process.pcb().directory_table_base(), base)?;
    set_flags(m, process.flags(), process_flags::HAS_ADDRESS_SPACE)?;
    Ok(())
}

/// Sets bits atomically, and gives the old value.
pub(crate) fn set_flags(m: &mut Machine, slot: Slot<u32>, bits: u32) -> Result<u32, Fault> {
    let old = m.get(slot)?;
    m.set(slot, old | bits)?;
    Ok(old)
}

fn no_memory(done: bool) -> Res<()> {
    if done { Ok(()) } else { Err(Status::NO_MEMORY.into()) }
}

/// MmMapViewOfSection of the program's image: header and code shared, data private.
pub(crate) fn map_program(m: &mut Machine, process: EProcess, section: Section) -> Res<()> {
    let (base, size) = (m.get(section.base())?, m.get(section.size())?);
    no_memory(vad::insert(m, process, base.0, size, vad::kind::IMAGE, vad::protection::EXECUTE_READ)?)?;
    let shared = pte::PRESENT | pte::USER | pte::SHARED;
    let cr3 = m.get(process.pcb().directory_table_base())?;
    let (header, code) = (m.get(section.header_frame())?, m.get(section.code_frame())?);
    no_memory(frames::set(m, cr3, base, header << 12 | shared)?)?;
    no_memory(frames::set(m, cr3, base.add(PAGE), code << 12 | shared)?)?;
    let data = base.add(2 * PAGE).0;
    no_memory(vad::commit(m, process, data, size - 2 * PAGE, vad::protection::READWRITE)?)?;
    m.set(process.section_base_address(), base)?;
    Ok(())
}

/// Maps ntdll, and kernel32 with it: this system's loader is part of it and has nothing to look for.
/// The user view of KUSER_SHARED_DATA is mapped here too.
pub(crate) fn map_system_dlls(m: &mut Machine, process: EProcess) -> Res<()> {
    let cr3 = m.get(process.pcb().directory_table_base())?;
    for (base, size) in [(NTDLL, NTDLL_SIZE), (KERNEL32, KERNEL32_SIZE), (SHARED_USER, PAGE)] {
        no_memory(vad::insert(m, process, base.0, size, vad::kind::IMAGE, vad::protection::EXECUTE_READ)?)?;
    }
    for index in 0..SHARED_PAGES {
        let at = DATA.shared_pages().at.add(8 * index);
        let (page, frame): (Va, u32) = (m.load(at)?, m.load(at.add(4))?);
        if page.is_null() {
            break;
        }
        no_memory(frames::set(m, cr3, page, frame << 12 | pte::PRESENT | pte::USER | pte::SHARED)?)?;
    }
    no_memory(vad::commit(m, process, NTDLL_DATA.0, PAGE, vad::protection::READWRITE)?)
}

/// Writes a value into another address space.
pub(crate) fn put<T: Scalar>(m: &mut Machine, cr3: u32, slot: Slot<T>, value: T) -> Result<(), Fault> {
    let mut raw = [0; 32];
    let raw = &mut raw[..T::SIZE as usize];
    value.encode(raw);
    m.poke(cr3, slot.at, raw)
}

/// MmCreatePeb (nt52.md 3.2).
pub(crate) fn create_peb(m: &mut Machine, process: EProcess) -> Res<()> {
    let protect = vad::protection::READWRITE;
    no_memory(vad::insert(m, process, PEB.0, PAGE, vad::kind::PRIVATE, protect)?)?;
    no_memory(vad::commit(m, process, PEB.0, PAGE, protect)?)?;
    let cr3 = m.get(process.pcb().directory_table_base())?;
    let base = m.get(process.section_base_address())?;
    let debugged = m.get(process.debug_port())?.is_some();
    let peb = Peb::at(PEB);
    put(m, cr3, peb.image_base_address(), base)?;
    put(m, cr3, peb.mutant(), u32::MAX)?;
    put(m, cr3, peb.being_debugged(), u8::from(debugged))?;
    put(m, cr3, peb.number_of_processors(), 1)?;
    put(m, cr3, peb.heap_segment_reserve(), 0x10_0000)?;
    put(m, cr3, peb.heap_segment_commit(), 2 * PAGE)?;
    put(m, cr3, peb.maximum_number_of_heaps(), (0x1000 - 0x230) / 4)?;
    put(m, cr3, peb.process_heaps(), PEB.0 + 0x230)?;
    put(m, cr3, peb.os_major_version(), 5)?;
    put(m, cr3, peb.os_minor_version(), 2)?;
    put(m, cr3, peb.os_build_number(), 0x0ECE)?;
    // The sheet's layout is that of service packs 1 and 2 without saying which; the first is taken.
    put(m, cr3, peb.os_csd_version(), 0x0100)?;
    put(m, cr3, peb.os_platform_id(), 2)?;
    put(m, cr3, peb.image_subsystem(), 3)?;
    put(m, cr3, peb.image_subsystem_major_version(), 4)?;
    m.set(process.peb(), PEB)?;
    Ok(())
}

/// MmCreateTeb (nt52.md 3.2): one page, the highest that is free below the PEB.
pub(crate) fn create_teb(m: &mut Machine, process: EProcess, ids: (u32, u32), initial: [u32; 5]) -> Res<Va> {
    let protect = vad::protection::READWRITE;
    let Some(at) = vad::place(m, process, PAGE, PAGE, Some(PEB.0))? else {
        return Err(Status::NO_MEMORY.into());
    };
    no_memory(vad::insert(m, process, at, PAGE, vad::kind::PRIVATE, protect)?)?;
    if !vad::commit(m, process, at, PAGE, protect)? {
        delete_teb(m, process, Va(at))?;
        return Err(Status::NO_MEMORY.into());
    }
    let cr3 = m.get(process.pcb().directory_table_base())?;
    let peb = m.get(process.peb())?;
    let teb = Teb::at(Va(at));
    let given = |slot: Slot<u32>| initial[(slot.at.0 / 4) as usize];
    let fields = InitialTeb::at(Va(0));
    let previous = (given(fields.previous_stack_base()), given(fields.previous_stack_limit()));
    put(m, cr3, teb.exception_list(), u32::MAX)?;
    put(m, cr3, teb.self_teb(), Va(at))?;
    put(m, cr3, teb.version(), 0x1E00)?;
    put(m, cr3, teb.unique_process(), ids.0)?;
    put(m, cr3, teb.unique_thread(), ids.1)?;
    put(m, cr3, teb.real_unique_process(), ids.0)?;
    put(m, cr3, teb.real_unique_thread(), ids.1)?;
    put(m, cr3, teb.peb(), peb)?;
    put(m, cr3, teb.current_locale(), LOCALE)?;
    put(m, cr3, teb.static_string_maximum(), 0x20A)?;
    put(m, cr3, teb.static_string_buffer(), at + 0xC00)?;
    let (base, limit) = match previous {
        (0, 0) => {
            put(m, cr3, teb.deallocation_stack(), given(fields.allocated_stack_base()))?;
            (given(fields.stack_base()), given(fields.stack_limit()))
        }
        previous => previous,
    };
    put(m, cr3, teb.stack_base(), base)?;
    put(m, cr3, teb.stack_limit(), limit)?;
    Ok(Va(at))
}

/// The session's locale: English (United States).
pub(crate) const LOCALE: u32 = 0x409;

/// MmDeleteTeb.
pub(crate) fn delete_teb(m: &mut Machine, process: EProcess, teb: Va) -> Result<(), Fault> {
    match vad::find(m, process, teb.0)? {
        Some(found) => vad::remove(m, process, found),
        None => Ok(()),
    }
}

/// MmCleanProcessAddressSpace: nothing is left of user space.
pub(crate) fn clean(m: &mut Machine, process: EProcess) -> Result<(), Fault> {
    if set_flags(m, process.flags(), process_flags::VM_DELETED)? & process_flags::VM_DELETED != 0 {
        return Ok(());
    }
    for found in vad::all(m, process)? {
        vad::remove(m, process, found)?;
    }
    let cr3 = m.get(process.pcb().directory_table_base())?;
    for index in 0..=HIGHEST_USER >> 22 {
        let place = Pa(cr3 + index * 4);
        let table = m.memory.read_u32(place);
        if table & pte::PRESENT != 0 {
            frames::free(m, table >> 12)?;
            m.memory.write_u32(place, 0);
        }
    }
    Ok(())
}

/// MmDeleteProcessAddressSpace: the page directory. Nobody runs on it any more.
pub(crate) fn delete(m: &mut Machine, process: EProcess) -> Result<(), Fault> {
    let cr3 = m.get(process.pcb().directory_table_base())?;
    frames::free(m, cr3 >> 12)
}
