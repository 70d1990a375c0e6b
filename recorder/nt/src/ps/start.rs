//! A thread's first run in the kernel (nt52.md 5.3, 5.4), and NtContinue and NtTestAlert (5.8, 7.9).

use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::global::NTDLL;
use crate::ke::thread::current;
use crate::ke::{apc, context, exception, timer};
use crate::layout::*;
use crate::mm::access::{previous_mode, probe, read_bytes};
use crate::mm::process::LOCALE;
use crate::table::Ke;
use contract::context as groups;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Slot, Va, Write};
use machine::{Machine, Reg};

/// PspUserThreadStartup(StartRoutine, StartContext).
pub(crate) fn psp_user_thread_startup(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?;
    match f.stage {
        // Pending kernel APCs, a suspension or an exit, are delivered as this returns.
        0 => f.call(Ke::KfLowerIrql.at(), &[PASSIVE_LEVEL.into()], 1),
        1 => {
            let flags = f.m.get(thread.cross_thread_flags())?;
            if flags & cross::DEADTHREAD != 0 {
                let status = Status::THREAD_IS_TERMINATING.0;
                return f.call(Ke::PspTerminateThreadByPointer.at(), &[thread.va().0, status, 1], 2);
            }
            let teb = Teb::at(f.m.get(thread.tcb().teb())?);
            let ideal = f.m.get(thread.tcb().ideal_processor())?;
            // The TEB may be gone or protected by now; nothing depends on these two.
            let _ = f.m.set(teb.current_locale(), LOCALE);
            let _ = f.m.set(teb.ideal_processor(), ideal);
            if flags & cross::HIDEFROMDBG != 0 {
                return deliver(nt, f, thread);
            }
            let start = f.arg(1)?;
            f.call(Ke::DbgkCreateThread.at(), &[thread.va().0, start], 2)
        }
        2 => deliver(nt, f, thread),
        3 => f.call(Ke::KfLowerIrql.at(), &[PASSIVE_LEVEL.into()], 4),
        _ => {
            make_cookie(f)?;
            Ok(Flow::Return(0))
        }
    }
}

/// Step 5: the user APC frame for LdrInitializeThunk, without an APC.
fn deliver(nt: &Nt, f: &mut Frame, thread: EThread) -> Result<Flow, Fault> {
    f.m.set(PCR.irql(), APC_LEVEL)?;
    let frame = KThread::user_frame(f.m.get(thread.tcb().initial_stack())?);
    let thunk = nt.code.ntdll.symbol("LdrInitializeThunk");
    f.call(Ke::KiInitializeUserApc.at(), &[0, frame.va().0, thunk.0, 0, NTDLL.0, 0], 3)
}

/// Step 6: the system-wide pointer-encoding cookie. There are no page faults to count.
fn make_cookie(f: &mut Frame) -> Result<(), Fault> {
    if f.m.get(SHARED.cookie())? != 0 {
        return Ok(());
    }
    let interrupt = timer::interrupt_time(f.m)? as u32;
    let system = timer::system_time(f.m)?;
    let cookie = interrupt ^ system as u32 ^ (system >> 32) as u32 ^ f.local_at(0).0;
    f.m.set(SHARED.cookie(), cookie.max(1))
}

/// PspSystemThreadStartup(StartRoutine, StartContext).
pub(crate) fn psp_system_thread_startup(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?;
    match f.stage {
        0 => f.call(Ke::KfLowerIrql.at(), &[PASSIVE_LEVEL.into()], 1),
        1 if f.m.get(thread.cross_thread_flags())? & (cross::TERMINATED | cross::DEADTHREAD) == 0 => {
            let (routine, context) = (f.arg(0)?, f.arg(1)?);
            f.call(Va(routine), &[context], 2)
        }
        1 | 2 => f.call(Ke::PspTerminateThreadByPointer.at(), &[thread.va().0, 0, 1], 3),
        _ => Ok(Flow::Return(0)),
    }
}

/// Goes to KiServiceExit2 with a frame whose link to the previous one has been taken already.
fn leave(nt: &Nt, m: &mut Machine, frame: KTrapFrame) -> Flow {
    m.cpu.set_reg(Reg::Ebp, frame.va().0);
    m.cpu.set_reg(Reg::Esp, frame.va().0);
    m.cpu.eip = nt.code.kernel.symbol("KiServiceExit2").0;
    Flow::Direct
}

/// NtContinue(Context, TestAlert).
pub(crate) fn nt_continue(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (at, test) = (Va(f.arg(0)?), f.arg(1)? & 0xFF != 0);
    let thread = current(f.m)?.tcb();
    let Some(frame) = f.m.get(thread.trap_frame())? else { return done(Status::INVALID_PARAMETER) };
    let link = f.m.get(frame.edx())?;
    f.m.set(thread.trap_frame(), (link != 0).then_some(KTrapFrame::at(Va(link))))?;
    let raw = attempt!(capture(f.m, at));
    prepare(f.m, thread, frame, &raw)?;
    let mode = previous_mode(f.m)?;
    if test {
        apc::test_alert(f.m, mode)?;
    }
    Ok(leave(nt, f.m, frame))
}

fn capture(m: &mut Machine, at: Va) -> Res<Vec<u8>> {
    probe(m, at, groups::SIZE, 4)?;
    read_bytes(m, at, groups::SIZE)
}

/// Makes a system call's frame a whole one and puts a CONTEXT into it: the slots that the entry does
/// not write get what the kernel relies on.
fn prepare(m: &mut Machine, thread: KThread, frame: KTrapFrame, raw: &[u8]) -> Result<(), Fault> {
    for (slot, value) in [
        (frame.seg_ds(), selector::R3_DATA.into()),
        (frame.seg_es(), selector::R3_DATA.into()),
        (frame.seg_gs(), 0),
        (frame.eax(), 0),
        (frame.ecx(), 0),
        (frame.edx(), 0),
    ] {
        m.set(slot, value)?;
    }
    context::apply(m, thread, frame, raw)
}

/// NtTestAlert(). A user APC that becomes pending is delivered at its exit.
pub(crate) fn nt_test_alert(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let mode = previous_mode(f.m)?;
    let alerted = apc::test_alert(f.m, mode)?;
    done(if alerted { Status::ALERTED } else { Status::SUCCESS })
}

/// NtRaiseException(ExceptionRecord, Context, FirstChance): the exception is that of the CONTEXT. Local
/// 0 is the frame.
pub(crate) fn nt_raise_exception(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = current(f.m)?.tcb();
    if f.stage != 0 {
        let frame = f.local_ptr::<KTrapFrame>(0)?;
        return Ok(leave(nt, f.m, frame));
    }
    let Some(frame) = f.m.get(thread.trap_frame())? else { return done(Status::INVALID_PARAMETER) };
    let (record_at, context_at, first) = (Va(f.arg(0)?), Va(f.arg(1)?), f.arg(2)? & 0xFF != 0);
    let raw = attempt!(capture(f.m, context_at));
    let record = attempt!(read_record(f.m, record_at));
    let link = f.m.get(frame.edx())?;
    f.m.set(thread.trap_frame(), (link != 0).then_some(KTrapFrame::at(Va(link))))?;
    prepare(f.m, thread, frame, &raw)?;
    f.set_local(0, frame.va().0)?;
    if first {
        return exception::raise(f, frame, &record, 1);
    }
    exception::raise_second(f, frame, &record, 1)
}

fn read_record(m: &mut Machine, at: Va) -> Res<exception::Record> {
    let raw = read_bytes(m, at, ExceptionRecord::EXTENT)?;
    let layout = ExceptionRecord::at(Va(0));
    let given = |slot: Slot<u32>, index: usize| {
        let at = slot.at.0 as usize + 4 * index;
        u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]])
    };
    let count = (given(layout.number_parameters(), 0) as usize).min(15);
    Ok(exception::Record {
        code: given(layout.code(), 0),
        address: given(layout.address(), 0),
        information: (0..count).map(|index| given(layout.information0(), index)).collect(),
    })
}
