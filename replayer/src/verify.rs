//! Whether a kernel still does what was recorded.

use crate::explain::{FieldChange, fields};
use contract::{Kernel, View};
use machine::Machine;
use recorder::{RecordError, Recording, Replay, Step};
use std::fmt;

/// Where a replay went another way than its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The first event after which the machine was another one; none for booting.
    pub event: Option<usize>,
    /// Its line in the case's file; 0 for booting.
    pub line: u32,
    /// Its text.
    pub text: String,
    /// The first instruction that did something else; for a recording that was not made in detail the
    /// first native routine. None when no instruction did.
    pub step: Option<Step>,
    /// Why the event's end could not be reached, if the kernel went that far away.
    pub strayed: Option<String>,
    /// Whether the machine is the recorded one, and only what the kernel shows of it is not.
    pub shown: bool,
    /// The fields of named structures that differ after the event, the recorded value first.
    pub fields: Vec<FieldChange>,
    /// Why the kernel can name no such fields, if the recorded machine is none that it can look at.
    pub opaque: Option<String>,
    /// How many later events differ as well: by themselves, where each was judged from the recorded
    /// machine before it.
    pub later: usize,
}

/// Runs a recording's inputs again on a kernel, and compares the machine after booting and after
/// every event with the recorded one, to the byte, and what the kernel shows of it. None when all are
/// the same.
///
/// # Errors
/// [`RecordError`]: the kernel does not boot, or what is recorded is nothing that it can go on from.
pub fn verify(recording: &Recording, kernel: &'static dyn Kernel) -> Result<Option<Deviation>, RecordError> {
    judge(recording, kernel, Replay::start(recording, kernel), usize::MAX)
}

/// What came of verifying a recording in every way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// From booting through all events, without a look at what was recorded on the way.
    pub from_start: Option<Deviation>,
    /// From each checkpoint (the booted machine and the full copies in the file) up to the next one:
    /// the first deviation, and how many checkpoints there are.
    pub from_checkpoints: Option<Deviation>,
    /// How many checkpoints there are.
    pub checkpoints: usize,
    /// Why not all checkpoints were gone on from, if one is none that the kernel can go on from.
    pub gave_up: Option<String>,
    /// Whether the recording, written and read again, is the same, and its bytes are.
    pub round_trip: bool,
}

impl Verified {
    /// Whether all was the same, whichever way.
    pub fn same(&self) -> bool {
        self.from_start.is_none() && self.from_checkpoints.is_none() && self.sound() && self.round_trip
    }

    /// Whether every machine that the kernel was led to look at or to go on from was one that it can be.
    pub fn sound(&self) -> bool {
        let mut found = self.from_start.iter().chain(&self.from_checkpoints);
        self.gave_up.is_none() && found.all(|deviation| deviation.opaque.is_none())
    }
}

/// Verifies a recording three ways: from the start, from every checkpoint, and after a round trip
/// through bytes. `checkpoints` are the events after which the file has a full copy, with that copy.
///
/// # Errors
/// [`RecordError`]: the kernel does not boot, or what is recorded to have reached it leads it where it cannot
/// go on, from the start already.
pub fn verify_all(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    checkpoints: &[(usize, Machine)],
) -> Result<Verified, RecordError> {
    let from_start = judge(recording, kernel, Replay::through(recording, kernel, None), usize::MAX)?;
    let (mut from_checkpoints, mut gave_up) = (None, None);
    for (index, (event, machine)) in checkpoints.iter().enumerate() {
        let replay = Replay::through(recording, kernel, Some((*event, machine.clone())));
        let next = checkpoints.get(index + 1).map_or(recording.events.len(), |(event, _)| *event);
        match judge(recording, kernel, replay, next - event) {
            Ok(found) => from_checkpoints = found,
            Err(error @ RecordError::GaveUp { .. }) => gave_up = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        if from_checkpoints.is_some() || gave_up.is_some() {
            break;
        }
    }
    let bytes = recording.to_bytes();
    let again = Recording::from_bytes(&bytes);
    let round_trip =
        again.is_ok_and(|again| again.recording == *recording && again.recording.to_bytes() == bytes);
    Ok(Verified { from_start, from_checkpoints, checkpoints: checkpoints.len(), gave_up, round_trip })
}

/// Compares what a replay leads to with what was recorded, for so many events.
fn judge(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    mut replay: Replay,
    events: usize,
) -> Result<Option<Deviation>, RecordError> {
    let mut first = None;
    for _ in 0..events {
        let Some(replayed) = replay.next_event()? else { break };
        let event = replayed.event.map_or(&recording.boot, |index| &recording.events[index]);
        let view = || kernel.view(&replayed.machine, &event.named) == of_kernel(&event.view);
        if replayed.same && replay.look(replayed.event, view)? {
            continue;
        }
        match &mut first {
            Some(Deviation { later, .. }) => *later += 1,
            None => {
                let fields = || fields::differing(kernel, &event.named, &event.machine, &replayed.machine);
                let (fields, opaque) = match replay.look(replayed.event, fields) {
                    Ok(fields) => (fields, None),
                    Err(error) => (Vec::new(), Some(error.to_string())),
                };
                first = Some(Deviation {
                    event: replayed.event,
                    line: event.line,
                    text: event.text.clone(),
                    step: if replayed.same { None } else { replay.first_step(replayed.event)? },
                    strayed: replayed.strayed,
                    shown: replayed.same,
                    fields,
                    opaque,
                    later: 0,
                });
            }
        }
    }
    Ok(first)
}

/// The part of a recorded view that the kernel gave.
fn of_kernel(view: &View) -> View {
    let mut view = View { handles: Vec::new(), ..view.clone() };
    for thread in &mut view.threads {
        thread.ran.clear();
        thread.call = None;
    }
    view
}

/// `line 9, main NtTerminateProcess process=NULL: differs first at KiSwapContext+12 …`.
impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.event {
            None => write!(f, "booting differs")?,
            Some(_) => write!(f, "line {}, {}: differs", self.line, self.text)?,
        }
        match &self.step {
            Some(step) => {
                write!(f, " first at {}, instruction {}", step.place, step.at)?;
                if let Some(thread) = &step.thread {
                    write!(f, ", thread {thread}")?;
                }
            }
            None if self.shown => f.write_str(" in what the kernel shows of the same machine")?,
            None => f.write_str(", no telling at which instruction")?,
        }
        if let Some(strayed) = &self.strayed {
            write!(f, "; {strayed}")?;
        }
        match self.later {
            0 => Ok(()),
            1 => f.write_str("; 1 later event differs by itself"),
            later => write!(f, "; {later} later events differ by themselves"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deviation_names_the_event_and_the_instruction() {
        let mut deviation = Deviation {
            event: Some(3),
            line: 9,
            text: "main NtClose handle=bad".to_owned(),
            step: Some(Step { at: 1234, place: "NtClose.2".to_owned(), thread: Some("main".to_owned()) }),
            strayed: None,
            shown: false,
            fields: Vec::new(),
            opaque: None,
            later: 2,
        };
        assert_eq!(
            deviation.to_string(),
            "line 9, main NtClose handle=bad: differs first at NtClose.2, instruction 1234, thread main; \
             2 later events differ by themselves"
        );
        deviation.event = None;
        deviation.step = None;
        deviation.later = 0;
        assert_eq!(deviation.to_string(), "booting differs, no telling at which instruction");
    }
}
