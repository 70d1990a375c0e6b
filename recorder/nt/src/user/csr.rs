//! ntdll's client of CSRSS (nt52.md 3.3 step 7, 11.2, 11.4 step 4).
//!
//! The sheet names two of the messages, BasepCreateProcess and BasepExitProcess, and says of a new thread
//! only that it registers. It gives neither numbers nor arguments: here the numbers follow the rule of a
//! server's index in the high word and its routine's in the low one, and the arguments are what the sheet's
//! step has at hand. The registration is a message like the others: in the field a thread registers the
//! port to CSRSS as its termination port (9.15), and there are no ports here. `csrss` has the other side.

use super::service;
use crate::Nt;
use crate::table::User;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Write, guest_struct};

guest_struct! {
    /// A message to CSRSS and its answer, as far as it has a form here.
    pub(crate) struct CsrMessage [0x14] {
        0x00 api_number: u32,
        /// Bytes of arguments.
        0x04 length: u32,
        0x08 return_value: u32,
        0x0C argument0: u32,
        0x10 argument1: u32,
    }
}

/// Doublewords in a message, for those who have one among their locals.
pub(crate) const WORDS: u8 = 5;
const _: () = assert!(WORDS as u32 * 4 == CsrMessage::EXTENT);

/// What CSRSS can be told.
#[derive(Clone, Copy)]
pub(crate) enum Api {
    /// A thread registers; its process's id and its own.
    NewThread = 0x0_0001,
    /// A process has its first thread: their handles.
    BasepCreateProcess = 0x1_0000,
    /// A process ends: its exit code, and 0.
    BasepExitProcess = 0x1_0003,
}

/// Calls CsrClientCallServer with a message among the caller's locals, the first of which is `first`; its
/// answer, a status, is the result in `stage`.
pub(crate) fn tell(
    f: &mut Frame,
    first: u8,
    api: Api,
    arguments: [u32; 2],
    stage: u8,
) -> Result<Flow, Fault> {
    let message = CsrMessage::at(f.block(first, WORDS));
    f.m.set(message.argument0(), arguments[0])?;
    f.m.set(message.argument1(), arguments[1])?;
    let args = [message.va().0, api as u32, 4 * arguments.len() as u32];
    f.call(User::CsrClientCallServer.at(), &args, stage)
}

/// CsrClientCallServer(Message, ApiNumber, ArgumentLength): what CSRSS answered, or why it could not be
/// asked, which the message's ReturnValue says too.
pub(crate) fn csr_client_call_server(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let message: CsrMessage = f.arg_ptr(0)?;
    if f.stage == 0 {
        let (api, length) = (f.arg(1)?, f.arg(2)?);
        f.m.set(message.api_number(), api)?;
        f.m.set(message.length(), length)?;
        return service(nt, f, "CsrssRequest", &[message.va().0], 1);
    }
    let asked = Status(f.result());
    if !asked.is_success() {
        f.m.set(message.return_value(), asked.0)?;
    }
    Ok(Flow::Return(f.m.get(message.return_value())?))
}

/// CsrNewThread(): the current thread registers. Its locals are the message.
pub(crate) fn csr_new_thread(_: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let teb = super::teb(f.m);
    let ids = [f.m.get(teb.unique_process())?, f.m.get(teb.unique_thread())?];
    tell(f, 0, Api::NewThread, ids, 1)
}
