//! Going on by leaps: from one boundary at which the processor may change hands to the next.

use super::{Player, SeekError};
use machine::{Stop, Until, Va};

/// Exceptions that may be delivered in a row without an instruction between them.
const DELIVERIES: u32 = 1000;

/// What comes next where [`Player::leap`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The pending interrupt is taken.
    Interrupt,
    /// A native routine runs.
    Routine,
    /// An instruction: the first in ring 3, or one at a place that was asked for.
    Instruction,
    /// Nothing: it stands where it was to go.
    Nothing,
}

impl Player<'_> {
    /// Goes on, to so many instructions into the event at most. It does what comes next where it stands,
    /// and stops before the next native routine, before an interrupt is taken, where ring 3 has just been
    /// entered, and before an instruction at one of `places`.
    ///
    /// # Errors
    /// [`SeekError::NoInstant`] behind the event's end; nothing is done then. [`SeekError::Strayed`].
    pub fn leap(&mut self, instructions: u64, places: &[Va]) -> Result<Next, SeekError> {
        let instant = self.instant(instructions)?;
        let told = std::mem::take(&mut self.told);
        let next = self.leap_to(instant, places, told);
        let next = next.map_err(|why| SeekError::Strayed { event: self.number, why })?;
        self.told = next != Next::Nothing;
        Ok(next)
    }

    /// `told` says that whoever asks knows what comes next.
    fn leap_to(&mut self, instant: u64, places: &[Va], mut told: bool) -> Result<Next, String> {
        // A run takes a pending interrupt where it ends, and so before anything else reaches the machine.
        let mut ran = told;
        let mut deliveries = 0;
        loop {
            if !ran || !self.motor.interruptible() {
                told &= !self.feed(instant)?;
                if self.motor.m.retired >= instant {
                    return Ok(Next::Nothing);
                }
            }
            if !told && self.motor.interruptible() {
                return Ok(Next::Interrupt);
            }
            let next = self.next_input(instant);
            let m = &mut self.motor.m;
            let (before, ring) = ((m.retired, m.cpu.next()), m.cpu.cpl());
            let stop = match m.cpu.interrupt {
                // A run would take it unseen as soon as it may.
                Some(_) => m.step(),
                None => m.run(&Until { budget: next - m.retired, breakpoints: places, user_entry: true }),
            };
            ran = true;
            deliveries = if m.retired == before.0 { deliveries + 1 } else { 0 };
            match stop {
                // The instant comes first.
                Stop::Native(_) if m.retired >= next => {}
                Stop::Native(at) if told && before == (m.retired, at) => {
                    self.motor.serve(at)?;
                    ran = false;
                }
                Stop::Native(_) => return Ok(Next::Routine),
                Stop::Budget if deliveries > DELIVERIES => return Err("exceptions without end".to_owned()),
                Stop::Budget | Stop::Breakpoint(_) | Stop::UserEntry => {}
                Stop::Halted | Stop::Shutdown | Stop::Unsupported(_) => {
                    return Err(format!("it stops ({stop:?}) where it went on"));
                }
            }
            told = false;
            let cpu = &self.motor.m.cpu;
            let wanted = ring < 3 && cpu.cpl() == 3 || places.contains(&cpu.next());
            if wanted && !self.motor.interruptible() {
                return Ok(Next::Instruction);
            }
        }
    }
}
