//! KiDeliverApc and KiInitializeUserApc (nt52.md 7.5, 5.6).

use super::thread::current;
use super::{bugcheck, context, exception, region};
use crate::Nt;
use crate::global::USER_PROBE;
use crate::layout::*;
use crate::mm::access;
use crate::table::Ke;
use contract::context as flags;
use contract::{Flow, Frame, Status};
use guest::{Fault, ListEntry, Pointer, Read, Va, Write};
use machine::Machine;

/// Locals of KiDeliverApc. The four that a kernel routine may change lie together.
const SAVED_FRAME: u8 = 0;
const PROCESS: u8 = 1;
const NORMAL: u8 = 2;
const CONTEXT: u8 = 3;
const ARGUMENT1: u8 = 4;
const ARGUMENT2: u8 = 5;
const KERNEL_ROUTINE: u8 = 6;
const APC: u8 = 7;

/// KiDeliverApc(DeliveryMode, ExceptionFrame, TrapFrame), entered at APC_LEVEL.
pub(crate) fn ki_deliver_apc(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?.tcb();
    match f.stage {
        0 => {
            let saved = f.m.get(thread.trap_frame())?;
            f.set_local(SAVED_FRAME, saved.map_or(0, |frame| frame.va().0))?;
            let frame = f.arg(2)?;
            f.m.set(thread.trap_frame(), (frame != 0).then_some(KTrapFrame::at(Va(frame))))?;
            let process = f.m.get(thread.apc_state().process())?;
            f.set_local(PROCESS, process.va().0)?;
            f.m.set(thread.apc_state().kernel_apc_pending(), 0)?;
            if f.m.get(thread.special_apc_disable())? != 0 {
                return end(f, thread);
            }
            next_kernel(f, thread)
        }
        // Back from the kernel routine of a special APC.
        1 => match at_apc_level(f)? {
            Some(stop) => Ok(stop),
            None => next_kernel(f, thread),
        },
        // Back from the kernel routine of a normal kernel APC.
        2 => {
            if let Some(stop) = at_apc_level(f)? {
                return Ok(stop);
            }
            let normal = f.local(NORMAL)?;
            if normal == 0 {
                f.m.set(thread.apc_state().kernel_apc_in_progress(), 0)?;
                return next_kernel(f, thread);
            }
            f.m.set(thread.apc_state().kernel_apc_in_progress(), 1)?;
            f.m.set(PCR.irql(), PASSIVE_LEVEL)?;
            let args = [f.local(CONTEXT)?, f.local(ARGUMENT1)?, f.local(ARGUMENT2)?];
            f.call(Va(normal), &args, 3)
        }
        3 => {
            f.m.set(PCR.irql(), APC_LEVEL)?;
            f.m.set(thread.apc_state().kernel_apc_in_progress(), 0)?;
            next_kernel(f, thread)
        }
        // Back from the kernel routine of a user APC.
        4 => {
            if let Some(stop) = at_apc_level(f)? {
                return Ok(stop);
            }
            let normal = f.local(NORMAL)?;
            if normal == 0 {
                super::apc::test_alert(f.m, USER)?;
                return end(f, thread);
            }
            let args =
                [f.arg(1)?, f.arg(2)?, normal, f.local(CONTEXT)?, f.local(ARGUMENT1)?, f.local(ARGUMENT2)?];
            f.call(Ke::KiInitializeUserApc.at(), &args, 5)
        }
        _ => end(f, thread),
    }
}

/// Takes an APC out of its list and calls its kernel routine.
fn call_kernel_routine(f: &mut Frame, apc: KApc, stage: u8) -> Result<Flow, Fault> {
    apc.apc_list_entry().unlink(f.m)?;
    f.m.set(apc.inserted(), 0)?;
    let routine = f.m.get(apc.kernel_routine())?;
    for (local, value) in [
        (NORMAL, f.m.get(apc.normal_routine())?.0),
        (CONTEXT, f.m.get(apc.normal_context())?),
        (ARGUMENT1, f.m.get(apc.system_argument1())?),
        (ARGUMENT2, f.m.get(apc.system_argument2())?),
        (KERNEL_ROUTINE, routine.0),
        (APC, apc.va().0),
    ] {
        f.set_local(local, value)?;
    }
    let at = |local| f.local_at(local).0;
    let args = [apc.va().0, at(NORMAL), at(CONTEXT), at(ARGUMENT1), at(ARGUMENT2)];
    f.call(routine, &args, stage)
}

/// Step 3: the next kernel APC that may be delivered, else step 4.
fn next_kernel(f: &mut Frame, thread: KThread) -> Result<Flow, Fault> {
    let state = thread.apc_state();
    let list: ListEntry = state.kernel_list();
    let first = f.m.get(list.flink())?;
    if first == list {
        return user(f, thread);
    }
    f.m.set(state.kernel_apc_pending(), 0)?;
    let apc = first.owner(KApc::apc_list_entry);
    if f.m.get(apc.normal_routine())?.is_null() {
        return call_kernel_routine(f, apc, 1);
    }
    let busy = f.m.get(state.kernel_apc_in_progress())? != 0;
    if busy || f.m.get(thread.kernel_apc_disable())? != 0 {
        return end(f, thread);
    }
    call_kernel_routine(f, apc, 2)
}

/// Step 4: one user APC.
fn user(f: &mut Frame, thread: KThread) -> Result<Flow, Fault> {
    let state = thread.apc_state();
    let list: ListEntry = state.user_list();
    let mode = f.arg(0)?;
    if mode != USER || list.is_empty(f.m)? || f.m.get(state.user_apc_pending())? == 0 {
        return end(f, thread);
    }
    f.m.set(state.user_apc_pending(), 0)?;
    let apc = f.m.get(list.flink())?.owner(KApc::apc_list_entry);
    call_kernel_routine(f, apc, 4)
}

/// Step 6. There is no SLIST pop sequence to rewind (nt52.md 7.5, low confidence).
fn end(f: &mut Frame, thread: KThread) -> Result<Flow, Fault> {
    let process = f.m.get(thread.apc_state().process())?;
    let before = f.local(PROCESS)?;
    if process.va().0 != before {
        let index = f.m.get(thread.apc_state_index())?.into();
        let dpc = f.m.get(PCR.dpc_routine_active())?.into();
        return bugcheck::stop(
            f,
            bugcheck::INVALID_PROCESS_ATTACH_ATTEMPT,
            [before, process.va().0, index, dpc],
        );
    }
    let saved = f.local(SAVED_FRAME)?;
    f.m.set(thread.trap_frame(), (saved != 0).then_some(KTrapFrame::at(Va(saved))))?;
    Ok(Flow::Return(0))
}

/// A kernel routine must come back at the IRQL at which it was called.
fn at_apc_level(f: &mut Frame) -> Result<Option<Flow>, Fault> {
    let irql = f.m.get(PCR.irql())?;
    if irql == APC_LEVEL {
        return Ok(None);
    }
    let levels = u32::from(irql) << 16 | u32::from(APC_LEVEL) << 8;
    let what = [levels, f.local(KERNEL_ROUTINE)?, f.local(APC)?, f.local(NORMAL)?];
    bugcheck::stop(f, bugcheck::IRQL_UNEXPECTED_VALUE, what).map(Some)
}

/// Bytes above the APC's frame for the dispatcher's SEH record: what 5.2 leaves there and XP did not. Of
/// medium confidence (nt52.md 5.6, 15).
const SEH_PAD: u32 = 8;
/// The argument block and the CONTEXT.
const USER_APC_FRAME: u32 = 0x10 + flags::SIZE;

/// KiInitializeUserApc(ExceptionFrame, TrapFrame, NormalRoutine, NormalContext, SystemArgument1,
/// SystemArgument2).
pub(crate) fn ki_initialize_user_apc(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let frame = f.arg_ptr::<KTrapFrame>(1)?;
    if f.m.get(frame.e_flags())? & machine::registers::flags::VM != 0 {
        return Ok(Flow::Return(0));
    }
    let args = [f.arg(2)?, f.arg(3)?, f.arg(4)?, f.arg(5)?];
    match write_frame(f.m, nt, frame, args) {
        Ok(true) => Ok(Flow::Return(0)),
        // The stack cannot take it: an exception in user mode, at the place where the APC came.
        Ok(false) | Err(_) => {
            let eip = f.m.get(frame.eip())?;
            let esp = f.m.get(frame.hardware_esp())?;
            let record = exception::Record {
                code: Status::ACCESS_VIOLATION.0,
                address: eip,
                information: vec![1, esp.wrapping_sub(USER_APC_FRAME + SEH_PAD)],
            };
            exception::raise(f, frame, &record, 1)
        }
    }
}

/// Whether the dispatcher's record above the frame could be written; the frame itself is written at once.
fn is_writable(m: &mut Machine, at: Va) -> Result<bool, Fault> {
    let mut raw = [0; SEH_PAD as usize];
    Ok(m.bytes(at, &mut raw).is_ok() && m.put(at, &raw).is_ok())
}

fn write_frame(m: &mut Machine, nt: &Nt, frame: KTrapFrame, args: [u32; 4]) -> Result<bool, Fault> {
    let context = context::capture(m, frame, flags::FULL | flags::DEBUG_REGISTERS)?;
    let top = m.get(frame.hardware_esp())? & !3;
    let esp = Va((top.wrapping_sub(SEH_PAD) & !3).wrapping_sub(USER_APC_FRAME));
    if top > USER_PROBE || esp.0 > top {
        return Ok(false);
    }
    let mut raw: Vec<u8> = args.iter().flat_map(|word| word.to_le_bytes()).collect();
    raw.extend(context);
    for page in [esp.page(), esp.page().add(machine::PAGE)] {
        access::resolve(m, page)?;
    }
    if !is_writable(m, esp.add(USER_APC_FRAME))? || m.put(esp, &raw).is_err() {
        return Ok(false);
    }
    let old = m.get(frame.e_flags())?;
    let thread = current(m)?.tcb();
    let iopl = if m.get(thread.iopl())? != 0 { machine::registers::flags::IOPL } else { 0 };
    m.set(frame.eip(), nt.code.ntdll.symbol("KiUserApcDispatcher").0)?;
    m.set(frame.hardware_esp(), esp.0)?;
    context::canonical_selectors(m, frame)?;
    m.set(frame.err_code(), 0)?;
    m.set(frame.e_flags(), context::sanitize_flags(old) | iopl)?;
    Ok(true)
}

/// KiCheckForKernelApcDelivery: called when APCs have just become deliverable again.
pub(crate) fn ki_check_for_kernel_apc_delivery(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            if f.m.get(PCR.irql())? != PASSIVE_LEVEL {
                let thread = current(f.m)?.tcb();
                region::request_delivery(f.m, thread)?;
                return Ok(Flow::Return(0));
            }
            f.m.set(PCR.irql(), APC_LEVEL)?;
            f.call(Ke::KiDeliverApc.at(), &[KERNEL, 0, 0], 1)
        }
        _ => {
            f.m.set(PCR.irql(), PASSIVE_LEVEL)?;
            Ok(Flow::Return(0))
        }
    }
}
