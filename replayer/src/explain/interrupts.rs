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
use machine::{Machine, Va};
use recorder::{Next, Player, Recording, SeekError};
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
        let Ok(mut player) = Player::at(recording, kernel, first, 0) else { return found };
        let mut walk = Walk {
            kernel,
            closely: false,
            taken: 0,
            open: BTreeMap::new(),
            returns: Vec::new(),
            at_work: None,
            found: Vec::new(),
        };
        for number in first..=*events.end() {
            if number > first {
                let next = recording.event(number).and_then(|next| player.follow(next).ok());
                let Some(next) = next else { break };
                player = next;
            }
            walk.closely = events.contains(&number);
            let whole = number < *events.end() || player.event().untraced == 0;
            let told = if whole { player.length() } else { traced(&player) };
            if walk.event(&mut player, told).is_err() {
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

/// How many instructions of an event a trace tells of that has not room for all of it.
fn traced(player: &Player) -> u64 {
    let start = player.machine().retired;
    let behind = player.event().trace.last().map_or(start, |step| step.at + 1);
    behind.saturating_sub(start).min(player.length())
}

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

/// The interrupts that are found while a run is done again.
struct Walk {
    kernel: &'static dyn Kernel,
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
    /// So many instructions of an event, from its beginning.
    fn event(&mut self, player: &mut Player, instructions: u64) -> Result<(), SeekError> {
        let named = &player.event().named;
        loop {
            let next = player.leap(instructions, &self.returns)?;
            let m = player.machine();
            self.look(m, named);
            match next {
                Next::Interrupt => self.interrupted(m, named),
                Next::Routine | Next::Instruction => {}
                Next::Nothing => break,
            }
        }
        // What a stretch leads through is looked at with one set of names.
        self.end(player.machine(), true, named);
        Ok(())
    }

    /// The pending interrupt is taken next.
    fn interrupted(&mut self, m: &Machine, named: &[Named]) {
        let Some(vector) = m.cpu.interrupt else { return };
        let thread = self.kernel.current(m);
        let back = match m.cpu.cpl() {
            3 => Back::User,
            _ => Back::Kernel(m.cpu.esp()),
        };
        let at = m.cpu.next();
        // One inside another is a part of it.
        if !self.open.contains_key(&thread) {
            self.open.insert(thread, Open { number: self.taken, vector, back: (at, back), plain: true });
            self.returns.push(at);
            self.taken += 1;
            self.enter(m, thread, true, named);
        }
    }

    /// Looks whether an interrupt has ended, or another thread has the processor.
    fn look(&mut self, m: &Machine, named: &[Named]) {
        let thread = self.kernel.current(m);
        if self.at_work.as_ref().is_some_and(|work| work.thread != thread) {
            // It has lost the processor.
            self.end(m, true, named);
        }
        let Some(open) = self.open.get(&thread) else { return };
        let (at, back) = open.back;
        let here = m.cpu.next();
        let over = match back {
            Back::User => m.cpu.cpl() == 3,
            Back::Kernel(esp) => m.cpu.cpl() == 3 || here == at && m.cpu.esp() == esp,
        };
        if self.at_work.is_none() {
            self.enter(m, thread, false, named);
        }
        if over {
            // Another way than back: the thread was made to do something.
            self.end(m, here == at, named);
            self.open.remove(&thread);
            self.returns = self.open.values().map(|open| open.back.0).collect();
        }
    }

    fn enter(&mut self, m: &Machine, thread: ObjectId, first: bool, named: &[Named]) {
        let seen = self.seen(m, thread, named);
        self.at_work = Some(AtWork { thread, from: m.retired, first, seen });
    }

    /// The stretch that is under way ends.
    fn end(&mut self, m: &Machine, plain: bool, named: &[Named]) {
        let Some(work) = self.at_work.take() else { return };
        let same = plain && self.seen(m, work.thread, named) == work.seen;
        let Some(open) = self.open.get_mut(&work.thread) else { return };
        open.plain &= same;
        self.found.push(Stretch {
            thread: work.thread,
            interrupt: open.number,
            vector: open.vector,
            from: work.from,
            until: m.retired,
            first: work.first,
            plain: open.plain,
        });
    }

    fn seen(&self, m: &Machine, thread: ObjectId, named: &[Named]) -> Seen {
        let all = self.kernel.threads(m).into_iter().map(|status| (status.id, status.activity));
        match self.closely {
            true => Seen {
                view: self.kernel.view(m, named),
                threads: all.collect(),
                blocks: self.kernel.heap(m).blocks,
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
