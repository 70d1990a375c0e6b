//! Register sets between CONTEXT and trap frame, and the services that move them (reactos.md 7.7, 7.10).

use crate::{ReactOs, ke, layout::*, ob, ps, routines::Ke, stubs};
use contract::{
    Flow, Frame, Status,
    context::{self, Context},
};
use guest::{Read, Va, Write};
use machine::{Fault, Machine, Reg, registers::control};

fn wants(flags: u32, part: u32) -> bool {
    flags & part == part
}

/// KeTrapFrameToContext: what `flags` asks for, of control, integer and segment registers.
pub(crate) fn from_frame(m: &mut Machine, frame: TrapFrame, to: Context, flags: u32) -> R<()> {
    if wants(flags, context::CONTROL) {
        let words = [
            (to.ebp(), frame.ebp()),
            (to.eip(), frame.eip()),
            (to.seg_cs(), frame.cs()),
            (to.e_flags(), frame.eflags()),
            (to.esp(), frame.esp()),
        ];
        copy(m, &words)?;
        let ss = m.get(frame.ss())?;
        m.set(to.seg_ss(), u32::from(ss))?;
    }
    if wants(flags, context::INTEGER) {
        let words = [
            (to.edi(), frame.edi()),
            (to.esi(), frame.esi()),
            (to.ebx(), frame.ebx()),
            (to.edx(), frame.edx()),
            (to.ecx(), frame.ecx()),
            (to.eax(), frame.eax()),
        ];
        copy(m, &words)?;
    }
    if wants(flags, context::SEGMENTS) {
        let words = [
            (to.seg_ds(), frame.ds()),
            (to.seg_es(), frame.es()),
            (to.seg_fs(), frame.fs()),
            (to.seg_gs(), frame.gs()),
        ];
        for (to, from) in words {
            let value = m.get(from)?;
            m.set(to, u32::from(value))?;
        }
    }
    Ok(())
}

/// KeContextToTrapFrame: raw, with no look at what EFlags, CS or SS hold.
pub(crate) fn to_frame(m: &mut Machine, from: Context, frame: TrapFrame) -> R<()> {
    let flags = m.get(from.context_flags())?;
    if wants(flags, context::CONTROL) {
        let words = [
            (frame.esp(), from.esp()),
            (frame.cs(), from.seg_cs()),
            (frame.eip(), from.eip()),
            (frame.eflags(), from.e_flags()),
            (frame.ebp(), from.ebp()),
        ];
        copy(m, &words)?;
        let ss = m.get(from.seg_ss())?;
        m.set(frame.ss(), ss as u16)?;
    }
    if wants(flags, context::INTEGER) {
        let words = [
            (frame.eax(), from.eax()),
            (frame.ebx(), from.ebx()),
            (frame.ecx(), from.ecx()),
            (frame.edx(), from.edx()),
            (frame.esi(), from.esi()),
            (frame.edi(), from.edi()),
        ];
        copy(m, &words)?;
    }
    if wants(flags, context::SEGMENTS) {
        let words = [
            (frame.ds(), from.seg_ds()),
            (frame.es(), from.seg_es()),
            (frame.fs(), from.seg_fs()),
            (frame.gs(), from.seg_gs()),
        ];
        for (to, from) in words {
            let value = m.get(from)?;
            m.set(to, value as u16)?;
        }
    }
    Ok(())
}

/// Copies doublewords: (to, from).
fn copy(m: &mut Machine, words: &[(guest::Slot<u32>, guest::Slot<u32>)]) -> R<()> {
    for (to, from) in words {
        let value = m.get(*from)?;
        m.set(*to, value)?;
    }
    Ok(())
}

/// NtContinue(Context, TestAlert) (7.7). TestAlert is ignored. It leaves through KeRosTrapReturn,
/// which delivers pending APCs against the new context.
pub(crate) fn nt_continue(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = ke::current(f.m)?;
    let frame = TrapFrame(f.m.get(thread.tcb().trap_frame())?);
    if f.stage == 0 {
        let from = Context(Va(f.arg(0)?));
        if frame.0.is_null() {
            return f.call(Ke::KeBugCheck.at(), &[stop::GENERIC], 1);
        }
        let previous = f.m.get(frame.edx())?;
        f.set_local(0, previous)?;
        if from.0.is_null() {
            return Ok(Flow::Return(Status::INVALID_PARAMETER.0));
        }
        to_frame(f.m, from, frame)?;
        let area = ke::fpu::area(f.m, thread)?;
        // A live state would be saved over the area later: it is given up.
        if ke::fpu::context_to_area(f.m, area, from)? {
            f.m.set(thread.tcb().npx_state(), npx::VALID)?;
            let old = ke::irql::raise(f.m, irql::DISPATCH)?;
            if f.m.get(PCR.npx_thread())? == Some(thread) {
                f.m.set(PCR.npx_thread(), None)?;
                f.m.cpu.cr0 |= control::TS;
            }
            return f.call(Ke::KfLowerIrql.at(), &[u32::from(old)], 1);
        }
    }
    let previous = f.local(0)?;
    f.m.cpu.set_reg(Reg::Ecx, frame.0.0);
    f.m.cpu.set_reg(Reg::Edx, previous);
    f.m.cpu.eip = stubs::kernel().symbol("KeRosTrapReturn").0;
    Ok(Flow::Direct)
}

const THREAD: u8 = 0;
/// KEVENT, locals 1 to 4.
const EVENT: (u8, u8) = (1, 4);
/// KAPC, locals 5 to 16.
const APC: (u8, u8) = (5, 12);

/// NtGetContextThread(ThreadHandle, Context) (7.10).
pub(crate) fn nt_get(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    service(f, false)
}

/// NtSetContextThread(ThreadHandle, Context) (7.10): nothing is sanitised.
pub(crate) fn nt_set(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    service(f, true)
}

/// Both services. The context of the remote form is lost: with a NULL normal routine KeInitializeApc
/// drops it, so the kernel routine works on address 0.
fn service(f: &mut Frame, set: bool) -> Result<Flow, Fault> {
    match f.stage {
        0 => {
            let (handle, user) = (f.arg(0)?, Va(f.arg(1)?));
            let mut raw = vec![0; context::SIZE as usize];
            if f.m.bytes(user, &mut raw).is_err() {
                return Ok(Flow::Return(Status::ACCESS_VIOLATION.0));
            }
            let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
                Ok(body) => EThread(body),
                Err(status) => return Ok(Flow::Return(status.0)),
            };
            f.set_local(THREAD, thread.0.0)?;
            if thread == ke::current(f.m)? {
                let frame = TrapFrame(f.m.get(thread.tcb().trap_frame())?);
                let status = own(f.m, frame, Context(user), set)?;
                ob::dereference(f.m, thread.0)?;
                return Ok(Flow::Return(status.0));
            }
            let (event, apc) = (Header(f.block(EVENT.0, EVENT.1)), KApc(f.block(APC.0, APC.1)));
            ke::event::init(f.m, event, false, false)?;
            let kernel = if set { Ke::KeSetContextKernelRoutine } else { Ke::KeGetContextKernelRoutine };
            let with = ke::apc::Init {
                kernel: kernel.at(),
                rundown: Va(0),
                normal: Va(0),
                mode: KERNEL_MODE,
                context: user.0,
            };
            ke::apc::init(f.m, apc, thread, with)?;
            f.call(Ke::KeInsertQueueApc.at(), &[apc.0.0, event.0.0, 0, 0], 1)
        }
        1 => {
            if f.result() == 0 {
                let thread = Va(f.local(THREAD)?);
                ob::dereference(f.m, thread)?;
                return Ok(Flow::Return(Status::THREAD_IS_TERMINATING.0));
            }
            let event = f.block(EVENT.0, EVENT.1).0;
            f.call(Ke::KeWaitForSingleObject.at(), &[event, reason::EXECUTIVE, USER_MODE, 0, 0], 2)
        }
        _ => {
            let (status, thread) = (f.result(), Va(f.local(THREAD)?));
            ob::dereference(f.m, thread)?;
            Ok(Flow::Return(status))
        }
    }
}

/// The caller's own registers: the frame of this very call.
fn own(m: &mut Machine, frame: TrapFrame, user: Context, set: bool) -> R<Status> {
    if set {
        to_frame(m, user, frame)?;
        return Ok(Status::SUCCESS);
    }
    let flags = m.get(user.context_flags())?;
    let written = (|| {
        from_frame(m, frame, user, flags)?;
        // Floating-point and debug registers are not filled; their bits are cleared.
        let unfilled = (context::FLOATING_POINT | context::DEBUG_REGISTERS) & !context::I386;
        m.set(user.context_flags(), flags & !unfilled)
    })();
    Ok(if written.is_ok() { Status::SUCCESS } else { Status::ACCESS_VIOLATION })
}

/// KeGetContextKernelRoutine(Apc, *Normal, *Context, *Event, *Argument2): runs in the target.
pub(crate) fn get_kernel_routine(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    kernel_routine(f, false)
}

/// KeSetContextKernelRoutine.
pub(crate) fn set_kernel_routine(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    kernel_routine(f, true)
}

fn kernel_routine(f: &mut Frame, set: bool) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let place = Va(f.arg(2)?);
    let user = Context(f.m.load(place)?);
    let flags = f.m.get(user.context_flags())?;
    let thread = ke::current(f.m)?;
    let frame = TrapFrame(f.m.get(thread.tcb().trap_frame())?);
    if set {
        ps::context::to_frame(f.m, user, frame)?;
    } else {
        from_frame(f.m, frame, user, flags)?;
    }
    let place = Va(f.arg(3)?);
    let event: u32 = f.m.load(place)?;
    f.call(Ke::KeSetEvent.at(), &[event, 0, 0], 1)
}
