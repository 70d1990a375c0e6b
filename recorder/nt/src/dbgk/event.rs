//! Debug events: queueing, waiting for the continuation, waking (nt52.md 10.5, 10.9).

use crate::Nt;
use crate::error::{Res, done};
use crate::ex::{pool, rundown};
use crate::ke::thread::current;
use crate::ke::{suspend, sync};
use crate::layout::*;
use crate::mm::process::set_flags;
use crate::ob;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, ListEntry, Pointer, Read, Va, Write, walk};
use machine::Machine;

/// The events of a debug object, oldest first.
pub(crate) fn all(m: &mut Machine, object: DebugObject) -> Result<Vec<DebugEvent>, Fault> {
    Ok(walk(m, object.event_list(), DebugEvent::event_list).unwrap_or_default())
}

/// DbgkpWakeTarget: the event is over.
pub(crate) fn wake(m: &mut Machine, event: DebugEvent) -> Result<(), Fault> {
    let (flags, thread) = (m.get(event.flags())?, m.get(event.thread())?);
    if flags & debug_event::SUSPEND != 0 {
        suspend::resume(m, thread.tcb())?;
    }
    if flags & debug_event::RELEASE != 0 {
        rundown::release(m, thread.rundown_protect())?;
    }
    if flags & debug_event::NOWAIT == 0 {
        sync::set_event(m, event.continue_event(), 0)?;
        return Ok(());
    }
    let process = m.get(event.process())?;
    ob::dereference(m, process.va())?;
    ob::dereference(m, thread.va())?;
    pool::free(m, event.va())
}

/// Fills an event for a thread, with the message's words from ApiNumber on.
fn fill(
    m: &mut Machine,
    event: DebugEvent,
    (process, thread): (EProcess, EThread),
    flags: u32,
    message: &[u32],
) -> Result<(), Fault> {
    let ids = (m.get(thread.unique_process())?, m.get(thread.unique_thread())?);
    sync::init_event(m, event.continue_event(), KObject::EventSynchronization, false)?;
    m.set(event.unique_process(), ids.0)?;
    m.set(event.unique_thread(), ids.1)?;
    m.set(event.process(), process)?;
    m.set(event.thread(), thread)?;
    m.set(event.status(), 0)?;
    m.set(event.flags(), flags)?;
    m.set(event.backout_thread(), None)?;
    let api = event.api_msg();
    m.zero(api.va(), DbgkmMsg::EXTENT)?;
    m.set(api.api_number(), message[0])?;
    for (index, word) in message[1..].iter().enumerate() {
        m.store(api.data().at.add(4 * index as u32), *word)?;
    }
    Ok(())
}

/// DbgkpQueueMessage with NOWAIT: an event that nobody waits for, not yet eligible for delivery.
pub(crate) fn queue_synthetic(
    m: &mut Machine,
    object: DebugObject,
    who: (EProcess, EThread),
    flags: u32,
    message: &[u32],
) -> Res<()> {
    let Some(at) = pool::allocate(m, DebugEvent::EXTENT, pool::tag(b"DbgE"))? else {
        return Err(Status::INSUFFICIENT_RESOURCES.into());
    };
    let event = DebugEvent::at(at);
    fill(m, event, who, flags | debug_event::NOWAIT | debug_event::INACTIVE, message)?;
    let own = current(m)?;
    m.set(event.backout_thread(), Some(own))?;
    ob::reference(m, who.0.va())?;
    ob::reference(m, who.1.va())?;
    let list: ListEntry = object.event_list();
    list.push_back(m, event.event_list())?;
    Ok(())
}

/// The kinds of messages that a thread's SKIP flags suppress.
fn suppressed(flags: u32, api_number: u32) -> bool {
    match api_number {
        api::CREATE_THREAD | api::CREATE_PROCESS => flags & cross::SKIP_CREATION_MSG != 0,
        api::EXIT_THREAD | api::EXIT_PROCESS => flags & cross::SKIP_TERMINATION_MSG != 0,
        _ => false,
    }
}

/// Where the event record of DbgkpQueueMessage lies on its stack: 2A doublewords.
const EVENT: (u8, u8) = (0, 42);

/// DbgkpQueueMessage(Message, Freeze) for a real event: the calling thread reports it to the debugger of
/// its process and waits until it is continued. Message points to ApiNumber and the words of the
/// message, 21 in all; after a success the first of them is the debugger's reply. Freeze: the other
/// threads of the process stand still meanwhile (DbgkpSuspendProcess).
///
/// Locals 0 to 41 hold the event, 42 whether the others are frozen, 43 the status.
pub(crate) fn dbgkp_send_api_message(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    const FROZEN: u8 = 42;
    const STATUS: u8 = 43;
    let thread = current(f.m)?;
    let Some(process) = f.m.get(thread.threads_process())? else { return done(Status::PORT_NOT_SET) };
    let event = DebugEvent::at(f.block(EVENT.0, EVENT.1));
    match f.stage {
        0 | 3 => {
            if f.m.get(thread.tcb().freeze_count())? != 0 {
                // Frozen itself: the suspend APC is about to stop it. What comes after is later.
                return f.call(Ke::NtYieldExecution.at(), &[], 3);
            }
            let deleted = f.m.get(process.flags())? & process_flags::PROCESS_DELETE != 0;
            if f.arg(1)? != 0 && !deleted {
                suspend::freeze_others(f.m, process.pcb())?;
                f.set_local(FROZEN, 1)?;
            }
            set_flags(f.m, process.flags(), process_flags::CREATE_REPORTED)?;
            let mut message = [0; 22];
            let from = Va(f.arg(0)?);
            for (index, word) in message.iter_mut().enumerate() {
                *word = f.m.load(from.add(4 * index as u32))?;
            }
            match queue(f.m, event, (process, thread), &message)? {
                Status::SUCCESS => {
                    let args = [event.continue_event().va().0, reason::EXECUTIVE, KERNEL, 0, 0];
                    f.call(Ke::KeWaitForSingleObject.at(), &args, 1)
                }
                status => {
                    f.set_local(STATUS, status.0)?;
                    thaw(f, process, FROZEN)
                }
            }
        }
        1 => {
            let status = f.m.get(event.status())?;
            f.set_local(STATUS, status)?;
            let reply = f.m.get(event.api_msg().returned_status())?;
            let to = Va(f.arg(0)?);
            f.m.store(to, reply)?;
            thaw(f, process, FROZEN)
        }
        _ => Ok(Flow::Return(f.local(STATUS)?)),
    }
}

/// Under the port's lock: the event goes to the debugger, if there is one.
fn queue(
    m: &mut Machine,
    event: DebugEvent,
    who: (EProcess, EThread),
    message: &[u32],
) -> Result<Status, Fault> {
    let flags = m.get(who.1.cross_thread_flags())?;
    let port = m.get(who.0.debug_port())?.filter(|_| !suppressed(flags, message[0]));
    let Some(object) = port else { return Ok(Status::PORT_NOT_SET) };
    if m.get(object.flags())? & debug_object::DEBUGGER_INACTIVE != 0 {
        return Ok(Status::DEBUGGER_INACTIVE);
    }
    fill(m, event, who, 0, message)?;
    object.event_list().push_back(m, event.event_list())?;
    sync::set_event(m, object.events_present(), 0)?;
    Ok(Status::SUCCESS)
}

/// KeThawAllThreads, if the others were frozen.
fn thaw(f: &mut Frame, process: EProcess, frozen: u8) -> Result<Flow, Fault> {
    if f.local(frozen)? == 0 {
        return Ok(Flow::Return(f.local(frozen + 1)?));
    }
    suspend::thaw_others(f.m, process.pcb())?;
    f.call(Ke::KeLeaveCriticalRegion.at(), &[], 2)
}
