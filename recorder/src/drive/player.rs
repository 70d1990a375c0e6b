//! Standing at any instant of a recorded event, and going on from there an instruction at a time.

use super::error::RecordError;
use super::motor::{Detail, Motor, Pause, apply};
use crate::{EventRecord, Recording};
use contract::Kernel;
use machine::Machine;
use std::sync::Arc;

/// Why an instant could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum SeekError {
    /// There is no such event.
    #[error("there is no event {wanted}: the recording has {events}")]
    NoEvent {
        /// The event that was asked for, counted from 1.
        wanted: usize,
        /// How many there are.
        events: usize,
    },
    /// The event is not so long.
    #[error("event {event} has no instant {wanted}: its last is {length}")]
    NoInstant {
        /// The event, counted from 1; 0 is booting.
        event: usize,
        /// Instructions into it that were asked for.
        wanted: u64,
        /// How many it has.
        length: u64,
    },
    /// The kernel does something else than what was recorded.
    #[error("event {event} goes another way than it was recorded: {why}; `tandem replay` says where")]
    Strayed {
        /// The event, counted from 1; 0 is booting.
        event: usize,
        /// What kept it from its end.
        why: String,
    },
    /// The kernel does not boot.
    #[error(transparent)]
    Boot(#[from] RecordError),
}

/// A machine that does again what was recorded of an event, as far and as often as one likes. A copy
/// stands where the original stood.
#[derive(Clone)]
pub struct Player {
    kernel: &'static dyn Kernel,
    machine: Machine,
    event: Arc<EventRecord>,
    /// The event, counted from 1; 0 is booting.
    number: usize,
    /// Instructions retired when the event began.
    start: u64,
    /// How many inputs have reached the machine.
    fed: usize,
}

impl Player {
    /// Stands at the beginning of an event, of which `before` is the machine. `number` is the event's,
    /// counted from 1, with 0 for booting.
    pub fn new(kernel: &'static dyn Kernel, number: usize, before: Machine, event: EventRecord) -> Player {
        let start = before.retired;
        Player { kernel, machine: before, event: Arc::new(event), number, start, fed: 0 }
    }

    /// Stands so many instructions into an event of a recording (counted from 1; 0 is booting).
    ///
    /// # Errors
    /// [`SeekError`].
    pub fn at(
        recording: &Recording,
        kernel: &'static dyn Kernel,
        event: usize,
        instructions: u64,
    ) -> Result<Player, SeekError> {
        let (before, record) = match event.checked_sub(1) {
            None => (kernel.boot().map_err(RecordError::from)?, &recording.boot),
            Some(index) => {
                let events = recording.events.len();
                let record =
                    recording.events.get(index).ok_or(SeekError::NoEvent { wanted: event, events })?;
                let before = recording.machine_after(index.checked_sub(1)).unwrap_or(&recording.boot.machine);
                (before.clone(), record)
            }
        };
        let mut player = Player::new(kernel, event, before, record.clone());
        player.forward(instructions)?;
        Ok(player)
    }

    /// The machine where it stands.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What was recorded of the event.
    pub fn event(&self) -> &EventRecord {
        &self.event
    }

    /// The event, counted from 1; 0 is booting.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many instructions of the event have been done; a native routine's stage counts as one.
    pub fn offset(&self) -> u64 {
        self.machine.retired - self.start
    }

    /// How many instructions the event has.
    pub fn length(&self) -> u64 {
        self.event.end().saturating_sub(self.start)
    }

    /// Goes on for so many instructions.
    ///
    /// # Errors
    /// [`SeekError::NoInstant`] behind the event's end; nothing is done then. [`SeekError::Strayed`].
    pub fn forward(&mut self, instructions: u64) -> Result<(), SeekError> {
        let wanted = self.offset().saturating_add(instructions);
        if wanted > self.length() {
            return Err(SeekError::NoInstant { event: self.number, wanted, length: self.length() });
        }
        self.until(self.start + wanted).map_err(|why| SeekError::Strayed { event: self.number, why })
    }

    fn until(&mut self, instant: u64) -> Result<(), String> {
        let machine = std::mem::replace(&mut self.machine, Machine::new(0));
        // What it did is recorded already.
        let mut motor = Motor::new(self.kernel, machine, Detail::Nothing);
        let result = play(&mut motor, &self.event, &mut self.fed, instant);
        self.machine = motor.m;
        result
    }
}

fn play(motor: &mut Motor, event: &EventRecord, fed: &mut usize, instant: u64) -> Result<(), String> {
    loop {
        // What reaches the machine at the last instant still belongs to it: so a seek to the end of an
        // event gives the machine that was recorded there.
        while let Some(input) = event.inputs.get(*fed).filter(|input| input.at == motor.m.retired) {
            if input.at == instant && instant < event.end() {
                break;
            }
            apply(&mut motor.m, &input.what)
                .map_err(|fault| format!("what reached it cannot be placed: {fault}"))?;
            *fed += 1;
        }
        if motor.m.retired >= instant {
            return Ok(());
        }
        let next = event.inputs.get(*fed).map_or(instant, |input| input.at.min(instant));
        if motor.m.retired > next {
            return Err("it ran past an instant at which something reached it".to_owned());
        }
        match motor.advance(next, &[], false) {
            Pause::Stopped(why) => return Err(why),
            Pause::Halted if motor.m.retired < next => {
                return Err("the processor halts where it went on".to_owned());
            }
            _ => {}
        }
    }
}
