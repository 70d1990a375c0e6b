//! Exceptions (reactos.md 1.5, 6.3, 10.1).
//!
//! The sheet describes what becomes of an exception, not the dispatcher. Simplified here: a fault in
//! ring 3 goes to the program at once, with a record and a CONTEXT on its stack (first chance; no
//! debugger exists to be asked). The statuses of the vectors are the usual ones.

use crate::{ReactOs, ke, layout::*, ps, routines::Ke, user};
use contract::{Flow, Frame, Status, context};
use guest::{Read, Va, Write};
use machine::{Fault, Machine, registers::flags};

/// Bytes in an EXCEPTION_RECORD.
const RECORD: u32 = 0x50;

/// KiTrapHandler(Vector, Frame).
pub(crate) fn handler(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(0));
    }
    let (vector, frame) = (f.arg(0)?, f.arg_ptr::<TrapFrame>(1)?);
    if vector == 7 {
        return f.call(Ke::KiHandleFpuFault.at(), &[], 1);
    }
    let (status, information) = exception(f.m, vector, frame)?;
    let kernel = f.m.get(frame.cs())? & 3 == 0;
    let eip = f.m.get(frame.eip())?;
    let [first, second] = information.unwrap_or([0, 0]);
    if kernel {
        // No frame on the exception list handles it: a service's guard is Rust here (6.3).
        let code = stop::KMODE_EXCEPTION_NOT_HANDLED;
        return f.call(Ke::KeBugCheckEx.at(), &[code, status.0, eip, first, second], 1);
    }
    let count = if information.is_some() { 2 } else { 0 };
    f.call(Ke::KiDispatchException.at(), &[frame.0.0, status.0, count, first, second], 1)
}

/// KiServiceCheck(Number): the thread's first call into table 1 stores that table's pointer (6.2).
/// PsInitWin32Thread, which comes before, finds no win32k to tell.
pub(crate) fn service_check(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let tcb = ke::current(f.m)?.tcb();
    f.m.set(tcb.service_table(), SHADOW_SERVICE_TABLE)?;
    Ok(Flow::Return(0))
}

/// What an exception is called, and its two parameters if it has any. INTO is a #GP, since the gate of
/// vector 4 is for ring 0 (1.5); CR0.AM is never set, so #AC does not come, nor #XM without
/// CR4.OSXMMEXCPT.
fn exception(m: &mut Machine, vector: u32, frame: TrapFrame) -> R<(Status, Option<[u32; 2]>)> {
    const BOUNDS: Status = Status(0xC000_008C);
    Ok(match vector {
        0 => (Status::INTEGER_DIVIDE_BY_ZERO, None),
        1 => (Status::SINGLE_STEP, None),
        3 => (Status::BREAKPOINT, None),
        5 => (BOUNDS, None),
        6 => (Status::ILLEGAL_INSTRUCTION, None),
        13 => (general_protection(m, frame)?, None),
        14 => {
            let write = m.get(frame.error_code())? >> 1 & 1;
            (Status::ACCESS_VIOLATION, Some([write, m.get(frame.debug_pointer())?]))
        }
        16 => (floating_point(m)?, None),
        _ => (Status::ACCESS_VIOLATION, None),
    })
}

/// #MF: the exception that the thread's FPU reports and does not mask. The sheet names no code for any;
/// these are the documented ones, in the order in which the processor ranks what came together.
fn floating_point(m: &mut Machine) -> R<Status> {
    let thread = ke::current(m)?;
    // An interrupt before here can have handed the FPU on.
    let (control, status) = if m.get(PCR.npx_thread())? == Some(thread) {
        (m.cpu.fpu.control, m.cpu.fpu.status)
    } else {
        let area = ke::fpu::area(m, thread)?;
        (m.load(area)?, m.load(area.add(2))?)
    };
    let code = match status & !control & 0x3F {
        unmasked if unmasked & 1 != 0 => match status & 0x40 {
            0 => 0xC000_0090, // STATUS_FLOAT_INVALID_OPERATION
            _ => 0xC000_0092, // STATUS_FLOAT_STACK_CHECK
        },
        unmasked if unmasked & 4 != 0 => 0xC000_008E, // STATUS_FLOAT_DIVIDE_BY_ZERO
        unmasked if unmasked & 2 != 0 => 0xC000_008D, // STATUS_FLOAT_DENORMAL_OPERAND
        unmasked if unmasked & 8 != 0 => 0xC000_0091, // STATUS_FLOAT_OVERFLOW
        unmasked if unmasked & 16 != 0 => 0xC000_0093, // STATUS_FLOAT_UNDERFLOW
        _ => 0xC000_008F,                             // STATUS_FLOAT_INEXACT_RESULT
    };
    Ok(Status(code))
}

/// #GP: a privileged instruction if the code there is one, else an access violation.
fn general_protection(m: &mut Machine, frame: TrapFrame) -> R<Status> {
    let mut code = [0; 2];
    let eip = Va(m.get(frame.eip())?);
    let readable = m.peek(m.cpu.cr3, eip, &mut code).is_ok();
    let privileged = match code {
        // HLT, CLI, STI, IN and OUT, INS and OUTS.
        [0xF4 | 0xFA | 0xFB | 0xE4..=0xE7 | 0xEC..=0xEF | 0x6C..=0x6F, _] => true,
        // Descriptor tables, CR and DR moves, CLTS, INVD, MSRs.
        [0x0F, 0x00 | 0x01 | 0x06 | 0x08 | 0x09 | 0x20..=0x23 | 0x30..=0x33] => true,
        _ => false,
    };
    Ok(if readable && privileged { Status::PRIVILEGED_INSTRUCTION } else { Status::ACCESS_VIOLATION })
}

/// KiDispatchException(Frame, Status, ParameterCount, Parameter1, Parameter2): a record and a CONTEXT
/// on the user stack, unprobed as in 7.5, and on to KiUserExceptionDispatcher.
pub(crate) fn dispatch(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let frame: TrapFrame = f.arg_ptr(0)?;
    let (status, count, first, second) = (f.arg(1)?, f.arg(2)?, f.arg(3)?, f.arg(4)?);
    let at = Va(f.m.get(frame.esp())?).sub(context::SIZE);
    f.m.zero(at, context::SIZE)?;
    ps::context::from_frame(f.m, frame, context::Context(at), context::FULL)?;
    f.m.set(context::Context(at).context_flags(), context::FULL)?;
    let record = at.sub(RECORD);
    f.m.zero(record, RECORD)?;
    let eip = f.m.get(frame.eip())?;
    let words = [status, 0, 0, eip, count, first, second];
    for (index, value) in words.into_iter().enumerate() {
        f.m.store(record.add(4 * index as u32), value)?;
    }
    // KiUserExceptionDispatcher(Record, Context), entered with a return address that is never used.
    let esp = record.sub(12);
    for (index, value) in [DEADBEEF, record.0, at.0].into_iter().enumerate() {
        f.m.store(esp.add(4 * index as u32), value)?;
    }
    let eflags = f.m.get(frame.eflags())?;
    f.m.set(frame.eflags(), eflags & !flags::TF)?;
    f.m.set(frame.esp(), esp.0)?;
    f.m.set(frame.eip(), user::Us::KiUserExceptionDispatcher.at().0)?;
    Ok(Flow::Return(0))
}
