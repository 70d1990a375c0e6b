//! Moving the world: time, interrupts, and a pool that fails.

use super::error::RecordError;
use super::run::Run;
use crate::case::{Event, Line, TICK, Time, Value};
use crate::recording::Reaching;
use contract::{Outcome, PoolFault};

impl Run {
    /// `clock advance=TIME`: a tick for each 10 ms, and after each the machine comes to rest.
    pub(super) fn clock(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        let Value::Time(Time::After(units)) = line.event.value("advance") else {
            unreachable!("the clock advances by a time")
        };
        self.start_counting();
        for _ in 0..units / TICK {
            let now = self.motor.m.clock + TICK;
            self.motor.input(Reaching::Clock(now)).expect("the clock is no memory");
            self.tick();
            self.settle(line)?;
            if self.stopped || self.cut.is_some() {
                break;
            }
        }
        Ok(Outcome::Done)
    }

    /// `interrupt after=N`: remembered for the next event.
    pub(super) fn interrupt(&mut self, event: &Event) -> Outcome {
        if let Value::Number(after) = event.value("after") {
            self.asked.push(u64::from(*after));
        }
        Outcome::Done
    }

    /// The event starts to do what it says: instructions are counted from here.
    pub(super) fn start_counting(&mut self) {
        let now = self.motor.m.retired;
        self.due.extend(self.asked.drain(..).map(|after| now + after));
        self.due.sort_unstable();
    }

    /// `pool fail tag=… skip=… count=…`.
    pub(super) fn pool_fail(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        let event = &line.event;
        let Value::Tags(tags) = event.value("tag") else { unreachable!("tags are tags") };
        let number = |key: &str| match event.value(key) {
            Value::Number(value) => *value,
            _ => 0,
        };
        let mut bytes = vec![0; (PoolFault::SLOTS * PoolFault::SIZE) as usize];
        for (slot, tag) in bytes.chunks_exact_mut(PoolFault::SIZE as usize).zip(tags) {
            slot[..4].copy_from_slice(&tag.to_le_bytes());
            slot[4..8].copy_from_slice(&number("skip").to_le_bytes());
            slot[8..12].copy_from_slice(&number("count").to_le_bytes());
        }
        let at = self.kernel.image().pool_faults;
        match self.motor.input(Reaching::Poke { at, bytes }) {
            Ok(()) => Ok(Outcome::Done),
            Err(fault) => Err(self.failed(line, format!("the pool's failure table is not there: {fault}"))),
        }
    }
}
