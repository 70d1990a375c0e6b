//! What a process tells its debugger: threads created and ended, exceptions (nt52.md 10.3, 10.4).

use super::message;
use crate::Nt;
use crate::global::NTDLL;
use crate::ke::thread::current;
use crate::layout::*;
use crate::mm::process::set_flags;
use crate::table::Ke;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Write};

/// Calls DbgkpSendApiMessage with the message in locals 0 to 21.
fn send(f: &mut Frame, words: &[u32], freeze: bool, stage: u8) -> Result<Flow, Fault> {
    let at = f.block(0, message::WORDS as u8);
    for index in 0..message::WORDS {
        let word = words.get(index).copied().unwrap_or(0);
        f.m.store(at.add(4 * index as u32), word)?;
    }
    f.call(Ke::DbgkpSendApiMessage.at(), &[at.0, freeze.into()], stage)
}

/// DbgkCreateThread(Thread, StartAddress).
pub(crate) fn dbgk_create_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let thread = f.arg_ptr::<EThread>(0)?;
    let Some(process) = f.m.get(thread.threads_process())? else { return Ok(Flow::Return(0)) };
    match f.stage {
        0 => {
            let bits = process_flags::CREATE_REPORTED | process_flags::IMAGE_NOTIFY_DONE;
            let old = set_flags(f.m, process.flags(), bits)?;
            if f.m.get(process.debug_port())?.is_none() {
                return Ok(Flow::Return(0));
            }
            if old & process_flags::CREATE_REPORTED == 0 {
                let words = message::create_process(f.m, process)?;
                return send(f, &words, false, 1);
            }
            let start = f.arg(1)?;
            send(f, &message::create_thread(start), true, 2)
        }
        1 => {
            let name = ntdll_name(f, thread)?;
            send(f, &message::load_dll(NTDLL.0, name), true, 2)
        }
        _ => Ok(Flow::Return(0)),
    }
}

/// The name pointer of ntdll's LoadDll event: TEB.ArbitraryUserPointer, which points to
/// TEB.StaticUnicodeBuffer.
fn ntdll_name(f: &mut Frame, thread: EThread) -> Result<u32, Fault> {
    let teb = Teb::at(f.m.get(thread.tcb().teb())?);
    if teb.va().is_null() {
        return Ok(0);
    }
    let buffer = teb.va().add(0xC00);
    let name: Vec<u8> = "ntdll.dll\0".bytes().flat_map(|byte| [byte, 0]).collect();
    // A TEB that cannot be written has no name to point to.
    let written = f.m.put(buffer, &name).and_then(|()| f.m.set(teb.arbitrary_user_pointer(), buffer.0));
    Ok(if written.is_ok() { teb.arbitrary_user_pointer().at.0 } else { 0 })
}

/// Whether the exit of the current thread is told to its debugger.
fn is_told(f: &mut Frame) -> Result<bool, Fault> {
    let thread = current(f.m)?;
    let flags = f.m.get(thread.cross_thread_flags())?;
    let port = match f.m.get(thread.threads_process())? {
        Some(process) => f.m.get(process.debug_port())?,
        None => None,
    };
    Ok(flags & (cross::HIDEFROMDBG | cross::DEADTHREAD) == 0 && port.is_some())
}

/// DbgkExitThread(ExitStatus).
pub(crate) fn dbgk_exit_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 || !is_told(f)? {
        return Ok(Flow::Return(0));
    }
    let status = f.arg(0)?;
    send(f, &message::exit(api::EXIT_THREAD, status), true, 1)
}

/// DbgkExitProcess(ExitStatus).
pub(crate) fn dbgk_exit_process(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 || !is_told(f)? {
        return Ok(Flow::Return(0));
    }
    let thread = current(f.m)?;
    if let Some(process) = f.m.get(thread.threads_process())? {
        let now = crate::ke::timer::system_time(f.m)?;
        f.m.set(process.exit_time(), now)?;
    }
    let status = f.arg(0)?;
    send(f, &message::exit(api::EXIT_PROCESS, status), false, 1)
}

/// DbgkForwardException(ExceptionRecord, DebugException, SecondChance): whether a debugger has handled
/// it.
pub(crate) fn dbgk_forward_exception(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let reply: u32 = f.m.load(f.block(0, message::WORDS as u8))?;
        let sent = Status(f.result()).is_success();
        return Ok(Flow::Return((sent && reply != Status::DBG_EXCEPTION_NOT_HANDLED.0).into()));
    }
    let thread = current(f.m)?;
    let hidden = f.m.get(thread.cross_thread_flags())? & cross::HIDEFROMDBG != 0;
    let port = match f.m.get(thread.threads_process())? {
        Some(process) => f.m.get(process.debug_port())?,
        None => None,
    };
    if hidden || port.is_none() {
        return Ok(Flow::Return(0));
    }
    let (record, second) = (f.arg_ptr::<ExceptionRecord>(0)?, f.arg(2)? != 0);
    let words = message::exception(f.m, record, !second)?;
    send(f, &words, true, 1)
}
