//! NtCreateProcess (reactos.md 3.4, 3.5).
//!
//! Left to the implementer and left out here: tokens, NLS tables, and attaching to the new process (its
//! memory is written from where the creator is).

use crate::{ReactOs, dbgk, ex::fastmutex, ke, layout::*, mm::space, ob, routines::Ke};
use contract::{Flow, Frame, Status, program};
use guest::{Pointer, Read, Va, Write};
use machine::{Fault, Machine, PAGE, Pa};

/// How the creation of a process failed, after row 12.
pub(crate) enum Failure {
    /// Rows 13 to 15: the handle stays open.
    Left(Status),
    /// Row 16: the handle is closed again.
    Closed(Status),
}

/// ObCreateObject for a process (row 2).
pub(crate) fn create_object(m: &mut Machine, inherit: bool) -> R<Option<EProcess>> {
    Ok(ob::object::create(m, Type::Process, EProcess::EXTENT, inherit)?.map(EProcess))
}

/// Rows 4 to 10: the fields, the directory, and the place in the process list. System has no parent.
pub(crate) fn initialize(m: &mut Machine, process: EProcess, parent: Option<EProcess>) -> R<()> {
    let pcb = process.pcb();
    ke::event::init_header(m, pcb.header(), kind::PROCESS, EProcess::EXTENT as u8, 0)?;
    let affinity = match parent {
        Some(parent) => m.get(parent.pcb().affinity())?,
        None => 1,
    };
    m.set(pcb.affinity(), affinity)?;
    m.set(pcb.base_priority(), BASE_PRIORITY)?;
    m.set(pcb.iopm_offset(), 0xFFFF)?;
    pcb.thread_list_head().init(m)?;
    m.set(pcb.thread_quantum(), QUANTUM)?;
    process.memory_areas().init(m)?;
    process.memory_regions().init(m)?;
    let id = m.get(G.next_process_id())? + 1;
    m.set(G.next_process_id(), id)?;
    m.set(process.unique_process_id(), id)?;
    if let Some(parent) = parent {
        let from = m.get(parent.unique_process_id())?;
        m.set(process.inherited_from(), from)?;
    }
    ob::handle::create_table(m, parent, process)?;
    // The status is ignored: without memory the process has no address space.
    let directory = space::create_directory(m)?.unwrap_or(0);
    m.set(pcb.directory_table_base(), directory)?;
    ke::event::init(m, process.lock_event(), false, false)?;
    G.process_list_head().push_front(m, process.process_list_entry())?;
    process.thread_list_head().init(m)?;
    if parent.is_some() {
        // System's TebLock is never initialised, and its State stays 0 (2.11, 12.1 40b).
        fastmutex::init(m, process.teb_lock())?;
        m.set(pcb.state(), PROCESS_ACTIVE)?;
    }
    Ok(())
}

/// Row 11: what every address space has. The shared page and the no-access area above it are one area
/// here. False when it cannot be made, which the caller makes a bugcheck.
pub(crate) fn fixed_areas(m: &mut Machine, process: EProcess) -> R<bool> {
    let shared = m.get(G.shared_data())?;
    for (base, length) in [(USER_PROBE, 0x1_0000), (USER_SHARED_DATA.0, GRANULARITY)] {
        if !space::reserve(m, process, Va(base), length, true)? {
            return Ok(false);
        }
    }
    space::map_shared(m, process, USER_SHARED_DATA, shared)
}

/// Rows 13 to 16: the rest of the user address space.
pub(crate) fn populate(m: &mut Machine, process: EProcess, image: bool) -> R<Result<(), Failure>> {
    // Row 13. kernel32 is mapped along with ntdll: the loader that would do it is left out.
    for base in [NTDLL, KERNEL32] {
        if !space::reserve(m, process, base, 2 * GRANULARITY, true)? {
            return Ok(Err(Failure::Left(Status::NO_MEMORY)));
        }
    }
    let mut row = 0;
    loop {
        let (base, frame) = G.dll_page(row);
        let base = Va(m.get(base)?);
        if base.is_null() {
            break;
        }
        let frame = m.get(frame)?;
        space::map_shared(m, process, base, frame)?;
        row += 1;
    }
    // Row 14.
    if image {
        if let Err(status) = map_image(m, process)? {
            return Ok(Err(Failure::Left(status)));
        }
        let mut name = [0; 16];
        name[..7].copy_from_slice(b"program");
        m.set(process.image_file_name(), name)?;
    }
    // Row 16: PsCreatePeb.
    if !space::reserve(m, process, PEB_BLOCK, GRANULARITY, false)? {
        return Ok(Err(Failure::Closed(Status::NO_MEMORY)));
    }
    let status = space::commit(m, process, PEB_BASE, PAGE, crate::mm::pages::pte::WRITABLE)?;
    if !status.is_success() {
        return Ok(Err(Failure::Closed(status)));
    }
    m.set(process.teb_block(), PEB_BLOCK)?;
    m.set(process.teb_last_allocated(), PEB_BASE)?;
    write_peb(m, process, image)?;
    m.set(process.peb(), PEB_BASE)?;
    Ok(Ok(()))
}

/// Row 14: header and code are shared, data is the process's own.
fn map_image(m: &mut Machine, process: EProcess) -> R<Result<(), Status>> {
    if !space::reserve(m, process, program::BASE, GRANULARITY, true)? {
        return Ok(Err(Status::NO_MEMORY));
    }
    let (header, code) = (m.get(G.program_header())?, m.get(G.program_code())?);
    space::map_shared(m, process, program::BASE, header)?;
    space::map_shared(m, process, program::CODE, code)?;
    let status = space::commit(m, process, program::DATA, PAGE, crate::mm::pages::pte::WRITABLE)?;
    Ok(if status.is_success() { Ok(()) } else { Err(status) })
}

fn write_peb(m: &mut Machine, process: EProcess, image: bool) -> R<()> {
    let peb = Peb(Va(0));
    let base = if image { program::BASE.0 } else { 0 };
    let words = [
        (peb.image_base_address().at, base),
        (peb.os_major_version().at, 4),
        (peb.os_minor_version().at, 0),
        // OSBuildNumber and SPMajorVersion.
        (peb.os_build_number().at, 6 << 16 | 1381),
        (peb.os_platform_id().at, 2),
    ];
    for (offset, value) in words {
        space::write_to(m, process, PEB_BASE.add(offset.0), &value.to_le_bytes())?;
    }
    Ok(())
}

/// NtCreateProcess(*ProcessHandle, DesiredAccess, ObjectAttributes, ParentProcess, Inherit, Section,
/// DebugPort, ExceptionPort). The handle is made before anything is initialised.
pub(crate) fn nt_create_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return release(f, Status::SUCCESS);
    }
    let (place, access, attributes) = (Va(f.arg(0)?), f.arg(1)?, Va(f.arg(2)?));
    let (parent, section) = (f.arg(3)?, f.arg(5)?);
    let parent = match ob::reference(f.m, parent, Some(Type::Process))? {
        Ok(body) => EProcess(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let inherit = ob::services::inherits(f.m, attributes)?;
    let Some(process) = create_object(f.m, inherit)? else {
        ob::dereference(f.m, parent.0)?;
        return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
    };
    let own = ke::process(f.m)?;
    let access = ob::access::map_generic(Type::Process, access);
    let handle = match ob::handle::create(f.m, own, process.0, access, inherit)? {
        Ok(handle) => handle,
        Err(status) => {
            // HandleCount stays 1, so the object is not deleted (4.8).
            f.m.store(place, 0u32)?;
            ob::dereference(f.m, process.0)?;
            ob::dereference(f.m, parent.0)?;
            return Ok(Flow::Return(status.0));
        }
    };
    f.m.store(place, handle)?;
    f.set_local(PROCESS, process.0.0)?;
    f.set_local(PARENT, parent.0.0)?;
    initialize(f.m, process, Some(parent))?;
    // Row 10.
    for (index, slot) in [(6, process.debug_port()), (7, process.exception_port())] {
        let port = f.arg(index)?;
        match dbgk::reference_port(f, port)? {
            Ok(port) => f.m.set(slot, port)?,
            Err(status) => return undo(f, handle, status),
        }
    }
    // Row 11.
    if !fixed_areas(f.m, process)? {
        return f.call(Ke::KeBugCheck.at(), &[stop::GENERIC], 1);
    }
    // Row 12; its failure leaves the handle open.
    let mut status = Status::SUCCESS;
    if section != 0 {
        match ob::reference(f.m, section, Some(Type::Section))? {
            Ok(body) => ob::dereference(f.m, body)?,
            Err(refused) => status = refused,
        }
    }
    if status.is_success() {
        match populate(f.m, process, section != 0)? {
            Ok(()) => {}
            Err(Failure::Left(failed)) => status = failed,
            Err(Failure::Closed(failed)) => return undo(f, handle, failed),
        }
    }
    if !status.is_success() {
        return release(f, status);
    }
    // Row 17, in the creator.
    f.call(Ke::PspRunCreateProcessNotifyRoutines.at(), &[process.0.0, 1], 1)
}

const PROCESS: u8 = 0;
const PARENT: u8 = 1;

/// Row 18: the creation's reference and the parent's.
fn release(f: &mut Frame, status: Status) -> Result<Flow, Fault> {
    let (process, parent) = (Va(f.local(PROCESS)?), Va(f.local(PARENT)?));
    ob::dereference(f.m, process)?;
    ob::dereference(f.m, parent)?;
    Ok(Flow::Return(status.0))
}

/// The failures of rows 10 and 16: [`release`], and then the handle goes too.
fn undo(f: &mut Frame, handle: u32, status: Status) -> Result<Flow, Fault> {
    let flow = release(f, status)?;
    let own = ke::process(f.m)?;
    // With the object's last handle the object itself.
    ob::handle::close(f.m, own, handle)?;
    let place = Va(f.arg(0)?);
    f.m.store(place, 0u32)?;
    Ok(flow)
}

/// NtCreateSection(*Handle, Access, Attributes, MaximumSize, Protection, Kind, File): there is one
/// file, the program, and its image section exists from boot; a handle to it is all there is to make.
pub(crate) fn nt_create_section(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (place, access) = (Va(f.arg(0)?), f.arg(1)?);
    let section = f.m.get(G.section())?;
    let own = ke::process(f.m)?;
    let made = ob::handle::create(f.m, own, section, access, false)?;
    f.m.store(place, made.unwrap_or(0))?;
    Ok(Flow::Return(made.err().unwrap_or(Status::SUCCESS).0))
}

/// Fills the page of a frame with code, at boot.
pub(crate) fn load_page(m: &mut Machine, frame: u32, bytes: &[u8], fill: u8) {
    let mut page = [fill; PAGE as usize];
    page[..bytes.len()].copy_from_slice(bytes);
    m.memory.write(Pa(frame << 12), &page);
}
