//! The client side of CSRSS (reactos.md 3.1 step 11, 10.4 step 2).

use super::{create::service, thread::teb};
use crate::{
    ReactOs,
    layout::*,
    lpc::services::{REPLY_STATUS, REQUEST_ARGUMENT, REQUEST_TYPE},
};
use contract::{Flow, Frame, Status};
use guest::{Read, Va, Write};
use machine::{Fault, Machine};

const DLL_PROCESS_ATTACH: u32 = 1;

/// CsrApiPort: a variable of ntdll's, kept with the other ones of the process.
fn port(m: &mut Machine) -> R<guest::Slot<u32>> {
    let peb = m.get(teb(m).peb())?;
    Ok(Peb(peb).csr_api_port())
}

/// kernel32's DllMain(Instance, Reason, Reserved): the process connects to CSRSS when it begins, and
/// cannot begin without.
pub(crate) fn kernel32_dll_main(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        let connected = Status(f.result()).is_success();
        return Ok(Flow::Return(u32::from(connected)));
    }
    if f.arg(1)? != DLL_PROCESS_ATTACH {
        return Ok(Flow::Return(1));
    }
    let place = port(f.m)?.at.0;
    f.call(service("NtConnectPort"), &[place, 0, 0, 0, 0, 0, 0, 0], 1)
}

/// A message: its header, the type, two doublewords.
const MESSAGE: (u8, u8) = (0, 10);

/// CsrClientCallServer(Type, Argument): the status in the reply, or that of the request.
pub(crate) fn client_call_server(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let message = f.block(MESSAGE.0, MESSAGE.1);
    if f.stage != 0 {
        let status = f.result();
        if !Status(status).is_success() {
            return Ok(Flow::Return(status));
        }
        let answer: u32 = f.m.load(message.add(REPLY_STATUS))?;
        return Ok(Flow::Return(answer));
    }
    let (kind, argument) = (f.arg(0)?, f.arg(1)?);
    f.m.store(message.add(REQUEST_TYPE), kind)?;
    f.m.store(message.add(REQUEST_ARGUMENT), argument)?;
    let slot = port(f.m)?;
    let port: u32 = f.m.get(slot)?;
    f.call(service("NtRequestWaitReplyPort"), &[port, message.0, message.0], 1)
}

/// KiRaiseUserExceptionDispatcher(): where a kernel that found a bad NtClose sends the thread (11.3); the
/// status in the TEB becomes an exception that nobody continues.
pub(crate) fn raise_user_exception(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let code = f.m.get(teb(f.m).exception_code())?;
    let record = f.block(MESSAGE.0, MESSAGE.1);
    f.m.store(record, code)?;
    f.call(super::Us::KiUserExceptionDispatcher.at(), &[record.0, Va(0).0], 1)
}
