//! Why a case could not be run.

use contract::BootError;

/// Why a case could not be run: the machine or a kernel of Tandem's is at fault, not the case.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The kernel does not boot.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The machine cannot go on.
    #[error("{kernel}, line {line}, `{text}`: the machine stopped: {what}")]
    Stopped {
        /// The kernel.
        kernel: String,
        /// The line of the case; 0 while booting.
        line: u32,
        /// Its text; `boot` while booting.
        text: String,
        /// What stopped it, and where.
        what: String,
    },
    /// What is recorded is nothing that the kernel can go on from, or look at.
    #[error(
        "event {event}, line {line}, instruction {at}: {kernel} cannot make sense of what is recorded there: \
         {why}; the file was damaged or made by another version: record the case again"
    )]
    GaveUp {
        /// The kernel.
        kernel: String,
        /// The event, counted from 1; 0 is booting.
        event: usize,
        /// Its line in the case's file; 0 for booting.
        line: u32,
        /// Instructions retired since the machine was made, where the kernel gave up.
        at: u64,
        /// What it expected, and where in its source.
        why: String,
    },
}

/// Why a recording could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The case could not be run.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The output takes no more.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
