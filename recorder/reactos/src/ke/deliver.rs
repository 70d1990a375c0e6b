//! Delivering APCs (reactos.md 7.4, 7.5, 5.4).

use crate::{ReactOs, ke, layout::*, routines::Ke, user};
use contract::{Flow, Frame, context};
use guest::{Read, Va, Write};
use machine::Fault;

const NORMAL: u8 = 0;
const CONTEXT: u8 = 1;
const FIRST: u8 = 2;
const SECOND: u8 = 3;

// Stages.
const SPECIAL_DONE: u8 = 1;
const KERNEL_ROUTINE_DONE: u8 = 2;
const AT_PASSIVE: u8 = 3;
const NORMAL_DONE: u8 = 4;
const USER_ROUTINE_DONE: u8 = 5;
const DONE: u8 = 6;

/// KiDeliverApc(DeliveryMode, Reserved, TrapFrame) (7.4), at APC_LEVEL.
///
/// The APC queue lock raises to DISPATCH_LEVEL and its release lowers to APC_LEVEL again; nothing can
/// come between here, so the level stays at APC_LEVEL.
pub(crate) fn deliver(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let state = ke::current(f.m)?.tcb().apc_state();
    match f.stage {
        0 => {
            f.m.set(state.kernel_apc_pending(), 0)?;
            next(f)
        }
        SPECIAL_DONE => next(f),
        KERNEL_ROUTINE_DONE => {
            if f.local(NORMAL)? == 0 {
                return next(f);
            }
            f.m.set(state.kernel_apc_in_progress(), 1)?;
            f.call(Ke::KfLowerIrql.at(), &[u32::from(irql::PASSIVE)], AT_PASSIVE)
        }
        AT_PASSIVE => {
            // The quirk of this time: the routine gets the addresses of the three variables.
            let normal = Va(f.local(NORMAL)?);
            let args = [CONTEXT, FIRST, SECOND].map(|index| f.local_at(index).0);
            f.call(normal, &args, NORMAL_DONE)
        }
        NORMAL_DONE => {
            if ke::irql::current(f.m)? > irql::APC {
                return f.call(Ke::KeBugCheck.at(), &[stop::GENERIC], DONE);
            }
            ke::irql::raise(f.m, irql::APC)?;
            f.m.set(state.kernel_apc_in_progress(), 0)?;
            next(f)
        }
        USER_ROUTINE_DONE => {
            let normal = f.local(NORMAL)?;
            if normal == 0 {
                return f.call(Ke::KeTestAlertThread.at(), &[USER_MODE], DONE);
            }
            let (reserved, frame) = (f.arg(1)?, f.arg(2)?);
            let (context, first, second) = (f.local(CONTEXT)?, f.local(FIRST)?, f.local(SECOND)?);
            f.call(Ke::KiInitializeUserApc.at(), &[reserved, frame, normal, context, first, second], DONE)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// The head of the kernel list, else of the user list.
fn next(f: &mut Frame) -> Result<Flow, Fault> {
    let tcb = ke::current(f.m)?.tcb();
    let state = tcb.apc_state();
    let list = state.kernel_list();
    if !list.is_empty(f.m)? {
        let apc = ke::apc::of_link(f.m.get(list.flink())?);
        if f.m.get(apc.normal_routine())?.is_null() {
            return take(f, apc, SPECIAL_DONE);
        }
        let busy = f.m.get(state.kernel_apc_in_progress())? != 0;
        if busy || f.m.get(tcb.kernel_apc_disable())? != 0 {
            // The whole delivery stops here, user APCs and specials behind included.
            return Ok(Flow::Return(0));
        }
        return take(f, apc, KERNEL_ROUTINE_DONE);
    }
    let user = f.arg(0)? == USER_MODE && f.m.get(state.user_apc_pending())? == 1;
    if user && !state.user_list().is_empty(f.m)? {
        f.m.set(state.user_apc_pending(), 0)?;
        let apc = ke::apc::of_link(f.m.get(state.user_list().flink())?);
        return take(f, apc, USER_ROUTINE_DONE);
    }
    Ok(Flow::Return(0))
}

/// Takes an APC off its list and calls its kernel routine with copies of what it carries.
fn take(f: &mut Frame, apc: KApc, stage: u8) -> Result<Flow, Fault> {
    f.m.set(apc.inserted(), 0)?;
    apc.apc_list_entry().unlink(f.m)?;
    let normal = f.m.get(apc.normal_routine())?.0;
    let context = f.m.get(apc.normal_context())?;
    let (first, second) = (f.m.get(apc.system_argument1())?, f.m.get(apc.system_argument2())?);
    for (index, value) in [normal, context, first, second].into_iter().enumerate() {
        f.set_local(index as u8, value)?;
    }
    let routine = f.m.get(apc.kernel_routine())?;
    let places = [NORMAL, CONTEXT, FIRST, SECOND].map(|index| f.local_at(index).0);
    f.call(routine, &[apc.0.0, places[0], places[1], places[2], places[3]], stage)
}

/// KiInitializeUserApc(Reserved, TrapFrame, NormalRoutine, NormalContext, SystemArgument1,
/// SystemArgument2) (7.5): the user stack is written unprobed; a bad one is a kernel fault.
pub(crate) fn initialize_user_apc(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let frame: TrapFrame = f.arg_ptr(1)?;
    let (normal, argument, first, second) = (f.arg(2)?, f.arg(3)?, f.arg(4)?, f.arg(5)?);
    let stack = Va(f.m.get(frame.esp())?);
    let at = stack.sub(context::SIZE);
    f.m.zero(at, context::SIZE)?;
    crate::ps::context::from_frame(f.m, frame, context::Context(at), context::FULL)?;
    f.m.set(context::Context(at).context_flags(), context::FULL)?;
    let below = [DEADBEEF, normal, argument, first, second, at.0];
    for (index, value) in below.into_iter().enumerate() {
        f.m.store(at.sub(0x18).add(4 * index as u32), value)?;
    }
    f.m.set(frame.eip(), user::ntdll().symbol("KiUserApcDispatcher").0)?;
    f.m.set(frame.esp(), at.sub(0x18).0)?;
    Ok(Flow::Return(0))
}

/// KiAfterSystemCallHook(TrapFrame) (5.4 step 2): the whole CS is compared, so a frame whose CS is 8
/// gets no APCs.
pub(crate) fn after_system_call_hook(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let frame: TrapFrame = f.arg_ptr(0)?;
            if f.m.get(frame.cs())? == u32::from(selector::KERNEL_CS) {
                return Ok(Flow::Return(0));
            }
            // KfRaiseIrql refuses to lower: a service that came back too high ends here.
            if ke::irql::current(f.m)? > irql::APC {
                return f.call(Ke::KeBugCheck.at(), &[stop::GENERIC], 2);
            }
            let old = ke::irql::raise(f.m, irql::APC)?;
            f.set_local(0, u32::from(old))?;
            f.call(Ke::KiDeliverApc.at(), &[USER_MODE, 0, frame.0.0], 1)
        }
        1 => {
            let old = f.local(0)?;
            f.call(Ke::KfLowerIrql.at(), &[old], 2)
        }
        _ => Ok(Flow::Return(0)),
    }
}
