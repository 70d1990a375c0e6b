//! The first processes and threads: idle, System with its worker and the thread that cases aim at, and
//! `init`, which is made by the routines that make every process.

use crate::Nt;
use crate::error::Res;
use crate::global::*;
use crate::ke::{ready, sync, thread as kthread, timer};
use crate::layout::*;
use crate::mm::{process as memory, vad};
use crate::ob;
use crate::ps::create::{self, Start};
use crate::ps::process::{self, Make, image_name};
use crate::ps::{cid, critical, token};
use crate::table::Ke;
use crate::user::create_thread::{INITIAL_STACK, initial_context};
use contract::{Status, program};
use guest::{ListEntry, Pointer, Read, Va, Write};
use machine::{Machine, Reg};

/// The system time at which the machine's clock stands at 0: 2005-01-17 00:00 UTC.
const BOOT_TIME: u64 = 127_503_072_000_000_000;
/// The worker's priority: the lowest real-time one, above every thread of a program.
const WORKER_PRIORITY: i8 = 16;

/// Everything up to where the idle thread runs for the first time.
pub(super) fn set(nt: &Nt, m: &mut Machine) -> Res<()> {
    variables(nt, m)?;
    let idle = idle(nt, m)?;
    system(nt, m)?;
    section(m)?;
    init(nt, m)?;
    m.set(PCR.irql(), PASSIVE_LEVEL)?;
    // Its stack is used from where a switch to it would have found the first frame.
    let stack = m.get(idle.tcb().kernel_stack())?;
    m.cpu.set_reg(Reg::Esp, stack.0);
    m.cpu.eip = nt.code.kernel.symbol("KiIdleLoop").0;
    Ok(())
}

fn variables(nt: &Nt, m: &mut Machine) -> Res<()> {
    let lists: [ListEntry; 3] =
        [DATA.ps_active_process_head(), DATA.ki_timer_list_head(), DATA.driver_apcs()];
    for list in lists {
        list.init(m)?;
    }
    ready::init(m)?;
    sync::init_event(m, DATA.worker_event(), KObject::EventSynchronization, false)?;
    sync::init_event(m, DATA.system_thread_event(), KObject::EventNotification, false)?;
    ob::init_default_object(m)?;
    critical::init(m)?;
    m.set(DATA.boot_time(), BOOT_TIME)?;
    timer::update(m)?;
    m.set(SHARED.nt_major_version(), 5)?;
    m.set(SHARED.nt_minor_version(), 2)?;
    m.set(SHARED.tick_count_multiplier(), 0x0A00_0000)?;
    m.set(SHARED.system_call(), nt.code.ntdll.symbol("KiFastSystemCall"))?;
    m.set(SHARED.system_call_return(), nt.code.ntdll.symbol("KiFastSystemCallRet"))?;
    let table = ob::create_table(m, Va(0), true)?;
    m.set(DATA.psp_cid_table(), table)?;
    Ok(())
}

/// A process of the kernel's own: no user space, the boot page directory.
fn kernel_process(m: &mut Machine, name: &str) -> Res<EProcess> {
    let process = EProcess::at(ob::create(m, Kind::Process)?);
    process.thread_list_head().init(m)?;
    process.active_process_links().init(m)?;
    process::init_kprocess(m, process.pcb())?;
    let directory = m.cpu.cr3;
    m.set(process.pcb().directory_table_base(), directory)?;
    m.set(process.exit_status(), Status::PENDING.0)?;
    m.set(process.image_file_name(), image_name(name))?;
    m.set(process.granted_access(), access::PROCESS_ALL_ACCESS)?;
    m.set(process.priority_class(), 2)?;
    token::duplicate(m, None, process)?;
    m.set(process.default_hard_error_processing(), 1)?;
    Ok(process)
}

/// The idle process and thread: id 0, not on PsActiveProcessHead, running.
fn idle(nt: &Nt, m: &mut Machine) -> Res<EThread> {
    let process = kernel_process(m, "Idle")?;
    let thread = EThread::at(ob::create(m, Kind::Thread)?);
    let loop_at = nt.code.kernel.symbol("KiIdleLoop");
    kthread::init(m, &nt.code, thread.tcb(), process.pcb(), (loop_at.0, 0), None, Va(0))?;
    kthread::start(m, thread.tcb())?;
    process.thread_list_head().push_back(m, thread.thread_list_entry())?;
    m.set(process.active_threads(), 1)?;
    m.set(thread.threads_process(), Some(process))?;
    m.set(thread.exit_status(), Status::PENDING.0)?;
    m.set(thread.cross_thread_flags(), cross::SYSTEM)?;
    m.set(thread.tcb().priority(), 0)?;
    m.set(thread.tcb().state(), State::Running)?;
    m.set(PCR.current_thread(), thread.tcb())?;
    m.set(PCR.idle_thread(), thread.tcb())?;
    m.set(DATA.ps_idle_process(), process)?;
    m.set(DATA.idle_thread(), thread)?;
    Ok(thread)
}

/// System: id 4, with the worker, whose id is 8, and the thread that waits for ever.
fn system(nt: &Nt, m: &mut Machine) -> Res<()> {
    let process = kernel_process(m, "System")?;
    memory::set_flags(m, process.flags(), process_flags::HAS_ADDRESS_SPACE)?;
    let table = ob::create_table(m, process.va(), false)?;
    m.set(process.object_table(), Some(table))?;
    let id = cid::create(m, process.va())?;
    m.set(process.unique_process_id(), id)?;
    m.set(table.unique_process_id(), id)?;
    let head: ListEntry = DATA.ps_active_process_head();
    head.push_back(m, process.active_process_links())?;
    m.set(DATA.ps_initial_system_process(), process)?;
    let worker = system_thread(nt, m, process, Ke::ExpWorkerThread)?;
    m.set(worker.tcb().priority(), WORKER_PRIORITY)?;
    m.set(worker.tcb().base_priority(), WORKER_PRIORITY)?;
    m.set(DATA.worker_thread(), worker)?;
    let waiting = system_thread(nt, m, process, Ke::SystemThread)?;
    m.set(DATA.system_thread(), waiting)?;
    for thread in [worker, waiting] {
        ready::ready_thread(m, thread.tcb())?;
    }
    Ok(())
}

fn system_thread(nt: &Nt, m: &mut Machine, process: EProcess, routine: Ke) -> Res<EThread> {
    ob::reference(m, process.va())?;
    let start = Start::System { routine: routine.at(), context: 0 };
    let thread = create::make(nt, m, process, start)?;
    create::finish(m, thread)?;
    Ok(thread)
}

/// The section of the program's image.
fn section(m: &mut Machine) -> Res<()> {
    let header = m.get(DATA.handle_section())?;
    let section = Section::at(ob::create(m, Kind::Section)?);
    m.set(section.base(), program::BASE)?;
    m.set(section.size(), program::SIZE)?;
    m.set(section.entry(), program::symbol(program::ENTRY).0)?;
    m.set(section.header_frame(), header)?;
    m.set(section.code_frame(), header + 1)?;
    m.set(DATA.program_section(), section)?;
    Ok(())
}

/// `init`: made from the section with System as parent, with one thread whose stack is its first
/// region, and with handles to what cases aim at.
fn init(nt: &Nt, m: &mut Machine) -> Res<()> {
    let parent = m.get(DATA.ps_initial_system_process())?;
    let section = m.get(DATA.program_section())?;
    let name = image_name("init");
    let make = Make { parent, flags: 0, section: Some(section), debug: None, name };
    let process = process::create(m, &make)?;
    process::finish(m, process)?;
    m.set(DATA.init_process(), process)?;
    let handles = [
        (parent.va(), access::PROCESS_ALL_ACCESS, DATA.handle_system()),
        (m.get(DATA.system_thread())?.va(), access::THREAD_ALL_ACCESS, DATA.handle_system_thread()),
        (section.va(), access::SECTION_ALL_ACCESS, DATA.handle_section()),
    ];
    for (body, granted, slot) in handles {
        let handle = ob::open_by_pointer(m, process, body, granted, 0)?;
        m.set(slot, handle)?;
    }
    let (reserve, commit) = INITIAL_STACK;
    let no_memory = || Status::NO_MEMORY;
    let place = vad::place(m, process, reserve, 0x1_0000, None)?.ok_or_else(no_memory)?;
    let protect = vad::protection::READWRITE;
    let made = vad::insert(m, process, place, reserve, vad::kind::PRIVATE, protect)?
        && vad::commit(m, process, place + reserve - commit, commit, protect)?;
    if !made {
        return Err(no_memory().into());
    }
    let (top, limit) = (place + reserve, place + reserve - commit);
    let directory = m.get(process.pcb().directory_table_base())?;
    vad::commit_guard(m, directory, Va(limit - machine::PAGE))?;
    let peb = m.get(process.peb())?;
    let context = initial_context(nt, true, top, peb.0);
    ob::reference(m, process.va())?;
    let start = Start::Given { context: &context, initial: [0, 0, top, limit, place] };
    let thread = create::make(nt, m, process, start)?;
    create::finish(m, thread)?;
    m.set(DATA.init_thread(), thread)?;
    Ok(ready::ready_thread(m, thread.tcb())?)
}
