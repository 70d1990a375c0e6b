//! `tandem diff`: two recordings of one case.

use super::{BAD, FINE, UNEXPECTED, messages::Messages, replay::load};
use crate::{compare, explain};
use std::path::Path;

pub(super) fn run(left: &Path, right: &Path, messages: &mut Messages) -> anyhow::Result<u8> {
    let (left, left_whole) = load(left, messages)?;
    let (right, right_whole) = load(right, messages)?;
    let comparison = compare::pair(&left, &right)?;
    messages.text(&comparison.text())?;
    let first = comparison.first_difference();
    if let Some(first) = &first {
        let later = comparison.events.iter().skip(first.event + 1).filter(|event| !event.agrees()).count();
        let consequences = match later {
            0 => "nothing after it differs".to_owned(),
            1 => "1 later event differs in consequence".to_owned(),
            later => format!("{later} later events differ in consequence"),
        };
        messages.line(&format!("\nfirst difference: {first}; {consequences}"))?;
        messages.text(&explain::traces(&left, &right, first.event + 1))?;
    } else {
        messages.line("\nno difference")?;
    }
    Ok(match (left_whole && right_whole, first) {
        (false, _) => BAD,
        (true, None) => FINE,
        (true, Some(_)) => UNEXPECTED,
    })
}
