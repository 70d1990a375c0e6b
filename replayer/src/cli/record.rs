//! `tandem record`: a case on one kernel, into a file.

use super::{FINE, RecordOptions, case, kernel, messages::Messages};
use crate::corpus::show;
use anyhow::Context;
use std::path::Path;

pub(super) fn run(here: &Path, options: &RecordOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    // In detail, so that a replay can name the first instruction that went another way.
    let recording = recorder::record_in_detail(&case, kernel(&options.kernel)?).context(shown)?;
    recording.write(&here.join(&options.output))?;
    messages.line(&format!(
        "{}: {} on {}, {} events, {} instructions",
        show(&options.output),
        recording.header.case,
        recording.header.kernel,
        recording.events.len(),
        recording.events.last().unwrap_or(&recording.boot).end(),
    ))?;
    Ok(FINE)
}
