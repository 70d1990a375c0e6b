//! `tandem record`: a case on one kernel, into a file.

use super::{FINE, RecordOptions, case, kernel, messages::Messages};
use crate::corpus::show;
use crate::words::counted;
use anyhow::Context;
use recorder::WriteError;
use recorder::recording::write_beside;
use std::io;
use std::path::Path;

pub(super) fn run(here: &Path, options: &RecordOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let (mut failed, mut retired) = (None, 0);
    let written = write_beside(&here.join(&options.output), |file| {
        match recorder::record_into(&case, kernel, options.detail, file) {
            Ok((_, instructions)) => {
                retired = instructions;
                Ok(())
            }
            Err(WriteError::Io(error)) => Err(error),
            Err(WriteError::Record(error)) => {
                failed = Some(error);
                Err(io::Error::other("the case could not be run"))
            }
        }
    });
    if let Some(error) = failed {
        return Err(error).context(shown);
    }
    written?;
    messages.line(&format!(
        "{}: {} on {}, {}, {}",
        show(&options.output),
        case.name,
        kernel.name(),
        counted(case.lines.len(), "event"),
        counted(retired, "instruction"),
    ))?;
    Ok(FINE)
}
