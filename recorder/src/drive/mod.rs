//! Drives a kernel through a case.

use crate::{Case, EventRecord, Recording};
use contract::{BootError, Kernel, Named};
use machine::Machine;

/// Why a case could not be run: the machine or a kernel of Tandem's is at fault, not the case.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The kernel does not boot.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The kernel was booted and did not become quiet.
    #[error("{kernel} does not come to rest after booting: {what}")]
    Restless {
        /// The kernel.
        kernel: String,
        /// What it does instead.
        what: String,
    },
    /// The machine cannot go on.
    #[error("{kernel}, line {line}, `{text}`: the machine stopped: {what}")]
    Stopped {
        /// The kernel.
        kernel: String,
        /// The line of the case.
        line: u32,
        /// Its text.
        text: String,
        /// What stopped it, and where.
        what: String,
    },
}

/// Runs a case on a kernel.
///
/// # Errors
/// [`RecordError`].
pub fn record(case: &Case, kernel: &'static dyn Kernel) -> Result<Recording, RecordError> {
    let _ = (case, kernel);
    unimplemented!()
}

/// Runs a case on a kernel an instruction at a time, so that a replay can name the first instruction
/// that differs ([`EventRecord::steps`]). Slower; the outcomes and views are those of [`record`].
///
/// # Errors
/// [`RecordError`].
pub fn record_in_detail(case: &Case, kernel: &'static dyn Kernel) -> Result<Recording, RecordError> {
    let _ = (case, kernel);
    unimplemented!()
}

/// A run of a case, an event at a time.
pub struct Run {
    /// The kernel.
    pub kernel: &'static dyn Kernel,
    /// The case.
    pub case: Case,
    machine: Machine,
    named: Vec<Named>,
}

impl Run {
    /// Boots the kernel, up to where it is quiet.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn start(case: &Case, kernel: &'static dyn Kernel) -> Result<Run, RecordError> {
        let _ = (case, kernel);
        unimplemented!()
    }

    /// Carries out the next line, up to where the machine is quiet; none after the last.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn next_event(&mut self) -> Result<Option<EventRecord>, RecordError> {
        unimplemented!()
    }

    /// The machine as it is.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The objects that the case has named so far.
    pub fn named(&self) -> &[Named] {
        &self.named
    }
}

/// A recording's inputs, fed to a freshly booted kernel, an event at a time.
pub struct Replay<'r> {
    recording: &'r Recording,
    machine: Machine,
}

/// An event that was replayed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Its index; none for booting.
    pub event: Option<usize>,
    /// Whether the machine is the recorded one, to the byte.
    pub same: bool,
    /// What the inputs could not be fed to, if the kernel went another way altogether.
    pub strayed: Option<String>,
}

/// The first instruction at which a replay differs from its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Instructions retired when it began.
    pub at: u64,
    /// Where it lies, as a symbol: `KiSwapContext+12`, `PspExitThread.3`.
    pub place: String,
    /// The thread that executed it, if the case has named it.
    pub thread: Option<String>,
}

impl<'r> Replay<'r> {
    /// Prepares to boot the kernel.
    pub fn start(recording: &'r Recording, kernel: &'static dyn Kernel) -> Replay<'r> {
        let _ = (recording, kernel);
        unimplemented!()
    }

    /// Replays booting, then each event; none after the last. After the first event that differs the
    /// replay goes on from the recorded machine, so that each event is judged by itself.
    ///
    /// # Errors
    /// [`RecordError::Boot`].
    pub fn next_event(&mut self) -> Result<Option<Replayed>, RecordError> {
        let _ = (self.recording, &self.machine);
        unimplemented!()
    }

    /// The first instruction of an event (none: of booting) that differs. Needs a detailed recording.
    ///
    /// # Errors
    /// [`RecordError::Boot`].
    pub fn first_step(&self, event: Option<usize>) -> Result<Option<Step>, RecordError> {
        let _ = event;
        unimplemented!()
    }
}
