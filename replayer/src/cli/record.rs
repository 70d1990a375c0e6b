//! `tandem record`: a case on one kernel, into a file.

use super::{FINE, RecordOptions, case, kernel, messages::Messages};
use crate::corpus::show;
use crate::words::counted;
use anyhow::{Context, ensure};
use recorder::WriteError;
use recorder::recording::{MAGIC, write_beside};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub(super) fn run(here: &Path, options: &RecordOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let kernel = kernel(&options.kernel)?;
    let output = here.join(&options.output);
    replaceable(&output).with_context(|| show(&options.output))?;
    let (mut failed, mut retired) = (None, 0);
    let written =
        write_beside(&output, |file| match recorder::record_into(&case, kernel, options.detail, file) {
            Ok((_, instructions)) => {
                retired = instructions;
                Ok(())
            }
            Err(WriteError::Io(error)) => Err(error),
            Err(WriteError::Record(error)) => {
                failed = Some(error);
                Err(io::Error::other("the case could not be run"))
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

/// Refuses to put a recording in the place of another file: the case itself is quickly named twice. What holds
/// nothing, and what is no file on a disk, can be written to.
fn replaceable(path: &Path) -> anyhow::Result<()> {
    let Ok(known) = path.metadata() else { return Ok(()) };
    if known.is_file() && known.len() > 0 {
        let mut start = Vec::new();
        File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
        ensure!(start == MAGIC, "is there already, and is no recording; name another file");
    }
    Ok(())
}
