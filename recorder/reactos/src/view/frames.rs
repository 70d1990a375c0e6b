//! The structures on a thread's kernel stack, and what stubs have pushed on it, for drawing it.

use crate::layout::*;
use crate::stubs;
use contract::{Image, ThreadStatus};
use guest::{Peek, Pointer, Read, Va};
use machine::Machine;

/// Links of the EBP chain that are looked at, at most.
const LINKS: usize = 64;

/// The start stub of the MSVC6 port.
const STALE: &str = "PsBeginThreadWithContextInternalMsvc6";

/// Trap frames on the EBP chain and where the thread says that they are, and the switch frame of a
/// thread that does not run; of a thread that never ran also what its start stub will find. A trap frame
/// is known by DebugEbp and DebugEip, which repeat Ebp and Eip.
pub(crate) fn all(image: &Image, m: &Machine, thread: &ThreadStatus) -> Vec<(Va, &'static str)> {
    let mut p = Peek { machine: m, cr3: thread.cr3 };
    let (low, high) = thread.stack;
    let tcb = EThread(thread.id.at).tcb();
    let inside = |at: Va| at >= low && at < high;
    let ring0 = thread.switched.or(thread.resume.filter(|resume| !resume.user));
    // What lies below ESP is of calls that have returned.
    let esp = Va(ring0.map_or(high.0, |resume| resume.esp));
    let within = |p: &mut Peek, slot: Va, stubs: &[&str]| slot >= esp && returns_into(image, p, slot, stubs);
    let mut found = Vec::new();
    let trap = |found: &mut Vec<(Va, &'static str)>, p: &mut Peek, at: Va| {
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
    // Until PiBeforeBeginThread returns to it, the start stub has popped nothing.
    let starting = !high.is_null()
        && within(&mut p, high.sub(START_WORDS + 4), &["PsBeginThreadWithContextInternal", STALE]);
    // Then the hook has what is behind for its argument.
    let hooked =
        !high.is_null() && within(&mut p, high.sub(START_FRAME + 8), &["KeReturnFromSystemCallWithHook"]);
    if never_ran || starting || hooked {
        // Whatever selectors the thread's creator gave.
        found.push((high.sub(START_FRAME), "KTRAP_FRAME"));
    } else if !high.is_null() {
        trap(&mut found, &mut p, high.sub(USER_FRAME));
    }
    if let Ok(at) = p.get(tcb.trap_frame()) {
        trap(&mut found, &mut p, at);
    }
    let mut ebp = Va(ring0.map_or(0, |resume| resume.ebp));
    let mut pushed = Vec::new();
    for _ in 0..LINKS {
        if !inside(ebp) {
            break;
        }
        trap(&mut found, &mut p, ebp);
        // Below an exception's frame lies the one before it, then the arguments of KiTrapHandler.
        if within(&mut p, ebp.sub(0x10), &["KiTrapProlog", "KiTrapNoInterrupts"]) {
            pushed.push((ebp.sub(4), "KiTrapProlog"));
        }
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
    if never_ran || starting {
        found.push((high.sub(START_WORDS), "START_FRAME"));
    }
    if !high.is_null() {
        // A system thread's first stack: the switch frame, then what PsBeginThread finds and leaves there.
        let switch = high.sub(SYSTEM_START);
        let begins = switch.add(SwitchFrame::EXTENT);
        let waits = switched_out
            && p.get(tcb.kernel_stack()) == Ok(switch)
            && p.get(SwitchFrame(switch).eip()) == Ok(stubs::kernel().symbol("PsBeginThread"));
        // Below its own EBP lies its call, with an argument or without.
        let runs = [8, 0xC].into_iter().any(|below| within(&mut p, begins.sub(below), &["PsBeginThread"]));
        if waits || runs {
            pushed.push((begins, "PsBeginThread"));
        }
    }
    found.extend(pushed.into_iter().filter(|(at, _)| inside(*at)));
    found.extend(fpu.map(|at| (at, "FX_SAVE_AREA")));
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a slot returns into one of these stubs.
fn returns_into(image: &Image, p: &mut Peek, slot: Va, stubs: &[&str]) -> bool {
    let place = p.load::<Va>(slot).map_or(String::new(), |at| image.symbolize(at));
    place.split_once('+').is_some_and(|(stub, _)| stubs.contains(&stub))
}
