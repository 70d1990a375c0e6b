//! What goes on the stack for a call: the parameters, and the locals that they point to.

use super::quiet::park;
use super::registers;
use super::run::{Run, unavailable};
use crate::case::{Event, HandleRef, Time, Value};
use crate::verbs::Param;
use contract::{ObjectId, ObjectKind, Outcome, context, program};
use guest::Pointer;
use machine::{PAGE, Va};

/// What a doubleword holds that a call is to fill; no count, handle or status looks like it.
pub(super) const UNWRITTEN: u32 = 0xCCCC_CCCC;
/// The name of an object that is opened by a name: no object has it.
const NAME: &str = "\\Tandem";
/// A handle that no table holds.
const BAD: u32 = 0x0BAD_BAD0;
/// What goes on the stack for a parameter.
pub(super) enum Word {
    Value(u32),
    /// The address of the local at this offset.
    Local(usize),
}

/// A call's frame: the words of its parameters, and the locals above them.
#[derive(Default)]
pub(super) struct Stack {
    /// The parameters, first argument first.
    pub(super) words: Vec<Word>,
    /// The locals' bytes, a multiple of four.
    pub(super) locals: Vec<u8>,
    /// What the call fills: the parameter and its local's offset.
    pub(super) outs: Vec<(Param, usize)>,
    /// Pointers within the locals: where each lies, and the local that it points to.
    pub(super) links: Vec<(usize, usize)>,
}

impl Stack {
    /// Adds a local; its offset.
    fn local(&mut self, bytes: &[u8]) -> usize {
        let at = self.locals.len();
        self.locals.extend_from_slice(bytes);
        self.locals.resize(self.locals.len().next_multiple_of(4), 0);
        at
    }
    /// Adds a local and a pointer to it; the local's offset.
    pub(super) fn pointer(&mut self, bytes: &[u8]) -> usize {
        let at = self.local(bytes);
        self.words.push(Word::Local(at));
        at
    }
    /// Adds a local that the call fills, and a pointer to it.
    pub(super) fn out(&mut self, param: Param, bytes: &[u8]) {
        let at = self.pointer(bytes);
        self.outs.push((param, at));
    }
}

impl Run {
    /// Adds what an event gives for a parameter.
    pub(super) fn param(
        &mut self,
        stack: &mut Stack,
        param: Param,
        event: &Event,
        actor: &str,
        thread: ObjectId,
    ) -> Result<(), Outcome> {
        match param {
            Param::Arg(key) => {
                let value = match event.value(key) {
                    Value::Handle(HandleRef::Named(name)) if key == "source" => {
                        self.source(event, actor, name)?
                    }
                    value => self.word(value, actor)?,
                };
                stack.words.push(Word::Value(value));
            }
            Param::Time(key) => match event.value(key) {
                Value::Time(Time::After(units)) => {
                    let raw = (*units as i64).wrapping_neg().to_le_bytes();
                    stack.pointer(&raw);
                }
                // A relative time that never comes to its end is how a program sleeps for ever.
                _ if key == "interval" => {
                    stack.pointer(&i64::MIN.to_le_bytes());
                }
                _ => stack.words.push(Word::Value(0)),
            },
            Param::Count(key) => {
                let Value::Handles(handles) = event.value(key) else { unreachable!("a list of handles") };
                let count = match event.value("count") {
                    Value::Number(count) => *count,
                    _ => handles.len() as u32,
                };
                stack.words.push(Word::Value(count));
            }
            Param::Array(key) => {
                let Value::Handles(handles) = event.value(key) else { unreachable!("a list of handles") };
                let mut raw = Vec::new();
                for handle in handles {
                    raw.extend(self.handle(handle, actor)?.to_le_bytes());
                }
                stack.pointer(&raw);
            }
            Param::Out(_) | Param::OutWord(_) | Param::OutHandle => {
                stack.out(param, &UNWRITTEN.to_le_bytes())
            }
            Param::Const(value) => stack.words.push(Word::Value(value)),
            Param::ObjectAttributes => self.object_attributes(stack, event)?,
            Param::ClientId(key) => {
                let (process, thread) = self.client_id(event, key)?;
                let raw = [process.to_le_bytes(), thread.to_le_bytes()].concat();
                stack.pointer(&raw);
            }
            Param::Or(key, otherwise) => match event.value(key) {
                Value::None => self.param(stack, *otherwise, event, actor, thread)?,
                given => {
                    let value = self.word(given, actor)?;
                    stack.words.push(Word::Value(value));
                }
            },
            Param::Scratch(len) => {
                stack.pointer(&vec![0; len]);
            }
            Param::ThreadContext => {
                let raw = self.start_context(event)?;
                stack.pointer(&raw);
            }
            Param::InitialTeb => {
                let top = self.number(event.value("esp"))?.next_multiple_of(PAGE);
                let bottom = top.wrapping_sub(PAGE);
                // What stands first is for a stack that somebody else had before.
                let raw = [0, 0, top, bottom, bottom].map(u32::to_le_bytes).concat();
                stack.pointer(&raw);
            }
            Param::Pointer(key) => {
                let value = self.word(event.value(key), actor)?;
                stack.pointer(&value.to_le_bytes());
            }
            Param::InOut(key) => {
                let value = self.word(event.value(key), actor)?;
                stack.out(param, &value.to_le_bytes());
            }
            Param::Query => {
                let (class, length) = class_and_length(event);
                stack.words.push(Word::Value(class));
                let buffer = length.min(QUERY_MAX as u32) as usize;
                let mut raw = UNWRITTEN.to_le_bytes().repeat(QUERY_MAX / 4);
                raw.truncate(buffer.max(4).next_multiple_of(4));
                raw.resize(QUERY_MAX, 0);
                stack.out(param, &raw);
                stack.words.push(Word::Value(length));
                stack.words.push(Word::Value(0));
            }
            Param::Set => {
                let (class, length) = class_and_length(event);
                let value = self.word(event.value("value"), actor)?;
                stack.words.push(Word::Value(class));
                stack.pointer(&value.to_le_bytes());
                stack.words.push(Word::Value(length));
            }
            Param::ContextOut => {
                let flags = self.word(event.value("flags"), actor)?;
                let mut raw = vec![0; context::SIZE as usize];
                raw[..4].copy_from_slice(&flags.to_le_bytes());
                stack.out(param, &raw);
            }
            Param::ContextIn => {
                let raw = self.context(event, actor, thread)?;
                stack.pointer(&raw);
            }
            Param::StateChange => {
                let raw = UNWRITTEN.to_le_bytes().repeat(0x60 / 4);
                stack.out(param, &raw);
            }
        }
        Ok(())
    }

    /// A value as a doubleword.
    pub(super) fn word(&self, value: &Value, actor: &str) -> Result<u32, Outcome> {
        match value {
            Value::Handle(handle) => self.handle(handle, actor),
            Value::Bool(yes) => Ok(u32::from(*yes)),
            other => self.number(other),
        }
    }

    /// A value that is no handle, as a doubleword.
    pub(super) fn number(&self, value: &Value) -> Result<u32, Outcome> {
        Ok(match value {
            Value::Number(value) | Value::Choice(_, value) => *value,
            Value::Symbol(place, offset) if place == "data" => program::DATA.0.wrapping_add(*offset),
            Value::Symbol(place, offset) => {
                let symbol =
                    [program::ENTRY, program::PARK, program::APC].into_iter().find(|known| known == place);
                program::symbol(symbol.unwrap_or(program::PARK)).0.wrapping_add(*offset)
            }
            Value::Bound(name, offset) => {
                let value = self.values.get(name).ok_or_else(|| unavailable("never bound"))?;
                value.wrapping_add(*offset)
            }
            _ => 0,
        })
    }

    /// The handle that is duplicated: that of the process that it is taken from, else the value that
    /// another process has bound.
    fn source(&self, event: &Event, actor: &str, name: &str) -> Result<u32, Outcome> {
        let process = event.source_process().map_or_else(|| self.process_of(actor), str::to_owned);
        let own = self.handles.get(&(process, name.to_owned()));
        let bound = || self.handles.iter().find(|((_, known), _)| known == name).map(|(_, handle)| handle);
        match own.or_else(bound) {
            Some(handle) => Ok(*handle),
            None => self.handle(&HandleRef::Named(name.to_owned()), actor),
        }
    }

    fn handle(&self, handle: &HandleRef, actor: &str) -> Result<u32, Outcome> {
        Ok(match handle {
            HandleRef::CurrentProcess => 0xFFFF_FFFF,
            HandleRef::CurrentThread => 0xFFFF_FFFE,
            HandleRef::Null => 0,
            HandleRef::Bad => BAD,
            HandleRef::Number(value) => *value,
            HandleRef::Near(name, offset) => {
                self.handle(&HandleRef::Named(name.clone()), actor)?.wrapping_add(*offset)
            }
            HandleRef::Named(name) => match self.handles.get(&(self.process_of(actor), name.clone())) {
                Some(handle) => *handle,
                None if self.exists(name) => return Err(unavailable("no handle")),
                None => return Err(unavailable("never created")),
            },
        })
    }

    /// The ids of what an argument names, unless others are given.
    fn client_id(&self, event: &Event, key: &str) -> Result<(u32, u32), Outcome> {
        let known = |name: &str| self.ids.get(name).copied().ok_or_else(|| unavailable("never created"));
        let mut ids = match event.value(key) {
            Value::Name(name) => {
                let (process, thread) = known(name)?;
                let is_process = self.objects.get(name).is_some_and(|(_, kind)| *kind == ObjectKind::Process);
                (process, if is_process { 0 } else { thread })
            }
            _ => (0, 0),
        };
        let given = |key: &str| event.verb.args.iter().any(|a| a.key == key).then(|| event.value(key));
        if let Some(Value::Name(process)) = given("of") {
            ids.0 = known(process)?.0;
        }
        if let Some(Value::Number(id)) = given("process-id") {
            ids.0 = *id;
        }
        if let Some(Value::Number(id)) = given("thread-id") {
            ids.1 = *id;
        }
        Ok(ids)
    }

    /// An OBJECT_ATTRIBUTES, and the name that it points to.
    fn object_attributes(&self, stack: &mut Stack, event: &Event) -> Result<(), Outcome> {
        let given = |key: &str| event.verb.args.iter().any(|a| a.key == key).then(|| event.value(key));
        let mut raw = [0; 0x18];
        raw[0] = 0x18;
        if let Some(attributes @ Value::Number(_)) = given("attributes") {
            raw[0xC..0x10].copy_from_slice(&self.number(attributes)?.to_le_bytes());
        }
        let at = stack.pointer(&raw);
        if let Some(Value::Bool(true)) = given("named") {
            let text: Vec<u8> = NAME.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let length = text.len() as u16;
            let text = stack.local(&text);
            let string = [length.to_le_bytes(), length.to_le_bytes(), [0, 0], [0, 0]].concat();
            let string = stack.local(&string);
            stack.links.extend([(string + 4, text), (at + 8, string)]);
        }
        Ok(())
    }

    /// The CONTEXT of a thread that starts in the program.
    fn start_context(&self, event: &Event) -> Result<Vec<u8>, Outcome> {
        let [eip, esp] = [self.number(event.value("eip"))?, self.number(event.value("esp"))?];
        Ok(flat_context(context::FULL, eip, esp))
    }

    /// A CONTEXT: what a thread has at rest, and what the event gives.
    fn context(&self, event: &Event, actor: &str, caller: ObjectId) -> Result<Vec<u8>, Outcome> {
        use context::Context;
        let target = match event.verb.args.iter().any(|argument| argument.key == "thread") {
            true => match event.value("thread") {
                Value::Handle(HandleRef::Named(name)) => self.objects.get(name).map(|(id, _)| *id),
                _ => Some(caller),
            },
            false => Some(caller),
        };
        let statuses = self.kernel.threads(&self.motor.m);
        let status = statuses.iter().find(|status| Some(status.id) == target);
        let at = status.and_then(|status| status.user.or(status.resume.filter(|resume| resume.user)));
        let flags = self.word(event.value("flags"), actor)?;
        let esp = status.zip(at).map_or(0, |(status, at)| self.rest(status.id, at.esp));
        let mut raw = flat_context(flags, park().0, esp);
        let layout = Context::at(Va(0));
        let mut set = |slot: guest::Slot<u32>, value: u32| put(&mut raw, slot, value);
        set(layout.ebp(), at.map_or(0, |at| at.ebp));
        for (key, slot) in registers::all(layout) {
            if *event.value(key) != Value::None {
                set(slot, self.word(event.value(key), actor)?);
            }
        }
        super::float::put(&mut raw, &|key| match event.value(key) {
            Value::Number(value) => Some(*value),
            _ => None,
        });
        Ok(raw)
    }
}

/// Writes a field of a CONTEXT that is being built: its slot is one of a CONTEXT at address 0.
fn put(raw: &mut [u8], slot: guest::Slot<u32>, value: u32) {
    let offset = slot.at.0 as usize;
    raw[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

/// A CONTEXT of flat user-mode code with interrupts enabled, and nothing else in it.
fn flat_context(flags: u32, eip: u32, esp: u32) -> Vec<u8> {
    let mut raw = vec![0; context::SIZE as usize];
    let layout = context::Context::at(Va(0));
    for (slot, value) in [
        (layout.context_flags(), flags),
        (layout.eip(), eip),
        (layout.esp(), esp),
        (layout.e_flags(), 0x202),
        (layout.seg_cs(), 0x1B),
        (layout.seg_ss(), 0x23),
        (layout.seg_ds(), 0x23),
        (layout.seg_es(), 0x23),
        (layout.seg_fs(), 0x3B),
    ] {
        put(&mut raw, slot, value);
    }
    raw
}

/// Bytes of the largest query's buffer.
const QUERY_MAX: usize = 0x40;

/// How many bytes of what a call fills are looked at.
pub(super) fn out_len(param: Param) -> usize {
    match param {
        Param::ContextOut => context::SIZE as usize,
        Param::StateChange => 0x60,
        Param::Query => QUERY_MAX,
        _ => 4,
    }
}

/// The number of an information class and the length that goes with it.
pub(super) fn class_and_length(event: &Event) -> (u32, u32) {
    let class = match event.value("class") {
        Value::Choice(_, class) | Value::Number(class) => *class,
        _ => 0,
    };
    let own = match (event.verb.name, class) {
        ("NtQueryInformationProcess", 0) => 0x18,
        ("NtQueryInformationProcess", 4) => 0x20,
        ("NtQueryInformationThread", 0) => 0x1C,
        ("NtQueryInformationThread", 1) => 0x20,
        // Hiding from the debugger takes no value.
        ("NtSetInformationThread", 0x11) => 0,
        _ => 4,
    };
    match event.value("length") {
        Value::Number(length) => (class, *length),
        _ => (class, own),
    }
}
