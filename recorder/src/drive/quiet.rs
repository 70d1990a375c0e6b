//! When the machine is at rest.
//!
//! It is quiet when every runnable thread that is not the system's has had the processor since
//! anything last happened, and did nothing with it but sit at `park`. A thread that spins in the
//! kernel for good never gets there; so the machine also counts as quiet when many time slices have
//! passed in which nothing changed that can be seen from outside. A thread that was never met at the
//! processor meanwhile is ready, and others are preferred to it.

use super::error::RecordError;
use super::motor::{Motor, Pause};
use super::run::Run;
use crate::case::Line;
use crate::recording::Reaching;
use contract::{Activity, Named, ObjectId, ThreadStatus, program};
use machine::{Machine, Va, registers::flags};

/// Instructions that a thread may run before a clock interrupt comes.
pub(super) const SLICE: u64 = 2000;
/// Instructions after which an event that is in a hurry looks whether it is over, and after which a
/// clock interrupt comes all the same where somebody else is at work.
const HURRIED: u64 = 50;
const PATIENCE: u64 = 20_000;
/// Clock interrupts after which an event that is in a hurry does not wait any longer for its caller to get
/// the processor from a thread that only sits at `park`.
const PASSED_OVER: u32 = 60;
/// Slices in which nothing changes before the machine counts as quiet, and more for each thread.
const STILL: u32 = 60;
const STILL_PER_THREAD: u32 = 30;
/// Instructions that an event may take before its machine counts as quiet whatever it does.
const EVENT_MAX: u64 = 500_000;

/// Where a thread with nothing to do sits.
pub(super) fn park() -> Va {
    program::symbol(program::PARK)
}

/// Whether a thread sits at `park`.
pub(super) fn parked(m: &Machine, status: &ThreadStatus) -> bool {
    let at = if status.current { Some(m.cpu.next().0) } else { status.resume.map(|resume| resume.eip) };
    at == Some(park().0)
}

/// A thread that is not the system's, as it was when last looked at.
struct Seen {
    id: ObjectId,
    activity: Activity,
    parked: bool,
    /// It had the processor and did nothing with it since anything last happened.
    rested: bool,
    /// It was met at the processor since anything last happened.
    met: bool,
}

impl Seen {
    fn is_runnable(&self) -> bool {
        self.activity == Activity::Runnable
    }
}

/// Keeps count of what happens while the machine comes to rest.
#[derive(Default)]
pub(super) struct Watch {
    threads: Vec<Seen>,
    /// Slices since anything last happened.
    still: u32,
}

impl Watch {
    /// Something happened: every thread must rest anew.
    pub(super) fn stir(&mut self) {
        for thread in &mut self.threads {
            (thread.rested, thread.met) = (false, false);
        }
        self.still = 0;
    }

    /// The threads that could run, and did not get the processor for so long that they will not.
    fn passed_over(&self) -> impl Iterator<Item = ObjectId> {
        let waited = self.still >= STILL;
        let ready = self.threads.iter().filter(move |thread| waited && thread.is_runnable());
        ready.filter(|thread| !thread.met).map(|thread| thread.id)
    }

    /// Looks at the machine between two slices; whether it is quiet.
    pub(super) fn look(&mut self, motor: &Motor) -> bool {
        let m = &motor.m;
        let statuses = motor.kernel.threads(m);
        let (mut known, mut same, mut current) = (0, true, None);
        for status in statuses.iter().filter(|status| !status.system) {
            let (id, activity, parked) = (status.id, status.activity, parked(m, status));
            if status.current {
                current = Some(known);
            }
            let as_before = |seen: &Seen| (seen.id, seen.activity, seen.parked) == (id, activity, parked);
            if !self.threads.get(known).is_some_and(as_before) {
                same = false;
                // Those behind it are looked at anew as well: all must rest again.
                self.threads.truncate(known);
                self.threads.push(Seen { id, activity, parked, rested: false, met: false });
            }
            known += 1;
        }
        if !same || known != self.threads.len() {
            self.threads.truncate(known);
            self.stir();
        }
        self.still += 1;
        if let Some(current) = current.map(|index| &mut self.threads[index]) {
            current.met = true;
            if current.parked && !current.rested {
                current.rested = true;
                self.still = 0;
            }
        }
        let restless = self.threads.iter().any(|thread| thread.is_runnable() && !thread.rested);
        !restless || self.still > STILL + STILL_PER_THREAD * self.threads.len() as u32
    }
}

/// What the breakpoints are.
pub(super) fn breakpoints() -> [Va; 3] {
    [park(), program::symbol(program::ENTRY), program::symbol(program::APC)]
}

impl Run {
    /// Runs until the machine is quiet.
    pub(super) fn settle(&mut self, line: &Line) -> Result<(), RecordError> {
        let mut watch = Watch::default();
        self.passed_over.clear();
        self.cut = None;
        if self.stop_at.is_some() {
            self.motor.look_at_once();
        }
        self.come_to_rest(line, &mut watch)?;
        self.passed_over.extend(watch.passed_over());
        Ok(())
    }

    fn come_to_rest(&mut self, line: &Line, watch: &mut Watch) -> Result<(), RecordError> {
        let end = self.motor.m.retired + EVENT_MAX;
        let length = if self.hurried { HURRIED } else { SLICE };
        let mut slice = self.motor.m.retired + length;
        let mut tick = self.motor.m.retired + PATIENCE;
        let mut waited = 0;
        while self.motor.m.retired < end {
            let due = self.due.first().copied().unwrap_or(u64::MAX);
            let points: Vec<Va> = breakpoints().into_iter().chain(self.stop_at).collect();
            let pause = self.motor.advance(slice.min(due), &points, self.first_wanted);
            match pause {
                Pause::Stopped(what) => return Err(self.failed(line, what)),
                Pause::Breakpoint(at) if self.stop_at == Some(at) => {
                    self.stop_at = None;
                    self.cut = Some(self.here(at));
                    return Ok(());
                }
                Pause::UserEntry => {
                    self.entered();
                    continue;
                }
                Pause::Breakpoint(at) if at != park() => {
                    self.passed(at);
                    watch.stir();
                    continue;
                }
                Pause::Instant if self.motor.m.retired >= due => {
                    self.due.remove(0);
                    self.tick();
                    continue;
                }
                Pause::Halted if !self.motor.m.cpu.flag(flags::IF) => return self.halted(line),
                _ => {}
            }
            if self.arrive() {
                watch.stir();
            }
            if self.hurried {
                let Some(caller) = self.caller.filter(|caller| !self.is_done(*caller)) else { return Ok(()) };
                let somebody_rests =
                    self.motor.m.cpu.next() == park() && self.kernel.current(&self.motor.m) != caller;
                waited = if somebody_rests { waited + 1 } else { waited };
                if waited > PASSED_OVER {
                    self.passed_over.insert(caller);
                    return Ok(());
                }
                // Somebody else has the processor, and the caller is to go on.
                if somebody_rests || self.motor.m.retired >= tick {
                    self.tick();
                    tick = self.motor.m.retired + PATIENCE;
                }
                slice = self.motor.m.retired + length;
                continue;
            }
            if watch.look(&self.motor) {
                return Ok(());
            }
            self.tick();
            slice = self.motor.m.retired + SLICE;
        }
        Ok(())
    }

    /// Whether a thread's call has come back, or cannot come back by itself.
    fn is_done(&self, thread: ObjectId) -> bool {
        let call = self.watched.get(&thread).and_then(|watched| watched.call.as_ref());
        let statuses = self.kernel.threads(&self.motor.m);
        let status = statuses.iter().find(|status| status.id == thread);
        call.is_none_or(|call| call.result.is_some())
            || status.is_none_or(|status| status.activity != Activity::Runnable)
    }

    /// A clock interrupt, which takes no time.
    pub(super) fn tick(&mut self) {
        let m = &self.motor.m;
        let at = m.cpu.next();
        if breakpoints()[1..].contains(&at) {
            // It goes on there, and must not be seen to run the same code twice.
            let current = self.kernel.current(m);
            self.watched.entry(current).or_default().seen_at = Some(at.0);
        }
        let vector = self.kernel.image().clock_vector;
        self.motor.input(Reaching::Interrupt(vector)).expect("an interrupt touches no memory");
    }

    /// The current thread is about to run program code.
    pub(super) fn passed(&mut self, at: Va) {
        let current = self.kernel.current(&self.motor.m);
        let context = || {
            let mut raw = [0; 4];
            let from = Va(self.motor.m.cpu.esp()).add(4);
            match self.motor.m.peek(self.motor.m.cpu.cr3, from, &mut raw) {
                Ok(()) => match u32::from_le_bytes(raw) {
                    small @ ..0x1_0000 => format!("{small:X}"),
                    large => self.place_text(large),
                },
                Err(_) => "?".to_owned(),
            }
        };
        let text = match at == program::symbol(program::APC) {
            true => format!("{} {}", program::APC, context()),
            false => program::ENTRY.to_owned(),
        };
        let watched = self.watched.entry(current).or_default();
        if watched.seen_at.take() == Some(at.0) {
            return;
        }
        if watched.ran.len() < RAN_MAX {
            watched.ran.push(text);
        }
    }

    /// The processor is halted with interrupts disabled: the system has stopped.
    fn halted(&mut self, line: &Line) -> Result<(), RecordError> {
        self.stopped = true;
        let stopped = |named: &[Named]| self.kernel.view(&self.motor.m, named).bugcheck.is_some();
        match stopped(&self.motor.named) {
            true => Ok(()),
            false => Err(self.failed(line, "HLT with interrupts disabled, without a bugcheck")),
        }
    }
}

/// How much of what a thread runs is kept: one that runs APCs without end must not fill memory.
const RAN_MAX: usize = 64;
