//! Threads as the recorder needs to see them in order to drive them.

use super::processes;
use crate::Nt;
use crate::layout::*;
use crate::ob;
use contract::{Activity, ObjectId, Resume, ThreadStatus};
use guest::{Peek, Pointer, Read, Survey, Va, walk};
use machine::{Machine, Reg};

/// What a thread is doing.
pub(super) fn activity(peek: &mut impl Read, thread: KThread) -> Activity {
    if peek.get(thread.header().signal_state()).unwrap_or(0) != 0 {
        return Activity::Terminated;
    }
    match peek.get(thread.state()) {
        Ok(State::Initialized) => Activity::Initialized,
        Ok(State::Terminated) => Activity::Terminated,
        Ok(State::Waiting | State::GateWait) => {
            match u32::from(peek.get(thread.wait_reason()).unwrap_or(0)) {
                reason::SUSPENDED => Activity::Suspended,
                _ => Activity::Waiting,
            }
        }
        _ => Activity::Runnable,
    }
}

/// The thread that has the processor.
pub(crate) fn current(m: &Machine) -> ObjectId {
    let mut peek = Peek::new(m);
    let thread = peek.get(PCR.current_thread()).expect("the KPCR is mapped");
    ob::id(&mut peek, thread.va()).expect("the current thread is there")
}

/// Every thread: by process, then by creation.
pub(crate) fn threads(nt: &Nt, m: &Machine) -> Vec<ThreadStatus> {
    let peek = &mut Survey::new(m);
    let back = nt.code.interrupt_return;
    let mut found = Vec::new();
    for process in processes(peek) {
        let list = walk(peek, process.thread_list_head(), EThread::thread_list_entry);
        for thread in list.unwrap_or_default() {
            found.extend(status(peek, back, process, thread));
        }
    }
    found
}

/// `back` is the interrupt's way out.
fn status(peek: &mut Survey, back: Va, process: EProcess, thread: EThread) -> Option<ThreadStatus> {
    let cpu = &peek.machine().cpu;
    let tcb = thread.tcb();
    let activity = activity(peek, tcb);
    let current = peek.get(PCR.current_thread()).ok()? == tcb;
    let top = peek.get(tcb.initial_stack()).ok()?;
    let system = peek.get(thread.cross_thread_flags()).ok()? & cross::SYSTEM != 0;
    let in_user = current && cpu.cpl() == 3;
    let entered = !system && !in_user && !top.is_null() && activity != Activity::Terminated;
    let user = match entered && activity != Activity::Initialized {
        true => user_registers(peek, KThread::user_frame(top)),
        false => None,
    };
    let resume = match activity {
        Activity::Terminated => None,
        _ if current => Some(Resume { eip: cpu.eip, esp: cpu.esp(), ebp: cpu.reg(Reg::Ebp), user: in_user }),
        _ if user.is_some() && was_in_user(back, peek, tcb, top) => user,
        _ => switched(peek, tcb),
    };
    Some(ThreadStatus {
        id: ob::id(peek, thread.va())?,
        process: ob::id(peek, process.va())?,
        activity,
        current,
        system,
        resume,
        user,
        stack: (if top.is_null() { Va(0) } else { top.sub(KERNEL_STACK_SIZE) }, top),
        cr3: peek.get(process.pcb().directory_table_base()).ok()?,
    })
}

fn user_registers(peek: &mut Survey, frame: KTrapFrame) -> Option<Resume> {
    Some(Resume {
        eip: peek.get(frame.eip()).ok()?,
        esp: peek.get(frame.hardware_esp()).ok()?,
        ebp: peek.get(frame.ebp()).ok()?,
        user: true,
    })
}

/// Bytes from KSWITCHFRAME's return address to the EBP that KiSwapContext pushed.
const SAVED_EBP: u32 = 0xC;

/// Where a thread that has been switched away from goes on.
fn switched(peek: &mut Survey, thread: KThread) -> Option<Resume> {
    let frame = KSwitchFrame::at(peek.get(thread.kernel_stack()).ok()?);
    Some(Resume {
        eip: peek.get(frame.ret_addr()).ok()?.0,
        esp: frame.va().0,
        ebp: peek.load(frame.va().add(SAVED_EBP)).ok()?,
        user: false,
    })
}

/// Frames that are walked at most.
const FRAMES: usize = 64;

/// Whether a thread was switched away from on its way back to user mode from an interrupt there, with
/// no APC that is delivered first: the frames lead straight to the interrupt's way out, `back`.
fn was_in_user(back: Va, peek: &mut Survey, thread: KThread, top: Va) -> bool {
    let frame = KThread::user_frame(top).va();
    let state = thread.apc_state();
    // Inside a guarded region a pending kernel APC waits for the region's end.
    let guarded = peek.get(thread.special_apc_disable()).unwrap_or(0) != 0;
    let kernel = !guarded && peek.get(state.kernel_apc_pending()).unwrap_or(0) != 0;
    if kernel || peek.get(state.user_apc_pending()).unwrap_or(0) != 0 {
        return false;
    }
    let Some(resume) = switched(peek, thread) else { return false };
    let mut ebp = Va(resume.ebp);
    for _ in 0..FRAMES {
        let (Ok(saved), Ok(to)) = (peek.load::<Va>(ebp), peek.load::<Va>(ebp.add(4))) else { return false };
        if saved == frame {
            return to == back;
        }
        if saved <= ebp || saved >= top {
            return false;
        }
        ebp = saved;
    }
    false
}
