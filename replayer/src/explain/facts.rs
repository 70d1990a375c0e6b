//! The facts in which two runs of a case differ: the smallest set at the first event that differs, what
//! follows from it, and what does not.

use contract::{Fact, Outcome};
use golden::{ComparedEvent, Comparison, Side};
use std::collections::BTreeSet;

/// A fact that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// What it is of: `outcome`, or a subject of the view: `thread worker`.
    pub subject: String,
    /// The property: `state`; of an outcome the value's name (`previous`), empty where the outcomes differ as a
    /// whole.
    pub property: String,
    /// The first kernel's value; `none` where it shows nothing.
    pub left: String,
    /// The second kernel's value; `none` where it shows nothing.
    pub right: String,
}

impl Differing {
    /// The fact's name: `thread worker state`.
    pub fn name(&self) -> String {
        format!("{} {}", self.subject, self.property).trim_end().to_owned()
    }
}

/// An event with facts that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The event, counted from 1.
    pub event: usize,
    /// The facts.
    pub facts: Vec<Differing>,
}

/// Everything that differs after an event, in the view's order, the outcome first.
pub fn all(event: &ComparedEvent) -> Vec<Differing> {
    let (left, right) = (&event.left, &event.right);
    let mut found = outcomes(&left.outcome, &right.outcome);
    let (ours, theirs) = (left.view.facts(), right.view.facts());
    let key = |fact: &Fact| (fact.subject.clone(), fact.property.clone());
    let value = |facts: &[Fact], wanted: &Fact| {
        let same = facts.iter().find(|fact| key(fact) == key(wanted));
        same.map_or_else(|| "none".to_owned(), |fact| fact.value.clone())
    };
    let only = theirs.iter().filter(|fact| !ours.iter().any(|other| key(other) == key(fact)));
    for fact in ours.iter().chain(only) {
        let (left, right) = (value(&ours, fact), value(&theirs, fact));
        if left != right {
            let Fact { subject, property, .. } = fact.clone();
            found.push(Differing { subject, property, left, right });
        }
    }
    found
}

/// What two outcomes differ in: only the values, where they are of one kind and status.
fn outcomes(left: &Outcome, right: &Outcome) -> Vec<Differing> {
    let differing = |property: &str, left: String, right: String| {
        let (subject, property) = ("outcome".to_owned(), property.to_owned());
        (left != right).then_some(Differing { subject, property, left, right })
    };
    let (ours, theirs) = match (left, right) {
        (Outcome::Seen { values: ours }, Outcome::Seen { values: theirs }) => (ours, theirs),
        (
            Outcome::Returned { status: one, values: ours },
            Outcome::Returned { status: other, values: theirs },
        ) if one == other => (ours, theirs),
        _ => return differing("", left.to_string(), right.to_string()).into_iter().collect(),
    };
    let value = |values: &[(String, String)], name: &str| {
        let same = values.iter().find(|(known, _)| known == name);
        same.map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
    };
    let only = theirs.iter().filter(|(name, _)| !ours.iter().any(|(known, _)| known == name));
    let names = ours.iter().chain(only).map(|(name, _)| name);
    names.filter_map(|name| differing(name, value(ours, name), value(theirs, name))).collect()
}

/// The facts without those that say again what another one says: the caller's own call beside the
/// outcome, properties that only a thread or process in one of two differing states has, and beside a system
/// that has stopped on one side everything but the outcome.
pub fn smallest(event: &ComparedEvent, facts: Vec<Differing>) -> Vec<Differing> {
    // What could not take place left the call that the thread had made before.
    let calls = |side: &Side, fact: &Differing, value: &str| {
        let told = matches!(side.outcome, Outcome::Unavailable { .. });
        fact.property == "call" && (told || value.ends_with(&side.outcome.to_string()))
    };
    let outcome = facts.iter().any(|fact| fact.subject == "outcome");
    let stop = |fact: &Differing| {
        fact.subject == "system"
            && fact.property == "bugcheck"
            && (fact.left == "none" || fact.right == "none")
    };
    let stopped = facts.iter().any(stop);
    let states: BTreeSet<String> =
        facts.iter().filter(|fact| fact.property == "state").map(|fact| fact.subject.clone()).collect();
    let implied = |fact: &Differing| {
        let told = outcome && calls(&event.left, fact, &fact.left) && calls(&event.right, fact, &fact.right);
        let with_state = fact.property != "state" && states.contains(&fact.subject);
        let follows = stopped && fact.subject != "outcome" && !stop(fact);
        told || follows
            || with_state && (fact.left == "none" || fact.right == "none" || fact.property == "call")
    };
    facts.into_iter().filter(|fact| !implied(fact)).collect()
}

/// The first event with differing facts, and the smallest set of them; what was left behind counts with
/// the last event. None when all agree.
pub fn first(comparison: &Comparison) -> Option<Parting> {
    let found = comparison.events.iter().enumerate().find_map(|(index, event)| {
        let facts = all(event);
        (!facts.is_empty()).then(|| Parting { event: index + 1, facts: smallest(event, facts) })
    });
    found.or_else(|| left_behind(comparison))
}

/// What only one kernel left behind, or both in different numbers.
fn left_behind(comparison: &Comparison) -> Option<Parting> {
    let (ours, theirs) = &comparison.left_behind;
    let count = |list: &[(String, u32)], kind: &str| {
        let found = list.iter().find(|(known, _)| known == kind);
        found.map_or_else(|| "none".to_owned(), |(_, count)| count.to_string())
    };
    let only = theirs.iter().filter(|(kind, _)| !ours.iter().any(|(known, _)| known == kind));
    let differing = |(kind, _): &(String, u32)| {
        let (left, right) = (count(ours, kind), count(theirs, kind));
        (left != right).then(|| Differing {
            subject: "left behind".to_owned(),
            property: kind.clone(),
            left,
            right,
        })
    };
    let facts: Vec<Differing> = ours.iter().chain(only).filter_map(differing).collect();
    (!facts.is_empty()).then_some(Parting { event: comparison.events.len(), facts })
}

/// The differences that do not follow from earlier ones, in order: facts that differ are set aside by
/// their names from then on (with all other facts of a thing whose state differs) for as long as they
/// differ, and so is the outcome of an event whose line names a thing with facts set aside: where it differs,
/// so does all that came of it. The last element is what was set aside at the end.
pub fn independent(comparison: &Comparison) -> (Vec<Parting>, Vec<Parting>) {
    let (mut partings, mut following) = (Vec::new(), Vec::new());
    let mut aside: BTreeSet<(String, String)> = BTreeSet::new();
    for (index, event) in comparison.events.iter().enumerate() {
        let facts = all(event);
        let keys: BTreeSet<(String, String)> =
            facts.iter().map(|fact| (fact.subject.clone(), fact.property.clone())).collect();
        // What agrees again counts again.
        aside.retain(|key| keys.contains(key));
        let tainted: BTreeSet<&str> =
            aside.iter().map(|(subject, _)| subject.rsplit([' ', ':']).next().unwrap_or_default()).collect();
        let named = event.text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let line_tainted = named.into_iter().any(|word| tainted.contains(word));
        let outcome_follows = line_tainted && facts.iter().any(|fact| fact.subject == "outcome");
        let stateful = |subject: &str| aside.contains(&(subject.to_owned(), "state".to_owned()));
        let follows = |fact: &Differing| match fact.subject.as_str() {
            _ if outcome_follows => true,
            "outcome" => false,
            subject => {
                aside.contains(&(fact.subject.clone(), fact.property.clone()))
                    || stateful(subject)
                    || line_tainted && fact.property == "call"
            }
        };
        let (old, new): (Vec<Differing>, Vec<Differing>) = facts.into_iter().partition(follows);
        let new = smallest(event, new);
        aside.extend(keys.into_iter().filter(|(subject, _)| subject != "outcome"));
        let parting = |facts: Vec<Differing>| Parting { event: index + 1, facts };
        if !new.is_empty() {
            partings.push(parting(new));
        }
        if !old.is_empty() {
            following.push(parting(old));
        }
    }
    partings.extend(left_behind(comparison));
    (partings, following)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{Bugcheck, Status, ThreadView, View};

    fn thread(name: &str, state: &str, call: Option<&str>) -> ThreadView {
        ThreadView {
            name: name.to_owned(),
            state: state.to_owned(),
            exit_status: (state == "terminated").then_some(Status::CONTROL_C_EXIT),
            suspend_count: 0,
            ran: Vec::new(),
            call: call.map(str::to_owned),
        }
    }

    fn side(status: Status, threads: &[ThreadView]) -> Side {
        let outcome = Outcome::Returned { status, values: Vec::new() };
        Side { outcome, view: View { threads: threads.to_vec(), ..View::default() } }
    }

    fn comparison(events: Vec<(&str, Side, Side)>) -> Comparison {
        let event = |(line, (text, left, right)): (usize, (&str, Side, Side))| ComparedEvent {
            line: line as u32 + 1,
            text: text.to_owned(),
            left,
            right,
        };
        Comparison {
            left: "nt".to_owned(),
            right: "reactos".to_owned(),
            title: "A title.".to_owned(),
            reason: None,
            left_behind: Default::default(),
            events: events.into_iter().enumerate().map(event).collect(),
        }
    }

    fn names(partings: &[Parting]) -> Vec<(usize, Vec<String>)> {
        partings.iter().map(|one| (one.event, one.facts.iter().map(Differing::name).collect())).collect()
    }

    #[test]
    fn the_smallest_set_leaves_out_what_goes_without_saying() {
        let (ok, bad) = (Status::SUCCESS, Status::INVALID_HANDLE);
        let left = side(
            ok,
            &[
                thread("main", "running", Some("NtClose returned STATUS_SUCCESS")),
                thread("worker", "terminated", None),
            ],
        );
        let right = side(
            bad,
            &[
                thread("main", "running", Some("NtClose returned STATUS_INVALID_HANDLE")),
                thread("worker", "waiting", Some("x waits")),
            ],
        );
        let found = first(&comparison(vec![
            ("main NtClose", left.clone(), left.clone()),
            ("main NtClose", left, right),
        ]));
        let expected = vec!["outcome".to_owned(), "thread worker state".to_owned()];
        assert_eq!(names(&[found.unwrap()]), [(2, expected)]);
        let mut right = side(ok, &[thread("main", "waiting", None)]);
        let stop = Bugcheck {
            code: 0x1E,
            name: "KMODE_EXCEPTION_NOT_HANDLED".to_owned(),
            parameters: Default::default(),
        };
        right.view.bugcheck = Some(stop);
        let found =
            first(&comparison(vec![("main NtClose", side(ok, &[thread("main", "running", None)]), right)]));
        assert_eq!(names(&[found.unwrap()]), [(1, vec!["system bugcheck".to_owned()])]);
    }

    #[test]
    fn what_follows_from_a_difference_is_set_aside_until_it_agrees_again() {
        let (ok, bad) = (Status::SUCCESS, Status::INVALID_HANDLE);
        let threads =
            |worker: &str, other: &str| [thread("worker", worker, None), thread("other", other, None)];
        let with = |status, worker, other| side(status, &threads(worker, other));
        let found = independent(&comparison(vec![
            ("worker A", with(ok, "waiting", "running"), with(ok, "running", "running")),
            // The worker's own outcome follows; the other one's does not.
            ("worker B", with(ok, "waiting", "running"), with(bad, "running", "running")),
            ("other C", with(ok, "waiting", "running"), with(bad, "running", "running")),
            ("other D", with(ok, "running", "waiting"), with(ok, "running", "running")),
            // The worker had agreed meanwhile.
            ("worker E", with(ok, "waiting", "running"), with(ok, "running", "running")),
            // So does what came of a call that went another way.
            ("worker F", with(ok, "waiting", "waiting"), with(bad, "running", "running")),
        ]));
        let name = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            names(&found.0),
            [
                (1, name(&["thread worker state"])),
                (3, name(&["outcome"])),
                (4, name(&["thread other state"])),
                (5, name(&["thread worker state"])),
            ]
        );
        assert_eq!(
            names(&found.1),
            [
                (2, name(&["outcome", "thread worker state"])),
                (3, name(&["thread worker state"])),
                (6, name(&["outcome", "thread worker state", "thread other state"])),
            ]
        );
    }

    #[test]
    fn of_outcomes_of_one_kind_only_the_values_that_differ_are_told() {
        let seen = |eax: &str| Outcome::Seen {
            values: vec![("eip".to_owned(), "entry".to_owned()), ("eax".to_owned(), eax.to_owned())],
        };
        let names = |left: &Outcome, right: &Outcome| {
            outcomes(left, right).iter().map(Differing::name).collect::<Vec<_>>()
        };
        assert_eq!(names(&seen("1"), &seen("2")), ["outcome eax"]);
        assert_eq!(names(&seen("1"), &seen("1")), [""; 0]);
        let returned = |status, values: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            Outcome::Returned { status, values: values.iter().map(pair).collect() }
        };
        let (ok, bad) = (Status::SUCCESS, Status::INVALID_HANDLE);
        assert_eq!(names(&returned(ok, &[]), &returned(ok, &[("previous", "0")])), ["outcome previous"]);
        assert_eq!(names(&returned(ok, &[]), &returned(bad, &[("previous", "0")])), ["outcome"]);
        assert_eq!(names(&seen("1"), &returned(ok, &[])), ["outcome"]);
    }
}
