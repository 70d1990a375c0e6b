//! A case's page: both kernels side by side as lanes over the same events.

use super::{chip, document, rule};
use crate::Compared;
use crate::explain::facts::Differing;
use crate::explain::{
    FieldChange, Interrupts, Layouts, Names, Row, Story, facts, fields, rows, stack, story, told_calls,
};
use crate::formats::Entry;
use crate::judge::Verdict;
use crate::words::counted;
use contract::Kernel;
use golden::{By, LeftBehind, Told};
use maud::{Markup, html};
use recorder::Recording;
use std::rc::Rc;

/// Rows of a trace that are shown, at most: a page has to stay one that can be read.
const ROWS: usize = 400;
/// Levels of a trace that are indented.
const DEEPEST: usize = 12;

/// A kernel's run.
struct Lane<'r> {
    name: &'r str,
    recording: &'r Recording,
    kernel: &'static dyn Kernel,
    layouts: Rc<Layouts>,
    interrupts: Interrupts,
}

/// The page of a case; `up` leads from it to the site's folder.
pub fn page(
    entry: &Entry,
    covers: &[String],
    compared: &Compared,
    kernels: [&'static dyn Kernel; 2],
    up: &str,
) -> String {
    let comparison = &compared.comparison;
    let lane = |name, recording, kernel| Lane {
        name,
        recording,
        kernel,
        layouts: Rc::new(Layouts::new(kernel)),
        interrupts: Interrupts::of(recording, kernel, 1..=comparison.events.len()),
    };
    let lanes = [
        lane(&comparison.left, &compared.left, kernels[0]),
        lane(&comparison.right, &compared.right, kernels[1]),
    ];
    let first = facts::first(comparison);
    let parting = first.as_ref().map(|parting| parting.event - 1);
    let facts = first.map(|parting| parting.facts).unwrap_or_default();
    let (label, class) = chip(&entry.verdict);
    let body = html! {
        header .top {
            p .brand { a href={ (up) "index.html" } { "Tandem" } " / " (entry.name) }
            h1 { (entry.title) }
            p .{ "verdict " (class) } {
                span .chip { (label) }
                @if let Some(reason) = &entry.reason { " " span .reason { (reason) } }
            }
            @if let Verdict::Unexpected(surprise) = &entry.verdict {
                p .surprise { (entry.shown) ":" (surprise.line) ": " (surprise.what) }
                @if !surprise.more.is_empty() { pre { (surprise.more) } }
            }
            @if !covers.is_empty() {
                dl .rules {
                    @for covered in covers {
                        dt { (covered) }
                        dd { (rule::told(covered).unwrap_or_default()) }
                    }
                }
            }
            @if parting.is_some() { p { a .jump href="#first" { "To the first difference" } } }
        }
        main #main .lanes {
            div .heads aria-hidden="true" {
                @for lane in &lanes { p { (lane.name) } }
            }
            @for (index, event) in comparison.events.iter().enumerate() {
                @let here = parting == Some(index);
                @let follows = parting.is_some_and(|first| index > first) && !event.agrees();
                section .event .first[here] .follows[follows] id=[here.then_some("first")] {
                    h2 {
                        span .line { (event.line) }
                        span {
                            code { (event.text) }
                            @if here { " " span .mark { "the first difference" } }
                            @if follows { " " span .mark .quiet { "follows from it" } }
                        }
                    }
                    (told(&comparison.event_rows(index), &lanes))
                    @if here { (parted(&lanes, index, &facts)) }
                    (details(&lanes, index))
                }
            }
            (left_behind(&comparison.left_behind, &lanes))
        }
    };
    document(&format!("{} - Tandem", entry.name), up, &body)
}

/// What both did once, and what each did in its lane.
fn told(rows: &[Told], lanes: &[Lane; 2]) -> Markup {
    let cell = |row: &Told| {
        html! {
            span .kind { (row.kind) }
            @if !row.name.is_empty() { " " b { (row.name) } }
            @if !row.text.is_empty() { " " span .text { (row.text) } }
        }
    };
    let of = |by: By| rows.iter().filter(move |row| row.by == by);
    html! {
        @if of(By::Both).next().is_some() {
            ul .both { @for row in of(By::Both) { li .stopped[stopped(row)] { (cell(row)) } } }
        }
        @if of(By::Left).chain(of(By::Right)).next().is_some() {
            div .sides {
                @for (lane, by) in lanes.iter().zip([By::Left, By::Right]) {
                    div .side {
                        p .lane { (lane.name) }
                        ul {
                            @for row in of(by) { li .stopped[stopped(row)] { (cell(row)) } }
                            @if of(by).next().is_none() { li .nothing { "nothing" } }
                        }
                    }
                }
            }
        }
    }
}

/// Whether it says that the system has stopped.
fn stopped(row: &Told) -> bool {
    row.kind == "system"
}

/// What was still there at the end and belonged to nothing that lives.
fn left_behind((left, right): &(LeftBehind, LeftBehind), lanes: &[Lane; 2]) -> Markup {
    html! {
        @if !left.is_empty() || !right.is_empty() {
            section .event .follows[left == right] {
                h2 { span .line { "end" } code { "left behind" } }
                div .sides {
                    @for (lane, list) in lanes.iter().zip([left, right]) {
                        div .side {
                            p .lane { (lane.name) }
                            ul {
                                @for (kind, count) in list { li { span .kind { (kind) } " " b { (count) } } }
                                @if list.is_empty() { li .nothing { "nothing" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where each kernel stood when the first difference was decided.
fn parted(lanes: &[Lane; 2], index: usize, facts: &[Differing]) -> Markup {
    let stories: Vec<Option<Story>> = lanes
        .iter()
        .map(|lane| story(lane.recording, lane.kernel, index + 1, facts, &lane.interrupts, true).ok())
        .collect();
    html! {
        details .story open {
            summary { "Where it was decided" }
            div .sides {
                @for (lane, story) in lanes.iter().zip(&stories) {
                    div .side {
                        p .lane { (lane.name) }
                        @if let Some(story) = story {
                            p .decided { code { (story.what) } }
                            p .quiet .place { (story.thread) ", instruction " (story.instant) " of the event" }
                            @for stack in &story.stacks { (picture(stack)) }
                            @if story.stacks.is_empty() { p .quiet { "No stack: the thread has ended." } }
                            (code(story))
                        }
                    }
                }
            }
        }
    }
}

/// A stack as a picture: a box a slot, the frames told apart, the lowest address first.
fn picture(stack: &stack::Stack) -> Markup {
    html! {
        figure .stack {
            figcaption { "Stack in ring " (stack.ring) ", ESP " code { (format!("{:08X}", stack.esp)) } }
            ol .frames {
                @for frame in &stack.frames {
                    li { code { (frame.title) } " " span .at { "EBP " (format!("{:08X}", frame.ebp)) } }
                }
            }
            details {
                summary { "Slot by slot" }
                div .scroll tabindex="0" {
                    table {
                        thead { tr { th scope="col" { "at" } th scope="col" { "holds" } th scope="col" { "is" } } }
                        tbody {
                            @for slot in &stack.slots {
                                tr .border[slot.name == "return address" || slot.name.ends_with(".Eip")] {
                                    td { (format!("{:08X}", slot.at)) }
                                    td {
                                        (format!("{:08X}", slot.value))
                                        @if slot.count > 1 { " ×" (slot.count) }
                                    }
                                    td {
                                        (slot.name)
                                        @if let Some(meaning) = &slot.meaning { " " span .meaning { (meaning) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn code(story: &Story) -> Markup {
    let last = story.code.iter().map(|line| (line, false));
    let code: Vec<_> = last.chain(story.next.iter().map(|line| (line, true))).collect();
    html! {
        @if !code.is_empty() {
            details {
                summary { "The last instructions and the next" }
                div .scroll tabindex="0" {
                    table {
                        tbody {
                            @for (line, next) in code {
                                tr .next[next] {
                                    td { (format!("{:08X}", line.at.0)) }
                                    td { (line.symbol) }
                                    td { (line.text) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The calls and the fields of an event, folded.
fn details(lanes: &[Lane; 2], index: usize) -> Markup {
    let sides: Vec<(Vec<Row>, Vec<FieldChange>)> = lanes.iter().map(|lane| lane.private(index + 1)).collect();
    let calls = |rows: &[Row]| rows.iter().filter(|row| row.call.is_some() && row.interrupts == 0).count();
    if sides.iter().all(|(rows, changes)| rows.is_empty() && changes.is_empty()) {
        return html! {};
    }
    html! {
        details .private {
            summary {
                @for (lane, (rows, changes)) in lanes.iter().zip(&sides) {
                    span .count { b { (lane.name) }
                        " " (counted(calls(rows), "call")) ", " (counted(changes.len(), "field")) }
                    " "
                }
            }
            div .sides {
                @for (lane, (rows, changes)) in lanes.iter().zip(&sides) {
                    div .side {
                        p .lane { (lane.name) }
                        (trace(rows))
                        (changed(changes))
                    }
                }
            }
        }
    }
}

impl Lane<'_> {
    /// What the kernel did in an event (counted from 1) that no program could tell.
    fn private(&self, number: usize) -> (Vec<Row>, Vec<FieldChange>) {
        let (Some(before), Some(event)) = (self.recording.event(number - 1), self.recording.event(number))
        else {
            return (Vec::new(), Vec::new());
        };
        let names = |m| Names::with(&self.layouts, m, &event.named);
        let (old, new) = (names(&before.machine), names(&event.machine));
        let (new, calls) = told_calls(self.recording, self.kernel, number, new);
        let rows = rows(&new, &calls, &self.interrupts);
        let changes = fields::between((&old, &before.machine), (&new, &event.machine));
        (rows, changes.into_iter().filter(|change| !change.is_scheduling()).collect())
    }
}

fn trace(rows: &[Row]) -> Markup {
    html! {
        div .scroll .trace tabindex="0" {
            ol {
                @for row in rows.iter().take(ROWS) {
                    @if row.call.is_none() {
                        li .thread { (row.text) }
                    } @else {
                        li .{ "d" (row.depth.min(DEEPEST)) } {
                            code { (row.text) }
                            @if row.times > 1 { " ×" (row.times) }
                        }
                    }
                }
                @if rows.len() > ROWS { li .quiet { "and " (rows.len() - ROWS) " more" } }
                @if rows.is_empty() { li .quiet { "no calls" } }
            }
        }
    }
}

fn changed(changes: &[FieldChange]) -> Markup {
    html! {
        @if !changes.is_empty() {
            div .scroll .fields tabindex="0" {
                ul { @for change in changes { li { code { (change) } } } }
            }
        }
    }
}
