//! Setting the scene: `init` makes processes and threads, and gives handles to those who use them.

use super::call::{Answer, Given};
use super::error::RecordError;
use super::registers;
use super::run::{Run, unavailable};
use crate::case::{Event, Line, NameKind, Value};
use contract::context::{self, Context};
use contract::{Named, ObjectId, ObjectKind, Outcome, Owner, Status};
use guest::{Pointer, Slot};
use machine::Va;
use std::sync::Arc;

/// CreateThread's flags.
const SUSPENDED: u32 = 1;
const FIRST: u32 = 2;
/// DUPLICATE_SAME_ACCESS.
const SAME_ACCESS: u32 = 2;

impl Run {
    /// `process NAME`.
    pub(super) fn process(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        let name = new_name(&line.event);
        let service = match line.event.value("inherit") {
            Value::None => "CreateProcess",
            _ => "CreateProcessInherit",
        };
        let answer = match self.init_calls(line, line.event.verb, service, &[Given::Out(4)])? {
            Ok(answer) => answer,
            Err(why) => return Ok(why),
        };
        self.created(line, &name, &answer)
    }

    /// `thread NAME in=PROCESS …`.
    pub(super) fn thread(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        let event = &line.event;
        let Value::Name(process) = event.value("in").clone() else { unreachable!("a process is a name") };
        let Some(handle) = self.handles.get(&("init".to_owned(), process.clone())).copied() else {
            return Ok(unavailable("never created"));
        };
        let mut flags = 0;
        if *event.value("suspended") != Value::None {
            flags |= SUSPENDED;
        }
        if self.started.insert(process) {
            flags |= FIRST;
        }
        let patches = patches(event);
        let raw: Vec<u8> = patches
            .iter()
            .flat_map(|(offset, value)| [offset.to_le_bytes(), value.to_le_bytes()])
            .flatten()
            .collect();
        let words = [
            Given::Value(handle),
            Given::Value(flags),
            Given::Bytes(raw),
            Given::Value(patches.len() as u32),
            Given::Out(4),
            Given::Out(8),
        ];
        let answer = match self.init_calls(line, event.verb, "CreateThread", &words)? {
            Ok(answer) => answer,
            Err(why) => return Ok(why),
        };
        self.created(line, &new_name(event), &answer)
    }

    /// What came of a line that creates something; its status is told only when it failed.
    fn created(&mut self, line: &Line, name: &str, answer: &Answer) -> Result<Outcome, RecordError> {
        let status = Status(answer.status);
        if !status.is_success() {
            return Ok(Outcome::Returned { status, values: Vec::new() });
        }
        let handle = answer.out(0);
        let Some((id, kind)) = self.kernel.object(&self.motor.m, Owner::Init, handle) else {
            return Err(self.failed(line, format!("{status}, but the handle given back names no object")));
        };
        self.know_handle("init", name, handle, false);
        self.name_object(name, kind, id);
        self.hand_out(line)?;
        Ok(Outcome::Done)
    }

    /// An object has its name now.
    pub(super) fn name_object(&mut self, name: &str, kind: ObjectKind, id: ObjectId) {
        self.objects.insert(name.to_owned(), (id, kind));
        self.remember_ids(name, id);
        Arc::make_mut(&mut self.motor.named).push(Named { name: name.to_owned(), kind, id });
    }

    /// A process knows a name by a handle now.
    pub(super) fn know_handle(&mut self, process: &str, name: &str, handle: u32, shown: bool) {
        self.handles.insert((process.to_owned(), name.to_owned()), handle);
        let object = self.owner(process).and_then(|owner| self.kernel.object(&self.motor.m, owner, handle));
        if let Some((id, _)) = object.filter(|_| shown && process != "init") {
            self.shown.push((process.to_owned(), name.to_owned(), handle, id));
        }
    }

    /// Gives every process that exists the handles that its threads use by name, as far as the things
    /// named exist and it has none yet.
    pub(super) fn hand_out(&mut self, line: &Line) -> Result<(), RecordError> {
        let wanted: Vec<(String, String)> = self
            .case
            .handles_wanted()
            .into_iter()
            .flat_map(|(process, names)| {
                names.into_iter().map(move |name| (process.to_owned(), name.to_owned()))
            })
            .collect();
        for (process, name) in wanted {
            let missing = !self.handles.contains_key(&(process.clone(), name.clone()));
            let object =
                !matches!(self.case.names.get(&name), Some(NameKind::Handle { .. } | NameKind::Value));
            if missing && object && self.objects.contains_key(&name) && !self.stopped {
                self.give(line, &process, &name)?;
            }
        }
        Ok(())
    }

    /// `init` duplicates a handle into a process. Where that fails, the process has none.
    pub(super) fn give(&mut self, line: &Line, process: &str, name: &str) -> Result<(), RecordError> {
        let of_init = |name: &str| ("init".to_owned(), name.to_owned());
        let target = match process {
            "init" => 0xFFFF_FFFF,
            _ => match self.handles.get(&of_init(process)) {
                Some(handle) => *handle,
                None => return Ok(()),
            },
        };
        // The handle that is duplicated is `init`'s own, or that of the process that made the object.
        let (source, handle) = match (self.handles.get(&of_init(name)), self.case.names.get(name)) {
            (Some(handle), _) => (0xFFFF_FFFF, *handle),
            (None, Some(NameKind::Object { .. } | NameKind::Thread { .. })) => {
                let made = self.handles.iter().find(|((owner, known), _)| known == name && owner != process);
                let made = made.map(|((owner, _), handle)| (owner.clone(), *handle));
                match made.and_then(|(owner, handle)| Some((*self.handles.get(&of_init(&owner))?, handle))) {
                    Some(found) => found,
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        let words = [
            Given::Value(source),
            Given::Value(handle),
            Given::Value(target),
            Given::Out(4),
            Given::Value(0),
            Given::Value(0),
            Given::Value(SAME_ACCESS),
        ];
        if let Ok(answer) = self.init_calls(line, line.event.verb, "NtDuplicateObject", &words)?
            && Status(answer.status).is_success()
        {
            self.know_handle(process, name, answer.out(0), true);
        }
        Ok(())
    }
}

/// The name that a scene line creates.
fn new_name(event: &Event) -> String {
    match event.value("name") {
        Value::Name(name) => name.clone(),
        _ => unreachable!("a new name is a name"),
    }
}

/// What a thread line changes in the CONTEXT: offsets and values.
fn patches(event: &Event) -> Vec<(u32, u32)> {
    let layout = Context::at(Va(0));
    let mut found = Vec::new();
    let mut patch = |slot: Slot<u32>, value: u32| found.push((slot.at.0, value));
    let given = |key: &str| match event.value(key) {
        Value::Number(value) => Some(*value),
        _ => None,
    };
    if let Some(groups) = given("contextflags") {
        patch(layout.context_flags(), context::FULL | groups);
    }
    for (key, slot) in registers::all(layout) {
        if let Some(value) = given(key) {
            patch(slot, value);
        }
    }
    let float = [
        ("fpu-control", layout.float_control(), 0x37F),
        ("fpu-status", layout.float_status(), 0),
        ("fpu-tag", layout.float_tag(), 0xFFFF),
    ];
    if float.iter().any(|(key, ..)| given(key).is_some()) {
        for (key, slot, clean) in float {
            patch(slot, given(key).unwrap_or(clean));
        }
    }
    found
}
