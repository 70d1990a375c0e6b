//! A run of a case, an event at a time.

use super::boot;
use super::call::Pending;
use super::error::RecordError;
use super::motor::{Detail, Motor, Notes};
use crate::case::{Line, NameKind, Value};
use crate::verbs::{Deed, How};
use crate::{Case, EventRecord, Header, TraceStep};
use contract::{Kernel, Named, ObjectId, ObjectKind, Outcome, Owner, Scene};
use machine::{Machine, Va};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A run of a case, an event at a time.
pub struct Run {
    /// The kernel.
    pub kernel: &'static dyn Kernel,
    /// The case.
    pub case: Case,
    /// Booting, as it was recorded.
    pub boot: EventRecord,
    pub(super) motor: Motor,
    pub(super) scene: Scene,
    /// The next line's index.
    next: usize,
    /// Each name's object, of named and predefined things, and of `init`.
    pub(super) objects: BTreeMap<String, (ObjectId, ObjectKind)>,
    /// The handle by which a process knows a name: process, name.
    pub(super) handles: BTreeMap<(String, String), u32>,
    /// Numbers that lines have bound.
    pub(super) values: BTreeMap<String, u32>,
    /// Ids of named processes and threads, which outlive them.
    pub(super) ids: BTreeMap<String, (u32, u32)>,
    /// Handles that the case has given or bound, in order: process, name, the handle and its object.
    pub(super) shown: Vec<(String, String, u32, ObjectId)>,
    /// What each thread is seen to do, whether the case has named it yet or not.
    pub(super) watched: BTreeMap<ObjectId, Watched>,
    /// Threads whose first instruction in ring 3 the case looks at.
    pub(super) first_wanted: bool,
    /// Clock interrupts that `interrupt` lines have asked for: instructions into the next event.
    pub(super) asked: Vec<u64>,
    /// The instants of those of this event, in ascending order.
    pub(super) due: Vec<u64>,
    /// Processes that have a thread, or had one.
    pub(super) started: BTreeSet<String>,
    /// The system has stopped and takes no more events.
    pub(super) stopped: bool,
    /// How often the next event happens.
    times: u32,
    /// The next event is over when its call has come back.
    hurry: bool,
    /// This event is.
    pub(super) hurried: bool,
    /// The routine at which the next event is cut short.
    stop: Option<String>,
    /// Where this event is, until it was.
    pub(super) stop_at: Option<Va>,
    /// Where the last event was, while that thread has not got on.
    pub(super) cut: Option<Cut>,
    /// The thread that made this event's last call.
    pub(super) caller: Option<ObjectId>,
    /// The threads that were ready when the machine last came to rest, and did not get the processor.
    pub(super) passed_over: BTreeSet<ObjectId>,
}

/// Where an event was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) thread: ObjectId,
    pub(super) at: Va,
    esp: u32,
}

/// What a thread is seen to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// The program code it has executed.
    pub(super) ran: Vec<String>,
    /// Its last call.
    pub(super) call: Option<Pending>,
    /// Its stack pointer behind its last call, which left the call's locals above it, and before.
    pub(super) rest: Option<(u32, u32)>,
    /// What its first instruction in ring 3 found.
    pub(super) first: Option<Vec<(String, String)>>,
    /// It was interrupted at a place of the program where it had just been seen.
    pub(super) seen_at: Option<u32>,
}

impl Run {
    pub(super) fn header(&self, detail: Detail) -> Header {
        Header {
            kernel: self.kernel.name().to_owned(),
            case: self.case.name.clone(),
            digest: self.case.digest,
            text: self.case.text.clone(),
            detail: detail == Detail::Yes,
            routines: self.motor.routines.names.clone(),
        }
    }

    /// Boots the kernel, up to where it is quiet.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn start(case: &Case, kernel: &'static dyn Kernel) -> Result<Run, RecordError> {
        Run::start_with(case, kernel, Detail::No)
    }

    pub(super) fn start_with(
        case: &Case,
        kernel: &'static dyn Kernel,
        detail: Detail,
    ) -> Result<Run, RecordError> {
        let booted = boot::booted(kernel, detail)?;
        let mut motor = Motor::new(kernel, booted.event.machine.clone(), detail);
        motor.routines = booted.routines.clone();
        let scene = kernel.scene(&motor.m);
        let looks = |line: &Line| matches!(line.event.verb.how, How::Recorder(Deed::FirstInstruction));
        let mut run = Run {
            kernel,
            case: case.clone(),
            boot: booted.event.clone(),
            motor,
            next: 0,
            objects: BTreeMap::from([("init".to_owned(), (scene.thread, ObjectKind::Thread))]),
            handles: BTreeMap::new(),
            values: BTreeMap::new(),
            ids: BTreeMap::new(),
            shown: Vec::new(),
            watched: BTreeMap::new(),
            first_wanted: case.lines.iter().any(looks),
            asked: Vec::new(),
            due: Vec::new(),
            started: BTreeSet::new(),
            stopped: false,
            times: 1,
            hurry: false,
            hurried: false,
            stop: None,
            stop_at: None,
            cut: None,
            caller: None,
            passed_over: BTreeSet::new(),
            scene,
        };
        run.stopped = run.kernel.view(&run.motor.m, &[]).bugcheck.is_some();
        run.predefined();
        Ok(run)
    }

    /// What every case finds in place; what a case mentions is part of its view.
    fn predefined(&mut self) {
        let wanted = self.case.handles_wanted();
        let mentioned: BTreeSet<String> = wanted.values().flatten().map(|name| (*name).to_owned()).collect();
        let section = ("Section", ObjectKind::Section, self.scene.section);
        for (name, kind, handle) in self.scene.named.iter().copied().chain([section]).collect::<Vec<_>>() {
            let Some((id, _)) = self.kernel.object(&self.motor.m, Owner::Init, handle) else { continue };
            self.objects.insert(name.to_owned(), (id, kind));
            self.handles.insert(("init".to_owned(), name.to_owned()), handle);
            self.remember_ids(name, id);
            // A section has no state that could change.
            if mentioned.contains(name) && kind != ObjectKind::Section {
                let named = Named { name: name.to_owned(), kind, id };
                Arc::make_mut(&mut self.motor.named).push(named);
            }
        }
    }

    pub(super) fn remember_ids(&mut self, name: &str, id: ObjectId) {
        if let Some(ids) = self.kernel.client_id(&self.motor.m, id) {
            self.ids.insert(name.to_owned(), ids);
        }
    }

    /// Carries out the next line, up to where the machine is quiet; none after the last.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn next_event(&mut self) -> Result<Option<EventRecord>, RecordError> {
        let Some(mut event) = self.lend_event()? else { return Ok(None) };
        let copy = event.machine.clone();
        self.motor.m = std::mem::replace(&mut event.machine, copy);
        self.motor.named.clone_from(&event.named);
        // What is kept is as long as it must be; what grew is used again.
        let mut trace = Vec::with_capacity(event.trace.len());
        trace.append(&mut event.trace);
        self.motor.notes.trace = std::mem::replace(&mut event.trace, trace);
        Ok(Some(event))
    }

    /// As [`Run::next_event`], but the machine in it is the one that runs, and the names are the run's:
    /// [`Run::take_back`] gives them back before the run goes on.
    pub(super) fn lend_event(&mut self) -> Result<Option<EventRecord>, RecordError> {
        let Some((line, outcome)) = self.next_line()? else { return Ok(None) };
        let notes = self.motor.take_notes();
        let view = self.view();
        Ok(Some(EventRecord {
            line: line.number,
            text: line.text,
            outcome,
            view,
            named: std::mem::take(&mut self.motor.named),
            threads: notes.threads,
            trace: notes.trace,
            untraced: notes.untraced,
            inputs: notes.inputs,
            steps: notes.steps,
            machine: std::mem::replace(&mut self.motor.m, Machine::new(0)),
        }))
    }

    /// Takes back what [`Run::lend_event`] has lent, and what held its notes.
    pub(super) fn take_back(&mut self, event: EventRecord) {
        let EventRecord { mut threads, mut trace, mut inputs, mut steps, .. } = event;
        threads.clear();
        trace.clear();
        inputs.clear();
        steps.clear();
        self.motor.notes = Notes { inputs, threads, trace, untraced: 0, steps };
        (self.motor.named, self.motor.m) = (event.named, event.machine);
    }

    /// Carries out the next line.
    pub(super) fn next_line(&mut self) -> Result<Option<(Line, Outcome)>, RecordError> {
        let Some(line) = self.case.lines.get(self.next).cloned() else { return Ok(None) };
        self.next += 1;
        let outcome = self.carry_out(&line)?;
        self.due.clear();
        Ok(Some((line, outcome)))
    }

    fn carry_out(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        if self.stopped {
            return Ok(unavailable("stopped"));
        }
        let event = &line.event;
        if !matches!(event.verb.how, How::Recorder(deed) if deed.modifies()) {
            self.hurried = std::mem::take(&mut self.hurry);
            let image = self.kernel.image();
            self.stop_at =
                self.stop.take().and_then(|name| image.entry(&name).or_else(|| image.address(&name)));
            self.caller = None;
            for _ in 1..std::mem::replace(&mut self.times, 1) {
                let outcome = self.by_thread(line)?;
                if self.stopped {
                    return Ok(Outcome::Ended);
                }
                if self.cut.is_some() {
                    return Ok(outcome);
                }
            }
        }
        match event.verb.how {
            How::Recorder(Deed::Process) => self.process(line),
            How::Recorder(Deed::Thread) => self.thread(line),
            How::Recorder(Deed::Clock) => self.clock(line),
            How::Recorder(Deed::Interrupt) => Ok(self.interrupt(event)),
            How::Recorder(Deed::PoolFail) => self.pool_fail(line),
            How::Recorder(Deed::Run) => {
                self.start_counting();
                self.settle(line)?;
                Ok(Outcome::Done)
            }
            How::Recorder(Deed::Repeat) => {
                if let Value::Number(times) = event.value("times") {
                    self.times = *times;
                }
                Ok(Outcome::Done)
            }
            How::Recorder(Deed::Hurry) => {
                self.hurry = true;
                Ok(Outcome::Done)
            }
            How::Recorder(Deed::Stop) => {
                if let Value::Routine(name) = event.value("at") {
                    self.stop = Some(name.clone());
                }
                Ok(Outcome::Done)
            }
            How::Recorder(Deed::Teb | Deed::Stack) => self.teb(line),
            How::Recorder(Deed::FirstInstruction) => Ok(self.first_instruction(event)),
            How::Recorder(Deed::Registers) => self.registers(line),
            How::Recorder(Deed::Fault) | How::Call { .. } | How::Program(_) => self.by_thread(line),
        }
    }

    /// A line that a thread carries out.
    fn by_thread(&mut self, line: &Line) -> Result<Outcome, RecordError> {
        let actor = line.event.actor.clone().unwrap_or_else(|| "init".to_owned());
        let thread = match self.bring(line, &actor)? {
            Ok(thread) => thread,
            Err(why) => return Ok(why),
        };
        if let Err(why) = self.place(&line.event, &actor, thread)? {
            return Ok(why);
        }
        self.settle(line)?;
        let outcome = self.answer(&line.event, thread);
        if let Outcome::Returned { status, .. } = &outcome
            && status.is_success()
        {
            self.bind(line, &actor, thread)?;
        }
        Ok(outcome)
    }

    /// Where the current thread is, about to execute what lies at `at`.
    pub(super) fn here(&self, at: Va) -> Cut {
        Cut { thread: self.kernel.current(&self.motor.m), at, esp: self.motor.m.cpu.esp() }
    }

    /// The process in which a thread of the case, or `init`, runs.
    pub(super) fn process_of(&self, actor: &str) -> String {
        self.case.process_of(actor).unwrap_or("init").to_owned()
    }

    /// Whose handle table a process's handles are in.
    pub(super) fn owner(&self, process: &str) -> Option<Owner> {
        if process == "init" {
            return Some(Owner::Init);
        }
        Some(Owner::Process(self.objects.get(process)?.0))
    }

    /// Whether a name of the case stands for an object that was created on this kernel.
    pub(super) fn exists(&self, name: &str) -> bool {
        match self.case.names.get(name) {
            Some(NameKind::Value) => self.values.contains_key(name),
            Some(NameKind::Handle { process }) => {
                self.handles.contains_key(&(process.clone(), name.to_owned()))
            }
            _ => self.objects.contains_key(name),
        }
    }

    /// The name of the routine of a trace's step.
    pub fn routine(&self, step: &TraceStep) -> &str {
        self.motor.routines.names.get(usize::from(step.routine)).map_or("?", String::as_str)
    }

    /// The machine as it is.
    pub fn machine(&self) -> &Machine {
        &self.motor.m
    }

    /// The objects that the case has named so far.
    pub fn named(&self) -> &[Named] {
        &self.motor.named
    }

    /// An error at a line.
    pub(super) fn failed(&self, line: &Line, what: impl Into<String>) -> RecordError {
        RecordError::Stopped {
            kernel: self.kernel.name().to_owned(),
            line: line.number,
            text: line.text.clone(),
            what: what.into(),
        }
    }
}

/// The outcome of an event that could not take place.
pub(super) fn unavailable(why: &str) -> Outcome {
    Outcome::Unavailable { why: why.to_owned() }
}
