//! The structures on a thread's kernel stack, and what stubs have pushed on it, for drawing it.

use crate::Nt;
use crate::layout::*;
use contract::{Kernel, ThreadStatus};
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
    // What lies below ESP is of calls that have returned.
    let esp = Va(ring0.map_or(high.0, |resume| resume.esp));
    let within =
        |peek: &mut Peek, slot: Va, stubs: &[&str]| slot >= esp && returns_into(nt, peek, slot, stubs);
    let mut pushed = Vec::new();
    for _ in 0..FRAMES {
        if !inside(ebp) {
            break;
        }
        trap(&mut peek, ebp);
        pushed.extend(pushed_below(ebp, |slot, stubs| within(&mut peek, slot, stubs)));
        match peek.load::<Va>(ebp) {
            Ok(next) if next > ebp => ebp = next,
            _ => break,
        }
    }
    let start = nt.code.kernel.symbol("KiThreadStartup");
    if let Some(at) = thread.switched.map(|switched| Va(switched.esp)).filter(|at| inside(*at)) {
        found.push((at, "KSWITCHFRAME"));
        let behind = match peek.get(KSwitchFrame::at(at).ret_addr()) == Ok(start) {
            true => "KSTART_FRAME",
            false => "KiSwapContext",
        };
        found.push((at.add(KSwitchFrame::EXTENT), behind));
    }
    if let Some(fpu) = fpu {
        // A system thread's KSTART_FRAME lies at its stack's top, a user thread's below its first trap frame.
        for at in [fpu.sub(KStartFrame::EXTENT), KThread::user_frame(high).va().sub(KStartFrame::EXTENT)] {
            let switch = at.sub(KSwitchFrame::EXTENT);
            if within(&mut peek, at, &["KiThreadStartup"]) {
                pushed.push((at.add(START_LEFT), "KiThreadStartup"));
            } else if esp <= switch && peek.get(KSwitchFrame::at(switch).ret_addr()) == Ok(start) {
                // The idle thread goes on behind them from the beginning, and leaves them where they are.
                found.extend([(switch, "KSWITCHFRAME"), (at, "KSTART_FRAME")]);
            }
        }
        found.push((fpu, "FX_SAVE_AREA"));
    }
    found.extend(pushed.into_iter().filter(|(at, _)| inside(*at)));
    found.sort_unstable();
    found.dedup();
    found
}

/// KSTART_FRAME.UserThread, seen from the frame.
const START_LEFT: u32 = 0xC;

/// What a stub has pushed below its frame at `ebp`: the way out of a service and the clock interrupt below
/// a trap frame, HalpSoftwareInterrupt below its own EBP. Each is known by where the call returns to that
/// it has made since.
fn pushed_below(ebp: Va, mut within: impl FnMut(Va, &[&str]) -> bool) -> Option<(Va, &'static str)> {
    // Below the trap frame the old IRQL, then the arguments of KiDeliverApc or of KeUpdateSystemTime.
    const LEAVING: &[&str] = &["KiServiceExitUser", "KiServiceExit2User"];
    const CLOCK: &[&str] = &["KiInterruptDebugSaved"];
    const SOFTWARE: &[&str] = &["HalpSoftwareInterrupt"];
    let called = [
        (4, 0x14, LEAVING, "KiServiceExit"),
        (4, 0xC, CLOCK, "HalpClockInterrupt"),
        (0xC, 0x14, SOFTWARE, "HalpSoftwareInterrupt"),
    ];
    let pushed = called.into_iter().find(|(_, returns, stubs, _)| within(ebp.sub(*returns), stubs));
    pushed.map(|(from, _, _, layout)| (ebp.sub(from), layout))
}

/// Whether a slot returns into one of these stubs.
fn returns_into(nt: &Nt, peek: &mut Peek, slot: Va, stubs: &[&str]) -> bool {
    let symbol = peek.load::<Va>(slot).map_or(String::new(), |at| nt.image().symbolize(at));
    symbol.split_once('+').is_some_and(|(stub, _)| stubs.contains(&stub))
}
