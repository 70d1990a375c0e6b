//! A thread's first stack, and its first steps (reactos.md 4.3, 4.10, 5.3).

use crate::{ReactOs, ke, layout::*, routines::Ke, stubs};
use contract::{Flow, Frame, context::Context};
use guest::{Read, Va, Write};
use machine::{Fault, Machine, registers::flags};

/// Ke386InitThreadWithContext: the stack picture of 4.3. `stub` is where the first switch returns to.
/// The context is read in place, and nothing in it is validated.
pub(crate) fn with_context(m: &mut Machine, thread: EThread, from: Context, stub: Va) -> R<()> {
    let tcb = thread.tcb();
    let top = m.get(tcb.kernel_stack())?;
    let start = top.sub(INIT_SIZE);
    // K[0] to K[12].
    let context_flags = m.get(from.context_flags())?;
    let mut words = vec![top.sub(FX_AREA).0, 0, 0, 0, 0, stub.0, context_flags];
    for slot in [from.dr0(), from.dr1(), from.dr2(), from.dr3(), from.dr6(), from.dr7()] {
        words.push(m.get(slot)?);
    }
    for (index, value) in words.into_iter().enumerate() {
        m.store(start.add(4 * index as u32), value)?;
    }
    // The trap frame. Dr0 to Dr7, the reserved halves and the V86 words keep what the page holds.
    let frame = TrapFrame(top.sub(START_FRAME));
    let pairs = [
        (frame.debug_ebp(), from.ebp()),
        (frame.debug_eip(), from.eip()),
        (frame.edx(), from.edx()),
        (frame.ecx(), from.ecx()),
        (frame.eax(), from.eax()),
        (frame.edi(), from.edi()),
        (frame.esi(), from.esi()),
        (frame.ebx(), from.ebx()),
        (frame.ebp(), from.ebp()),
        (frame.cs(), from.seg_cs()),
        (frame.eip(), from.eip()),
        (frame.esp(), from.esp()),
    ];
    for (to, from) in pairs {
        let value = m.get(from)?;
        m.set(to, value)?;
    }
    let zeroes = [
        frame.debug_arg_mark(),
        frame.debug_pointer(),
        frame.temp_cs(),
        frame.temp_eip(),
        frame.error_code(),
    ];
    for slot in zeroes {
        m.set(slot, 0)?;
    }
    let halves = [
        (frame.gs(), from.seg_gs()),
        (frame.es(), from.seg_es()),
        (frame.ds(), from.seg_ds()),
        (frame.ss(), from.seg_ss()),
    ];
    for (to, from) in halves {
        let value = m.get(from)?;
        m.set(to, value as u16)?;
    }
    m.set(frame.previous_mode(), USER_MODE)?;
    m.set(frame.exception_list(), u32::MAX)?;
    m.set(frame.fs(), selector::TEB)?;
    let eflags = (m.get(from.e_flags())? | flags::IF) & !(flags::VM | flags::NT | flags::IOPL);
    m.set(frame.eflags(), eflags)?;
    let valid = ke::fpu::context_to_area(m, top.sub(FX_AREA), from)?;
    m.set(tcb.npx_state(), if valid { npx::VALID } else { npx::INVALID })?;
    m.set(tcb.kernel_stack(), start)
}

/// Ke386InitThreadWithContext(Thread, Context).
pub(crate) fn ke386_init_thread_with_context(kernel: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (thread, from) = (f.arg_ptr::<EThread>(0)?, Context(Va(f.arg(1)?)));
    let stub = stubs::kernel().symbol(kernel.variant.start_stub());
    with_context(f.m, thread, from, stub)?;
    Ok(Flow::Return(0))
}

/// Ke386InitThread: a system thread's first stack.
pub(crate) fn system(m: &mut Machine, thread: EThread, routine: Va, context: u32) -> R<()> {
    let tcb = thread.tcb();
    let top = m.get(tcb.kernel_stack())?;
    let start = top.sub(SYSTEM_START);
    let begin = stubs::kernel().symbol("PsBeginThread");
    let words = [top.sub(FX_AREA).0, 0, 0, 0, 0, begin.0, 0, routine.0, context];
    for (index, value) in words.into_iter().enumerate() {
        m.store(start.add(4 * index as u32), value)?;
    }
    m.set(tcb.npx_state(), npx::INVALID)?;
    m.set(tcb.kernel_stack(), start)
}

/// PiBeforeBeginThread: kernel APCs run in this lowering (5.3 step 1). Declared with a CONTEXT by
/// value, it touches no argument.
pub(crate) fn before_begin_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    match f.stage {
        0 => f.call(Ke::KfLowerIrql.at(), &[u32::from(irql::PASSIVE)], 1),
        _ => Ok(Flow::Return(0)),
    }
}
