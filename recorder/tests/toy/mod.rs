//! A toy of a kernel, to try the recorder on: no paging, no protection, one stack for ring 0, and a
//! handful of services that do just enough. What a real kernel would do is not its business.

use contract::routine::{Frame, Row};
use contract::{
    Activity, BootError, Bugcheck, Flow, Gate, Image, Kernel, Named, ObjectId, ObjectKind, Owner,
    ProcessView, Resume, Scene, Status, ThreadStatus, ThreadView, View, program, routines,
};
use guest::{Peek, Read, Write};
use machine::image::{Code, Stubs, asm::*};
use machine::{Fault, Machine, Reg, Seg, Table, Va};
use std::sync::OnceLock;

const GDT: u32 = 0x1000;
const IDT: u32 = 0x2000;
const TSS: u32 = 0x3000;
const CODE: u32 = 0x5000;
const STACK: u32 = 0x9000;
const CURRENT: u32 = 0xF000;
const STOPPED: u32 = 0xF004;
const SERIAL: u32 = 0xF008;
const POOL: u32 = 0xF100;
const THREADS: u32 = 0x1_0000;
const PROCESSES: u32 = 0x1_4000;
const TABLES: u32 = 0x1_8000;
const TEBS: u32 = 0x41_0000;
const STACKS: u32 = 0x42_0000;
const MOST: u32 = 16;
const CLOCK: u8 = 0x30;

/// A thread's state, as its slot holds it.
const RUNNABLE: u32 = 1;
const WAITING: u32 = 2;
const SUSPENDED: u32 = 3;
const TERMINATED: u32 = 4;

/// Offsets in a thread's slot of 80h bytes.
const PROCESS: u32 = 4;
const EXIT: u32 = 8;
const COUNT: u32 = 0xC;
const DUE: u32 = 0x10;
const SAVED: u32 = 0x20;
/// A trap frame: PUSHAD's eight registers, then EIP, CS, EFLAGS, ESP and SS.
const FRAME: u32 = 13;

/// The toy; broken, it counts suspensions wrong.
pub struct Toy {
    pub name: &'static str,
    pub broken: bool,
}

routines! {
    pub enum Native for Toy; at 0x7000 {
        ToyClock(1)[0] => clock,
        ToyService(1)[0] => service,
    }
}

fn thread_at(index: u32) -> u32 {
    THREADS + 0x80 * index
}

fn get(m: &mut Machine, at: u32) -> u32 {
    m.load(Va(at)).expect("the toy's memory is there")
}

fn set(m: &mut Machine, at: u32, value: u32) {
    m.store(Va(at), value).expect("the toy's memory is there");
}

/// Copies the trap frame to the current thread's slot.
fn save(m: &mut Machine, frame: u32) {
    // From ring 0 comes only the idle loop, which has nothing to save.
    if get(m, frame + 0x24) & 3 == 3 {
        let slot = thread_at(get(m, CURRENT)) + SAVED;
        for word in 0..FRAME {
            let value = get(m, frame + 4 * word);
            set(m, slot + 4 * word, value);
        }
    }
}

/// Goes on with the next runnable thread, or idles.
fn dispatch(m: &mut Machine, image: &Code) -> Flow {
    let current = get(m, CURRENT);
    let next =
        (1..=MOST).map(|step| (current + step) % MOST).find(|index| get(m, thread_at(*index)) == RUNNABLE);
    match next {
        Some(index) => {
            set(m, CURRENT, index);
            for word in 0..FRAME {
                let value = get(m, thread_at(index) + SAVED + 4 * word);
                set(m, STACK - 4 * (FRAME - word), value);
            }
            m.cpu.segments[Seg::Fs as usize].base = TEBS + 0x100 * index;
            m.cpu.set_reg(Reg::Esp, STACK - 4 * FRAME);
            m.cpu.eip = image.symbol("resume").0;
        }
        None => {
            m.cpu.set_reg(Reg::Esp, STACK);
            m.cpu.eip = image.symbol("idle").0;
        }
    }
    Flow::Direct
}

fn clock(_: &Toy, f: &mut Frame) -> Result<Flow, Fault> {
    let frame = f.arg(0)?;
    save(f.m, frame);
    let now = f.m.clock as u32;
    for index in 0..MOST {
        let slot = thread_at(index);
        if get(f.m, slot) == WAITING && get(f.m, slot + DUE) <= now {
            set(f.m, slot, RUNNABLE);
        }
    }
    Ok(dispatch(f.m, code()))
}

/// The objects of a handle: 10000h and a process's index, or 20000h and a thread's.
fn object_of(m: &mut Machine, handle: u32) -> u32 {
    let current = get(m, CURRENT);
    let process = get(m, thread_at(current) + PROCESS);
    match handle {
        0xFFFF_FFFF => 0x1_0000 | process,
        0xFFFF_FFFE => 0x2_0000 | current,
        4..0x100 => get(m, TABLES + 0x100 * process + handle),
        _ => 0,
    }
}

fn open(m: &mut Machine, process: u32, object: u32) -> u32 {
    let table = TABLES + 0x100 * process;
    let free = (1..64).find(|index| get(m, table + 4 * index) == 0).expect("a case uses few handles");
    set(m, table + 4 * free, object);
    4 * free
}

fn start_thread(m: &mut Machine, process: u32, state: u32) -> u32 {
    let index = (0..MOST).find(|index| get(m, thread_at(*index)) == 0).expect("a case has few threads");
    let slot = thread_at(index);
    let stack = STACKS + 0x1000 * (index + 1);
    set(m, slot, state);
    set(m, slot + PROCESS, process);
    set(m, slot + COUNT, u32::from(state == SUSPENDED));
    set(m, slot + SAVED + 0x20, program::symbol(program::ENTRY).0);
    for (word, value) in [(9, 0x1B), (10, 0x202), (11, stack - 8), (12, 0x23)] {
        set(m, slot + SAVED + 4 * word, value);
    }
    let teb = TEBS + 0x100 * index;
    set(m, teb + 4, stack);
    set(m, teb + 8, stack - 0x1000);
    set(m, teb + 0x18, teb);
    index
}

fn service(toy: &Toy, f: &mut Frame) -> Result<Flow, Fault> {
    let frame = f.arg(0)?;
    let m = &mut *f.m;
    let current = get(m, CURRENT);
    let own = get(m, thread_at(current) + PROCESS);
    let (number, args) = (get(m, frame + 0x1C), get(m, frame + 0x14));
    let arg = |m: &mut Machine, index: u32| get(m, args + 4 * index);
    let mut switch = false;
    let status = match number {
        0 => {
            let index = (0..MOST).find(|index| get(m, PROCESSES + 8 * index) == 0).expect("few processes");
            set(m, PROCESSES + 8 * index, 1);
            let (out, handle) = (arg(m, 0), open(m, own, 0x1_0000 | index));
            set(m, out, handle);
            Status::SUCCESS
        }
        1 => {
            let (process, flags) = (arg(m, 0), arg(m, 1));
            let process = object_of(m, process) & 0xFFFF;
            if get(m, PROCESSES + 8 * process) != 1 {
                Status::PROCESS_IS_TERMINATING
            } else {
                let index = start_thread(m, process, if flags & 1 != 0 { SUSPENDED } else { RUNNABLE });
                let (out, handle) = (arg(m, 4), open(m, own, 0x2_0000 | index));
                set(m, out, handle);
                Status::SUCCESS
            }
        }
        2 => {
            let (handle, target, out) = (arg(m, 1), arg(m, 2), arg(m, 3));
            let (object, target) = (object_of(m, handle), object_of(m, target));
            let handle = open(m, target & 0xFFFF, object);
            set(m, out, handle);
            Status::SUCCESS
        }
        3 => {
            let (handle, status) = (arg(m, 0), arg(m, 1));
            let object = object_of(m, handle);
            if object >> 16 != 2 {
                Status::INVALID_HANDLE
            } else {
                let slot = thread_at(object & 0xFFFF);
                set(m, slot, TERMINATED);
                set(m, slot + EXIT, status);
                switch = slot == thread_at(current);
                Status::SUCCESS
            }
        }
        4 => {
            let from = arg(m, 1);
            let (low, high) = (get(m, from), get(m, from + 4));
            let due = if high == 0x8000_0000 { u32::MAX } else { (m.clock as u32).wrapping_sub(low) };
            set(m, thread_at(current), WAITING);
            set(m, thread_at(current) + DUE, due);
            switch = true;
            Status::SUCCESS
        }
        5 | 6 => {
            let (handle, out) = (arg(m, 0), arg(m, 1));
            let slot = thread_at(object_of(m, handle) & 0xFFFF);
            let before = get(m, slot + COUNT);
            let count = if number == 5 { before + 1 } else { before.saturating_sub(1) };
            set(m, slot + COUNT, count + u32::from(toy.broken));
            set(m, slot, if count > 0 { SUSPENDED } else { RUNNABLE });
            set(m, out, before);
            switch = slot == thread_at(current);
            Status::SUCCESS
        }
        7 => {
            set(m, STOPPED, 1);
            m.cpu.set_reg(Reg::Esp, STACK);
            m.cpu.eip = code().symbol("stop").0;
            return Ok(Flow::Direct);
        }
        _ => Status::INVALID_SYSTEM_SERVICE,
    };
    set(m, frame + 0x1C, status.0);
    save(m, frame);
    if switch { Ok(dispatch(m, code())) } else { Ok(Flow::Return(0)) }
}

const SERVICES: [(&str, u32); 8] = [
    ("CreateProcess", 1),
    ("CreateThread", 6),
    ("NtDuplicateObject", 7),
    ("NtTerminateThread", 2),
    ("NtDelayExecution", 2),
    ("NtSuspendThread", 2),
    ("NtResumeThread", 2),
    ("ExitProcess", 1),
];

fn code() -> &'static Code {
    static TOY: OnceLock<Code> = OnceLock::new();
    TOY.get_or_init(|| assemble().expect("the toy assembles"))
}

fn assemble() -> Result<Code, machine::image::AssembleError> {
    let mut s = Stubs::new(Va(CODE));
    for (entry, native) in [("clock", Native::ToyClock), ("service", Native::ToyService)] {
        s.place(entry)?;
        s.asm.pushad()?;
        s.asm.push(esp)?;
        s.asm.call(u64::from(native.at().0))?;
        if entry == "service" {
            s.place("resume")?;
        }
        s.asm.popad()?;
        s.asm.iretd()?;
    }
    let idle = s.label("idle");
    s.place("idle")?;
    s.asm.sti()?;
    s.asm.hlt()?;
    s.asm.jmp(idle)?;
    s.place("stop")?;
    s.asm.cli()?;
    s.asm.hlt()?;
    for (number, (name, words)) in SERVICES.into_iter().enumerate() {
        s.place(name)?;
        s.asm.mov(eax, number as u32)?;
        s.asm.lea(edx, dword_ptr(esp + 4))?;
        s.asm.int(0x2E)?;
        s.asm.ret_1(4 * words)?;
    }
    s.finish()
}

fn build(m: &mut Machine) -> Result<(), Fault> {
    for (index, high, low) in [
        (1, 0x00CF_9A00, 0xFFFF),
        (2, 0x00CF_9200, 0xFFFF),
        (3, 0x00CF_FA00, 0xFFFF),
        (4, 0x00CF_F200, 0xFFFF),
        (5, 0x0000_8900, TSS << 16 | 0x67),
        (7, 0x00CF_F200, 0xFFFF),
    ] {
        set(m, GDT + 8 * index, low);
        set(m, GDT + 8 * index + 4, high);
    }
    m.cpu.gdtr = Table { base: GDT, limit: 0x3F };
    for (vector, entry, kind) in [(u32::from(CLOCK), "clock", 0x8E00), (0x2E, "service", 0xEE00)] {
        let at = code().symbol(entry).0;
        set(m, IDT + 8 * vector, 0x8_0000 | at & 0xFFFF);
        set(m, IDT + 8 * vector + 4, at & 0xFFFF_0000 | kind);
    }
    m.cpu.idtr = Table { base: IDT, limit: 0x1FF };
    set(m, TSS + 4, STACK);
    set(m, TSS + 8, 0x10);
    m.put(Va(CODE), &code().bytes)?;
    m.put(program::CODE, &program::code().bytes)?;
    for (seg, selector) in [(Seg::Cs, 8), (Seg::Ss, 0x10), (Seg::Ds, 0x23), (Seg::Es, 0x23), (Seg::Fs, 0x3B)]
    {
        m.load_segment(seg, selector).expect("the toy's descriptors are good");
    }
    m.load_task(0x28).expect("the toy's TSS is good");
    set(m, SERIAL, 1);
    set(m, PROCESSES, 1);
    start_thread(m, 0, RUNNABLE);
    dispatch(m, code());
    Ok(())
}

fn id(at: u32) -> ObjectId {
    ObjectId { at: Va(at), serial: 1 }
}

impl Kernel for Toy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn boot(&self) -> Result<Machine, BootError> {
        let mut m = Machine::new(0x440);
        m.gates.kernel = Native::BASE..Native::END;
        build(&mut m).map_err(|fault| BootError::Fault { kernel: self.name, fault })?;
        Ok(m)
    }

    fn image(&self) -> &Image {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        IMAGE.get_or_init(|| {
            let mut image = Image {
                clock_vector: CLOCK,
                pool_faults: Va(POOL),
                current_thread: Va(CURRENT),
                ..Image::default()
            };
            image.add(code());
            let routines = Native::ROWS.iter().map(|row: &Row<Toy>| row.info).collect();
            image.gates.push(Gate { base: Va(Native::BASE), routines });
            image.services = SERVICES.iter().map(|(name, _)| (*name, code().symbol(name))).collect();
            image
        })
    }

    fn native(&self, frame: &mut Frame) -> Result<Flow, Fault> {
        let index = (frame.entry.0 - Native::BASE) / contract::routine::STAGES;
        (Native::ROWS[index as usize].run)(self, frame)
    }

    fn view(&self, m: &Machine, named: &[Named]) -> View {
        let mut peek = Peek::new(m);
        let mut word = |at: u32| peek.load::<u32>(Va(at)).unwrap_or_default();
        let mut view = View::default();
        if word(STOPPED) != 0 {
            view.bugcheck = Some(Bugcheck { code: 1, name: "TOY".into(), parameters: Default::default() });
        }
        for Named { name, kind, id } in named {
            let (at, name) = (id.at.0, name.clone());
            if *kind == ObjectKind::Process {
                view.processes.push(ProcessView {
                    name,
                    terminated: false,
                    exit_status: None,
                    being_debugged: false,
                });
                continue;
            }
            let state = ["free", "running", "waiting", "suspended", "terminated"][word(at) as usize];
            let exit_status = (word(at) == TERMINATED).then(|| Status(word(at + EXIT)));
            view.threads.push(ThreadView {
                name,
                state: state.into(),
                exit_status,
                suspend_count: word(at + COUNT),
                ran: Vec::new(),
                call: None,
            });
        }
        view
    }

    fn scene(&self, _: &Machine) -> Scene {
        Scene { process: id(PROCESSES), thread: id(THREADS), named: Vec::new(), section: 0 }
    }

    fn threads(&self, m: &Machine) -> Vec<ThreadStatus> {
        let mut peek = Peek::new(m);
        let mut word = |at: u32| peek.load::<u32>(Va(at)).unwrap_or_default();
        let current = word(CURRENT);
        let mut found = Vec::new();
        for index in 0..MOST {
            let slot = thread_at(index);
            let activity = match word(slot) {
                0 => continue,
                RUNNABLE => Activity::Runnable,
                WAITING => Activity::Waiting,
                SUSPENDED => Activity::Suspended,
                _ => Activity::Terminated,
            };
            // The idle loop runs in nobody's name.
            let running = index == current && activity == Activity::Runnable;
            let saved = Resume {
                eip: word(slot + SAVED + 0x20),
                esp: word(slot + SAVED + 0x2C),
                ebp: word(slot + SAVED + 8),
                user: true,
            };
            let cpu = &m.cpu;
            let resume = match running {
                true => Resume { eip: cpu.eip, esp: cpu.esp(), ebp: cpu.reg(Reg::Ebp), user: cpu.cpl() == 3 },
                false => saved,
            };
            found.push(ThreadStatus {
                id: id(slot),
                process: id(PROCESSES + 8 * word(slot + PROCESS)),
                activity,
                current: running,
                system: false,
                resume: (activity != Activity::Terminated).then_some(resume),
                user: None,
                stack: (Va(STACK - 0x1000), Va(STACK)),
                cr3: 0,
            });
        }
        found
    }

    fn current(&self, m: &Machine) -> ObjectId {
        id(thread_at(Peek::new(m).load(Va(CURRENT)).unwrap_or_default()))
    }

    fn object(&self, m: &Machine, owner: Owner, handle: u32) -> Option<(ObjectId, ObjectKind)> {
        let process = match owner {
            Owner::Init => 0,
            Owner::Process(id) => (id.at.0 - PROCESSES) / 8,
        };
        match Peek::new(m).load::<u32>(Va(TABLES + 0x100 * process + handle)).ok()? {
            object if object >> 16 == 1 => Some((id(PROCESSES + 8 * (object & 0xFFFF)), ObjectKind::Process)),
            object if object >> 16 == 2 => Some((id(thread_at(object & 0xFFFF)), ObjectKind::Thread)),
            _ => None,
        }
    }

    fn client_id(&self, _: &Machine, object: ObjectId) -> Option<(u32, u32)> {
        Some((0, object.at.0))
    }

    fn address_space(&self, _: &Machine, _: ObjectId) -> Option<u32> {
        Some(0)
    }

    fn structures(&self, _: &Machine) -> Vec<(ObjectId, &'static str)> {
        Vec::new()
    }

    fn inventory(&self, _: &Machine) -> Vec<(String, u32)> {
        Vec::new()
    }
}
