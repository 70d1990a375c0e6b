//! What happened to one subject of a view: its changed properties in one line.

use contract::Fact;

/// The facts of one view that are about one subject.
pub(crate) struct About<'a>(Vec<&'a Fact>);

impl<'a> About<'a> {
    /// Those of `facts` that are about `subject`.
    pub(crate) fn of(facts: &'a [Fact], subject: &str) -> About<'a> {
        About(facts.iter().filter(|fact| fact.subject == subject).collect())
    }

    fn value(&self, property: &str) -> Option<&'a str> {
        self.0.iter().find(|fact| fact.property == property).map(|fact| fact.value.as_str())
    }
}

/// What happened between two views: `waiting -> terminated, exit status C000013A`. None when nothing
/// did. With `caller`, the subject's own call is left out: the event's outcome has told it.
pub(crate) fn line(before: &About, after: &About, caller: bool) -> Option<String> {
    if after.0.is_empty() {
        return (!before.0.is_empty()).then(|| "gone".to_owned());
    }
    let gone = before.0.iter().filter(|fact| after.value(&fact.property).is_none());
    let properties = after.0.iter().chain(gone).map(|fact| fact.property.as_str());
    let ended = after.value("state") == Some("terminated");
    let pieces: Vec<String> = properties
        .filter(|property| !(caller && *property == "call"))
        .filter(|property| !(ended && ends_with_its_thread(property, after)))
        .filter_map(|property| piece(property, before.value(property), after.value(property)))
        .collect();
    (!pieces.is_empty()).then(|| pieces.join(", "))
}

/// What goes without saying when a thread has ended: its suspend count is gone, and the call that it
/// was in did not return.
fn ends_with_its_thread(property: &str, after: &About) -> bool {
    match property {
        "suspend count" => true,
        "call" => after.value("call").is_some_and(|call| call.ends_with(" did not return")),
        _ => false,
    }
}

/// What happened to one property.
fn piece(property: &str, before: Option<&str>, after: Option<&str>) -> Option<String> {
    if before == after {
        return None;
    }
    Some(match (property, before, after) {
        ("state", None, Some(after)) => after.to_owned(),
        ("state", Some(before), Some(after)) => format!("{before} -> {after}"),
        ("being debugged", _, Some(_)) => "being debugged".to_owned(),
        ("being debugged", _, None) => "no longer being debugged".to_owned(),
        ("suspend count", _, _) => {
            format!("suspend count {} -> {}", before.unwrap_or("0"), after.unwrap_or("0"))
        }
        // A list that only grows: what was added.
        ("ran", before, Some(after)) => format!("ran {}", added(before.unwrap_or_default(), after)),
        // The call's own words say what became of it.
        ("call", _, Some(after)) => after.to_owned(),
        (_, None, Some(after)) => format!("{property} {after}"),
        (_, before, after) => {
            format!("{property} {} -> {}", before.unwrap_or("none"), after.unwrap_or("none"))
        }
    })
}

fn added<'a>(before: &str, after: &'a str) -> &'a str {
    match after.strip_prefix(before) {
        Some(rest) if !before.is_empty() => rest.strip_prefix(", ").unwrap_or(after),
        _ => after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Vec<Fact> {
        pairs
            .iter()
            .map(|(property, value)| Fact {
                subject: "thread t".to_owned(),
                property: (*property).to_owned(),
                value: (*value).to_owned(),
            })
            .collect()
    }

    #[track_caller]
    fn check(before: &[(&str, &str)], after: &[(&str, &str)], expected: &str) {
        let (before, after) = (facts(before), facts(after));
        let line = line(&About::of(&before, "thread t"), &About::of(&after, "thread t"), false);
        assert_eq!(line.unwrap_or_default(), expected);
    }

    #[test]
    fn changed_properties_stand_in_one_line() {
        check(&[("state", "waiting")], &[("state", "waiting")], "");
        check(&[], &[("state", "running"), ("ran", "entry")], "running, ran entry");
        check(
            &[("state", "waiting")],
            &[("state", "terminated"), ("exit status", "C000013A")],
            "waiting -> terminated, exit status C000013A",
        );
        check(&[("state", "running")], &[], "gone");
        check(
            &[("state", "running")],
            &[("state", "suspended"), ("suspend count", "1")],
            "running -> suspended, suspend count 0 -> 1",
        );
        check(
            &[("state", "suspended"), ("suspend count", "2")],
            &[("state", "running")],
            "suspended -> running, suspend count 2 -> 0",
        );
        check(
            &[("state", "suspended"), ("suspend count", "2")],
            &[("state", "terminated"), ("exit status", "00000000")],
            "suspended -> terminated, exit status 00000000",
        );
        check(
            &[("state", "waiting"), ("call", "NtDelayExecution waits")],
            &[("state", "terminated"), ("call", "NtDelayExecution did not return")],
            "waiting -> terminated",
        );
        check(
            &[("state", "waiting"), ("call", "driver wait waits")],
            &[("state", "waiting"), ("call", "driver wait did not return")],
            "driver wait did not return",
        );
        check(&[("state", "alive")], &[("state", "alive"), ("being debugged", "yes")], "being debugged");
        check(&[("being debugged", "yes"), ("x", "1")], &[("x", "1")], "no longer being debugged");
        check(&[], &[("bugcheck", "000000F4 NAME (1, 2)")], "bugcheck 000000F4 NAME (1, 2)");
    }

    #[test]
    fn a_list_of_code_that_ran_shows_what_was_added() {
        check(&[("ran", "entry")], &[("ran", "entry, apc 5")], "ran apc 5");
        check(&[("ran", "entry, apc 5")], &[("ran", "entry, apc 5, apc 5")], "ran apc 5");
        check(&[("ran", "apc 1")], &[("ran", "apc 12")], "ran apc 12");
    }

    #[test]
    fn a_call_is_told_for_others_and_left_out_for_the_caller() {
        let before = facts(&[("call", "NtDelayExecution waits")]);
        let after = facts(&[("call", "NtDelayExecution returned STATUS_ALERTED")]);
        let (before, after) = (About::of(&before, "thread t"), About::of(&after, "thread t"));
        let told = line(&before, &after, false);
        assert_eq!(told.as_deref(), Some("NtDelayExecution returned STATUS_ALERTED"));
        assert_eq!(line(&before, &after, true), None);
    }
}
