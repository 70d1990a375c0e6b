//! The structures on a thread's kernel stack, for drawing it.

use crate::layout::*;
use contract::ThreadStatus;
use guest::{Peek, Read, Va};
use machine::Machine;

/// Links of the EBP chain that are looked at, at most.
const LINKS: usize = 64;

/// Trap frames on the EBP chain and where the thread says that they are, and the switch frame of a
/// thread that does not run; of a thread that never ran also what its start stub will find. A trap frame
/// is known by DebugEbp and DebugEip, which repeat Ebp and Eip.
pub(crate) fn all(m: &Machine, thread: &ThreadStatus) -> Vec<(Va, &'static str)> {
    let mut p = Peek { machine: m, cr3: thread.cr3 };
    let (low, high) = thread.stack;
    let tcb = EThread(thread.id.at).tcb();
    let inside = |at: Va| at >= low && at < high;
    let mut found = Vec::new();
    let mut trap = |p: &mut Peek, at: Va| {
        let frame = TrapFrame(at);
        let repeats = p.get(frame.debug_ebp()) == p.get(frame.ebp())
            && p.get(frame.debug_eip()) == p.get(frame.eip())
            && p.get(frame.cs()).is_ok_and(|cs| {
                [selector::KERNEL_CS, selector::USER_CS].map(u32::from).contains(&(cs & 0xFFFF))
            });
        if inside(at) && repeats {
            found.push((at, "KTRAP_FRAME"));
        }
    };
    let switched_out = thread.switched.is_some();
    // No call that ends in a switch leaves so little on the stack.
    let never_ran = switched_out
        && !high.is_null()
        && p.get(tcb.kernel_stack()).is_ok_and(|at| at == high.sub(INIT_SIZE));
    let fpu = (!high.is_null()).then(|| high.sub(FX_AREA));
    if !high.is_null() {
        trap(&mut p, high.sub(USER_FRAME));
    }
    if never_ran {
        trap(&mut p, high.sub(START_FRAME));
    }
    if let Ok(at) = p.get(tcb.trap_frame()) {
        trap(&mut p, at);
    }
    let ring0 = thread.switched.or(thread.resume.filter(|resume| !resume.user));
    let mut ebp = Va(ring0.map_or(0, |resume| resume.ebp));
    for _ in 0..LINKS {
        if !inside(ebp) {
            break;
        }
        trap(&mut p, ebp);
        match p.load::<Va>(ebp) {
            Ok(next) if next > ebp => ebp = next,
            _ => break,
        }
    }
    if switched_out
        && let Ok(at) = p.get(tcb.kernel_stack())
        && inside(at)
    {
        found.push((at, "KSWITCHFRAME"));
    }
    if never_ran {
        found.push((high.sub(START_WORDS), "START_FRAME"));
    }
    found.extend(fpu.map(|at| (at, "FX_SAVE_AREA")));
    found.sort_unstable();
    found.dedup();
    found
}
