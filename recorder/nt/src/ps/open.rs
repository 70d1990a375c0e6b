//! NtOpenProcess and NtOpenThread (nt52.md 12.3).

use super::cid;
use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::ke::thread::current_process;
use crate::layout::*;
use crate::mm::access::{probe, probe_for_write, read, write};
use crate::ob::{self, ObjectAttributes};
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va};
use machine::Machine;

const OBJ_INHERIT: u32 = 2;

/// What an open asks for.
struct Open {
    handle_at: Va,
    wanted: u32,
    inherit: bool,
    unique_process: u32,
    unique_thread: u32,
}

/// Steps 1 and 2.
fn capture(m: &mut Machine, args: [u32; 4]) -> Res<Open> {
    let [handle_at, wanted, attributes_at, client_id_at] = args;
    probe_for_write(m, Va(handle_at), 4, 4)?;
    let ids = match client_id_at {
        0 => None,
        at => {
            probe(m, Va(at), 8, 4)?;
            Some((read(m, Va(at))?, read(m, Va(at).add(4))?))
        }
    };
    let ObjectAttributes { name, attributes } = ob::capture_attributes(m, attributes_at)?;
    let Some((unique_process, unique_thread)) = ids.filter(|_| name == 0) else {
        // A name alone would be looked up; no process or thread has one.
        let both_or_neither = (name != 0) == ids.is_some();
        let status = if both_or_neither { Status::INVALID_PARAMETER_MIX } else { Status::INVALID_PARAMETER };
        return Err(status.into());
    };
    let inherit = attributes & OBJ_INHERIT != 0;
    Ok(Open { handle_at: Va(handle_at), wanted, inherit, unique_process, unique_thread })
}

/// Step 5. Every caller holds SeDebugPrivilege or would be let in anyway: nothing restricts access.
fn open(m: &mut Machine, open: &Open, body: Va, all: u32) -> Res<()> {
    let process = current_process(m)?;
    let bits = if open.inherit { attribute::INHERIT } else { 0 };
    let handle = ob::open_by_pointer(m, process, body, ob::grant(open.wanted, all), bits)?;
    write(m, open.handle_at, handle)
}

/// The thread with an id in a process with an id.
fn thread_of(m: &mut Machine, open: &Open) -> Res<EThread> {
    let Some(thread) = cid::thread(m, open.unique_thread)? else { return Err(Status::INVALID_CID.into()) };
    match m.get(thread.unique_process())? == open.unique_process {
        true => Ok(thread),
        false => Err(Status::INVALID_CID.into()),
    }
}

/// NtOpenProcess(ProcessHandle, DesiredAccess, ObjectAttributes, ClientId).
pub(crate) fn nt_open_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let args = [f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?];
    let asked = attempt!(capture(f.m, args));
    let process = if asked.unique_thread != 0 {
        let thread = attempt!(thread_of(f.m, &asked));
        f.m.get(thread.threads_process())?
    } else {
        cid::process(f.m, asked.unique_process)?
    };
    let Some(process) = process else { return done(Status::INVALID_PARAMETER) };
    attempt!(open(f.m, &asked, process.va(), access::PROCESS_ALL_ACCESS));
    done(Status::SUCCESS)
}

/// NtOpenThread(ThreadHandle, DesiredAccess, ObjectAttributes, ClientId).
pub(crate) fn nt_open_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let args = [f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?];
    let asked = attempt!(capture(f.m, args));
    let thread = if asked.unique_process != 0 {
        attempt!(thread_of(f.m, &asked))
    } else {
        match cid::thread(f.m, asked.unique_thread)? {
            Some(thread) => thread,
            None => return done(Status::INVALID_PARAMETER),
        }
    };
    attempt!(open(f.m, &asked, thread.va(), access::THREAD_ALL_ACCESS));
    done(Status::SUCCESS)
}
