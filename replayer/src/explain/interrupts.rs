//! Interrupts of a run that do nothing but take time, or the processor from a thread that could go on:
//! those by which the recorder rotates the scheduler. A call trace tells each of them in one line.
//!
//! What an interrupt is, is decided by the machine: from where the processor leaves what it was doing, to
//! where it is back there, with the frame gone and every pointer where it was. A thread that loses the
//! processor meanwhile goes on with its interrupt when it gets it back, so an interrupt is a chain of
//! [`Stretch`]es, one for each time. And what it does is decided by what is there before and behind a
//! stretch: never by the names of routines.

use super::calls;
use contract::{Activity, Block, Kernel, Named, ObjectId, View};
use machine::registers::flags;
use machine::{Machine, Stop, Until, Va};
use recorder::{EventRecord, Recording};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A part of an interrupt without a switch of threads in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The thread that was interrupted.
    pub thread: ObjectId,
    /// The interrupt: its number in the run.
    pub interrupt: usize,
    /// The vector.
    pub vector: u8,
    /// The instant of its beginning: instructions retired since the machine was made.
    pub from: u64,
    /// The instant of its end; the run's for one that is still going on there.
    pub until: u64,
    /// It is the interrupt's first.
    pub first: bool,
    /// Neither it nor one before it did more than take time or the processor: it led back to where the
    /// thread was interrupted, or to another thread while this one could go on; no thread began or ended
    /// to wait, nothing that a program could tell apart changed, no block of the pool came or went.
    pub plain: bool,
}

/// The interrupts of a run. Without any, nothing is folded.
#[derive(Clone, Debug, Default)]
pub struct Interrupts {
    stretches: BTreeMap<ObjectId, Vec<Stretch>>,
    clock: u8,
}

impl Interrupts {
    /// The interrupts that a trace of these events (counted from 1; 0 is booting) tells of, apart from those
    /// inside another one of the same thread. The kernel is the one that was recorded; from where another
    /// one strays, none are found.
    ///
    /// In a thread that an interrupt left without the processor calls can end that began in an earlier
    /// event: from the first such event on the run is done again. Of what interrupts did before the events
    /// asked for, only that is looked at which the interrupted thread itself shows.
    pub fn of(
        recording: &Recording,
        kernel: &'static dyn Kernel,
        events: RangeInclusive<usize>,
    ) -> Interrupts {
        let mut found = Interrupts { stretches: BTreeMap::new(), clock: kernel.image().clock_vector };
        let first = began(recording, *events.start());
        let before = match first.checked_sub(1) {
            Some(event) => recording.event(event).map(|record| record.machine.clone()),
            None => kernel.boot().ok(),
        };
        let Some(m) = before else { return found };
        let mut walk = Walk {
            kernel,
            m,
            closely: false,
            taken: 0,
            open: BTreeMap::new(),
            returns: Vec::new(),
            at_work: None,
            found: Vec::new(),
        };
        let records = (first..=*events.end()).map_while(|number| Some((number, recording.event(number)?)));
        for (number, record) in records {
            walk.closely = events.contains(&number);
            let walked = if number == *events.end() { walk.traced(record) } else { walk.event(record) };
            if walked.is_none() {
                break;
            }
        }
        for stretch in walk.found {
            found.stretches.entry(stretch.thread).or_default().push(stretch);
        }
        found
    }

    /// The stretch of a thread in which an instant lies.
    pub fn at(&self, thread: ObjectId, instant: u64) -> Option<&Stretch> {
        let stretches = self.stretches.get(&thread)?;
        let behind = stretches.partition_point(|stretch| stretch.from <= instant);
        stretches[..behind].last().filter(|stretch| instant < stretch.until)
    }

    /// Whether an interrupt does more than take time from an instant on.
    pub fn unfolds(&self, interrupt: usize, thread: ObjectId, from: u64) -> bool {
        let stretches = self.stretches.get(&thread).into_iter().flatten();
        stretches.filter(|one| one.interrupt == interrupt && one.until > from).any(|one| !one.plain)
    }

    /// What the interrupt is called, as many of them as there are in a row.
    pub fn title(&self, vector: u8, times: usize) -> String {
        let of = if vector == self.clock {
            "clock interrupt".to_owned()
        } else {
            format!("interrupt {vector:02X}")
        };
        match times {
            1 => format!("({of})"),
            // A vector's number stands behind the word.
            _ if vector == self.clock => format!("({times} {of}s)"),
            _ => format!("({of}, {times} times)"),
        }
    }
}

/// The event in which the first of the calls began that go on in another one.
fn began(recording: &Recording, event: usize) -> usize {
    let first = calls(recording, event).iter().map(|call| call.at).min().unwrap_or(u64::MAX);
    let over = |number: &usize| recording.event(*number).is_some_and(|record| record.end() > first);
    (0..event).rev().take_while(over).last().unwrap_or(event)
}

/// Exceptions that may be delivered in a row without an instruction between them.
const DELIVERIES: u32 = 1000;

/// What must be as it was for an interrupt to have done nothing: what a program could tell apart, what the
/// threads do, and the pool's blocks; or only what the thread does.
#[derive(PartialEq)]
struct Seen {
    view: View,
    threads: Vec<(ObjectId, Activity)>,
    blocks: Vec<Block>,
}

/// An interrupt that a thread is in.
struct Open {
    number: usize,
    vector: u8,
    /// Where the thread was, and how it can be told that it is back.
    back: (Va, Back),
    plain: bool,
}

/// How a thread can be told to be back from an interrupt.
#[derive(Clone, Copy, PartialEq)]
enum Back {
    /// It is in ring 3 again.
    User,
    /// It is in ring 0, where its stack pointer was.
    Kernel(u32),
}

/// The stretch that is under way.
struct AtWork {
    thread: ObjectId,
    from: u64,
    first: bool,
    seen: Seen,
}

/// The run, done again.
struct Walk {
    kernel: &'static dyn Kernel,
    m: Machine,
    /// Whether everything is looked at that must be as it was.
    closely: bool,
    /// How many interrupts have been taken that are told of.
    taken: usize,
    open: BTreeMap<ObjectId, Open>,
    /// Where the open ones lead back to.
    returns: Vec<Va>,
    at_work: Option<AtWork>,
    found: Vec<Stretch>,
}

impl Walk {
    /// An event; none when it goes another way than it was recorded.
    fn event(&mut self, record: &EventRecord) -> Option<()> {
        self.until(record, record.end())
    }

    /// An event as far as its trace goes.
    fn traced(&mut self, record: &EventRecord) -> Option<()> {
        let told = match record.untraced {
            0 => record.end(),
            _ => record.trace.last().map_or(0, |step| step.at + 1),
        };
        self.until(record, told)
    }

    fn until(&mut self, record: &EventRecord, end: u64) -> Option<()> {
        for input in record.inputs.iter().filter(|input| input.at < end || end == record.end()) {
            self.run(input.at, record)?;
            recorder::apply(&mut self.m, &input.what).ok()?;
        }
        self.run(end, record)?;
        // What a stretch leads through is looked at with one set of names.
        self.end(true, &record.named);
        Some(())
    }

    fn run(&mut self, instant: u64, record: &EventRecord) -> Option<()> {
        let named = &record.named;
        let from = self.m.retired;
        let mut deliveries = 0;
        while self.m.retired < instant || self.m.retired > from && self.interruptible() {
            if self.interruptible() {
                self.interrupted(named)?;
                continue;
            }
            let budget = instant - self.m.retired;
            let until = Until { budget, breakpoints: &self.returns, user_entry: true };
            let before = self.m.retired;
            let stop = match self.m.cpu.interrupt {
                // A run would take it unseen as soon as it may.
                Some(_) => self.m.step(),
                None => self.m.run(&until),
            };
            deliveries = if self.m.retired == before { deliveries + 1 } else { 0 };
            match stop {
                // The instant comes first.
                Stop::Native(_) if self.m.retired >= instant => {}
                Stop::Native(at) => {
                    self.look(named);
                    if let Err(fault) = contract::routine::serve(self.kernel, &mut self.m, at) {
                        self.m.page_fault(fault).ok()?;
                    }
                    if self.m.cpu.cpl() < 3 && !self.returns.contains(&self.m.cpu.next()) {
                        continue;
                    }
                }
                Stop::Budget if deliveries > DELIVERIES => return None,
                Stop::Budget | Stop::Breakpoint(_) | Stop::UserEntry => {}
                Stop::Halted | Stop::Shutdown | Stop::Unsupported(_) => return None,
            }
            self.look(named);
        }
        (self.m.retired == instant).then_some(())
    }

    fn interruptible(&self) -> bool {
        let cpu = &self.m.cpu;
        cpu.interrupt.is_some() && cpu.flag(flags::IF) && !cpu.shadow
    }

    /// The pending interrupt is taken.
    fn interrupted(&mut self, named: &[Named]) -> Option<()> {
        self.look(named);
        let vector = self.m.cpu.interrupt?;
        let thread = self.kernel.current(&self.m);
        let back = match self.m.cpu.cpl() {
            3 => Back::User,
            _ => Back::Kernel(self.m.cpu.esp()),
        };
        let at = self.m.cpu.next();
        // One inside another is a part of it.
        if !self.open.contains_key(&thread) {
            self.open.insert(thread, Open { number: self.taken, vector, back: (at, back), plain: true });
            self.returns.push(at);
            self.taken += 1;
            self.enter(thread, true, named);
        }
        matches!(self.m.step(), Stop::Budget).then_some(())
    }

    /// Looks whether an interrupt has ended, or another thread has the processor.
    fn look(&mut self, named: &[Named]) {
        let thread = self.kernel.current(&self.m);
        if self.at_work.as_ref().is_some_and(|work| work.thread != thread) {
            // It has lost the processor.
            self.end(true, named);
        }
        let Some(open) = self.open.get(&thread) else { return };
        let (at, back) = open.back;
        let here = self.m.cpu.next();
        let over = match back {
            Back::User => self.m.cpu.cpl() == 3,
            Back::Kernel(esp) => self.m.cpu.cpl() == 3 || here == at && self.m.cpu.esp() == esp,
        };
        if self.at_work.is_none() {
            self.enter(thread, false, named);
        }
        if over {
            // Another way than back: the thread was made to do something.
            self.end(here == at, named);
            self.open.remove(&thread);
            self.returns = self.open.values().map(|open| open.back.0).collect();
        }
    }

    fn enter(&mut self, thread: ObjectId, first: bool, named: &[Named]) {
        let seen = self.seen(thread, named);
        self.at_work = Some(AtWork { thread, from: self.m.retired, first, seen });
    }

    /// The stretch that is under way ends.
    fn end(&mut self, plain: bool, named: &[Named]) {
        let Some(work) = self.at_work.take() else { return };
        let same = plain && self.seen(work.thread, named) == work.seen;
        let Some(open) = self.open.get_mut(&work.thread) else { return };
        open.plain &= same;
        self.found.push(Stretch {
            thread: work.thread,
            interrupt: open.number,
            vector: open.vector,
            from: work.from,
            until: self.m.retired,
            first: work.first,
            plain: open.plain,
        });
    }

    fn seen(&self, thread: ObjectId, named: &[Named]) -> Seen {
        let all = self.kernel.threads(&self.m).into_iter().map(|status| (status.id, status.activity));
        match self.closely {
            true => Seen {
                view: self.kernel.view(&self.m, named),
                threads: all.collect(),
                blocks: self.kernel.heap(&self.m).blocks,
            },
            false => Seen {
                view: View::default(),
                threads: all.filter(|(id, _)| *id == thread).collect(),
                blocks: Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Names, Row, rows};
    use super::*;
    use recorder::recording::Reaching;
    use recorder::{Case, kernels, record};

    const SCENE: &str = "# A case.\nprocess app\nthread main in=app\nthread worker in=app\n";

    fn recording(kernel: &'static dyn Kernel, events: &str) -> Recording {
        record(&Case::parse("x", "x", &format!("{SCENE}{events}")).unwrap(), kernel).unwrap()
    }

    /// The lines of an event's trace, folded and not.
    fn traces(recording: &Recording, kernel: &'static dyn Kernel, event: usize) -> [Vec<Row>; 2] {
        let record = recording.event(event).unwrap();
        let names = Names::new(kernel, &record.machine, &record.named);
        let calls = calls(recording, event);
        [Interrupts::of(recording, kernel, event..=event), Interrupts::default()]
            .map(|interrupts| rows(&names, &calls, &interrupts))
    }

    fn texts(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.text.as_str()).collect()
    }

    #[test]
    fn interrupts_that_rotate_the_scheduler_are_told_in_a_line_and_the_switches_stay() {
        for name in ["nt", "reactos"] {
            let kernel = kernels::by_name(name).unwrap();
            let recording = recording(kernel, "main NtTestAlert\n");
            let [folded, unfolded] = traces(&recording, kernel, 4);
            let (interrupts, others): (Vec<&Row>, Vec<&Row>) =
                folded.iter().partition(|row| row.interrupts > 0);
            assert!(others.iter().any(|row| row.text.starts_with("NtTestAlert(")), "{name}");
            // Each that reached the machine in the event is told of, once: but the last, which ended it.
            let inputs = recording.event(4).unwrap().inputs.iter();
            let reached = inputs.filter(|input| matches!(input.what, Reaching::Interrupt(_))).count();
            let told: usize = interrupts.iter().map(|row| row.interrupts).sum();
            assert_eq!(told, reached, "{name}: {folded:#?}");
            assert!(interrupts.iter().any(|row| row.text == "(2 clock interrupts)"), "{folded:#?}");
            let threads = |rows: &[Row]| rows.iter().filter_map(|row| row.thread.clone()).collect::<Vec<_>>();
            assert_eq!(threads(&folded), threads(&unfolded), "{name}");
            assert!(unfolded.iter().all(|row| row.interrupts == 0), "{name}");
            assert!(unfolded.len() > folded.len() + told, "{name}: each calls something");
        }
    }

    #[test]
    fn an_interrupt_in_which_a_thread_ends_is_told_whole() {
        for name in ["nt", "reactos"] {
            let kernel = kernels::by_name(name).unwrap();
            // It was interrupted in ring 3, and never gets back there.
            let recording = recording(kernel, "main NtTerminateThread thread=worker status=1\n");
            let [folded, unfolded] = traces(&recording, kernel, 4);
            let exit = |rows: &[Row]| {
                let texts = texts(rows).into_iter();
                texts
                    .filter(|text| text.contains("ExitThread") || text.contains("TerminateCurrentThread"))
                    .count()
            };
            assert!(exit(&unfolded) > 0, "{name}: {unfolded:#?}");
            assert_eq!(exit(&folded), exit(&unfolded), "{name}: {folded:#?}");
        }
    }

    #[test]
    fn an_interrupt_that_ends_a_wait_is_told_whole() {
        for name in ["nt", "reactos"] {
            let kernel = kernels::by_name(name).unwrap();
            let events = "worker NtDelayExecution alertable=no interval=20ms\nclock advance=10ms\nclock advance=10ms\n";
            let recording = recording(kernel, events);
            let first = |event: usize| {
                let found = Interrupts::of(&recording, kernel, event..=event);
                let start = recording.event(event - 1).unwrap().end();
                let mut all: Vec<Stretch> = found.stretches.into_values().flatten().collect();
                all.sort_by_key(|stretch| stretch.from);
                all.into_iter().find(|stretch| stretch.first && stretch.from >= start).unwrap()
            };
            assert!(first(5).plain, "{name}: nothing is due yet");
            assert!(!first(6).plain, "{name}: the wait is over");
            let [folded, unfolded] = traces(&recording, kernel, 6);
            assert!(folded.len() < unfolded.len() && folded[0].interrupts == 0, "{name}: {folded:#?}");
            assert!(folded[1].interrupts == 0, "{name}: {folded:#?}");
        }
    }

    #[test]
    fn a_recording_that_goes_another_way_has_none() {
        let [nt, reactos] = ["nt", "reactos"].map(|name| kernels::by_name(name).unwrap());
        let recording = recording(reactos, "main NtTestAlert\n");
        let found = Interrupts::of(&recording, nt, 0..=4);
        let after = recording.event(0).unwrap().end();
        assert!(found.stretches.values().flatten().all(|stretch| stretch.from < after));
    }

    #[test]
    fn other_vectors_are_told_by_number() {
        let interrupts = Interrupts { clock: 0x30, ..Interrupts::default() };
        let titles = [(0x30, 1), (0x30, 5), (0x41, 1), (0x41, 5)]
            .map(|(vector, times)| interrupts.title(vector, times));
        assert_eq!(
            titles,
            ["(clock interrupt)", "(5 clock interrupts)", "(interrupt 41)", "(interrupt 41, 5 times)"]
        );
    }
}
