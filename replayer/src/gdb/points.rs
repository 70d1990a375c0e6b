//! Breakpoints and watchpoints: what ends a walk through a recording.
//!
//! They lie beside the machine, which knows nothing of them, so there is no limit to their number and
//! no difference between those that gdb calls software and hardware. A write is seen by what it
//! changes, whoever makes it: an instruction, a native routine, or the program when it is asked to
//! call something. A read is seen when an instruction or a native routine makes it; an instruction that
//! reads and writes at once (`inc`) counts as writing, and the processor's own looks into its tables do
//! not count.

use super::timeline::{Stray, Timeline};
use gdbstub::target::ext::breakpoints::WatchKind;
use machine::{Access, Touched, Va};
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
    /// A watchpoint: the step that comes next, or was just made, does to its bytes what it watches for.
    Watch {
        /// What it watches for.
        kind: Kind,
        /// Its address.
        at: u32,
    },
}

/// What a watchpoint watches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Other values.
    Write,
    /// Reads.
    Read,
    /// Reads and writes, those too that change nothing.
    Any,
}

impl From<WatchKind> for Kind {
    fn from(kind: WatchKind) -> Kind {
        match kind {
            WatchKind::Write => Kind::Write,
            WatchKind::Read => Kind::Read,
            WatchKind::ReadWrite => Kind::Any,
        }
    }
}

impl From<Kind> for WatchKind {
    fn from(kind: Kind) -> WatchKind {
        match kind {
            Kind::Write => WatchKind::Write,
            Kind::Read => WatchKind::Read,
            Kind::Any => WatchKind::ReadWrite,
        }
    }
}

/// Breakpoints and watchpoints.
#[derive(Default)]
pub(super) struct Points {
    software: BTreeSet<u32>,
    hardware: BTreeSet<u32>,
    /// What for, the address, and how many bytes.
    watched: BTreeSet<(Kind, u32, u32)>,
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

    /// Watches bytes; false when they are too many.
    pub fn watch(&mut self, kind: Kind, at: u32, len: u32) -> bool {
        let bounded = (1..=WATCH_MAX).contains(&len);
        if bounded {
            self.watched.insert((kind, at, len));
        }
        bounded
    }

    /// Watches bytes no longer.
    pub fn unwatch(&mut self, kind: Kind, at: u32, len: u32) -> bool {
        self.watched.remove(&(kind, at, len))
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

    /// Makes a step, and says what was reached by it.
    pub fn stepping(&self, line: &mut Timeline) -> Result<Option<Reached>, Stray> {
        if self.watched.is_empty() {
            line.step()?;
            return Ok(None);
        }
        let reads = self.watched.iter().any(|(kind, ..)| *kind != Kind::Write);
        let touched = if reads { line.touching() } else { Vec::new() };
        let before = self.values(line);
        line.step()?;
        let after = self.values(line);
        let reached =
            self.watched.iter().zip(before.iter().zip(&after)).find(|((kind, at, len), (old, new))| {
                // Bytes that were or are not there have not been written.
                let changed = || old.is_some() && new.is_some() && old != new;
                // Distances, so that it may wrap around.
                let meets =
                    |one: &&Touched| one.at.0.wrapping_sub(*at) < *len || at.wrapping_sub(one.at.0) < one.len;
                let mut met = touched.iter().filter(meets);
                match kind {
                    Kind::Write => changed(),
                    Kind::Read => met.any(|one| one.access == Access::Read),
                    Kind::Any => met.next().is_some() || changed(),
                }
            });
        Ok(reached.map(|((kind, at, _), _)| Reached::Watch { kind: *kind, at: *at }))
    }

    /// Going back past a place: what would have ended a walk there. Makes the step to find out.
    pub fn passing(&self, line: &mut Timeline) -> Result<Option<Reached>, Stray> {
        let here = self.here(line);
        let written = self.stepping(line)?;
        Ok(written.or(here))
    }

    fn values(&self, line: &Timeline) -> Vec<Option<Vec<u8>>> {
        let m = line.machine();
        let value = |(_, at, len): &(Kind, u32, u32)| {
            let mut bytes = vec![0; *len as usize];
            m.peek(m.cpu.cr3, Va(*at), &mut bytes).ok()?;
            Some(bytes)
        };
        self.watched.iter().map(value).collect()
    }
}
