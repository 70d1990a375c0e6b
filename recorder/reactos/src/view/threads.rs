//! Threads, as the recorder needs to see them in order to drive them.

use crate::{ke, layout::*, routines::Ke};
use contract::{Activity, Resume, ThreadStatus, routine::STAGES};
use guest::{Read, Survey, Va};
use machine::{Machine, Reg};

/// Bytes in the frame of an interrupt that came in ring 0: behind it lies what ESP pointed to.
const RING0_FRAME: u32 = 0x74;

/// The threads of a process whose objects exist, in the order of creation.
pub(crate) fn of(p: &mut impl Read, process: EProcess) -> Vec<EThread> {
    guest::walk(p, process.pcb().thread_list_head(), EThread::kernel_link).unwrap_or_default()
}

/// [`contract::Kernel::threads`].
pub(crate) fn all(m: &Machine) -> Vec<ThreadStatus> {
    let p = &mut Survey::new(m);
    let current = ke::current(p).unwrap_or(EThread(Va(0)));
    let system = p.get(G.system_process()).ok();
    let mut found = Vec::new();
    for process in super::processes(p) {
        let cr3 = p.get(process.pcb().directory_table_base()).unwrap_or(0);
        let id = super::id(p, process.0);
        for thread in of(p, process) {
            let tcb = thread.tcb();
            let mut stack = |slot| p.get(slot).unwrap_or(Va(0));
            let stack = (stack(tcb.stack_limit()), stack(tcb.stack_base()));
            let at = stand(p, thread);
            let activity = activity_at(p, thread, at);
            let ended = activity == Activity::Terminated;
            let user = user_registers(p, at, stack.1);
            found.push(ThreadStatus {
                id: super::id(p, thread.0),
                process: id,
                activity,
                current: thread == current,
                system: Some(process) == system,
                resume: if ended { None } else { resume(p, thread, at, user) },
                switched: at.filter(|_| !ended && thread != current),
                user,
                stack,
                cr3,
            });
        }
    }
    found
}

/// What a thread is doing.
pub(crate) fn activity(m: &Machine, thread: EThread) -> Activity {
    let p = &mut Survey::new(m);
    let at = stand(p, thread);
    activity_at(p, thread, at)
}

/// What a thread is doing that stands there.
fn activity_at(p: &mut Survey, thread: EThread, at: Option<Resume>) -> Activity {
    let tcb = thread.tcb();
    if p.get(tcb.header().signal_state()).unwrap_or(1) != 0 {
        return Activity::Terminated;
    }
    let state = p.get(tcb.state());
    // One that was woken for a special kernel APC has something to do first.
    let woken = state != Ok(ThreadState::Blocked) && p.get(tcb.apc_state().kernel_apc_pending()) != Ok(0);
    if p.get(tcb.suspend_count()).unwrap_or(0) != 0 && !woken && is_in_suspend_routine(p, thread, at) {
        return Activity::Suspended;
    }
    match state.unwrap_or(ThreadState::Terminated1) {
        ThreadState::Initialized => Activity::Initialized,
        ThreadState::Blocked => Activity::Waiting,
        ThreadState::Terminated1 | ThreadState::Terminated2 => Activity::Terminated,
        _ => Activity::Runnable,
    }
}

/// Where the thread stands: instruction and frame pointer, of its registers or of its switch frame.
fn stand(p: &mut Survey, thread: EThread) -> Option<Resume> {
    if ke::current(p).ok()? == thread {
        let cpu = &p.machine().cpu;
        let (esp, ebp) = (cpu.esp(), cpu.reg(Reg::Ebp));
        return Some(Resume { eip: cpu.eip, esp, ebp, user: cpu.cpl() == 3 });
    }
    let stack = p.get(thread.tcb().kernel_stack()).ok()?;
    let (ebp, eip) = (p.load(stack.add(0x10)).ok()?, p.load(stack.add(0x14)).ok()?);
    Some(Resume { eip, esp: stack.0 + 0x18, ebp, user: false })
}

/// Whether the suspend APC's normal routine is on the thread's kernel stack, and no other APC is being
/// delivered inside it. Trap frames are links of the EBP chain: they begin with DebugEbp and DebugEip.
///
/// A native routine that is about to be entered has no frame yet, and its return address lies on top
/// of the stack: of the processor's, or of what an interrupt at that place has pushed its frame upon.
fn is_in_suspend_routine(p: &mut Survey, thread: EThread, at: Option<Resume>) -> bool {
    let routine = Ke::PiSuspendThreadNormalRoutine.at().0;
    let deliver = Ke::KiDeliverApc.at().0;
    let inside = |eip: u32| (routine..routine + STAGES).contains(&eip);
    let delivers = |eip: u32| (deliver..deliver + STAGES).contains(&eip);
    let is_entry = |eip: u32| (Ke::BASE..Ke::END).contains(&eip) && eip.is_multiple_of(STAGES);
    let Some(at) = at else { return false };
    if at.user {
        return false;
    }
    let tcb = thread.tcb();
    let [low, high] = [tcb.stack_limit(), tcb.stack_base()].map(|slot| p.get(slot).unwrap_or(Va(0)).0);
    let mut word = |at: u32| p.load::<u32>(Va(at)).unwrap_or(0);
    if inside(at.eip) || is_entry(at.eip) && inside(word(at.esp)) {
        return true;
    }
    let mut ebp = at.ebp;
    while (low..high).contains(&ebp) {
        let (next, back) = (word(ebp), word(ebp + 4));
        if inside(back) || is_entry(back) && inside(word(ebp + RING0_FRAME)) {
            return true;
        }
        if next <= ebp || delivers(back) {
            return false;
        }
        ebp = next;
    }
    false
}

/// The user-mode registers of a thread that stands there and has entered the kernel from user mode:
/// those in the frame at the top of its stack. A thread that never ran has another frame there, whose CS
/// field is 0 at this one's place.
fn user_registers(p: &mut Survey, at: Option<Resume>, top: Va) -> Option<Resume> {
    let at = at?;
    if at.user {
        return Some(at);
    }
    if top.is_null() || at.esp > top.0 - USER_FRAME {
        return None;
    }
    let frame = TrapFrame(top.sub(USER_FRAME));
    if p.get(frame.cs()).ok()? & 3 != 3 {
        return None;
    }
    let (eip, esp, ebp) = (p.get(frame.eip()).ok()?, p.get(frame.esp()).ok()?, p.get(frame.ebp()).ok()?);
    Some(Resume { eip, esp, ebp, user: true })
}

/// Where a thread that stands there goes on. One that an interrupt preempted in user mode goes on there,
/// unless kernel APCs wait for it on the way.
fn resume(p: &mut Survey, thread: EThread, at: Option<Resume>, user: Option<Resume>) -> Option<Resume> {
    let at = at?;
    let tcb = thread.tcb();
    let ready = p.get(tcb.state()).ok()? == ThreadState::Ready;
    if at.user || !ready || user.is_none() {
        return Some(at);
    }
    let frame = TrapFrame(p.get(tcb.stack_base()).ok()?.sub(USER_FRAME));
    let by_interrupt = p.get(frame.debug_arg_mark()).ok()? >= u32::from(CLOCK_VECTOR);
    let state = tcb.apc_state();
    let busy =
        p.get(state.kernel_apc_pending()).ok()? != 0 || p.get(state.kernel_apc_in_progress()).ok()? != 0;
    if by_interrupt && !busy { user } else { Some(at) }
}
