//! Breakpoints and watchpoints: what ends a walk through a recording.
//!
//! They lie beside the machine, which knows nothing of them, so there is no limit to their number and
//! no difference between those that gdb calls software and hardware. A write is seen by what it
//! changes, whoever makes it: an instruction, a native routine, or the program when it is asked to
//! call something.

use super::timeline::{Stray, Timeline};
use machine::Va;
use std::collections::BTreeSet;

/// Watched bytes beyond this many are refused.
const WATCH_MAX: u32 = 0x1000;

/// What was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// A breakpoint: the next step is at its address.
    Break {
        /// Whether it was set as one of the hardware.
        hardware: bool,
    },
    /// A watchpoint at this address: bytes there change, or have just changed.
    Write(u32),
}

/// Breakpoints and watchpoints.
#[derive(Default)]
pub(super) struct Points {
    software: BTreeSet<u32>,
    hardware: BTreeSet<u32>,
    watched: BTreeSet<(u32, u32)>,
}

impl Points {
    fn set(&mut self, hardware: bool) -> &mut BTreeSet<u32> {
        if hardware { &mut self.hardware } else { &mut self.software }
    }

    /// Sets a breakpoint.
    pub fn add(&mut self, at: u32, hardware: bool) -> bool {
        self.set(hardware).insert(at);
        true
    }

    /// Removes a breakpoint; false when there was none.
    pub fn remove(&mut self, at: u32, hardware: bool) -> bool {
        self.set(hardware).remove(&at)
    }

    /// Watches bytes for writes; false when they are too many.
    pub fn watch(&mut self, at: u32, len: u32) -> bool {
        let bounded = (1..=WATCH_MAX).contains(&len);
        if bounded {
            self.watched.insert((at, len));
        }
        bounded
    }

    /// Watches bytes no longer.
    pub fn unwatch(&mut self, at: u32, len: u32) -> bool {
        self.watched.remove(&(at, len))
    }

    /// The breakpoint at the next step.
    pub fn here(&self, line: &Timeline) -> Option<Reached> {
        if line.ended() || line.repeating() {
            return None;
        }
        let at = line.machine().cpu.next().0;
        let hardware = self.hardware.contains(&at);
        (hardware || self.software.contains(&at)).then_some(Reached::Break { hardware })
    }

    /// Makes a step, and says which watched bytes it changed.
    pub fn stepping(&self, line: &mut Timeline) -> Result<Option<Reached>, Stray> {
        if self.watched.is_empty() {
            line.step()?;
            return Ok(None);
        }
        let before = self.values(line);
        line.step()?;
        let mut pairs = self.watched.iter().zip(before.into_iter().zip(self.values(line)));
        // Bytes that were or are not there have not been written.
        let written = pairs.find(|(_, (old, new))| old.is_some() && new.is_some() && old != new);
        Ok(written.map(|((at, _), _)| Reached::Write(*at)))
    }

    /// Going back past a place: what would have ended a walk there. Makes the step to find out.
    pub fn passing(&self, line: &mut Timeline) -> Result<Option<Reached>, Stray> {
        let here = self.here(line);
        let written = self.stepping(line)?;
        Ok(written.or(here))
    }

    fn values(&self, line: &Timeline) -> Vec<Option<Vec<u8>>> {
        let m = line.machine();
        let value = |(at, len): &(u32, u32)| {
            let mut bytes = vec![0; *len as usize];
            m.peek(m.cpu.cr3, Va(*at), &mut bytes).ok()?;
            Some(bytes)
        };
        self.watched.iter().map(value).collect()
    }
}
