//! What a kernel did in an event: its calls, the fields that changed, and where its thread stood when it
//! was decided, with its stacks and the code that led there.

use super::stack::{self, Stack};
use super::{Call, End, FieldChange, Interrupts, Names, Row, blocks, calls, fields, rows};
use crate::Compared;
use crate::batch::both;
use contract::{Kernel, ObjectId, Outcome};
use machine::{Machine, Va};
use recorder::{Player, Recording, SeekError};

/// Instructions that are shown before the instant, at most.
const BEFORE: u64 = 8;

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

/// Tells what a kernel did in an event (counted from 1; 0 is booting). Of the interrupts given, those that
/// did nothing but take time are folded in the trace.
///
/// The instant shown is where the event's outcome came from: for a status, the end of the innermost call
/// that returned it first; else the end of the call that the line names, or of the last one that the
/// acting thread made.
///
/// # Errors
/// [`SeekError`].
pub fn story(
    recording: &Recording,
    kernel: &'static dyn Kernel,
    event: usize,
    interrupts: &Interrupts,
) -> Result<Story, SeekError> {
    let before = Player::at(recording, kernel, event, 0)?;
    let record = before.event();
    let mut names = Names::new(kernel, &record.machine, &record.named);
    let calls = calls(recording, event);
    names.blocks = blocks(recording, kernel, event, &calls, &names);
    let init = kernel.scene(&record.machine).thread;
    let actor = actor(&record.text, &record.named, init).or(calls.last().map(|call| call.thread));
    let decisive = decisive(&calls, &record.outcome, actor, &record.text);
    let start = before.machine().retired;
    let until = decisive.and_then(|call| call.until).unwrap_or(record.end()).min(record.end());
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
    let status = kernel.threads(machine).into_iter().find(|status| status.id == thread);
    let there = Names::new(kernel, machine, &record.named);
    let stacks = status.map(|status| stack::stacks(&there, machine, &status)).unwrap_or_default();
    Ok(Story {
        kernel: recording.header.kernel.clone(),
        rows: rows(&names, &calls, interrupts),
        fields: fields::differing(kernel, &record.named, before.machine(), &record.machine),
        instant,
        what: decisive.map_or_else(|| "the end of the event".to_owned(), |call| call.text(&names)),
        thread: names.object(thread),
        stacks,
        code,
    })
}

/// Tells what both kernels did in some events of a case (in ascending order, counted from 1), the first
/// one's stories and the second one's. With `fold`, interrupts that did nothing but take time are folded.
///
/// # Errors
/// [`SeekError`].
pub fn stories(
    compared: &Compared,
    kernels: (&'static dyn Kernel, &'static dyn Kernel),
    events: &[usize],
    fold: bool,
) -> Result<(Vec<Story>, Vec<Story>), SeekError> {
    let side = |recording, kernel| -> Result<Vec<Story>, SeekError> {
        let interrupts = match (events.first(), events.last()) {
            (Some(first), Some(last)) if fold => Interrupts::of(recording, kernel, *first..=*last),
            _ => Interrupts::default(),
        };
        events.iter().map(|event| story(recording, kernel, *event, &interrupts)).collect()
    };
    let (left, right) = (|| side(&compared.left, kernels.0), || side(&compared.right, kernels.1));
    let (ours, theirs) = both(left, right);
    Ok((ours?, theirs?))
}

/// The thread that a line is about: the first of its words that is a thread's name, or `init`, which is
/// there before any case names something.
fn actor(text: &str, named: &[contract::Named], init: ObjectId) -> Option<ObjectId> {
    let words = text.split(|c: char| c.is_whitespace() || c == '=');
    let thread = |word: &str| {
        let named = named.iter().find(|named| named.name == word);
        let thread = named.filter(|named| named.kind == contract::ObjectKind::Thread).map(|named| named.id);
        thread.or((word == "init").then_some(init))
    };
    words.into_iter().find_map(thread)
}

fn decisive<'c>(
    calls: &'c [Call],
    outcome: &Outcome,
    actor: Option<ObjectId>,
    text: &str,
) -> Option<&'c Call> {
    let own = || calls.iter().filter(|call| actor.is_none_or(|actor| call.thread == actor));
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
    named.or_else(|| ended().max_by_key(|call| call.until))
}

/// The line of code at an address.
pub fn line(kernel: &dyn Kernel, m: &Machine, at: Va) -> CodeLine {
    let text = match kernel.image().routine(at) {
        Some(_) => "native".to_owned(),
        None => m.disassemble(m.cpu.cr3, at, 1).pop().map_or("(not mapped)".to_owned(), |(_, text)| text),
    };
    CodeLine { at, symbol: super::symbol(kernel, at), text }
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
            let story = story(&recording, kernel, 3, &Interrupts::default()).unwrap();
            assert!(story.what.starts_with("NtSetInformationProcess("), "{name}: {}", story.what);
            assert_eq!(story.thread, "init", "{name}");
        }
    }
}
