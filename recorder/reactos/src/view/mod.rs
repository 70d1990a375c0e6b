//! The kernel seen from outside. Nothing here changes the machine.

pub(crate) mod frames;
pub(crate) mod inventory;
pub(crate) mod threads;

use crate::{ex::pool, ke, layout::*, ob};
use contract::{
    Activity, Bugcheck, Named, ObjectId, ObjectKind, ObjectView, Owner, ProcessView, Scene, Status,
    ThreadView, View,
};
use guest::{Peek, Pointer, Read, Survey, Va};
use machine::Machine;

/// The identity of an object: its body, and the serial number of its allocation.
pub(crate) fn id(p: &mut impl Read, body: Va) -> ObjectId {
    let header = pool::header(p, ob::object::header(body).0).ok().flatten();
    let serial = header.and_then(|header| p.get(header.serial()).ok()).unwrap_or(0);
    ObjectId { at: body, serial }
}

/// Whether the object still is the one that the id was made for.
fn exists(m: &Machine, object: ObjectId) -> bool {
    object.serial != 0 && id(&mut Peek::new(m), object.at) == object
}

fn kind_of(m: &Machine, body: Va) -> Option<ObjectKind> {
    Some(match ob::object::type_of(&mut Peek::new(m), body).ok()?? {
        Type::Process => ObjectKind::Process,
        Type::Thread => ObjectKind::Thread,
        Type::Event => ObjectKind::Event,
        Type::Mutant => ObjectKind::Mutant,
        Type::Semaphore => ObjectKind::Semaphore,
        Type::Section => ObjectKind::Section,
        Type::Port => ObjectKind::Port,
    })
}

/// [`contract::Kernel::scene`].
pub(crate) fn scene(m: &Machine) -> Scene {
    let mut p = Peek::new(m);
    let process = p.get(G.init_process()).map_or(Va(0), |process| process.0);
    let thread = p.get(G.init_thread()).map_or(Va(0), |thread| thread.0);
    let mut handle = |slot| p.get(slot).unwrap_or(0);
    let named = vec![
        ("System", ObjectKind::Process, handle(G.system_handle())),
        ("SystemThread", ObjectKind::Thread, handle(G.system_thread_handle())),
    ];
    let section = handle(G.section_handle());
    Scene { process: id(&mut p, process), thread: id(&mut p, thread), named, section }
}

/// [`contract::Kernel::current`].
pub(crate) fn current(m: &Machine) -> ObjectId {
    let mut p = Peek::new(m);
    let thread = ke::current(&mut p).map_or(Va(0), |thread| thread.0);
    id(&mut p, thread)
}

/// [`contract::Kernel::object`].
pub(crate) fn object(m: &Machine, owner: Owner, handle: u32) -> Option<(ObjectId, ObjectKind)> {
    let mut p = Peek::new(m);
    let process = match owner {
        Owner::Init => p.get(G.init_process()).ok()?,
        Owner::Process(process) if exists(m, process) => EProcess(process.at),
        Owner::Process(_) => return None,
    };
    let slot = ob::handle::lookup(&mut p, process, handle).ok()??;
    let body = ob::handle::object_of(&mut p, slot).ok()?;
    if body.is_null() {
        return None;
    }
    Some((id(&mut p, body), kind_of(m, body)?))
}

/// [`contract::Kernel::client_id`].
pub(crate) fn client_id(m: &Machine, object: ObjectId) -> Option<(u32, u32)> {
    if !exists(m, object) {
        return None;
    }
    let mut p = Peek::new(m);
    match kind_of(m, object.at)? {
        ObjectKind::Process => Some((p.get(EProcess(object.at).unique_process_id()).ok()?, 0)),
        ObjectKind::Thread => {
            let thread = EThread(object.at);
            Some((p.get(thread.unique_process()).ok()?, p.get(thread.unique_thread()).ok()?))
        }
        _ => None,
    }
}

/// [`contract::Kernel::address_space`].
pub(crate) fn address_space(m: &Machine, process: ObjectId) -> Option<u32> {
    if !exists(m, process) {
        return None;
    }
    Peek::new(m).get(EProcess(process.at).pcb().directory_table_base()).ok()
}

/// Every process, in the order of creation.
pub(crate) fn processes(p: &mut impl Read) -> Vec<EProcess> {
    let mut found = guest::walk(p, G.process_list_head(), EProcess::process_list_entry).unwrap_or_default();
    // New processes go to the head.
    found.reverse();
    found
}

/// [`contract::Kernel::structures`].
pub(crate) fn structures(m: &Machine) -> Vec<(ObjectId, &'static str)> {
    let p = &mut Survey::new(m);
    let mut found = Vec::new();
    for process in processes(p) {
        found.push((id(p, process.0), "EPROCESS"));
        found.extend(threads::of(p, process).into_iter().map(|thread| (id(p, thread.0), "ETHREAD")));
    }
    found
}

/// [`contract::Kernel::view`].
pub(crate) fn view(m: &Machine, named: &[Named]) -> View {
    let mut view = View { bugcheck: bugcheck(m, named), ..View::default() };
    for object in named {
        match object.kind {
            ObjectKind::Process => view.processes.push(process(m, object)),
            ObjectKind::Thread => view.threads.push(thread(m, object)),
            _ => view.objects.push(other(m, object, named)),
        }
    }
    view
}

fn process(m: &Machine, named: &Named) -> ProcessView {
    let mut view =
        ProcessView { name: named.name.clone(), terminated: true, exit_status: None, being_debugged: false };
    if !exists(m, named.id) {
        return view;
    }
    let process = EProcess(named.id.at);
    let mut p = Peek::new(m);
    view.terminated = p.get(process.pcb().header().signal_state()).unwrap_or(1) != 0;
    if view.terminated {
        view.exit_status = p.get(process.exit_status()).ok().map(Status);
    }
    if let Ok(cr3) = p.get(process.pcb().directory_table_base()) {
        let flag = Peek { machine: m, cr3 }.get(Peb(PEB_BASE).being_debugged());
        view.being_debugged = flag.is_ok_and(|flag| flag != 0);
    }
    view
}

fn thread(m: &Machine, named: &Named) -> ThreadView {
    let mut view = ThreadView {
        name: named.name.clone(),
        state: "terminated".to_owned(),
        exit_status: None,
        suspend_count: 0,
        ran: Vec::new(),
        call: None,
    };
    if !exists(m, named.id) {
        return view;
    }
    let thread = EThread(named.id.at);
    let mut p = Peek::new(m);
    view.state = match threads::activity(m, thread) {
        Activity::Initialized => "initialized",
        Activity::Runnable => "running",
        Activity::Waiting => "waiting",
        Activity::Suspended => "suspended",
        Activity::Terminated => "terminated",
    }
    .to_owned();
    if view.state == "terminated" {
        view.exit_status = p.get(thread.exit_status()).ok().map(Status);
    } else {
        view.suspend_count = p.get(thread.tcb().suspend_count()).map_or(0, u32::from);
    }
    view
}

/// What a thread is called: its name in the case, or that it has none.
fn thread_name(named: &[Named], thread: EThread) -> String {
    let known = named.iter().find(|named| named.id.at == thread.0);
    known.map_or_else(|| "another thread".to_owned(), |named| named.name.clone())
}

fn other(m: &Machine, object: &Named, named: &[Named]) -> ObjectView {
    let (body, mut p) = (object.id.at, Peek::new(m));
    let mut state = || -> Option<String> {
        if !exists(m, object.id) {
            return None;
        }
        let signal = p.get(Header(body).signal_state()).ok()?;
        Some(match object.kind {
            ObjectKind::Semaphore => format!("count {signal}"),
            ObjectKind::Mutant => match p.get(KMutant(body).owner_thread()).ok()? {
                Some(owner) => format!("owned by {}", thread_name(named, owner)),
                None if p.get(KMutant(body).abandoned()).ok()? != 0 => "abandoned".to_owned(),
                None => "signaled".to_owned(),
            },
            ObjectKind::Section | ObjectKind::Port => "exists".to_owned(),
            _ if signal > 0 => "signaled".to_owned(),
            _ => "not signaled".to_owned(),
        })
    };
    let state = state().unwrap_or_else(|| "deleted".to_owned());
    ObjectView { name: object.name.clone(), kind: object.kind, state }
}

fn bugcheck(m: &Machine, named: &[Named]) -> Option<Bugcheck> {
    let [code, parameters @ ..] = ke::bugcheck::stopped(&mut Peek::new(m)).ok()??;
    let name = match code {
        stop::INVALID_PROCESS_ATTACH_ATTEMPT => "INVALID_PROCESS_ATTACH_ATTEMPT",
        stop::INVALID_PROCESS_DETACH_ATTEMPT => "INVALID_PROCESS_DETACH_ATTEMPT",
        stop::NO_PAGES_AVAILABLE => "NO_PAGES_AVAILABLE",
        stop::THREAD_NOT_MUTEX_OWNER => "THREAD_NOT_MUTEX_OWNER",
        stop::KMODE_EXCEPTION_NOT_HANDLED => "KMODE_EXCEPTION_NOT_HANDLED",
        _ => "",
    };
    let parameters = parameters.map(|value| {
        let known = named.iter().find(|named| named.id.at.0 == value);
        match known {
            Some(named) => named.name.clone(),
            None if is_kernel_pointer(value) => "pointer".to_owned(),
            None => format!("{value:08X}"),
        }
    });
    Some(Bugcheck { code, name: name.to_owned(), parameters })
}

/// Whether a value points into what the kernel has mapped; NTSTATUS values look like addresses
/// otherwise.
fn is_kernel_pointer(value: u32) -> bool {
    let ranges = [
        (GDT.0, crate::routines::Ke::END),
        (POOL.0, POOL.0 + POOL_SIZE),
        (STACKS.0, STACKS.0 + STACK_COUNT * STACK_SLOT),
        (KPCR.0, KPCR.0 + Kpcr::EXTENT),
    ];
    // No status that the kernel raises has the facility bits of these ranges but C000xxxx.
    let status = value >> 16 == 0xC000 && value & 0xFFFF < 0x1000;
    !status && ranges.iter().any(|(from, to)| (*from..*to).contains(&value))
}
