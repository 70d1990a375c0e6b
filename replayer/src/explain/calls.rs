//! An event's call trace: native routines with arguments, results and depth.

use super::{Interrupts, Names};
use crate::words::counted;
use contract::{ObjectId, Status};
use machine::Va;
use recorder::{EventRecord, Recording, Went};
use std::collections::BTreeMap;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It returned this.
    Returned(u32),
    /// It went there for good, which then is as if called in its place.
    Jumped(Va),
    /// It gave its frame up: the way to user mode, or to another stack.
    Left,
    /// An access of its that failed led to the trap handler, and not back.
    Faulted(Va),
    /// It has not ended by the end of the event: its thread waits in it, or was interrupted.
    Open,
}

/// A call of a native routine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The thread that made it.
    pub thread: ObjectId,
    /// From how many native routines of its stacks it was called.
    pub depth: usize,
    /// The instant of its beginning: instructions retired since the machine was made.
    pub at: u64,
    /// The instant of its end; none for one that has not ended.
    pub until: Option<u64>,
    /// The routine's name.
    pub routine: String,
    /// Its arguments.
    pub args: Vec<u32>,
    /// How it ended.
    pub end: End,
    /// It began in an earlier event.
    pub earlier: bool,
}

/// How the names of routines that wait begin: they return a status, as system services do.
const WAITS: [&str; 3] = ["KeWaitFor", "KeDelayExecutionThread", "KiSwapThread"];

impl Call {
    /// What it returned, which for a system service and for a wait is a status.
    fn result(&self, names: &Names, value: u32) -> String {
        let service = names.kernel().image().services.contains_key(self.routine.as_str());
        let waits = WAITS.iter().any(|name| self.routine.starts_with(name));
        let status = Status(value).name().filter(|_| service || waits);
        status.map_or_else(|| names.value(value), str::to_owned)
    }

    /// As a person reads it: `NtClose(00000004) = STATUS_INVALID_HANDLE`.
    pub fn text(&self, names: &Names) -> String {
        let args: Vec<String> = self.args.iter().map(|arg| names.value(*arg)).collect();
        let end = match self.end {
            End::Returned(0) => " = 0".to_owned(),
            End::Returned(value) => format!(" = {}", self.result(names, value)),
            End::Jumped(to) => format!(" -> {}", super::symbol(names.kernel(), to)),
            End::Left => String::new(),
            End::Faulted(at) => format!(" faults at {at}"),
            End::Open => " …".to_owned(),
        };
        let earlier = if self.earlier { "… " } else { "" };
        format!("{earlier}{}({}){end}", self.routine, args.join(", "))
    }
}

/// How many events before one are searched for the beginnings of calls that go on in it.
const BACK: usize = 64;

/// The calls of an event (counted from 1; 0 is booting), in the order in which they began. Those that began
/// in an earlier event and went on in this one stand where their thread went on. Empty for an event that
/// is not there.
pub fn calls(recording: &Recording, event: usize) -> Vec<Call> {
    let mut builder = Builder::default();
    let mut went_on: BTreeMap<ObjectId, u64> = BTreeMap::new();
    for number in event.saturating_sub(BACK)..=event {
        let Some(record) = recording.event(number) else { return Vec::new() };
        builder.event(recording, record);
        if number == event {
            for step in &record.trace {
                let thread = record.threads.get(usize::from(step.thread)).copied();
                thread.map(|thread| *went_on.entry(thread).or_insert(step.at));
            }
        }
    }
    // Of equals the first comes first: a call that went on before what was called then.
    builder.calls.sort_by_key(|call| went_on.get(&call.thread).map_or(call.at, |on| call.at.max(*on)));
    builder.calls
}

#[derive(Default)]
struct Builder {
    calls: Vec<Call>,
    /// The calls of each thread that have not ended, outermost first.
    open: BTreeMap<ObjectId, Vec<usize>>,
}

impl Builder {
    fn event(&mut self, recording: &Recording, record: &EventRecord) {
        self.carry_over();
        for step in &record.trace {
            let Some(thread) = record.threads.get(usize::from(step.thread)).copied() else { continue };
            let depth = usize::from(step.depth);
            let routine = recording.routine(step);
            let stack = self.open.entry(thread).or_default();
            // Who was deeper is not at work any more; neither is who stood where another one enters.
            let keeps = |call: &Call| {
                call.depth < depth || step.stage != 0 && call.depth == depth && call.routine == routine
            };
            while let Some(last) = stack.last().copied().filter(|last| !keeps(&self.calls[*last])) {
                stack.pop();
                if self.calls[last].end == End::Open {
                    self.calls[last].end = End::Left;
                    self.calls[last].until = Some(step.at);
                }
            }
            let known =
                stack.last().copied().filter(|last| step.stage != 0 && self.calls[*last].depth == depth);
            let index = known.unwrap_or_else(|| {
                self.calls.push(Call {
                    thread,
                    depth,
                    at: step.at,
                    until: None,
                    routine: routine.to_owned(),
                    args: step.args.to_vec(),
                    end: End::Open,
                    earlier: step.stage != 0,
                });
                stack.push(self.calls.len() - 1);
                self.calls.len() - 1
            });
            let call = &mut self.calls[index];
            call.end = match step.went {
                Went::Returned(value) => End::Returned(value),
                Went::Jumped(to) => End::Jumped(to),
                Went::Direct => End::Left,
                Went::Faulted(at) => End::Faulted(at),
                Went::Called(_) => End::Open,
            };
            call.until = (call.end != End::Open).then_some(step.at + 1);
            if matches!(call.end, End::Returned(_) | End::Jumped(_)) {
                stack.pop();
            }
        }
        // Those that began earlier are told only if anything came of them in this event.
        let first = record.trace.first().map_or(u64::MAX, |step| step.at);
        let told: Vec<bool> = self
            .calls
            .iter()
            .map(|call| !call.earlier || call.at >= first || call.until.is_some_and(|until| until > first))
            .collect();
        self.keep(&told);
    }

    /// A new event begins: only what has not ended is kept.
    fn carry_over(&mut self) {
        let open: Vec<bool> = (0..self.calls.len())
            .map(|index| self.open.values().any(|stack| stack.contains(&index)))
            .collect();
        for call in &mut self.calls {
            call.earlier = true;
        }
        self.keep(&open);
    }

    fn keep(&mut self, wanted: &[bool]) {
        let mut places = Vec::new();
        let mut kept = Vec::new();
        for (call, wanted) in std::mem::take(&mut self.calls).into_iter().zip(wanted) {
            places.push(wanted.then_some(kept.len()));
            if *wanted {
                kept.push(call);
            }
        }
        self.calls = kept;
        for stack in self.open.values_mut() {
            *stack = stack.iter().filter_map(|index| places[*index]).collect();
        }
    }
}

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose calls follow, where another thread goes on; else none.
    pub thread: Option<String>,
    /// The call's depth.
    pub depth: usize,
    /// What stands there: the call.
    pub text: String,
    /// The routine's name alone, for aligning two traces; the thread's where that is told.
    pub key: String,
    /// How many times the call was made in a row, with all that it called.
    pub times: usize,
    /// The call's index, for interrupts that are told in one line that of their first; none for a thread's
    /// line.
    pub call: Option<usize>,
    /// How many interrupts it tells of, where they are told in one line.
    pub interrupts: usize,
}

impl Row {
    pub(super) fn new(depth: usize, text: String, key: String, call: Option<usize>) -> Row {
        Row { thread: None, depth, text, key, times: 1, call, interrupts: 0 }
    }
}

/// The lines of a trace, a call a line, and a line of its own where another thread goes on. Calls that
/// were made again at once, with all that they called, are folded into one; so are interrupts that did
/// nothing but take time or the processor.
pub fn rows(names: &Names, calls: &[Call], interrupts: &Interrupts) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut thread = None;
    // The last interrupt that was told of in one line.
    let mut told = None;
    let began = calls.iter().find(|call| !call.earlier).map_or(u64::MAX, |call| call.at);
    for (index, call) in calls.iter().enumerate() {
        if thread != Some(call.thread) {
            thread = Some(call.thread);
            let name = names.object(call.thread);
            let title = format!("({name})");
            rows.push(Row { thread: Some(name), ..Row::new(0, title.clone(), title, None) });
        }
        let inside = interrupts.at(call.thread, call.at).filter(|stretch| stretch.plain);
        // What goes on from an earlier event is told if more comes of the interrupt that it belongs to.
        let inside = inside
            .filter(|stretch| !call.earlier || !interrupts.unfolds(stretch.interrupt, stretch.thread, began));
        let Some(stretch) = inside else {
            rows.push(Row::new(call.depth, call.text(names), call.routine.clone(), Some(index)));
            continue;
        };
        if call.earlier || !stretch.first || told == Some(stretch.interrupt) {
            continue;
        }
        told = Some(stretch.interrupt);
        let title = |times| interrupts.title(stretch.vector, times);
        match rows.last_mut().filter(|row| row.interrupts > 0 && row.key == title(1)) {
            Some(row) => {
                row.interrupts += 1;
                row.text = title(row.interrupts);
            }
            None => {
                let row = Row::new(call.depth, title(1), title(1), Some(index));
                rows.push(Row { interrupts: 1, ..row });
            }
        }
    }
    fold(rows)
}

/// A sequence of this many calls that repeats itself is noticed.
const PERIOD: usize = 12;

/// Folds calls that are made again at once with all that they called, alone or several in a sequence.
fn fold(rows: Vec<Row>) -> Vec<Row> {
    // A group is a call with all that it called: a row, and those behind it that are deeper.
    let mut groups: Vec<&[Row]> = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let deeper = |row: &&Row| row.thread.is_none() && row.depth > rows[at].depth;
        let inside = rows[at + 1..].iter().take_while(deeper).count();
        let to = if rows[at].thread.is_some() { at + 1 } else { at + 1 + inside };
        groups.push(&rows[at..to]);
        at = to;
    }
    let alike = |a: &[Row], b: &[Row]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.depth, &a.text) == (b.depth, &b.text))
    };
    // A sequence in which threads change is whole only if it tells first whose calls those are.
    let whole = |groups: &[&[Row]]| {
        let changes = |group: &&[Row]| group[0].thread.is_some();
        !groups.iter().any(changes) || groups.len() > 1 && changes(&groups[0])
    };
    let same = |a: usize, b: usize, period: usize| {
        b + period <= groups.len()
            && (0..period).all(|n| alike(groups[a + n], groups[b + n]))
            && whole(&groups[a..a + period])
    };
    let mut folded = Vec::new();
    let mut at = 0;
    while at < groups.len() {
        let times = |period: usize| (1..).take_while(|n| same(at, at + n * period, period)).count() + 1;
        let best = (1..=PERIOD).map(|period| (period, times(period))).filter(|(_, times)| *times > 1);
        // What folds most; of equals the shortest sequence.
        let (period, times) =
            best.max_by_key(|(period, times)| (period * (times - 1), PERIOD - period)).unwrap_or((1, 1));
        for (index, group) in groups[at..at + period].iter().enumerate() {
            let once = if period == 1 { times } else { 1 };
            folded.push(Row { times: if index == 0 { once } else { 1 }, ..group[0].clone() });
            folded.extend(fold(group[1..].to_vec()));
        }
        if period > 1 {
            let depth = groups[at][0].depth;
            let text = format!("… these {period} again, {}", counted(times - 1, "time"));
            folded.push(Row::new(depth, text.clone(), text, None));
        }
        at += period * times;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(depth: usize, text: &str) -> Row {
        Row::new(depth, text.to_owned(), text.to_owned(), Some(0))
    }

    #[test]
    fn a_call_that_follows_itself_is_folded_with_all_that_it_called() {
        let rows =
            vec![row(0, "a"), row(1, "b"), row(1, "b"), row(0, "a"), row(1, "b"), row(1, "b"), row(0, "c")];
        let folded: Vec<_> = fold(rows).into_iter().map(|row| (row.depth, row.text, row.times)).collect();
        let expected = [(0, "a", 2), (1, "b", 2), (0, "c", 1)];
        assert_eq!(folded, expected.map(|(depth, text, times)| (depth, text.to_owned(), times)));
    }

    #[test]
    fn a_sequence_that_repeats_itself_is_told_once() {
        let once = [row(0, "a"), row(1, "x"), row(0, "b")];
        let rows = [&once[..], &once, &once, &[row(0, "c")]].concat();
        let texts: Vec<_> = fold(rows).into_iter().map(|row| row.text).collect();
        assert_eq!(texts, ["a", "x", "b", "… these 2 again, 2 times", "c"]);
    }

    #[test]
    fn what_another_has_called_is_not_the_same() {
        let rows = vec![row(0, "a"), row(1, "b"), row(2, "c"), row(0, "a"), row(1, "b"), row(1, "c")];
        assert_eq!(fold(rows.clone()), rows);
    }

    #[test]
    fn threads_that_take_turns_are_told_once() {
        let thread = |name: &str| Row { thread: Some(name.to_owned()), ..row(0, name) };
        let turn = [thread("main"), row(0, "x"), thread("init"), row(0, "x")];
        let rows = [&[row(0, "x")][..], &turn, &turn, &turn, &[thread("main")]].concat();
        let texts: Vec<_> = fold(rows).into_iter().map(|row| row.text).collect();
        assert_eq!(texts, ["x", "main", "x", "init", "x", "… these 4 again, 2 times", "main"]);
    }

    #[test]
    fn a_call_that_waits_is_open_and_goes_on_in_a_later_event() {
        let text = "# A wait ends.\nprocess app\nthread main in=app\n\
                    main NtDelayExecution alertable=no interval=20ms\nclock advance=30ms\n";
        let case = recorder::Case::parse("x", "x", text).unwrap();
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let find = |event: usize| {
                let found = calls(&recording, event).into_iter();
                found.filter(|call| call.routine == "NtDelayExecution").collect::<Vec<_>>()
            };
            let (waits, returns) = (find(3), find(4));
            assert_eq!((waits.len(), waits[0].end, waits[0].earlier), (1, End::Open, false), "{name}");
            assert_eq!((returns.len(), returns[0].end), (1, End::Returned(0)), "{name}");
            assert!(returns[0].earlier && returns[0].args == waits[0].args, "{name}: {returns:?}");
            assert!(calls(&recording, 3).iter().any(|call| call.depth > waits[0].depth), "{name}");
        }
    }

    const ENDS_ANOTHER: &str = "# A thread ends another, which waits.\nprocess app\nthread main in=app\n\
                                thread worker in=app\n\
                                worker NtDelayExecution alertable=no interval=forever\n\
                                main NtTerminateThread thread=worker status=1\n";

    #[test]
    fn what_returns_by_way_of_an_interrupt_has_returned_and_not_called_that() {
        let case = recorder::Case::parse("x", "x", ENDS_ANOTHER).unwrap();
        let kernel = recorder::kernels::by_name("nt").unwrap();
        let calls = calls(&recorder::record(&case, kernel).unwrap(), 5);
        let inserts = calls.iter().find(|call| call.routine == "KeInsertQueueApc").unwrap();
        assert_eq!(inserts.end, End::Returned(1), "{calls:#?}");
        // The worker has the higher priority now.
        let switches = calls.iter().find(|call| call.routine == "HalpSoftwareInterrupts").unwrap();
        assert!(switches.thread == inserts.thread && switches.at > inserts.at, "{calls:#?}");
        assert_eq!(switches.depth, inserts.depth, "{calls:#?}");
    }

    #[test]
    fn what_a_thread_goes_on_with_stands_where_it_goes_on() {
        let case = recorder::Case::parse("x", "x", ENDS_ANOTHER).unwrap();
        for name in ["nt", "reactos"] {
            let kernel = recorder::kernels::by_name(name).unwrap();
            let recording = recorder::record(&case, kernel).unwrap();
            let calls = calls(&recording, 5);
            let named =
                |name: &str| recording.events[4].named.iter().find(|one| one.name == name).unwrap().id;
            let ends = calls.iter().position(|call| call.routine == "NtTerminateThread").unwrap();
            let waits = |call: &Call| call.earlier && call.thread == named("worker");
            let goes_on = calls.iter().position(waits).unwrap();
            assert!(goes_on > ends, "{name}: {calls:#?}");
            let next = calls[goes_on..].iter().find(|call| !call.earlier).unwrap();
            assert_eq!(next.thread, named("worker"), "{name}");
        }
    }
}
