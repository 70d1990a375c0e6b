//! What is written of an event, borrowed from where it lies: writing copies nothing before it is encoded.
//!
//! Field by field what [`super::wire`] reads back.

use super::changed::{Changed, EMPTY_GAP, GAP};
use super::steps;
use super::wire::{Ladder, WORDS};
use crate::recording::{EventRecord, Input, Reaching};
use contract::{Named, ObjectId, Outcome, View};
use machine::{Apart, Cpu, Machine, Memory, Page};
use serde::ser::{Serialize, Serializer};

/// What was run on what, but for the routines: as [`super::wire::WireHeader`].
#[derive(serde::Serialize)]
pub(crate) struct Head<'e> {
    pub(crate) kernel: &'e str,
    pub(crate) case: &'e str,
    pub(crate) digest: u64,
    pub(crate) text: &'e str,
    pub(crate) detail: bool,
    /// How many events follow.
    pub(crate) events: u32,
}

/// As [`super::wire::WireFull`].
#[derive(serde::Serialize)]
pub(super) struct Full<'e> {
    pub(super) routines: &'e [String],
    pub(super) machine: Difference<'e>,
}

/// As [`super::wire::WireEvent`].
#[derive(serde::Serialize)]
pub(super) struct Event<'e> {
    line: u32,
    text: &'e str,
    outcome: &'e Outcome,
    view: &'e View,
    named: &'e [Named],
    threads: &'e [ObjectId],
    routines: &'e [String],
    trace: Part<'e>,
    untraced: u64,
    inputs: Inputs<'e>,
    steps: Part<'e>,
    machine: Difference<'e>,
}

/// Where parts of an event are put together. Whoever writes many keeps one.
#[derive(Default)]
pub(super) struct Space {
    trace: Vec<u8>,
    steps: Vec<u8>,
    /// What changed in the last event.
    pub(super) changed: Changed,
}

impl<'e> Event<'e> {
    /// An event, its machine as it differs from `older`, with the routines that no trace has mentioned
    /// before.
    pub(super) fn new(
        event: &'e EventRecord,
        older: &'e Memory,
        gap: Gap,
        routines: &'e [String],
        space: &'e mut Space,
    ) -> Event<'e> {
        let Space { trace, steps: digests, changed } = space;
        trace.clear();
        steps::write(&event.trace, trace);
        digests.clear();
        digests.extend(event.steps.iter().flat_map(|step| step.to_le_bytes()));
        Event {
            line: event.line,
            text: &event.text,
            outcome: &event.outcome,
            view: &event.view,
            named: &event.named,
            threads: &event.threads,
            routines,
            trace: Part(trace),
            untraced: event.untraced,
            inputs: Inputs(&event.inputs),
            steps: Part(digests),
            machine: Difference::new(&event.machine, older, gap, changed),
        }
    }
}

/// Inputs, with their instants as the distance from the one before.
struct Inputs<'e>(&'e [Input]);

impl Serialize for Inputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// As [`Input`].
        #[derive(serde::Serialize)]
        struct Reached<'e> {
            at: u64,
            what: &'e Reaching,
        }
        let mut last = 0;
        serializer.collect_seq(self.0.iter().map(|Input { at, what }| {
            let distance = at.wrapping_sub(std::mem::replace(&mut last, *at));
            Reached { at: distance, what }
        }))
    }
}

/// How many equal bytes between two changed ones are cheaper written down than left out.
#[derive(Clone, Copy)]
pub(super) enum Gap {
    /// Behind an earlier event.
    Short,
    /// Where the other memory is empty.
    Long,
}

/// As [`super::wire::WireMachine`].
#[derive(serde::Serialize)]
pub(super) struct Difference<'e> {
    cpu: &'e Cpu,
    retired: u64,
    clock: u64,
    kernel_gate: (u32, u32),
    user_gate: (u32, u32),
    pages: u32,
    ladders: Vec<Ladder>,
    frames: u32,
    changed: Part<'e>,
}

/// Bytes that lie somewhere else.
struct Part<'e>(&'e [u8]);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'e> Difference<'e> {
    /// What changed from `older` on.
    pub(super) fn new(
        machine: &'e Machine,
        older: &Memory,
        gap: Gap,
        changed: &'e mut Changed,
    ) -> Difference<'e> {
        let gate = |range: &std::ops::Range<u32>| (range.start, range.end);
        let mut ladders = Vec::new();
        changed.clear();
        for page in machine.memory.apart(older) {
            match gap {
                Gap::Short => changed.add(&page, GAP),
                Gap::Long => {
                    let found = ladders_of(page.frame, page.new);
                    let mut old = *page.old;
                    for ladder in &found {
                        let bytes = ladder.bytes();
                        old[usize::from(ladder.start) * 4..][..bytes.len()].copy_from_slice(&bytes);
                    }
                    ladders.extend(found);
                    changed.add(&Apart { old: &old, ..page }, EMPTY_GAP);
                }
            }
        }
        Difference {
            cpu: &machine.cpu,
            retired: machine.retired,
            clock: machine.clock,
            kernel_gate: gate(&machine.gates.kernel),
            user_gate: gate(&machine.gates.user),
            pages: machine.memory.pages(),
            ladders,
            frames: changed.pages,
            changed: Part(&changed.bytes),
        }
    }
}

/// How many rungs a ladder has at least: fewer cost no less than their bytes.
const RUNGS: usize = 16;

/// The ladders of a page, in ascending order.
fn ladders_of(frame: u32, page: &Page) -> Vec<Ladder> {
    let words: [u32; WORDS] = std::array::from_fn(|index| {
        u32::from_le_bytes([page[index * 4], page[index * 4 + 1], page[index * 4 + 2], page[index * 4 + 3]])
    });
    let mut ladders = Vec::new();
    let mut start = 0;
    while start + 1 < WORDS {
        let step = words[start + 1].wrapping_sub(words[start]);
        let climbs = words[start..].windows(2).take_while(|pair| pair[1].wrapping_sub(pair[0]) == step);
        let rungs = climbs.count() + 1;
        if step != 0 && rungs >= RUNGS {
            let (at, first) = (start as u16, words[start]);
            ladders.push(Ladder { frame, start: at, rungs: rungs as u16, first, step });
            start += rungs;
        } else {
            // The last rung may be the first of the next ladder.
            start += rungs - 1;
        }
    }
    ladders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_found_where_enough_doublewords_climb_alike() {
        let mut page: Page = [0; 4096];
        for index in 0..1024u32 {
            let word = match index {
                0 => 5,
                1..40 => 0x63 + index * 0x1000,
                40..55 => 9 * index,
                55..70 => 8,
                1000.. => 0u32.wrapping_sub(4 * index),
                _ => 0,
            };
            page[index as usize * 4..][..4].copy_from_slice(&word.to_le_bytes());
        }
        let ladder = |start, rungs, first, step| Ladder { frame: 3, start, rungs, first, step };
        let found = ladders_of(3, &page);
        let last = ladder(1000, 24, 0u32.wrapping_sub(4000), 0u32.wrapping_sub(4));
        assert_eq!(found, [ladder(1, 39, 0x1063, 0x1000), last]);
        assert_eq!(found[1].bytes(), page[4000..]);
    }
}
