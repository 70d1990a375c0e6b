//! The structures on a thread's kernel stack, for drawing it.

use crate::Nt;
use crate::layout::*;
use contract::ThreadStatus;
use guest::{Peek, Pointer, Read, Va};
use machine::Machine;

/// Links of the EBP chain that are looked at, at most.
const FRAMES: usize = 64;

/// Trap frames on the EBP chain and where the thread says that they are, the switch frame of a thread
/// that does not run, and the start frame of one that never did.
pub(crate) fn frames(nt: &Nt, m: &Machine, thread: &ThreadStatus) -> Vec<(Va, &'static str)> {
    let mut peek = Peek { machine: m, cr3: thread.cr3 };
    let (low, high) = thread.stack;
    let tcb = EThread::at(thread.id.at).tcb();
    let inside = |at: Va| at >= low && at < high;
    let mut found = Vec::new();
    let mut fpu = None;
    let mut trap = |peek: &mut Peek, at: Va| {
        let frame = KTrapFrame::at(at);
        if inside(at) && peek.get(frame.dbg_arg_mark()) == Ok(DBG_ARG_MARK) {
            found.push((at, "KTRAP_FRAME"));
        }
    };
    if !high.is_null() {
        fpu = Some(KThread::npx_area(high));
        trap(&mut peek, KThread::user_frame(high).va());
    }
    if let Ok(Some(frame)) = peek.get(tcb.trap_frame()) {
        trap(&mut peek, frame.va());
    }
    let ring0 = thread.switched.or(thread.resume.filter(|resume| !resume.user));
    let mut ebp = Va(ring0.map_or(0, |resume| resume.ebp));
    for _ in 0..FRAMES {
        if !inside(ebp) {
            break;
        }
        trap(&mut peek, ebp);
        match peek.load::<Va>(ebp) {
            Ok(next) if next > ebp => ebp = next,
            _ => break,
        }
    }
    if let Some(at) = thread.switched.map(|switched| Va(switched.esp)).filter(|at| inside(*at)) {
        found.push((at, "KSWITCHFRAME"));
        let start = nt.code.kernel.symbol("KiThreadStartup");
        let behind = match peek.get(KSwitchFrame::at(at).ret_addr()) == Ok(start) {
            true => "KSTART_FRAME",
            false => "KiSwapContext",
        };
        found.push((at.add(KSwitchFrame::EXTENT), behind));
    }
    found.extend(fpu.map(|at| (at, "FX_SAVE_AREA")));
    found.sort_unstable();
    found.dedup();
    found
}
