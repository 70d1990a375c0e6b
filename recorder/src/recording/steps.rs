//! A trace's steps as bytes: of each only what could not be foretold from those before it.
//!
//! What ran behind the same two steps the last time is expected to run again, as long after the one before
//! it, as deep, and with the same arguments and end. A byte for each step says which of this was
//! otherwise; behind it stands how it was. There is one way to write a trace: whatever says what would
//! have been expected anyway is refused.

use super::told::{Told, put};
use crate::recording::{EventRecord, TraceStep, Went};
use contract::routine::Args;
use machine::Va;
use smallvec::SmallVec;

/// What is told of a step, in this order.
const ROUTINE: u8 = 1 << 0;
const AT: u8 = 1 << 1;
const DEPTH: u8 = 1 << 2;
const THREAD: u8 = 1 << 3;
const ARGS: u8 = 1 << 4;
const WENT: u8 = 1 << 5;
const VALUE: u8 = 1 << 6;
const ALL: u8 = 0x7F;

/// Places of a table: several times as many as there are routines that an event runs.
const PLACES: usize = 512;

/// Where the steps were that are to be expected again: 1 more than their index, 0 for none. Two that share
/// a place only foretell each other's badly.
struct Past {
    /// By the two steps before it.
    behind: [u16; PLACES],
    /// By its routine and stage.
    same: [u16; PLACES],
    /// What the last step ran and how it went on, and the one before it, as numbers; 0 for none.
    last: [u32; 2],
    /// How many there were.
    steps: u16,
}

/// What is expected of a step.
struct Expected<'s> {
    step: Option<&'s TraceStep>,
    at: u64,
    depth: u16,
    thread: u16,
    args: &'s [u32],
    went: u8,
    value: u32,
}

/// A number of 9 bits or more, spread over the places.
fn place(number: u32) -> usize {
    (number.wrapping_mul(0x9E37_79B1) >> (u32::BITS - PLACES.trailing_zeros())) as usize
}

/// What a step ran, as a number.
fn what(routine: u16, stage: u8) -> u32 {
    u32::from(routine) << 8 | u32::from(stage)
}

impl Past {
    fn new() -> Past {
        Past { behind: [0; PLACES], same: [0; PLACES], last: [0; 2], steps: 0 }
    }

    /// The place of whatever comes next.
    fn way(&self) -> usize {
        place(self.last[0].wrapping_add(self.last[1].wrapping_mul(0x85EB_CA6B)))
    }

    /// The index of the step that is expected next; none where none was seen behind such steps.
    fn behind(&self) -> Option<usize> {
        usize::from(self.behind[self.way()]).checked_sub(1)
    }

    /// The index of the last step that ran this.
    fn same(&self, routine: u16, stage: u8) -> Option<usize> {
        usize::from(self.same[place(what(routine, stage))]).checked_sub(1)
    }

    /// The next step was this one, and is to be expected again.
    fn learn(&mut self, step: &TraceStep) {
        self.steps = self.steps.wrapping_add(1);
        let ran = what(step.routine, step.stage);
        self.behind[self.way()] = self.steps;
        self.same[place(ran)] = self.steps;
        self.last = [ran * 8 + u32::from(ended(step.went).0) + 1, self.last[0]];
    }
}

impl Expected<'_> {
    /// What is expected behind `steps`, of a step as that of this index was.
    fn of(steps: &[TraceStep], index: Option<usize>) -> Expected<'_> {
        let end = |step: &TraceStep| (step.at, step.depth, step.thread);
        let (at, depth, thread) = steps.last().map_or((0, 0, 0), end);
        let Some(index) = index else {
            let called = steps.last().is_some_and(|last| matches!(last.went, Went::Called(_)));
            let depth = depth.wrapping_add(called.into());
            return Expected { step: None, at, depth, thread, args: &[], went: DIRECT, value: 0 };
        };
        let step = &steps[index];
        let before = index.checked_sub(1).map_or((0, 0, 0), |before| end(&steps[before]));
        let (went, value) = ended(step.went);
        Expected {
            step: Some(step),
            at: at.wrapping_add(step.at.wrapping_sub(before.0)),
            depth: depth.wrapping_add(step.depth.wrapping_sub(before.1)),
            thread,
            args: &step.args,
            went,
            value: value.unwrap_or(0),
        }
    }

    /// What of a step is otherwise, but for what it ran.
    fn otherwise(&self, step: &TraceStep) -> u8 {
        let told = |otherwise: bool, flag: u8| u8::from(otherwise) * flag;
        let mut flags = told(step.at != self.at, AT)
            | told(step.depth != self.depth, DEPTH)
            | told(step.thread != self.thread, THREAD)
            // They are few: calling what compares memory would take longer.
            | told(!step.args.iter().eq(self.args), ARGS);
        if self.step.is_none_or(|like| like.went != step.went) {
            let (went, value) = ended(step.went);
            flags |=
                told(went != self.went, WENT) | told(value.is_some_and(|value| value != self.value), VALUE);
        }
        flags
    }
}

/// The number of [`Went::Direct`], the only one without a value.
const DIRECT: u8 = 3;

/// The number of the way in which a step went on, and the value that belongs to it.
fn ended(went: Went) -> (u8, Option<u32>) {
    match went {
        Went::Returned(value) => (0, Some(value)),
        Went::Called(at) => (1, Some(at.0)),
        Went::Jumped(at) => (2, Some(at.0)),
        Went::Direct => (DIRECT, None),
        Went::Faulted(at) => (4, Some(at.0)),
    }
}

/// Appends the bytes of a trace.
pub(super) fn write(steps: &[TraceStep], out: &mut Vec<u8>) {
    out.reserve(64 + 6 * steps.len());
    let mut past = Past::new();
    for (index, step) in steps.iter().enumerate() {
        let before = &steps[..index];
        let mut expected = Expected::of(before, past.behind());
        let again = |like: &TraceStep| (like.routine, like.stage) == (step.routine, step.stage);
        let routine = !expected.step.is_some_and(again);
        if routine {
            expected = Expected::of(before, past.same(step.routine, step.stage));
        }
        past.learn(step);
        let flags = expected.otherwise(step) | if routine { ROUTINE } else { 0 };
        out.push(flags);
        if flags != 0 {
            tell(step, flags, before.last().map_or(0, |last| last.at), expected.args, out);
        }
    }
}

/// What these flags say is told of a step. The one before it was at the instant `last`.
fn tell(step: &TraceStep, flags: u8, last: u64, expected: &[u32], out: &mut Vec<u8>) {
    let tells = |flag: u8| flags & flag != 0;
    if tells(ROUTINE) {
        out.extend(step.routine.to_le_bytes());
        out.push(step.stage);
    }
    if tells(AT) {
        put(step.at.wrapping_sub(last), out);
    }
    if tells(DEPTH) {
        put(step.depth.into(), out);
    }
    if tells(THREAD) {
        put(step.thread.into(), out);
    }
    if tells(ARGS) {
        out.push(step.args.len() as u8);
        let differ = |index: usize| expected.get(index) != step.args.get(index);
        let mask = (0..step.args.len()).fold(0, |mask, index| mask | u16::from(differ(index)) << index);
        out.extend(mask.to_le_bytes());
        let others = step.args.iter().enumerate().filter(|(index, _)| mask >> index & 1 != 0);
        others.for_each(|(_, arg)| out.extend(arg.to_le_bytes()));
    }
    let (went, value) = ended(step.went);
    if tells(WENT) {
        out.push(went);
    }
    if tells(VALUE) {
        out.extend(value.unwrap_or(0).to_le_bytes());
    }
}

fn needless() -> String {
    "a trace is not written in the one way in which it is".to_owned()
}

/// A depth or a thread.
fn short(told: &mut Told) -> Result<u16, String> {
    let number = told.number()?;
    u16::try_from(number).map_err(|_| format!("a step of depth or thread {number}"))
}

/// The trace of such bytes; the text says why there is none.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<TraceStep>, String> {
    let mut told = Told::new(bytes, "a trace");
    let mut steps = Vec::new();
    let mut past = Past::new();
    while !told.is_over() {
        if steps.len() == EventRecord::TRACE_MAX {
            return Err(format!("a trace of more than {} steps", EventRecord::TRACE_MAX));
        }
        let step = step(&mut told, &steps, &past)?;
        past.learn(&step);
        steps.push(step);
    }
    Ok(steps)
}

/// The step behind `steps`.
fn step(told: &mut Told, steps: &[TraceStep], past: &Past) -> Result<TraceStep, String> {
    // What is told is not what was expected.
    fn other<T: PartialEq>(told: T, expected: T) -> Result<T, String> {
        if told == expected { Err(needless()) } else { Ok(told) }
    }
    let flags = told.byte()?;
    let tells = |flag: u8| flags & flag != 0;
    if tells(!ALL) {
        return Err(needless());
    }
    let mut expected = Expected::of(steps, past.behind());
    let mut ran = expected.step.map(|like| (like.routine, like.stage));
    if tells(ROUTINE) {
        let (routine, stage) = (u16::from_le_bytes(told.bytes()?), told.byte()?);
        ran = other(Some((routine, stage)), ran)?;
        expected = Expected::of(steps, past.same(routine, stage));
    }
    let (routine, stage) = ran.ok_or("a step of no routine")?;
    let last = steps.last().map_or(0, |last| last.at);
    let at = if tells(AT) { other(last.wrapping_add(told.number()?), expected.at)? } else { expected.at };
    let depth = if tells(DEPTH) { other(short(told)?, expected.depth)? } else { expected.depth };
    let thread = if tells(THREAD) { other(short(told)?, expected.thread)? } else { expected.thread };
    let args = if tells(ARGS) { args(told, expected.args)? } else { SmallVec::from_slice(expected.args) };
    let went = if tells(WENT) { other(told.byte()?, expected.went)? } else { expected.went };
    if went == DIRECT && tells(VALUE) {
        return Err(needless());
    }
    let value = if tells(VALUE) { other(told.word()?, expected.value)? } else { expected.value };
    let went = match went {
        0 => Went::Returned(value),
        1 => Went::Called(Va(value)),
        2 => Went::Jumped(Va(value)),
        DIRECT => Went::Direct,
        4 => Went::Faulted(Va(value)),
        other => return Err(format!("a step that went on in way {other}")),
    };
    Ok(TraceStep { at, depth, thread, routine, stage, args, went })
}

/// Arguments that are not those that were expected.
fn args(told: &mut Told, expected: &[u32]) -> Result<SmallVec<[u32; 4]>, String> {
    let arity = usize::from(told.byte()?);
    if arity > Args::MAX {
        return Err(format!("a step with {arity} arguments"));
    }
    let mask = u16::from_le_bytes(told.bytes()?);
    if u32::from(mask) >> arity != 0 || (mask == 0 && arity == expected.len()) {
        return Err(needless());
    }
    let mut args = SmallVec::with_capacity(arity);
    for index in 0..arity {
        let like = expected.get(index).copied();
        args.push(match (mask >> index & 1 != 0, like) {
            (false, Some(like)) => like,
            (false, None) => return Err("a trace lacks an argument".to_owned()),
            (true, _) => {
                let arg = told.word()?;
                if like == Some(arg) {
                    return Err(needless());
                }
                arg
            }
        });
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(steps: &[TraceStep]) -> Vec<u8> {
        let mut bytes = Vec::new();
        super::write(steps, &mut bytes);
        bytes
    }

    fn step(at: u64, routine: u16, args: &[u32], went: Went) -> TraceStep {
        TraceStep { at, depth: 0, thread: 0, routine, stage: 0, args: args.into(), went }
    }

    #[test]
    fn what_ran_before_costs_a_byte() {
        let round = |start: u64| {
            let second = TraceStep { depth: 1, stage: 3, ..step(start + 9, 300, &[], Went::Returned(7)) };
            [step(start, 2, &[5, 6], Went::Called(Va(0x8040_0000))), second]
        };
        let steps: Vec<TraceStep> = (0..100).flat_map(|index| round(index * 40)).collect();
        let bytes = write(&steps);
        assert_eq!(read(&bytes).unwrap(), steps);
        let first = write(&steps[..6]).len();
        assert_eq!(bytes.len(), first + 194);
        // Each of what can be otherwise is told, and behind it all is foretold again.
        let otherwise: [fn(&mut TraceStep); 8] = [
            |step| step.routine = 1,
            |step| step.stage = 1,
            |step| step.at += 1,
            |step| step.depth = 900,
            |step| step.thread = 1,
            |step| step.args[1] = 9,
            |step| step.args.push(9),
            |step| step.went = Went::Jumped(Va(0x8040_0000)),
        ];
        for change in otherwise {
            let mut steps = steps.clone();
            change(&mut steps[50]);
            let written = write(&steps);
            assert_eq!(read(&written).unwrap(), steps);
            assert!((1..60).contains(&(written.len() - bytes.len())), "{}", written.len());
        }
    }

    #[test]
    fn bytes_that_are_no_trace_are_refused() {
        let refused = |bytes: &[u8]| read(bytes).unwrap_err();
        let needless = needless();
        assert_eq!(read(&[]), Ok(Vec::new()));
        assert_eq!(read(&[ROUTINE, 1, 0, 0]).map(|steps| steps.len()), Ok(1));
        assert_eq!(refused(&[0]), "a step of no routine");
        assert_eq!(refused(&[ROUTINE, 1, 0]), "a trace ends too early");
        assert_eq!(refused(&[ROUTINE | 0x80, 1, 0, 0]), needless);
        assert_eq!(refused(&[ROUTINE | AT, 1, 0, 0, 0]), needless);
        assert_eq!(
            refused(&[ROUTINE | AT, 1, 0, 0, 254, 253, 0]),
            "a number is longer than it has to be: 253"
        );
        assert_eq!(refused(&[ROUTINE | DEPTH, 1, 0, 0, 0]), needless);
        let deep = [ROUTINE | THREAD, 1, 0, 0, 255, 0, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(refused(&deep), "a step of depth or thread 65536");
        assert_eq!(refused(&[ROUTINE | THREAD, 1, 0, 0, 0]), needless);
        assert_eq!(refused(&[ROUTINE | ARGS, 1, 0, 0, 13, 0, 0]), "a step with 13 arguments");
        assert_eq!(refused(&[ROUTINE | ARGS, 1, 0, 0, 0, 0, 0]), needless);
        assert_eq!(refused(&[ROUTINE | ARGS, 1, 0, 0, 1, 3, 0]), needless);
        assert_eq!(refused(&[ROUTINE | ARGS, 1, 0, 0, 1, 0, 0]), "a trace lacks an argument");
        assert_eq!(refused(&[ROUTINE | WENT, 1, 0, 0, DIRECT]), needless);
        assert_eq!(refused(&[ROUTINE | WENT, 1, 0, 0, 5]), "a step that went on in way 5");
        assert_eq!(refused(&[ROUTINE | VALUE, 1, 0, 0, 1, 0, 0, 0]), needless);
        assert_eq!(refused(&[ROUTINE | WENT | VALUE, 1, 0, 0, 0, 0, 0, 0, 0]), needless);
        // What is expected of the third is the first again.
        let twice = [ROUTINE, 1, 0, 0, ROUTINE, 1, 0, 0, ROUTINE, 1, 0, 0];
        assert_eq!(read(&twice[..8]).map(|steps| steps.len()), Ok(2));
        assert_eq!(read(&[&twice[..], &[0]].concat()).map(|steps| steps.len()), Ok(4));
        assert_eq!(refused(&[&twice[..], &[ROUTINE, 1, 0, 0]].concat()), needless);

        let long = |steps: usize| [&twice[..], &vec![0; steps - 3]].concat();
        assert_eq!(read(&long(EventRecord::TRACE_MAX)).map(|steps| steps.len()), Ok(4096));
        assert_eq!(refused(&long(EventRecord::TRACE_MAX + 1)), "a trace of more than 4096 steps");
    }

    fn any_step() -> impl Strategy<Value = TraceStep> {
        let number = prop_oneof![0..3u32, any::<u32>()];
        let went = (0..5u8, number.clone()).prop_map(|(way, value)| match way {
            0 => Went::Returned(value),
            1 => Went::Called(Va(value)),
            2 => Went::Jumped(Va(value)),
            3 => Went::Direct,
            _ => Went::Faulted(Va(value)),
        });
        let args = proptest::collection::vec(number, 0..=Args::MAX);
        let small = prop_oneof![9 => 0..3u16, 1 => any::<u16>()];
        (prop_oneof![0..3u64, any::<u64>()], small.clone(), small.clone(), small, 0..3u8, args, went)
            .prop_map(|(at, depth, thread, routine, stage, args, went)| TraceStep {
                at,
                depth,
                thread,
                routine,
                stage,
                args: args.into(),
                went,
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Traces whose steps come again and again, with one or the other in between.
        #[test]
        fn every_trace_comes_back(
            some in proptest::collection::vec(any_step(), 1..6),
            order in proptest::collection::vec((any::<prop::sample::Index>(), 0..3u64), 0..60),
        ) {
            let mut at = 0u64;
            let steps: Vec<TraceStep> = order
                .iter()
                .map(|(index, later)| {
                    let step = index.get(&some).clone();
                    at = at.wrapping_add(step.at).wrapping_add(*later);
                    TraceStep { at, ..step }
                })
                .collect();
            prop_assert_eq!(read(&write(&steps)), Ok(steps));
        }

        /// There is one way to write a trace.
        #[test]
        fn bytes_that_are_read_are_those_that_are_written(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(0), 4 => 0..9u8, 1 => any::<u8>()], 0..80),
        ) {
            if let Ok(steps) = read(&bytes) {
                prop_assert_eq!(write(&steps), bytes);
            }
        }

        /// So it is behind a change to what was written.
        #[test]
        fn a_written_trace_that_is_changed_is_another_or_none(
            steps in proptest::collection::vec(any_step(), 1..20),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..128u8), 1..4),
        ) {
            let mut bytes = write(&steps);
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(steps) = read(&bytes) {
                prop_assert_eq!(write(&steps), bytes);
            }
        }
    }
}
