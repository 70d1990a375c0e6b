//! A small driver: boots the kernel, rotates the scheduler by clock interrupts, and has threads call
//! services, as the recorder does.
#![allow(dead_code)]

use contract::{Activity, Kernel, Named, ObjectId, ObjectKind, Owner, Status, View, program, routine};
use machine::{Machine, Reg, Stop, Until, Va};
use nt::Nt;
use std::sync::Arc;

/// Instructions between clock interrupts: none forced, and a few that are just longer than the clock
/// interrupt itself takes, so that one falls into every part of what is going on.
pub const PERIODS: [u64; 4] = [0, 197, 223, 257];

/// Instructions that a call takes at the most.
const MOST: u32 = 100_000;
/// Instructions in a time slice.
const SLICE: u64 = 2000;

#[derive(Clone)]
pub struct Driver {
    pub nt: Arc<Nt>,
    pub m: Machine,
    /// A clock interrupt comes every so many instructions, if not 0.
    pub period: u64,
    /// The routines that were entered, since it was last cleared.
    pub trace: Vec<&'static str>,
    pub named: Vec<Named>,
    next_tick: u64,
    /// Threads that had the processor and did nothing with it.
    rested: Vec<ObjectId>,
}

/// A word of a call.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    Value(u32),
    /// Pointer to these words; they can be read back.
    Words(&'a [u32]),
}
use Arg::{Value, Words};

/// A call that has been placed on a thread's stack.
pub struct Placed {
    thread: ObjectId,
    /// Its stack pointer before.
    back: u32,
    /// Its stack pointer when the call has returned.
    locals: u32,
    /// What its arguments point to: address and number of words.
    places: Vec<(u32, usize)>,
}

/// A period that no test lives to see the end of.
const NEVER: u64 = 1 << 40;

pub fn park() -> Va {
    program::symbol(program::PARK)
}

impl Driver {
    pub fn boot(period: u64) -> Driver {
        let nt = Arc::new(Nt::new());
        let m = nt.boot().expect("boots");
        let mut driver = Driver {
            nt,
            m,
            period,
            trace: Vec::new(),
            named: Vec::new(),
            next_tick: period,
            rested: Vec::new(),
        };
        driver.settle();
        driver
    }

    /// Where the machine stands, with the frames above: for messages.
    pub fn place(&self) -> String {
        let mut text = self.nt.image().symbolize(self.m.cpu.next());
        let mut ebp = self.m.cpu.reg(Reg::Ebp);
        for _ in 0..20 {
            let mut raw = [0; 8];
            if self.m.peek(self.m.cpu.cr3, Va(ebp), &mut raw).is_err() {
                break;
            }
            let word = |at: usize| u32::from_le_bytes(raw[at..at + 4].try_into().unwrap());
            text += &format!(" < {}", self.nt.image().symbolize(Va(word(4))));
            ebp = word(0);
        }
        text
    }

    pub fn stopped(&self) -> bool {
        self.nt.view(&self.m, &[]).bugcheck.is_some()
    }

    /// Runs for a slice; whether the processor is halted.
    pub fn slice(&mut self) -> bool {
        let end = self.m.retired + SLICE;
        while self.m.retired < end {
            if self.period != 0 && self.m.retired >= self.next_tick {
                self.tick();
                self.next_tick = self.m.retired + self.period;
            }
            let to = if self.period == 0 { end } else { end.min(self.next_tick) };
            match self.m.run(&Until::budget((to - self.m.retired).max(1))) {
                Stop::Native(at) => {
                    let before = self.place();
                    let (info, stage) = self.nt.image().routine(at).unwrap();
                    if stage == 0 {
                        self.trace.push(info.name);
                    }
                    match routine::serve(&*self.nt, &mut self.m, at) {
                        Ok(_) => {}
                        Err(fault) => {
                            assert!(fault.at.0 < 0x8000_0000, "{fault} in {before}");
                            self.m.page_fault(fault).expect("a fault can be delivered");
                        }
                    }
                }
                Stop::Budget if self.m.cpu.next() == park() => {
                    let current = self.nt.current(&self.m);
                    self.rested.push(current);
                }
                Stop::Budget => {}
                Stop::Halted => {
                    if self.m.cpu.eflags & 0x200 == 0 {
                        assert!(self.stopped(), "halted: {}", self.place());
                    }
                    return true;
                }
                other => panic!("{other:?} at {}", self.place()),
            }
        }
        false
    }

    pub fn tick(&mut self) {
        self.m.cpu.interrupt = Some(self.nt.image().clock_vector);
    }

    pub fn advance(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 10 {
            self.m.clock += 100_000;
            self.tick();
            self.settle();
        }
    }

    /// Rotates until every runnable thread has had the processor and sat at park.
    pub fn settle(&mut self) {
        self.rested.clear();
        let mut seen = Vec::new();
        for _ in 0..600 {
            let halted = self.slice();
            if halted && self.m.cpu.eflags & 0x200 == 0 {
                return;
            }
            let threads = self.nt.threads(&self.m);
            let users: Vec<_> = threads.iter().filter(|thread| !thread.system).collect();
            let now: Vec<_> = users.iter().map(|thread| (thread.id, thread.activity)).collect();
            if now != seen {
                seen = now;
                self.rested.clear();
            }
            let restless = |thread: &&&contract::ThreadStatus| {
                thread.activity == Activity::Runnable && !self.rested.contains(&thread.id)
            };
            if !users.iter().any(|thread| restless(&thread)) {
                // An interrupt that is under way comes to its end.
                let period = std::mem::take(&mut self.period);
                self.slice();
                self.period = period;
                return;
            }
            self.tick();
        }
        let last = self.trace.len().saturating_sub(60);
        panic!("never quiet: {} of {:?}; {:?}", self.place(), self.nt.current(&self.m), &self.trace[last..]);
    }

    pub fn init(&self) -> ObjectId {
        self.nt.scene(&self.m).thread
    }

    /// Rotates until the thread is current and at park.
    pub fn bring(&mut self, thread: ObjectId) {
        let period = std::mem::take(&mut self.period);
        for _ in 0..600 {
            if self.nt.current(&self.m) == thread && self.m.cpu.next() == park() && self.m.cpu.cpl() == 3 {
                self.period = period;
                self.next_tick = self.m.retired + period;
                return;
            }
            self.tick();
            self.slice();
        }
        panic!("never scheduled; {}", self.place());
    }

    /// Has a thread call a service. The status, if it returned, and the words pointed to.
    pub fn call(&mut self, thread: ObjectId, name: &str, args: &[Arg]) -> (Option<Status>, Vec<Vec<u32>>) {
        let placed = self.place_call(thread, name, args);
        self.settle();
        self.finish_call(&placed)
    }

    /// Brings a thread to where it is about to call a service.
    pub fn place_call(&mut self, thread: ObjectId, name: &str, args: &[Arg]) -> Placed {
        self.bring(thread);
        let target = *self.nt.image().services.get(name).unwrap_or_else(|| panic!("no service {name}"));
        let back = self.m.cpu.esp();
        let mut at = back;
        let mut words = vec![park().0];
        let mut places = Vec::new();
        for arg in args {
            match arg {
                Value(value) => words.push(*value),
                Words(data) => {
                    at -= 4 * data.len() as u32;
                    for (index, word) in data.iter().enumerate() {
                        self.poke(at + 4 * index as u32, *word);
                    }
                    places.push((at, data.len()));
                    words.push(at);
                }
            }
        }
        at -= 4 * words.len() as u32;
        for (index, word) in words.iter().enumerate() {
            self.poke(at + 4 * index as u32, *word);
        }
        let locals = at + 4 * words.len() as u32;
        self.m.cpu.set_reg(Reg::Esp, at);
        self.m.cpu.eip = target.0;
        Placed { thread, back, locals, places }
    }

    /// What came of a call that was placed, once the machine is quiet.
    pub fn finish_call(&mut self, placed: &Placed) -> (Option<Status>, Vec<Vec<u32>>) {
        if self.stopped() {
            return (None, Vec::new());
        }
        let done = self.nt.threads(&self.m).into_iter().find(|status| status.id == placed.thread);
        let returned = done.is_some_and(|status| {
            let parked = |resume: contract::Resume| resume.eip == park().0 && resume.esp == placed.locals;
            status.activity == Activity::Runnable && status.resume.is_some_and(parked)
        });
        if !returned {
            return (None, Vec::new());
        }
        self.bring(placed.thread);
        let status = Status(self.m.cpu.reg(Reg::Eax));
        let read =
            |(at, len): &(u32, usize)| (0..*len as u32).map(|index| self.peek(at + 4 * index)).collect();
        let out = placed.places.iter().map(read).collect();
        self.m.cpu.set_reg(Reg::Esp, placed.back);
        (Some(status), out)
    }

    /// Lets one clock interrupt come after so many instructions, and no other by itself.
    pub fn tick_after(&mut self, instructions: u64) {
        self.next_tick = self.m.retired + instructions;
        self.period = NEVER;
    }

    pub fn poke(&mut self, at: u32, word: u32) {
        let cr3 = self.m.cpu.cr3;
        self.m.poke(cr3, Va(at), &word.to_le_bytes()).unwrap();
    }

    pub fn peek(&self, at: u32) -> u32 {
        let mut raw = [0; 4];
        self.m.peek(self.m.cpu.cr3, Va(at), &mut raw).unwrap();
        u32::from_le_bytes(raw)
    }

    /// init makes a process: its handle in init.
    pub fn process(&mut self, name: &str) -> u32 {
        let init = self.init();
        let (status, out) = self.call(init, "CreateProcess", &[Words(&[0])]);
        assert_eq!(status, Some(Status::SUCCESS));
        self.name(name, ObjectKind::Process, out[0][0]);
        out[0][0]
    }

    fn name(&mut self, name: &str, kind: ObjectKind, handle: u32) -> ObjectId {
        let (id, found) = self.nt.object(&self.m, Owner::Init, handle).expect("a handle of init");
        assert_eq!(found, kind);
        self.named.push(Named { name: name.to_owned(), kind, id });
        id
    }

    /// init makes a thread: its handle in init, and its identity.
    pub fn thread(&mut self, name: &str, process: u32, flags: u32, patches: &[u32]) -> (u32, ObjectId) {
        let (status, handle) = self.try_thread(process, flags, patches);
        assert_eq!(status, Some(Status::SUCCESS));
        let id = self.name(name, ObjectKind::Thread, handle);
        (handle, id)
    }

    pub fn try_thread(&mut self, process: u32, flags: u32, patches: &[u32]) -> (Option<Status>, u32) {
        let init = self.init();
        let args = [
            Value(process),
            Value(flags),
            Words(patches),
            Value(patches.len() as u32 / 2),
            Words(&[0]),
            Words(&[0, 0]),
        ];
        let (status, out) = self.call(init, "CreateThread", &args);
        (status, out.get(1).map_or(0, |words| words[0]))
    }

    /// init gives a process a handle of its own: the handle there.
    pub fn give(&mut self, process: u32, handle: u32) -> u32 {
        let init = self.init();
        let args =
            [Value(u32::MAX), Value(handle), Value(process), Words(&[0]), Value(0), Value(0), Value(2)];
        let (status, out) = self.call(init, "NtDuplicateObject", &args);
        assert_eq!(status, Some(Status::SUCCESS));
        out[0][0]
    }

    /// A simple call with plain values.
    pub fn simple(&mut self, thread: ObjectId, name: &str, args: &[u32]) -> Option<Status> {
        let args: Vec<Arg> = args.iter().map(|value| Value(*value)).collect();
        self.call(thread, name, &args).0
    }

    pub fn view(&self) -> View {
        self.nt.view(&self.m, &self.named)
    }

    /// The view's facts as lines.
    pub fn facts(&self) -> Vec<String> {
        let facts = self.view().facts();
        facts.iter().map(|fact| format!("{} {} {}", fact.subject, fact.property, fact.value)).collect()
    }

    pub fn has(&self, fact: &str) {
        assert!(self.facts().iter().any(|known| known == fact), "no `{fact}` in {:#?}", self.facts());
    }
}

impl Driver {
    /// Has a thread execute a piece of the program with ECX and EAX.
    pub fn run(&mut self, thread: ObjectId, symbol: &str, ecx: u32, eax: u32) {
        self.bring(thread);
        self.m.cpu.set_reg(Reg::Ecx, ecx);
        self.m.cpu.set_reg(Reg::Eax, eax);
        self.m.cpu.eip = program::symbol(symbol).0;
        self.settle();
    }

    /// A call whose first argument is a handle, with a count that it gives back: status and count.
    pub fn counted(&mut self, thread: ObjectId, name: &str, handle: u32) -> (Option<Status>, u32) {
        let (status, out) = self.call(thread, name, &[Value(handle), Words(&[0xCCCC_CCCC])]);
        (status, out.first().map_or(0, |words| words[0]))
    }

    /// The state word of a named thread's view.
    pub fn state(&self, name: &str) -> String {
        let view = self.view();
        let found = view.threads.iter().find(|thread| thread.name == name);
        found.unwrap_or_else(|| panic!("no thread {name}")).state.clone()
    }

    /// How many of something are in use, as the inventory counts.
    pub fn count(&self, what: &str) -> u32 {
        let inventory = self.nt.inventory(&self.m);
        inventory.iter().find(|(name, _)| name == what).map_or(0, |(_, count)| *count)
    }

    /// Lets the allocation of any kind fail that comes after `skip` others.
    pub fn fail_any(&mut self, skip: u32) {
        let at = self.nt.image().pool_faults.0;
        for (index, word) in [0, skip, 1, 0].into_iter().enumerate() {
            self.poke(at + 4 * index as u32, word);
        }
    }

    /// How many failures of [`Driver::fail_any`] are still to come; they are taken back.
    pub fn fault_count(&mut self) -> u32 {
        let at = self.nt.image().pool_faults.0;
        let left = self.peek(at + 8);
        for index in 0..4 {
            self.poke(at + 4 * index, 0);
        }
        left
    }

    /// Where assembled code of the kernel lies.
    pub fn nt_symbol(&self, name: &str) -> u32 {
        let symbols = &self.nt.image().symbols;
        *symbols.iter().find(|(_, known)| **known == name).unwrap_or_else(|| panic!("no {name}")).0
    }

    /// Executes one instruction. A thread that has come to park is interrupted, so that others get on.
    pub fn step_on(&mut self) {
        if self.m.cpu.next() == park() {
            self.tick();
        }
        self.step();
    }

    fn step(&mut self) {
        match self.m.run(&Until::budget(1)) {
            Stop::Native(at) => {
                let (info, stage) = self.nt.image().routine(at).unwrap();
                if stage == 0 {
                    self.trace.push(info.name);
                }
                if let Err(fault) = routine::serve(&*self.nt, &mut self.m, at) {
                    self.m.page_fault(fault).expect("a fault can be delivered");
                }
            }
            Stop::Halted => self.tick(),
            Stop::Budget => {}
            other => panic!("{other:?} at {}", self.place()),
        }
    }

    /// Interrupts whoever is running, again and again with hardly an instruction between, until a thread
    /// at park has the processor; and has it call a service, which must return before anybody else runs.
    pub fn interrupt_for(&mut self, thread: ObjectId, name: &str, args: &[u32]) -> Option<Status> {
        for _ in 0..MOST {
            if self.nt.current(&self.m) == thread && self.m.cpu.next() == park() && self.m.cpu.cpl() == 3 {
                break;
            }
            if self.m.cpu.interrupt.is_none() {
                self.tick();
            }
            self.step();
        }
        self.m.cpu.interrupt = None;
        let args: Vec<Arg> = args.iter().map(|value| Value(*value)).collect();
        let placed = self.place_call(thread, name, &args);
        for _ in 0..MOST {
            if self.m.cpu.next() == park() && self.nt.current(&self.m) == thread && self.m.cpu.cpl() == 3 {
                break;
            }
            self.step();
        }
        self.finish_call(&placed).0
    }

    /// Lets pool allocations with a tag fail.
    pub fn fail_pool(&mut self, tag: &[u8; 4], count: u32) {
        let at = self.nt.image().pool_faults.0;
        for (index, word) in [u32::from_le_bytes(*tag), 0, count, 0].into_iter().enumerate() {
            self.poke(at + 4 * index as u32, word);
        }
    }
}

/// A scene that most tests start from: a process with two threads, `main` and `worker`, and `main`'s
/// handles to them.
#[derive(Clone)]
pub struct Scene {
    pub d: Driver,
    /// The process's handle in init.
    pub app: u32,
    pub main: ObjectId,
    pub worker: ObjectId,
    /// The worker's handle in init.
    pub worker_in_init: u32,
    /// The worker's handle in the process.
    pub worker_handle: u32,
    /// The process's handle in itself.
    pub self_handle: u32,
}

pub fn scene(period: u64) -> Scene {
    let mut d = Driver::boot(period);
    let app = d.process("app");
    let (_, main) = d.thread("main", app, 2, &[]);
    let (worker_in_init, worker) = d.thread("worker", app, 0, &[]);
    let worker_handle = d.give(app, worker_in_init);
    let self_handle = d.give(app, app);
    Scene { d, app, main, worker, worker_in_init, worker_handle, self_handle }
}

/// A relative time, as the two words of a LARGE_INTEGER.
pub fn relative(milliseconds: i64) -> [u32; 2] {
    let units = -milliseconds * 10_000;
    [units as u32, (units >> 32) as u32]
}
