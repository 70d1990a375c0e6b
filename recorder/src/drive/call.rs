//! Placing a call on a thread's stack, as the program would.

use super::error::RecordError;
use super::frame::{Stack, UNWRITTEN, Word, class_and_length, out_len};
use super::motor::Pause;
use super::quiet::{SLICE, breakpoints, park, parked};
use super::run::{Run, unavailable};
use crate::case::{Event, Line, Value};
use crate::recording::Reaching;
use crate::verbs::{How, Kind, Param, Verb};
use contract::{Activity, ObjectId, Outcome, ThreadStatus, program};
use machine::{Reg, Va};

/// A call that a thread has made.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) verb: &'static Verb,
    /// The information class that it asks about.
    pub(super) class: u32,
    /// Whether all that the basic class says is shown.
    pub(super) whole: bool,
    /// ESP once it has returned; the thread is at `park` then.
    back: u32,
    /// ESP before it was placed.
    rest: u32,
    /// Where it puts what it gives back.
    pub(super) outs: Vec<(Param, Va)>,
    /// What it gave back, once it has returned: EAX, and the bytes of `outs`.
    pub(super) result: Option<(u32, Vec<Vec<u8>>)>,
    /// What came of it, once it has returned.
    pub(super) outcome: Option<Outcome>,
}

/// How often the scheduler is rotated for a thread before it counts as never scheduled.
const ROTATIONS: u32 = 400;
/// How many clock interrupts may find a thread where the last event was cut short. Several quanta: one that
/// is there all the same is at an IRQL at which no interrupt switches threads, or nobody ready may have the
/// processor instead, and must go on before anybody else can.
const HELD: u32 = 60;

impl Run {
    /// Rotates the scheduler until a thread is current and sits at `park`. What it is doing instead is
    /// an outcome of its own.
    pub(super) fn bring(
        &mut self,
        line: &Line,
        actor: &str,
    ) -> Result<Result<ObjectId, Outcome>, RecordError> {
        let Some((thread, _)) = self.objects.get(actor).copied() else {
            return Ok(Err(unavailable("never created")));
        };
        if self.passed_over.contains(&thread) {
            return Ok(Err(unavailable("not scheduled")));
        }
        if self.cut.is_some_and(|cut| cut.thread == thread) {
            self.cut = None;
        }
        let mut met = false;
        let mut held = 0;
        for _ in 0..ROTATIONS {
            let statuses = self.kernel.threads(&self.motor.m);
            let Some(status) = statuses.iter().find(|status| status.id == thread) else {
                return Ok(Err(unavailable("terminated")));
            };
            if let Some(why) = why_not(status) {
                return Ok(Err(unavailable(why)));
            }
            if status.current && parked(&self.motor.m, status) {
                return Ok(Ok(thread));
            }
            met |= status.current;
            if !status.current
                && status.resume.is_some_and(|resume| resume.user)
                && !parked(&self.motor.m, status)
            {
                return Ok(Err(unavailable("busy")));
            }
            self.tick();
            held += u32::from(self.slice(line)?);
            if held > HELD {
                self.cut = None;
            }
        }
        Ok(Err(unavailable(if met { "busy" } else { "not scheduled" })))
    }

    /// Lets the machine run for a slice, or until somebody parks, or until the thread that the last event
    /// was cut short at is about to go on; whether it is.
    fn slice(&mut self, line: &Line) -> Result<bool, RecordError> {
        let end = self.motor.m.retired + SLICE;
        let points: Vec<Va> = breakpoints().into_iter().chain(self.cut.map(|cut| cut.at)).collect();
        loop {
            match self.motor.advance(end, &points, self.first_wanted) {
                Pause::Stopped(what) => return Err(self.failed(line, what)),
                Pause::UserEntry => self.entered(),
                Pause::Breakpoint(at) if self.cut.is_some_and(|cut| cut.at == at) => {
                    if self.cut == Some(self.here(at)) {
                        return Ok(true);
                    }
                }
                Pause::Breakpoint(at) if at != park() => self.passed(at),
                _ => {
                    self.arrive();
                    return Ok(false);
                }
            }
        }
    }

    /// Makes the thread that is current and at `park` do what an event says.
    pub(super) fn place(
        &mut self,
        event: &Event,
        actor: &str,
        thread: ObjectId,
    ) -> Result<Result<(), Outcome>, RecordError> {
        if self.motor.m.cpu.cpl() != 3 {
            return Ok(Err(unavailable("in ring 0")));
        }
        let mut stack = Stack::default();
        let mut registers = Vec::new();
        let target = match event.verb.how {
            How::Call { service, params, .. } => {
                let Some(entry) = self.kernel.image().services.get(service).copied() else {
                    return Ok(Err(unavailable("no such service")));
                };
                for param in params {
                    if let Err(why) = self.param(&mut stack, *param, event, actor, thread) {
                        return Ok(Err(why));
                    }
                }
                entry
            }
            How::Program(symbol) => {
                for (argument, value) in event.verb.args.iter().zip(&event.values) {
                    let register = match argument.kind {
                        Kind::Address => Reg::Ecx,
                        _ => Reg::Eax,
                    };
                    match self.word(value, actor) {
                        Ok(value) => registers.push((register as u8, value)),
                        Err(why) => return Ok(Err(why)),
                    }
                }
                program::symbol(symbol)
            }
            How::Recorder(_) => {
                let Value::Choice(kind, _) = event.value("kind") else { unreachable!("a kind is a word") };
                match self.number(event.value("address")) {
                    Ok(address) => registers.push((Reg::Ecx as u8, address)),
                    Err(why) => return Ok(Err(why)),
                }
                program::symbol(kind)
            }
        };
        self.start_counting();
        let call = matches!(event.verb.how, How::Call { .. });
        let given = |key: &str| event.verb.args.iter().any(|argument| argument.key == key);
        let class = match given("class") {
            true => class_and_length(event).0,
            false => 0,
        };
        let put = self.put(event.verb, target, stack, registers, call);
        if let Some(pending) = self.watched.get_mut(&thread).and_then(|watched| watched.call.as_mut()) {
            pending.class = class;
            pending.whole = given("whole") && *event.value("whole") == Value::Bool(true);
        }
        Ok(put)
    }

    /// The thread that is current calls an entry point with plain words, pointers made of locals.
    fn put(
        &mut self,
        verb: &'static Verb,
        target: Va,
        mut stack: Stack,
        mut registers: Vec<(u8, u32)>,
        call: bool,
    ) -> Result<(), Outcome> {
        let thread = self.kernel.current(&self.motor.m);
        let esp = self.motor.m.cpu.esp();
        let rest = self.rest(thread, esp);
        let locals = (rest & !3).wrapping_sub(stack.locals.len() as u32);
        let mut writes = Vec::new();
        let mut back = esp;
        if call {
            let mut raw = park().0.to_le_bytes().to_vec();
            for word in &stack.words {
                let value = match word {
                    Word::Value(value) => *value,
                    Word::Local(offset) => locals.wrapping_add(*offset as u32),
                };
                raw.extend(value.to_le_bytes());
            }
            let esp = locals.wrapping_sub(raw.len() as u32);
            for (at, target) in &stack.links {
                let pointer = locals.wrapping_add(*target as u32);
                stack.locals[*at..at + 4].copy_from_slice(&pointer.to_le_bytes());
            }
            raw.extend(&stack.locals);
            writes.push((Va(esp), raw));
            registers.push((Reg::Esp as u8, esp));
            back = locals;
        }
        let outs = stack.outs.iter().map(|(param, at)| (*param, Va(locals).add(*at as u32))).collect();
        if self.motor.input(Reaching::Program { writes, registers, eip: target.0 }).is_err() {
            return Err(unavailable("no stack"));
        }
        self.caller = Some(thread);
        let watched = self.watched.entry(thread).or_default();
        watched.rest = None;
        watched.call =
            Some(Pending { verb, class: 0, whole: false, back, rest, outs, result: None, outcome: None });
        Ok(())
    }

    /// `init` calls one of the scene's entry points and comes back, or does not.
    pub(super) fn init_calls(
        &mut self,
        line: &Line,
        verb: &'static Verb,
        service: &str,
        words: &[Given],
    ) -> Result<Result<Answer, Outcome>, RecordError> {
        let Some(entry) = self.kernel.image().services.get(service).copied() else {
            return Ok(Err(unavailable("no such service")));
        };
        let thread = match self.bring(line, "init")? {
            Ok(thread) => thread,
            Err(Outcome::Unavailable { why }) => return Ok(Err(unavailable(&format!("init {why}")))),
            Err(why) => return Ok(Err(why)),
        };
        let mut stack = Stack::default();
        for word in words {
            match word {
                Given::Value(value) => stack.words.push(Word::Value(*value)),
                Given::Bytes(bytes) => {
                    stack.pointer(bytes);
                }
                Given::Out(len) => {
                    let unwritten = UNWRITTEN.to_le_bytes().repeat(len / 4);
                    stack.out(Param::OutHandle, &unwritten);
                }
            }
        }
        self.start_counting();
        if let Err(why) = self.put(verb, entry, stack, Vec::new(), true) {
            return Ok(Err(why));
        }
        self.settle(line)?;
        let pending = self.watched.get(&thread).and_then(|watched| watched.call.clone());
        match pending.and_then(|pending| pending.result) {
            Some((status, outs)) => Ok(Ok(Answer { status, outs })),
            None if self.stopped => Ok(Err(Outcome::Ended)),
            None => Ok(Err(self.unfinished(thread))),
        }
    }

    /// A thread's stack pointer without the locals of its last call, which are gone as they are for a
    /// program that has left the function.
    pub(super) fn rest(&self, thread: ObjectId, esp: u32) -> u32 {
        match self.watched.get(&thread).and_then(|watched| watched.rest) {
            Some((left, rest)) if left == esp => rest,
            _ => esp,
        }
    }

    /// Whether the current thread has just come back to `park` from its call; takes what it brings.
    pub(super) fn arrive(&mut self) -> bool {
        let m = &self.motor.m;
        if m.cpu.next() != park() {
            return false;
        }
        let (esp, eax) = (m.cpu.esp(), m.cpu.reg(Reg::Eax));
        let current = self.kernel.current(m);
        let Some(watched) = self.watched.get_mut(&current) else { return false };
        let Some(call) = &mut watched.call else { return false };
        if call.result.is_some() || call.back != esp {
            return false;
        }
        let read = |(param, at): &(Param, Va)| {
            let mut raw = vec![0; out_len(*param)];
            match m.peek(m.cpu.cr3, *at, &mut raw) {
                Ok(()) => raw,
                Err(_) => Vec::new(),
            }
        };
        call.result = Some((eax, call.outs.iter().map(read).collect()));
        watched.rest = Some((call.back, call.rest));
        let call = call.clone();
        let outcome = self.returned(&call);
        if let Some(call) = self.watched.get_mut(&current).and_then(|watched| watched.call.as_mut()) {
            call.outcome = outcome;
        }
        true
    }
}

/// A word of a scene's call.
pub(super) enum Given {
    Value(u32),
    /// Pointer to bytes.
    Bytes(Vec<u8>),
    /// Pointer to so many bytes that the call fills.
    Out(usize),
}

/// What a scene's call gave back.
pub(super) struct Answer {
    pub(super) status: u32,
    pub(super) outs: Vec<Vec<u8>>,
}

impl Answer {
    /// The first doubleword of an out parameter.
    pub(super) fn out(&self, index: usize) -> u32 {
        dword(&self.outs[index], 0)
    }
}

/// A doubleword of what a call filled; FFFFFFFF beyond its end.
pub(super) fn dword(bytes: &[u8], offset: usize) -> u32 {
    match bytes.get(offset..offset + 4) {
        Some(raw) => u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]),
        None => u32::MAX,
    }
}

/// Why a thread cannot be asked to do anything.
fn why_not(status: &ThreadStatus) -> Option<&'static str> {
    match status.activity {
        Activity::Runnable => None,
        Activity::Initialized => Some("initialized"),
        Activity::Waiting => Some("waiting"),
        Activity::Suspended => Some("suspended"),
        Activity::Terminated => Some("terminated"),
    }
}
