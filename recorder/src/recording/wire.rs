//! What stands in a recording's chunks: events, and machines as differences.

use crate::codec::Bytes;
use crate::recording::{EventRecord, Input, TraceStep, Went};
use contract::{Named, ObjectId, Outcome, View};
use machine::{Cpu, Gates, Machine, Memory, PAGE, Pa, Page, Va};
use serde::{Deserialize, Serialize};

/// Pages of physical memory that a recorded machine has at most: 256 MiB.
const PAGES_MAX: u32 = 1 << 16;
/// Instructions that an event takes at most: some seconds of running.
const INSTRUCTIONS_MAX: u64 = 1 << 30;
/// Pages that the events of a recording change at most, all together.
pub(super) const CHANGED_MAX: usize = 1 << 16;
/// Equal bytes between two changed ones that are cheaper written down than left out.
const GAP: usize = 4;
/// The same where the other memory is empty: zeroes that are written down pack well, and keep what lies
/// around them in its place.
const EMPTY_GAP: usize = 256;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireHeader {
    pub(super) kernel: String,
    pub(super) case: String,
    pub(super) digest: u64,
    pub(super) text: String,
    pub(super) detail: bool,
    /// How many events follow.
    pub(super) events: u32,
}

/// A full copy: all routines that traces have mentioned up to here, and the machine as it differs from
/// the booted one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireFull {
    pub(super) routines: Vec<String>,
    pub(super) machine: WireMachine,
}

/// What stands in the last chunk.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireEnd {
    /// Routines that no trace mentions.
    pub(super) routines: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct WireEvent {
    line: u32,
    text: String,
    outcome: Outcome,
    view: View,
    named: Vec<Named>,
    threads: Vec<ObjectId>,
    /// Routines that no trace before this one mentions.
    routines: Vec<String>,
    trace: WireTrace,
    untraced: u64,
    /// Instants as their distance from the one before.
    inputs: Vec<Input>,
    steps: Bytes,
    machine: WireMachine,
}

/// A trace by columns, which are more alike in themselves than its rows are.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct WireTrace {
    /// Instants, as their distance from the one before.
    at: Vec<u64>,
    depth: Vec<u16>,
    thread: Vec<u16>,
    routine: Vec<u16>,
    stage: Vec<u8>,
    /// How many arguments each has.
    arity: Bytes,
    args: Vec<u32>,
    /// How each went on: the number of its variant.
    went: Bytes,
    /// What it returned, where it went.
    value: Vec<u32>,
}

impl WireTrace {
    fn new(trace: &[TraceStep]) -> WireTrace {
        let steps = trace.len();
        let mut wire = WireTrace {
            at: Vec::with_capacity(steps),
            depth: Vec::with_capacity(steps),
            thread: Vec::with_capacity(steps),
            routine: Vec::with_capacity(steps),
            stage: Vec::with_capacity(steps),
            arity: Bytes(Vec::with_capacity(steps)),
            args: Vec::with_capacity(4 * steps),
            went: Bytes(Vec::with_capacity(steps)),
            value: Vec::with_capacity(steps),
        };
        let mut last = 0;
        for step in trace {
            wire.at.push(step.at.wrapping_sub(last));
            last = step.at;
            wire.depth.push(step.depth);
            wire.thread.push(step.thread);
            wire.routine.push(step.routine);
            wire.stage.push(step.stage);
            wire.arity.0.push(step.args.len() as u8);
            wire.args.extend(&step.args);
            let (went, value) = match step.went {
                Went::Returned(value) => (0, value),
                Went::Called(at) => (1, at.0),
                Went::Jumped(at) => (2, at.0),
                Went::Direct => (3, 0),
                Went::Faulted(at) => (4, at.0),
            };
            wire.went.0.push(went);
            if went != 3 {
                wire.value.push(value);
            }
        }
        wire
    }

    /// The trace; the text says why there is none.
    fn read(self) -> Result<Vec<TraceStep>, String> {
        let steps = self.at.len();
        let lengths =
            [self.depth.len(), self.thread.len(), self.routine.len(), self.arity.0.len(), self.went.0.len()];
        if steps > EventRecord::TRACE_MAX
            || self.stage.len() != steps
            || lengths.iter().any(|len| *len != steps)
        {
            return Err(format!("a trace of {steps} steps with columns of {lengths:?}"));
        }
        let (mut args, mut values) = (self.args.into_iter(), self.value.into_iter());
        let mut at = 0u64;
        let mut trace = Vec::with_capacity(steps);
        for index in 0..steps {
            at = at.wrapping_add(self.at[index]);
            let arity = usize::from(self.arity.0[index]);
            let args: Vec<u32> = args.by_ref().take(arity).collect();
            let mut value = || values.next().ok_or("a trace lacks a value");
            let went = match self.went.0[index] {
                0 => Went::Returned(value()?),
                1 => Went::Called(Va(value()?)),
                2 => Went::Jumped(Va(value()?)),
                3 => Went::Direct,
                4 => Went::Faulted(Va(value()?)),
                other => return Err(format!("a step that went on in way {other}")),
            };
            if args.len() != arity {
                return Err("a trace lacks arguments".to_owned());
            }
            let (depth, thread) = (self.depth[index], self.thread[index]);
            let (routine, stage) = (self.routine[index], self.stage[index]);
            trace.push(TraceStep { at, depth, thread, routine, stage, args, went });
        }
        if args.next().is_some() || values.next().is_some() {
            return Err("a trace has more arguments or values than steps".to_owned());
        }
        Ok(trace)
    }
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
        let (older, gap) = match older {
            Some(older) => (older, GAP),
            None => {
                empty = Memory::new(machine.memory.pages());
                (&empty, EMPTY_GAP)
            }
        };
        let frames = machine.memory.changed(older);
        let changed = frames.into_iter().map(|frame| WirePage {
            frame,
            runs: runs(page(&machine.memory, frame), page(older, frame), gap),
        });
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
fn runs(new: &Page, old: &Page, gap: usize) -> Vec<(u16, Bytes)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    // Most of a page that changed is as it was.
    const BLOCK: usize = 64;
    const WORD: usize = 8;
    for block in (0..PAGE as usize).step_by(BLOCK) {
        if new[block..block + BLOCK] == old[block..block + BLOCK] {
            continue;
        }
        for word in (block..block + BLOCK).step_by(WORD) {
            if new[word..word + WORD] == old[word..word + WORD] {
                continue;
            }
            for at in (word..word + WORD).filter(|at| new[*at] != old[*at]) {
                match runs.last_mut() {
                    Some((_, end)) if at - *end <= gap => *end = at + 1,
                    _ => runs.push((at, at + 1)),
                }
            }
        }
    }
    runs.into_iter().map(|(start, end)| (start as u16, Bytes(new[start..end].to_vec()))).collect()
}

impl WireEvent {
    /// An event, its machine as it differs from `older`, with the routines that no trace has mentioned
    /// before; and its machine itself.
    pub(super) fn new(
        event: EventRecord,
        older: Option<&Memory>,
        routines: &[String],
    ) -> (WireEvent, Machine) {
        let mut inputs = event.inputs;
        let mut last = 0;
        for input in &mut inputs {
            let at = input.at;
            input.at = at.wrapping_sub(last);
            last = at;
        }
        let wire = WireEvent {
            line: event.line,
            text: event.text,
            outcome: event.outcome,
            view: event.view,
            named: event.named,
            threads: event.threads,
            routines: routines.to_vec(),
            trace: WireTrace::new(&event.trace),
            untraced: event.untraced,
            inputs,
            steps: Bytes(event.steps.iter().flat_map(|step| step.to_le_bytes()).collect()),
            machine: WireMachine::new(&event.machine, older),
        };
        (wire, event.machine)
    }

    /// How many pages it changes.
    pub(super) fn changed(&self) -> usize {
        self.machine.changed()
    }

    /// Routines that no trace before this one mentions.
    pub(super) fn routines(&self) -> &[String] {
        &self.routines
    }

    /// Only the machine after it; the text says why there is none.
    pub(super) fn machine(self, older: &Memory) -> Result<Machine, String> {
        self.machine.apply(Some(older))
    }

    /// The event; the text says why there is none. Adds its routines to those that are known.
    /// It begins with the machine `before`; booting begins with none.
    pub(super) fn read(
        self,
        known: &mut Vec<String>,
        before: Option<&Machine>,
    ) -> Result<EventRecord, String> {
        if !self.steps.0.len().is_multiple_of(4) || self.steps.0.len() / 4 > EventRecord::STEPS_MAX {
            return Err(format!("{} bytes of digests", self.steps.0.len()));
        }
        let trace = self.trace.read()?;
        known.extend(self.routines);
        if let Some(step) = trace.iter().find(|step| usize::from(step.routine) >= known.len()) {
            return Err(format!("routine {} of {}", step.routine, known.len()));
        }
        if let Some(step) = trace.iter().find(|step| usize::from(step.thread) >= self.threads.len()) {
            return Err(format!("thread {} of {}", step.thread, self.threads.len()));
        }
        let mut inputs = self.inputs;
        let mut at = 0u64;
        for input in &mut inputs {
            at = at.wrapping_add(input.at);
            input.at = at;
        }
        let machine = self.machine.apply(before.map(|before| &before.memory))?;
        // Whoever does it again runs as far as is written here.
        let began = before.map_or(0, |before| before.retired);
        let last = began.saturating_add(INSTRUCTIONS_MAX);
        if !(began..=last).contains(&machine.retired) {
            return Err(format!("an event from instruction {began} to {}", machine.retired));
        }
        let instants = inputs.iter().map(|input| input.at).chain(trace.iter().map(|step| step.at));
        if let Some(at) = instants.max().filter(|at| *at > last) {
            return Err(format!("something at instruction {at} of an event that begins at {began}"));
        }
        let steps =
            self.steps.0.chunks_exact(4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
        Ok(EventRecord {
            line: self.line,
            text: self.text,
            outcome: self.outcome,
            view: self.view,
            named: self.named,
            threads: self.threads,
            trace,
            untraced: self.untraced,
            inputs,
            steps: steps.collect(),
            machine,
        })
    }
}

/// How many routines are known once this trace has been told, of those that were known before.
pub(super) fn mentioned(known: usize, event: &EventRecord) -> usize {
    event.trace.iter().map(|step| usize::from(step.routine) + 1).max().unwrap_or(0).max(known)
}
