//! Two kernels, one case: what each made of it, side by side.

use crate::batch::both;
use contract::{Kernel, Outcome, View};
use golden::{ComparedEvent, Comparison, Side};
use recorder::{Case, CaseError, EventRecord, RecordError, Recording, Replay};

/// A case recorded on two kernels.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What can be told apart.
    pub comparison: Comparison,
    /// The first kernel's recording.
    pub left: Recording,
    /// The second kernel's recording.
    pub right: Recording,
}

/// Why two recordings cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// They are of different cases.
    #[error("these are recordings of two different cases: {left} and {right}")]
    Cases {
        /// The first one's case.
        left: String,
        /// The second one's case.
        right: String,
    },
    /// They are of one case, which was edited between them.
    #[error("{case} was edited between the two recordings: record both again")]
    Texts {
        /// The case.
        case: String,
    },
    /// The case's text, kept in the recording, is no longer a case.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The first one's kernel cannot look at the machines in it.
    #[error(transparent)]
    Left(RecordError),
    /// The second one's kernel cannot look at the machines in it.
    #[error(transparent)]
    Right(RecordError),
}

/// Records a case on two kernels and compares them.
///
/// # Errors
/// [`RecordError`]: one of them could not be recorded.
pub fn compare(
    case: &Case,
    left: &'static dyn Kernel,
    right: &'static dyn Kernel,
) -> Result<Compared, RecordError> {
    let side = |kernel| -> Result<(Recording, Kinds), RecordError> {
        let recording = recorder::record(case, kernel)?;
        let left_behind = left_behind(&recording)?;
        Ok((recording, left_behind))
    };
    let (ours, theirs) = both(|| side(left), || side(right));
    let ((left, ours), (right, theirs)) = (ours?, theirs?);
    let left_behind = (ours, theirs);
    let comparison = comparison(case, &left, &right, left_behind);
    Ok(Compared { comparison, left, right })
}

/// Runs a case on two kernels and compares what came of it, without recordings.
///
/// # Errors
/// [`RecordError`]: one of them could not run it.
pub fn outcomes(
    case: &Case,
    left: &'static dyn Kernel,
    right: &'static dyn Kernel,
) -> Result<Comparison, RecordError> {
    let (ours, theirs) = (recorder::drive(case, left)?, recorder::drive(case, right)?);
    let left_behind = (ours.left_behind(), theirs.left_behind());
    let side = |(outcome, view): (Outcome, View)| Side { outcome, view };
    let both = case.lines.iter().zip(ours.events.into_iter().zip(theirs.events));
    let compared = both.map(|(line, (ours, theirs))| ComparedEvent {
        line: line.number,
        text: line.text.clone(),
        left: side(ours),
        right: side(theirs),
    });
    Ok(Comparison {
        left: left.name().to_owned(),
        right: right.name().to_owned(),
        title: case.title.clone(),
        reason: case.differs.clone(),
        events: compared.collect(),
        left_behind,
    })
}

/// Compares two recordings of one case, as far as both reach.
///
/// # Errors
/// [`PairError`]: they are not of one case, or hold a machine that is none of their kernel's.
pub fn pair(left: &Recording, right: &Recording) -> Result<Comparison, PairError> {
    let (ours, theirs) = (&left.header, &right.header);
    if ours.case != theirs.case {
        return Err(PairError::Cases { left: ours.case.clone(), right: theirs.case.clone() });
    }
    if ours.digest != theirs.digest {
        return Err(PairError::Texts { case: ours.case.clone() });
    }
    let case = left.case()?;
    let left_behind =
        (left_behind(left).map_err(PairError::Left)?, left_behind(right).map_err(PairError::Right)?);
    Ok(comparison(&case, left, right, left_behind))
}

/// What a run left behind, by kind, and how many.
type Kinds = Vec<(String, u32)>;

fn comparison(case: &Case, left: &Recording, right: &Recording, left_behind: (Kinds, Kinds)) -> Comparison {
    let side = |event: &EventRecord| Side { outcome: event.outcome.clone(), view: event.view.clone() };
    let both = left.events.iter().zip(&right.events);
    let compared = both.map(|(ours, theirs)| ComparedEvent {
        line: ours.line,
        text: ours.text.clone(),
        left: side(ours),
        right: side(theirs),
    });
    Comparison {
        left: left.header.kernel.clone(),
        right: right.header.kernel.clone(),
        title: case.title.clone(),
        reason: case.differs.clone(),
        events: compared.collect(),
        left_behind,
    }
}

/// What a recorded run left behind. Of a kernel that there is none of any more, nothing is known.
///
/// # Errors
/// [`RecordError::GaveUp`]: the machine at the end, or the booted one, is none that the kernel can look at.
pub fn left_behind(recording: &Recording) -> Result<Vec<(String, u32)>, RecordError> {
    let kernel = recorder::kernels::by_name(&recording.header.kernel);
    let Some((kernel, end)) = kernel.zip(recording.events.last()) else { return Ok(Vec::new()) };
    let (replay, last) = (Replay::start(recording, kernel), recording.events.len() - 1);
    // Where it does not find the current thread it would find as little of what is in use.
    replay.look(None, || kernel.current(&recording.boot.machine))?;
    replay.look(Some(last), || kernel.current(&end.machine))?;
    let look = || recorder::left_behind(kernel, &recording.boot.machine, &end.machine, &end.named);
    replay.look(Some(last), look)
}
