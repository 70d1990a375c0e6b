//! `run --format perfetto`: a trace in the JSON format of Chrome and Perfetto, to be opened in
//! <https://ui.perfetto.dev>.
//!
//! A kernel's run of a case is a process, with a track for the case's events and one for each thread
//! of the guest, on which its native routines are slices. A microsecond is an instruction. At the
//! first difference there is a mark on both sides and an arrow between them.

use crate::Compared;
use crate::explain::{Call, End, Layouts, Names, calls};
use contract::{Kernel, ObjectId};
use golden::Difference;
use recorder::Recording;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What stands before the first case's events, and behind the last one's. Between two cases' there is
/// a comma.
pub const FRAME: (&str, &str) = ("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", "\n]}\n");

/// The trace events of a case, as JSON without the brackets around them; `index` tells the case from
/// others in the same trace.
pub fn events(name: &str, index: usize, compared: &Compared, kernels: [&'static dyn Kernel; 2]) -> String {
    let first = compared.comparison.first_difference();
    let mut events = Vec::new();
    let sides = [&compared.left, &compared.right];
    let mut instants = Vec::new();
    for (side, (recording, kernel)) in sides.into_iter().zip(kernels).enumerate() {
        let process = Process { id: 2 * index + side + 1, recording, kernel };
        instants.extend(process.events(name, first.as_ref(), side, &mut events));
    }
    if let [left, right] = instants[..] {
        // An arrow goes forwards in time; which kernel was later says nothing.
        let (from, to) = if left.1 <= right.1 { (left, right) } else { (right, left) };
        for (phase, (process, at)) in [("s", from), ("f", to)] {
            let mut arrow = json!({
                "ph": phase, "id": index + 1, "pid": process, "tid": 0, "ts": at,
                "cat": "difference", "name": "first difference",
            });
            if phase == "f" {
                arrow["bp"] = json!("e");
            }
            events.push(arrow);
        }
    }
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    lines.join(",\n")
}

/// A kernel's run of a case.
struct Process<'r> {
    id: usize,
    recording: &'r Recording,
    kernel: &'static dyn Kernel,
}

/// A slice on a thread's track.
struct Slice {
    call: Call,
    text: String,
    until: u64,
}

impl Process<'_> {
    /// Adds everything of this run. Gives where the first difference is: the process and the instant.
    fn events(
        &self,
        case: &str,
        first: Option<&Difference>,
        side: usize,
        out: &mut Vec<Value>,
    ) -> Option<(usize, u64)> {
        let name = format!("{case}: {}", self.recording.header.kernel);
        out.push(json!({ "ph": "M", "name": "process_name", "pid": self.id, "tid": 0, "ts": 0,
            "args": { "name": name } }));
        out.push(json!({ "ph": "M", "name": "process_sort_index", "pid": self.id, "tid": 0, "ts": 0,
            "args": { "sort_index": self.id } }));
        self.track(0, "events", out);
        let mut begin = 0;
        let mut place = None;
        for number in 0..=self.recording.events.len() {
            let Some(event) = self.recording.event(number) else { break };
            out.push(json!({ "ph": "X", "name": event.text, "cat": "event", "pid": self.id, "tid": 0,
                "ts": begin, "dur": event.end() - begin,
                "args": { "line": event.line, "outcome": event.outcome.to_string() } }));
            if let Some(first) = first.filter(|first| first.event + 1 == number) {
                let value = if side == 0 { &first.left } else { &first.right };
                out.push(json!({ "ph": "i", "s": "t", "name": "first difference", "cat": "difference",
                    "pid": self.id, "tid": 0, "ts": begin, "args": { first.what.as_str(): value } }));
                place = Some((self.id, begin));
            }
            begin = event.end();
        }
        for (index, (name, slices)) in self.threads(begin).into_iter().enumerate() {
            self.track(index + 1, &name, out);
            for Slice { call, text, until } in slices {
                out.push(json!({ "ph": "X", "name": call.routine, "cat": "routine", "pid": self.id,
                    "tid": index + 1, "ts": call.at, "dur": until - call.at, "args": { "call": text } }));
            }
        }
        place
    }

    fn track(&self, thread: usize, name: &str, out: &mut Vec<Value>) {
        out.push(json!({ "ph": "M", "name": "thread_name", "pid": self.id, "tid": thread, "ts": 0,
            "args": { "name": name } }));
        out.push(json!({ "ph": "M", "name": "thread_sort_index", "pid": self.id, "tid": thread, "ts": 0,
            "args": { "sort_index": thread } }));
    }

    /// Each thread's name and calls, in the order in which the threads first ran; calls that have not
    /// ended last until `end`.
    fn threads(&self, end: u64) -> Vec<(String, Vec<Slice>)> {
        let mut order: Vec<ObjectId> = Vec::new();
        let mut threads: BTreeMap<ObjectId, (String, Vec<Slice>)> = BTreeMap::new();
        // What had not ended by the end of an event ends in a later one, or never.
        let mut open: BTreeMap<(ObjectId, u64, String), Slice> = BTreeMap::new();
        let layouts = Rc::new(Layouts::new(self.kernel));
        for number in 0..=self.recording.events.len() {
            let Some(event) = self.recording.event(number) else { break };
            let names = Names::with(&layouts, &event.machine, &event.named);
            for call in calls(self.recording, number) {
                if !threads.contains_key(&call.thread) {
                    order.push(call.thread);
                }
                let track = threads.entry(call.thread).or_default();
                track.0 = names.object(call.thread);
                let text = call.text(&names);
                let key = (call.thread, call.at, call.routine.clone());
                match call.until {
                    Some(until) if call.end != End::Open => {
                        open.remove(&key);
                        track.1.push(Slice { call, text, until });
                    }
                    _ => {
                        open.insert(key, Slice { call, text, until: end });
                    }
                }
            }
        }
        for slice in open.into_values() {
            threads.entry(slice.call.thread).or_default().1.push(slice);
        }
        order
            .into_iter()
            .filter_map(|thread| threads.remove(&thread))
            .map(|(name, slices)| (name, nested(slices)))
            .collect()
    }
}

/// The slices of a track so that each lies wholly inside or outside of any other.
fn nested(mut slices: Vec<Slice>) -> Vec<Slice> {
    slices.sort_by_key(|slice| (slice.call.at, slice.call.depth));
    let mut ends: Vec<u64> = Vec::new();
    for slice in &mut slices {
        ends.retain(|end| *end > slice.call.at);
        let outer = ends.last().copied().unwrap_or(u64::MAX);
        slice.until = slice.until.clamp(slice.call.at, outer);
        ends.push(slice.until);
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;
    use recorder::{Case, kernels};

    const CASE: &str = "# A NULL handle ends the others.\nprocess app\nthread main in=app\n\
                        thread worker in=app\nworker NtDelayExecution alertable=no interval=forever\n\
                        main NtTerminateProcess process=NULL status=7\n";

    /// Reads a trace as Chrome's description of the format has it: what each phase must have, slices of
    /// a track nested, arrows with both ends and inside a slice.
    fn read(text: &str) -> Vec<Value> {
        let document: Value = serde_json::from_str(text).unwrap();
        let events = document["traceEvents"].as_array().unwrap().clone();
        type Track = (u64, u64);
        let mut slices: BTreeMap<Track, Vec<(u64, u64)>> = BTreeMap::new();
        let mut arrows: BTreeMap<u64, Vec<(String, Track, u64)>> = BTreeMap::new();
        for event in &events {
            let number = |key: &str| event[key].as_u64().unwrap_or_else(|| panic!("{key} of {event}"));
            let track = (number("pid"), number("tid"));
            assert!(event["name"].is_string(), "{event}");
            match event["ph"].as_str().unwrap() {
                "M" => assert!(event["args"].is_object(), "{event}"),
                "X" => slices.entry(track).or_default().push((number("ts"), number("ts") + number("dur"))),
                "i" => assert_eq!(event["s"], "t"),
                phase @ ("s" | "f") => {
                    assert!(phase == "s" || event["bp"] == "e", "{event}");
                    arrows.entry(number("id")).or_default().push((phase.to_owned(), track, number("ts")));
                }
                other => panic!("{other}"),
            }
        }
        for slices in slices.values() {
            for (index, (from, to)) in slices.iter().enumerate() {
                for (other, end) in &slices[index + 1..] {
                    assert!(
                        other >= to || (other >= from && end <= to),
                        "{from}-{to} and {other}-{end} cross"
                    );
                }
            }
        }
        for arrow in arrows.values() {
            let [(start, _, from), (finish, _, to)] = &arrow[..] else { panic!("{arrow:?}") };
            assert!(start == "s" && finish == "f" && from <= to, "{arrow:?}");
            for (_, track, at) in arrow {
                assert!(slices[track].iter().any(|(from, to)| (from..=to).contains(&at)), "{arrow:?}");
            }
        }
        events
    }

    #[test]
    fn a_trace_has_a_track_for_each_thread_of_each_kernel_and_one_arrow() {
        let case = Case::parse("x.case", "x", CASE).unwrap();
        let kernels = ["nt", "reactos"].map(|name| kernels::by_name(name).unwrap());
        let compared = crate::compare(&case, kernels[0], kernels[1]).unwrap();
        let text = format!("{}{}{}", FRAME.0, events("t/x", 0, &compared, kernels), FRAME.1);
        let events = read(&text);
        let names = |of: &str, process: u64| -> Vec<String> {
            let of = events.iter().filter(|event| event["name"] == of && event["pid"] == process);
            of.map(|event| event["args"]["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("process_name", 1), ["t/x: nt"]);
        assert_eq!(names("process_name", 2), ["t/x: reactos"]);
        for process in [1, 2] {
            let tracks = names("thread_name", process);
            for wanted in ["events", "init", "main", "worker"] {
                assert_eq!(tracks.iter().filter(|name| *name == wanted).count(), 1, "{wanted}: {tracks:?}");
            }
        }
        let phase = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
        assert_eq!((phase("s"), phase("f"), phase("i")), (1, 1, 2));
        assert!(events.iter().any(|event| event["name"] == "NtTerminateProcess" && event["dur"] != 0));
    }

    #[test]
    fn kernels_that_agree_have_no_arrow() {
        let text = "# Nothing.\nprocess app\nthread main in=app\n";
        let case = Case::parse("x.case", "x", text).unwrap();
        let nt = kernels::by_name("nt").unwrap();
        let compared = crate::compare(&case, nt, nt).unwrap();
        let text = format!("{}{}{}", FRAME.0, events("t/x", 3, &compared, [nt, nt]), FRAME.1);
        assert!(read(&text).iter().all(|event| event["ph"] == "M" || event["ph"] == "X"));
    }
}
