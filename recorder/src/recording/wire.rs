//! What stands in a recording's chunks: events, and machines as differences. What is written is
//! [`super::outgoing`]; here it is read.

use super::{changed, steps};
use crate::codec::Bytes;
use crate::recording::{EventRecord, Input};
use contract::{Named, ObjectId, Outcome, View};
use machine::{Cpu, Gates, Machine, Memory, PAGE, Pa};
use serde::{Deserialize, Serialize};

/// Pages of physical memory that a recorded machine has at most: 256 MiB.
const PAGES_MAX: u32 = 1 << 16;
/// Instructions that an event takes at most: some seconds of running.
const INSTRUCTIONS_MAX: u64 = 1 << 30;
/// Pages that the events of a recording change at most, all together.
pub(super) const CHANGED_MAX: usize = 1 << 16;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireHeader {
    pub(super) kernel: String,
    pub(super) case: String,
    pub(super) digest: u64,
    pub(super) text: String,
    pub(super) detail: bool,
    /// How many events follow.
    pub(super) events: u32,
}

/// A full copy: all routines that traces have mentioned up to here, and the machine as it differs from
/// the booted one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireFull {
    pub(super) routines: Vec<String>,
    pub(super) machine: WireMachine,
}

/// What stands in the last chunk.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireEnd {
    /// Routines that no trace mentions.
    pub(super) routines: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireEvent {
    line: u32,
    text: String,
    outcome: Outcome,
    view: View,
    named: Vec<Named>,
    threads: Vec<ObjectId>,
    /// Routines that no trace before this one mentions.
    routines: Vec<String>,
    /// As [`super::steps`] has it.
    trace: Bytes,
    untraced: u64,
    /// Instants as their distance from the one before.
    inputs: Vec<Input>,
    steps: Bytes,
    machine: WireMachine,
}

/// A machine as it differs from an earlier one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireMachine {
    cpu: Cpu,
    retired: u64,
    clock: u64,
    kernel_gate: (u32, u32),
    user_gate: (u32, u32),
    pages: u32,
    /// None behind an earlier machine: they cost looking for.
    ladders: Vec<Ladder>,
    /// How many pages changed, but for ladders.
    frames: u32,
    /// As [`super::changed`] has it.
    changed: Bytes,
}

/// Doublewords of a page, each so much more than the one before: a page table that maps memory as it
/// lies. Packing finds no two of them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ladder {
    pub(super) frame: u32,
    /// The first one's place in its page, in doublewords.
    pub(super) start: u16,
    pub(super) rungs: u16,
    pub(super) first: u32,
    pub(super) step: u32,
}

/// Doublewords of a page.
pub(super) const WORDS: usize = PAGE as usize / 4;

impl Ladder {
    /// The bytes of the doublewords.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let rung = |index: u32| self.first.wrapping_add(index.wrapping_mul(self.step));
        (0..u32::from(self.rungs)).flat_map(|index| rung(index).to_le_bytes()).collect()
    }

    /// Where it begins and ends in physical memory, in doublewords.
    fn range(&self) -> (usize, usize) {
        let start = self.frame as usize * WORDS + usize::from(self.start);
        (start, start + usize::from(self.rungs))
    }

    /// Whether it lies in one page of so many, and behind what ended there.
    fn fits(&self, pages: u32, free: usize) -> bool {
        let within = self.frame < pages && usize::from(self.start) + usize::from(self.rungs) <= WORDS;
        within && self.rungs > 0 && self.range().0 >= free
    }
}

impl WireMachine {
    /// How many pages it changes.
    pub(super) fn changed(&self) -> usize {
        self.frames as usize + self.ladders.len()
    }

    /// The machine that an event has led to, which differs so from the one before; the text says why there
    /// is none. Whoever replays the event runs all of it: its length is bounded before it is believed.
    fn behind(self, before: Option<&Machine>) -> Result<Machine, String> {
        let began = before.map_or(0, |before| before.retired);
        if self.retired > began.saturating_add(INSTRUCTIONS_MAX) {
            return Err(format!("an event from instruction {began} to {}", self.retired));
        }
        self.apply(before.map(|before| &before.memory))
    }

    /// The machine that differs so from `older`; the text says why there is none.
    pub(super) fn apply(self, older: Option<&Memory>) -> Result<Machine, String> {
        if self.pages > PAGES_MAX || older.is_some_and(|older| older.pages() != self.pages) {
            return Err(format!("a machine of {} pages", self.pages));
        }
        let mut memory = older.cloned().unwrap_or_else(|| Memory::new(self.pages));
        if older.is_some() && !self.ladders.is_empty() {
            return Err("a machine behind an earlier one with page tables of its own".to_owned());
        }
        let mut free = 0;
        for ladder in &self.ladders {
            if !ladder.fits(self.pages, free) {
                return Err(format!("page frame {}: a page table out of place", ladder.frame));
            }
            free = ladder.range().1;
            memory.write(Pa(ladder.frame * PAGE + u32::from(ladder.start) * 4), &ladder.bytes());
        }
        changed::apply(self.frames, &self.changed.0, &mut memory)?;
        let mut machine = Machine::new(0);
        machine.cpu = self.cpu;
        machine.memory = memory;
        machine.retired = self.retired;
        machine.clock = self.clock;
        machine.gates = Gates {
            kernel: self.kernel_gate.0..self.kernel_gate.1,
            user: self.user_gate.0..self.user_gate.1,
        };
        Ok(machine)
    }
}

impl WireEvent {
    /// How many pages it changes.
    pub(super) fn changed(&self) -> usize {
        self.machine.changed()
    }

    /// Routines that no trace before this one mentions.
    pub(super) fn routines(&self) -> &[String] {
        &self.routines
    }

    /// Only the machine after it; the text says why there is none.
    pub(super) fn machine(self, before: &Machine) -> Result<Machine, String> {
        self.machine.behind(Some(before))
    }

    /// The event; the text says why there is none. Adds its routines to those that are known.
    /// It begins with the machine `before`; booting begins with none.
    pub(super) fn read(
        self,
        known: &mut Vec<String>,
        before: Option<&Machine>,
    ) -> Result<EventRecord, String> {
        if !self.steps.0.len().is_multiple_of(4) || self.steps.0.len() / 4 > EventRecord::STEPS_MAX {
            return Err(format!("{} bytes of digests", self.steps.0.len()));
        }
        let trace = steps::read(&self.trace.0)?;
        known.extend(self.routines);
        if let Some(step) = trace.iter().find(|step| usize::from(step.routine) >= known.len()) {
            return Err(format!("routine {} of {}", step.routine, known.len()));
        }
        if let Some(step) = trace.iter().find(|step| usize::from(step.thread) >= self.threads.len()) {
            return Err(format!("thread {} of {}", step.thread, self.threads.len()));
        }
        let mut inputs = self.inputs;
        let mut at = 0u64;
        for input in &mut inputs {
            at = at.wrapping_add(input.at);
            input.at = at;
        }
        let machine = self.machine.behind(before)?;
        let began = before.map_or(0, |before| before.retired);
        if machine.retired < began {
            return Err(format!("an event from instruction {began} to {}", machine.retired));
        }
        // Whoever does it again goes on to each of them.
        let last = began.saturating_add(INSTRUCTIONS_MAX);
        let instants = inputs.iter().map(|input| input.at).chain(trace.iter().map(|step| step.at));
        if let Some(at) = instants.max().filter(|at| *at > last) {
            return Err(format!("something at instruction {at} of an event that begins at {began}"));
        }
        let steps =
            self.steps.0.chunks_exact(4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
        Ok(EventRecord {
            line: self.line,
            text: self.text,
            outcome: self.outcome,
            view: self.view,
            named: self.named.into(),
            threads: self.threads,
            trace,
            untraced: self.untraced,
            inputs,
            steps: steps.collect(),
            machine,
        })
    }
}

/// How many routines are known once this trace has been told, of those that were known before.
pub(super) fn mentioned(known: usize, event: &EventRecord) -> usize {
    event.trace.iter().map(|step| usize::from(step.routine) + 1).max().unwrap_or(0).max(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};
    use crate::recording::changed::Changed;
    use crate::recording::outgoing::{Difference, Event, Gap, Space};
    use crate::recording::{TraceStep, Went};

    #[test]
    fn an_event_that_would_be_replayed_for_years_is_refused() {
        let at = |retired: u64| {
            let mut machine = Machine::new(0);
            machine.retired = retired;
            machine
        };
        let older = at(1000);
        let behind = |retired: u64| {
            let machine = at(retired);
            let bytes =
                encode(&Difference::new(&machine, &older.memory, Gap::Short, &mut Changed::default()));
            let wire = decode::<WireMachine>(&bytes).unwrap();
            wire.behind(Some(&older)).map(|machine| machine.retired)
        };
        assert_eq!(behind(1000 + INSTRUCTIONS_MAX), Ok(1000 + INSTRUCTIONS_MAX));
        assert_eq!(behind(u64::MAX), Err(format!("an event from instruction 1000 to {}", u64::MAX)));
        assert_eq!(behind(7), Ok(7), "a seek passes over parts of other recordings");
    }

    #[test]
    fn a_ladder_lies_in_a_page_behind_the_one_before() {
        let ladder = |frame, start, rungs| Ladder { frame, start, rungs, first: 7, step: 0x1000 };
        assert!(ladder(1, 1000, 24).fits(2, 2024));
        for (not, free) in [
            (ladder(1, 1000, 25), 0),
            (ladder(2, 0, 1), 0),
            (ladder(1, 0, 0), 0),
            (ladder(1, 1000, 24), 2025),
            (ladder(u32::MAX, u16::MAX, u16::MAX), 0),
        ] {
            assert!(!not.fits(2, free), "{not:?}");
        }
    }

    #[test]
    fn a_machine_that_cannot_be_is_refused() {
        let older = Machine::new(3);
        let mut newer = older.clone();
        newer.memory.write(Pa(0x10), &[1; 4]);
        newer.memory.write(Pa(0xFF8), &[2; 4]);
        newer.memory.write(Pa(0x1010), &[3; 4]);
        let refused = |behind: bool, spoil: fn(&mut WireMachine)| {
            let bytes = encode(&Difference::new(&newer, &older.memory, Gap::Short, &mut Changed::default()));
            let mut wire = decode::<WireMachine>(&bytes).unwrap();
            spoil(&mut wire);
            wire.apply(behind.then_some(&older.memory)).err().unwrap_or_default()
        };
        const LADDER: Ladder = Ladder { frame: 2, start: 0, rungs: 16, first: 0, step: 4 };
        assert_eq!(refused(true, |_| ()), "");
        assert_eq!(refused(false, |wire| wire.ladders = vec![LADDER]), "");
        assert_eq!(refused(false, |wire| wire.pages = PAGES_MAX + 1), "a machine of 65537 pages");
        assert_eq!(refused(true, |wire| wire.pages = 2), "a machine of 2 pages");
        let own = "a machine behind an earlier one with page tables of its own";
        assert_eq!(refused(true, |wire| wire.ladders = vec![LADDER]), own);
        let twice = "page frame 2: a page table out of place";
        assert_eq!(refused(false, |wire| wire.ladders = vec![LADDER; 2]), twice);
        assert_eq!(refused(true, |wire| wire.frames = 1), "more than 1 changed pages");
        assert_eq!(refused(true, |wire| wire.frames = u32::MAX), "what changed in memory ends too early");
    }

    #[test]
    fn an_event_whose_parts_do_not_fit_is_refused() {
        let refused = |spoil: fn(&mut WireEvent)| {
            let machine = Machine::new(1);
            let nothing = EventRecord { machine: machine.clone(), ..EventRecord::nothing() };
            let bytes =
                encode(&Event::new(&nothing, &machine.memory, Gap::Short, &[], &mut Space::default()));
            let mut wire = decode::<WireEvent>(&bytes).unwrap();
            spoil(&mut wire);
            wire.read(&mut Vec::new(), Some(&machine)).err().unwrap_or_default()
        };
        assert_eq!(refused(|_| ()), "");
        assert_eq!(refused(|wire| wire.steps.0 = vec![0; 3]), "3 bytes of digests");
        let steps = |wire: &mut WireEvent| wire.steps.0 = vec![0; 4 * EventRecord::STEPS_MAX + 4];
        assert_eq!(refused(steps), "262148 bytes of digests");
        assert_eq!(refused(|wire| wire.trace = step()), "routine 0 of 0");
        let thread = |wire: &mut WireEvent| {
            wire.routines = vec!["NtClose".to_owned()];
            wire.trace = step();
        };
        assert_eq!(refused(thread), "thread 0 of 0");
    }

    /// A trace of one step.
    fn step() -> Bytes {
        let went = Went::Direct;
        let step =
            TraceStep { at: 1, depth: 0, thread: 0, routine: 0, stage: 0, args: Default::default(), went };
        let mut bytes = Vec::new();
        steps::write(&[step], &mut bytes);
        Bytes(bytes)
    }
}
