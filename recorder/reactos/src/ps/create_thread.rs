//! NtCreateThread in both forms (reactos.md 4.1, 4.9.1), and LdrInit's APC.

use crate::{Creation, ReactOs, ex::pool, ke, layout::*, ob, ps, routines::Ke, user};
use contract::{Flow, Frame, Status, context};
use guest::{Pointer, Read, Va, Write};
use ke::bugcheck::{guarded, probe_read, probe_write};
use machine::{Fault, Machine};

// Arguments.
const HANDLE: u8 = 0;
const ACCESS: u8 = 1;
const ATTRIBUTES: u8 = 2;
const PROCESS: u8 = 3;
const CLIENT: u8 = 4;
const CONTEXT: u8 = 5;
const INITIAL_TEB: u8 = 6;
const SUSPENDED: u8 = 7;

// Locals.
const THREAD: u8 = 0;
const TEB_BASE: u8 = 1;
const TARGET: u8 = 2;
/// Where the CONTEXT that is used lies: the caller's, or the copy below.
const USED_CONTEXT: u8 = 3;
const USED_TEB: u8 = 4;
/// INITIAL_TEB, 5 doublewords.
const TEB_COPY: (u8, u8) = (5, 5);
/// CONTEXT, B3h doublewords.
const CONTEXT_COPY: (u8, u8) = (10, 179);

// Stages.
const INITIALIZED: u8 = 1;
const HAS_STACK: u8 = 2;
const HAS_TEB: u8 = 3;
const REPORTED: u8 = 4;
const SUSPEND_DONE: u8 = 5;
const APC_QUEUED: u8 = 6;
const UNBLOCKED: u8 = 7;

/// NtCreateThread(*ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, *ClientId,
/// ThreadContext, InitialTeb, CreateSuspended): 4.1 with the handle first, 4.9.1 with the handle last.
pub(crate) fn nt_create_thread(kernel: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let last = kernel.variant.creation() == Creation::HandleLast;
    match f.stage {
        0 => begin(f, last),
        INITIALIZED => {
            let (status, target) = (f.result(), Va(f.local(TARGET)?));
            ob::dereference(f.m, target)?;
            if status != Status::SUCCESS.0 {
                return Ok(Flow::Return(status));
            }
            let thread: EThread = f.local_ptr(THREAD)?;
            if last && let Err(status) = ps::thread::number(f.m, thread)? {
                return Ok(Flow::Return(status.0));
            }
            let from = f.local(USED_CONTEXT)?;
            f.call(Ke::Ke386InitThreadWithContext.at(), &[thread.0.0, from], HAS_STACK)
        }
        HAS_STACK => {
            let (thread, handle, initial) = (f.local(THREAD)?, f.arg(PROCESS)?, f.local(USED_TEB)?);
            let base = f.local_at(TEB_BASE).0;
            f.call(Ke::PsCreateTeb.at(), &[handle, base, thread, initial], HAS_TEB)
        }
        HAS_TEB => teb_made(f, last),
        REPORTED => {
            let thread: EThread = f.local_ptr(THREAD)?;
            f.m.set(thread.tcb().alertable(), 0)?;
            if f.arg(SUSPENDED)? & 0xFF != 0 {
                // Its result is ignored.
                return f.call(Ke::PsSuspendThread.at(), &[thread.0.0, 0], SUSPEND_DONE);
            }
            queue_ldr_init(f, thread)
        }
        SUSPEND_DONE => {
            let thread: EThread = f.local_ptr(THREAD)?;
            queue_ldr_init(f, thread)
        }
        APC_QUEUED => {
            let thread: EThread = f.local_ptr(THREAD)?;
            force_first_apc(f.m, thread)?;
            if last {
                // Until the handle exists nothing else keeps the object: the sheet leaves the choice.
                ob::object::add_reference(f.m, thread.0)?;
            }
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            ke::dispatch::unblock(f.m, thread, None, 0)?;
            f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], UNBLOCKED)
        }
        _ => finish(f, last),
    }
}

/// Captures what the article's form captures, and references the process.
fn begin(f: &mut Frame, last: bool) -> Result<Flow, Fault> {
    let mode = ke::previous_mode(f.m)?;
    let (from, initial) = (f.arg(CONTEXT)?, f.arg(INITIAL_TEB)?);
    f.set_local(USED_CONTEXT, from)?;
    f.set_local(USED_TEB, initial)?;
    if last {
        if from == 0 {
            return Ok(Flow::Return(Status::INVALID_PARAMETER.0));
        }
        if mode == USER_MODE
            && let Err(status) = capture(f)?
        {
            return Ok(Flow::Return(status.0));
        }
    }
    // The access is never refused, so the mode that is passed (UserMode at REF) decides nothing.
    let handle = f.arg(PROCESS)?;
    let process = match ob::reference(f.m, handle, Some(Type::Process))? {
        Ok(body) => body,
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    f.set_local(TARGET, process.0)?;
    let thread = f.local_at(THREAD).0;
    let (handle, access, attributes) = (f.arg(HANDLE)?, f.arg(ACCESS)?, f.arg(ATTRIBUTES)?);
    f.call(Ke::PsInitializeThread.at(), &[process.0, thread, handle, access, attributes], INITIALIZED)
}

/// The guarded block of 4.9.1 step 2.
fn capture(f: &mut Frame) -> R<Result<(), Status>> {
    let (handle, client) = (Va(f.arg(HANDLE)?), Va(f.arg(CLIENT)?));
    let (from, initial) = (Va(f.arg(CONTEXT)?), Va(f.arg(INITIAL_TEB)?));
    let context_copy = f.block(CONTEXT_COPY.0, CONTEXT_COPY.1);
    let teb_copy = f.block(TEB_COPY.0, TEB_COPY.1);
    let captured = guarded(f.m, |m| {
        probe_write(m, handle, 4, 4)?;
        if !client.is_null() {
            probe_write(m, client, 8, 4)?;
        }
        probe_read(from, context::SIZE, 4)?;
        let mut raw = vec![0; context::SIZE as usize];
        m.bytes(from, &mut raw)?;
        m.put(context_copy, &raw)?;
        probe_read(initial, InitialTeb::EXTENT, 4)?;
        let mut raw = [0; InitialTeb::EXTENT as usize];
        m.bytes(initial, &mut raw)?;
        m.put(teb_copy, &raw)?;
        Ok(())
    });
    if captured.is_ok() {
        f.set_local(USED_CONTEXT, context_copy.0)?;
        f.set_local(USED_TEB, teb_copy.0)?;
    }
    Ok(captured)
}

fn teb_made(f: &mut Frame, last: bool) -> Result<Flow, Fault> {
    let (status, thread) = (f.result(), f.local_ptr::<EThread>(THREAD)?);
    if status != Status::SUCCESS.0 {
        // At REF nothing is undone (4.1 step 6).
        if last {
            let id = f.m.get(thread.unique_thread())?;
            ps::cid::delete(f.m, id)?;
            ob::dereference(f.m, thread.0)?;
        }
        return Ok(Flow::Return(status));
    }
    let base = Va(f.local(TEB_BASE)?);
    f.m.set(thread.tcb().teb(), base)?;
    f.m.set(thread.start_address(), Va(0))?;
    let client = Va(f.arg(CLIENT)?);
    if !last && !client.is_null() {
        store_client(f.m, thread, client)?;
    }
    let from = context::Context(Va(f.local(USED_CONTEXT)?));
    let eip = f.m.get(from.eip())?;
    f.call(Ke::DbgkCreateThread.at(), &[eip], REPORTED)
}

/// Stores a CLIENT_ID.
pub(crate) fn store_client(m: &mut Machine, thread: EThread, client: Va) -> R<()> {
    let (process, id) = (m.get(thread.unique_process())?, m.get(thread.unique_thread())?);
    m.store(client, process)?;
    m.store(client.add(4), id)
}

/// Step 12: the LdrInit APC. The allocation is not checked: without pool the null KAPC is written to.
fn queue_ldr_init(f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    let at = pool::allocate(f.m, pool::UNTAGGED, KApc::EXTENT)?.unwrap_or(Va(0));
    ke::apc::init(f.m, KApc(at), thread, ldr_init())?;
    f.call(Ke::KeInsertQueueApc.at(), &[at.0, 0, 0, 0], APC_QUEUED)
}

/// What the LdrInit APC is made of.
pub(crate) fn ldr_init() -> ke::apc::Init {
    ke::apc::Init {
        kernel: Ke::LdrInitApcKernelRoutine.at(),
        rundown: Ke::LdrInitApcRundownRoutine.at(),
        normal: user::ntdll().symbol("LdrInitializeThunk"),
        mode: USER_MODE,
        context: 0,
    }
}

/// Step 13: what the queuing did not do for a thread that never ran.
pub(crate) fn force_first_apc(m: &mut Machine, thread: EThread) -> R<()> {
    m.set(thread.tcb().apc_state().user_apc_pending(), 1)?;
    m.set(thread.tcb().alerted(), 1)
}

/// The article's steps 12 to 14; at REF only the status.
fn finish(f: &mut Frame, last: bool) -> Result<Flow, Fault> {
    if !last {
        return Ok(Flow::Return(Status::SUCCESS.0));
    }
    let thread: EThread = f.local_ptr(THREAD)?;
    let (access, handle_at, client) = (f.arg(ACCESS)?, Va(f.arg(HANDLE)?), Va(f.arg(CLIENT)?));
    let own = ke::process(f.m)?;
    let inherit = f.m.get(ob::object::header(thread.0).inherit())? != 0;
    let access = ob::access::map_generic(Type::Thread, access);
    let value = match ob::handle::create(f.m, own, thread.0, access, inherit)? {
        Ok(value) => value,
        Err(status) => {
            // The thread stays ready or running, without a handle.
            ob::dereference(f.m, thread.0)?;
            return Ok(Flow::Return(status.0));
        }
    };
    let stored = (|| {
        if !client.is_null() {
            store_client(f.m, thread, client)?;
        }
        f.m.store(handle_at, value)
    })();
    ob::dereference(f.m, thread.0)?;
    // Guarded, whatever the previous mode.
    let status = if stored.is_ok() { Status::SUCCESS } else { Status::ACCESS_VIOLATION };
    Ok(Flow::Return(status.0))
}
