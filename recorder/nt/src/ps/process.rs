//! NtCreateProcess, NtCreateProcessEx and PspCreateProcess (nt52.md 3.1).

use super::{cid, token};
use crate::Nt;
use crate::driver::notify;
use crate::error::{Error, Res, attempt, done, split};
use crate::global::DATA;
use crate::ke::sync::init_header;
use crate::ke::thread::{current, current_process};
use crate::ke::timer::system_time;
use crate::layout::*;
use crate::mm::access::{previous_mode, probe_for_write, write};
use crate::mm::process as memory;
use crate::table::Ke;
use crate::{dbgk, ob};
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;

const BREAKAWAY: u32 = 1;
const NO_DEBUG_INHERIT: u32 = 2;
/// INHERIT_HANDLES of NtCreateProcessEx.
pub(crate) const INHERIT_HANDLES: u32 = 4;
const LEGAL_FLAGS: u32 = 0x1F;

/// What a process is made from.
pub(crate) struct Make {
    pub(crate) parent: EProcess,
    pub(crate) flags: u32,
    /// The image section, if one was given.
    pub(crate) section: Option<Section>,
    /// The debug object, if one was given.
    pub(crate) debug: Option<DebugObject>,
    pub(crate) name: [u8; 16],
}

/// NtCreateProcessEx(ProcessHandle, DesiredAccess, ObjectAttributes, ParentProcess, Flags,
/// SectionHandle, DebugPort, ExceptionPort, InJob). Local 0 is what it returns.
pub(crate) fn nt_create_process_ex(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.local(0)?));
    }
    let mut args = [0; 9];
    for (index, arg) in args.iter_mut().enumerate() {
        *arg = f.arg(index as u8)?;
    }
    run(f, args)
}

/// NtCreateProcess(ProcessHandle, DesiredAccess, ObjectAttributes, ParentProcess, InheritObjectTable,
/// SectionHandle, DebugPort, ExceptionPort): bit 0 of the two handles is a flag of NtCreateProcessEx's, and
/// no part of the handle, whose low bits are ignored. Local 0 is what it returns.
pub(crate) fn nt_create_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.local(0)?));
    }
    let [mut flags, inherit, section, debug] = [0, f.arg(4)? & 0xFF, f.arg(5)?, f.arg(6)?];
    for (set, flag) in [(section & 1, BREAKAWAY), (debug & 1, NO_DEBUG_INHERIT), (inherit, INHERIT_HANDLES)] {
        flags |= if set != 0 { flag } else { 0 };
    }
    let args = [f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?, flags, section & !1, debug & !1, f.arg(7)?, 0];
    run(f, args)
}

fn run(f: &mut Frame, args: [u32; 9]) -> Result<Flow, Fault> {
    let (process, status) = attempt!(create_from_user(f.m, args));
    if !notify::is_wanted(f.m, notify::PROCESSES)? {
        return done(status);
    }
    f.set_local(0, status.0)?;
    let ids = [f.m.get(process.inherited_from())?, f.m.get(process.unique_process_id())?];
    f.call(Ke::PspCallNotifyRoutines.at(), &[notify::PROCESSES, ids[0], ids[1], 1], 1)
}

/// Everything but step 26: the process, and the status of telling the caller.
fn create_from_user(m: &mut Machine, args: [u32; 9]) -> Res<(EProcess, Status)> {
    let [handle_at, wanted, attributes_at, parent, flags, section, debug, exception_port, in_job] = args;
    let mode = previous_mode(m)?;
    probe_for_write(m, Va(handle_at), 4, 4)?;
    if parent == 0 || flags & !LEGAL_FLAGS != 0 {
        return Err(Status::INVALID_PARAMETER.into());
    }
    let rights = access::PROCESS_CREATE_PROCESS;
    let (parent, _) = ob::lookup(m, parent, rights, Some(Kind::Process), mode)?;
    // No process is in a job.
    if in_job != 0 {
        return Err(Status::INVALID_PARAMETER.into());
    }
    ob::check_attributes(m, attributes_at)?;
    let section = match section {
        0 => None,
        handle => {
            let rights = access::SECTION_MAP_EXECUTE;
            Some(Section::at(ob::lookup(m, handle, rights, Some(Kind::Section), mode)?.0))
        }
    };
    let debug = match debug {
        0 => None,
        handle => {
            let rights = access::DEBUG_ADD_REMOVE_PROCESS;
            Some(DebugObject::at(ob::lookup(m, handle, rights, Some(Kind::DebugObject), mode)?.0))
        }
    };
    // There are no LPC ports, so that whatever a handle names is of another type (12.1).
    if exception_port != 0 {
        ob::lookup(m, exception_port, 0, None, mode)?;
        return Err(Status::OBJECT_TYPE_MISMATCH.into());
    }
    let parent = EProcess::at(parent);
    let make = Make { parent, flags, section, debug, name: image_name("program.exe") };
    let process = create(m, &make)?;
    let creator = current_process(m)?;
    let granted = ob::grant(wanted, access::PROCESS_ALL_ACCESS);
    let opened = split(ob::open_by_pointer(m, creator, process.va(), granted, 0))?;
    ob::dereference(m, process.va())?;
    let handle = opened?;
    finish(m, process)?;
    let thread = current(m)?;
    let teb = m.get(thread.tcb().teb())?;
    let peb = m.get(process.peb())?;
    let told = split(tell(m, teb, peb, Va(handle_at), handle))?;
    Ok((process, told.err().unwrap_or(Status::SUCCESS)))
}

/// Step 25.
fn tell(m: &mut Machine, teb: Va, peb: Va, handle_at: Va, handle: u32) -> Res<()> {
    if !teb.is_null() && !peb.is_null() {
        write(m, Teb::at(teb).arbitrary_user_pointer().at, peb.0)?;
    }
    write(m, handle_at, handle)
}

/// EPROCESS.ImageFileName: 15 characters and a NUL.
pub(crate) fn image_name(name: &str) -> [u8; 16] {
    let mut raw = [0; 16];
    let len = name.len().min(15);
    raw[..len].copy_from_slice(&name.as_bytes()[..len]);
    raw
}

/// Steps 5 to 20: the process object with one reference, on PsActiveProcessHead. What fails half-way is
/// dereferenced, and so deleted.
pub(crate) fn create(m: &mut Machine, make: &Make) -> Res<EProcess> {
    let process = EProcess::at(ob::create(m, Kind::Process)?);
    process.active_process_links().init(m)?;
    process.thread_list_head().init(m)?;
    init_kprocess(m, process.pcb())?;
    match fill(m, process, make) {
        Ok(()) => Ok(process),
        Err(Error::Status(status)) => {
            ob::dereference(m, process.va())?;
            Err(status.into())
        }
        Err(fault) => Err(fault),
    }
}

fn fill(m: &mut Machine, process: EProcess, make: &Make) -> Res<()> {
    let parent = make.parent;
    let parent_id = m.get(parent.unique_process_id())?;
    m.set(process.inherited_from(), parent_id)?;
    let hard_errors = m.get(parent.default_hard_error_processing())?;
    m.set(process.default_hard_error_processing(), hard_errors)?;
    let system = parent == m.get(DATA.ps_initial_system_process())?;
    match make.section {
        Some(section) => {
            ob::reference(m, section.va())?;
            m.set(process.section_object(), section.va())?;
        }
        None if !system => {
            let section = m.get(parent.section_object())?;
            if section.is_null() || m.get(parent.rundown_protect())? & 1 != 0 {
                return Err(Status::PROCESS_IS_TERMINATING.into());
            }
            // To clone an address space is more than this kernel does (nt52.md 3.6).
            return Err(Status::NOT_IMPLEMENTED.into());
        }
        None => {}
    }
    match make.debug {
        Some(debug) => {
            ob::reference(m, debug.va())?;
            m.set(process.debug_port(), Some(debug))?;
            if make.flags & NO_DEBUG_INHERIT != 0 {
                memory::set_flags(m, process.flags(), process_flags::NO_DEBUG_INHERIT)?;
            }
        }
        None => dbgk::port::inherit(m, parent, process)?,
    }
    m.set(process.exit_status(), Status::PENDING.0)?;
    memory::create(m, process)?;
    let class = match m.get(parent.priority_class())? {
        inherited @ (1 | 5) => inherited,
        _ => 2,
    };
    m.set(process.priority_class(), class)?;
    token::duplicate(m, Some(parent), process)?;
    let table = ob::create_table(m, process.va(), false)?;
    m.set(process.object_table(), Some(table))?;
    if make.flags & INHERIT_HANDLES != 0 {
        ob::inherit(m, parent, table)?;
    }
    if let Some(section) = make.section {
        memory::map_program(m, process, section)?;
        m.set(process.image_file_name(), make.name)?;
        memory::map_system_dlls(m, process)?;
    } else {
        // The sheet leaves it to the implementer whether such a process has ntdll, and recommends it.
        memory::map_system_dlls(m, process)?;
    }
    let id = cid::create(m, process.va())?;
    m.set(process.unique_process_id(), id)?;
    m.set(table.unique_process_id(), id)?;
    if make.section.is_some() {
        memory::create_peb(m, process)?;
    }
    let head: guest::ListEntry = DATA.ps_active_process_head();
    head.push_back(m, process.active_process_links())?;
    Ok(())
}

/// Steps 22 to 24. Nothing denies a process access to itself here, so that step 23 always comes to
/// everything.
pub(crate) fn finish(m: &mut Machine, process: EProcess) -> Result<(), Fault> {
    let priority = match m.get(process.priority_class())? {
        1 => 4,
        5 => 6,
        _ => 8,
    };
    m.set(process.pcb().base_priority(), priority)?;
    m.set(process.granted_access(), access::PROCESS_ALL_ACCESS)?;
    let now = system_time(m)?;
    m.set(process.create_time(), now)
}

/// KeInitializeProcess.
pub(crate) fn init_kprocess(m: &mut Machine, process: KProcess) -> Result<(), Fault> {
    init_header(m, process.header(), KObject::Process, KProcess::EXTENT, 0)?;
    process.profile_list_head().init(m)?;
    process.ready_list_head().init(m)?;
    process.thread_list_head().init(m)?;
    m.set(process.base_priority(), 8)?;
    m.set(process.quantum_reset(), 6)?;
    m.set(process.iopm_offset(), 0x20AC)?;
    m.set(process.affinity(), 1)
}
