//! What stands in a recording's chunks: events, and machines as differences.

use crate::codec::Bytes;
use crate::recording::{EventRecord, Header, Input, TraceStep};
use contract::{Named, ObjectId, Outcome, View};
use machine::{Cpu, Gates, Machine, Memory, PAGE, Pa, Page};
use serde::{Deserialize, Serialize};

/// Pages of physical memory that a recorded machine has at most: 256 MiB.
const PAGES_MAX: u32 = 1 << 16;
/// Pages that the events of a recording change at most, all together.
pub(super) const CHANGED_MAX: usize = 1 << 16;
/// Equal bytes between two changed ones that are cheaper written down than left out.
const GAP: usize = 4;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireHeader {
    pub(super) header: Header,
    /// How many events follow.
    pub(super) events: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireEvent {
    line: u32,
    text: String,
    outcome: Outcome,
    view: View,
    named: Vec<Named>,
    threads: Vec<ObjectId>,
    trace: Vec<TraceStep>,
    untraced: u64,
    inputs: Vec<Input>,
    steps: Bytes,
    machine: WireMachine,
}

/// A machine as it differs from an earlier one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireMachine {
    cpu: Cpu,
    retired: u64,
    clock: u64,
    kernel_gate: (u32, u32),
    user_gate: (u32, u32),
    pages: u32,
    changed: Vec<WirePage>,
}

/// What changed in a page: runs of new bytes, in ascending order, apart from each other.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct WirePage {
    frame: u32,
    runs: Vec<(u16, Bytes)>,
}

impl WireMachine {
    /// What changed from `older` on; none: from empty memory on.
    pub(super) fn new(machine: &Machine, older: Option<&Memory>) -> WireMachine {
        let empty;
        let older = match older {
            Some(older) => older,
            None => {
                empty = Memory::new(machine.memory.pages());
                &empty
            }
        };
        let frames = machine.memory.changed(older);
        let changed = frames
            .into_iter()
            .map(|frame| WirePage { frame, runs: runs(page(&machine.memory, frame), page(older, frame)) });
        let gate = |range: &std::ops::Range<u32>| (range.start, range.end);
        WireMachine {
            cpu: machine.cpu.clone(),
            retired: machine.retired,
            clock: machine.clock,
            kernel_gate: gate(&machine.gates.kernel),
            user_gate: gate(&machine.gates.user),
            pages: machine.memory.pages(),
            changed: changed.collect(),
        }
    }

    /// How many pages it changes.
    pub(super) fn changed(&self) -> usize {
        self.changed.len()
    }

    /// The machine that differs so from `older`; the text says why there is none.
    pub(super) fn apply(self, older: Option<&Memory>) -> Result<Machine, String> {
        if self.pages > PAGES_MAX || older.is_some_and(|older| older.pages() != self.pages) {
            return Err(format!("a machine of {} pages", self.pages));
        }
        let mut memory = older.cloned().unwrap_or_else(|| Memory::new(self.pages));
        let mut last = None;
        for WirePage { frame, runs } in self.changed {
            if frame >= self.pages || last.is_some_and(|last| last >= frame) || runs.is_empty() {
                return Err(format!("page frame {frame} out of place"));
            }
            last = Some(frame);
            let mut free = 0;
            for (offset, Bytes(bytes)) in runs {
                let start = usize::from(offset);
                if start < free || bytes.is_empty() || start + bytes.len() > PAGE as usize {
                    return Err(format!("page frame {frame}: bytes out of place"));
                }
                free = start + bytes.len() + 1;
                memory.write(Pa(frame * PAGE + u32::from(offset)), &bytes);
            }
        }
        let mut machine = Machine::new(0);
        machine.cpu = self.cpu;
        machine.memory = memory;
        machine.retired = self.retired;
        machine.clock = self.clock;
        machine.gates = Gates {
            kernel: self.kernel_gate.0..self.kernel_gate.1,
            user: self.user_gate.0..self.user_gate.1,
        };
        Ok(machine)
    }
}

fn page(memory: &Memory, frame: u32) -> &Page {
    memory.page(frame).unwrap_or(&[0; PAGE as usize])
}

/// The bytes of `new` that differ from `old`, in runs.
fn runs(new: &Page, old: &Page) -> Vec<(u16, Bytes)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for at in (0..PAGE as usize).filter(|at| new[*at] != old[*at]) {
        match runs.last_mut() {
            Some((_, end)) if at - *end <= GAP => *end = at + 1,
            _ => runs.push((at, at + 1)),
        }
    }
    runs.into_iter().map(|(start, end)| (start as u16, Bytes(new[start..end].to_vec()))).collect()
}

impl WireEvent {
    /// An event, its machine as it differs from `older`.
    pub(super) fn new(event: &EventRecord, older: Option<&Memory>) -> WireEvent {
        WireEvent {
            line: event.line,
            text: event.text.clone(),
            outcome: event.outcome.clone(),
            view: event.view.clone(),
            named: event.named.clone(),
            threads: event.threads.clone(),
            trace: event.trace.clone(),
            untraced: event.untraced,
            inputs: event.inputs.clone(),
            steps: Bytes(event.steps.iter().flat_map(|step| step.to_le_bytes()).collect()),
            machine: WireMachine::new(&event.machine, older),
        }
    }

    /// How many pages it changes.
    pub(super) fn changed(&self) -> usize {
        self.machine.changed()
    }

    /// The event; the text says why there is none.
    pub(super) fn read(self, header: &Header, older: Option<&Memory>) -> Result<EventRecord, String> {
        if !self.steps.0.len().is_multiple_of(4) || self.steps.0.len() / 4 > EventRecord::STEPS_MAX {
            return Err(format!("{} bytes of digests", self.steps.0.len()));
        }
        if self.trace.len() > EventRecord::TRACE_MAX {
            return Err(format!("a trace of {} steps", self.trace.len()));
        }
        if let Some(step) = self.trace.iter().find(|step| usize::from(step.routine) >= header.routines.len())
        {
            return Err(format!("routine {} of {}", step.routine, header.routines.len()));
        }
        if let Some(step) = self.trace.iter().find(|step| usize::from(step.thread) >= self.threads.len()) {
            return Err(format!("thread {} of {}", step.thread, self.threads.len()));
        }
        let machine = self.machine.apply(older)?;
        let steps =
            self.steps.0.chunks_exact(4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
        Ok(EventRecord {
            line: self.line,
            text: self.text,
            outcome: self.outcome,
            view: self.view,
            named: self.named,
            threads: self.threads,
            trace: self.trace,
            untraced: self.untraced,
            inputs: self.inputs,
            steps: steps.collect(),
            machine,
        })
    }
}
