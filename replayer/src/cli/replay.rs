//! `tandem replay`: whether a kernel still does what was recorded.

use super::{BAD, FINE, UNEXPECTED, diff::named, kernel, messages::Messages};
use crate::corpus::show;
use crate::words::counted;
use crate::{compare, explain, verify_all};
use anyhow::Context;
use recorder::{Archive, ReadError, Recording};
use std::path::Path;

/// At most this many fields are shown.
const FIELDS: usize = 40;

pub(super) fn run(
    here: &Path,
    file: &Path,
    other: Option<&str>,
    messages: &mut Messages,
) -> anyhow::Result<u8> {
    let (recording, whole) = load(here, file, messages)?;
    if let Some(name) = other {
        return on_another(file, &recording, name, messages);
    }
    let header = &recording.header;
    let kernel = kernel(&header.kernel).with_context(|| show(file))?;
    let mut archive = Archive::open(&here.join(file)).with_context(|| show(file))?;
    let mut checkpoints = vec![(0, recording.boot.machine.clone())];
    for event in archive.checkpoints() {
        checkpoints.extend(archive.checkpoint(event)?.map(|machine| (event, machine)));
    }
    let verified = verify_all(&recording, kernel, &checkpoints).with_context(|| show(file))?;
    let subject = format!("{}: {} on {}", show(file), header.case, header.kernel);
    let ways = [("from the start", &verified.from_start), ("from a checkpoint", &verified.from_checkpoints)];
    for (way, deviation) in ways.iter().filter_map(|(way, found)| Some((way, found.as_ref()?))) {
        messages.line(&format!("{subject}: {way}: {deviation}"))?;
        for field in deviation.fields.iter().take(FIELDS) {
            messages.line(&format!("    {field}"))?;
        }
    }
    let opaque = ways.iter().filter_map(|(_, found)| found.as_ref()?.opaque.as_ref());
    for why in opaque.chain(&verified.gave_up) {
        messages.note(&format!("error: {}: {why}\n", show(file)))?;
    }
    if !verified.round_trip {
        messages.line(&format!("{subject}: written and read again, it is another recording"))?;
    }
    let events = recording.events.len();
    if verified.same() {
        let instructions = recording.events.last().unwrap_or(&recording.boot).end();
        let checkpoints = counted(verified.checkpoints, "checkpoint");
        let each = if verified.checkpoints == 1 { "" } else { "each of " };
        messages.line(&format!(
            "{subject}: {}, {}, the same to the byte: from the start, from {each}{checkpoints}, and after a \
             round trip",
            counted(events, "event"),
            counted(instructions, "instruction")
        ))?;
    }
    let (bytes, sizes) = archive.sizes();
    let mut sizes = sizes;
    sizes.sort_unstable();
    if let (Some(most), Some(median)) = (sizes.last(), sizes.get(sizes.len() / 2)) {
        messages.line(&format!(
            "    {}, {} an event; what changes in an event takes {median} (median), {most} at most",
            counted(bytes, "byte"),
            bytes / events.max(1) as u64
        ))?;
    }
    Ok(match (whole && verified.sound(), verified.same()) {
        (false, _) => BAD,
        (true, true) => FINE,
        (true, false) => UNEXPECTED,
    })
}

/// The recording's events on another kernel, and what both made of them.
fn on_another(file: &Path, recording: &Recording, name: &str, messages: &mut Messages) -> anyhow::Result<u8> {
    let mut case = recording.case().with_context(|| show(file))?;
    // Of a torn recording, the events that are there.
    case.lines.truncate(recording.events.len());
    let theirs = recorder::record(&case, kernel(name)?).with_context(|| show(file))?;
    let comparison = compare::pair(recording, &theirs).map_err(|error| named(error, file, file))?;
    messages.text(&comparison.text())?;
    match comparison.first_difference() {
        None => {
            messages.line(&format!("\nno difference between {} and {name}", recording.header.kernel))?;
            Ok(FINE)
        }
        Some(first) => {
            messages.line(&format!("\nfirst difference: {first}"))?;
            let traces = explain::traces(recording, &theirs, first.event + 1);
            messages.text(&traces.map_err(|error| named(error, file, file))?)?;
            Ok(UNEXPECTED)
        }
    }
}

/// A recording, and whether it is whole; where it is torn has been told then. What is told of the file names
/// it as it was given.
pub(super) fn load(here: &Path, file: &Path, messages: &mut Messages) -> anyhow::Result<(Recording, bool)> {
    let loaded = match Recording::read(&here.join(file)) {
        Ok(loaded) => loaded,
        // This error names the file itself.
        Err(ReadError::Io { cause, .. }) => {
            return Err(ReadError::Io { path: file.to_owned(), cause }.into());
        }
        Err(error) => return Err(anyhow::Error::new(error).context(show(file))),
    };
    if let Some(torn) = &loaded.torn {
        messages.note(&format!(
            "error: {}: the recording is torn at byte {}: {} of {} can be read\n",
            show(file),
            torn.at,
            torn.events,
            counted(torn.of, "event"),
        ))?;
    }
    let whole = loaded.torn.is_none();
    Ok((loaded.recording, whole))
}
