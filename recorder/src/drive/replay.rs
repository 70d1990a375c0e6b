//! Feeding a recording's inputs to a freshly booted kernel.

use super::error::RecordError;
use super::look::symbol;
use super::motor::{Detail, Motor, Notes, Pause, apply};
use super::routines::Routines;
use crate::guard::caught;
use crate::{EventRecord, Recording, TraceStep};
use contract::{Kernel, ObjectId};
use machine::Machine;

/// A recording's inputs, fed to a freshly booted kernel, an event at a time.
pub struct Replay<'r> {
    recording: &'r Recording,
    kernel: &'static dyn Kernel,
    /// The next event: 0 is booting.
    next: usize,
    /// Where the last event led, for a replay that goes on from there.
    machine: Option<Machine>,
    /// Whether it goes on from where its last event led, not from what was recorded there.
    through: bool,
}

/// An event that was replayed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Its index; none for booting.
    pub event: Option<usize>,
    /// Whether the machine is the recorded one, to the byte.
    pub same: bool,
    /// Why the replay could not reach the event's end, if it could not.
    pub strayed: Option<String>,
    /// The machine that the replay led to.
    pub machine: Machine,
}

/// The first instruction at which a replay differs from its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Instructions retired when it began.
    pub at: u64,
    /// Where it lies, as a symbol: `KiSwapContext+12`, `PspExitThread.3`.
    pub place: String,
    /// The thread that executed it, if the case has named it.
    pub thread: Option<String>,
}

impl<'r> Replay<'r> {
    /// Prepares to boot the kernel.
    pub fn start(recording: &'r Recording, kernel: &'static dyn Kernel) -> Replay<'r> {
        Replay { recording, kernel, next: 0, machine: None, through: false }
    }

    /// Prepares to go on from a machine that stands after an event (counted from 1; 0 is booting), through
    /// all the events behind it without looking at what was recorded of the machine between them. With no
    /// machine: from booting, which is an event as well.
    pub fn through(
        recording: &'r Recording,
        kernel: &'static dyn Kernel,
        from: Option<(usize, Machine)>,
    ) -> Replay<'r> {
        let (next, machine) = from.map_or((0, None), |(event, machine)| (event + 1, Some(machine)));
        Replay { recording, kernel, next, machine, through: true }
    }

    /// Replays booting, then each event; none after the last. Each event starts from the recorded
    /// machine before it, so each is judged by itself, unless the replay goes [`Replay::through`].
    ///
    /// # Errors
    /// [`RecordError::Boot`]; [`RecordError::GaveUp`]: the kernel can go no further, nor can this replay.
    pub fn next_event(&mut self) -> Result<Option<Replayed>, RecordError> {
        let event = self.next.checked_sub(1);
        let Some(recorded) = self.recorded(event) else { return Ok(None) };
        self.next += 1;
        let before = match self.machine.take().filter(|_| self.through) {
            Some(machine) => machine,
            None => self.before(event)?,
        };
        let mut motor = Motor::new(self.kernel, before, Detail::Nothing);
        let fed = caught(|| feed(&mut motor, recorded, |_| true));
        let strayed = fed.map_err(|why| self.gave_up(event, motor.m.retired, why))?.err();
        let same = strayed.is_none() && motor.m == recorded.machine;
        if self.through {
            self.machine = Some(motor.m.clone());
        }
        Ok(Some(Replayed { event, same, strayed, machine: motor.m }))
    }

    /// The first instruction of an event (none: of booting) that differs; none when all are the same.
    /// Exact for a detailed recording; for another one the first native routine that does something
    /// else.
    ///
    /// # Errors
    /// [`RecordError::Boot`]; [`RecordError::GaveUp`], with the instant at which the event begins.
    pub fn first_step(&self, event: Option<usize>) -> Result<Option<Step>, RecordError> {
        let Some(recorded) = self.recorded(event) else { return Ok(None) };
        let before = self.before(event)?;
        let began = before.retired;
        let found = caught(|| match recorded.steps.is_empty() {
            true => self.first_routine(before, recorded),
            false => self.first_instruction(before, recorded),
        });
        found.map_err(|why| self.gave_up(event, began, why))
    }

    fn first_instruction(&self, before: Machine, recorded: &EventRecord) -> Option<Step> {
        let mut motor = Motor::new(self.kernel, before, Detail::Yes);
        let mut last = place(&motor, recorded);
        let mut found = None;
        let mut compared = 0;
        let strayed = feed(&mut motor, recorded, |motor| {
            for step in &motor.notes.steps[compared..] {
                if recorded.steps.get(compared) != Some(step) {
                    found = Some(last.clone());
                    return false;
                }
                compared += 1;
            }
            last = place(motor, recorded);
            true
        });
        if found.is_none() && (strayed.is_err() || compared < recorded.steps.len()) {
            found = Some(last);
        }
        found
    }

    fn first_routine(&self, before: Machine, recorded: &EventRecord) -> Option<Step> {
        let mut motor = Motor::new(self.kernel, before, Detail::No);
        motor.routines = Routines::of(&self.recording.header.routines, self.kernel);
        // Whether it strays does not matter here: where its trace parts does.
        let _ = feed(&mut motor, recorded, |_| true);
        let Notes { trace, threads, .. } = motor.take_notes();
        let longest = trace.len().max(recorded.trace.len());
        // Depth is left out: the recorder knows who was at work before the event, and a replay does not.
        let flat = |step: Option<&TraceStep>| step.map(|step| TraceStep { depth: 0, ..step.clone() });
        let parts = (0..longest).find(|index| flat(trace.get(*index)) != flat(recorded.trace.get(*index)));
        let step = parts.and_then(|index| {
            let recorded = recorded.trace.get(index).map(|step| (step, &recorded.threads));
            recorded.or(trace.get(index).map(|step| (step, &threads)))
        });
        step.map(|(step, threads)| Step {
            at: step.at,
            place: match step.stage {
                0 => motor.routines.names[usize::from(step.routine)].clone(),
                stage => format!("{}.{stage}", motor.routines.names[usize::from(step.routine)]),
            },
            thread: threads
                .get(usize::from(step.thread))
                .and_then(|thread| recorded.named.iter().find(|named| named.id == *thread))
                .map(|named| named.name.clone()),
        })
    }

    /// Lets the kernel look at what is recorded of an event (none: of booting), or at what it led to.
    ///
    /// # Errors
    /// [`RecordError::GaveUp`], with the instant at which the event ends.
    pub fn look<T>(&self, event: Option<usize>, look: impl FnOnce() -> T) -> Result<T, RecordError> {
        let end = self.recorded(event).map_or(0, EventRecord::end);
        caught(look).map_err(|why| self.gave_up(event, end, why))
    }

    fn gave_up(&self, event: Option<usize>, at: u64, why: String) -> RecordError {
        RecordError::GaveUp {
            kernel: self.kernel.name().to_owned(),
            event: event.map_or(0, |index| index + 1),
            line: self.recorded(event).map_or(0, |event| event.line),
            at,
            why,
        }
    }

    fn recorded(&self, event: Option<usize>) -> Option<&'r EventRecord> {
        match event {
            None => Some(&self.recording.boot),
            Some(index) => self.recording.events.get(index),
        }
    }

    /// The machine before an event: as recorded, or as the kernel boots.
    fn before(&self, event: Option<usize>) -> Result<Machine, RecordError> {
        Ok(match event {
            None => self.kernel.boot()?,
            Some(0) => self.recording.boot.machine.clone(),
            Some(index) => self.recording.events[index - 1].machine.clone(),
        })
    }
}

/// Where the machine stands.
fn place(motor: &Motor, recorded: &EventRecord) -> Step {
    let at = motor.m.cpu.next();
    let current: ObjectId = motor.kernel.current(&motor.m);
    let named = recorded.named.iter().find(|named| named.id == current);
    Step {
        at: motor.m.retired,
        place: symbol(motor.kernel, at).unwrap_or_else(|| at.to_string()),
        thread: named.map(|named| named.name.clone()),
    }
}

/// Feeds an event's inputs at their instants and runs to its end. `go_on` is asked after every pause,
/// which in detail is every instruction. The text says what kept it from the event's end.
fn feed(
    motor: &mut Motor,
    recorded: &EventRecord,
    mut go_on: impl FnMut(&Motor) -> bool,
) -> Result<(), String> {
    let ends = recorded.inputs.iter().map(|input| (input.at, Some(&input.what)));
    for (instant, what) in ends.chain([(recorded.end(), None)]) {
        while motor.m.retired < instant {
            match motor.advance_once(instant) {
                Pause::Stopped(why) => return Err(why),
                Pause::Halted if motor.m.retired < instant => {
                    return Err("the processor halts where it went on".to_owned());
                }
                _ => {}
            }
            if !go_on(motor) {
                return Err("it went another way".to_owned());
            }
        }
        if motor.m.retired > instant {
            return Err("it ran past an instant at which something reached it".to_owned());
        }
        if let Some(what) = what {
            apply(&mut motor.m, what)
                .map_err(|fault| format!("what reached it cannot be placed: {fault}"))?;
        }
    }
    Ok(())
}
