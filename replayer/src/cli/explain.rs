//! `tandem explain`: where two kernels part, and why.

use super::{ExplainOptions, FINE, UNEXPECTED, case, kernel, messages::Messages};
use crate::explain::facts::{self, Differing, Parting};
use crate::explain::{CodeLine, FieldChange, Story, side_by_side, stack, stories};
use crate::words::counted;
use crate::{Compared, compare};
use anyhow::Context;
use golden::Comparison;
use std::path::Path;

/// At most this many fields are shown of each side.
const FIELDS: usize = 60;
/// Rows of calls that are shown at most: the first ones, and the last ones, where the sides part.
const FIRST_CALLS: usize = 60;
const LAST_CALLS: usize = 180;
/// Later events that are told; the rest is counted.
const LATER: usize = 12;

pub(super) fn run(here: &Path, options: &ExplainOptions, messages: &mut Messages) -> anyhow::Result<u8> {
    let (case, shown) = case(here, &options.case)?;
    let name = |given: &Option<String>, own: &str| given.clone().unwrap_or_else(|| own.to_owned());
    let left = kernel(&name(&options.left, &case.kernels.0))?;
    let right = kernel(&name(&options.right, &case.kernels.1))?;
    let compared = compare(&case, left, right).context(shown)?;
    let comparison = &compared.comparison;
    let (all, following) = facts::independent(comparison);
    if all.is_empty() {
        messages.line(&format!("{}: {} and {} agree", case.name, comparison.left, comparison.right))?;
        return Ok(FINE);
    }
    let (partings, others) = all.split_at(if options.resync { all.len() } else { 1 });
    let (ours, theirs) = stories(&compared, (left, right), partings, !options.interrupts)?;
    let mut text = String::new();
    for (parting, stories) in partings.iter().zip(ours.iter().zip(&theirs)) {
        text.push_str(&told(&case.name, &compared, parting, stories));
    }
    if !following.is_empty() || others.is_empty() {
        text.push_str(&format!("{}\n", heading(partings.len(), following.len())));
    }
    text.push_str(&folded(comparison, &following));
    if !others.is_empty() {
        let them = if others.len() == 1 { "it" } else { "them" };
        text.push_str(&format!("{}; `--resync` explains {them}\n", unrelated(others.len())));
    }
    text.push_str(&folded(comparison, others));
    messages.text(&text)?;
    Ok(UNEXPECTED)
}

/// A parting and what led to it on both sides.
fn told(name: &str, compared: &Compared, parting: &Parting, (ours, theirs): (&Story, &Story)) -> String {
    let comparison = &compared.comparison;
    let event = &comparison.events[parting.event - 1];
    let mut text = format!(
        "{name}: {} and {} part in event {}, line {}\n  {}\n\ndiffers\n{}",
        comparison.left,
        comparison.right,
        parting.event,
        event.line,
        event.text,
        table(comparison, &parting.facts)
    );
    if let Some(reason) = &comparison.reason {
        text.push_str(&format!("\nthe case says why\n  {reason}\n"));
    }
    text.push_str("\ncalls\n");
    if ours.rows.is_empty() && theirs.rows.is_empty() {
        text.push_str("  none\n");
    } else {
        let calls = side_by_side((&ours.kernel, &theirs.kernel), &ours.rows, &theirs.rows);
        text.push_str(&shortened(&calls, parting.event));
    }
    text.push_str("\nfields that changed\n");
    for story in [ours, theirs] {
        let fields = changed(&story.fields, "    ");
        let fields = if fields.is_empty() { "    none\n" } else { &fields };
        text.push_str(&format!("  {}\n{fields}", story.kernel));
    }
    for story in [ours, theirs] {
        text.push_str(&format!(
            "\n{}, event {}+{}, thread {}: {}\n",
            story.kernel, parting.event, story.instant, story.thread, story.what
        ));
        text.push_str(&stack::walked(&story.stacks));
        for (title, lines) in [("the last instructions", &story.code), ("the next ones", &story.next)] {
            if !lines.is_empty() {
                text.push_str(&format!("  {title}\n{}", code(lines)));
            }
        }
    }
    text.push('\n');
    text
}

/// Calls without their middle, where there are too many to be looked at.
fn shortened(calls: &str, event: usize) -> String {
    let lines: Vec<&str> = calls.lines().collect();
    let Some(out @ 1..) = lines.len().checked_sub(FIRST_CALLS + LAST_CALLS) else { return calls.to_owned() };
    let (first, last) = (&lines[..FIRST_CALLS], &lines[FIRST_CALLS + out..]);
    format!(
        "{}\n  … {} left out: `tandem trace --event {event}` tells the calls of one kernel\n{}\n",
        first.join("\n"),
        counted(out, "line"),
        last.join("\n")
    )
}

/// Facts with both sides' values, one under the other.
fn table(comparison: &Comparison, facts: &[Differing]) -> String {
    let kernel = comparison.left.len().max(comparison.right.len());
    let width = facts.iter().map(|fact| fact.name().chars().count()).max().unwrap_or(0);
    let rows = facts.iter().map(|fact| {
        let name = fact.name();
        format!(
            "  {:kernel$}  {name:width$}  {}\n  {:kernel$}  {name:width$}  {}\n",
            comparison.left, fact.left, comparison.right, fact.right
        )
    });
    rows.collect()
}

/// Fields, a line each; those that only tell of the passing of time slices are counted.
pub(super) fn changed(fields: &[FieldChange], indent: &str) -> String {
    let (passing, told): (Vec<&FieldChange>, Vec<_>) = fields.iter().partition(|field| field.is_scheduling());
    let mut text: String = told.iter().take(FIELDS).map(|field| format!("{indent}{field}\n")).collect();
    if told.len() > FIELDS {
        text.push_str(&format!("{indent}… and {} more\n", told.len() - FIELDS));
    }
    if !passing.is_empty() {
        let alone = if told.is_empty() { "nothing but " } else { "… and " };
        text.push_str(&format!("{indent}{alone}{} of time slices\n", counted(passing.len(), "count")));
    }
    text
}

/// Code, a line each; a line that follows itself again and again stands once.
pub(super) fn code(lines: &[CodeLine]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < lines.len() {
        let times = lines[at..].iter().take_while(|line| **line == lines[at]).count();
        let CodeLine { at: address, symbol, text: code } = &lines[at];
        let times_text = if times > 1 { format!("  ×{times}") } else { String::new() };
        text.push_str(&format!("    {address}  {symbol:32}  {code}{times_text}\n"));
        at += times;
    }
    text
}

/// What is said of the events that differ in what follows from the partings that were told. An event that parts
/// anew by itself can differ in that as well: then it is one of these too.
pub(super) fn heading(partings: usize, later: usize) -> String {
    let them = if partings == 1 { "it" } else { "them" };
    match later {
        0 => format!("nothing that follows from {them} differs later"),
        1 => format!("what follows from {them} differs in 1 later event"),
        _ => format!("what follows from {them} differs in {later} later events"),
    }
}

/// What is said of differences that do not follow from the first one.
pub(super) fn unrelated(others: usize) -> String {
    match others {
        1 => "1 more difference does not follow from the first".to_owned(),
        _ => format!("{others} more differences do not follow from the first"),
    }
}

/// The first of the later events, with what differs in them.
fn folded(comparison: &Comparison, later: &[Parting]) -> String {
    let mut text = String::new();
    for parting in later.iter().take(LATER) {
        let event = &comparison.events[parting.event - 1];
        let names: Vec<String> = parting.facts.iter().map(Differing::name).collect();
        text.push_str(&format!("  line {}, {}: {}\n", event.line, event.text, names.join(", ")));
    }
    if later.len() > LATER {
        text.push_str(&format!("  … and {} more\n", later.len() - LATER));
    }
    text
}
