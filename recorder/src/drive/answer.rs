//! What a call gave back, as text that holds no address.

use super::call::{Pending, dword};
use super::frame::UNWRITTEN;
use super::look::{flags_text, selector_text};
use super::registers;
use super::run::Run;
use crate::case::Event;
use crate::verbs::{Binds, Choices, Gives, How, Param, choices};
use contract::context::{self, Context};
use contract::{ObjectId, ObjectKind, Outcome, Status};
use guest::{Pointer, Slot};
use machine::Va;

type Values = Vec<(String, String)>;

impl Run {
    /// What came of a thread's event.
    pub(super) fn answer(&mut self, event: &Event, thread: ObjectId) -> Outcome {
        let unfinished = self.unfinished(thread);
        let call = self.watched.get_mut(&thread).and_then(|watched| watched.call.as_mut());
        let Some(call) = call.filter(|call| std::ptr::eq(call.verb, event.verb)) else { return unfinished };
        match &call.outcome {
            Some(outcome) => outcome.clone(),
            // It waits for good: the system stopped while it was at work.
            None if self.stopped => call.outcome.insert(Outcome::Ended).clone(),
            None => unfinished,
        }
    }

    /// What came of a call that has just returned.
    pub(super) fn returned(&self, call: &Pending) -> Option<Outcome> {
        let (eax, outs) = call.result.as_ref()?;
        match call.verb.how {
            How::Program("fnstcw") => {
                let values = vec![("control-word".to_owned(), format!("{:04X}", eax & 0xFFFF))];
                return Some(Outcome::Seen { values });
            }
            How::Program("read") => {
                let values = vec![("value".to_owned(), self.place_text(*eax))];
                return Some(Outcome::Seen { values });
            }
            How::Program("syscall") => {
                return Some(Outcome::Returned { status: Status(*eax), values: Vec::new() });
            }
            How::Program(_) | How::Recorder(_) => return Some(Outcome::Done),
            // What these give back is nothing, and EAX is chance.
            How::Call { gives: Gives::Nothing, .. } => return Some(Outcome::Done),
            How::Call { gives: Gives::Number(name), .. } => {
                return Some(Outcome::Seen { values: vec![(name.to_owned(), format!("{eax:X}"))] });
            }
            How::Call { gives: Gives::Bool, .. } => {
                let mut values =
                    vec![("value".to_owned(), if *eax == 0 { "FALSE" } else { "TRUE" }.to_owned())];
                if *eax == 0 {
                    values.push(("error".to_owned(), self.last_error()));
                }
                return Some(Outcome::Seen { values });
            }
            How::Call { gives: Gives::Status, .. } => {}
        }
        let status = Status(*eax);
        let mut values = Vec::new();
        if status.is_success() {
            for ((param, _), bytes) in call.outs.iter().zip(outs) {
                self.value(*param, call, bytes, &mut values);
            }
        }
        Some(Outcome::Returned { status, values })
    }

    fn value(&self, param: Param, call: &Pending, bytes: &[u8], values: &mut Values) {
        let mut show = |name: &str, value: String| values.push((name.to_owned(), value));
        match param {
            Param::Out(name) => show(
                name,
                match dword(bytes, 0) {
                    UNWRITTEN => "unwritten".to_owned(),
                    // What a mutant's recursion makes of its state is negative.
                    value => (value as i32).to_string(),
                },
            ),
            Param::OutWord(name) => show(name, self.place_text(dword(bytes, 0))),
            Param::Query => query(call, bytes, values),
            Param::ContextOut => self.context_values(bytes, values),
            Param::StateChange
                if Status(call.result.as_ref().map_or(0, |(eax, _)| *eax)) == Status::SUCCESS =>
            {
                self.state_change(bytes, values);
            }
            _ => {}
        }
    }

    /// A DBGUI_WAIT_STATE_CHANGE.
    fn state_change(&self, bytes: &[u8], values: &mut Values) {
        let mut show = |name: &str, value: String| values.push((name.to_owned(), value));
        let ids = (dword(bytes, 4), dword(bytes, 8));
        let info = |index: usize| dword(bytes, 0xC + 4 * index);
        let named = |wanted: &dyn Fn(&(u32, u32)) -> bool| {
            let mut names =
                self.motor.named.iter().filter(|named| self.ids.get(&named.name).is_some_and(wanted));
            names.next().map_or("unknown".to_owned(), |named| named.name.clone())
        };
        let state = dword(bytes, 0);
        show("event", STATES.get(state as usize).map_or(format!("{state:08X}"), |name| (*name).to_owned()));
        show("process", named(&|known| *known == (ids.0, 0)));
        show("thread", named(&|known| *known == ids));
        match state {
            4 | 5 => show("status", Status(info(0)).to_string()),
            6..=8 => {
                show("exception", Status(info(0)).to_string());
                show("chance", if dword(bytes, 0x5C) != 0 { "first" } else { "second" }.to_owned());
                show("address", self.place_text(info(3)));
                let count = info(4).min(15) as usize;
                let words: Vec<String> = (0..count).map(|index| self.place_text(info(5 + index))).collect();
                if count != 0 {
                    show("information", words.join(" "));
                }
            }
            _ => {}
        }
    }

    /// The groups of a CONTEXT that its flags say are there; no stack pointers, which are addresses.
    fn context_values(&self, bytes: &[u8], values: &mut Values) {
        let layout = Context::at(Va(0));
        let get = |slot: Slot<u32>| dword(bytes, slot.at.0 as usize);
        let flags = get(layout.context_flags());
        let mut show = |name: &str, value: String| values.push((name.to_owned(), value));
        show("flags", groups(flags));
        let has = |group: u32| flags & group == group;
        if has(context::CONTROL) {
            show("eip", self.place_text(get(layout.eip())));
            show("cs", selector_text(get(layout.seg_cs())));
            show("ss", selector_text(get(layout.seg_ss())));
            show("eflags", flags_text(get(layout.e_flags())));
        }
        if has(context::INTEGER) {
            for (name, slot) in registers::integer(layout) {
                show(name, self.place_text(get(slot)));
            }
        }
        if has(context::SEGMENTS) {
            for (name, slot) in [
                ("ds", layout.seg_ds()),
                ("es", layout.seg_es()),
                ("fs", layout.seg_fs()),
                ("gs", layout.seg_gs()),
            ] {
                show(name, selector_text(get(slot)));
            }
        }
        super::float::show(bytes, has(context::FLOATING_POINT), has(context::EXTENDED_REGISTERS), &mut show);
        if has(context::DEBUG_REGISTERS) {
            for (name, slot) in registers::debug(layout) {
                show(name, format!("{:08X}", get(slot)));
            }
        }
    }
}

/// DBG_STATE by number.
const STATES: [&str; 11] = [
    "Idle",
    "ReplyPending",
    "CreateThread",
    "CreateProcess",
    "ExitThread",
    "ExitProcess",
    "Exception",
    "Breakpoint",
    "SingleStep",
    "LoadDll",
    "UnloadDll",
];

/// ContextFlags as the words for its groups.
fn groups(flags: u32) -> String {
    let single = choices::CONTEXT_GROUPS.words.iter().filter(|(word, _)| *word != "full");
    let words: Vec<&str> =
        single.filter(|(_, group)| flags & group == *group).map(|(word, _)| *word).collect();
    if words.is_empty() { format!("{flags:08X}") } else { words.join("|") }
}

/// What a query of an information class answered.
fn query(call: &Pending, bytes: &[u8], values: &mut Values) {
    let mut show = |name: &str, value: String| values.push((name.to_owned(), value));
    let first = dword(bytes, 0);
    let set = |value: u32| if value == 0 { "NULL" } else { "set" }.to_owned();
    let known =
        |choices: &Choices, name: &str| choices.find(name).is_some_and(|(_, value)| value == call.class);
    let of_process = call.verb.name == "NtQueryInformationProcess";
    let choices = if of_process { &choices::PROCESS_CLASS } else { &choices::THREAD_CLASS };
    if known(choices, "BasicInformation") {
        show("exit-status", Status(first).to_string());
        if !of_process {
            show("teb", set(dword(bytes, 4)));
        }
        if call.whole {
            let at: &[(&str, usize)] = match of_process {
                true => &[("affinity", 8), ("base-priority", 12)],
                false => &[("affinity", 16), ("priority", 20), ("base-priority", 24)],
            };
            for (name, offset) in at {
                show(name, (dword(bytes, *offset) as i32).to_string());
            }
        }
    } else if known(choices, "Times") {
        // CreateTime, ExitTime, KernelTime, UserTime.
        show("create-time", set(dword(bytes, 0) | dword(bytes, 4)));
        show("exit-time", set(dword(bytes, 8) | dword(bytes, 12)));
    } else if known(choices, "DebugPort") || known(choices, "DebugObjectHandle") {
        show("value", set(first));
    } else if first == UNWRITTEN {
        show("value", "unwritten".to_owned());
    } else {
        show("value", format!("{first:08X}"));
    }
}

impl Run {
    /// Binds what a successful call gave back to the line's name, and gives the other processes of
    /// the case the handles that they use.
    pub(super) fn bind(
        &mut self,
        line: &crate::Line,
        actor: &str,
        thread: ObjectId,
    ) -> Result<(), super::RecordError> {
        let Some(name) = line.event.result.clone() else { return Ok(()) };
        let Some(call) = self.watched.get(&thread).and_then(|watched| watched.call.clone()) else {
            return Ok(());
        };
        let Some((_, outs)) = &call.result else { return Ok(()) };
        let given =
            call.outs.iter().zip(outs).find_map(|((param, _), bytes)| match (param, line.event.verb.binds) {
                (Param::OutHandle | Param::InOut(_), _) => Some(dword(bytes, 0)),
                (Param::Out(out), Binds::Value(bound)) if *out == bound => Some(dword(bytes, 0)),
                _ => None,
            });
        let Some(value) = given else { return Ok(()) };
        let process = match self.case.names.get(&name) {
            Some(crate::case::NameKind::Value) | None => {
                self.values.insert(name, value);
                return Ok(());
            }
            Some(crate::case::NameKind::Handle { process }) => process.clone(),
            Some(_) => self.process_of(actor),
        };
        self.know_handle(&process, &name, value, true);
        if let Binds::Object(_) = line.event.verb.binds
            && let Some(owner) = self.owner(&process)
            && let Some((id, kind)) = self.kernel.object(&self.motor.m, owner, value)
        {
            self.name_object(&name, kind, id);
            if kind == ObjectKind::Thread && process != "init" {
                // `init` keeps every thread that a case has named, so that its end can be seen.
                self.give(line, "init", &name)?;
            }
            self.hand_out(line)?;
        }
        Ok(())
    }
}
