//! NtGetContextThread and NtSetContextThread (nt52.md 8.10).

use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::ke::thread::current;
use crate::ke::{apc, context, sync};
use crate::layout::*;
use crate::mm::access::{previous_mode, probe, probe_for_write, read_bytes, write_bytes};
use crate::ob;
use crate::table::Ke;
use contract::context::SIZE;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write, guest_struct};
use machine::Machine;

guest_struct! {
    /// What the caller and the APC share: the APC, the event that it sets, and the CONTEXT.
    struct Request [0x30C] {
        0x00 apc: in KApc,
        0x30 done: in DispatcherHeader,
        0x40 context: u32,
    }
}

/// Locals of both services: the referenced thread, and the request, which lies on the caller's kernel
/// stack: there is nothing to allocate that could fail.
const THREAD: u8 = 0;
const REQUEST: (u8, u8) = (1, 195);
const _: () = assert!(REQUEST.1 as u32 * 4 == Request::EXTENT);
const GET: u32 = 0;
const SET: u32 = 1;

/// NtGetContextThread(ThreadHandle, Context).
pub(crate) fn nt_get_context_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, at) = (f.arg(0)?, Va(f.arg(1)?));
    if f.stage != 0 {
        let (status, raw) = finish(f)?;
        if status == Status::SUCCESS {
            attempt!(write_bytes(f.m, at, &raw));
        }
        return done(status);
    }
    let thread = attempt!(target(f.m, handle, access::THREAD_GET_CONTEXT));
    attempt!(probe_for_write(f.m, at, SIZE, 4));
    let mut raw = attempt!(read_bytes(f.m, at, SIZE));
    if thread == current(f.m)? {
        let frame = own_frame(f.m, thread)?;
        context::fill(f.m, thread.tcb(), frame, &mut raw)?;
        attempt!(write_bytes(f.m, at, &raw));
        return done(Status::SUCCESS);
    }
    ask(f, thread, &raw, GET)
}

/// NtSetContextThread(ThreadHandle, Context).
pub(crate) fn nt_set_context_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, at) = (f.arg(0)?, Va(f.arg(1)?));
    if f.stage != 0 {
        return done(finish(f)?.0);
    }
    let thread = attempt!(target(f.m, handle, access::THREAD_SET_CONTEXT));
    attempt!(probe(f.m, at, SIZE, 4));
    let raw = attempt!(read_bytes(f.m, at, SIZE));
    if thread == current(f.m)? {
        let frame = own_frame(f.m, thread)?;
        context::apply(f.m, thread.tcb(), frame, &raw)?;
        return done(Status::SUCCESS);
    }
    ask(f, thread, &raw, SET)
}

fn target(m: &mut Machine, handle: u32, rights: u32) -> Res<EThread> {
    let mode = previous_mode(m)?;
    let thread = EThread::at(ob::lookup(m, handle, rights, Some(Kind::Thread), mode)?.0);
    if m.get(thread.cross_thread_flags())? & cross::SYSTEM != 0 {
        return Err(Status::INVALID_HANDLE.into());
    }
    Ok(thread)
}

fn own_frame(m: &mut Machine, thread: EThread) -> Result<KTrapFrame, Fault> {
    Ok(KThread::user_frame(m.get(thread.tcb().initial_stack())?))
}

/// Queues the special kernel APC and waits for it.
fn ask(f: &mut Frame, thread: EThread, raw: &[u8], what: u32) -> Result<Flow, Fault> {
    let request = Request::at(f.block(REQUEST.0, REQUEST.1));
    f.m.put(request.context().at, raw)?;
    sync::init_event(f.m, request.done(), KObject::EventNotification, false)?;
    let with = apc::Init {
        environment: apc::ORIGINAL,
        kernel: Ke::PspGetSetContextSpecialApc.at(),
        rundown: Va(0),
        normal: Va(0),
        mode: KERNEL,
        context: 0,
    };
    apc::init(f.m, request.apc(), thread.tcb(), with)?;
    if !apc::insert(f.m, request.apc(), (what, thread.va().0), 2)? {
        return done(Status::UNSUCCESSFUL);
    }
    ob::reference(f.m, thread.va())?;
    f.set_local(THREAD, thread.va().0)?;
    let args = [request.done().va().0, reason::EXECUTIVE, KERNEL, 0, 0];
    f.call(Ke::KeWaitForSingleObject.at(), &args, 1)
}

/// The answer, once the wait is over.
fn finish(f: &mut Frame) -> Result<(Status, Vec<u8>), Fault> {
    let (request, thread) = (Request::at(f.block(REQUEST.0, REQUEST.1)), Va(f.local(THREAD)?));
    let mut raw = vec![0; SIZE as usize];
    f.m.bytes(request.context().at, &mut raw)?;
    ob::dereference(f.m, thread)?;
    Ok((Status::SUCCESS, raw))
}

/// PspGetSetContextSpecialApc(Apc, NormalRoutine, NormalContext, SystemArgument1, SystemArgument2), in
/// the target: its user-mode trap frame is at the top of its kernel stack.
pub(crate) fn psp_get_set_context_special_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (request, what) = (f.arg_ptr::<Request>(0)?, Va(f.arg(3)?));
    let what: u32 = f.m.load(what)?;
    let thread = current(f.m)?;
    let frame = own_frame(f.m, thread)?;
    let mut raw = vec![0; SIZE as usize];
    f.m.bytes(request.context().at, &mut raw)?;
    if what == GET {
        context::fill(f.m, thread.tcb(), frame, &mut raw)?;
        f.m.put(request.context().at, &raw)?;
    } else {
        context::apply(f.m, thread.tcb(), frame, &raw)?;
    }
    sync::set_event(f.m, request.done(), 0)?;
    Ok(Flow::Return(0))
}
