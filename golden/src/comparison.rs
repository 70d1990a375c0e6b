//! Two runs of one case, event by event.

use contract::{Fact, Outcome, View};
use std::fmt;

/// What one kernel made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// What came of it, seen by the program that caused it.
    pub outcome: Outcome,
    /// What could be seen of the kernel afterwards.
    pub view: View,
}

/// An event of the case, and what each kernel made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedEvent {
    /// The line of the case's file, counted from 1.
    pub line: u32,
    /// The line's text, without its comment.
    pub text: String,
    /// The first kernel's side.
    pub left: Side,
    /// The second kernel's side.
    pub right: Side,
}

/// What a kernel left behind: kinds, and how many of each.
pub type LeftBehind = Vec<(String, u32)>;

/// Two runs of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The first kernel's name.
    pub left: String,
    /// The second kernel's name.
    pub right: String,
    /// What the case is about: its first comment.
    pub title: String,
    /// Why the kernels differ, where the case says that they do: the text after `# differs:`.
    pub reason: Option<String>,
    /// The events, in the case's order.
    pub events: Vec<ComparedEvent>,
    /// What each kernel left behind at the end: what is in use and belongs to nothing that lives, by kind.
    pub left_behind: (LeftBehind, LeftBehind),
}

/// The first thing that one kernel shows and the other does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The event, as an index into [`Comparison::events`].
    pub event: usize,
    /// Its line in the case's file, counted from 1.
    pub line: u32,
    /// What differs: `outcome`, `outcome eflags` when only that value does, or a subject and its
    /// property: `thread worker state`.
    pub what: String,
    /// The first kernel's value; `none` where it shows nothing.
    pub left: String,
    /// The second kernel's value; `none` where it shows nothing.
    pub right: String,
}

impl Comparison {
    /// Whether no program could tell the two kernels apart in this case.
    pub fn agrees(&self) -> bool {
        self.first_difference().is_none()
    }

    /// The first difference: of the first event that has one, the outcome if that differs, else the
    /// first fact of the view in the view's order.
    pub fn first_difference(&self) -> Option<Difference> {
        let found = self.events.iter().enumerate().find_map(|(event, compared)| {
            let (what, left, right) = compared.difference()?;
            Some(Difference { event, line: compared.line, what, left, right })
        });
        found.or_else(|| self.left_difference())
    }

    /// The first thing that only one kernel left behind, or that they left behind in different numbers.
    fn left_difference(&self) -> Option<Difference> {
        let (ours, theirs) = &self.left_behind;
        let (kind, _) = ours
            .iter()
            .find(|one| !theirs.contains(one))
            .or(theirs.iter().find(|one| !ours.contains(one)))?;
        let count = |list: &[(String, u32)]| {
            let found = list.iter().find(|(known, _)| known == kind);
            found.map_or_else(|| "none".to_owned(), |(_, count)| count.to_string())
        };
        let event = self.events.len().checked_sub(1)?;
        Some(Difference {
            event,
            line: self.events[event].line,
            what: format!("left behind {kind}"),
            left: count(ours),
            right: count(theirs),
        })
    }

    /// The golden: every event's line, and below it what changed; at the end what was left behind, if
    /// anything was.
    pub fn text(&self) -> String {
        let events: String = (0..self.events.len()).map(|index| self.event_text(index)).collect();
        events + &self.left_text()
    }

    /// The part of [`Comparison::text`] that tells what was left behind; empty when nothing was.
    pub fn left_text(&self) -> String {
        crate::text::left_behind(self)
    }

    /// The part of [`Comparison::text`] that tells of one event.
    ///
    /// # Panics
    /// When there is no such event.
    pub fn event_text(&self, index: usize) -> String {
        let before = index.checked_sub(1).map(|before| &self.events[before]);
        crate::text::event(self, before, &self.events[index])
    }
}

impl Comparison {
    /// The rows of [`Comparison::event_text`].
    ///
    /// # Panics
    /// When there is no such event.
    pub fn event_rows(&self, index: usize) -> Vec<crate::Told> {
        let before = index.checked_sub(1).map(|before| &self.events[before]);
        crate::text::told(before, &self.events[index])
    }
}

impl ComparedEvent {
    /// Whether both kernels made the same of it.
    pub fn agrees(&self) -> bool {
        self.difference().is_none()
    }

    /// What differs first, and both values.
    fn difference(&self) -> Option<(String, String, String)> {
        let (left, right) = (&self.left, &self.right);
        if left.outcome != right.outcome {
            return Some(value_difference(&left.outcome, &right.outcome).unwrap_or_else(|| {
                ("outcome".to_owned(), left.outcome.to_string(), right.outcome.to_string())
            }));
        }
        if left.view == right.view {
            return None;
        }
        let (ours, theirs) = (left.view.facts(), right.view.facts());
        let value = |facts: &[Fact], fact: &Fact| {
            let same = |other: &&Fact| other.subject == fact.subject && other.property == fact.property;
            facts.iter().find(same).map_or_else(|| "none".to_owned(), |fact| fact.value.clone())
        };
        let differing = |facts: &[Fact], others: &[Fact]| facts.iter().find(|f| !others.contains(f)).cloned();
        let kind = |fact: &Fact| crate::text::rank(fact.subject.split(' ').next().unwrap_or_default());
        // What is told first comes first, whichever kernel shows it: a stopped system before its threads.
        let both = [differing(&ours, &theirs), differing(&theirs, &ours)];
        let fact = both.into_iter().flatten().min_by_key(kind)?;
        let what = format!("{} {}", fact.subject, fact.property);
        Some((what, value(&ours, &fact), value(&theirs, &fact)))
    }
}

/// Of two outcomes that differ only in the values that were given back or seen: the first such value.
fn value_difference(left: &Outcome, right: &Outcome) -> Option<(String, String, String)> {
    let (ours, theirs) = match (left, right) {
        (Outcome::Seen { values: ours }, Outcome::Seen { values: theirs }) => (ours, theirs),
        (Outcome::Returned { status, values: ours }, Outcome::Returned { status: other, values: theirs })
            if status == other =>
        {
            (ours, theirs)
        }
        _ => return None,
    };
    let (name, _) = ours
        .iter()
        .find(|pair| !theirs.contains(pair))
        .or(theirs.iter().find(|pair| !ours.contains(pair)))?;
    let value = |values: &[(String, String)]| {
        let found = values.iter().find(|(known, _)| known == name);
        found.map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
    };
    Some((format!("outcome {name}"), value(ours), value(theirs)))
}

/// `line 9, outcome: returned STATUS_SUCCESS, against returned STATUS_INVALID_HANDLE`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "line {}, {}: {}, against {}", self.line, self.what, self.left, self.right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::{app, example, thread};
    use contract::Status;

    #[test]
    fn the_first_difference_is_the_outcome_and_then_the_view() {
        let mut comparison = example();
        let first = comparison.first_difference().unwrap();
        assert_eq!((first.event, first.line, first.what.as_str()), (4, 9, "outcome"));
        assert_eq!(first.left, "returned STATUS_SUCCESS");
        assert_eq!(first.right, "returned STATUS_INVALID_HANDLE");

        comparison.events[4].right.outcome = comparison.events[4].left.outcome.clone();
        comparison.events[4].right.view.threads[0].call =
            comparison.events[4].left.view.threads[0].call.clone();
        let first = comparison.first_difference().unwrap();
        assert_eq!((first.line, first.what.as_str()), (9, "thread worker state"));
        assert_eq!((first.left.as_str(), first.right.as_str()), ("terminated", "waiting"));
    }

    #[test]
    fn what_only_one_kernel_shows_is_a_difference_whichever_kernel_it_is() {
        let side = |threads: &[contract::ThreadView]| Side { outcome: Outcome::Done, view: app(threads) };
        let mut suspended = thread("main", "suspended");
        suspended.suspend_count = 1;
        let mut plain = suspended.clone();
        plain.suspend_count = 0;
        for (left, right, values) in
            [(&suspended, &plain, ("1", "none")), (&plain, &suspended, ("none", "1"))]
        {
            let event = ComparedEvent {
                line: 1,
                text: "run".to_owned(),
                left: side(std::slice::from_ref(left)),
                right: side(std::slice::from_ref(right)),
            };
            let (what, ours, theirs) = event.difference().unwrap();
            assert_eq!(what, "thread main suspend count");
            assert_eq!((ours.as_str(), theirs.as_str()), values);
        }
    }

    #[test]
    fn of_many_values_the_first_that_differs_is_told() {
        let seen = |pairs: &[(&str, &str)]| Outcome::Seen {
            values: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let told = |left: &Outcome, right: &Outcome| value_difference(left, right);
        let (plain, other) =
            (seen(&[("cs", "001B"), ("gs", "0000")]), seen(&[("cs", "001B"), ("gs", "0023")]));
        assert_eq!(told(&plain, &other), Some(("outcome gs".into(), "0000".into(), "0023".into())));
        let fewer = seen(&[("cs", "001B")]);
        assert_eq!(told(&fewer, &other), Some(("outcome gs".into(), "none".into(), "0023".into())));
        assert_eq!(told(&fewer, &Outcome::Waits), None);
    }

    #[test]
    fn a_stopped_system_is_told_before_its_threads() {
        let left = Side { outcome: Outcome::Done, view: app(&[thread("main", "running")]) };
        let mut right = Side { outcome: Outcome::Done, view: app(&[thread("main", "waiting")]) };
        right.view.bugcheck = Some(contract::Bugcheck {
            code: 0x1E,
            name: "KMODE_EXCEPTION_NOT_HANDLED".to_owned(),
            parameters: ["C0000005", "pointer", "00000001", "FFFFFD34"].map(str::to_owned),
        });
        let event = ComparedEvent { line: 1, text: "run".to_owned(), left, right };
        let (what, left, right) = event.difference().unwrap();
        assert_eq!((what.as_str(), left.as_str()), ("system bugcheck", "none"));
        assert!(right.starts_with("0000001E KMODE_EXCEPTION_NOT_HANDLED"));
    }

    #[test]
    fn equal_sides_agree() {
        let mut comparison = example();
        for event in &mut comparison.events {
            event.right = event.left.clone();
        }
        assert!(comparison.agrees());
        comparison.events[4].right.outcome =
            Outcome::Returned { status: Status::SUCCESS, values: vec![("previous".into(), "1".into())] };
        assert!(!comparison.agrees());
    }
}
