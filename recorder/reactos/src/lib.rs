//! The ReactOS 0.2.5-style kernel of winter 2004/05, and its historical variants.
//!
//! The ground truth is `corpus/behaviour/reactos.md`; routines name its sections. All state is in the
//! machine: this crate is code, and the tables that say where the code is.

mod boot;
mod dbgk;
mod driver;
mod ex;
mod ke;
mod layout;
mod lpc;
mod mm;
mod ob;
mod ps;
mod routines;
mod services;
mod stubs;
mod user;
mod view;

use contract::{
    BootError, Flow, Frame, Gate, Image, Kernel, Named, ObjectId, ObjectKind, Owner, Scene, ThreadStatus,
    View, program,
};
use machine::{Fault, Machine};
use routines::Ke;
use user::Us;

/// Which of the kernels of reactos.md section 0 this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As the source article shows it: `reactos`.
    Article,
    /// Trunk of 2005-01-17: `reactos-r13089`.
    R13089,
    /// `reactos` with the stale start stub of the MSVC6 port: `reactos-msvc6`.
    Msvc6,
}

/// What a terminate APC does to a thread that somebody else marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemoteTermination {
    /// It ends the thread (9.4.1).
    Ends,
    /// It does nothing: the thread is only marked (9.4).
    Marks,
}

/// When NtCreateThread makes the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    /// Before anything is initialised (4.1).
    HandleFirst,
    /// When the thread is ready already (4.9.1).
    HandleLast,
}

impl Variant {
    /// Remote termination: the first switch of section 0.
    pub(crate) fn remote_termination(self) -> RemoteTermination {
        match self {
            Variant::Article | Variant::Msvc6 => RemoteTermination::Ends,
            Variant::R13089 => RemoteTermination::Marks,
        }
    }

    /// NtCreateThread: the second switch.
    pub(crate) fn creation(self) -> Creation {
        match self {
            Variant::Article | Variant::Msvc6 => Creation::HandleLast,
            Variant::R13089 => Creation::HandleFirst,
        }
    }

    /// The start stub of user threads: the third switch (5.3 or 5.6.1).
    pub(crate) fn start_stub(self) -> &'static str {
        match self {
            Variant::Article | Variant::R13089 => "PsBeginThreadWithContextInternal",
            Variant::Msvc6 => "PsBeginThreadWithContextInternalMsvc6",
        }
    }
}

/// The kernel.
pub struct ReactOs {
    pub(crate) variant: Variant,
    image: Image,
}

impl ReactOs {
    /// The kernel in one of its variants.
    pub fn new(variant: Variant) -> ReactOs {
        ReactOs { variant, image: image() }
    }
}

fn image() -> Image {
    let gate = |base: u32, routines: Vec<_>| Gate { base: machine::Va(base), routines };
    let mut image = Image {
        gates: vec![
            gate(Ke::BASE, Ke::ROWS.iter().map(|row| row.info).collect()),
            gate(Us::BASE, Us::ROWS.iter().map(|row| row.info).collect()),
        ],
        layouts: layout::all(),
        clock_vector: layout::CLOCK_VECTOR,
        pool_faults: layout::G.pool_faults().at,
        current_thread: layout::PCR.current_thread().at,
        ..Image::default()
    };
    for code in [stubs::kernel(), user::ntdll(), user::kernel32(), program::code()] {
        image.add(code);
    }
    for (at, name) in [
        (layout::G.0, "GLOBALS"),
        (layout::PCR.0, "KPCR"),
        (layout::KI_USER_SHARED_DATA, "KUSER_SHARED_DATA"),
    ] {
        image.symbols.insert(at.0, name);
    }
    for service in services::SERVICES {
        image.services.insert(service.name, user::ntdll().symbol(service.name));
    }
    let entries = [
        ("CreateProcess", Us::CreateProcess),
        ("CreateProcessInherit", Us::CreateProcessInherit),
        ("CreateThread", Us::CreateThread),
        ("ExitProcess", Us::ExitProcess),
        ("ExitThread", Us::ExitThread),
        ("SleepEx", Us::SleepEx),
        ("TerminateProcess", Us::TerminateProcess),
        ("TerminateThread", Us::TerminateThread),
    ];
    image.services.extend(entries.map(|(name, routine)| (name, routine.at())));
    image
}

impl Kernel for ReactOs {
    fn name(&self) -> &'static str {
        match self.variant {
            Variant::Article => "reactos",
            Variant::R13089 => "reactos-r13089",
            Variant::Msvc6 => "reactos-msvc6",
        }
    }

    fn boot(&self) -> Result<Machine, BootError> {
        boot::boot(self)
    }

    fn image(&self) -> &Image {
        &self.image
    }

    fn native(&self, frame: &mut Frame) -> Result<Flow, Fault> {
        let at = frame.entry.0;
        let row = match at {
            Ke::BASE..Ke::END => &Ke::ROWS[((at - Ke::BASE) / contract::routine::STAGES) as usize],
            _ => &Us::ROWS[((at - Us::BASE) / contract::routine::STAGES) as usize],
        };
        (row.run)(self, frame)
    }

    fn view(&self, m: &Machine, named: &[Named]) -> View {
        view::view(m, named)
    }

    fn scene(&self, m: &Machine) -> Scene {
        view::scene(m)
    }

    fn threads(&self, m: &Machine) -> Vec<ThreadStatus> {
        view::threads::all(m)
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

    fn frames(&self, m: &Machine, thread: &ThreadStatus) -> Vec<(machine::Va, &'static str)> {
        view::frames::all(self.image(), m, thread)
    }

    fn heap(&self, m: &Machine) -> contract::Heap {
        view::inventory::heap(m)
    }

    fn inventory(&self, m: &Machine) -> Vec<(String, u32)> {
        view::inventory::all(m)
    }
}
