//! The text of one event: its line, its outcome, and what changed.
//!
//! ```text
//! main NtTerminateProcess process=NULL status=0xC000013A
//!   nt       returned  STATUS_SUCCESS
//!   reactos  returned  STATUS_INVALID_HANDLE
//!   nt       thread    worker  waiting -> terminated, exit status C000013A
//! ```
//!
//! The column of kernel names is there only in events in which something differs, and empty beside
//! what both kernels did. An outcome that says nothing (the scene was set, the call returned success
//! and no value) is left out where both kernels have it.

use crate::change::{self, About};
use crate::{ComparedEvent, Comparison, Side};
use contract::{Fact, Outcome, Status};

/// Least width of the column that says what a line is about.
const KIND: usize = 8;
/// Values of a call up to this many stand beside its status; more have a line each, so that one that
/// differs stands out.
const BESIDE: usize = 3;

/// Which kernels a row tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Both did the same.
    Both,
    /// The first kernel.
    Left,
    /// The second kernel.
    Right,
}

/// A row of an event's text: `thread  worker  waiting -> terminated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whose it is.
    pub by: By,
    /// What it is about: `returned`, `thread`.
    pub kind: String,
    /// The name of that; empty where there is none.
    pub name: String,
    /// What is told; may be empty.
    pub text: String,
}

/// A line below an event: of what kind, about which name, and what is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    kind: String,
    name: String,
    text: String,
}

/// One or two rows at the same place: what both kernels did, or what each did.
enum Merged {
    Both(Row),
    Left(Row),
    Right(Row),
}

/// The text of `event`, which follows `before`.
pub(crate) fn event(of: &Comparison, before: Option<&ComparedEvent>, event: &ComparedEvent) -> String {
    layout(of, &event.text, &merged(before, event))
}

/// What the text of `event` tells below its line, row by row.
pub(crate) fn told(before: Option<&ComparedEvent>, event: &ComparedEvent) -> Vec<Told> {
    let told = |by, row: Row| Told { by, kind: row.kind, name: row.name, text: row.text };
    let rows = merged(before, event).into_iter();
    rows.map(|row| match row {
        Merged::Both(row) => told(By::Both, row),
        Merged::Left(row) => told(By::Left, row),
        Merged::Right(row) => told(By::Right, row),
    })
    .collect()
}

fn merged(before: Option<&ComparedEvent>, event: &ComparedEvent) -> Vec<Merged> {
    let mut rows = outcomes(&event.left.outcome, &event.right.outcome);
    let caller = caller(&event.text);
    let left = changes(before.map(|event| &event.left), &event.left, caller);
    let right = changes(before.map(|event| &event.right), &event.right, caller);
    rows.extend(merge(left, right));
    rows
}

/// What was left behind at the end; nothing when nothing was.
pub(crate) fn left_behind(of: &Comparison) -> String {
    let rows = |list: &[(String, u32)]| -> Vec<Row> {
        let row = |(kind, count): &(String, u32)| Row {
            kind: kind.clone(),
            name: String::new(),
            text: count.to_string(),
        };
        list.iter().map(row).collect()
    };
    let rows = merge(rows(&of.left_behind.0), rows(&of.left_behind.1));
    if rows.is_empty() { String::new() } else { layout(of, "left behind", &rows) }
}

/// The thread that makes the call of an event's line, whose own call the outcome tells.
fn caller(text: &str) -> Option<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [_, "=", actor, ..] => Some(*actor),
        ["driver", words @ ..] => words.iter().find_map(|word| word.strip_prefix("thread=")),
        [actor, ..] => Some(*actor),
        [] => None,
    }
}

fn outcomes(left: &Outcome, right: &Outcome) -> Vec<Merged> {
    let silent = match left {
        Outcome::Done => true,
        Outcome::Returned { status, values } => *status == Status::SUCCESS && values.is_empty(),
        _ => false,
    };
    if silent && left == right {
        return Vec::new();
    }
    let many =
        |outcome: &Outcome| matches!(outcome, Outcome::Returned { values, .. } if values.len() > BESIDE);
    let apart = many(left) || many(right);
    merge(outcome_rows(left, apart), outcome_rows(right, apart))
}

fn outcome_rows(outcome: &Outcome, apart: bool) -> Vec<Row> {
    let row = |kind: &str, name: &str, text: &str| Row {
        kind: kind.to_owned(),
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let each = |kind: &str, values: &[(String, String)]| -> Vec<Row> {
        values.iter().map(|(name, value)| row(kind, name, value)).collect()
    };
    match outcome {
        Outcome::Returned { status, values } if apart => {
            let mut rows = vec![row("returned", "", &status.to_string())];
            rows.extend(each("value", values));
            rows
        }
        Outcome::Returned { status, values } => {
            let values: String = values.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            vec![row("returned", "", &format!("{status}{values}"))]
        }
        Outcome::Seen { values } => each("seen", values),
        other => vec![row(&other.to_string(), "", "")],
    }
}

/// What changed on one side, a row for each subject.
fn changes(before: Option<&Side>, after: &Side, caller: Option<&str>) -> Vec<Row> {
    let before = before.map(|side| side.view.facts()).unwrap_or_default();
    let after = after.view.facts();
    let mut subjects: Vec<&str> = Vec::new();
    for fact in after.iter().chain(&before) {
        if !subjects.contains(&fact.subject.as_str()) {
            subjects.push(&fact.subject);
        }
    }
    let row = |subject: &str| row_of(subject, &before, &after, caller);
    subjects.into_iter().filter_map(row).collect()
}

fn row_of(subject: &str, before: &[Fact], after: &[Fact], caller: Option<&str>) -> Option<Row> {
    // Names have no spaces; kinds may (`debug object`).
    let (kind, name) = subject.rsplit_once(' ').unwrap_or((subject, ""));
    let calls = kind == "thread" && Some(name) == caller;
    let text = change::line(&About::of(before, subject), &About::of(after, subject), calls)?;
    Some(Row { kind: kind.to_owned(), name: name.to_owned(), text })
}

/// The order in which kinds are told.
pub(crate) fn rank(kind: &str) -> u8 {
    match kind {
        "system" => 0,
        "process" => 1,
        "thread" => 2,
        "handle" => 4,
        _ => 3,
    }
}

/// Both sides in one order: the left's, with what only the right has behind its kind.
fn merge(left: Vec<Row>, right: Vec<Row>) -> Vec<Merged> {
    let same = |a: &Row, b: &Row| a.kind == b.kind && a.name == b.name;
    let mut places: Vec<&Row> = left.iter().collect();
    places.extend(right.iter().filter(|row| !left.iter().any(|other| same(row, other))));
    places.sort_by_key(|row| rank(&row.kind));
    let mut merged = Vec::new();
    for place in places {
        let find = |rows: &[Row]| rows.iter().find(|row| same(row, place)).cloned();
        match (find(&left), find(&right)) {
            (Some(ours), Some(theirs)) if ours == theirs => merged.push(Merged::Both(ours)),
            (ours, theirs) => {
                merged.extend(ours.map(Merged::Left));
                merged.extend(theirs.map(Merged::Right));
            }
        }
    }
    merged
}

fn layout(of: &Comparison, text: &str, rows: &[Merged]) -> String {
    let mut out = text.split_whitespace().collect::<Vec<_>>().join(" ");
    out.push('\n');
    let apart = rows.iter().any(|row| !matches!(row, Merged::Both(_)));
    let kernel = if apart { of.left.len().max(of.right.len()) } else { 0 };
    let row = |merged: &Merged| match merged {
        Merged::Both(row) => ("", row.clone()),
        Merged::Left(row) => (of.left.as_str(), row.clone()),
        Merged::Right(row) => (of.right.as_str(), row.clone()),
    };
    let names = rows.iter().map(|merged| row(merged).1.name.len()).max().unwrap_or(0);
    let told = rows.iter().map(|merged| row(merged).1).filter(|row| !row.text.is_empty());
    let kinds = told.map(|row| row.kind.len()).max().unwrap_or(0).max(KIND);
    for merged in rows {
        let (side, row) = row(merged);
        let mut line = String::from("  ");
        if apart {
            line.push_str(&format!("{side:kernel$}  "));
        }
        line.push_str(&format!("{:kinds$}  ", row.kind));
        if !row.name.is_empty() {
            line.push_str(&format!("{:names$}  ", row.name));
        }
        line.push_str(&row.text);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use contract::{Bugcheck, ObjectKind, ObjectView, ProcessView, ThreadView, View};

    pub(crate) fn thread(name: &str, state: &str) -> ThreadView {
        ThreadView {
            name: name.to_owned(),
            state: state.to_owned(),
            exit_status: (state == "terminated").then_some(Status::CONTROL_C_EXIT),
            suspend_count: 0,
            ran: vec!["entry".to_owned()],
            call: None,
        }
    }

    /// A view of the process `app` and of these threads.
    pub(crate) fn app(threads: &[ThreadView]) -> View {
        View {
            processes: vec![ProcessView {
                name: "app".to_owned(),
                terminated: false,
                exit_status: None,
                being_debugged: false,
            }],
            threads: threads.to_vec(),
            ..View::default()
        }
    }

    fn returned(status: Status) -> Outcome {
        Outcome::Returned { status, values: vec![] }
    }

    fn both(line: u32, text: &str, outcome: Outcome, view: View) -> ComparedEvent {
        let side = Side { outcome, view };
        ComparedEvent { line, text: text.to_owned(), left: side.clone(), right: side }
    }

    fn comparison(events: Vec<ComparedEvent>) -> Comparison {
        Comparison {
            left: "nt".to_owned(),
            right: "reactos".to_owned(),
            title: "A title.".to_owned(),
            reason: None,
            events,
            left_behind: (Vec::new(), Vec::new()),
        }
    }

    /// The case that the design shows, as the two kernels would run it.
    pub(crate) fn example() -> Comparison {
        let (main, worker) = (thread("main", "running"), thread("worker", "running"));
        let mut waiting = thread("worker", "waiting");
        waiting.call = Some("NtDelayExecution waits".to_owned());
        let mut dead = thread("worker", "terminated");
        dead.call = waiting.call.clone();
        let mut events = vec![
            both(4, "process app", Outcome::Done, app(&[])),
            both(5, "thread  main   in=app", Outcome::Done, app(std::slice::from_ref(&main))),
            both(6, "thread  worker in=app", Outcome::Done, app(&[main.clone(), worker])),
            both(
                8,
                "worker  NtDelayExecution    alertable=no interval=forever",
                Outcome::Waits,
                app(&[main.clone(), waiting.clone()]),
            ),
        ];
        let (mut ours, mut theirs) = (main.clone(), main);
        ours.call = Some("NtTerminateProcess returned STATUS_SUCCESS".to_owned());
        theirs.call = Some("NtTerminateProcess returned STATUS_INVALID_HANDLE".to_owned());
        events.push(ComparedEvent {
            line: 9,
            text: "main    NtTerminateProcess  process=NULL status=0xC000013A".to_owned(),
            left: Side { outcome: returned(Status::SUCCESS), view: app(&[ours, dead]) },
            right: Side { outcome: returned(Status::INVALID_HANDLE), view: app(&[theirs, waiting]) },
        });
        comparison(events)
    }

    #[test]
    fn a_golden_reads_like_a_story() {
        let expected = "\
process app
  process   app  alive
thread main in=app
  thread    main  running, ran entry
thread worker in=app
  thread    worker  running, ran entry
worker NtDelayExecution alertable=no interval=forever
  waits
  thread    worker  running -> waiting
main NtTerminateProcess process=NULL status=0xC000013A
  nt       returned  STATUS_SUCCESS
  reactos  returned  STATUS_INVALID_HANDLE
  nt       thread    worker  waiting -> terminated, exit status C000013A
";
        assert_eq!(example().text(), expected);
    }

    #[test]
    fn silent_outcomes_are_left_out_and_others_told() {
        let view = || app(&[]);
        let text = |outcome: Outcome| {
            let events = vec![both(1, "x", Outcome::Done, view()), both(2, "a B", outcome, view())];
            comparison(events).event_text(1)
        };
        let values = |count: usize| (0..count).map(|n| (format!("v{n}"), n.to_string())).collect();
        assert_eq!(text(returned(Status::SUCCESS)), "a B\n");
        assert_eq!(text(Outcome::Done), "a B\n");
        assert_eq!(text(returned(Status::TIMEOUT)), "a B\n  returned  STATUS_TIMEOUT\n");
        assert_eq!(
            text(Outcome::Returned { status: Status::SUCCESS, values: values(1) }),
            "a B\n  returned  STATUS_SUCCESS v0=0\n"
        );
        assert_eq!(
            text(Outcome::Returned { status: Status::SUCCESS, values: values(4) }),
            "a B\n  returned  STATUS_SUCCESS\n  value     v0  0\n  value     v1  1\n  value     v2  2\n  value     v3  3\n"
        );
        assert_eq!(text(Outcome::Unavailable { why: "waiting".into() }), "a B\n  unavailable: waiting\n");
        assert_eq!(text(Outcome::Ended), "a B\n  did not return\n");
    }

    #[test]
    fn of_many_values_only_the_differing_ones_are_told_twice() {
        let seen = |eip: &str| Outcome::Seen {
            values: vec![("eip".into(), eip.into()), ("eflags".into(), "00000202".into())],
        };
        let mut event = both(3, "look first-instruction thread=main", seen("entry"), app(&[]));
        event.right.outcome = seen("BaseProcessStart");
        let events = vec![both(1, "process app", Outcome::Done, app(&[])), event];
        let expected = "\
look first-instruction thread=main
  nt       seen      eip     entry
  reactos  seen      eip     BaseProcessStart
           seen      eflags  00000202
";
        assert_eq!(comparison(events).event_text(1), expected);
    }

    #[test]
    fn kinds_keep_their_order_and_names_their_column() {
        let left = app(&[thread("main", "running")]);
        let mut right = View {
            bugcheck: Some(Bugcheck {
                code: 0xF4,
                name: "CRITICAL_OBJECT_TERMINATION".to_owned(),
                parameters: ["00000003", "app", "pointer", "pointer"].map(str::to_owned),
            }),
            ..left.clone()
        };
        right.objects.push(ObjectView {
            name: "d".to_owned(),
            kind: ObjectKind::DebugObject,
            state: "signaled".to_owned(),
        });
        let mut left = left;
        left.handles.push(("app:h".to_owned(), true));
        let events = vec![
            both(1, "process app", Outcome::Done, app(&[thread("main", "running")])),
            ComparedEvent {
                line: 2,
                text: "h = main NtOpenProcess process=app".to_owned(),
                left: Side { outcome: Outcome::Ended, view: left },
                right: Side { outcome: Outcome::Ended, view: right },
            },
        ];
        let expected = "\
h = main NtOpenProcess process=app
           did not return
  reactos  system        bugcheck 000000F4 CRITICAL_OBJECT_TERMINATION (00000003, app, pointer, pointer)
  reactos  debug object  d      signaled
  nt       handle        app:h  open
";
        assert_eq!(comparison(events).event_text(1), expected);
    }

    #[test]
    fn what_was_left_behind_stands_at_the_end_and_is_compared() {
        let mut comparison = comparison(vec![both(1, "process app", Outcome::Done, app(&[]))]);
        let apc = ("pool TAPC".to_owned(), 1);
        comparison.left_behind = (vec![apc.clone()], vec![apc.clone()]);
        assert!(comparison.agrees());
        assert_eq!(comparison.text(), "process app\n  process   app  alive\nleft behind\n  pool TAPC  1\n");
        comparison.left_behind.0 = vec![("kernel stack".to_owned(), 2)];
        let expected = "left behind\n  nt       kernel stack  2\n  reactos  pool TAPC     1\n";
        assert!(comparison.text().ends_with(expected), "{}", comparison.text());
        let first = comparison.first_difference().unwrap();
        assert_eq!(
            (first.what.as_str(), first.left.as_str(), first.right.as_str()),
            ("left behind kernel stack", "2", "none")
        );
    }

    #[test]
    fn the_caller_is_found_in_every_form_of_line() {
        assert_eq!(caller("h = main NtOpenProcess"), Some("main"));
        assert_eq!(caller("main NtClose handle=h"), Some("main"));
        assert_eq!(caller("driver wait thread=t object=e"), Some("t"));
    }
}
