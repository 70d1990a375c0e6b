//! Query and set services on processes and threads (reactos.md 9.10, 3.1 step 7).

use crate::{ReactOs, layout::*, ob};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::{Fault, Machine};

/// A structure that is given back: its doublewords.
type Words = Vec<u32>;

/// NtQueryInformationProcess(Handle, Class, Buffer, Length, *ReturnLength): asks for the wrong access,
/// which is never refused; the length must be exact; the buffer is written unprobed.
pub(crate) fn nt_query_information_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, class, buffer, length, place) = query_args(f)?;
    let process = match ob::reference(f.m, handle, Some(Type::Process))? {
        Ok(body) => EProcess(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let outcome = match class {
        // ProcessBasicInformation.
        0 => Ok(vec![
            f.m.get(process.exit_status())?,
            f.m.get(process.peb())?.0,
            f.m.get(process.pcb().affinity())?,
            f.m.get(process.pcb().base_priority())?,
            f.m.get(process.unique_process_id())?,
            f.m.get(process.inherited_from())?,
        ]),
        // ProcessTimes: creation and exit are never set, the tick counts are not kept.
        4 => Ok(vec![0; 8]),
        1..=51 => Err(Status::NOT_IMPLEMENTED),
        _ => Err(Status::INVALID_INFO_CLASS),
    };
    let status = give_back(f.m, outcome, buffer, length, place)?;
    ob::dereference(f.m, process.0)?;
    Ok(Flow::Return(status.0))
}

/// NtQueryInformationThread(Handle, Class, Buffer, Length, *ReturnLength): class and length are looked
/// at before the handle.
pub(crate) fn nt_query_information_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let (handle, class, buffer, length, place) = query_args(f)?;
    let wanted = match class {
        0 => 0x1C,
        1 => 0x20,
        // ThreadAmILastThread.
        12 => 4,
        2..=16 => return Ok(Flow::Return(Status::NOT_IMPLEMENTED.0)),
        _ => return Ok(Flow::Return(Status::INVALID_INFO_CLASS.0)),
    };
    if length != wanted {
        return Ok(Flow::Return(Status::INFO_LENGTH_MISMATCH.0));
    }
    let thread = match ob::reference(f.m, handle, Some(Type::Thread))? {
        Ok(body) => EThread(body),
        Err(status) => return Ok(Flow::Return(status.0)),
    };
    let words = match class {
        0 => {
            let status = f.m.get(thread.exit_status())?;
            vec![
                // A stored 0 is reported as pending, even of a thread that exited with 0.
                if status == 0 { Status::PENDING.0 } else { status },
                f.m.get(thread.tcb().teb())?.0,
                f.m.get(thread.unique_process())?,
                f.m.get(thread.unique_thread())?,
                f.m.get(thread.tcb().affinity())?,
                f.m.get(thread.tcb().priority())? as u32,
                f.m.get(thread.tcb().base_priority())? as u32,
            ]
        }
        1 => {
            let exit = f.m.get(thread.exit_time())?;
            vec![0, 0, exit as u32, (exit >> 32) as u32, 0, 0, 0, 0]
        }
        _ => vec![u32::from(am_i_last(f.m, thread)?)],
    };
    let status = give_back(f.m, Ok(words), buffer, length, place)?;
    ob::dereference(f.m, thread.0)?;
    Ok(Flow::Return(status.0))
}

/// ThreadAmILastThread: at most one entry in the process's list, whosever it is (9.10).
fn am_i_last(m: &mut Machine, thread: EThread) -> R<bool> {
    let Some(process) = m.get(thread.threads_process())? else { return Ok(true) };
    let head = process.thread_list_head();
    let first = m.get(head.flink())?;
    Ok(first == head || m.get(first.flink())? == head)
}

fn query_args(f: &mut Frame) -> Result<(u32, u32, Va, u32, Va), Fault> {
    Ok((f.arg(0)?, f.arg(1)?, Va(f.arg(2)?), f.arg(3)?, Va(f.arg(4)?)))
}

fn give_back(
    m: &mut Machine,
    outcome: Result<Words, Status>,
    buffer: Va,
    length: u32,
    place: Va,
) -> R<Status> {
    let words = match outcome {
        Ok(words) => words,
        Err(status) => return Ok(status),
    };
    if length != 4 * words.len() as u32 {
        return Ok(Status::INFO_LENGTH_MISMATCH);
    }
    for (index, word) in words.into_iter().enumerate() {
        m.store(buffer.add(4 * index as u32), word)?;
    }
    if !place.is_null() {
        m.store(place, length)?;
    }
    Ok(Status::SUCCESS)
}

/// NtSetInformationProcess(Handle, Class, Buffer, Length): nothing that the sheet describes is there.
pub(crate) fn nt_set_information_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    set_information(f, Type::Process)
}

/// NtSetInformationThread(Handle, Class, Buffer, Length): as for processes.
pub(crate) fn nt_set_information_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    set_information(f, Type::Thread)
}

fn set_information(f: &mut Frame, kind: Type) -> Result<Flow, Fault> {
    let handle = f.arg(0)?;
    match ob::reference(f.m, handle, Some(kind))? {
        Ok(body) => {
            ob::dereference(f.m, body)?;
            Ok(Flow::Return(Status::NOT_IMPLEMENTED.0))
        }
        Err(status) => Ok(Flow::Return(status.0)),
    }
}
