//! An event's call trace: native routines with arguments, results and depth.

use super::Names;
use contract::ObjectId;
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

impl Call {
    /// As a person reads it: `NtClose(00000004) = STATUS_SUCCESS`.
    pub fn text(&self, names: &Names) -> String {
        let args: Vec<String> = self.args.iter().map(|arg| names.value(*arg)).collect();
        let end = match self.end {
            End::Returned(0) => " = 0".to_owned(),
            End::Returned(value) => format!(" = {}", names.value(value)),
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

/// The calls of an event (counted from 1; 0 is booting), in the order in which they began, those first
/// that began in an earlier event and went on in this one. Empty for an event that is not there.
pub fn calls(recording: &Recording, event: usize) -> Vec<Call> {
    let mut builder = Builder::default();
    for number in event.saturating_sub(BACK)..=event {
        let Some(record) = recording.event(number) else { return Vec::new() };
        builder.event(recording, record);
    }
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
    /// The call's index; none for a thread's line.
    pub call: Option<usize>,
}

/// The lines of a trace, a call a line, and a line of its own where another thread goes on. Calls that
/// were made again at once, with all that they called, are folded into one.
pub fn rows(names: &Names, calls: &[Call]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut thread = None;
    for (index, call) in calls.iter().enumerate() {
        if thread != Some(call.thread) {
            thread = Some(call.thread);
            let name = names.object(call.thread);
            let (key, text) = (format!("({name})"), format!("({name})"));
            rows.push(Row { thread: Some(name), depth: 0, text, key, times: 1, call: None });
        }
        let (text, key) = (call.text(names), call.routine.clone());
        rows.push(Row { thread: None, depth: call.depth, text, key, times: 1, call: Some(index) });
    }
    fold(rows)
}

/// A sequence of this many calls that repeats itself is noticed.
const PERIOD: usize = 8;

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
    let same = |a: usize, b: usize, period: usize| {
        b + period <= groups.len()
            && (0..period).all(|n| groups[a + n][0].thread.is_none() && alike(groups[a + n], groups[b + n]))
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
            let (depth, text) = (groups[at][0].depth, format!("… these {period} again, {} times", times - 1));
            folded.push(Row { thread: None, depth, key: text.clone(), text, times: 1, call: None });
        }
        at += period * times;
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(depth: usize, text: &str) -> Row {
        Row { thread: None, depth, text: text.to_owned(), key: text.to_owned(), times: 1, call: Some(0) }
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
}
