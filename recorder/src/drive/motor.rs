//! The machine, its kernel, and what is written down while they run.

use super::nesting::{Entered, Nesting};
use super::routines::Routines;
use crate::recording::{EventRecord, Input, Reaching, TraceStep, Went};
use contract::routine::{Args, RoutineInfo};
use contract::{Flow, Kernel, Named, ObjectId};
use machine::registers::flags;
use machine::{Access, Fault, Machine, Memory, PAGE, Pa, Reg, Stop, Until, Va};
use smallvec::SmallVec;
use std::sync::Arc;

/// Why the machine paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// The next instruction is at a breakpoint.
    Breakpoint(Va),
    /// Ring 3 was just entered.
    UserEntry,
    /// The processor is halted.
    Halted,
    /// The instant is reached.
    Instant,
    /// It cannot go on; why.
    Stopped(String),
}

/// How much is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Neither a trace nor what reached the machine.
    Nothing,
    No,
    /// Also a digest after every instruction.
    Yes,
}

/// What is written down of an event.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) inputs: Vec<Input>,
    pub(super) threads: Vec<ObjectId>,
    pub(super) trace: Vec<TraceStep>,
    pub(super) untraced: u64,
    pub(super) steps: Vec<u32>,
}

impl Notes {
    /// The number of a thread that ran a native routine.
    fn number_of(&mut self, thread: ObjectId) -> u16 {
        let known = self.threads.iter().position(|known| *known == thread);
        known.unwrap_or_else(|| {
            self.threads.push(thread);
            self.threads.len() - 1
        }) as u16
    }
}

/// Steps of a trace for which there is room from the start: most traces have fewer.
const TRACE_ROOM: usize = 512;

/// A machine that runs under a kernel.
pub(super) struct Motor {
    pub(super) kernel: &'static dyn Kernel,
    pub(super) m: Machine,
    pub(super) notes: Notes,
    /// The objects that the case has named.
    pub(super) named: Arc<Vec<Named>>,
    pub(super) routines: Routines,
    detail: Detail,
    /// A native routine led here, or the run was stopped because ring 3 was entered: a breakpoint that
    /// lies right here has not been seen yet, and a run does not stop at its first instruction.
    unseen: bool,
    /// Memory as it was at the last digest that looked at it; empty without digests.
    seen: Memory,
    nesting: Nesting,
    /// What [`contract::Image::current_thread`] held when the kernel was last asked for the thread that has
    /// the processor, and the kernel's answer.
    current: Option<(u32, ObjectId)>,
    /// The page directory in which that doubleword was last looked for in this event, and where it lies.
    place: Option<(u32, Pa)>,
}

impl Motor {
    pub(super) fn new(kernel: &'static dyn Kernel, m: Machine, detail: Detail) -> Motor {
        // Whoever stands at instant after instant starts a motor for each, and copies pages for a copy.
        let seen = if detail == Detail::Yes { m.memory.clone() } else { Memory::new(0) };
        let room = if detail == Detail::Nothing { 0 } else { TRACE_ROOM };
        Motor {
            kernel,
            m,
            notes: Notes { trace: Vec::with_capacity(room), ..Notes::default() },
            named: Arc::default(),
            routines: Routines::new(),
            detail,
            unseen: false,
            seen,
            nesting: Nesting::default(),
            current: None,
            place: None,
        }
    }

    /// Lets something reach the machine, and writes it down.
    pub(super) fn input(&mut self, what: Reaching) -> Result<(), Fault> {
        apply(&mut self.m, &what)?;
        if self.detail == Detail::Nothing {
            return Ok(());
        }
        self.notes.inputs.push(Input { at: self.m.retired, what });
        Ok(())
    }

    /// The next run stops at a breakpoint at its first instruction as well.
    pub(super) fn look_at_once(&mut self) {
        self.unseen = true;
    }

    /// Runs up to an instant, serving native routines, or up to an earlier pause.
    pub(super) fn advance(&mut self, instant: u64, breakpoints: &[Va], user_entry: bool) -> Pause {
        while self.m.retired < instant {
            if std::mem::take(&mut self.unseen) && !self.interruptible() {
                let at = self.m.cpu.next();
                if breakpoints.contains(&at) {
                    return Pause::Breakpoint(at);
                }
            }
            let budget = match self.detail {
                Detail::Nothing | Detail::No => instant - self.m.retired,
                Detail::Yes => 1,
            };
            let before = self.m.retired;
            // A stop at ring 3's first instruction comes before a pending interrupt is taken there. In
            // detail it is always made, so that a digest there is the same whoever asks.
            let detail = self.detail == Detail::Yes;
            let stop = self.m.run(&Until { budget, breakpoints, user_entry: user_entry || detail });
            if detail && self.m.retired != before {
                self.step(false);
            }
            match stop {
                // The instant comes first, and so does the digest of what led here.
                Stop::Native(_) if self.m.retired >= instant => {}
                Stop::Native(_) if detail && self.m.retired != before => {}
                Stop::Native(at) => {
                    if let Err(why) = self.serve(at) {
                        return Pause::Stopped(why);
                    }
                    self.unseen = true;
                    if detail {
                        self.step(true);
                    }
                }
                Stop::Budget if self.m.retired == before => {
                    let at = self.kernel.image().symbolize(self.m.cpu.next());
                    return Pause::Stopped(format!("exceptions without end at {at}"));
                }
                Stop::Budget => {}
                Stop::Breakpoint(at) => return Pause::Breakpoint(at),
                Stop::UserEntry => {
                    self.unseen = true;
                    if user_entry {
                        return Pause::UserEntry;
                    }
                }
                Stop::Halted => return Pause::Halted,
                Stop::Shutdown => {
                    let at = self.kernel.image().symbolize(self.m.cpu.next());
                    return Pause::Stopped(format!("a fault while a double fault was delivered, at {at}"));
                }
                Stop::Unsupported(what) => return Pause::Stopped(what),
            }
        }
        Pause::Instant
    }

    /// Whether an interrupt is pending and will be taken before the next instruction.
    pub(super) fn interruptible(&self) -> bool {
        let cpu = &self.m.cpu;
        cpu.interrupt.is_some() && cpu.flag(flags::IF) && !cpu.shadow
    }

    /// Runs up to an instant; in detail, for one instruction.
    pub(super) fn advance_once(&mut self, instant: u64) -> Pause {
        let to = match self.detail {
            Detail::Nothing | Detail::No => instant,
            Detail::Yes => self.m.retired + 1,
        };
        self.advance(to, &[], false)
    }

    /// Runs the native routine at `at`.
    pub(super) fn serve(&mut self, at: Va) -> Result<(), String> {
        let Some((info, stage)) = self.kernel.image().routine(at) else {
            return Err(format!("no native routine lies at {at}"));
        };
        let full = self.detail == Detail::Nothing || self.notes.trace.len() == EventRecord::TRACE_MAX;
        let instant = self.m.retired;
        let thread = if full { None } else { Some(self.current()) };
        let entered = thread.map(|thread| self.nesting.enter(&self.m, thread, stage));
        let served = contract::routine::serve(self.kernel, &mut self.m, at);
        let went = match &served {
            Ok(served) => match served.flow {
                Flow::Return(value) => Went::Returned(value),
                Flow::Call { target, .. } => Went::Called(target),
                Flow::Jump(to) => Went::Jumped(to),
                Flow::Direct => self.returned(info, entered).map_or(Went::Direct, Went::Returned),
            },
            Err(fault) => {
                self.m
                    .page_fault(*fault)
                    .map_err(|_| format!("a fault while a double fault was delivered, at {}", info.name))?;
                Went::Faulted(fault.at)
            }
        };
        let (Some(thread), Some(entered)) = (thread, entered) else {
            self.notes.untraced += 1;
            return Ok(());
        };
        if matches!(went, Went::Returned(_) | Went::Jumped(_)) {
            self.nesting.leave(entered);
        }
        let thread = self.notes.number_of(thread);
        let routine = self.routines.number(info, at);
        let depth = entered.depth;
        let args = served.as_ref().map_or(SmallVec::new(), |served| noted(&served.args));
        self.notes.trace.push(TraceStep { at: instant, depth, thread, routine, stage, args, went });
        Ok(())
    }

    /// What a routine that has set the registers itself returned: its frame and its arguments are gone, its
    /// caller's EBP is back, and the lowest slot leads to where it was called, by way of other code.
    fn returned(&self, info: RoutineInfo, entered: Option<Entered>) -> Option<u32> {
        let esp = entered?.esp;
        let word = |at: u32| {
            let mut raw = [0; 4];
            self.m.peek(self.m.cpu.cr3, Va(at), &mut raw).ok()?;
            Some(u32::from_le_bytes(raw))
        };
        let behind = esp.wrapping_add(4 * u32::from(info.params));
        let frame_gone = self.m.cpu.esp() == behind && word(esp.wrapping_sub(4))? == self.m.cpu.reg(Reg::Ebp);
        (frame_gone && word(behind)? == word(esp)?).then(|| self.m.cpu.reg(Reg::Eax))
    }

    /// The thread that has the processor.
    fn current(&mut self) -> ObjectId {
        let cr3 = self.m.cpu.cr3;
        let at = match self.place {
            Some((known, at)) if known == cr3 => at,
            _ => match self.m.probe(cr3, self.kernel.image().current_thread, Access::Read) {
                Ok(at) => at,
                // Whoever looks there will be told so by the kernel.
                Err(_) => return self.kernel.current(&self.m),
            },
        };
        self.place = Some((cr3, at));
        let word = self.m.memory.read_u32(at);
        match self.current {
            Some((known, thread)) if known == word => {
                debug_assert_eq!(thread, self.kernel.current(&self.m), "{word:08X} names one thread");
                thread
            }
            _ => {
                let thread = self.kernel.current(&self.m);
                self.current = Some((word, thread));
                thread
            }
        }
    }

    /// Takes a digest of the registers, and behind a native routine of what changed in memory.
    fn step(&mut self, memory: bool) {
        if self.notes.steps.len() == EventRecord::STEPS_MAX {
            return;
        }
        let cpu = &self.m.cpu;
        let words = cpu.regs.iter().chain([&cpu.eip, &cpu.eflags, &cpu.cr2, &cpu.cr3]).copied();
        let mut hash = words.fold(SEED, mix);
        hash = cpu.segments.iter().fold(hash, |hash, segment| mix(hash, segment.selector.into()));
        if memory {
            for frame in self.m.memory.changed(&self.seen) {
                hash = mix(hash, frame);
                let page = self.m.memory.page(frame).unwrap_or(&[0; PAGE as usize]);
                for word in page.chunks_exact(4) {
                    hash = mix(hash, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
                }
            }
            self.seen = self.m.memory.clone();
        }
        self.notes.steps.push((hash ^ (hash >> 32)) as u32);
    }

    /// Starts a new event's notes, and gives the last one's.
    pub(super) fn take_notes(&mut self) -> Notes {
        if self.detail == Detail::Yes {
            self.seen = self.m.memory.clone();
        }
        self.place = None;
        std::mem::take(&mut self.notes)
    }
}

/// The arguments of a routine. Most have few; copying as many as fit whatever there is of them takes less
/// time than counting.
fn noted(args: &Args) -> SmallVec<[u32; 4]> {
    match args.at_most() {
        Some(all) => SmallVec::from_buf_and_len(all, args.len()),
        None => SmallVec::from_slice(args),
    }
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(hash: u64, word: u32) -> u64 {
    (hash.rotate_left(23) ^ u64::from(word)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

/// Does to a machine what reaches it from outside: all of it or nothing.
///
/// # Errors
/// The page fault of a place that is not mapped.
pub fn apply(m: &mut Machine, what: &Reaching) -> Result<(), Fault> {
    let cr3 = m.cpu.cr3;
    let check = |m: &Machine, at: Va, len: usize| m.peek(cr3, at, &mut vec![0; len]);
    match what {
        Reaching::Interrupt(vector) => m.cpu.interrupt = Some(*vector),
        Reaching::Clock(value) => m.clock = *value,
        Reaching::Program { writes, registers, eip } => {
            for (at, bytes) in writes {
                check(m, *at, bytes.len())?;
            }
            for (at, bytes) in writes {
                m.poke(cr3, *at, bytes)?;
            }
            for (register, value) in registers {
                m.cpu.regs[usize::from(register % 8)] = *value;
            }
            m.cpu.eip = *eip;
        }
        Reaching::Poke { at, bytes } => {
            check(m, *at, bytes.len())?;
            m.poke(cr3, *at, bytes)?;
        }
    }
    Ok(())
}
