//! `tandem coverage`: the numbered rules of the behaviour sheets, the sections that cases name, and the cases
//! that cover each.

use super::{FINE, Listing, UNEXPECTED, messages::Messages};
use crate::corpus;
use crate::coverage::{CoverageError, Covered, Rule, coverage};
use crate::words::counted;
use std::path::Path;

pub(super) fn run(here: &Path, format: Listing, messages: &mut Messages) -> anyhow::Result<u8> {
    let told = coverage(&corpus::top(here)?).map_err(|error| match error {
        // As it is: what is wrong in a case's text is told with its excerpt.
        CoverageError::Corpus(error) => anyhow::Error::from(error),
        error => error.into(),
    })?;
    for covered in &told.sheets {
        for rule in &covered.rules {
            messages.line(&match format {
                Listing::Text => line(rule),
                Listing::Json => serde_json::to_string(rule)?,
            })?;
        }
        for section in &covered.sections {
            messages.line(&match format {
                Listing::Text => format!("{} {}", section.section, section.cases.join(" ")),
                Listing::Json => serde_json::to_string(section)?,
            })?;
        }
        let closing = closing(covered);
        match format {
            Listing::Text => messages.line(&format!("{closing}\n"))?,
            Listing::Json => messages.note(&format!("{closing}\n"))?,
        }
    }
    for wrong in &told.wrong {
        messages.note(&format!("error: {wrong}\n"))?;
    }
    Ok(if told.open.is_empty() && told.wrong.is_empty() { FINE } else { UNEXPECTED })
}

/// A rule and its cases, or why there are none.
fn line(rule: &Rule) -> String {
    let by = match &rule.uncovered {
        _ if !rule.cases.is_empty() => rule.cases.join(" "),
        Some(reason) => format!("not covered: {reason}"),
        None => format!("no case: {}", rule.text),
    };
    format!("{:8} {by}", rule.rule)
}

fn closing(covered: &Covered) -> String {
    let (rules, with_case, listed) = (covered.rules.len(), covered.covered(), covered.listed());
    let open = rules - covered.rules.iter().filter(|r| !r.cases.is_empty() || r.uncovered.is_some()).count();
    let path = covered.sheet.path;
    format!(
        "{path}: {}, {with_case} covered, {listed} not covered for a reason, {open} open",
        counted(rules, "rule")
    )
}
