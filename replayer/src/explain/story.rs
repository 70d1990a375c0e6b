//! What a kernel did in an event: its calls, the fields that changed, and where its thread stood when it
//! was decided, with its stacks and the code that led there.

use super::facts::{Differing, Parting};
use super::stack::{self, Stack};
use super::{Call, End, FieldChange, Interrupts, Names, Row, fields, rows, told_calls};
use crate::Compared;
use crate::batch::both;
use contract::{Fact, Kernel, ObjectId, Outcome};
use machine::{Machine, Va};
use recorder::{Player, Recording, SeekError};

/// Instructions that are shown before the instant, at most.
const BEFORE: u64 = 8;
/// Instructions that are shown from there on.
const BEHIND: usize = 3;

/// What a kernel did in an event.
#[derive(Clone, Debug)]
pub struct Story {
    /// The kernel's name.
    pub kernel: String,
    /// The lines of its call trace.
    pub rows: Vec<Row>,
    /// What changed, by structure and field.
    pub fields: Vec<FieldChange>,
    /// The instant at which it was decided: instructions into the event.
    pub instant: u64,
    /// What happened then, in words.
    pub what: String,
    /// The thread whose stacks these are.
    pub thread: String,
    /// Its stacks at that instant.
    pub stacks: Vec<Stack>,
    /// The last instructions up to then, in the order in which they were executed.
    pub code: Vec<CodeLine>,
    /// The code that comes next.
    pub next: Vec<CodeLine>,
}

/// An instruction, or a stage of a native routine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeLine {
    /// Where it lies.
    pub at: Va,
    /// The same as a symbol.
    pub symbol: String,
    /// Its text; for a native routine `native`.
    pub text: String,
}

/// Tells what a kernel did in an event (counted from 1; 0 is booting) of which `facts` are what matters. Of
/// the interrupts given, those that did nothing but take time decide nothing; with `fold` the trace folds them.
///
/// The instant shown is that at which the first fact came to be, where that is no outcome and the event
/// changed it; and where a call did not return because the system stopped, that of the stop. Else it is where
/// the event's outcome came from: for a status, the end of the innermost call that returned it first; else the
/// end of the call that the line names, of the first service that the acting thread called, or of its last
/// routine; and where it called none, the end of the event.
///
/// # Errors
/// [`SeekError`].
pub fn story(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    event: usize,
    facts: &[Differing],
    interrupts: &Interrupts,
    fold: bool,
) -> Result<Story, SeekError> {
    let before = Player::at(recording, kernel, event, 0)?;
    let record = before.event();
    let names = Names::new(kernel, &record.machine, &record.named);
    let (names, calls) = told_calls(recording, kernel, event, names);
    let init = kernel.scene(&record.machine).thread;
    let actor = actor(&record.text, &record.named, init).or(calls.last().map(|call| call.thread));
    let start = before.machine().retired;
    let stopped = || kernel.view(&record.machine, &record.named).bugcheck.is_some();
    let stop = facts.iter().find(|fact| fact.subject == "system");
    let fact = match record.outcome {
        Outcome::Ended if stop.is_some() && stopped() => stop,
        _ => facts.first().filter(|fact| fact.subject != "outcome"),
    };
    let came = fact.map(|fact| came_to_be(kernel, &before, fact)).transpose()?.flatten();
    let (decisive, until) = match came {
        Some((at, thread)) => {
            let in_it = |call: &&Call| call.at <= at && call.until.is_none_or(|end| end > at);
            let own = calls.iter().filter(|call| Some(call.thread) == thread && in_it(call));
            (own.max_by_key(|call| call.depth), at + 1)
        }
        None => {
            // An interrupt that did nothing but take time decided nothing.
            let idle = |call: &Call| {
                let within = interrupts.at(call.thread, call.at).filter(|stretch| stretch.plain);
                within.is_some_and(|one| !interrupts.unfolds(one.interrupt, one.thread, start))
            };
            let own: Vec<&Call> = calls
                .iter()
                .filter(|call| actor.is_none_or(|actor| call.thread == actor) && !idle(call))
                .collect();
            let decisive = decisive(kernel, &own, &record.outcome, &record.text);
            (decisive, decisive.and_then(|call| call.until).unwrap_or(record.end()).min(record.end()))
        }
    };
    let instant = until.saturating_sub(start);
    let mut player = before.clone();
    player.forward(instant.saturating_sub(BEFORE))?;
    let mut code = Vec::new();
    while player.offset() < instant {
        code.push(line(kernel, player.machine(), player.machine().cpu.next()));
        player.forward(1)?;
    }
    let machine = player.machine();
    let thread = decisive.map(|call| call.thread).or(actor).unwrap_or_else(|| kernel.current(machine));
    let none = Interrupts::default();
    let status = kernel.threads(machine).into_iter().find(|status| status.id == thread);
    let mut there = Names::new(kernel, machine, &record.named);
    there.blocks.clone_from(&names.blocks);
    let stacks = status.map(|status| stack::stacks(&there, machine, &status)).unwrap_or_default();
    Ok(Story {
        kernel: recording.header.kernel.clone(),
        rows: rows(&names, &calls, if fold { interrupts } else { &none }),
        fields: fields::differing(kernel, &record.named, before.machine(), &record.machine),
        instant,
        what: decisive.map_or_else(|| "the end of the event".to_owned(), |call| call.text(&names)),
        thread: names.object(thread),
        stacks,
        next: listing(kernel, machine, machine.cpu.next(), BEHIND),
        code,
    })
}

/// The instant of the native routine's stage that gave a fact of the view the value that it has at the
/// event's end, and the thread that was at work; none when it had that before, or was given it by something
/// else.
fn came_to_be(
    kernel: &'static dyn Kernel,
    before: &Player,
    fact: &Differing,
) -> Result<Option<(u64, Option<ObjectId>)>, SeekError> {
    let record = before.event();
    let is_fact = |one: &Fact| one.subject == fact.subject && one.property == fact.property;
    let value = |m: &Machine| kernel.view(m, &record.named).facts().into_iter().find(is_fact);
    let last = value(&record.machine);
    let has_it = |at: u64| -> Result<bool, SeekError> {
        let mut player = before.clone();
        player.forward(at.saturating_sub(before.machine().retired))?;
        Ok(value(player.machine()) == last)
    };
    // Between a stage after which it is another and one after which it is not there is one that changed it.
    let (mut low, mut high) = (0, record.trace.len());
    if high == 0 || value(before.machine()) == last || !has_it(record.trace[high - 1].at + 1)? {
        return Ok(None);
    }
    while low < high {
        let middle = low.midpoint(high);
        match has_it(record.trace[middle].at + 1)? {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    let of = |thread: u16| record.threads.get(usize::from(thread)).copied();
    Ok(record.trace.get(low).map(|step| (step.at, of(step.thread))))
}

/// Tells what both kernels did in the events in which a case parts (in ascending order), the first one's
/// stories and the second one's. With `fold`, interrupts that did nothing but take time are folded.
///
/// # Errors
/// [`SeekError`].
pub fn stories(
    compared: &Compared,
    kernels: (&'static dyn Kernel, &'static dyn Kernel),
    partings: &[Parting],
    fold: bool,
) -> Result<(Vec<Story>, Vec<Story>), SeekError> {
    let side = |recording, kernel| -> Result<Vec<Story>, SeekError> {
        let interrupts = match (partings.first(), partings.last()) {
            (Some(first), Some(last)) => Interrupts::of(recording, kernel, first.event..=last.event),
            _ => Interrupts::default(),
        };
        let of =
            |parting: &Parting| story(recording, kernel, parting.event, &parting.facts, &interrupts, fold);
        partings.iter().map(of).collect()
    };
    let (left, right) = (|| side(&compared.left, kernels.0), || side(&compared.right, kernels.1));
    let (ours, theirs) = both(left, right);
    Ok((ours?, theirs?))
}

/// The thread that a line is about: the first of its words that is a thread's name, or `init`, which is
/// there before any case names something, and sets the scene.
fn actor(text: &str, named: &[contract::Named], init: ObjectId) -> Option<ObjectId> {
    if text.starts_with("process ") || text.starts_with("thread ") {
        return Some(init);
    }
    let words = text.split(|c: char| c.is_whitespace() || c == '=');
    let thread = |word: &str| {
        let named = named.iter().find(|named| named.name == word);
        let thread = named.filter(|named| named.kind == contract::ObjectKind::Thread).map(|named| named.id);
        thread.or((word == "init").then_some(init))
    };
    words.into_iter().find_map(thread)
}

/// The call of the acting thread that decided an event's outcome.
fn decisive<'c>(kernel: &dyn Kernel, own: &[&'c Call], outcome: &Outcome, text: &str) -> Option<&'c Call> {
    let own = || own.iter().copied();
    if let Outcome::Returned { status, .. } = outcome
        && !status.is_success()
    {
        // Of those that returned it, the one that ended first is where it came from.
        let returned = own().filter(|call| call.end == End::Returned(status.0));
        if let Some(first) = returned.min_by_key(|call| call.until) {
            return Some(first);
        }
    }
    let ended = || own().filter(|call| call.until.is_some());
    let named = ended().find(|call| text.split_whitespace().any(|word| word == call.routine));
    let service = || ended().find(|call| kernel.image().services.contains_key(call.routine.as_str()));
    named.or_else(service).or_else(|| ended().max_by_key(|call| call.until))
}

/// The line of code at an address.
pub fn line(kernel: &dyn Kernel, m: &Machine, at: Va) -> CodeLine {
    let line = CodeLine { at, symbol: super::symbol(kernel, at), text: "(not mapped)".to_owned() };
    listing(kernel, m, at, 1).pop().unwrap_or(line)
}

/// So many lines of code from an address on, but only one of a native routine; none where there is no
/// memory.
pub fn listing(kernel: &dyn Kernel, m: &Machine, at: Va, count: usize) -> Vec<CodeLine> {
    let line = |(at, text)| CodeLine { at, symbol: super::symbol(kernel, at), text };
    match kernel.image().routine(at) {
        Some(_) => vec![line((at, "native".to_owned()))],
        None => m.disassemble(m.cpu.cr3, at, count).into_iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_calls_was_decided_in_inits_call() {
        let text = "# A case.\nprocess app\nthread main in=app\n\
                    init NtSetInformationProcess process=app class=BreakOnTermination value=1\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let story = story(&recording, kernel, 3, &[], &Interrupts::default(), true).unwrap();
            assert!(story.what.starts_with("NtSetInformationProcess("), "{name}: {}", story.what);
            assert_eq!(story.thread, "init", "{name}");
        }
    }

    fn told(name: &str, events: &str, event: usize, facts: &[&str]) -> (Story, u64) {
        let text = format!("# A case.\nprocess app\nthread main in=app\n{events}");
        let case = recorder::Case::parse("x", "x", &text).unwrap();
        let kernel = recorder::kernels::by_name(name).unwrap();
        let recording = recorder::record(&case, kernel).unwrap();
        let fact = |name: &&str| {
            let (subject, property) = name.split_once(' ').unwrap_or((name, ""));
            let [subject, property, left, right] = [subject, property, "a", "b"].map(str::to_owned);
            Differing { subject, property, left, right }
        };
        let facts: Vec<Differing> = facts.iter().map(fact).collect();
        let interrupts = Interrupts::of(&recording, kernel, event..=event);
        let length = Player::at(&recording, kernel, event, 0).unwrap().length();
        (story(&recording, kernel, event, &facts, &interrupts, true).unwrap(), length)
    }

    #[test]
    fn what_sets_the_scene_was_decided_in_inits_call() {
        let events = "pool fail skip=4 count=1\nthread late in=app\n";
        for name in ["nt", "reactos"] {
            let (story, _) = told(name, events, 4, &["outcome"]);
            assert_eq!(story.thread, "init", "{name}: {}", story.what);
            assert!(
                story.what.contains("CreateThread(") && story.what.contains(" = STATUS_"),
                "{}",
                story.what
            );
        }
    }

    #[test]
    fn where_nothing_was_called_the_end_of_the_event_is_shown_and_no_clock_interrupt() {
        for name in ["nt", "reactos"] {
            let (story, length) = told(name, "look teb thread=main\n", 3, &["outcome process-id"]);
            assert_eq!(story.what, "the end of the event", "{name}");
            assert_eq!((story.thread.as_str(), story.instant), ("main", length), "{name}");
        }
    }

    #[test]
    fn a_call_that_did_not_return_as_the_system_stopped_was_decided_at_the_stop() {
        let events = "process other\ndriver attach thread=main process=other with=apc-within\n";
        let facts = ["outcome", "system bugcheck"];
        let what = |name: &str| told(name, events, 4, &facts).0.what;
        assert!(what("nt").starts_with("DriverAttach("), "{}", what("nt"));
        assert!(what("reactos").starts_with("KeBugCheck"), "{}", what("reactos"));
    }

    #[test]
    fn a_state_was_decided_where_it_was_given() {
        let text = "# A case.\nprocess app\nthread main in=app\nthread worker in=app\n\
                    main NtTerminateThread thread=worker status=1\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        let text = |text: &str| text.to_owned();
        let (subject, property) = (text("thread worker"), text("state"));
        let fact = Differing { subject, property, left: text("terminated"), right: text("running") };
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let story =
                story(&recording, kernel, 4, std::slice::from_ref(&fact), &Interrupts::default(), true)
                    .unwrap();
            assert_eq!(story.thread, "worker", "{name}: {}", story.what);
            let state = |instant: u64| {
                let player = Player::at(&recording, kernel, 4, instant).unwrap();
                let view = kernel.view(player.machine(), &player.event().named);
                view.threads.into_iter().find(|thread| thread.name == "worker").unwrap().state
            };
            assert_eq!(state(story.instant), "terminated", "{name}");
            assert_ne!(state(story.instant - 1), "terminated", "{name}");
        }
    }
}
