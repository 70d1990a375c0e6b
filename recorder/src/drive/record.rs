//! A whole run of a case: recorded, written as it goes, or only looked at.

use super::boot;
use super::error::{RecordError, WriteError};
use super::motor::Detail;
use super::run::Run;
use crate::recording::Head;
use crate::{Case, Recording, Writer};
use contract::{Kernel, Named, Outcome, View};
use machine::Machine;
use std::sync::Arc;

/// Runs a case on a kernel.
///
/// # Errors
/// [`RecordError`].
pub fn record(case: &Case, kernel: &'static dyn Kernel) -> Result<Recording, RecordError> {
    record_all(case, kernel, Detail::No)
}

/// Runs a case on a kernel an instruction at a time, so that a replay can name the first instruction
/// that differs ([`EventRecord::steps`](crate::EventRecord::steps)). Slower; the outcomes and views are those
/// of [`record`].
///
/// # Errors
/// [`RecordError`].
pub fn record_in_detail(case: &Case, kernel: &'static dyn Kernel) -> Result<Recording, RecordError> {
    record_all(case, kernel, Detail::Yes)
}

/// Runs a case on a kernel and keeps nothing but what a program could tell apart: each event's outcome,
/// and the view after it.
///
/// # Errors
/// [`RecordError`].
pub fn drive(case: &Case, kernel: &'static dyn Kernel) -> Result<Driven, RecordError> {
    let mut run = Run::start_with(case, kernel, Detail::Nothing)?;
    let mut events = Vec::new();
    while let Some((_, outcome)) = run.next_line()? {
        events.push((outcome, run.view()));
    }
    Ok(Driven { events, kernel, boot: run.boot.machine, end: run.motor.m, named: run.motor.named })
}

/// What could be told apart of a run.
#[derive(Clone)]
pub struct Driven {
    /// Each event's outcome, and the view after it.
    pub events: Vec<(Outcome, View)>,
    kernel: &'static dyn Kernel,
    boot: Machine,
    end: Machine,
    named: Arc<Vec<Named>>,
}

impl Driven {
    /// What was left behind at the end ([`crate::left_behind`]): looked for when asked.
    pub fn left_behind(&self) -> Vec<(String, u32)> {
        crate::left_behind(self.kernel, &self.boot, &self.end, &self.named)
    }
}

/// Runs a case on a kernel and writes its recording as it goes: whoever is killed meanwhile leaves the
/// events that are over. With `detail` as [`record_in_detail`] does. Gives the output back, and how many
/// instructions were retired.
///
/// # Errors
/// [`WriteError`].
pub fn record_into<W: std::io::Write>(
    case: &Case,
    kernel: &'static dyn Kernel,
    detail: bool,
    out: W,
) -> Result<(W, u64), WriteError> {
    let detail = if detail { Detail::Yes } else { Detail::No };
    let mut run = Run::start_with(case, kernel, detail)?;
    let booted = boot::booted(kernel, detail)?;
    let head = Head {
        kernel: kernel.name(),
        case: &case.name,
        digest: case.digest,
        text: &case.text,
        detail: detail == Detail::Yes,
        events: case.lines.len() as u32,
    };
    let routines = &booted.routines.names;
    let mut writer = Writer::start_with(out, &head, &booted.event, routines, booted.chunk())?;
    writer.follow(&mut run.motor.m.memory);
    while let Some(mut event) = run.lend_event()? {
        writer.event_of(&mut event, &run.motor.routines.names)?;
        run.take_back(event);
    }
    Ok((writer.finish(&run.motor.routines.names)?, run.motor.m.retired))
}

fn record_all(case: &Case, kernel: &'static dyn Kernel, detail: Detail) -> Result<Recording, RecordError> {
    let mut run = Run::start_with(case, kernel, detail)?;
    let mut events = Vec::with_capacity(case.lines.len());
    while let Some(event) = run.next_event()? {
        events.push(event);
    }
    Ok(Recording { header: run.header(detail), boot: run.boot, events })
}
