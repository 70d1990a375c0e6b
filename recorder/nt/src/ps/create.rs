//! NtCreateThread and PspCreateThread (nt52.md 4.1, 4.2).

use super::cid;
use crate::Nt;
use crate::driver::notify;
use crate::error::{Error, Res, attempt, split};
use crate::ex::{pool, rundown};
use crate::global::DATA;
use crate::ke::thread::current_process;
use crate::ke::{self, suspend, sync, timer::system_time};
use crate::layout::*;
use crate::mm::access::{previous_mode, probe, probe_for_write, read_bytes, write, write_bytes};
use crate::mm::process::{create_teb, delete_teb, set_flags};
use crate::ob;
use crate::table::Ke;
use contract::context::{self, Context};
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Slot, Va, Write};
use machine::Machine;

/// Arguments of NtCreateThread.
mod arg {
    pub(super) const HANDLE: u8 = 0;
    pub(super) const ACCESS: u8 = 1;
    pub(super) const ATTRIBUTES: u8 = 2;
    pub(super) const PROCESS: u8 = 3;
    pub(super) const CLIENT_ID: u8 = 4;
    pub(super) const CONTEXT: u8 = 5;
    pub(super) const INITIAL_TEB: u8 = 6;
    pub(super) const SUSPENDED: u8 = 7;
}

/// NtCreateThread(ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId,
/// ThreadContext, InitialTeb, CreateSuspended). The INITIAL_TEB is captured to locals 0 to 4.
pub(crate) fn nt_create_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let mut args = [0; 8];
    for (index, arg) in args.iter_mut().enumerate() {
        *arg = f.arg(index as u8)?;
    }
    let [handle_at, wanted, attributes_at, process, client_id_at, context_at, teb_at, suspended] = args;
    if context_at == 0 {
        return Ok(Flow::Return(Status::INVALID_PARAMETER.0));
    }
    attempt!(probe_for_write(f.m, Va(handle_at), 4, 4));
    if client_id_at != 0 {
        attempt!(probe_for_write(f.m, Va(client_id_at), 8, 4));
    }
    attempt!(probe(f.m, Va(context_at), context::SIZE, 4));
    attempt!(probe(f.m, Va(teb_at), InitialTeb::EXTENT, 4));
    let raw = attempt!(read_bytes(f.m, Va(teb_at), InitialTeb::EXTENT));
    let initial = f.block(0, 5);
    f.m.put(initial, &raw)?;
    let suspended = suspended & 0xFF;
    let args = [handle_at, wanted, attributes_at, process, client_id_at, context_at, initial.0, suspended];
    f.call(Ke::PspCreateThread.at(), &args, 1)
}

/// Locals of PspCreateThread: the thread, the status, the handle.
const THREAD: u8 = 0;
const STATUS: u8 = 1;
const HANDLE: u8 = 2;

/// PspCreateThread for user threads, with the arguments of NtCreateThread; the INITIAL_TEB is the
/// kernel's copy. System threads are made at boot by [`make`] and [`finish`] alone.
pub(crate) fn psp_create_thread(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        // Steps 1 to 18. The references of step 18 are taken first: nobody can tell.
        0 => {
            let thread = attempt!(prepare(nt, f));
            f.set_local(THREAD, thread.va().0)?;
            for _ in 0..2 {
                ob::reference(f.m, thread.va())?;
            }
            if notify::is_wanted(f.m, notify::THREADS)? {
                let ids = [f.m.get(thread.unique_process())?, f.m.get(thread.unique_thread())?];
                let args = [notify::THREADS, ids[0], ids[1], 1];
                return f.call(Ke::PspCallNotifyRoutines.at(), &args, 6);
            }
            told(f, thread)
        }
        // Back from the notify routines.
        6 => {
            let thread = f.local_ptr::<EThread>(THREAD)?;
            told(f, thread)
        }
        // Step 20.
        1 => {
            let thread = f.local_ptr::<EThread>(THREAD)?;
            inserted(f, thread)
        }
        2 => {
            let thread = f.local_ptr::<EThread>(THREAD)?;
            handle(f, thread)
        }
        // Back from closing the handle that could not be told, with the thread started.
        3 => Ok(Flow::Return(f.local(STATUS)?)),
        // Back from KeReadyThread: step 27.
        4 => {
            let thread = f.local_ptr::<EThread>(THREAD)?;
            ob::dereference(f.m, thread.va())?;
            Ok(Flow::Return(f.local(STATUS)?))
        }
        // Back from KeReadyThread for a thread whose handle could not be told.
        _ => {
            let thread = f.local_ptr::<EThread>(THREAD)?;
            ob::dereference(f.m, thread.va())?;
            let process = current_process(f.m)?;
            let handle = f.local(HANDLE)?;
            f.call(Ke::ObpCloseHandleEntry.at(), &[process.va().0, handle], 3)
        }
    }
}

/// Step 19.
fn told(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    match f.arg(arg::SUSPENDED)? {
        0 => inserted(f, thread),
        _ => f.call(Ke::KeSuspendThread.at(), &[thread.va().0], 1),
    }
}

/// Step 20: a thread that has been told to end while it was being made must not stay suspended.
fn inserted(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    if f.m.get(thread.cross_thread_flags())? & cross::TERMINATED != 0 {
        return f.call(Ke::KeForceResumeThread.at(), &[thread.va().0], 2);
    }
    handle(f, thread)
}

/// Steps 21 to 26.
fn handle(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    let (wanted, handle_at, client_id_at) =
        (f.arg(arg::ACCESS)?, Va(f.arg(arg::HANDLE)?), f.arg(arg::CLIENT_ID)?);
    let granted = ob::grant(wanted, access::THREAD_ALL_ACCESS);
    let creator = current_process(f.m)?;
    match split(ob::open_by_pointer(f.m, creator, thread.va(), granted, 0))? {
        Ok(value) => {
            // The handle has a reference of its own now, in place of the creation reference.
            ob::dereference(f.m, thread.va())?;
            f.set_local(HANDLE, value)?;
            if let Err(status) = split(tell(f.m, thread, handle_at, client_id_at, value))? {
                make_dead(f, thread)?;
                f.set_local(STATUS, status.0)?;
                return f.call(Ke::KeReadyThread.at(), &[thread.va().0], 5);
            }
        }
        Err(status) => {
            ob::dereference(f.m, thread.va())?;
            make_dead(f, thread)?;
            f.set_local(STATUS, status.0)?;
        }
    }
    finish(f.m, thread)?;
    f.call(Ke::KeReadyThread.at(), &[thread.va().0], 4)
}

/// Step 23.
fn tell(m: &mut Machine, thread: EThread, handle_at: Va, client_id_at: u32, handle: u32) -> Res<()> {
    if client_id_at != 0 {
        let ids = [m.get(thread.unique_process())?, m.get(thread.unique_thread())?];
        write_bytes(m, Va(client_id_at), &ids.map(u32::to_le_bytes).concat())?;
    }
    write(m, handle_at, handle)
}

/// The thread must end on its first run.
fn make_dead(f: &mut Frame, thread: EThread) -> Result<(), Fault> {
    set_flags(f.m, thread.cross_thread_flags(), cross::DEADTHREAD)?;
    if f.arg(arg::SUSPENDED)? != 0 {
        suspend::resume(f.m, thread.tcb())?;
    }
    Ok(())
}

/// Steps 24 and 25. Nothing denies a thread access to itself.
pub(crate) fn finish(m: &mut Machine, thread: EThread) -> Result<(), Fault> {
    let now = system_time(m)?;
    m.set(thread.create_time(), now)?;
    m.set(thread.granted_access(), access::THREAD_ALL_ACCESS)
}

/// Steps 1 to 16: the thread, inserted, with its creation reference.
fn prepare(nt: &Nt, f: &mut Frame) -> Res<EThread> {
    let (attributes_at, process) = (f.arg(arg::ATTRIBUTES)?, f.arg(arg::PROCESS)?);
    let (context_at, teb_at) = (Va(f.arg(arg::CONTEXT)?), Va(f.arg(arg::INITIAL_TEB)?));
    let m = &mut *f.m;
    let mode = previous_mode(m)?;
    let rights = access::PROCESS_CREATE_THREAD;
    let body = ob::reference_by_handle(m, process, rights, Kind::Process, mode)?;
    let process = EProcess::at(body);
    if mode == USER && process == m.get(DATA.ps_initial_system_process())? {
        ob::dereference(m, body)?;
        return Err(Status::INVALID_HANDLE.into());
    }
    if let Err(status) = split(ob::check_attributes(m, attributes_at))? {
        ob::dereference(m, body)?;
        return Err(status.into());
    }
    let mut initial = [0; 5];
    for (index, word) in initial.iter_mut().enumerate() {
        *word = m.load(teb_at.add(4 * index as u32))?;
    }
    make(nt, m, process, Start::User { context_at, initial })
}

/// What a thread starts with.
pub(crate) enum Start<'a> {
    /// In user mode, with the CONTEXT at an address of the caller's.
    User { context_at: Va, initial: [u32; 5] },
    /// In user mode, with this CONTEXT: the first thread of all.
    Given { context: &'a [u8], initial: [u32; 5] },
    /// In the kernel, with a routine and its context.
    System { routine: Va, context: u32 },
}

/// Steps 3 to 16. The caller has a reference to the process, which the thread takes over.
pub(crate) fn make(nt: &Nt, m: &mut Machine, process: EProcess, start: Start) -> Res<EThread> {
    let body = match split(ob::create(m, Kind::Thread))? {
        Ok(body) => body,
        Err(status) => {
            ob::dereference(m, process.va())?;
            return Err(status.into());
        }
    };
    let thread = EThread::at(body);
    m.set(thread.threads_process(), Some(process))?;
    let made = init(nt, m, thread, process, start);
    if let Err(Error::Status(_)) = made {
        ob::dereference(m, body)?;
    }
    made.map(|()| thread)
}

fn init(nt: &Nt, m: &mut Machine, thread: EThread, process: EProcess, start: Start) -> Res<()> {
    m.set(thread.exit_status(), Status::PENDING.0)?;
    let process_id = m.get(process.unique_process_id())?;
    m.set(thread.unique_process(), process_id)?;
    for list in [thread.post_block_list(), thread.active_timer_list_head(), thread.irp_list()] {
        list.init(m)?;
    }
    sync::init_semaphore(m, thread.lpc_reply_semaphore(), 0, 1)?;
    m.set(thread.read_cluster_size(), 7)?;
    let id = cid::create(m, thread.va())?;
    m.set(thread.unique_thread(), id)?;
    if !rundown::acquire(m, process.rundown_protect())? {
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    let done = start_in(nt, m, thread, process, (process_id, id), start);
    rundown::release(m, process.rundown_protect())?;
    done
}

/// Steps 8 to 15, under the process's rundown protection.
fn start_in(
    nt: &Nt,
    m: &mut Machine,
    thread: EThread,
    process: EProcess,
    ids: (u32, u32),
    start: Start,
) -> Res<()> {
    let tcb = thread.tcb();
    let mut teb = Va(0);
    let user = !matches!(start, Start::System { .. });
    let status = match start {
        Start::System { routine, context } => {
            m.set(thread.start_address(), routine.0)?;
            set_flags(m, thread.cross_thread_flags(), cross::SYSTEM)?;
            let start = (routine.0, context);
            ke::thread::init(m, &nt.code, tcb, process.pcb(), start, None, teb)
        }
        Start::User { context_at, initial } => {
            teb = create_teb(m, process, ids, initial)?;
            match read_bytes(m, context_at, context::SIZE) {
                Ok(raw) => init_user(nt, m, thread, process, &raw, teb),
                Err(error) => Err(error),
            }
        }
        Start::Given { context, initial } => {
            teb = create_teb(m, process, ids, initial)?;
            init_user(nt, m, thread, process, context, teb)
        }
    };
    if let Err(Error::Status(status)) = status {
        if user {
            delete_teb(m, process, teb)?;
        }
        return Err(status.into());
    }
    status?;
    // Steps 12 and 13, the late abort.
    let deleted = m.get(process.flags())? & process_flags::PROCESS_DELETE != 0;
    let terminated = m.get(thread.cross_thread_flags())? & cross::TERMINATED != 0 && user;
    if deleted || terminated {
        ke::thread::uninit(m, tcb)?;
        if user {
            delete_teb(m, process, teb)?;
        }
        return Err(Status::PROCESS_IS_TERMINATING.into());
    }
    process.thread_list_head().push_back(m, thread.thread_list_entry())?;
    let count = m.get(process.active_threads())? + 1;
    m.set(process.active_threads(), count)?;
    ke::thread::start(m, tcb)?;
    Ok(())
}

fn init_user(nt: &Nt, m: &mut Machine, thread: EThread, process: EProcess, raw: &[u8], teb: Va) -> Res<()> {
    let layout = Context::at(Va(0));
    let given = |slot: Slot<u32>| {
        let at = slot.at.0 as usize;
        u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
    };
    m.set(thread.start_address(), given(layout.eip()))?;
    m.set(thread.win32_start_address(), given(layout.eax()))?;
    let start = (0, given(layout.eip()));
    ke::thread::init(m, &nt.code, thread.tcb(), process.pcb(), start, Some(raw), teb)
}

/// The KAPC pool tags of this kernel.
pub(crate) const EXIT_APC: u32 = pool::tag(b"PsEx");
/// QueueUserAPC's.
pub(crate) const USER_APC: u32 = pool::tag(b"Psap");
