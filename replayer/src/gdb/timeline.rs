//! A recording as a line of places, to be walked in both directions.
//!
//! A place lies between two steps. A step is one instruction, one native routine, or the delivery of
//! one exception or interrupt. What reaches the machine from outside (a line of the case puts a call
//! on the program's stack, the clock ticks) comes between two steps and is none itself: at a place
//! it has happened already. Going back is starting from the nearest copy of the machine before the
//! place, and doing the same again: the machine is deterministic, so that is where it was.
//!
//! [`recorder::Player`] stands at instants, which are fewer: a delivery takes none. To gdb it is a step of
//! its own, and so is each turn of a repeated instruction.

use contract::{Kernel, Named, ObjectId};
use machine::registers::flags;
use machine::{Machine, Stop, Touched};
use recorder::{EventRecord, RecordError, Recording};
use std::collections::BTreeMap;

/// A place: the event that is under way, and how many of its steps have been made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0 is booting, then the events of the case.
    pub event: usize,
    /// Steps made in the event.
    pub step: u64,
}

/// A copy of the machine is kept at every so many steps of an event that is walked through.
const KEPT_EVERY: u64 = 256;
/// So many copies are kept at most; each costs what changed since the last.
const KEPT_MAX: usize = 1024;

/// What it takes to go on from a place.
#[derive(Clone)]
struct Kept {
    m: Machine,
    /// The event's next input.
    input: usize,
    /// Whether the machine has made a step since something last reached it.
    ran: bool,
}

/// A recording, standing at a place.
pub struct Timeline<'r> {
    recording: &'r Recording,
    kernel: &'static dyn Kernel,
    booted: Machine,
    place: Place,
    now: Kept,
    /// The instruction that was stepped repeats itself and goes on at the same address.
    repeating: bool,
    ended: bool,
    kept: BTreeMap<Place, Kept>,
}

/// Why a recording cannot be walked through.
#[derive(Debug, thiserror::Error)]
pub enum Stray {
    /// The kernel does not boot.
    #[error(transparent)]
    Boot(#[from] RecordError),
    /// The machine does something else than was recorded.
    #[error("event {event}, instruction {at}: {what}")]
    Parts {
        /// The event; 0 is booting.
        event: usize,
        /// Instructions retired since the machine was made.
        at: u64,
        /// What it does.
        what: String,
    },
}

impl<'r> Timeline<'r> {
    /// A recording's line, at its first place.
    ///
    /// # Errors
    /// [`Stray`].
    pub fn new(recording: &'r Recording, kernel: &'static dyn Kernel) -> Result<Timeline<'r>, Stray> {
        let booted = kernel.boot().map_err(RecordError::from)?;
        let now = Kept { m: booted.clone(), input: 0, ran: false };
        let mut line = Timeline {
            recording,
            kernel,
            booted,
            place: Place::default(),
            now,
            repeating: false,
            ended: false,
            kept: BTreeMap::new(),
        };
        line.settle()?;
        Ok(line)
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// How many instructions into the event that is: what `--at` takes. Steps are more where an interrupt or an
    /// exception is taken, and in a repeated instruction, of which each turn is one.
    pub fn instant(&self) -> u64 {
        let before = self.place.event.checked_sub(1).map_or(0, |event| self.record(event).end());
        self.now.m.retired.saturating_sub(before)
    }

    /// The machine there.
    pub fn machine(&self) -> &Machine {
        &self.now.m
    }

    /// The kernel that the machine runs.
    pub fn kernel(&self) -> &'static dyn Kernel {
        self.kernel
    }

    /// Whether this is the last place: nothing more was recorded.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the step before this place was one turn of a repeated instruction that goes on here.
    pub fn repeating(&self) -> bool {
        self.repeating
    }

    /// How many events there are besides booting.
    pub fn events(&self) -> usize {
        self.recording.events.len()
    }

    /// The event that is under way.
    pub fn event(&self) -> &'r EventRecord {
        self.record(self.place.event)
    }

    /// The thread that makes the next step.
    pub fn current(&self) -> ObjectId {
        self.kernel.current(&self.now.m)
    }

    /// The objects that have names by the end of the event.
    pub fn named(&self) -> &'r [Named] {
        &self.event().named
    }

    fn record(&self, event: usize) -> &'r EventRecord {
        match event {
            0 => &self.recording.boot,
            index => &self.recording.events[index - 1],
        }
    }

    /// Makes one step; false at the end, where there is none to make.
    ///
    /// # Errors
    /// [`Stray::Parts`]: it is not the step that was recorded.
    pub fn step(&mut self) -> Result<bool, Stray> {
        if self.ended {
            return Ok(false);
        }
        let m = &mut self.now.m;
        let before = (m.cpu.next(), m.retired);
        match m.step() {
            Stop::Budget => {}
            Stop::Native(at) => {
                if let Err(fault) = contract::routine::serve(self.kernel, m, at)
                    && m.page_fault(fault).is_err()
                {
                    return Err(self.parts("a fault while a double fault is delivered"));
                }
            }
            stop => return Err(self.parts(&format!("it stops ({stop:?}) where it went on"))),
        }
        let m = &self.now.m;
        self.repeating = m.retired > before.1 && m.cpu.next() == before.0 && m.cpu.flag(flags::RF);
        self.now.ran = true;
        self.place.step += 1;
        self.settle()?;
        if self.place.step > 0 && self.place.step.is_multiple_of(KEPT_EVERY) {
            if self.kept.len() == KEPT_MAX {
                self.kept.clear();
            }
            self.kept.entry(self.place).or_insert_with(|| self.now.clone());
        }
        Ok(true)
    }

    /// What the next step reads and writes, found out on a copy.
    pub fn touching(&self) -> Vec<Touched> {
        if self.ended {
            return Vec::new();
        }
        let mut m = self.now.m.clone();
        m.observe();
        if let Stop::Native(at) = m.step() {
            // What becomes of a fault is seen when the step is made.
            let _ = contract::routine::serve(self.kernel, &mut m, at);
        }
        m.observed().to_vec()
    }

    /// Lets reach the machine what reaches it here, and goes over to the next event at an event's end.
    fn settle(&mut self) -> Result<(), Stray> {
        loop {
            let record = self.event();
            let input = record.inputs.get(self.now.input);
            let instant = input.map_or(record.end(), |input| input.at);
            if self.now.m.retired > instant {
                return Err(self.parts("it runs past an instant at which something reached it"));
            }
            // A run that ends takes a pending interrupt first.
            if self.now.m.retired < instant || self.now.ran && self.interruptible() {
                return Ok(());
            }
            if let Some(input) = input {
                if let Err(fault) = recorder::apply(&mut self.now.m, &input.what) {
                    return Err(self.parts(&format!("what reached it cannot be placed: {fault}")));
                }
                self.now.input += 1;
                self.now.ran = false;
                self.repeating = false;
                continue;
            }
            if self.now.m != record.machine {
                return Err(self.parts("the machine is not the one that was recorded after the event"));
            }
            if self.place.event == self.recording.events.len() {
                self.ended = true;
                return Ok(());
            }
            self.place = Place { event: self.place.event + 1, step: 0 };
            self.now.input = 0;
            self.now.ran = false;
        }
    }

    fn interruptible(&self) -> bool {
        let cpu = &self.now.m.cpu;
        cpu.interrupt.is_some() && cpu.flag(flags::IF) && !cpu.shadow
    }

    fn parts(&self, what: &str) -> Stray {
        Stray::Parts { event: self.place.event, at: self.now.m.retired, what: what.to_owned() }
    }

    /// Goes to a place; to the next one that there is when the event has fewer steps, and to the last
    /// one when there are fewer events.
    ///
    /// # Errors
    /// [`Stray::Parts`].
    pub fn seek(&mut self, to: Place) -> Result<(), Stray> {
        let onwards = self.place <= to && self.place.event == to.event;
        let near = self.kept.range(Place { event: to.event, step: 0 }..=to).next_back();
        let near = near.map(|(place, kept)| (*place, kept.clone()));
        match near {
            Some((place, _)) if onwards && place <= self.place => {}
            None if onwards => {}
            Some((place, kept)) => {
                self.place = place;
                self.now = kept;
                self.repeating = false;
                self.ended = false;
            }
            None => {
                let event = to.event.min(self.events());
                let m = match event {
                    0 => self.booted.clone(),
                    event => self.record(event - 1).machine.clone(),
                };
                self.place = Place { event, step: 0 };
                self.now = Kept { m, input: 0, ran: false };
                self.repeating = false;
                self.ended = false;
                self.settle()?;
            }
        }
        while self.place < to && self.step()? {}
        Ok(())
    }

    /// Goes to the first place that is so many instructions into an event; not farther than its end.
    ///
    /// # Errors
    /// [`Stray::Parts`].
    pub fn seek_instant(&mut self, event: usize, instructions: u64) -> Result<(), Stray> {
        self.seek(Place { event, step: 0 })?;
        let instant = self.now.m.retired.saturating_add(instructions);
        while self.place.event == event && self.now.m.retired < instant && self.step()? {}
        Ok(())
    }

    /// Goes back one step; false at the first place, from which there is no way back.
    ///
    /// # Errors
    /// [`Stray::Parts`].
    pub fn back(&mut self) -> Result<bool, Stray> {
        let from = self.place;
        if let Some(step) = from.step.checked_sub(1) {
            self.seek(Place { event: from.event, step })?;
            return Ok(true);
        }
        self.last_before(from, |_, _| Ok::<_, Stray>(Some(()))).map(|found| found.is_some())
    }

    /// Goes back to the last place before `from` at which `wanted` gives something. It is asked at
    /// every place with the line, which it may step once to see what the step does; the place it was
    /// asked at is passed too. When there is none, goes to the first place.
    ///
    /// # Errors
    /// [`Stray::Parts`], and what `wanted` fails with.
    pub fn last_before<T, E: From<Stray>>(
        &mut self,
        from: Place,
        mut wanted: impl FnMut(&mut Timeline<'r>, Place) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        for event in (0..=from.event.min(self.events())).rev() {
            self.seek(Place { event, step: 0 })?;
            let mut found = None;
            while self.place < from && self.place.event == event && !self.ended {
                let place = self.place;
                if let Some(what) = wanted(self, place)? {
                    found = Some((place, what));
                }
                if self.place == place && !self.step()? {
                    break;
                }
            }
            if let Some((place, what)) = found {
                self.seek(place)?;
                return Ok(Some(what));
            }
        }
        self.seek(Place::default())?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recorder::{Case, kernels};

    const CASE: &str = "# A thread ends another.\nprocess app\nthread main in=app\nthread worker in=app\n\
                        main NtTerminateThread thread=worker status=1\n";

    fn recording(kernel: &'static dyn Kernel) -> Recording {
        recorder::record(&Case::parse("x.case", "x", CASE).unwrap(), kernel).unwrap()
    }

    #[test]
    fn a_walk_passes_every_recorded_machine_and_back_again() {
        for name in ["nt", "reactos"] {
            let kernel = kernels::by_name(name).unwrap();
            let recording = recording(kernel);
            let mut line = Timeline::new(&recording, kernel).unwrap();
            let mut places = vec![(line.place(), line.machine().clone())];
            while line.step().unwrap() {
                places.push((line.place(), line.machine().clone()));
            }
            assert_eq!(line.machine(), &recording.events.last().unwrap().machine, "{name}");
            assert!(places.len() > 1000, "{name}: {} places", places.len());
            assert!(places.is_sorted_by(|(a, _), (b, _)| a < b), "places are in order");
            // Back one by one at the end, and to places anywhere.
            for (place, machine) in places.iter().rev().skip(1).take(700) {
                assert!(line.back().unwrap());
                assert_eq!((line.place(), line.machine()), (*place, machine), "{name}");
            }
            for (place, machine) in places.iter().step_by(97) {
                line.seek(*place).unwrap();
                assert_eq!((line.place(), line.machine()), (*place, machine), "{name}");
            }
        }
    }

    #[test]
    fn before_the_first_place_is_nothing() {
        let kernel = kernels::by_name("nt").unwrap();
        let recording = recording(kernel);
        let mut line = Timeline::new(&recording, kernel).unwrap();
        let first = line.place();
        assert!(!line.back().unwrap());
        assert_eq!(line.place(), first);
        line.seek(Place { event: 99, step: 0 }).unwrap();
        assert!(line.ended() && line.place().event == 4, "behind the last event is its end");
    }

    #[test]
    fn another_kernels_recording_is_no_line_of_this_kernel() {
        let recording = recording(kernels::by_name("reactos").unwrap());
        let mut line = match Timeline::new(&recording, kernels::by_name("nt").unwrap()) {
            Ok(line) => line,
            Err(stray) => return assert!(matches!(stray, Stray::Parts { .. })),
        };
        let stray = loop {
            match line.step() {
                Ok(true) => {}
                Ok(false) => panic!("the kernels are not the same"),
                Err(stray) => break stray,
            }
        };
        assert!(matches!(stray, Stray::Parts { event: 0, .. }), "{stray}");
    }
}
