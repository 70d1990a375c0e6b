//! Two kernels, one case: what each made of it, side by side.

use contract::{Kernel, Outcome, View};
use golden::{ComparedEvent, Comparison, Side};
use recorder::{Case, CaseError, EventRecord, RecordError, Recording};

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
    let (left, right) = (recorder::record(case, left)?, recorder::record(case, right)?);
    let comparison = comparison(case, &left, &right);
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
/// [`PairError`]: they are not of one case.
pub fn pair(left: &Recording, right: &Recording) -> Result<Comparison, PairError> {
    let (ours, theirs) = (&left.header, &right.header);
    if ours.case != theirs.case {
        return Err(PairError::Cases { left: ours.case.clone(), right: theirs.case.clone() });
    }
    if ours.digest != theirs.digest {
        return Err(PairError::Texts { case: ours.case.clone() });
    }
    Ok(comparison(&left.case()?, left, right))
}

fn comparison(case: &Case, left: &Recording, right: &Recording) -> Comparison {
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
        left_behind: (left_behind(left), left_behind(right)),
    }
}

/// What a recorded run left behind. Of a kernel that there is none of any more, nothing is known.
pub fn left_behind(recording: &Recording) -> Vec<(String, u32)> {
    let kernel = recorder::kernels::by_name(&recording.header.kernel);
    let Some((kernel, end)) = kernel.zip(recording.events.last()) else { return Vec::new() };
    recorder::left_behind(kernel, &recording.boot.machine, &end.machine, &end.named)
}
