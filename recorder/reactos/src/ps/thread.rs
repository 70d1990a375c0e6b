//! Making thread objects (reactos.md 4.2, 4.4, 4.10).

use crate::{Creation, ReactOs, ke, layout::*, mm::pages, ob, ps, routines::Ke};
use contract::{Flow, Frame, Status};
use guest::{Pointer, Read, Va, Write};
use machine::{Fault, Machine};

/// KeInitializeThread (4.4) and the fields of 4.2 steps 7 and 8. False when there is no memory for the
/// kernel stack, which the caller makes a bugcheck.
pub(crate) fn initialize(m: &mut Machine, process: EProcess, thread: EThread) -> R<bool> {
    let tcb = thread.tcb();
    ke::event::init_header(m, tcb.header(), kind::THREAD, EThread::EXTENT as u8, 0)?;
    tcb.mutant_list_head().init(m)?;
    let Some(top) = pages::create_stack(m)? else { return Ok(false) };
    for slot in [tcb.initial_stack(), tcb.stack_base(), tcb.kernel_stack()] {
        m.set(slot, top)?;
    }
    m.set(tcb.stack_limit(), top.sub(STACK_SIZE))?;
    let base = m.get(process.pcb().base_priority())? as i8;
    m.set(tcb.state(), ThreadState::Initialized)?;
    m.set(tcb.priority(), base)?;
    m.set(tcb.base_priority(), base)?;
    let state = tcb.apc_state();
    state.kernel_list().init(m)?;
    state.user_list().init(m)?;
    m.set(state.process(), Some(process.pcb()))?;
    let quantum = m.get(process.pcb().thread_quantum())?;
    m.set(tcb.quantum(), quantum)?;
    let affinity = m.get(process.pcb().affinity())?;
    m.set(tcb.affinity(), affinity)?;
    m.set(tcb.user_affinity(), affinity)?;
    m.set(tcb.service_table(), SERVICE_TABLE)?;
    ke::timer::init(m, tcb.timer())?;
    m.set(tcb.apc_state_original(), tcb.apc_state())?;
    m.set(tcb.apc_state_attached(), tcb.saved_apc_state())?;
    // No code ever clears it.
    m.set(tcb.apc_queueable(), 1)?;
    let suspend = ke::apc::Init {
        kernel: Ke::PiSuspendThreadKernelRoutine.at(),
        rundown: Ke::PiSuspendThreadRundownRoutine.at(),
        normal: Ke::PiSuspendThreadNormalRoutine.at(),
        mode: KERNEL_MODE,
        context: 0,
    };
    ke::apc::init(m, tcb.suspend_apc(), thread, suspend)?;
    ke::event::init_semaphore(m, tcb.suspend_semaphore(), 0, 128)?;
    process.pcb().thread_list_head().push_back(m, tcb.thread_list_entry())?;
    // 4.2 steps 7 and 8.
    thread.termination_port_list().init(m)?;
    thread.active_timer_list_head().init(m)?;
    thread.irp_list().init(m)?;
    thread.lpc_reply_chain().init(m)?;
    ke::event::init_semaphore(m, thread.lpc_reply_semaphore(), 0, i32::MAX)?;
    process.thread_list_head().push_back(m, thread.thread_list_entry())?;
    Ok(true)
}

/// PsInitializeThread(Process, *Thread, *Handle, Access, ObjectAttributes), in both forms: at REF with
/// client id and handle before anything is initialised (4.2), in the article's with neither (4.9.1
/// step 4).
pub(crate) fn ps_initialize_thread(kernel: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(Status::SUCCESS.0));
    }
    let (process, thread_at, handle_at) = (Va(f.arg(0)?), Va(f.arg(1)?), Va(f.arg(2)?));
    let process = if process.is_null() { f.m.get(G.system_process())? } else { EProcess(process) };
    let (access, attributes) = (f.arg(3)?, Va(f.arg(4)?));
    let last = kernel.variant.creation() == Creation::HandleLast;
    if last && !attributes.is_null() && ke::previous_mode(f.m)? == USER_MODE {
        let probed = ke::bugcheck::guarded(f.m, |_| ke::bugcheck::probe_read(attributes, 0x18, 4));
        if let Err(status) = probed {
            return Ok(Flow::Return(status.0));
        }
    }
    let inherit = ob::services::inherits(f.m, attributes)?;
    if !last {
        // The result is ignored.
        let _ = ob::reference_pointer(f.m, process.0)?;
    }
    let Some(body) = ob::object::create(f.m, Type::Thread, EThread::EXTENT, inherit)? else {
        if !last {
            ob::dereference(f.m, process.0)?;
        }
        return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
    };
    let thread = EThread(body);
    if last {
        let _ = ob::reference_pointer(f.m, process.0)?;
        identify(f.m, process, thread)?;
    } else {
        let Some(id) = ps::cid::create(f.m, thread)? else {
            // PiDeleteThread with ThreadsProcess NULL: it faults.
            ob::dereference(f.m, body)?;
            ob::dereference(f.m, process.0)?;
            return Ok(Flow::Return(Status::INSUFFICIENT_RESOURCES.0));
        };
        f.m.set(thread.unique_thread(), id)?;
        identify(f.m, process, thread)?;
        let own = ke::process(f.m)?;
        let access = ob::access::map_generic(Type::Thread, access);
        let made = ob::handle::create(f.m, own, body, access, inherit)?;
        f.m.store(handle_at, made.unwrap_or(0))?;
        if let Err(status) = made {
            // HandleCount stays 1: thread, id and pool leak; the process reference is dropped.
            ob::dereference(f.m, body)?;
            ob::dereference(f.m, process.0)?;
            return Ok(Flow::Return(status.0));
        }
    }
    if !initialize(f.m, process, thread)? {
        return f.call(Ke::KeBugCheck.at(), &[stop::NO_PAGES_AVAILABLE], 1);
    }
    f.m.store(thread_at, body)?;
    // The list was changed under the dispatcher lock.
    let old = ke::irql::raise(f.m, irql::DISPATCH)?;
    f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 1)
}

/// ThreadsProcess and Cid.UniqueProcess (4.2 step 4).
fn identify(m: &mut Machine, process: EProcess, thread: EThread) -> R<()> {
    m.set(thread.threads_process(), Some(process))?;
    let id = m.get(process.unique_process_id())?;
    m.set(thread.unique_process(), id)
}

/// The article's step 6: the thread gets its id. Without one it is undone (U): its entry in
/// EPROCESS.ThreadListHead stays, in freed memory.
pub(crate) fn number(m: &mut Machine, thread: EThread) -> R<Result<(), Status>> {
    match ps::cid::create(m, thread)? {
        Some(id) => {
            m.set(thread.unique_thread(), id)?;
            Ok(Ok(()))
        }
        None => {
            ob::dereference(m, thread.0)?;
            Ok(Err(Status::INSUFFICIENT_RESOURCES))
        }
    }
}

/// A thread object for boot, with everything but its first stack: PsInitializeThread as a whole, but
/// without a handle.
pub(crate) fn create_at_boot(m: &mut Machine, process: EProcess) -> R<Option<EThread>> {
    ob::object::add_reference(m, process.0)?;
    let Some(body) = ob::object::create(m, Type::Thread, EThread::EXTENT, false)? else {
        return Ok(None);
    };
    let thread = EThread(body);
    let Some(id) = ps::cid::create(m, thread)? else { return Ok(None) };
    m.set(thread.unique_thread(), id)?;
    identify(m, process, thread)?;
    Ok(initialize(m, process, thread)?.then_some(thread))
}
