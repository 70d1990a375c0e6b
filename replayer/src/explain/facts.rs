//! The facts in which two runs of a case differ: the smallest set at the first event that differs, what
//! follows from it, and what does not.

use contract::{Fact, Outcome};
use golden::{ComparedEvent, Comparison, Side};
use std::collections::{BTreeMap, BTreeSet};

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
    let stopped = facts.iter().any(stops_one);
    let states: BTreeSet<String> =
        facts.iter().filter(|fact| fact.property == "state").map(|fact| fact.subject.clone()).collect();
    let implied = |fact: &Differing| {
        let told = outcome && calls(&event.left, fact, &fact.left) && calls(&event.right, fact, &fact.right);
        let with_state = fact.property != "state" && states.contains(&fact.subject);
        let follows = stopped && fact.subject != "outcome" && !stops_one(fact);
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
/// differ. What came of an event follows if its line is about something that is not the same on both sides
/// any more: all of it where that is what it is done to, and if it is who does it the outcome, with all that
/// came of that where it differs. What only one kernel has set of a thing, which no view need show, may come
/// out whenever something is done to that and does not fail. And once only one of the systems runs nothing
/// can be compared any more. The last element is what was set aside at the end.
pub fn independent(comparison: &Comparison) -> (Vec<Parting>, Vec<Parting>) {
    let (mut partings, mut following) = (Vec::new(), Vec::new());
    let mut aside: BTreeSet<(String, String)> = BTreeSet::new();
    let mut set_by_one: BTreeSet<String> = BTreeSet::new();
    let mut processes: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, event) in comparison.events.iter().enumerate() {
        let facts = all(event);
        let keys: BTreeSet<(String, String)> =
            facts.iter().map(|fact| (fact.subject.clone(), fact.property.clone())).collect();
        // What agrees again counts again.
        aside.retain(|key| keys.contains(key));
        let stopped = facts.iter().any(stops_one) && aside.contains(&bugcheck());
        let tainted: BTreeSet<&str> = aside.iter().map(|(subject, _)| name_of(subject)).collect();
        let named = event.text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let line_tainted = named.into_iter().any(|word| tainted.contains(word));
        processes.extend(created(&event.text));
        let done_to = done_to(event, &processes);
        let (ours, theirs) = (worked(&event.left.outcome), worked(&event.right.outcome));
        let hidden = |name: &&str| (ours || theirs) && set_by_one.contains(*name);
        // What befalls a thread may be owed to its process, as by a debugger.
        let with_process = |name: &&str| {
            tainted.contains(name) || processes.get(name).is_some_and(|process| tainted.contains(process))
        };
        let target_tainted = done_to.iter().any(|name| with_process(name) || hidden(name));
        let outcome_follows = line_tainted && facts.iter().any(|fact| fact.subject == "outcome");
        let stateful = |subject: &str| aside.contains(&(subject.to_owned(), "state".to_owned()));
        let follows = |fact: &Differing| match fact.subject.as_str() {
            _ if stopped || target_tainted || outcome_follows => true,
            "outcome" => false,
            subject => {
                aside.contains(&(fact.subject.clone(), fact.property.clone()))
                    || stateful(subject)
                    || line_tainted && fact.property == "call"
            }
        };
        let (old, new): (Vec<Differing>, Vec<Differing>) = facts.into_iter().partition(follows);
        let new = smallest(event, new);
        if ours != theirs && sets(&event.text) {
            set_by_one.extend(done_to.into_iter().map(str::to_owned));
        }
        aside.extend(keys.into_iter().filter(|(subject, _)| subject != "outcome"));
        let parting = |facts: Vec<Differing>| Parting { event: index + 1, facts };
        if !new.is_empty() {
            partings.push(parting(new));
        }
        if !old.is_empty() {
            following.push(parting(old));
        }
    }
    // Who has stopped left behind whatever it was at work with.
    if comparison.events.last().is_none_or(|last| !all(last).iter().any(stops_one)) {
        partings.extend(left_behind(comparison));
    }
    (partings, following)
}

/// The fact that a system has stopped.
fn bugcheck() -> (String, String) {
    ("system".to_owned(), "bugcheck".to_owned())
}

/// Whether a fact says that one system has stopped and the other has not.
fn stops_one(fact: &Differing) -> bool {
    let stop = (fact.subject.clone(), fact.property.clone()) == bugcheck();
    stop && (fact.left == "none" || fact.right == "none")
}

/// The case's name of a subject of the view: `worker` of `thread worker`, and of `handle app:worker`.
fn name_of(subject: &str) -> &str {
    subject.rsplit([' ', ':']).next().unwrap_or_default()
}

/// The thread that a line of the scene creates, and its process.
fn created(text: &str) -> Option<(&str, &str)> {
    let mut words = text.split_whitespace();
    let name = words.next().filter(|word| *word == "thread").and_then(|_| words.next())?;
    Some((name, words.find_map(|word| word.strip_prefix("in="))?))
}

/// The things that an event's line does something to: those that its arguments name, of which a view tells.
/// The pseudo-handles `thread` and `self` mean the actor and its process.
fn done_to<'e>(event: &'e ComparedEvent, processes: &BTreeMap<&str, &'e str>) -> BTreeSet<&'e str> {
    let seen: BTreeSet<String> = [&event.left, &event.right]
        .into_iter()
        .flat_map(|side| side.view.facts())
        .map(|fact| name_of(&fact.subject).to_owned())
        .collect();
    let line = event.text.split_once(" = ").map_or(event.text.as_str(), |(_, line)| line);
    let mut words = line.split_whitespace();
    let actor = words.next().unwrap_or_default();
    let meant = |value: &'e str| match value {
        "thread" => Some(actor),
        "self" => processes.get(actor).copied(),
        name => Some(name),
    };
    let given = words.filter_map(|word| word.split_once('=')).filter_map(|(_, value)| meant(value));
    given.filter(|value| seen.contains(*value)).collect()
}

/// Whether an event sets something that need not show at once: it tells a service to set or to queue it, or
/// does what a driver does.
fn sets(text: &str) -> bool {
    let service = |word: &str| word.starts_with("NtSet") || word.starts_with("NtQueue");
    text.split_whitespace().any(|word| word == "driver" || service(word))
}

/// Whether an event took place and did not fail.
fn worked(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Returned { status, .. } => status.is_success(),
        Outcome::Unavailable { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{Bugcheck, ProcessView, Status, ThreadView, View};

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
    fn nothing_is_told_of_a_system_that_runs_on_alone() {
        let (ok, bad) = (Status::SUCCESS, Status::INVALID_HANDLE);
        let running = || side(ok, &[thread("main", "running", None)]);
        let mut stopped = side(ok, &[thread("main", "running", None)]);
        let stop = Bugcheck { code: 0x1E, name: String::new(), parameters: Default::default() };
        stopped.view.bugcheck = Some(stop);
        let mut later = stopped.clone();
        later.outcome = Outcome::Unavailable { why: "stopped".to_owned() };
        let mut alone = running();
        alone.view.threads.push(thread("worker", "running", None));
        let mut compared = comparison(vec![
            ("main A", running(), side(bad, &[thread("main", "running", None)])),
            ("main B", running(), stopped),
            ("main C", alone, later),
        ]);
        compared.left_behind.1 = vec![("pool KAPC".to_owned(), 1)];
        let (partings, following) = independent(&compared);
        let name = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&partings), [(1, name(&["outcome"])), (2, name(&["system bugcheck"]))]);
        assert_eq!(following.iter().map(|one| one.event).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_one_kernel_has_set_may_show_later() {
        let (ok, bad, worse) = (Status::SUCCESS, Status::NOT_IMPLEMENTED, Status::INVALID_HANDLE);
        let with = |status, worker, other| {
            side(status, &[thread("worker", worker, None), thread("other", other, None)])
        };
        let found = independent(&comparison(vec![
            ("main NtSetX thread=worker", with(ok, "running", "running"), with(bad, "running", "running")),
            // Nothing shows of it as yet; and that both fail is about something else.
            ("main B", with(ok, "running", "running"), with(ok, "running", "running")),
            ("main C thread=worker", with(bad, "running", "running"), with(worse, "running", "running")),
            ("main D thread=worker", with(ok, "waiting", "running"), with(ok, "running", "running")),
            ("main E thread=other", with(ok, "waiting", "waiting"), with(ok, "running", "running")),
        ]));
        let events = |partings: &[Parting]| partings.iter().map(|one| one.event).collect::<Vec<_>>();
        assert_eq!((events(&found.0), events(&found.1)), (vec![1, 3, 5], vec![4, 5]), "{found:?}");
    }

    #[test]
    fn what_is_done_to_a_thread_may_follow_from_what_its_process_differs_in() {
        let ok = Status::SUCCESS;
        let with = |debugged, worker| {
            let mut side = side(ok, &[thread("worker", worker, None)]);
            let (name, being_debugged) = ("app".to_owned(), debugged);
            side.view.processes =
                vec![ProcessView { name, terminated: false, exit_status: None, being_debugged }];
            side
        };
        for (line, new) in
            [("main X thread=worker", false), ("worker X thread=thread", false), ("worker X", true)]
        {
            let found = independent(&comparison(vec![
                ("thread worker in=app", with(false, "running"), with(false, "running")),
                ("main Debug process=app", with(true, "running"), with(false, "running")),
                (line, with(true, "waiting"), with(false, "running")),
            ]));
            let events: Vec<usize> = found.0.iter().map(|one| one.event).collect();
            assert_eq!(events, if new { vec![2, 3] } else { vec![2] }, "{line}: {found:?}");
        }
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
