//! The NT 5.2-style kernel.
//!
//! It starts and ends processes and threads as `nt52.md` says, on the machine's i386. Everything it
//! knows lies in guest memory; [`Nt`] is nothing but its code and what is where.
//!
//! - `stubs`: what is assembly in the field, executed: system service entry and exit, traps, the
//!   context switch, the start stub, ntdll's stubs, kernel32's thunks.
//! - `ke`, `ps`, `ob`, `ex`, `mm`, `dbgk`: what is C in the field, as native routines (`table`).
//! - `user`: the C code of ntdll and kernel32, in ring 3; `csrss`: what answers it.
//! - `layout`, `global`: the structures, and where they lie. `boot` makes the machine.
//! - `view`: what can be seen from outside.

mod boot;
mod csrss;
mod dbgk;
mod driver;
mod error;
mod ex;
mod global;
mod ke;
mod layout;
mod mm;
mod ob;
mod ps;
mod stubs;
mod table;
mod user;
mod view;

use contract::routine::Row;
use contract::{BootError, Flow, Frame, Gate, Image, Kernel, Named, ObjectId, ObjectKind, Owner};
use contract::{Scene, ThreadStatus, View};
use guest::Va;
use machine::{Fault, Machine};
use stubs::Code;
use table::{Ke, SERVICES, User};

/// The interrupt vector of the clock.
const CLOCK_VECTOR: u8 = 0x30;
/// The kernel's name.
const NAME: &str = "nt";

/// The NT 5.2-style kernel: its code, and nothing that it could remember.
#[derive(Debug)]
pub struct Nt {
    code: Code,
    image: Image,
}

impl Nt {
    /// The kernel.
    ///
    /// # Panics
    /// When its stubs do not assemble, which a test rules out.
    pub fn new() -> Nt {
        let code = Code::assemble().expect("the kernel's stubs assemble");
        let image = image(&code);
        Nt { code, image }
    }
}

impl Default for Nt {
    fn default() -> Nt {
        Nt::new()
    }
}

fn gate<K>(base: u32, rows: &[Row<K>]) -> Gate {
    Gate { base: Va(base), routines: rows.iter().map(|row| row.info).collect() }
}

fn image(code: &Code) -> Image {
    let mut image = Image {
        gates: vec![gate(Ke::BASE, Ke::ROWS), gate(User::BASE, User::ROWS)],
        layouts: layout::layouts(),
        flags: layout::flags(),
        clock_vector: CLOCK_VECTOR,
        pool_faults: global::POOL_FAULTS,
        current_thread: layout::PCR.current_thread().at,
        ..Image::default()
    };
    for piece in [&code.kernel, &code.ntdll, &code.kernel32] {
        image.add(piece);
    }
    for (at, name) in [
        (global::NTDLL, "ntdll"),
        (global::KERNEL32, "kernel32"),
        (global::DATA.0, "KernelData"),
        (layout::SHARED.0, "KUSER_SHARED_DATA"),
        (layout::PCR.0, "KPCR"),
    ] {
        image.symbols.insert(at.0, name);
    }
    for (name, ..) in SERVICES {
        image.services.insert(name, code.ntdll.symbol(name));
    }
    for routine in [
        User::ExitProcess,
        User::ExitThread,
        User::CreateProcess,
        User::CreateProcessInherit,
        User::CreateThread,
        User::SleepEx,
        User::TerminateProcess,
        User::TerminateThread,
    ] {
        let info = User::ROWS[routine as usize].info;
        image.services.insert(info.name, routine.at());
    }
    image
}

impl Kernel for Nt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn boot(&self) -> Result<Machine, BootError> {
        boot::boot(self)
    }

    fn image(&self) -> &Image {
        &self.image
    }

    fn native(&self, frame: &mut Frame) -> Result<Flow, Fault> {
        let entry = frame.entry.0;
        if (Ke::BASE..Ke::END).contains(&entry) {
            let row = &Ke::ROWS[((entry - Ke::BASE) / contract::routine::STAGES) as usize];
            return match (row.run)(self, frame)? {
                Flow::Return(value) => ke::interrupt::on_return(self, frame, value),
                flow => Ok(flow),
            };
        }
        let row = &User::ROWS[((entry - User::BASE) / contract::routine::STAGES) as usize];
        (row.run)(self, frame)
    }

    fn view(&self, m: &Machine, named: &[Named]) -> View {
        view::view(m, named)
    }

    fn scene(&self, m: &Machine) -> Scene {
        view::scene(m)
    }

    fn threads(&self, m: &Machine) -> Vec<ThreadStatus> {
        view::threads(self, m)
    }

    fn current(&self, m: &Machine) -> ObjectId {
        view::current(m)
    }

    fn object(&self, m: &Machine, owner: Owner, handle: u32) -> Option<(ObjectId, ObjectKind)> {
        view::object(m, owner, handle)
    }

    fn client_id(&self, m: &Machine, object: ObjectId) -> Option<(u32, u32)> {
        view::client_id(m, object)
    }

    fn address_space(&self, m: &Machine, process: ObjectId) -> Option<u32> {
        view::address_space(m, process)
    }

    fn structures(&self, m: &Machine) -> Vec<(ObjectId, &'static str)> {
        view::structures(m)
    }

    fn frames(&self, m: &Machine, thread: &ThreadStatus) -> Vec<(Va, &'static str)> {
        view::frames(self, m, thread)
    }

    fn heap(&self, m: &Machine) -> contract::Heap {
        view::heap(m)
    }

    fn inventory(&self, m: &Machine) -> Vec<(String, u32)> {
        view::inventory(m)
    }
}
