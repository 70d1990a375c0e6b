//! What `run --format json` prints: one [`CaseReport`] a line.
//!
//! The fields are part of the interface: none is renamed or removed, new ones may come.

use contract::{Outcome, View};
use golden::{Comparison, Difference, Side};
use serde::Serialize;
use std::collections::BTreeMap;

/// A case and what two kernels made of it.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport<'a> {
    /// The case's name: `termination/null_handle_ends_the_others`; for a file outside the corpus its
    /// stem.
    pub case: &'a str,
    /// The names of the two kernels, in the order in which they were compared.
    pub kernels: [&'a str; 2],
    /// The text after `# differs:`, or null.
    pub reason: Option<&'a str>,
    /// Whether anything that a program could tell apart differs.
    pub differs: bool,
    /// The events, in the case's order.
    pub events: Vec<EventReport<'a>>,
    /// The first difference, or null.
    pub first_difference: Option<DifferenceReport<'a>>,
}

/// An event.
#[derive(Clone, Debug, Serialize)]
pub struct EventReport<'a> {
    /// The line of the case's file, counted from 1.
    pub line: u32,
    /// The line's text, without its comment.
    pub text: &'a str,
    /// What each kernel made of it: two more fields, named like the kernels (one, when a kernel is
    /// compared with itself).
    #[serde(flatten)]
    pub kernels: BTreeMap<&'a str, SideReport<'a>>,
}

/// What one kernel made of an event.
#[derive(Clone, Debug, Serialize)]
pub struct SideReport<'a> {
    /// What came of it, seen by the program that caused it.
    pub outcome: OutcomeReport<'a>,
    /// The whole view after the event: what a program could tell apart, with statuses as numbers.
    /// Its fields are those of [`View`].
    pub view: &'a View,
}

/// What came of an event.
#[derive(Clone, Debug, Serialize)]
pub struct OutcomeReport<'a> {
    /// `returned`, `waits`, `busy`, `ready`, `ended`, `done`, `seen` or `unavailable`.
    pub kind: &'static str,
    /// The status that a call returned, by its name, or eight hexadecimal digits if it has none; null
    /// when no call returned.
    pub status: Option<String>,
    /// The values that were given back or seen, by name.
    pub values: BTreeMap<&'a str, &'a str>,
    /// The outcome as a golden tells it.
    pub text: String,
}

/// The first thing that one kernel shows and the other does not.
#[derive(Clone, Debug, Serialize)]
pub struct DifferenceReport<'a> {
    /// The line of the event, counted from 1.
    pub line: u32,
    /// `outcome`, `outcome eflags` when only that value differs, or what of the view:
    /// `thread worker state`.
    pub what: &'a str,
    /// Both values: two more fields, named like the kernels. `none` where a kernel shows nothing.
    #[serde(flatten)]
    pub values: BTreeMap<&'a str, &'a str>,
}

/// The report on a case; `first` is the comparison's first difference.
pub fn report<'a>(
    case: &'a str,
    comparison: &'a Comparison,
    first: Option<&'a Difference>,
) -> CaseReport<'a> {
    let (left, right) = (comparison.left.as_str(), comparison.right.as_str());
    let events = comparison.events.iter().map(|event| EventReport {
        line: event.line,
        text: &event.text,
        kernels: BTreeMap::from([(left, side(&event.left)), (right, side(&event.right))]),
    });
    CaseReport {
        case,
        kernels: [left, right],
        reason: comparison.reason.as_deref(),
        differs: first.is_some(),
        events: events.collect(),
        first_difference: first.map(|first| DifferenceReport {
            line: first.line,
            what: &first.what,
            values: BTreeMap::from([(left, first.left.as_str()), (right, first.right.as_str())]),
        }),
    }
}

fn side(side: &Side) -> SideReport<'_> {
    let (status, values) = match &side.outcome {
        Outcome::Returned { status, values } => (Some(status.to_string()), values.as_slice()),
        Outcome::Seen { values } => (None, values.as_slice()),
        _ => (None, [].as_slice()),
    };
    SideReport {
        outcome: OutcomeReport {
            kind: side.outcome.kind(),
            status,
            values: values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            text: side.outcome.to_string(),
        },
        view: &side.view,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Status;
    use golden::ComparedEvent;

    #[test]
    fn a_report_is_one_line_of_json_with_the_fields_that_are_promised() {
        let side = |outcome: Outcome| Side { outcome, view: View::default() };
        let values = vec![("previous".to_owned(), "1".to_owned())];
        let comparison = Comparison {
            left: "nt".to_owned(),
            right: "reactos".to_owned(),
            title: "A title.".to_owned(),
            reason: Some("A reason.".to_owned()),
            left_behind: Default::default(),
            events: vec![ComparedEvent {
                line: 7,
                text: "main NtResumeThread thread=t".to_owned(),
                left: side(Outcome::Returned { status: Status::SUCCESS, values }),
                right: side(Outcome::Waits),
            }],
        };
        let first = comparison.first_difference();
        let json = serde_json::to_string(&report("t/x", &comparison, first.as_ref())).unwrap();
        let view = r#"{"bugcheck":null,"processes":[],"threads":[],"objects":[],"handles":[]}"#;
        let expected = format!(
            "{}{}{}{}",
            r#"{"case":"t/x","kernels":["nt","reactos"],"reason":"A reason.","differs":true,"events":[{"line":7,"text":"main NtResumeThread thread=t","#,
            format_args!(
                r#""nt":{{"outcome":{{"kind":"returned","status":"STATUS_SUCCESS","values":{{"previous":"1"}},"text":"returned STATUS_SUCCESS previous=1"}},"view":{view}}},"#
            ),
            format_args!(
                r#""reactos":{{"outcome":{{"kind":"waits","status":null,"values":{{}},"text":"waits"}},"view":{view}}}}}],"#
            ),
            r#""first_difference":{"line":7,"what":"outcome","nt":"returned STATUS_SUCCESS previous=1","reactos":"waits"}}"#,
        );
        assert_eq!(json, expected);
    }
}
