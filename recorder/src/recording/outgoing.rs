//! What is written of an event, borrowed from where it lies: writing copies nothing before it is encoded.
//!
//! Field by field what [`super::wire`] reads back.

use super::steps;
use super::wire::{EMPTY_GAP, GAP, Ladder, WORDS};
use crate::codec::Bytes;
use crate::recording::{EventRecord, Input, Reaching};
use contract::{Named, ObjectId, Outcome, View};
use machine::{Apart, Cpu, Machine, Memory, Page};
use serde::ser::{Serialize, Serializer};

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
    trace: Bytes,
    untraced: u64,
    inputs: Inputs<'e>,
    steps: Bytes,
    machine: Difference<'e>,
}

impl<'e> Event<'e> {
    /// An event, its machine as it differs from `older`, with the routines that no trace has mentioned
    /// before.
    pub(super) fn new(
        event: &'e EventRecord,
        older: &'e Memory,
        gap: Gap,
        routines: &'e [String],
    ) -> Event<'e> {
        Event {
            line: event.line,
            text: &event.text,
            outcome: &event.outcome,
            view: &event.view,
            named: &event.named,
            threads: &event.threads,
            routines,
            trace: Bytes(steps::write(&event.trace)),
            untraced: event.untraced,
            inputs: Inputs(&event.inputs),
            steps: Bytes(event.steps.iter().flat_map(|step| step.to_le_bytes()).collect()),
            machine: Difference::new(&event.machine, older, gap),
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
    changed: Changed<'e>,
}

/// Pages that changed, in ascending order of their frames, each with the number of its runs, and the
/// runs of all of them: as [`super::wire::WirePage`]s.
struct Changed<'e> {
    pages: Vec<(u32, &'e Page, usize)>,
    runs: Vec<Run>,
}

/// Changed bytes of a page: the first one's offset, and what lies behind the last one.
type Run = (u16, u16);

impl Serialize for Changed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rest = &self.runs[..];
        serializer.collect_seq(self.pages.iter().map(|&(frame, page, count)| {
            let (runs, others) = rest.split_at(count);
            rest = others;
            (frame, Runs { page, runs })
        }))
    }
}

/// Runs of a page.
struct Runs<'e> {
    page: &'e Page,
    runs: &'e [Run],
}

impl Serialize for Runs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = |start: u16, end: u16| Part(&self.page[usize::from(start)..usize::from(end)]);
        serializer.collect_seq(self.runs.iter().map(|&(start, end)| (start, bytes(start, end))))
    }
}

/// Bytes that lie in a page.
struct Part<'e>(&'e [u8]);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'e> Difference<'e> {
    /// What changed from `older` on.
    pub(super) fn new(machine: &'e Machine, older: &'e Memory, gap: Gap) -> Difference<'e> {
        let gate = |range: &std::ops::Range<u32>| (range.start, range.end);
        let mut ladders = Vec::new();
        let mut changed = Changed { pages: Vec::new(), runs: Vec::new() };
        for page in machine.memory.apart(older) {
            let before = changed.runs.len();
            match gap {
                Gap::Short => {
                    runs(&page, GAP, &mut changed.runs);
                    debug_assert_eq!(changed.runs[before..], whole(page, GAP), "page frame {}", page.frame);
                }
                Gap::Long => {
                    let found = ladders_of(page.frame, page.new);
                    let mut old = *page.old;
                    for ladder in &found {
                        let bytes = ladder.bytes();
                        old[usize::from(ladder.start) * 4..][..bytes.len()].copy_from_slice(&bytes);
                    }
                    ladders.extend(found);
                    runs(&Apart { old: &old, ..page }, EMPTY_GAP, &mut changed.runs);
                }
            }
            let found = changed.runs.len() - before;
            if found > 0 {
                changed.pages.push((page.frame, page.new, found));
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
            changed,
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

/// What [`runs`] gives for a page of which nothing is known.
fn whole(page: Apart, gap: usize) -> Vec<Run> {
    let mut all = Vec::new();
    runs(&Apart { lines: Apart::ALL, ..page }, gap, &mut all);
    all
}

/// Appends the bytes of a page that differ, in runs.
fn runs(page: &Apart, gap: usize, runs: &mut Vec<Run>) {
    const LINE: usize = Apart::LINE;
    // What other pages have is left alone.
    let first = runs.len();
    let mut lines = page.lines;
    if lines == Apart::ALL {
        // Most of a page is as it was: what is large is compared with one call, what is small without any.
        const LARGE: usize = 512;
        let large = page.new.as_chunks::<LARGE>().0.iter().zip(page.old.as_chunks::<LARGE>().0).enumerate();
        let within = |(block, (new, old))| if new == old { 0 } else { 0xFFu64 << (block * LARGE / LINE) };
        lines = large.fold(0, |lines, block| lines | within(block));
    }
    let (new, old) = (page.new.as_chunks::<LINE>().0, page.old.as_chunks::<LINE>().0);
    while lines != 0 {
        let line = lines.trailing_zeros() as usize;
        lines &= lines - 1;
        let words = new[line].as_chunks::<8>().0.iter().zip(old[line].as_chunks::<8>().0).enumerate();
        for (word, (new, old)) in words {
            let mut differing = u64::from_le_bytes(*new) ^ u64::from_le_bytes(*old);
            while differing != 0 {
                let byte = differing.trailing_zeros() / 8;
                differing &= !(0xFF << (byte * 8));
                let at = line * LINE + word * 8 + byte as usize;
                match runs[first..].last_mut() {
                    Some((_, end)) if at - usize::from(*end) <= gap => *end = at as u16 + 1,
                    _ => runs.push((at as u16, at as u16 + 1)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Pa;
    use proptest::prelude::*;

    /// What changed in a page, a byte after the other.
    fn plain(new: &Page, old: &Page, gap: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for at in (0..new.len() as u16).filter(|at| new[usize::from(*at)] != old[usize::from(*at)]) {
            match runs.last_mut() {
                Some(run) if usize::from(at - run.1) <= gap => run.1 = at + 1,
                _ => runs.push((at, at + 1)),
            }
        }
        runs
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_that_were_written_give_the_runs_of_the_whole(
            writes in prop::collection::vec((0u32..4096, 1usize..90, any::<u8>()), 0..40),
            places in 0u32..4096,
        ) {
            let mut new = Memory::new(1);
            let mut old = Memory::new(1);
            old.catch_up(&mut new);
            for (at, length, byte) in writes {
                // Near each other in one case, all over the page in another.
                let at = at & (places | 0x7F);
                new.write(Pa(at), &vec![byte; length.min(4096 - at as usize)]);
            }
            for gap in [GAP, EMPTY_GAP] {
                for page in new.apart(&old) {
                    let mut found = Vec::new();
                    runs(&page, gap, &mut found);
                    let expected = plain(page.new, page.old, gap);
                    prop_assert_eq!(&found, &expected);
                    prop_assert_eq!(whole(page, gap), expected);
                }
            }
        }
    }

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
