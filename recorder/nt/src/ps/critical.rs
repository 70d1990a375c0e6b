//! Critical processes and threads: PspCatchCriticalBreak (nt52.md 9.12).

use crate::global::DATA;
use crate::ke::bugcheck;
use crate::layout::*;
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Slot, Va, Write};
use machine::Machine;

/// `Terminating critical process 0x%p (%s)\n`.
pub(crate) fn terminating_process() -> Va {
    DATA.message_critical_process().at
}
/// `Terminating critical thread 0x%p (in %s)\n`.
pub(crate) fn terminating_thread() -> Va {
    DATA.message_critical_thread().at
}

/// Writes the messages into the kernel's data.
pub(crate) fn init(m: &mut Machine) -> Result<(), Fault> {
    let messages: [(Slot<[u8; 32]>, &[u8]); 4] = [
        (DATA.message_critical_process(), b"Terminating critical process 0x%p (%s)\n\0"),
        (DATA.message_critical_thread(), b"Terminating critical thread 0x%p (in %s)\n\0"),
        (DATA.message_thread_exited(), b"Critical thread 0x%p (in %s) exited\n\0"),
        (DATA.message_process_exited(), b"Critical process 0x%p (%s) exited\n\0"),
    ];
    for (slot, text) in messages {
        m.put(slot.at, text)?;
    }
    Ok(())
}

/// KdDebuggerEnabled.
pub(crate) fn debugger_enabled(m: &mut Machine) -> Result<bool, Fault> {
    Ok(m.get(SHARED.kd_debugger_enabled())? & KD_ENABLED != 0)
}

/// KUSER_SHARED_DATA.KdDebuggerEnabled: bit 0 enabled, bit 1 present.
const KD_ENABLED: u8 = 1;
const KD_PRESENT: u8 = 2;

/// Whether the kernel debugger's user says to go on. DbgPrompt's answers are the characters that the
/// test driver has left (`DriverSetKernelDebugger`), one for each prompt; when they have run out, the
/// debugger has gone, and is not present any more. `B` breaks in and the user lets the system go on.
fn is_ignored(m: &mut Machine) -> Result<bool, Fault> {
    while m.get(SHARED.kd_debugger_enabled())? & (KD_ENABLED | KD_PRESENT) == KD_ENABLED | KD_PRESENT {
        let answers = m.get(DATA.kd_answers())?;
        m.set(DATA.kd_answers(), answers >> 8)?;
        match answers as u8 {
            b'B' | b'b' | b'I' | b'i' => return Ok(true),
            0 => m.set(SHARED.kd_debugger_enabled(), KD_ENABLED)?,
            _ => {}
        }
    }
    Ok(false)
}

/// PspCatchCriticalBreak(Message, Object, ImageFileName). Nobody reads what it prints.
pub(crate) fn psp_catch_critical_break(_: &crate::Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (message, object, name) = (f.arg(0)?, f.arg(1)?, f.arg(2)?);
    if is_ignored(f.m)? {
        return Ok(Flow::Return(0));
    }
    let kind: u8 = f.m.load(DispatcherHeader::at(Va(object)).kind().at)?;
    bugcheck::stop(f, bugcheck::CRITICAL_OBJECT_TERMINATION, [kind.into(), object, name, message])
}
