//! What can be seen of the kernel from outside. Nothing here changes the machine.

mod frames;
mod inventory;
mod threads;

pub(crate) use frames::frames;
pub(crate) use inventory::{heap, inventory, structures};
pub(crate) use threads::{current, threads};

use crate::global::DATA;
use crate::ke::bugcheck;
use crate::layout::*;
use crate::ob;
use contract::{
    Bugcheck, Named, ObjectId, ObjectKind, ObjectView, Owner, ProcessView, Scene, Status, ThreadView, View,
};
use guest::{Peek, Pointer, Read, Va};
use machine::Machine;

/// What a named object's view says when its memory has gone.
const DELETED: &str = "deleted";

/// Everything that a program could tell apart, of the named objects.
pub(crate) fn view(m: &Machine, named: &[Named]) -> View {
    let mut view = View { bugcheck: stop(m, named), ..View::default() };
    for one in named {
        let alive = ob::exists(&mut Peek::new(m), one.id);
        match one.kind {
            ObjectKind::Process => view.processes.push(process(m, one, alive)),
            ObjectKind::Thread => view.threads.push(thread(m, one, alive)),
            _ => view.objects.push(object_view(m, one, alive, named)),
        }
    }
    view
}

fn process(m: &Machine, named: &Named, alive: bool) -> ProcessView {
    let mut peek = Peek::new(m);
    let process = EProcess::at(named.id.at);
    let signaled = peek.get(process.pcb().header().signal_state()).unwrap_or(0) != 0;
    let terminated = !alive || signaled;
    let status = peek.get(process.exit_status()).ok().filter(|_| alive && signaled);
    let peb = peek.get(process.peb()).unwrap_or(Va(0));
    let directory = peek.get(process.pcb().directory_table_base()).unwrap_or(0);
    let mut own = Peek { machine: m, cr3: directory };
    let debugged = alive && !peb.is_null() && own.get(Peb::at(peb).being_debugged()).unwrap_or(0) != 0;
    ProcessView {
        name: named.name.clone(),
        terminated,
        exit_status: status.map(Status),
        being_debugged: debugged,
    }
}

fn thread(m: &Machine, named: &Named, alive: bool) -> ThreadView {
    let mut peek = Peek::new(m);
    let thread = EThread::at(named.id.at);
    let activity = threads::activity(&mut peek, thread.tcb());
    let state = match activity {
        _ if !alive => "terminated",
        contract::Activity::Terminated => "terminated",
        contract::Activity::Initialized => "initialized",
        contract::Activity::Runnable => "running",
        contract::Activity::Waiting => "waiting",
        contract::Activity::Suspended => "suspended",
    };
    let ended = state == "terminated";
    let status = peek.get(thread.exit_status()).ok().filter(|_| ended && alive);
    let count = peek.get(thread.tcb().suspend_count()).unwrap_or(0);
    ThreadView {
        name: named.name.clone(),
        state: state.to_owned(),
        exit_status: status.map(Status),
        suspend_count: if ended { 0 } else { count.into() },
        ran: Vec::new(),
        call: None,
    }
}

fn object_view(m: &Machine, named: &Named, alive: bool, all: &[Named]) -> ObjectView {
    let state = match alive {
        true => object_state(m, named, all).unwrap_or_else(|| DELETED.to_owned()),
        false => DELETED.to_owned(),
    };
    ObjectView { name: named.name.clone(), kind: named.kind, state }
}

fn object_state(m: &Machine, named: &Named, all: &[Named]) -> Option<String> {
    let mut peek = Peek::new(m);
    let header = DispatcherHeader::at(named.id.at);
    let state = peek.get(header.signal_state()).ok()?;
    let signaled = if state > 0 { "signaled" } else { "not signaled" };
    Some(match named.kind {
        ObjectKind::Section => "open".to_owned(),
        ObjectKind::Semaphore => format!("count {state}"),
        ObjectKind::Mutant => {
            let mutant = KMutant::at(named.id.at);
            let abandoned = peek.get(mutant.abandoned()).ok()? != 0;
            match peek.get(mutant.owner_thread()).ok()? {
                Some(owner) => {
                    let name = all.iter().find(|one| one.id.at == owner.va());
                    format!("owned by {}", name.map_or("a thread", |one| &one.name))
                }
                None if abandoned => "abandoned".to_owned(),
                None => signaled.to_owned(),
            }
        }
        _ => signaled.to_owned(),
    })
}

/// The bugcheck, if the system has stopped.
fn stop(m: &Machine, named: &[Named]) -> Option<Bugcheck> {
    let mut peek = Peek::new(m);
    if peek.get(DATA.bugcheck_set()).ok()? == 0 {
        return None;
    }
    let code = peek.get(DATA.bugcheck_code()).ok()?;
    let name = bugcheck::NAMES.iter().find(|(known, _)| *known == code);
    let slots = [DATA.bugcheck_1(), DATA.bugcheck_2(), DATA.bugcheck_3(), DATA.bugcheck_4()];
    let values = slots.map(|slot| peek.get(slot).unwrap_or(0));
    let texts = match code {
        bugcheck::CRITICAL_OBJECT_TERMINATION => [false, false, true, true],
        _ => [false; 4],
    };
    let parameters = [0, 1, 2, 3].map(|index| parameter(m, values[index], texts[index], named));
    Some(Bugcheck { code, name: name.map_or(String::new(), |(_, name)| (*name).to_owned()), parameters })
}

fn parameter(m: &Machine, value: u32, is_text: bool, named: &[Named]) -> String {
    if let Some(one) = named.iter().find(|one| one.id.at.0 == value) {
        return one.name.clone();
    }
    if is_text && let Some(text) = text(m, Va(value)) {
        return text;
    }
    if value >= 0x8000_0000 && Peek::new(m).load::<u8>(Va(value)).is_ok() {
        return "pointer".to_owned();
    }
    format!("{value:08X}")
}

/// The text at an address, up to its NUL.
fn text(m: &Machine, at: Va) -> Option<String> {
    let mut peek = Peek::new(m);
    let mut found = String::new();
    for offset in 0..64 {
        match peek.load::<u8>(at.add(offset)).ok()? {
            0 => return Some(found.trim_end().to_owned()),
            byte => found.push(byte.into()),
        }
    }
    None
}

/// What there is before any case.
pub(crate) fn scene(m: &Machine) -> Scene {
    let mut peek = Peek::new(m);
    let mut get = |slot: guest::Slot<u32>| peek.get(slot).expect("the kernel's variables are mapped");
    let (process, thread) = (get(slot_of(DATA.init_process().at)), get(slot_of(DATA.init_thread().at)));
    let named = vec![
        ("System", ObjectKind::Process, get(DATA.handle_system())),
        ("SystemThread", ObjectKind::Thread, get(DATA.handle_system_thread())),
    ];
    let section = get(DATA.handle_section());
    let id = |at| ob::id(&mut Peek::new(m), Va(at)).expect("the first objects are there");
    Scene { process: id(process), thread: id(thread), named, section }
}

fn slot_of(at: Va) -> guest::Slot<u32> {
    guest::Slot::new(at)
}

/// The object that a handle names.
pub(crate) fn object(m: &Machine, owner: Owner, handle: u32) -> Option<(ObjectId, ObjectKind)> {
    let mut peek = Peek::new(m);
    let process = match owner {
        Owner::Init => peek.get(DATA.init_process()).ok()?,
        Owner::Process(id) => {
            let is_there = ob::exists(&mut peek, id);
            EProcess::at(is_there.then_some(id.at)?)
        }
    };
    let table = peek.get(process.object_table()).ok()??;
    if (handle as i32) < 0 {
        return None;
    }
    let entry = ob::entry(&mut peek, table, handle).ok()??;
    let body = ob::object(&mut peek, entry).ok()?;
    let kind = peek.get(ob::header(body).kind()).ok()?;
    Some((ob::id(&mut peek, body)?, ob::object_kind(kind)?))
}

/// A process's id and 0, or a thread's two ids.
pub(crate) fn client_id(m: &Machine, object: ObjectId) -> Option<(u32, u32)> {
    let mut peek = Peek::new(m);
    if !ob::exists(&mut peek, object) {
        return None;
    }
    match peek.get(ob::header(object.at).kind()).ok()? {
        Kind::Process => Some((peek.get(EProcess::at(object.at).unique_process_id()).ok()?, 0)),
        Kind::Thread => {
            let thread = EThread::at(object.at);
            Some((peek.get(thread.unique_process()).ok()?, peek.get(thread.unique_thread()).ok()?))
        }
        _ => None,
    }
}

/// CR3 of a process.
pub(crate) fn address_space(m: &Machine, process: ObjectId) -> Option<u32> {
    let mut peek = Peek::new(m);
    if !ob::exists(&mut peek, process) {
        return None;
    }
    peek.get(EProcess::at(process.at).pcb().directory_table_base()).ok()
}

/// Idle, then the active processes.
pub(crate) fn processes(peek: &mut impl Read) -> Vec<EProcess> {
    let mut found = Vec::new();
    found.extend(peek.get(DATA.ps_idle_process()).ok());
    let active = guest::walk(peek, DATA.ps_active_process_head(), EProcess::active_process_links);
    found.extend(active.unwrap_or_default());
    found
}
