//! KeInitThread, KeStartThread and the first kernel stack (nt52.md 4.4 to 4.6).

use super::context::sanitize_flags;
use super::ready;
use crate::error::Res;
use crate::global::DATA;
use crate::layout::*;
use crate::mm::frames;
use crate::stubs::Code;
use crate::table::Ke;
use contract::Status;
use contract::context::{self, Context};
use guest::{Fault, ListEntry, Pointer, Read, Slot, Va, Write};
use machine::Machine;

/// The current thread.
pub(crate) fn current(m: &mut impl Read) -> Result<EThread, Fault> {
    let thread: KThread = m.get(PCR.current_thread())?;
    Ok(thread.thread())
}

/// The process that the current thread is attached to: its own, unless it is attached to another.
pub(crate) fn current_process(m: &mut impl Read) -> Result<EProcess, Fault> {
    let thread = current(m)?;
    Ok(m.get(thread.tcb().apc_state().process())?.process())
}

/// KeInitThread: everything but the process's side. `user` is a user thread's CONTEXT.
pub(crate) fn init(
    m: &mut Machine,
    code: &Code,
    thread: KThread,
    process: KProcess,
    start: (u32, u32),
    user: Option<&[u8]>,
    teb: Va,
) -> Res<()> {
    super::sync::init_header(m, thread.header(), KObject::Thread, KThread::EXTENT, 0)?;
    thread.mutant_list_head().init(m)?;
    for index in 0..4 {
        m.set(thread.wait_block_at(index).thread(), thread)?;
    }
    m.set(thread.enable_stack_swap(), 1)?;
    m.set(thread.kernel_stack_resident(), 1)?;
    m.set(thread.service_table(), DATA.service_table().at)?;
    for state in [thread.apc_state(), thread.saved_apc_state()] {
        state.kernel_list().init(m)?;
        state.user_list().init(m)?;
    }
    m.set(thread.apc_state().process(), process)?;
    m.set(thread.process(), process)?;
    m.set(thread.apc_state_pointer0(), thread.apc_state())?;
    m.set(thread.apc_state_pointer1(), thread.saved_apc_state())?;
    m.set(thread.apc_queueable(), 1)?;
    let suspend = super::apc::Init {
        environment: super::apc::ORIGINAL,
        kernel: Ke::KiSuspendNop.at(),
        rundown: Ke::KiSuspendRundown.at(),
        normal: Ke::KiSuspendThread.at(),
        mode: KERNEL,
        context: 0,
    };
    super::apc::init(m, thread.suspend_apc(), thread, suspend)?;
    super::sync::init_semaphore(m, thread.suspend_semaphore(), 0, 2)?;
    init_timer(m, thread)?;
    m.set(thread.teb(), teb)?;
    let Some(top) = frames::create_stack(m)? else { return Err(Status::INSUFFICIENT_RESOURCES.into()) };
    m.set(thread.initial_stack(), top)?;
    m.set(thread.stack_base(), top)?;
    m.set(thread.stack_limit(), top.sub(KERNEL_STACK_SIZE))?;
    init_context(m, code, thread, start, user)?;
    m.set(thread.state(), State::Initialized)?;
    Ok(())
}

/// The thread's own timer, linked to its fourth wait block for good.
fn init_timer(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    let timer = thread.timer();
    super::sync::init_header(m, timer.header(), KObject::TimerNotification, KTimer::EXTENT, 0)?;
    let block = thread.timer_wait_block();
    m.set(block.object(), timer.header())?;
    m.set(block.wait_key(), Status::TIMEOUT.0 as u16)?;
    m.set(block.wait_type(), WAIT_ANY as u8)?;
    timer.header().wait_list_head().push_back(m, block.wait_list_entry())
}

/// KiInitializeContextThread: the exact first kernel stack.
fn init_context(
    m: &mut Machine,
    code: &Code,
    thread: KThread,
    (start_routine, start_context): (u32, u32),
    user: Option<&[u8]>,
) -> Result<(), Fault> {
    let top = m.get(thread.initial_stack())?;
    init_floating_point(m, top)?;
    m.set(thread.npx_state(), NPX_STATE_NOT_LOADED)?;
    let below = match user {
        Some(context) => {
            init_trap_frame(m, KThread::user_frame(top), context)?;
            KThread::user_frame(top).va()
        }
        None => KThread::npx_area(top),
    };
    let start = KStartFrame::at(below.sub(KStartFrame::EXTENT));
    let routine = if user.is_some() { Ke::PspUserThreadStartup } else { Ke::PspSystemThreadStartup };
    m.set(start.system_routine(), routine.at())?;
    m.set(start.start_routine(), Va(start_routine))?;
    m.set(start.start_context(), start_context)?;
    m.set(start.user_thread(), u32::from(user.is_some()))?;
    let switch = KSwitchFrame::at(start.va().sub(KSwitchFrame::EXTENT));
    m.set(switch.exception_list(), u32::MAX)?;
    m.set(switch.apc_bypass_disable(), 1)?;
    m.set(switch.ret_addr(), code.kernel.symbol("KiThreadStartup"))?;
    m.set(thread.kernel_stack(), switch.va())?;
    m.set(thread.previous_mode(), user.is_some() as u8)
}

/// The FXSAVE image that every thread starts with, whatever its CONTEXT says.
fn init_floating_point(m: &mut Machine, top: Va) -> Result<(), Fault> {
    let area = FxSaveArea::at(KThread::npx_area(top));
    m.zero(area.va(), FxSaveArea::EXTENT)?;
    m.set(area.control_word(), 0x27F)?;
    m.set(area.mxcsr(), 0x1F80)
}

/// The trap frame through which a user thread first returns to user mode. Debug registers and
/// floating point in the CONTEXT are ignored.
fn init_trap_frame(m: &mut Machine, frame: KTrapFrame, context: &[u8]) -> Result<(), Fault> {
    let layout = Context::at(Va(0));
    let given = |slot: Slot<u32>| {
        let at = slot.at.0 as usize;
        u32::from_le_bytes([context[at], context[at + 1], context[at + 2], context[at + 3]])
    };
    let flags = given(layout.context_flags());
    let has = |group: u32| flags & group == group;
    m.zero(frame.va(), KTrapFrame::EXTENT)?;
    m.set(frame.e_flags(), sanitize_flags(given(layout.e_flags())))?;
    m.set(frame.ebp(), given(layout.ebp()))?;
    m.set(frame.eip(), given(layout.eip()))?;
    m.set(frame.seg_cs(), super::context::user_code_selector(given(layout.seg_cs())))?;
    m.set(frame.hardware_seg_ss(), given(layout.seg_ss()) & 0xFFFF | 3)?;
    m.set(frame.hardware_esp(), given(layout.esp()))?;
    if has(context::INTEGER) {
        m.set(frame.eax(), given(layout.eax()))?;
        m.set(frame.ebx(), given(layout.ebx()))?;
        m.set(frame.ecx(), given(layout.ecx()))?;
        m.set(frame.edx(), given(layout.edx()))?;
        m.set(frame.esi(), given(layout.esi()))?;
        m.set(frame.edi(), given(layout.edi()))?;
    }
    let segments = has(context::SEGMENTS);
    let selector = |slot| if segments { given(slot) & 0xFFFF | 3 } else { 3 };
    m.set(frame.seg_ds(), selector(layout.seg_ds()))?;
    m.set(frame.seg_es(), selector(layout.seg_es()))?;
    m.set(frame.seg_fs(), selector(layout.seg_fs()))?;
    if super::context::user_code_selector(given(layout.seg_cs())) != u32::from(selector::R3_CODE) {
        m.set(frame.seg_gs(), if segments { given(layout.seg_gs()) & 0xFFFF } else { 0 })?;
    }
    m.set(frame.dbg_arg_mark(), DBG_ARG_MARK)?;
    m.set(frame.previous_previous_mode(), USER)?;
    m.set(frame.exception_list(), u32::MAX)
}

/// KeUninitThread.
pub(crate) fn uninit(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    let top = m.get(thread.initial_stack())?;
    if !top.is_null() {
        frames::delete_stack(m, top)?;
        m.set(thread.initial_stack(), Va(0))?;
    }
    Ok(())
}

/// KeStartThread. The thread stays Initialized.
pub(crate) fn start(m: &mut Machine, thread: KThread) -> Result<(), Fault> {
    let process = m.get(thread.process())?;
    let quantum = m.get(process.quantum_reset())?;
    m.set(thread.quantum(), quantum)?;
    m.set(thread.quantum_reset(), quantum)?;
    let boost = m.get(process.process_flags())? & 2;
    m.set(thread.thread_flags(), boost)?;
    let iopl = m.get(process.iopl())?;
    m.set(thread.iopl(), iopl)?;
    let priority = m.get(process.base_priority())?;
    m.set(thread.priority(), priority)?;
    m.set(thread.base_priority(), priority)?;
    let affinity = m.get(process.affinity())?;
    m.set(thread.affinity(), affinity)?;
    m.set(thread.user_affinity(), affinity)?;
    let list: ListEntry = process.thread_list_head();
    list.push_back(m, thread.thread_list_entry())?;
    let count = m.get(process.stack_count())? + 1;
    m.set(process.stack_count(), count)
}

/// KeReadyThread(Thread).
pub(crate) fn ke_ready_thread(_: &crate::Nt, f: &mut contract::Frame) -> Result<contract::Flow, Fault> {
    let thread = f.arg_ptr::<KThread>(0)?;
    ready::ready_thread(f.m, thread)?;
    Ok(contract::Flow::Return(0))
}

/// KeTerminateThread(Increment), the last thing a thread does (nt52.md 9.11). Its object is signaled
/// after it has been put on the reaper's list: the stack it stands on must not go before it has left.
pub(crate) fn ke_terminate_thread(_: &crate::Nt, f: &mut contract::Frame) -> Result<contract::Flow, Fault> {
    let increment = f.arg(0)?;
    let thread = current(f.m)?;
    let m = &mut *f.m;
    crate::ex::worker::push_reaper(m, thread)?;
    let header = thread.tcb().header();
    m.set(header.signal_state(), 1)?;
    super::sync::wait_test(m, header, increment)?;
    thread.tcb().thread_list_entry().unlink(m)?;
    m.set(thread.tcb().state(), State::Terminated)?;
    let process = m.get(thread.tcb().process())?;
    let count = m.get(process.stack_count())? - 1;
    m.set(process.stack_count(), count)?;
    if m.get(PCR.npx_thread())? == Some(thread.tcb()) {
        m.set(PCR.npx_thread(), None)?;
    }
    m.set(PCR.irql(), DISPATCH_LEVEL)?;
    Ok(contract::Flow::Jump(Ke::KiSwapThread.at()))
}
