//! Whether a comparison is as the case and its golden say.
//!
//! `# differs:` is an assertion: a case that differs without one is a surprise, and so is one that
//! has one and agrees. A reason speaks of the case's own pair of kernels; with any other pair a
//! difference is a surprise, and goldens say nothing.

use golden::{Comparison, Difference, accepted};
use recorder::Case;
use std::path::Path;

/// What a comparison is, measured by what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernels agree, as written.
    Agrees,
    /// They differ, as written.
    Differs,
    /// Something is not as written.
    Unexpected(Surprise),
}

/// The first thing that is not as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surprise {
    /// The line of the case's file, counted from 1.
    pub line: u32,
    /// What it is, in one line.
    pub what: String,
    /// What it looks like and what to do about it, in several lines.
    pub more: String,
}

/// The command that shows what became of goldens, and accepts it.
pub const REVIEW: &str = "cargo insta review";

/// Measures the comparison of a case by the case, and where `goldens` is given (the folder of the
/// goldens) by the case's golden.
pub fn judge(case: &Case, comparison: &Comparison, goldens: Option<&Path>) -> Verdict {
    let own = (comparison.left.as_str(), comparison.right.as_str());
    let own_pair = own == (case.kernels.0.as_str(), case.kernels.1.as_str());
    let reason = comparison.reason.as_deref().filter(|_| own_pair);
    if let Some(surprise) = unwritten(case, comparison, reason, own_pair) {
        return Verdict::Unexpected(surprise);
    }
    if let Some(folder) = goldens.filter(|_| own_pair)
        && let Some(surprise) = unaccepted(case, comparison, folder)
    {
        return Verdict::Unexpected(surprise);
    }
    if comparison.agrees() { Verdict::Agrees } else { Verdict::Differs }
}

/// A difference without a reason, or a reason without a difference.
fn unwritten(case: &Case, comparison: &Comparison, reason: Option<&str>, own: bool) -> Option<Surprise> {
    let Comparison { left, right, .. } = comparison;
    match (comparison.first_difference(), reason) {
        (Some(first), None) => {
            let advice = if own {
                "\nIf both are right, say why they differ in a line `# differs: ...` at the head of the case.\n"
            } else {
                ""
            };
            Some(Surprise {
                line: first.line,
                what: format!("{}: {left} {}, {right} {}", first.what, first.left, first.right),
                more: format!("{}{advice}", told(comparison, &first)),
            })
        }
        (None, Some(reason)) => {
            let says = |line: &str| line.trim_start_matches('#').trim_start().starts_with("differs:");
            let line = case.text.lines().position(says);
            Some(Surprise {
                line: line.map_or(1, |index| index as u32 + 1),
                what: format!("{left} and {right} agree, but the case says that they differ"),
                more: format!("The reason is no longer true:\n  {reason}\nRemove its line.\n"),
            })
        }
        _ => None,
    }
}

/// What both kernels show where they differ: an event, or what they left behind.
fn told(comparison: &Comparison, first: &Difference) -> String {
    match first.what.starts_with("left behind ") {
        true => comparison.left_text(),
        false => comparison.event_text(first.event),
    }
}

/// A golden that is missing, or that is not the comparison's text.
fn unaccepted(case: &Case, comparison: &Comparison, folder: &Path) -> Option<Surprise> {
    let text = comparison.text();
    let first = case.lines.first().map_or(1, |line| line.number);
    let advice = format!(
        "To look at it and accept it: cargo test -p tests --test corpus {}, then {REVIEW}\n",
        case.name
    );
    match accepted::read(folder, &case.name) {
        Err(error) => Some(Surprise {
            line: first,
            what: format!("its golden cannot be read: {error}"),
            more: format!("{}\n", crate::corpus::show(&accepted::path(folder, &case.name))),
        }),
        Ok(None) => Some(Surprise {
            line: first,
            what: "the case has no golden".to_owned(),
            more: format!("{text}\n{advice}"),
        }),
        Ok(Some(golden)) if !accepted::same(&golden, &text) => Some(Surprise {
            line: event_at(comparison, accepted::first_change(&golden, &text)),
            what: "the golden differs".to_owned(),
            more: format!("{}\n{advice}", accepted::changes(&golden, &text)),
        }),
        Ok(Some(_)) => None,
    }
}

/// The case's line of the event that line `index` of the comparison's text tells of.
pub fn event_at(comparison: &Comparison, index: usize) -> u32 {
    let mut end = 0;
    let told = comparison.events.iter().enumerate().find(|(event, _)| {
        end += comparison.event_text(*event).lines().count();
        index < end
    });
    told.map(|(_, event)| event).or(comparison.events.last()).map_or(1, |event| event.line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{Outcome, Status, View};
    use golden::{ComparedEvent, Side};

    const HEAD: &str = "# Closing a bad handle fails.\n";
    const BODY: &str = "process app\nthread main in=app\nmain NtClose handle=bad\n";

    fn case(differs: &str) -> Case {
        Case::parse("x.case", "topic/x", &format!("{HEAD}{differs}{BODY}")).unwrap()
    }

    fn comparison(case: &Case, right: Status) -> Comparison {
        let returned = |status| Outcome::Returned { status, values: vec![] };
        let side = |status| Side { outcome: returned(status), view: View::default() };
        let done = Side { outcome: Outcome::Done, view: View::default() };
        let event = |line: &recorder::Line, left: Side, right: Side| ComparedEvent {
            line: line.number,
            text: line.text.clone(),
            left,
            right,
        };
        let lines = &case.lines;
        Comparison {
            left: "nt".to_owned(),
            right: "reactos".to_owned(),
            title: case.title.clone(),
            reason: case.differs.clone(),
            left_behind: Default::default(),
            events: vec![
                event(&lines[0], done.clone(), done.clone()),
                event(&lines[1], done.clone(), done),
                event(&lines[2], side(Status::INVALID_HANDLE), side(right)),
            ],
        }
    }

    #[track_caller]
    fn surprise(verdict: Verdict) -> Surprise {
        match verdict {
            Verdict::Unexpected(surprise) => surprise,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reason_is_an_assertion() {
        let (plain, reasoned) = (case(""), case("# differs: One of them is wrong.\n"));
        let same = Status::INVALID_HANDLE;
        let other = Status::SUCCESS;
        assert_eq!(judge(&plain, &comparison(&plain, same), None), Verdict::Agrees);
        assert_eq!(judge(&reasoned, &comparison(&reasoned, other), None), Verdict::Differs);

        let without_reason = surprise(judge(&plain, &comparison(&plain, other), None));
        assert_eq!(without_reason.line, 4);
        assert_eq!(
            without_reason.what,
            "outcome: nt returned STATUS_INVALID_HANDLE, reactos returned STATUS_SUCCESS"
        );
        assert!(without_reason.more.contains("  reactos  returned  STATUS_SUCCESS\n"));

        let without_difference = surprise(judge(&reasoned, &comparison(&reasoned, same), None));
        assert_eq!(without_difference.line, 2);
        assert!(without_difference.more.contains("One of them is wrong."));
    }

    #[test]
    fn a_reason_speaks_of_the_cases_own_pair_only() {
        let reasoned = case("# differs: One of them is wrong.\n");
        let mut same = comparison(&reasoned, Status::INVALID_HANDLE);
        same.right = "reactos-r13089".to_owned();
        assert_eq!(judge(&reasoned, &same, Some(Path::new("nowhere"))), Verdict::Agrees);
        let mut other = comparison(&reasoned, Status::SUCCESS);
        other.right = "reactos-r13089".to_owned();
        assert_eq!(surprise(judge(&reasoned, &other, None)).line, 5);
    }

    #[test]
    fn a_golden_must_be_there_and_fit() {
        let case = case("");
        let comparison = comparison(&case, Status::INVALID_HANDLE);
        let folder = tempfile::tempdir().unwrap();
        let judge = || judge(&case, &comparison, Some(folder.path()));
        assert_eq!(surprise(judge()).what, "the case has no golden");

        std::fs::create_dir(folder.path().join("topic")).unwrap();
        let accept = |text: &str| {
            std::fs::write(folder.path().join("topic/x.snap"), format!("---\nsource: x\n---\n{text}"))
                .unwrap();
        };
        accept(&comparison.text());
        assert_eq!(judge(), Verdict::Agrees);
        accept(&comparison.text().replace("INVALID_HANDLE", "SUCCESS"));
        let differs = surprise(judge());
        assert_eq!((differs.line, differs.what.as_str()), (4, "the golden differs"));
        assert!(differs.more.contains("-  returned  STATUS_SUCCESS\n+  returned  STATUS_INVALID_HANDLE\n"));
        accept("process app\n");
        assert_eq!(surprise(judge()).line, 3);
    }
}
