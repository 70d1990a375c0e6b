//! What goes on the stack for a call: the parameters, and the locals that they point to.

use super::quiet::park;
use super::run::{Run, unavailable};
use crate::case::{Event, HandleRef, Time, Value};
use crate::verbs::Param;
use contract::{ObjectId, ObjectKind, Outcome, context, program};
use guest::Pointer;
use machine::Va;

/// What a doubleword holds that a call is to fill; no count, handle or status looks like it.
pub(super) const UNWRITTEN: u32 = 0xCCCC_CCCC;
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
                let value = self.word(event.value(key), actor)?;
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
                stack.words.push(Word::Value(handles.len() as u32));
            }
            Param::Array(key) => {
                let Value::Handles(handles) = event.value(key) else { unreachable!("a list of handles") };
                let mut raw = Vec::new();
                for handle in handles {
                    raw.extend(self.handle(handle, actor)?.to_le_bytes());
                }
                stack.pointer(&raw);
            }
            Param::Out(_) | Param::OutHandle => stack.out(param, &UNWRITTEN.to_le_bytes()),
            Param::Const(value) => stack.words.push(Word::Value(value)),
            Param::ObjectAttributes => {
                let mut raw = [0; 0x18];
                raw[0] = 0x18;
                stack.pointer(&raw);
            }
            Param::ClientId(key) => {
                let (process, thread) = self.client_id(event.value(key))?;
                let raw = [process.to_le_bytes(), thread.to_le_bytes()].concat();
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
    fn word(&self, value: &Value, actor: &str) -> Result<u32, Outcome> {
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
            Value::Name(bound) => *self.values.get(bound).ok_or_else(|| unavailable("never bound"))?,
            _ => 0,
        })
    }

    fn handle(&self, handle: &HandleRef, actor: &str) -> Result<u32, Outcome> {
        Ok(match handle {
            HandleRef::CurrentProcess => 0xFFFF_FFFF,
            HandleRef::CurrentThread => 0xFFFF_FFFE,
            HandleRef::Null => 0,
            HandleRef::Bad => BAD,
            HandleRef::Number(value) => *value,
            HandleRef::Named(name) => {
                let own = self.handles.get(&(self.process_of(actor), name.clone()));
                // The source of a duplication may be a handle that another process has bound.
                let bound = || {
                    let mut bound = self.handles.iter().filter(|((_, known), _)| known == name);
                    bound.next().map(|(_, handle)| handle)
                };
                match own.or_else(bound) {
                    Some(handle) => *handle,
                    None if self.exists(name) => return Err(unavailable("no handle")),
                    None => return Err(unavailable("never created")),
                }
            }
        })
    }

    fn client_id(&self, value: &Value) -> Result<(u32, u32), Outcome> {
        let Value::Name(name) = value else { unreachable!("whose ids is a name") };
        let (process, thread) = *self.ids.get(name).ok_or_else(|| unavailable("never created"))?;
        let is_process = self.objects.get(name).is_some_and(|(_, kind)| *kind == ObjectKind::Process);
        Ok((process, if is_process { 0 } else { thread }))
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
        let mut raw = vec![0; context::SIZE as usize];
        let layout = Context::at(Va(0));
        let mut set = |slot: guest::Slot<u32>, value: u32| {
            let offset = slot.at.0 as usize;
            raw[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        };
        set(layout.context_flags(), self.word(event.value("flags"), actor)?);
        for (slot, value) in [
            (layout.eip(), park().0),
            (layout.esp(), status.zip(at).map_or(0, |(status, at)| self.rest(status.id, at.esp))),
            (layout.ebp(), at.map_or(0, |at| at.ebp)),
            (layout.eflags(), 0x202),
            (layout.seg_cs(), 0x1B),
            (layout.seg_ss(), 0x23),
            (layout.seg_ds(), 0x23),
            (layout.seg_es(), 0x23),
            (layout.seg_fs(), 0x3B),
        ] {
            set(slot, value);
        }
        for (key, slot) in [
            ("eip", layout.eip()),
            ("eflags", layout.eflags()),
            ("segcs", layout.seg_cs()),
            ("segss", layout.seg_ss()),
            ("eax", layout.eax()),
            ("dr0", layout.dr0()),
            ("dr1", layout.dr1()),
            ("dr2", layout.dr2()),
            ("dr3", layout.dr3()),
            ("dr6", layout.dr6()),
            ("dr7", layout.dr7()),
        ] {
            if *event.value(key) != Value::None {
                set(slot, self.word(event.value(key), actor)?);
            }
        }
        Ok(raw)
    }
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
