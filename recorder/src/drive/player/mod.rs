//! Standing at any instant of a recorded event, and going on from there an instruction at a time.

mod leap;

pub use leap::Next;

use super::error::RecordError;
use super::motor::{Detail, Motor, Pause, apply};
use crate::{EventRecord, Recording};
use contract::Kernel;
use machine::{Machine, Stop};

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
pub struct Player<'r> {
    /// It writes nothing down: what the machine did is recorded already.
    motor: Motor,
    event: &'r EventRecord,
    /// The event, counted from 1; 0 is booting.
    number: usize,
    /// Instructions retired when the event began.
    start: u64,
    /// How many inputs have reached the machine.
    fed: usize,
    /// [`Player::leap`] has said what comes next.
    told: bool,
}

impl<'r> Clone for Player<'r> {
    fn clone(&self) -> Player<'r> {
        let motor = Motor::new(self.motor.kernel, self.motor.m.clone(), Detail::Nothing);
        Player { motor, ..*self }
    }
}

impl<'r> Player<'r> {
    /// Stands at the beginning of an event, of which `before` is the machine. `number` is the event's,
    /// counted from 1, with 0 for booting.
    pub fn new(
        kernel: &'static dyn Kernel,
        number: usize,
        before: Machine,
        event: &'r EventRecord,
    ) -> Player<'r> {
        let start = before.retired;
        let motor = Motor::new(kernel, before, Detail::Nothing);
        Player { motor, event, number, start, fed: 0, told: false }
    }

    /// Stands so many instructions into an event of a recording (counted from 1; 0 is booting).
    ///
    /// # Errors
    /// [`SeekError`].
    pub fn at(
        recording: &'r Recording,
        kernel: &'static dyn Kernel,
        event: usize,
        instructions: u64,
    ) -> Result<Player<'r>, SeekError> {
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
        let mut player = Player::new(kernel, event, before, record);
        player.forward(instructions)?;
        Ok(player)
    }

    /// Goes to the end of its event, and stands at the beginning of the next one: with the machine as it got
    /// there, not as it was recorded there.
    ///
    /// # Errors
    /// [`SeekError::Strayed`].
    pub fn follow(mut self, next: &'r EventRecord) -> Result<Player<'r>, SeekError> {
        self.forward(self.length().saturating_sub(self.offset()))?;
        Ok(Player::new(self.motor.kernel, self.number + 1, self.motor.m, next))
    }

    /// The machine where it stands.
    pub fn machine(&self) -> &Machine {
        &self.motor.m
    }

    /// What was recorded of the event.
    pub fn event(&self) -> &'r EventRecord {
        self.event
    }

    /// The event, counted from 1; 0 is booting.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many instructions of the event have been done; a native routine's stage counts as one.
    pub fn offset(&self) -> u64 {
        self.motor.m.retired - self.start
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
        let instant = self.instant(self.offset().saturating_add(instructions))?;
        self.until(instant).map_err(|why| SeekError::Strayed { event: self.number, why })
    }

    /// The instant so many instructions into the event.
    fn instant(&self, wanted: u64) -> Result<u64, SeekError> {
        if wanted > self.length() {
            return Err(SeekError::NoInstant { event: self.number, wanted, length: self.length() });
        }
        Ok(self.start + wanted)
    }

    fn until(&mut self, instant: u64) -> Result<(), String> {
        // A leap stands before an interrupt that belongs to the instant.
        if std::mem::take(&mut self.told) && self.motor.interruptible() {
            match self.motor.m.step() {
                Stop::Budget => {}
                stop => return Err(format!("it stops ({stop:?}) where it went on")),
            }
        }
        loop {
            self.feed(instant)?;
            if self.motor.m.retired >= instant {
                return Ok(());
            }
            let next = self.next_input(instant);
            match self.motor.advance(next, &[], false) {
                Pause::Stopped(why) => return Err(why),
                Pause::Halted if self.motor.m.retired < next => {
                    return Err("the processor halts where it went on".to_owned());
                }
                _ => {}
            }
        }
    }

    /// Lets reach the machine what reached it here, on the way to an instant; whether anything did.
    fn feed(&mut self, instant: u64) -> Result<bool, String> {
        let (m, before) = (&mut self.motor.m, self.fed);
        while let Some(input) = self.event.inputs.get(self.fed).filter(|input| input.at <= m.retired) {
            if input.at < m.retired {
                return Err("it ran past an instant at which something reached it".to_owned());
            }
            // What reaches the machine at the last instant still belongs to it: so a seek to the end of an
            // event gives the machine that was recorded there.
            if input.at == instant && instant < self.event.end() {
                break;
            }
            apply(m, &input.what).map_err(|fault| format!("what reached it cannot be placed: {fault}"))?;
            self.fed += 1;
        }
        Ok(self.fed > before)
    }

    /// Where something reaches the machine next, on the way to an instant.
    fn next_input(&self, instant: u64) -> u64 {
        self.event.inputs.get(self.fed).map_or(instant, |input| input.at.min(instant))
    }
}
