//! A tiny driver: what the recorder does to a kernel, as far as these tests need it.

pub mod scenes;
pub mod sweep;

use contract::{Activity, Kernel, Named, ObjectId, ObjectKind, Owner, ThreadStatus, View, program, routine};
use machine::{Machine, Reg, Stop, Until, Va};
use reactos::{ReactOs, Variant};

/// A running kernel, and the names of what was made on it.
pub struct Driver {
    pub kernel: ReactOs,
    pub m: Machine,
    /// Instructions between forced clock interrupts; none for rotation only.
    pub period: Option<u64>,
    /// An instant after which one interrupt comes.
    pub after: Option<u64>,
    due: u64,
    serving: bool,
    pub named: Vec<Named>,
    /// Native routines served so far: name and stage.
    pub trace: Vec<(&'static str, u8)>,
    /// Native routines entered so far, with their arguments.
    pub entered: Vec<(&'static str, Vec<u32>)>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    Returned(u32),
    Waits,
    Suspended,
    Ended,
    Stopped,
}

/// A thread or process that a test has made.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    pub id: ObjectId,
    /// Its handle in init.
    pub handle: u32,
}

#[allow(dead_code)]
impl Driver {
    /// Boots and lets init park.
    pub fn boot(variant: Variant, period: Option<u64>) -> Driver {
        let kernel = ReactOs::new(variant);
        let m = kernel.boot().expect("the kernel boots");
        let mut driver = Driver::new(kernel, m);
        driver.period = period;
        driver.settle();
        driver
    }

    /// A driver of a machine as it is.
    pub fn new(kernel: ReactOs, m: Machine) -> Driver {
        Driver {
            kernel,
            m,
            period: None,
            after: None,
            due: 0,
            serving: false,
            named: Vec::new(),
            trace: Vec::new(),
            entered: Vec::new(),
        }
    }

    /// Runs `budget` instructions; false when the processor halted before.
    pub fn run(&mut self, budget: u64) -> bool {
        let end = self.m.retired + budget;
        while self.m.retired < end {
            let mut left = end - self.m.retired;
            if let Some(after) = self.after {
                if self.m.retired >= after {
                    self.after = None;
                    self.interrupt();
                } else {
                    left = left.min(after - self.m.retired);
                }
            }
            let slice =
                self.period.map_or(left, |_| left.min(self.due.saturating_sub(self.m.retired).max(1)));
            match self.m.run(&Until::budget(slice)) {
                Stop::Native(at) => match routine::serve(&self.kernel, &mut self.m, at) {
                    Ok(served) => {
                        self.trace.push((served.info.name, served.stage));
                        if served.stage == 0 {
                            self.entered.push((served.info.name, served.args.to_vec()));
                        }
                    }
                    Err(fault) => self.m.page_fault(fault).expect("the fault is delivered"),
                },
                Stop::Budget => {}
                Stop::Halted => return false,
                stop => panic!("{stop:?} at {}", self.kernel.image().symbolize(self.m.cpu.next())),
            }
            if self.period.is_some() && self.m.retired >= self.due {
                self.force();
            }
        }
        true
    }

    /// Forces an interrupt `period` instructions after the last one was done with: its own path is
    /// longer than the shortest period, and without that nothing but interrupts would ever run.
    fn force(&mut self) {
        let enabled = self.m.cpu.flag(0x200) && self.m.cpu.interrupt.is_none();
        match (self.serving, enabled) {
            (_, false) => self.due = self.m.retired + 1,
            (true, true) => {
                self.serving = false;
                self.due = self.m.retired + self.period.unwrap_or(1);
            }
            (false, true) => {
                self.serving = true;
                self.interrupt();
            }
        }
    }

    pub fn interrupt(&mut self) {
        self.m.cpu.interrupt = Some(self.kernel.image().clock_vector);
    }

    /// Gives every thread the processor for a few quanta.
    pub fn rotate(&mut self) {
        for _ in 0..100 {
            self.run(200);
            self.interrupt();
        }
    }

    pub fn stopped(&self) -> bool {
        self.kernel.view(&self.m, &[]).bugcheck.is_some()
    }

    fn parked(thread: &ThreadStatus) -> bool {
        let park = program::symbol(program::PARK).0;
        thread.resume.is_some_and(|at| at.user && at.eip == park)
    }

    /// Lets an interrupt that is being served be done with, without another one.
    fn finish_interrupt(&mut self) {
        let period = self.period.take();
        for _ in 0..400 {
            if self.m.cpu.cpl() == 3 && self.m.cpu.interrupt.is_none() || self.m.cpu.halted {
                break;
            }
            self.run(1);
        }
        self.period = period;
    }

    fn quiet(&mut self) -> bool {
        self.finish_interrupt();
        let threads = self.kernel.threads(&self.m);
        threads.iter().all(|t| t.system || t.activity != Activity::Runnable || Self::parked(t))
    }

    /// Runs until every runnable user thread is parked.
    pub fn settle(&mut self) {
        for _ in 0..20_000 {
            if self.stopped() {
                return;
            }
            if self.quiet() {
                // Let what system threads have to do be done as well.
                for _ in 0..20 {
                    self.interrupt();
                    self.run(300);
                }
                if self.stopped() || self.quiet() {
                    return;
                }
            }
            self.run(200);
            self.interrupt();
        }
        panic!("never quiet: {:#?}", self.kernel.threads(&self.m));
    }

    pub fn status(&self, id: ObjectId) -> Option<ThreadStatus> {
        self.kernel.threads(&self.m).into_iter().find(|thread| thread.id == id)
    }

    /// Rotates until the thread has the processor and is parked.
    pub fn make_current(&mut self, id: ObjectId) {
        let park = program::symbol(program::PARK).0;
        let interrupts = std::mem::take(&mut self.period);
        for _ in 0..5_000 {
            if self.kernel.current(&self.m) == id && self.m.cpu.cpl() == 3 && self.m.cpu.eip == park {
                self.period = interrupts;
                self.m.cpu.interrupt = None;
                return;
            }
            self.interrupt();
            self.run(100);
        }
        panic!("{id:?} never became current: {:#?}", self.kernel.threads(&self.m));
    }

    /// Has a parked thread call a service with its arguments, and runs until the machine is quiet.
    pub fn call(&mut self, thread: ObjectId, service: &str, args: &[u32]) -> Came {
        let at = self.kernel.image().services[service];
        self.call_at(thread, at, args)
    }

    /// As [`Driver::call`], by address.
    pub fn call_at(&mut self, thread: ObjectId, at: Va, args: &[u32]) -> Came {
        let old = self.begin(thread, at, args);
        self.settle();
        self.came(thread, old)
    }

    /// Has a parked thread begin a call, and runs nothing yet: the old ESP.
    pub fn begin(&mut self, thread: ObjectId, at: Va, args: &[u32]) -> u32 {
        self.make_current(thread);
        let old = self.m.cpu.esp();
        let park = program::symbol(program::PARK).0;
        let mut raw = park.to_le_bytes().to_vec();
        raw.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
        let esp = Va(old).sub(raw.len() as u32);
        let cr3 = self.m.cpu.cr3;
        self.m.poke(cr3, esp, &raw).unwrap();
        self.m.cpu.set_reg(Reg::Esp, esp.0);
        self.m.cpu.eip = at.0;
        old
    }

    /// Steps until the code or routine at a symbol is reached; parked threads give way.
    pub fn run_to(&mut self, symbol: &str) {
        let at = self.kernel.image().address(symbol).unwrap();
        for _ in 0..100_000 {
            if self.m.cpu.next() == at {
                return;
            }
            if self.m.cpu.next() == program::symbol(program::PARK) && self.m.cpu.cpl() == 3 {
                self.interrupt();
            }
            match self.m.run(&Until::budget(1)) {
                Stop::Native(here) if here == at => return,
                Stop::Native(here) => match routine::serve(&self.kernel, &mut self.m, here) {
                    Ok(_) => {}
                    Err(fault) => self.m.page_fault(fault).expect("the fault is delivered"),
                },
                Stop::Budget => {}
                stop => panic!("{stop:?}"),
            }
        }
        panic!("{symbol} was not reached");
    }

    /// A doubleword in the current address space.
    pub fn word(&self, at: Va) -> u32 {
        let mut raw = [0; 4];
        self.m.peek(self.m.cpu.cr3, at, &mut raw).unwrap();
        u32::from_le_bytes(raw)
    }

    /// Fails pool allocations: of a tag, or of any when it is empty.
    pub fn fail(&mut self, tag: &[u8], skip: u32, count: u32) {
        let tag = tag.try_into().map_or(0, u32::from_le_bytes);
        let (slot, cr3) = (self.kernel.image().pool_faults, self.m.cpu.cr3);
        for (index, word) in [tag, skip, count, 0].into_iter().enumerate() {
            self.m.poke(cr3, slot.add(4 * index as u32), &word.to_le_bytes()).unwrap();
        }
    }

    /// What came of the call that was made at `old` ESP.
    pub fn came(&mut self, thread: ObjectId, old: u32) -> Came {
        if self.stopped() {
            return Came::Stopped;
        }
        let Some(status) = self.status(thread) else { return Came::Ended };
        match status.activity {
            Activity::Terminated => Came::Ended,
            Activity::Waiting => Came::Waits,
            Activity::Suspended => Came::Suspended,
            _ => {
                self.make_current(thread);
                assert_eq!(self.m.cpu.esp(), old, "the stack is balanced");
                Came::Returned(self.m.cpu.reg(Reg::Eax))
            }
        }
    }

    /// Lets a parked thread go to one of the program's symbols.
    pub fn go(&mut self, thread: ObjectId, symbol: &str, eax: u32, ecx: u32) {
        self.make_current(thread);
        self.m.cpu.set_reg(Reg::Eax, eax);
        self.m.cpu.set_reg(Reg::Ecx, ecx);
        self.m.cpu.eip = program::symbol(symbol).0;
        self.settle();
    }

    /// A doubleword of the program's data in the address space of a process.
    pub fn data(&self, process: ObjectId, offset: u32) -> u32 {
        let cr3 = self.kernel.address_space(&self.m, process).unwrap();
        let mut raw = [0; 4];
        self.m.peek(cr3, program::DATA.add(offset), &mut raw).unwrap();
        u32::from_le_bytes(raw)
    }

    pub fn set_data(&mut self, process: ObjectId, offset: u32, words: &[u32]) {
        let cr3 = self.kernel.address_space(&self.m, process).unwrap();
        let raw: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.m.poke(cr3, program::DATA.add(offset), &raw).unwrap();
    }

    pub fn init(&self) -> (ObjectId, ObjectId) {
        let scene = self.kernel.scene(&self.m);
        (scene.process, scene.thread)
    }

    /// init creates a process.
    pub fn process(&mut self, name: &str) -> Made {
        let (init, thread) = self.init();
        assert_eq!(self.call(thread, "CreateProcess", &[program::DATA.0]), Came::Returned(0));
        let handle = self.data(init, 0);
        let (id, kind) = self.kernel.object(&self.m, Owner::Init, handle).unwrap();
        self.named.push(Named { name: name.to_owned(), kind, id });
        Made { id, handle }
    }

    /// init creates a thread: flags 1 suspended, 2 first thread; patches (offset, value) of the CONTEXT.
    pub fn thread(&mut self, name: &str, process: Made, flags: u32, patches: &[(u32, u32)]) -> Made {
        let (came, made) = self.try_thread(process, flags, patches);
        assert_eq!(came, Came::Returned(0));
        self.named.push(Named { name: name.to_owned(), kind: ObjectKind::Thread, id: made.unwrap().id });
        made.unwrap()
    }

    pub fn try_thread(&mut self, process: Made, flags: u32, patches: &[(u32, u32)]) -> (Came, Option<Made>) {
        let (init, thread) = self.init();
        let words: Vec<u32> = patches.iter().flat_map(|(offset, value)| [*offset, *value]).collect();
        self.set_data(init, 0, &[0; 8]);
        self.set_data(init, 0x100, &words);
        let data = program::DATA.0;
        let args = [process.handle, flags, data + 0x100, patches.len() as u32, data, data + 8];
        let came = self.call(thread, "CreateThread", &args);
        let handle = self.data(init, 0);
        let made = self.kernel.object(&self.m, Owner::Init, handle).map(|(id, _)| Made { id, handle });
        (came, made)
    }

    /// Gives a process a handle to something that init has one to.
    pub fn give(&mut self, to: Made, handle: u32) -> u32 {
        let (init, thread) = self.init();
        // init's pseudo handle as the source process works; only as source *handle* it does not.
        let args = [u32::MAX, handle, to.handle, program::DATA.0 + 0x20, 0, 0, 2];
        assert_eq!(self.call(thread, "NtDuplicateObject", &args), Came::Returned(0));
        self.data(init, 0x20)
    }

    /// init makes an object with a creation service whose further arguments are given.
    pub fn object(&mut self, service: &str, more: &[u32]) -> u32 {
        let (init, thread) = self.init();
        let mut args = vec![program::DATA.0 + 0x30, 0x1F_0003, 0];
        args.extend(more);
        assert_eq!(self.call(thread, service, &args), Came::Returned(0));
        self.data(init, 0x30)
    }

    pub fn view(&self) -> View {
        self.kernel.view(&self.m, &self.named)
    }

    /// The facts of the view as lines: `thread worker state: waiting`.
    pub fn facts(&self) -> Vec<String> {
        let facts = self.view().facts();
        facts.into_iter().map(|f| format!("{} {}: {}", f.subject, f.property, f.value)).collect()
    }

    /// Moves the clock by so many ticks of 10 ms, one interrupt each.
    pub fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            self.m.clock += 100_000;
            self.interrupt();
            self.settle();
        }
    }

    pub fn inventory(&self, what: &str) -> u32 {
        let found = self.kernel.inventory(&self.m).into_iter().find(|(name, _)| name == what);
        found.map_or(0, |(_, count)| count)
    }
}
