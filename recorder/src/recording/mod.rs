//! What was recorded of a run.
//!
//! In memory a recording holds the machine as it was after each event; pages that did not change are
//! shared, so that costs little. In a file, an event holds what changed in the machine; a [`Writer`]
//! writes it event by event, and an [`Archive`] finds any event in it without reading the others.

mod archive;
mod changed;
mod chunk;
mod file;
mod outgoing;
mod steps;
mod told;
mod wire;
mod write;

pub use archive::Archive;
pub use file::{Loaded, MAGIC, ReadError, Torn, VERSION, write_beside};
pub use write::Writer;
pub(crate) use write::{Head, boot_chunk};

use crate::Case;
use contract::{Named, ObjectId, Outcome, View};
use machine::{Machine, Va};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// A run of a case on a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// What was run on what.
    pub header: Header,
    /// Booting, up to where the machine is quiet: line 0, text `boot`.
    pub boot: EventRecord,
    /// The events of the case, in order.
    pub events: Vec<EventRecord>,
}

/// What was run on what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The kernel's name.
    pub kernel: String,
    /// The case's name.
    pub case: String,
    /// The digest of the case's text.
    pub digest: u64,
    /// The case's text, so that a recording can be run again and explained without its file.
    pub text: String,
    /// Whether a digest was taken after every instruction ([`EventRecord::steps`]).
    pub detail: bool,
    /// The native routines that traces mention, by number, in the order of their first call.
    pub routines: Vec<String>,
}

/// An event, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The line of the case.
    pub line: u32,
    /// The line's text.
    pub text: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What a program could tell apart once the machine was quiet again.
    pub view: View,
    /// The objects that the case has named by the end of the event, in the order of naming. Events between
    /// which none was named share them.
    pub named: Arc<Vec<Named>>,
    /// The threads that ran native routines, in the order of their first.
    pub threads: Vec<ObjectId>,
    /// The native routines that ran, in order; the first [`EventRecord::TRACE_MAX`] of them.
    pub trace: Vec<TraceStep>,
    /// How many native routines ran that the trace does not hold.
    pub untraced: u64,
    /// What reached the machine from outside, in order.
    pub inputs: Vec<Input>,
    /// In a detailed recording: a digest after each instruction and native routine of the event, in
    /// order, the first [`EventRecord::STEPS_MAX`] of them.
    pub steps: Vec<u32>,
    /// The machine when it was quiet again.
    pub machine: Machine,
}

impl EventRecord {
    /// How many steps a trace holds at most.
    pub const TRACE_MAX: usize = 4096;
    /// How many instructions have a digest at most.
    pub const STEPS_MAX: usize = 1 << 16;

    /// An event in which nothing happened to a machine without memory.
    fn nothing() -> EventRecord {
        EventRecord {
            line: 0,
            text: String::new(),
            outcome: Outcome::Done,
            view: View::default(),
            named: Arc::default(),
            threads: Vec::new(),
            trace: Vec::new(),
            untraced: 0,
            inputs: Vec::new(),
            steps: Vec::new(),
            machine: Machine::new(0),
        }
    }

    /// Instructions retired since the machine was made, at the end of the event.
    pub fn end(&self) -> u64 {
        self.machine.retired
    }
}

/// A native routine that ran, or one stage of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStep {
    /// Instructions retired since the machine was made, when it was reached.
    pub at: u64,
    /// How many routines of its stack it was called from, as far as they are native.
    pub depth: u16,
    /// The thread that ran it: its index in [`EventRecord::threads`].
    pub thread: u16,
    /// The routine: an index into [`Header::routines`].
    pub routine: u16,
    /// The stage; 0 is the entry.
    pub stage: u8,
    /// Its arguments, at the entry. Most have few, and later stages none: what a step takes in memory is
    /// what noting it costs.
    pub args: SmallVec<[u32; 4]>,
    /// How it went on.
    pub went: Went,
}

const _: () = assert!(size_of::<TraceStep>() == 48);

/// How a native routine went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It returned this.
    Returned(u32),
    /// It called what lies there.
    Called(Va),
    /// It went there for good.
    Jumped(Va),
    /// It set the registers itself.
    Direct,
    /// It made an access that failed there: a page fault.
    Faulted(Va),
}

/// Something that reached the machine from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The instant: instructions retired since the machine was made.
    pub at: u64,
    /// What it was.
    pub what: Reaching,
}

/// What can reach a machine from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reaching {
    /// The interrupt controller raises its line for this vector.
    Interrupt(u8),
    /// The world's clock is set, in units of 100 ns.
    Clock(u64),
    /// The program that is current does something: bytes that it writes, then registers that it sets,
    /// by their encoding, then where it goes on.
    Program {
        /// Linear addresses and bytes.
        writes: Vec<(Va, Vec<u8>)>,
        /// General registers.
        registers: Vec<(u8, u32)>,
        /// The instruction pointer.
        eip: u32,
    },
    /// Bytes at a linear address of the kernel, for the pool's failure table.
    Poke {
        /// The linear address.
        at: Va,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl Recording {
    /// The case that was recorded.
    ///
    /// # Errors
    /// The text is no case (any more): the recording was made by another version.
    pub fn case(&self) -> Result<Case, crate::CaseError> {
        Case::parse(&self.header.case, &self.header.case, &self.header.text)
    }

    /// An event, counted from 1 as users count them; 0 is booting.
    pub fn event(&self, number: usize) -> Option<&EventRecord> {
        match number.checked_sub(1) {
            None => Some(&self.boot),
            Some(index) => self.events.get(index),
        }
    }

    /// The machine as it was after an event, or after booting (none).
    pub fn machine_after(&self, event: Option<usize>) -> Option<&Machine> {
        match event {
            None => Some(&self.boot.machine),
            Some(index) => self.events.get(index).map(|event| &event.machine),
        }
    }

    /// The name of the routine of a trace's step.
    pub fn routine(&self, step: &TraceStep) -> &str {
        self.header.routines.get(usize::from(step.routine)).map_or("?", String::as_str)
    }
}
