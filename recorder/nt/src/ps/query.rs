//! NtQueryInformationProcess and NtQueryInformationThread (nt52.md 12.5).

use crate::Nt;
use crate::error::{Res, attempt, done};
use crate::ke::thread::current_process;
use crate::layout::*;
use crate::mm::access::{previous_mode, probe_for_write, write_bytes, write_optional};
use crate::ob;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va};
use machine::Machine;

/// Information classes (nt52.md 2.19), and ProcessDebugPort.
pub(crate) mod class {
    pub(crate) const PROCESS_BASIC: u32 = 0;
    pub(crate) const PROCESS_TIMES: u32 = 4;
    pub(crate) const PROCESS_DEBUG_PORT: u32 = 7;
    pub(crate) const PROCESS_AFFINITY_MASK: u32 = 0x15;
    pub(crate) const PROCESS_BREAK_ON_TERMINATION: u32 = 0x1D;
    pub(crate) const PROCESS_DEBUG_OBJECT_HANDLE: u32 = 0x1E;
    pub(crate) const PROCESS_DEBUG_FLAGS: u32 = 0x1F;
    pub(crate) const THREAD_BASIC: u32 = 0;
    pub(crate) const THREAD_TIMES: u32 = 1;
    pub(crate) const THREAD_WIN32_START_ADDRESS: u32 = 9;
    pub(crate) const THREAD_ZERO_TLS_CELL: u32 = 0xA;
    pub(crate) const THREAD_AM_I_LAST: u32 = 0xC;
    pub(crate) const THREAD_HIDE_FROM_DEBUGGER: u32 = 0x11;
    pub(crate) const THREAD_BREAK_ON_TERMINATION: u32 = 0x12;
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// What a query has to answer: bytes, and the status that goes with them.
type Answer = (Vec<u8>, Status);

/// Writes an answer where the caller wants it.
fn reply(m: &mut Machine, args: [u32; 5], (bytes, status): Answer) -> Res<Status> {
    let [_, _, buffer, length, returned] = args;
    if length != bytes.len() as u32 {
        return Err(Status::INFO_LENGTH_MISMATCH.into());
    }
    write_bytes(m, Va(buffer), &bytes)?;
    write_optional(m, returned, bytes.len() as u32)?;
    Ok(status)
}

fn probe(m: &mut Machine, args: [u32; 5]) -> Res<()> {
    let [_, _, buffer, length, returned] = args;
    probe_for_write(m, Va(buffer), length, 4)?;
    if returned != 0 {
        probe_for_write(m, Va(returned), 4, 4)?;
    }
    Ok(())
}

/// The length of a process class, so that a wrong one is told before the handle is looked at.
fn process_length(class: u32) -> Option<u32> {
    Some(match class {
        class::PROCESS_BASIC => 0x18,
        class::PROCESS_TIMES => 0x20,
        class::PROCESS_DEBUG_PORT
        | class::PROCESS_BREAK_ON_TERMINATION
        | class::PROCESS_DEBUG_OBJECT_HANDLE
        | class::PROCESS_DEBUG_FLAGS => 4,
        _ => return None,
    })
}

/// NtQueryInformationProcess(ProcessHandle, Class, Information, Length, ReturnLength). ProcessAffinityMask
/// can only be set: the sheet has it for NtSetInformationProcess alone, and ProcessBasicInformation tells
/// the mask.
pub(crate) fn nt_query_information_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let args = [f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?, f.arg(4)?];
    attempt!(probe(f.m, args));
    match process_length(args[1]) {
        None => return done(Status::INVALID_INFO_CLASS),
        Some(length) if length != args[3] => return done(Status::INFO_LENGTH_MISMATCH),
        Some(_) => {}
    }
    let answer = attempt!(ask_process(f.m, args));
    done(attempt!(reply(f.m, args, answer)))
}

fn ask_process(m: &mut Machine, args: [u32; 5]) -> Res<Answer> {
    let mode = previous_mode(m)?;
    let rights = access::PROCESS_QUERY_INFORMATION;
    let process = EProcess::at(ob::lookup(m, args[0], rights, Some(Kind::Process), mode)?.0);
    let flags = m.get(process.flags())?;
    let port = m.get(process.debug_port())?;
    let value = match args[1] {
        class::PROCESS_BASIC => return Ok((process_basic(m, process)?, Status::SUCCESS)),
        class::PROCESS_TIMES => return Ok((process_times(m, process)?, Status::SUCCESS)),
        class::PROCESS_DEBUG_PORT if port.is_some() => u32::MAX,
        class::PROCESS_BREAK_ON_TERMINATION => u32::from(flags & process_flags::BREAK_ON_TERMINATION != 0),
        class::PROCESS_DEBUG_OBJECT_HANDLE => match port {
            None => return Ok((words(&[0]), Status::PORT_NOT_SET)),
            Some(port) => {
                let caller = current_process(m)?;
                ob::open_by_pointer(m, caller, port.va(), access::DEBUG_ALL_ACCESS, 0)?
            }
        },
        class::PROCESS_DEBUG_FLAGS => u32::from(flags & process_flags::NO_DEBUG_INHERIT == 0),
        _ => 0,
    };
    Ok((words(&[value]), Status::SUCCESS))
}

fn process_basic(m: &mut Machine, process: EProcess) -> Result<Vec<u8>, Fault> {
    Ok(words(&[
        m.get(process.exit_status())?,
        m.get(process.peb())?.0,
        m.get(process.pcb().affinity())?,
        m.get(process.pcb().base_priority())? as u32,
        m.get(process.unique_process_id())?,
        m.get(process.inherited_from())?,
    ]))
}

/// NtQueryInformationThread(ThreadHandle, Class, Information, Length, ReturnLength).
pub(crate) fn nt_query_information_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let args = [f.arg(0)?, f.arg(1)?, f.arg(2)?, f.arg(3)?, f.arg(4)?];
    attempt!(probe(f.m, args));
    let length = match args[1] {
        class::THREAD_BASIC => 0x1C,
        class::THREAD_TIMES => 0x20,
        class::THREAD_WIN32_START_ADDRESS | class::THREAD_AM_I_LAST | class::THREAD_BREAK_ON_TERMINATION => 4,
        _ => return done(Status::INVALID_INFO_CLASS),
    };
    if length != args[3] {
        return done(Status::INFO_LENGTH_MISMATCH);
    }
    let answer = attempt!(ask_thread(f.m, args));
    done(attempt!(reply(f.m, args, answer)))
}

fn ask_thread(m: &mut Machine, args: [u32; 5]) -> Res<Answer> {
    let mode = previous_mode(m)?;
    let rights = access::THREAD_QUERY_INFORMATION;
    let thread = EThread::at(ob::lookup(m, args[0], rights, Some(Kind::Thread), mode)?.0);
    let tcb = thread.tcb();
    let bytes = match args[1] {
        class::THREAD_BASIC => words(&[
            m.get(thread.exit_status())?,
            m.get(tcb.teb())?.0,
            m.get(thread.unique_process())?,
            m.get(thread.unique_thread())?,
            m.get(tcb.affinity())?,
            m.get(tcb.priority())? as u32,
            base_priority_increment(m, tcb)?,
        ]),
        class::THREAD_TIMES => times(m, thread)?,
        class::THREAD_WIN32_START_ADDRESS => words(&[m.get(thread.win32_start_address())?]),
        class::THREAD_AM_I_LAST => {
            // ActiveThreads, not the thread list: threads that have exited do not count. The sources
            // differ (medium confidence, nt52.md 12.5, 15).
            let process = current_process(m)?;
            words(&[u32::from(m.get(process.active_threads())? == 1)])
        }
        _ => {
            let flags = m.get(thread.cross_thread_flags())?;
            words(&[u32::from(flags & cross::BREAK_ON_TERMINATION != 0)])
        }
    };
    Ok((bytes, Status::SUCCESS))
}

/// How far a thread's base priority lies above its process's.
fn base_priority_increment(m: &mut Machine, thread: KThread) -> Result<u32, Fault> {
    let process = m.get(thread.process())?;
    let base: i8 = m.get(thread.base_priority())?;
    Ok((i32::from(base) - i32::from(m.get(process.base_priority())?)) as u32)
}

/// KERNEL_USER_TIMES of a process. The sheet is silent on when its exit time shows; what is recorded is
/// told. Ticks are not charged as times.
fn process_times(m: &mut Machine, process: EProcess) -> Result<Vec<u8>, Fault> {
    let (create, exit): (u64, u64) = (m.get(process.create_time())?, m.get(process.exit_time())?);
    Ok([create, exit, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect())
}

/// KERNEL_USER_TIMES. The exit time is 0 until the thread is signaled; ticks are not charged as times.
fn times(m: &mut Machine, thread: EThread) -> Result<Vec<u8>, Fault> {
    let signaled = m.get(thread.tcb().header().signal_state())? != 0;
    let create: u64 = m.get(thread.create_time())?;
    let exit: u64 = if signaled { m.get(thread.exit_time())? } else { 0 };
    Ok([create, exit, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect())
}
