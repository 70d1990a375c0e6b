//! `tandem diff`: two recordings of one case.

use super::{
    BAD, FINE, UNEXPECTED,
    explain::{heading, unrelated},
    messages::Messages,
    replay::load,
};
use crate::corpus::show;
use crate::{PairError, compare, explain};
use std::path::Path;

pub(super) fn run(here: &Path, [ours, theirs]: [&Path; 2], messages: &mut Messages) -> anyhow::Result<u8> {
    let (left, left_whole) = load(here, ours, messages)?;
    let (right, right_whole) = load(here, theirs, messages)?;
    let comparison = compare::pair(&left, &right).map_err(|error| named(error, ours, theirs))?;
    messages.text(&comparison.text())?;
    let first = comparison.first_difference();
    if let Some(first) = &first {
        let (partings, following) = explain::facts::independent(&comparison);
        let others = partings.len().saturating_sub(1);
        let mut said = vec![format!("first difference: {first}")];
        if !following.is_empty() || others == 0 {
            said.push(heading(1, following.len()));
        }
        if others > 0 {
            said.push(unrelated(others));
        }
        messages.line(&format!("\n{}", said.join("; ")))?;
        let traces = explain::traces(&left, &right, first.event + 1);
        messages.text(&traces.map_err(|error| named(error, ours, theirs))?)?;
    } else {
        let [left, right] = [&left, &right].map(|recording| &recording.header.kernel);
        let between = if left == right { String::new() } else { format!(" between {left} and {right}") };
        messages.line(&format!("\nno difference{between}"))?;
    }
    Ok(match (left_whole && right_whole, first) {
        (false, _) => BAD,
        (true, None) => FINE,
        (true, Some(_)) => UNEXPECTED,
    })
}

/// With the file that is at fault, where one is.
pub(super) fn named(error: PairError, ours: &Path, theirs: &Path) -> anyhow::Error {
    match error {
        PairError::Left(_) => anyhow::Error::new(error).context(show(ours)),
        PairError::Right(_) => anyhow::Error::new(error).context(show(theirs)),
        _ => error.into(),
    }
}
