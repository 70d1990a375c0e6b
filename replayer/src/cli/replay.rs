//! `tandem replay`: whether a kernel still does what was recorded.

use super::{BAD, FINE, UNEXPECTED, kernel, messages::Messages};
use crate::corpus::show;
use crate::verify;
use anyhow::Context;
use recorder::{ReadError, Recording};
use std::path::Path;

/// At most this many fields are shown.
const FIELDS: usize = 40;

pub(super) fn run(file: &Path, messages: &mut Messages) -> anyhow::Result<u8> {
    let (recording, whole) = load(file, messages)?;
    let header = &recording.header;
    let kernel = kernel(&header.kernel).with_context(|| show(file))?;
    let deviation = verify(&recording, kernel)?;
    let subject = format!("{}: {} on {}", show(file), header.case, header.kernel);
    match &deviation {
        Some(deviation) => {
            messages.line(&format!("{subject}: {deviation}"))?;
            for field in deviation.fields.iter().take(FIELDS) {
                messages.line(&format!("    {field}"))?;
            }
        }
        None => {
            let events = recording.events.len();
            let instructions = recording.events.last().unwrap_or(&recording.boot).end();
            let same =
                format!("{subject}: {events} events, {instructions} instructions, the same to the byte");
            messages.line(&same)?;
        }
    }
    Ok(match (whole, deviation) {
        (false, _) => BAD,
        (true, None) => FINE,
        (true, Some(_)) => UNEXPECTED,
    })
}

/// A recording, and whether it is whole; where it is torn has been told then.
pub(super) fn load(file: &Path, messages: &mut Messages) -> anyhow::Result<(Recording, bool)> {
    let loaded = match Recording::read(file) {
        Ok(loaded) => loaded,
        // This error names the file itself.
        Err(error @ ReadError::Io { .. }) => return Err(error.into()),
        Err(error) => return Err(anyhow::Error::new(error).context(show(file))),
    };
    if let Some(torn) = &loaded.torn {
        messages.note(&format!(
            "error: {}: the recording is torn at byte {}: {} of {} events are whole\n",
            show(file),
            torn.at,
            torn.events,
            torn.of,
        ))?;
    }
    let whole = loaded.torn.is_none();
    Ok((loaded.recording, whole))
}
