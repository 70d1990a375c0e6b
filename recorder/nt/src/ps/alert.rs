//! NtAlertThread and NtQueueApcThread (nt52.md 7.9, 7.10).

use super::create::USER_APC;
use crate::Nt;
use crate::error::{attempt, done};
use crate::ex::pool;
use crate::ke::apc;
use crate::layout::*;
use crate::mm::access::previous_mode;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va};

/// The right that NtAlertThread asks for. Of medium confidence (nt52.md 7.9).
const ALERT_RIGHT: u32 = access::THREAD_ALERT;

/// NtAlertThread(ThreadHandle).
pub(crate) fn nt_alert_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    let mode = previous_mode(f.m)?;
    let (body, _) = attempt!(ob::lookup(f.m, handle, ALERT_RIGHT, Some(Kind::Thread), mode));
    apc::alert(f.m, KThread::at(body), mode)?;
    done(Status::SUCCESS)
}

/// NtQueueApcThread(ThreadHandle, ApcRoutine, NormalContext, SystemArgument1, SystemArgument2).
pub(crate) fn nt_queue_apc_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, routine, context) = (f.arg(0)?, Va(f.arg(1)?), f.arg(2)?);
    let arguments = (f.arg(3)?, f.arg(4)?);
    let mode = previous_mode(f.m)?;
    let rights = access::THREAD_SET_CONTEXT;
    let (body, _) = attempt!(ob::lookup(f.m, handle, rights, Some(Kind::Thread), mode));
    let thread = EThread::at(body);
    if f.m.get(thread.cross_thread_flags())? & cross::SYSTEM != 0 {
        return done(Status::INVALID_HANDLE);
    }
    let Some(at) = pool::allocate(f.m, KApc::EXTENT, USER_APC)? else { return done(Status::NO_MEMORY) };
    let with = apc::Init {
        environment: apc::ORIGINAL,
        kernel: Ke::PspQueueApcSpecialApc.at(),
        rundown: Va(0),
        normal: routine,
        mode: USER,
        context,
    };
    apc::init(f.m, KApc::at(at), thread.tcb(), with)?;
    if apc::insert(f.m, KApc::at(at), arguments, 0)? {
        return done(Status::SUCCESS);
    }
    pool::free(f.m, at)?;
    done(Status::UNSUCCESSFUL)
}

/// PspQueueApcSpecialApc(Apc, NormalRoutine, NormalContext, SystemArgument1, SystemArgument2).
pub(crate) fn psp_queue_apc_special_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let apc = Va(f.arg(0)?);
    pool::free(f.m, apc)?;
    Ok(Flow::Return(0))
}
